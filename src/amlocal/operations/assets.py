"""`client.data`, `client.environments` and `client.components`: named things with versions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amlocal import uris
from amlocal.assets import Assets, Kind
from amlocal.errors import NotFound, UserError
from amlocal.operations.common import ACTIVE, ARCHIVED, entity, missing
from amlocal.workspace import Workspace


class AssetOperations:
    """`client.data`, `client.environments` and `client.components`"""

    def __init__(self, workspace: Workspace, kind: Kind) -> None:
        self.workspace, self.kind = workspace, kind
        self.assets = Assets(workspace, kind)

    def create_or_update(self, item: Any, **_: Any) -> Any:
        spec = item._to_dict()
        spec.pop("$schema", None)
        if self.kind == "data":
            spec["path"] = str(uris.resolve(self.workspace, str(item.path), Path(item.base_path or "."), item.type))
        elif self.kind == "component":
            if not hasattr(item, "command"):
                raise UserError(f'component "{item.name}": type {item.type} is not run here yet; command is')
            if spec.get("code"):
                from amlocal.jobs.snapshot import snapshot

                spec["code"] = str(snapshot(self.workspace, Path(spec["code"])))
        return entity(self.kind, self.assets.create(spec))

    def get(self, name: str, version: str | None = None, label: str | None = None) -> Any:
        try:
            return entity(self.kind, self.assets.get(name, version, label))
        except NotFound as error:
            raise missing(error) from error

    def list(self, name: str | None = None, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all(name=name):
            yield entity(self.kind, spec)

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        return self.assets.get(name, version, label)

    def describe_all(self, name: str | None = None, list_view_type: str = ACTIVE, **_: Any) -> Sequence[dict[str, Any]]:
        """The latest version of everything, or every version of `name`; the latest first."""
        if list_view_type == ARCHIVED:
            return []
        return list(self.assets.versions(name) if name else self.assets.latest())
