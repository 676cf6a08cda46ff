"""What `client.data`, `client.environments` and `client.components` have in common: named things with versions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.assets.store import Assets, Kind
from amlocal.core.errors import UserError
from amlocal.core.names import ACTIVE, view_of
from amlocal.core.workspace import Workspace
from amlocal.operations.common import Operations, entity, not_missing

# What azure-ai-ml's dictionary of an entity says beside what its author wrote.
SERVICE = ("$schema", "creation_context", "id")


class AssetOperations(Operations, ABC):
    """What the three have in common. kind: the assets' own."""

    kind: Kind

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.assets = Assets(workspace, self.kind)

    def _register(self, item: Any) -> Any:
        """A version, as its author gives it. Local files are copied into the workspace, as Azure uploads them."""
        spec = {key: value for key, value in item._to_dict().items() if key not in SERVICE}
        kept = self._with_files_kept(spec, item, Path(item.base_path or "."))
        same = item.id is not None and uris.named(item.id) == uris.Named(item.name, str(item.version))
        return self._entity(self.assets.create(kept, whole=same))

    def _on_record(self, item: Any) -> dict[str, Any]:
        """The version that is registered again; empty for a new one."""
        try:
            return self.assets.get(item.name, str(item.version)) if item.name and item.version else {}
        except UserError:
            return {}

    @abstractmethod
    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]: ...

    def get(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> Any:
        with not_missing():
            return self._entity(self.assets.get(name, version, label))

    def list(self, name: str | None = None, *, list_view_type: Any = ACTIVE, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all(name, list_view_type):
            yield self._entity(spec)

    def archive(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> None:
        """Hide a version, or without one everything of that name, from `list`."""
        with not_missing():
            self.assets.archive(name, version, label)

    def restore(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> None:
        with not_missing():
            self.assets.archive(name, version, label, archived=False)

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        return with_id(self.assets.get(name, version, label))

    def describe_all(self, name: str | None = None, list_view_type: Any = ACTIVE, **_: Any) -> Sequence[dict[str, Any]]:
        """The latest version of everything, or every version of `name`; the latest first."""
        view = view_of(list_view_type)
        return [with_id(spec) for spec in (self.assets.versions(name, view) if name else self.assets.latest(view))]

    def revise(
        self, name: str, wanted: Mapping[str, Any], version: str | None = None, label: str | None = None
    ) -> dict[str, Any]:
        """Make a version read as `wanted`: description, tags and the like. Returns it as `describe` does."""
        told = {key: value for key, value in wanted.items() if key != "id"}
        return with_id(self.assets.revise(name, told, version, label))

    def _entity(self, spec: dict[str, Any]) -> Any:
        made = entity(self.kind, spec)
        made._id = with_id(spec)["id"]
        if spec.get("properties"):  # which no file may have
            made.properties = dict(spec["properties"])
        return made


def with_id(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec with the asset's id, as Azure shows it."""
    return {**spec, "id": f"azureml:{spec['name']}:{spec['version']}"}
