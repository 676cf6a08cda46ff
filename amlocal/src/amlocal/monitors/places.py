"""Where the data of a signal lies: what a path in a monitor means, and where a deployment's collected data is."""

import copy
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.core.errors import NotFound, UserError
from amlocal.core.workspace import Workspace
from amlocal.endpoints.store import EndpointStore
from amlocal.specs.monitor import Source


def kept(schedule: Any) -> dict[str, Any]:
    """The `create_monitor` of azure-ai-ml's MonitorSchedule as plain data, its relative paths made whole.

    azure-ai-ml's own dictionary makes `azureml:./folder` of them. Raises UserError for one that leads nowhere: Azure's
    client would upload it.
    """
    told: dict[str, Any] = copy.deepcopy(schedule._to_dict()["create_monitor"])
    base = Path(getattr(schedule, "_base_path", None) or ".").absolute()
    for name, signal in (told.get("monitoring_signals") or {}).items():
        for side in ("production_data", "reference_data"):
            data = signal.get(side)
            if not isinstance(data, dict) or not (data.get("input_data") or {}).get("path"):
                continue
            raw = getattr(schedule.create_monitor.monitoring_signals[name], side).input_data.path
            where = f'schedule "{schedule.name}": create_monitor.monitoring_signals.{name}.{side}.input_data.path'
            data["input_data"]["path"] = _whole(where, str(raw), base)
    return told


def _whole(where: str, path: str, base: Path) -> str:
    try:
        uris.DatastorePath.parse(path)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if "://" in path or path.startswith("azureml:/subscriptions/"):
        return path
    plain = path.removeprefix("azureml:")
    if uris.SHORT.fullmatch(plain):
        return f"azureml:{plain}"
    place = base / plain
    if not place.exists():
        raise UserError(f"{where}: {plain}: no such file or folder; a data asset is azureml:NAME:VERSION")
    return str(place.resolve())


def find(workspace: Workspace, source: Source, deployment: tuple[str, str] | None) -> Path:
    """The file or folder that is meant. Raises UserError, or NotFound, when it is not there."""
    if source.path:
        return uris.resolve(workspace, source.path, workspace.root.parent, source.type)
    assert deployment, "the definition has been checked"
    folder = _collection(workspace, *deployment, source.context)
    if not folder.is_dir():
        raise NotFound(
            f"{folder}: endpoint {deployment[0]}, deployment {deployment[1]} has collected no {source.context} yet; "
            "send it requests, with data_collector enabled"
        )
    return folder


def _collection(workspace: Workspace, endpoint: str, deployment: str, name: str) -> Path:
    """Where a deployment collects, as it is now; one that is gone has left its data in the usual place."""
    try:
        found = EndpointStore(workspace).get(endpoint).deployments.get(deployment)
    except NotFound:
        found = None
    if found and found.plans:
        collections = found.plans[-1].collections
        if name not in collections:
            raise UserError(
                f"endpoint {endpoint}, deployment {deployment} does not collect {name}; enable "
                f"data_collector.collections.{name} in its file"
            )
        return Path(collections[name].folder)
    return workspace.datastore() / "modelDataCollector" / endpoint / deployment / name
