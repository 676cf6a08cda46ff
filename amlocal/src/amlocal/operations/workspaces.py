"""`client.workspaces`: those of this folder."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlocal.core import registries
from amlocal.core.errors import NotFound, UserError
from amlocal.core.files import disk_errors, read_json, write_json
from amlocal.core.names import refuse_changes, texts
from amlocal.core.workspace import EVERYTHING, PROVIDERS, RECORD, SHARED, Workspace
from amlocal.down import down
from amlocal.operations import rest, service
from amlocal.operations.common import Operations, Poller, not_missing

# What a workspace in Azure stands on. Scripts give roles on them; `az resource list` under `aml exec` has them, too.
BESIDE = {
    "application_insights": f"{PROVIDERS}/microsoft.insights/components/local",
    "container_registry": f"{PROVIDERS}/Microsoft.ContainerRegistry/registries/local",
    "key_vault": f"{PROVIDERS}/Microsoft.KeyVault/vaults/local",
    "storage_account": f"{PROVIDERS}/Microsoft.Storage/storageAccounts/local",
}
MUTABLE = ("description", "display_name", "image_build_compute", "public_network_access", "tags")
# Everything that a workspace writes into its folder.
WRITTEN = re.compile(
    r"artifacts|assets|cache|datastores|endpoints|environments|jobs|locks|mlartifacts|mlruns|models|reuse|registries|schedules"
    r"|snapshots|storage|workspaces|\.{1,2}gitignore(\.\w+)?|\.?(az|az-records|workspace)\.json(\.\w+)?|mlflow\.db(-\w+)*|mlflow-server\.log"
)


class WorkspaceOperations(Operations):
    """`client.workspaces`"""

    takes = ("Workspace",)

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def describe(self, name: str | None = None) -> dict[str, Any]:
        """One workspace, without a name this client's. Raises NotFound."""
        return self._described(self._named(name))

    def _described(self, workspace: Workspace) -> dict[str, Any]:
        kept = _kept(workspace)
        return {
            **service.WORKSPACE,
            **{key: kept[key] for key in service.WORKSPACE if kept.get(key)},
            "display_name": kept.get("display_name") or workspace.name,
            "id": workspace.id_of(),
            **({"image_build_compute": kept["image_build_compute"]} if kept.get("image_build_compute") else {}),
            "location": "local",
            "mlflow_tracking_uri": workspace.shown_uri,
            "name": workspace.name,
            "path": str(workspace.root),
            "resource_group": "local",
            "tags": kept.get("tags") or {},
            **BESIDE,
        }

    def get(self, name: str | None = None, **_: Any) -> Any:
        """One workspace; where there is one only, it is that one, whatever name a program written for Azure gives."""
        known = self.workspace.every()
        with not_missing():
            return self._entity(known[0] if len(known) == 1 else self._named(name if known else None))

    def _named(self, name: str | None) -> Workspace:
        """Raises NotFound for a name that none has."""
        if not name or name.lower() == self.workspace.name.lower():
            return self.workspace
        try:
            return self.workspace.called(name)
        except NotFound:
            if len(known := self.workspace.every() or [self.workspace]) > 1:
                raise
        raise NotFound(f'workspace "{name}" was not found; the one of this folder is "{known[0].name}"')

    def _entity(self, workspace: Workspace) -> Any:
        workspace.create()  # MLflow, given the address below, makes the database but no folder
        return rest.entity("workspace", self._described(workspace) | {"mlflow_tracking_uri": workspace.tracking_uri})

    def list(self, **_: Any) -> Iterator[Any]:
        for each in self.workspace.every():
            yield self._entity(each)

    def describe_all(self, **_: Any) -> Sequence[dict[str, Any]]:
        """All of this folder, if something was ever written to it; the first first."""
        return [self._described(each) for each in self.workspace.every()]

    def begin_create(self, workspace: Any, update_dependent_resources: bool = False, **_: Any) -> Poller:
        """Make a workspace, or change the one of this name. The first of a folder that has no name yet is given it."""
        told = {key: getattr(workspace, key, None) for key in ("name", *MUTABLE)}
        wanted = self._to_create(told["name"])
        _keep(wanted, {key: value for key, value in told.items() if value and (key != "name" or not _kept(wanted))})
        return Poller(self._entity(wanted))

    def _to_create(self, name: str | None) -> Workspace:
        """The workspace of this name, else the first that has none, else one more."""
        first = Workspace(self.workspace.home)
        named = {each.name.lower(): each for each in self.workspace.every() if _kept(each).get("name")}
        if not name:
            return self.workspace
        if name.lower() in named:
            return named[name.lower()]
        return self.workspace.further(name) if _kept(first).get("name") else first

    def begin_update(self, workspace: Any, **_: Any) -> Poller:
        named = self._named(workspace.name)
        _keep(named, {key: getattr(workspace, key) for key in MUTABLE if getattr(workspace, key, None) is not None})
        return Poller(self._entity(named))

    def begin_sync_keys(self, name: str | None = None) -> Poller:
        """There are no keys that could be out of step."""
        self._named(name)
        return Poller(None)

    def revise(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make the workspace read as `wanted`: description, display name, tags and the like."""
        named = self._named(name)
        _keep(named, refuse_changes(f'workspace "{name}"', self._described(named), wanted, MUTABLE))
        return self._described(named)

    def begin_delete(self, name: str, **_: Any) -> Poller:
        """End everything that runs in the workspace and remove its folder: jobs, models, endpoints, collected data.

        The other workspaces of the folder and its registries stay. Raises UserError for a folder that is not a
        workspace's own: AMLOCAL_HOME may name any.
        """
        import shutil

        workspace = self._named(name)
        _refuse_other_folder(workspace.root)
        down(workspace)
        others = any(each.root != workspace.root for each in workspace.every()) or registries.every(workspace)
        with disk_errors(workspace.root):
            if workspace.root == workspace.home and others:
                for path in workspace.root.iterdir():
                    if path.name not in SHARED:
                        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            else:
                shutil.rmtree(workspace.root)
        return Poller(None)


def _refuse_other_folder(root: Path) -> None:
    if not root.is_dir():
        raise NotFound(f"{root}: there is no workspace; nothing is deleted")
    there = sorted(path.name for path in root.iterdir())
    ignore = root / ".gitignore"
    ours = ignore.is_file() and ignore.read_text(errors="replace") == EVERYTHING
    foreign = [name for name in there if not WRITTEN.fullmatch(name) or (name == ignore.name and not ours)]
    if foreign or not {".gitignore", "jobs", "mlflow.db"} & {*there}:
        why = f"it holds {foreign[0]}, which no workspace writes" if foreign else "nothing of a workspace's is in it"
        raise UserError(f"{root}: not deleted: {why}; mend AMLOCAL_HOME, or delete the folder yourself")


def _kept(workspace: Workspace) -> dict[str, Any]:
    path = workspace.root / RECORD
    return dict(read_json(path)) if path.exists() else {}


def _keep(workspace: Workspace, changed: Mapping[str, Any]) -> None:
    """Write down what has changed, beside what there is."""
    workspace.create()
    with workspace.lock("workspace"):
        kept = _kept(workspace) | dict(changed)
        kept["name"] = kept.get("name") or workspace.name
        kept["tags"] = texts(kept.get("tags"))
        write_json(workspace.root / RECORD, kept)
