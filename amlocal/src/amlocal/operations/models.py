"""`client.models`: MLflow's registry, as azure-ai-ml sees models."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from amlocal.assets import uris
from amlocal.core import registries
from amlocal.core.errors import UserError
from amlocal.core.files import copy_into, disk_errors
from amlocal.core.names import ACTIVE, view_of
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import JobStore
from amlocal.operations import rest, service
from amlocal.operations.common import Operations, not_missing, refuse_taken, told_at_path


class ModelOperations(Operations):
    """`client.models`: MLflow's registry"""

    takes = ("Model",)

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def create_or_update(self, model: Any, **_: Any) -> Any:
        """Register a version; its content is copied. One got before and changed is brought up to date."""
        from amlocal.assets import models

        if not model.name:
            raise UserError("model: name is required; give it in the file or with --name")
        spec = {
            "name": model.name,
            "version": model.version,
            "type": model.type,
            "tags": model.tags,
            "description": model.description,
            "stage": getattr(model, "stage", None),
            "properties": dict(model.properties or {}),
            "flavors": model.flavors,
        }
        if model.id and uris.is_of(model.id, self.workspace, model.name, str(model.version)):
            now = self.describe(model.name, model.version)
            changed = {key: spec[key] for key in models.MUTABLE if spec[key] is not None}
            return self._entity(self.revise(model.name, {**now, **changed}, model.version))
        if not model.path:
            raise UserError(f"model \"{model.name}\": path: required; a file, a folder, a job's output or a run's")
        base = Path(model.base_path or ".")
        path = uris.written(str(model.path), base)
        with told_at_path("model", model):
            source = uris.resolve(self.workspace.beside, path, base, model.type)
        run_id, called = self._origin(path)
        return self._entity(models.create(self.workspace, spec, source, run_id, called))

    def get(self, name: str, version: str | None = None, label: str | None = None) -> Any:
        with not_missing():
            return self._entity(self.describe(name, version, label))

    def list(
        self, name: str | None = None, stage: str | None = None, *, list_view_type: Any = ACTIVE, **_: Any
    ) -> Iterator[Any]:
        with not_missing():
            found = self.describe_all(name, list_view_type)
        for spec in found:
            if not name:
                yield service.container_entity("model", spec)
            elif stage is None or spec["stage"] == stage:
                yield self._entity(spec)

    def archive(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> None:
        """Hide a version, or without one everything of that name, from `list`."""
        from amlocal.assets import models

        with not_missing():
            models.archive(self.workspace, name, version, label)

    def restore(self, name: str, version: str | None = None, label: str | None = None, **_: Any) -> None:
        from amlocal.assets import models

        with not_missing():
            models.archive(self.workspace, name, version, label, archived=False)

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        from amlocal.assets import models

        return models.describe(self.workspace, models.get(self.workspace, name, version, label))

    def describe_all(self, name: str | None = None, list_view_type: Any = ACTIVE, **_: Any) -> Sequence[dict[str, Any]]:
        """Every model with its latest version, the oldest first; or every version of `name`, the latest first.

        Raises NotFound for a name that no model has, as Azure does.
        """
        from amlocal.assets import models

        view = view_of(list_view_type)
        if name:
            if not models.every(self.workspace, name):
                models.get(self.workspace, name)  # raises
            return [models.describe(self.workspace, item) for item in models.versions(self.workspace, name, view)]
        every = (models.versions(self.workspace, each, view) for each in models.names(self.workspace))
        ends = [(versions[0], versions[-1]) for versions in every if versions]
        described = [[models.describe(self.workspace, item) for item in each] for each in ends]
        found = [service.container(self.workspace, "model", latest, first) for latest, first in described]
        return sorted(found, key=lambda each: each["creation_context"]["created_at"])

    def revise(
        self, name: str, wanted: Mapping[str, Any], version: str | None = None, label: str | None = None
    ) -> dict[str, Any]:
        """Make a version read as `wanted`: description, tags, stage and the like. Returns it as `describe` does."""
        from amlocal.assets import models

        return models.revise(self.workspace, name, wanted, version, label)

    def download(
        self, name: str, version: str | None = None, download_path: Path | str = ".", label: str | None = None
    ) -> None:
        """Copy a model to `download_path/<name>/`; one that is a folder keeps its name below that."""
        from amlocal.assets import models

        with not_missing():
            source = models.local_path(self.workspace, name, version, label)
        place = Path(download_path) / name / (source.name if source.is_dir() else "")
        with disk_errors(place):
            copy_into(source, place)

    def share(
        self, name: str, version: str, *, share_with_name: str, share_with_version: str, registry_name: str
    ) -> Any:
        """Copy a version into a registry, under a name and a version of its own there. Returns the copy.

        Raises ResourceNotFoundError for what is not there, UserError for a version that the registry has already.
        """
        from amlocal.assets import models

        with not_missing():
            there = registries.find(self.workspace, registry_name)
            told = self.describe(name, version)
            source = models.local_path(self.workspace, name, version, None)
        refuse_taken("model", share_with_name, share_with_version, models.taken(there, share_with_name), there)
        spec = {**told, "name": share_with_name or name, "version": share_with_version or version}
        return ModelOperations(there)._entity(models.create(there, spec, source, None))

    def _origin(self, path: str) -> tuple[str | None, str | None]:
        """(the run that a model comes from, what its folder is called there), as far as its path says so."""
        if match := uris.JOB_OUTPUT.fullmatch(path):
            owner = registries.named(self.workspace, match["workspace"])
            run_id = JobStore(owner).read(match["job"]).run_id if owner.root == self.workspace.root else None
            return run_id, PurePosixPath(match["path"] or match["output"]).name
        if match := uris.RUN.fullmatch(path):
            run_id = None if self.workspace.flag else uris.run_id(self.workspace, match["run"])
            return run_id, PurePosixPath(match["path"] or "").name or None
        return None, None

    def _entity(self, spec: dict[str, Any]) -> Any:
        model = rest.entity("model", spec)
        model._path = spec["path"]  # azure-ai-ml makes a local path of what has no host
        return model
