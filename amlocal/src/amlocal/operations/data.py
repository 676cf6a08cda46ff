"""`client.data`: data assets."""

from pathlib import Path
from typing import Any

from amlocal.assets import mltable, uris
from amlocal.assets.uploads import keep
from amlocal.operations.assets import AssetOperations, with_id
from amlocal.operations.common import told_at_path


class DataOperations(AssetOperations):
    """`client.data`"""

    kind = "data"

    def create_or_update(self, data: Any, **_: Any) -> Any:
        return self._register(data)

    def _entity(self, spec: dict[str, Any]) -> Any:
        made = super()._entity(spec)
        made._id = with_id(spec)["id"]  # a program may hand it to a job, where its name and version would do
        return made

    def _with_files_kept(self, spec: dict[str, Any], item: Any, base: Path) -> dict[str, Any]:
        with told_at_path("data", item):
            return {**spec, "path": self._path(str(item.path), base, item.type, self._on_record(item).get("path"))}

    def _path(self, path: str, base: Path, kind: str, known: Any) -> str:
        """What the asset points at: an address as it is, a local file or folder as the workspace's copy of it."""
        if uris.SHORT.fullmatch(path) and not (base / path).exists():
            path = f"azureml:{path}"
        if path.startswith(uris.REMOTE):
            return path
        if stored := uris.DatastorePath.parse(path):  # as in Azure, what is to lie there may come later
            stored.place(self.workspace)
            return path
        found = uris.locate(self.workspace, path, base, kind)
        if path.startswith(("azureml:", "runs:")) or isinstance(found, str):
            return path
        if kind == "mltable":
            mltable.check(found)
        return str(keep(self.workspace, found, known))
