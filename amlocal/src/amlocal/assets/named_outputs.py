"""An output of a job that its spec gives a name: it becomes a data asset, or a model."""

from pathlib import Path
from typing import Any

from amlocal.assets import models
from amlocal.assets.store import Assets
from amlocal.core.durable import sync
from amlocal.core.workspace import Workspace


def register_output(
    workspace: Workspace, name: str, version: str | None, kind: str, path: Path | str, job: str, run_id: str | None
) -> dict[str, Any]:
    """Give an output of the job called `job` a name of its own, as its spec asks; returns the asset as `show` does.

    run_id: the job's MLflow run.

    A model type (custom_model, ...) becomes a model, everything else a data asset that stays where the job wrote it.
    Raises UserError when the version is taken.
    """
    sync(Path(path))
    if kind.endswith("_model"):
        model = {"name": name, "version": version, "type": kind}
        return models.create(workspace, model, Path(path), run_id)
    spec: dict[str, Any] = {"name": name, "version": version, "type": kind, "path": str(path)}
    spec["properties"] = {"jobName": job}
    return Assets(workspace, "data").create({key: value for key, value in spec.items() if value is not None})
