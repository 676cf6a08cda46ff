"""`client.registries`: those of this folder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from amlocal.core import registries
from amlocal.core.errors import Absent, NotFound, UserError
from amlocal.core.files import disk_errors, read_json, write_json
from amlocal.core.names import CURATED_REGISTRY, checked_name, creation_context, refuse_changes, texts
from amlocal.core.registries import RECORD, AssetRegistry
from amlocal.core.workspace import PROVIDERS, REGISTRIES, Workspace
from amlocal.operations import rest
from amlocal.operations.common import Operations, Poller, not_missing

MUTABLE = ("description", "display_name", "public_network_access", "tags")


class RegistryOperations(Operations):
    """`client.registries`"""

    takes = ("Registry",)

    def __init__(self, workspace: Workspace, default: str | None = None) -> None:
        self.workspace = workspace
        self.default = default

    def describe(self, name: str | None = None) -> dict[str, Any]:
        """One registry, without a name this client's. Raises NotFound."""
        return _described(self._find(name))

    def describe_all(self, **_: Any) -> Sequence[dict[str, Any]]:
        return [_described(each) for each in registries.every(self.workspace)]

    def get(self, name: str | None = None) -> Any:
        with not_missing():
            return _entity(self._find(name))

    def list(self, *, scope: str = "resource_group") -> Iterator[Any]:
        for each in registries.every(self.workspace):
            yield _entity(each)

    def begin_create(self, registry: Any, **_: Any) -> Poller:
        """Make a registry, or change the one of this name."""
        told = {key: getattr(registry, key, None) for key in (*MUTABLE, "location")}
        name = checked_name("registry", registry.name)
        if name.lower() == CURATED_REGISTRY:
            raise UserError(f'registry "{name}": the name is taken by Azure\'s own; give another')
        try:
            made = registries.find(self.workspace, name)
        except Absent:
            home = Workspace(self.workspace.home)
            home.create()
            made = AssetRegistry(home.root / REGISTRIES / name, self.workspace.beside)
            made.create()
        regions = [each.location for each in registry.replication_locations or []]
        _keep(made, {**told, "replication_locations": regions or None})
        return Poller(_entity(made))

    def revise(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make the registry read as `wanted`: description, display name, tags, access."""
        found = self._find(name)
        _keep(found, refuse_changes(f'registry "{name}"', _described(found), wanted, MUTABLE))
        return _described(found)

    def begin_delete(self, *, name: str, **_: Any) -> Poller:
        """Remove a registry with everything in it."""
        import shutil

        found = self._find(name)
        with disk_errors(found.root):
            shutil.rmtree(found.root)
        return Poller(None)

    def _find(self, name: str | None) -> AssetRegistry:
        wanted = name or self.default
        if not wanted:
            raise UserError("Please provide a registry name or use a MLClient with a registry name set.")
        if wanted.lower() == CURATED_REGISTRY:
            raise NotFound(f'registry "{wanted}" is Azure\'s own: only its environments are known here')
        return registries.find(self.workspace, wanted)


def _described(registry: AssetRegistry) -> dict[str, Any]:
    kept = read_json(registry.root / RECORD)
    location = kept.get("location") or "local"
    return {
        "creation_context": kept["creation_context"],
        "description": kept.get("description") or "",
        "display_name": kept.get("display_name") or registry.name,
        "id": f"{PROVIDERS}/Microsoft.MachineLearningServices/registries/{registry.name}",
        "location": location,
        "mlflow_registry_uri": registry.tracking_uri,
        "name": registry.name,
        "path": str(registry.root),
        "public_network_access": kept.get("public_network_access") or "Enabled",
        "replication_locations": [{"location": each} for each in kept.get("replication_locations") or [location]],
        "resource_group": "local",
        "tags": kept.get("tags") or {},
    }


def _entity(registry: AssetRegistry) -> Any:
    return rest.entity("registry", _described(registry))


def _keep(registry: AssetRegistry, changed: Mapping[str, Any]) -> None:
    """Write down what has changed, beside what there is."""
    path = registry.root / RECORD
    with registry.lock("registry"):
        kept = dict(read_json(path)) if path.exists() else {"creation_context": creation_context()}
        kept |= {key: value for key, value in changed.items() if value is not None}
        kept["tags"] = texts(kept.get("tags"))
        write_json(path, kept)
