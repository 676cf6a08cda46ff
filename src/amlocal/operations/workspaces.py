"""`client.workspaces`: the one of this folder."""

from collections.abc import Iterator, Sequence
from typing import Any

from amlocal.errors import NotFound
from amlocal.operations.common import Poller
from amlocal.workspace import Workspace, disk_errors, write_json


class WorkspaceOperations:
    """`client.workspaces`"""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def describe(self, name: str | None = None) -> dict[str, Any]:
        """Raises NotFound for the name of another one."""
        if name and name != self.workspace.name:
            raise NotFound(f'workspace "{name}" is not the one of this folder, which is "{self.workspace.name}"')
        return {
            "display_name": self.workspace.name,
            "location": "local",
            "mlflow_tracking_uri": self.workspace.tracking_uri,
            "name": self.workspace.name,
            "path": str(self.workspace.root),
            "resource_group": "local",
            "tags": {},
        }

    def get(self, name: str | None = None, **_: Any) -> Any:
        from azure.ai.ml.entities import Workspace as AzureWorkspace

        self.describe(name)
        uri = self.workspace.tracking_uri
        return AzureWorkspace(
            name=self.workspace.name, location="local", resource_group="local", mlflow_tracking_uri=uri
        )

    def list(self, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all():
            yield self.get(spec["name"])

    def describe_all(self, **_: Any) -> Sequence[dict[str, Any]]:
        """The one of this folder, if something was ever written to it."""
        return [self.describe()] if self.workspace.root.is_dir() else []

    def begin_create(self, workspace: Any, **_: Any) -> Poller:
        """Make the workspace of this folder, or give it the name."""
        self.workspace.create()
        if workspace.name:
            write_json(self.workspace.root / "workspace.json", {"name": workspace.name})
        return Poller(self.get())

    def begin_delete(self, name: str, **_: Any) -> Poller:
        """End everything that runs in the workspace and remove its folder: jobs, models, endpoints, collected data."""
        import shutil

        from amlocal.endpoints.down import down

        self.describe(name)
        down(self.workspace)
        with disk_errors(self.workspace.root):
            shutil.rmtree(self.workspace.root)
        return Poller(None)
