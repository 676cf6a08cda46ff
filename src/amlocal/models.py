"""The model registry: MLflow's, with the names and the versions that `az ml model` shows."""

import shutil
from pathlib import Path
from typing import Any

from amlocal.assets import now, version_key
from amlocal.errors import NotFound, UserError
from amlocal.jobs.tracking import client
from amlocal.workspace import Workspace, copy_into, disk_errors


def create(workspace: Workspace, spec: dict[str, Any], source: Path, run_id: str | None) -> dict[str, Any]:
    """Register the file or folder `source` as the next version of `spec["name"]`; its content is copied.

    Raises UserError: MLflow's registry numbers versions itself, so another number than the next is refused.
    """
    from mlflow.exceptions import MlflowException

    registry = client(workspace)
    name = spec["name"]
    with workspace.lock("models"):
        taken = [int(version.version) for version in registry.search_model_versions(f"name = '{_quoted(name)}'")]
        following = max(taken, default=0) + 1
        wanted = spec.get("version")
        if wanted is not None and str(wanted) != str(following):
            state = "exists" if str(wanted) in map(str, taken) else "is not the next"
            raise UserError(f'model "{name}": version {wanted} {state}; leave it out, and it becomes {following}')
        kept = workspace.root / "models" / name / str(following)
        with disk_errors(kept):
            shutil.rmtree(kept, ignore_errors=True)
            copy_into(source, kept)
        tags = {key: str(value) for key, value in (spec.get("tags") or {}).items()}
        tags["azureml.type"] = spec.get("type") or "custom_model"
        if not source.is_dir():
            tags["azureml.file"] = source.name
        try:
            registry.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise UserError(f'model "{name}": {error.message}') from error
        made = registry.create_model_version(
            name, kept.as_uri(), run_id=run_id, tags=tags, description=spec.get("description")
        )
    return describe(workspace, made)


def describe(workspace: Workspace, version: Any) -> dict[str, Any]:
    """A model version of MLflow's as `az ml model show` prints it."""
    tags = dict(version.tags or {})
    kind = tags.pop("azureml.type", "mlflow_model")
    tags.pop("azureml.file", None)
    return {
        "creation_context": {"created_at": _time(version.creation_timestamp), "created_by_type": "User"},
        "description": version.description or None,
        "flavors": {},
        "id": f"azureml:{version.name}:{version.version}",
        "job_name": _job_name(workspace, version.run_id),
        "name": version.name,
        "path": version.source,
        "properties": {},
        "stage": "Development",
        "tags": tags,
        "type": kind,
        "version": str(version.version),
    }


def get(workspace: Workspace, name: str, version: str | None = None, label: str | None = None) -> Any:
    """MLflow's model version; with neither version nor label the latest. Raises NotFound."""
    found = versions(workspace, name)
    if not found:
        raise NotFound(f'model "{name}" is not registered in this workspace; see `aml model list`')
    if version is None:
        if label not in (None, "latest"):
            raise NotFound(f'model "{name}": label "{label}" is not known; only "latest" is')
        return found[0]
    for item in found:
        if str(item.version) == str(version):
            return item
    there = ", ".join(str(item.version) for item in found)
    raise NotFound(f'model "{name}" has no version {version}; there is {there}')


def versions(workspace: Workspace, name: str) -> list[Any]:
    """All versions of one name, the highest first."""
    found = client(workspace).search_model_versions(f"name = '{_quoted(name)}'")
    return sorted(found, key=lambda item: version_key(str(item.version)), reverse=True)


def names(workspace: Workspace) -> list[str]:
    return sorted(model.name for model in client(workspace).search_registered_models())


def local_path(workspace: Workspace, name: str, version: str | None, label: str | None) -> Path:
    """Where the content of a registered model lies: its folder, or its file if it was registered as one."""
    item = get(workspace, name, version, label)
    folder = download(workspace, item.source)
    file = dict(item.tags or {}).get("azureml.file")
    return folder / file if file else folder


def download(workspace: Workspace, uri: str) -> Path:
    """The local folder or file behind an artifact URI of MLflow's; nothing is copied when it is on this disk."""
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(workspace.tracking_uri)
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (MlflowException, OSError) as error:
        raise NotFound(f"{uri}: not to be had from MLflow at {workspace.shown_uri}: {error}") from error


def _job_name(workspace: Workspace, run_id: str | None) -> str | None:
    if not run_id:
        return None
    from mlflow.exceptions import MlflowException

    try:
        return client(workspace).get_run(run_id).data.tags.get("azureml.jobName", run_id)
    except MlflowException:
        return run_id


def _time(milliseconds: int | None) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat() if milliseconds else now()


def _quoted(name: str) -> str:
    if "'" in name:
        raise UserError(f'model "{name}": a name cannot hold an apostrophe')
    return name
