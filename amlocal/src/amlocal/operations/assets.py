"""`client.data`, `client.environments` and `client.components`: named things with versions."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

from amlocal.assets import mltable, uris
from amlocal.assets.store import Assets, Kind
from amlocal.assets.uploads import keep
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
        return self._entity(self.assets.create(self._with_files_kept(spec, item, Path(item.base_path or "."))))

    @abstractmethod
    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]: ...

    def get(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> Any:
        with not_missing():
            return self._entity(self.assets.get(name, version, label))

    def list(self, name: str | None = None, *, list_view_type: str = ACTIVE, **_: Any) -> Iterator[Any]:
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
        return _with_id(self.assets.get(name, version, label))

    def describe_all(self, name: str | None = None, list_view_type: str = ACTIVE, **_: Any) -> Sequence[dict[str, Any]]:
        """The latest version of everything, or every version of `name`; the latest first."""
        view = view_of(list_view_type)
        return [_with_id(spec) for spec in (self.assets.versions(name, view) if name else self.assets.latest(view))]

    def revise(
        self, name: str, wanted: Mapping[str, Any], version: str | None = None, label: str | None = None
    ) -> dict[str, Any]:
        """Make a version read as `wanted`: description, tags and the like. Returns it as `describe` does."""
        told = {key: value for key, value in wanted.items() if key != "id"}
        return _with_id(self.assets.revise(name, told, version, label))

    def _entity(self, spec: dict[str, Any]) -> Any:
        made = entity(self.kind, spec)
        if spec.get("properties"):  # which no file may have
            made.properties = dict(spec["properties"])
        return made


class DataOperations(AssetOperations):
    """`client.data`"""

    kind = "data"

    def create_or_update(self, data: Any, **_: Any) -> Any:
        return self._register(data)

    def _entity(self, spec: dict[str, Any]) -> Any:
        made = super()._entity(spec)
        made._id = _with_id(spec)["id"]  # a program may hand it to a job, where its name and version would do
        return made

    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]:
        return {**spec, "path": self._path(str(item.path), base, item.type)}

    def _path(self, path: str, base: Path, kind: str) -> str:
        """What the asset points at: an address as it is, a local file or folder as the workspace's copy of it."""
        if uris.SHORT.fullmatch(path) and not (base / path).exists():
            path = f"azureml:{path}"
        if path.startswith(uris.REMOTE):
            return path
        if match := uris.DATASTORE.fullmatch(path):  # as in Azure, what is to lie there may come later
            uris.datastore(self.workspace, match["store"], path)
            return path
        found = uris.locate(self.workspace, path, base, kind)
        if path.startswith(("azureml:", "runs:")) or isinstance(found, str):
            return path
        if kind == "mltable":
            mltable.check(found)
        return str(keep(self.workspace, found))


class EnvironmentOperations(AssetOperations):
    """`client.environments`"""

    kind = "environment"

    def create_or_update(self, environment: Any, **_: Any) -> Any:
        return self._register(environment)

    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]:
        build = spec.get("build")
        if build and build.get("path") and (base / build["path"]).is_dir():
            return {**spec, "build": {**build, "path": str(keep(self.workspace, base / build["path"]))}}
        return spec


class ComponentOperations(AssetOperations):
    """`client.components`"""

    kind = "component"

    def create_or_update(
        self, component: Any, version: str | None = None, *, skip_validation: bool = False, **_: Any
    ) -> Any:
        """component: an entity, or a function made one by `@dsl.pipeline` or mldesigner's `@command_component`."""
        if isinstance(component, FunctionType):
            from azure.ai.ml.operations._component_operations import _refine_component

            component = _refine_component(component)
        if version is not None:
            component.version = version
        return self._register(component)

    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]:
        kept: dict[str, Any] = self._with_code_kept(self._with_includes(spec, item), base)
        return kept

    def _with_includes(self, spec: dict[str, Any], component: Any) -> dict[str, Any]:
        """The component, and those of the steps inside it, with `additional_includes` merged into a kept `code`."""
        from amlocal.assets.snapshots import snapshot

        includes = getattr(component, "additional_includes", None)
        if includes:
            code = snapshot(self.workspace, component.code, includes, Path(component.base_path))
            spec = {key: value for key, value in spec.items() if key != "additional_includes"} | {"code": str(code)}
        jobs = dict(spec.get("jobs") or {})
        for name, node in jobs.items():
            inner = getattr((getattr(component, "jobs", None) or {}).get(name), "component", None)
            if isinstance(node.get("component"), Mapping) and inner is not None:
                jobs[name] = {**node, "component": self._with_includes(node["component"], inner)}
        return {**spec, "jobs": jobs} if jobs else spec

    def _with_code_kept(self, spec: Any, base: Path) -> Any:
        """The component with every code folder, those of the steps inside it too, replaced by a kept copy."""
        from amlocal.assets.snapshots import snapshot

        if isinstance(spec, Mapping):
            kept = {key: self._with_code_kept(value, base) for key, value in spec.items()}
            code = kept.get("code")
            if isinstance(code, (str, os.PathLike)) and not str(code).startswith(("azureml:", "git+", "http")):
                folder = (base / str(code)).resolve()
                if not folder.is_relative_to(self.workspace.root.resolve()):
                    kept["code"] = str(snapshot(self.workspace, folder))
            return kept
        if isinstance(spec, list):
            return [self._with_code_kept(value, base) for value in spec]
        return spec


def _with_id(spec: dict[str, Any]) -> dict[str, Any]:
    return {**spec, "id": f"azureml:{spec['name']}:{spec['version']}"}
