"""What `client.data`, `client.environments` and `client.components` have in common: named things with versions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.assets.store import Assets, Kind
from amlocal.core import registries
from amlocal.core.errors import UserError
from amlocal.core.names import ACTIVE, ALL, view_of
from amlocal.core.workspace import Workspace
from amlocal.operations import rest, service
from amlocal.operations.common import Operations, not_missing, refuse_taken
from amlocal.specs.dictionary import dictionary

# What azure-ai-ml's dictionary of an entity says beside what its author wrote.
SERVICE = ("creation_context", "id")


class AssetOperations(Operations, ABC):
    """What the three have in common. kind: the assets' own."""

    kind: Kind

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.assets = Assets(workspace, self.kind)

    def _register(self, item: Any) -> Any:
        """A version, as its author gives it. Local files are copied into the workspace, as Azure uploads them."""
        spec = {key: value for key, value in dictionary(item).items() if key not in SERVICE}
        kept = self._with_files_kept(spec, item, Path(item.base_path or "."))
        same = item.id is not None and uris.is_of(item.id, self.workspace, item.name, str(item.version))
        if same and (before := self._on_record(item)):  # as `get` gave it, with what the service adds
            now = self._shown(before)
            kept = service.unshown(before, now, kept | {key: now[key] for key in SERVICE if key in now})
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
            yield self._entity(spec) if name else service.container_entity(self.kind, spec)

    def archive(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> None:
        """Hide a version, or without one everything of that name, from `list`."""
        with not_missing():
            self.assets.archive(name, version, label)

    def restore(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> None:
        with not_missing():
            self.assets.archive(name, version, label, archived=False)

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        return self._shown(self.assets.get(name, version, label))

    def describe_all(self, name: str | None = None, list_view_type: Any = ACTIVE, **_: Any) -> Sequence[dict[str, Any]]:
        """Every name with its latest version, the oldest first; or every version of `name`, the latest first."""
        view = view_of(list_view_type)
        if name:
            return [self._shown(spec) for spec in self.assets.versions(name, view)]
        every = (list(self.assets.versions(each["name"], view)) for each in self.assets.latest(view))
        found = [
            service.container(self.workspace, self.kind, self._shown(versions[0]), self._shown(versions[-1]))
            for versions in every
        ]
        return sorted(found, key=lambda each: each["creation_context"]["created_at"])

    def revise(
        self, name: str, wanted: Mapping[str, Any], version: str | None = None, label: str | None = None
    ) -> dict[str, Any]:
        """Make a version read as `wanted`: description, tags and the like. Returns it as `describe` does."""
        kept = self.assets.get(name, version, label)
        told = service.unshown(kept, self._shown(kept), wanted)
        return self._shown(self.assets.revise(name, told, kept["version"]))

    def _shown(self, spec: dict[str, Any]) -> dict[str, Any]:
        return service.versioned(self.workspace, self.kind, spec)

    def _entity(self, spec: dict[str, Any]) -> Any:
        return rest.entity(self.kind, self._shown(spec))


class ShareableOperations(AssetOperations):
    """The operations of what `az ml` can share with a registry."""

    def share(
        self, name: str, version: str, *, share_with_name: str, share_with_version: str, registry_name: str
    ) -> Any:
        """Copy a version into a registry, under a name and a version of its own there. Returns the copy.

        Raises ResourceNotFoundError for what is not there, UserError for a version that the registry has already.
        """
        with not_missing():
            there = type(self)(registries.find(self.workspace, registry_name))
            kept = self.assets.get(name, version)
        taken = [str(each["version"]) for each in there.assets.versions(share_with_name, ALL)]
        title = "data asset" if self.kind == "data" else self.kind
        refuse_taken(title, share_with_name, share_with_version, taken, there.workspace)
        spec = {key: value for key, value in kept.items() if key not in SERVICE}
        spec |= {"name": share_with_name, "version": share_with_version}
        return there._entity(there.assets.create(there._with_files_shared(spec)))

    @abstractmethod
    def _with_files_shared(self, spec: dict[str, Any]) -> dict[str, Any]:
        """A version of a workspace with its files copied into this registry."""
