"""`client.environments`: environments."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amlocal.assets.uploads import keep
from amlocal.core.errors import NotFound
from amlocal.core.names import CURATED_PREFIX
from amlocal.operations.assets import ShareableOperations
from amlocal.operations.common import Operations, entity, not_missing


class EnvironmentOperations(ShareableOperations):
    """`client.environments`"""

    kind = "environment"
    takes = ("Environment",)

    def create_or_update(self, environment: Any, **_: Any) -> Any:
        return self._register(environment)

    def get(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> Any:
        with not_missing():
            return self._entity(self.describe(name, version, label))

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        """As Azure's workspace: its own, and the curated ones whose names begin with AzureML-. Raises NotFound."""
        try:
            return super().describe(name, version, label)
        except NotFound as error:
            from amlocal.environments import curated  # for start-up time

            if self.workspace.flag:
                raise
            if name.lower().startswith(CURATED_PREFIX):
                return curated.describe(name, version, label)
            raise NotFound(f"{error}{curated.hint(name)}") from error

    def _with_files_shared(self, spec: dict[str, Any]) -> dict[str, Any]:
        build = spec.get("build")
        if not build or not build.get("path") or not Path(build["path"]).is_dir():
            return spec
        return {**spec, "build": {**build, "path": str(keep(self.workspace, Path(build["path"])))}}

    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]:
        build = spec.get("build")
        if build and build.get("path") and (base / build["path"]).is_dir():
            known = (self._on_record(item).get("build") or {}).get("path")
            return {**spec, "build": {**build, "path": str(keep(self.workspace, base / build["path"], known))}}
        return spec


class CuratedEnvironmentOperations(Operations):
    """`client.environments` of a client for the registry azureml, which has Azure's curated environments."""

    def get(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> Any:
        with not_missing():
            return entity("environment", self.describe(name, version, label))

    def list(self, name: str | None = None, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all(name):
            yield entity("environment", spec)

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        from amlocal.environments import curated

        return curated.describe(name, version, label)

    def describe_all(self, name: str | None = None, **_: Any) -> Sequence[dict[str, Any]]:
        from amlocal.environments import curated

        return curated.describe_all(name)
