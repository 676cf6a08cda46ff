"""`client.data`: data assets."""

from pathlib import Path
from typing import Any

from amlocal.assets import mltable, uris
from amlocal.assets.uploads import keep
from amlocal.core.errors import UserError
from amlocal.operations.assets import ShareableOperations
from amlocal.operations.common import told_at_path


class DataOperations(ShareableOperations):
    """`client.data`"""

    kind = "data"
    takes = ("Data",)

    def create_or_update(self, data: Any, **_: Any) -> Any:
        return self._register(data)

    def _with_files_shared(self, spec: dict[str, Any]) -> dict[str, Any]:
        return {**spec, "path": self._path(str(spec["path"]), Path(), spec.get("type", "uri_folder"), None)}

    def _entity(self, spec: dict[str, Any]) -> Any:
        made = super()._entity(spec)
        made._path = spec["path"]  # as it is kept: azure-ai-ml makes a local path of what has no host
        return made

    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]:
        if not item.path:
            raise UserError(f'data "{item.name}": path: required; a file, a folder or an address')
        with told_at_path("data", item):
            known = self._on_record(item).get("path")
            return {**spec, "path": self._path(uris.written(str(item.path), base), base, item.type, known)}

    def _path(self, path: str, base: Path, kind: str, known: Any) -> str:
        """What the asset points at: an address as it is, a local file or folder as the workspace's copy of it."""
        if path.startswith(uris.REMOTE):
            return path
        if self.workspace.flag:  # a registry has what it holds, wherever that came from
            source = uris.resolve(self.workspace.beside, path, base, kind)
            uris.refuse_misfit(source, kind)
            if kind == "mltable":
                mltable.check(source)
            return str(keep(self.workspace, source, known))
        if stored := uris.DatastorePath.parse(path):  # as in Azure, what is to lie there may come later
            stored.place(self.workspace)
            return path
        found = uris.locate(self.workspace, path, base, kind)
        uris.refuse_misfit(found, kind)
        if kind == "mltable" and isinstance(found, Path):
            mltable.check(found)
        if isinstance(found, str) or path.startswith(uris.ELSEWHERE):
            return path
        return str(keep(self.workspace, found, known))
