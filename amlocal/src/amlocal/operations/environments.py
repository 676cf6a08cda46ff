"""`client.environments`: environments."""

from pathlib import Path
from typing import Any

from amlocal.assets.uploads import keep
from amlocal.operations.assets import AssetOperations


class EnvironmentOperations(AssetOperations):
    """`client.environments`"""

    kind = "environment"
    takes = ("Environment",)

    def create_or_update(self, environment: Any, **_: Any) -> Any:
        return self._register(environment)

    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]:
        build = spec.get("build")
        if build and build.get("path") and (base / build["path"]).is_dir():
            known = (self._on_record(item).get("build") or {}).get("path")
            return {**spec, "build": {**build, "path": str(keep(self.workspace, base / build["path"], known))}}
        return spec
