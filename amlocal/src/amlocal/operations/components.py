"""`client.components`: components, each with its code."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from amlocal.assets import uris
from amlocal.assets.snapshots import snapshot
from amlocal.core.errors import Problems, UserError
from amlocal.core.names import CURATED_PREFIX
from amlocal.operations import service
from amlocal.operations.assets import AssetOperations
from amlocal.operations.common import created, entity


def _check_names(component: Any) -> None:
    """Raise Problems, in azure-ai-ml's words, for names that are none or that differ only in case."""
    from amlocal.specs.load import at

    source = Path(getattr(component, "_source_path", None) or "")
    faults = []
    for part in ("inputs", "outputs"):
        wrong = component._validate_io_names(getattr(component, part, None) or {}).error_messages
        for path, said in wrong.items():
            field = f"{part}.{path.partition('.')[2]}"
            where = at(source, field) if source.is_file() else f'component "{component.name}": {field}'
            faults.append(f"{where}: {said}")
    if faults:
        raise Problems(faults)


class ComponentOperations(AssetOperations):
    """`client.components`"""

    kind = "component"
    takes = ("Component",)

    def create_or_update(
        self, component: Any, version: str | None = None, *, skip_validation: bool = False, **_: Any
    ) -> Any:
        """component: an entity, or a function made one by `@dsl.pipeline` or mldesigner's `@command_component`.

        Raises Problems for names of inputs and outputs that Azure does not take, unless `skip_validation`.
        """
        if isinstance(component, FunctionType):
            from azure.ai.ml.operations._component_operations import _refine_component

            component = _refine_component(component)
        if version is not None:
            component.version = version
        if not skip_validation:
            _check_names(component)
        return self._register(component)

    def _entity(self, spec: dict[str, Any]) -> Any:
        shown = self._shown(spec)
        if not shown.get("jobs"):
            return super()._entity(spec)
        made = entity("component", shown)  # whose steps are written inline
        made._id, made._creation_context = service.bare_id(shown), created(shown["creation_context"])
        return made

    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]:
        kept: dict[str, Any] = self._with_code_kept(self._with_includes(spec, item), base)
        return self._with_full_names(kept) if self.workspace.flag else kept

    def _with_full_names(self, spec: Any) -> Any:
        """What a component of a registry names is found from every workspace: components of the same registry.

        Raises UserError, in azure-ai-ml's words, for an environment that is not named in full.
        """
        if isinstance(spec, Mapping):
            return {key: self._full(key, value) for key, value in spec.items()}
        return [self._with_full_names(value) for value in spec] if isinstance(spec, list) else spec

    def _full(self, key: str, value: Any) -> Any:
        if key not in ("environment", "component", "trial") or not isinstance(value, str):
            return self._with_full_names(value)
        named = uris.named(f"azureml:{value.removeprefix('azureml:')}")
        if named is None or named.registry:
            return value
        if key == "environment":
            if named.name.lower().startswith(CURATED_PREFIX):
                return value
            raise UserError(
                f"environment: {value}: Use fully qualified name to reference custom environments when creating assets"
                f" in registry: azureml://registries/{self.workspace.name}/environments/{named.name}/versions/VERSION"
            )
        found = self.assets.get(named.name, named.version, named.label)
        return self.workspace.asset_id("components", found["name"], "versions", found["version"])

    def _with_includes(self, spec: dict[str, Any], component: Any) -> dict[str, Any]:
        """The component, and those of the steps inside it, with `additional_includes` merged into a kept `code`."""
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
