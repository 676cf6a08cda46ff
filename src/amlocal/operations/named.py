"""`client.data`, `client.environments` and `client.components` with the parameters that MLClient's have."""

from types import FunctionType
from typing import Any

from amlocal.operations.assets import AssetOperations
from amlocal.workspace import Workspace


class DataOperations(AssetOperations):
    """`client.data`"""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace, "data")

    def create_or_update(self, data: Any, **_: Any) -> Any:  # type: ignore[override]
        return super().create_or_update(data)


class EnvironmentOperations(AssetOperations):
    """`client.environments`"""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace, "environment")

    def create_or_update(self, environment: Any, **_: Any) -> Any:  # type: ignore[override]
        return super().create_or_update(environment)


class ComponentOperations(AssetOperations):
    """`client.components`"""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace, "component")

    def create_or_update(  # type: ignore[override]
        self, component: Any, version: str | None = None, *, skip_validation: bool = False, **_: Any
    ) -> Any:
        """component: an entity, or a function made one by `@dsl.pipeline` or mldesigner's `@command_component`."""
        if isinstance(component, FunctionType):
            from azure.ai.ml.operations._component_operations import _refine_component

            component = _refine_component(component)
        if version is not None:
            component.version = version
        return super().create_or_update(component)
