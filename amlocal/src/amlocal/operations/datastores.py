"""`client.datastores`: a folder in the workspace stands for each; what account it names matters in Azure only."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from amlocal.assets.containers import ACCOUNT, BUILT_IN, make_datastore
from amlocal.assets.store import BUILT_IN_DATASTORES, Assets
from amlocal.core.errors import UserError
from amlocal.core.workspace import DEFAULT_DATASTORE, Workspace
from amlocal.operations import rest, service
from amlocal.operations.common import Operations, checked, not_missing

FILE_SHARES = ("workspacefilestore", "workspaceworkingdirectory")
NEVER_KEPT = ("$schema", "credentials", "id")


class DatastoreOperations(Operations):
    """`client.datastores`"""

    takes = ("Datastore",)

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.assets = Assets(workspace, "datastore")

    def create_or_update(self, datastore: Any, **_: Any) -> Any:
        """Remember a datastore and make the folder that stands for it. Its credentials are not kept."""
        self._refuse_built_in(datastore.name, "changed")
        spec = {key: value for key, value in datastore._to_dict().items() if key not in NEVER_KEPT}
        spec = self.assets.create(spec)
        make_datastore(self.workspace, spec)
        return self._entity(spec)

    def get(self, name: str, *, include_secrets: bool = False, **_: Any) -> Any:
        with not_missing():
            return self._entity(self.describe(name))

    def get_default(self, *, include_secrets: bool = False) -> Any:
        return self.get(DEFAULT_DATASTORE)

    def list(self, *, include_secrets: bool = False, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all():
            yield self._entity(spec)

    def delete(self, name: str) -> None:
        """Forget a datastore; the files in its folder stay, as those in an account do."""
        self._refuse_built_in(name, "deleted")
        with not_missing():
            self.assets.delete(name)

    def describe(self, name: str) -> dict[str, Any]:
        if name in BUILT_IN_DATASTORES:
            return self._built_in(name)
        return service.datastore(self.workspace, self.assets.get(name))

    def describe_all(self, **_: Any) -> Sequence[dict[str, Any]]:
        own = (service.datastore(self.workspace, spec) for spec in self.assets.latest())
        return [*map(self._built_in, BUILT_IN_DATASTORES), *own]

    def revise(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make a datastore read as `wanted`."""
        self._refuse_built_in(name, "changed")
        kept = self.assets.get(name)
        if wanted.get("name") != name or wanted.get("type") != kept.get("type"):
            raise UserError(f'datastore "{name}": name and type cannot be changed; create another')
        now = service.datastore(self.workspace, kept)
        spec = {key: value for key, value in service.unshown(kept, now, wanted).items() if key not in NEVER_KEPT}
        checked("datastore", name, spec)
        return service.datastore(self.workspace, self.assets.create(spec))

    def _refuse_built_in(self, name: str, verb: str) -> None:
        if name in BUILT_IN_DATASTORES:
            raise UserError(f'datastore "{name}" belongs to the workspace and cannot be {verb}; give another name')

    def _built_in(self, name: str) -> dict[str, Any]:
        share = name in FILE_SHARES
        spec: dict[str, Any] = {
            "account_name": ACCOUNT,
            ("file_share_name" if share else "container_name"): BUILT_IN[name],
            "endpoint": "core.windows.net",
            "name": name,
            "protocol": "https",
            "tags": {},
            "type": "azure_file" if share else "azure_blob",
        }
        return service.datastore(self.workspace, spec)

    def _entity(self, spec: dict[str, Any]) -> Any:
        return rest.entity("datastore", service.datastore(self.workspace, spec))
