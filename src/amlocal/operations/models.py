"""`client.models`: MLflow's registry, as azure-ai-ml sees models."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amlocal import uris
from amlocal.errors import NotFound, UserError
from amlocal.jobs.record import JobStore
from amlocal.operations.common import ACTIVE, ARCHIVED, missing
from amlocal.workspace import Workspace, copy_into, disk_errors


class ModelOperations:
    """`client.models`: MLflow's registry"""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def create_or_update(self, model: Any, **_: Any) -> Any:
        from amlocal import models

        run_id = None
        match = uris.JOB_OUTPUT.fullmatch(str(model.path))
        if match:
            run_id = JobStore(self.workspace).read(match["job"]).run_id
        source = uris.resolve(self.workspace, str(model.path), Path(model.base_path or "."), model.type)
        spec = {
            "name": model.name,
            "version": model.version,
            "type": model.type,
            "tags": model.tags,
            "description": model.description,
        }
        if not model.name:
            raise UserError("model: name is required; give it in the file or with --name")
        return self._entity(models.create(self.workspace, spec, source, run_id))

    def get(self, name: str, version: str | None = None, label: str | None = None) -> Any:
        try:
            return self._entity(self.describe(name, version, label))
        except NotFound as error:
            raise missing(error) from error

    def list(self, name: str | None = None, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all(name):
            yield self._entity(spec)

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        from amlocal import models

        return models.describe(self.workspace, models.get(self.workspace, name, version, label))

    def describe_all(self, name: str | None = None, list_view_type: str = ACTIVE, **_: Any) -> Sequence[dict[str, Any]]:
        """The latest version of every model, or every version of `name`, the highest first."""
        from amlocal import models

        if list_view_type == ARCHIVED:
            return []
        if name:
            found = models.versions(self.workspace, name)
        else:
            every = (models.versions(self.workspace, each) for each in models.names(self.workspace))
            found = [versions[0] for versions in every if versions]
        return [models.describe(self.workspace, item) for item in found]

    def download(
        self, name: str, version: str | None = None, download_path: Path | str = ".", label: str | None = None
    ) -> None:
        """Copy a model to `download_path/<name>/`."""
        from amlocal import models

        try:
            source = models.local_path(self.workspace, name, version, label)
        except NotFound as error:
            raise missing(error) from error
        place = Path(download_path) / name
        with disk_errors(place):
            copy_into(source, place)

    def _entity(self, spec: dict[str, Any]) -> Any:
        from azure.ai.ml.entities import Model

        model = Model(
            name=spec["name"],
            version=spec["version"],
            path=spec["path"],
            type=spec["type"],
            description=spec["description"],
            tags=spec["tags"],
        )
        model._id = spec["id"]
        return model
