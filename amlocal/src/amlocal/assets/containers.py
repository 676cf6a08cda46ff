"""Containers of storage accounts, as `az storage` and datastores name them: a folder each.

A datastore's folder is that of the container it names, so that what a script uploads with `az storage blob upload` is
what a job reads behind `azureml://datastores/...`.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amlocal.assets.store import Assets
from amlocal.core.durable import make_folder
from amlocal.core.files import copy_into, disk_errors
from amlocal.core.names import checked_name
from amlocal.core.workspace import NOBODY, Workspace

ACCOUNT = "local"  # the account that the workspace's own datastores name
# Their containers, called as in Azure, where the workspace's id ends them: scripts look for `azureml-blobstore-`.
BUILT_IN = {
    "workspaceblobstore": f"azureml-blobstore-{NOBODY}",
    "workspacefilestore": f"azureml-filestore-{NOBODY}",
    "workspaceworkingdirectory": f"code-{NOBODY}",
    "workspaceartifactstore": "azureml",
}
FIELDS = ("container_name", "filesystem", "file_share_name")


def named_by(datastore: Mapping[str, Any]) -> tuple[str, str] | None:
    """The account and the container that a datastore names."""
    container = next((datastore[field] for field in FIELDS if datastore.get(field)), None)
    account = datastore.get("account_name")
    return (account, container) if account and container else None


def folder(workspace: Workspace, account: str, container: str) -> Path:
    """The folder of a container, made or not: that of the datastore that names it, else one of its own."""
    checked_name("storage account", account)
    checked_name("container", container)
    for name, its_container in BUILT_IN.items():
        if (account, container) == (ACCOUNT, its_container):
            return workspace.datastore(name)
    for datastore in Assets(workspace, "datastore").latest():
        if named_by(datastore) == (account, container):
            return workspace.datastore(datastore["name"])
    return _own(workspace, account, container)


def names(workspace: Workspace, account: str) -> list[str]:
    """The containers of an account that are known."""
    found = {path.name for path in (workspace.root / "storage" / account).glob("*") if path.is_dir()}
    found |= {
        place[1]
        for each in Assets(workspace, "datastore").latest()
        if (place := named_by(each)) and place[0] == account
    }
    return sorted(found | (set(BUILT_IN.values()) if account == ACCOUNT else set()))


def make_datastore(workspace: Workspace, datastore: Mapping[str, Any]) -> None:
    """Make the folder of a datastore; what was uploaded to the container that it names is in it."""
    target = workspace.datastore(datastore["name"])
    with disk_errors(workspace.root):
        make_folder(target)
        place = named_by(datastore)
        if place and (uploaded := _own(workspace, *place)).is_dir():
            copy_into(uploaded, target)
            shutil.rmtree(uploaded)


def _own(workspace: Workspace, account: str, container: str) -> Path:
    return workspace.root / "storage" / account / container
