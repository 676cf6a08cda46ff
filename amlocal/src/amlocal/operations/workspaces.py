"""`client.workspaces`: the one of this folder."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from amlocal.core.errors import NotFound, UserError
from amlocal.core.files import disk_errors, read_json, write_json
from amlocal.core.names import refuse_changes, texts
from amlocal.core.workspace import PROVIDERS, Workspace
from amlocal.down import down
from amlocal.operations.common import Operations, Poller

# What a workspace in Azure stands on. Scripts give roles on them; `az resource list` under `aml exec` has them, too.
BESIDE = {
    "application_insights": f"{PROVIDERS}/microsoft.insights/components/local",
    "container_registry": f"{PROVIDERS}/Microsoft.ContainerRegistry/registries/local",
    "key_vault": f"{PROVIDERS}/Microsoft.KeyVault/vaults/local",
    "storage_account": f"{PROVIDERS}/Microsoft.Storage/storageAccounts/local",
}
MUTABLE = ("description", "display_name", "tags")
# Everything that a workspace writes into its folder.
WRITTEN = re.compile(
    r"artifacts|assets|cache|datastores|endpoints|environments|jobs|locks|mlartifacts|mlruns|models|reuse|schedules"
    r"|snapshots|storage|\.{1,2}gitignore(\.\w+)?|\.?(az|az-records|workspace)\.json(\.\w+)?|mlflow\.db(-\w+)*|mlflow-server\.log"
)


class WorkspaceOperations(Operations):
    """`client.workspaces`"""

    takes = ("Workspace",)

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def describe(self, name: str | None = None) -> dict[str, Any]:
        """Raises NotFound for the name of another one."""
        if name and name != self.workspace.name:
            raise NotFound(f'workspace "{name}" was not found; the one of this folder is "{self.workspace.name}"')
        kept = self._kept()
        return {
            "description": kept.get("description") or "",
            "display_name": kept.get("display_name") or self.workspace.name,
            "enable_data_isolation": False,
            "hbi_workspace": False,
            "id": self.workspace.id_of(),
            "location": "local",
            "mlflow_tracking_uri": self.workspace.shown_uri,
            "name": self.workspace.name,
            "path": str(self.workspace.root),
            "public_network_access": "Enabled",
            "resource_group": "local",
            "tags": kept.get("tags") or {},
            **BESIDE,
        }

    def get(self, name: str | None = None, **_: Any) -> Any:
        """The workspace of this folder, whatever name a program written for Azure gives it."""
        from azure.ai.ml.entities import Workspace as AzureWorkspace

        told = self.describe()
        self.workspace.create()  # MLflow, given the address below, makes the database but no folder
        made = AzureWorkspace(
            name=told["name"],
            display_name=told["display_name"],
            description=told["description"],
            tags=told["tags"],
            location="local",
            resource_group="local",
            mlflow_tracking_uri=self.workspace.tracking_uri,
            public_network_access=told["public_network_access"],
            storage_account=BESIDE["storage_account"],
            key_vault=BESIDE["key_vault"],
            application_insights=BESIDE["application_insights"],
            container_registry=BESIDE["container_registry"],
        )
        made._id = told["id"]
        return made

    def list(self, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all():
            yield self.get(spec["name"])

    def describe_all(self, **_: Any) -> Sequence[dict[str, Any]]:
        """The one of this folder, if something was ever written to it."""
        return [self.describe()] if self.workspace.root.is_dir() else []

    def begin_create(self, workspace: Any, update_dependent_resources: bool = False, **_: Any) -> Poller:
        """Make the workspace of this folder, or give it the name."""
        told = {key: getattr(workspace, key, None) for key in ("name", *MUTABLE)}
        self._keep({key: value for key, value in told.items() if value})
        return Poller(self.get())

    def begin_update(self, workspace: Any, **_: Any) -> Poller:
        self.describe(workspace.name)
        self._keep({key: getattr(workspace, key) for key in MUTABLE if getattr(workspace, key, None) is not None})
        return Poller(self.get())

    def begin_sync_keys(self, name: str | None = None) -> Poller:
        """There are no keys that could be out of step."""
        self.describe(name)
        return Poller(None)

    def revise(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make the workspace read as `wanted`: description, display name, tags."""
        self._keep(refuse_changes(f'workspace "{name}"', self.describe(name), wanted, MUTABLE))
        return self.describe()

    def begin_delete(self, name: str, **_: Any) -> Poller:
        """End everything that runs in the workspace and remove its folder: jobs, models, endpoints, collected data.

        Raises UserError for a folder that is not a workspace's own: AMLOCAL_HOME may name any.
        """
        import shutil

        self.describe(name)
        self._refuse_other_folder()
        down(self.workspace)
        with disk_errors(self.workspace.root):
            shutil.rmtree(self.workspace.root)
        return Poller(None)

    def _refuse_other_folder(self) -> None:
        root = self.workspace.root
        if not root.is_dir():
            raise NotFound(f"{root}: there is no workspace; nothing is deleted")
        there = sorted(path.name for path in root.iterdir())
        ignore = root / ".gitignore"
        ours = ignore.is_file() and ignore.read_text(errors="replace") == "*\n"
        foreign = [name for name in there if not WRITTEN.fullmatch(name) or (name == ignore.name and not ours)]
        if foreign or not {".gitignore", "jobs", "mlflow.db"} & {*there}:
            why = (
                f"it holds {foreign[0]}, which no workspace writes" if foreign else "nothing of a workspace's is in it"
            )
            raise UserError(f"{root}: not deleted: {why}; mend AMLOCAL_HOME, or delete the folder yourself")

    def _kept(self) -> dict[str, Any]:
        path = self.workspace.root / "workspace.json"
        return dict(read_json(path)) if path.exists() else {}

    def _keep(self, changed: Mapping[str, Any]) -> None:
        """Write down what has changed, beside what there is."""
        self.workspace.create()
        with self.workspace.lock("workspace"):
            kept = self._kept() | dict(changed)
            kept["name"] = kept.get("name") or self.workspace.name
            kept["tags"] = texts(kept.get("tags"))
            write_json(self.workspace.root / "workspace.json", kept)
