"""Recordings of the real service: their exchanges, and what `az ml ... show` would print of a body."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COLLECTIONS = {  # as in an address: (what azure-ai-ml calls the body, the kind)
    "jobs": ("JobBase", "job"),
    "components/versions": ("ComponentVersion", "component"),
    "data/versions": ("DataVersionBase", "data"),
    "models/versions": ("ModelVersion", "model"),
    "environments/versions": ("EnvironmentVersion", "environment"),
    "datastores": ("Datastore", "datastore"),
    "computes": ("ComputeResource", "compute"),
    "onlineEndpoints": ("OnlineEndpoint", "online endpoint"),
    "onlineEndpoints/deployments": ("OnlineDeployment", "online deployment"),
    "batchEndpoints": ("BatchEndpoint", "batch endpoint"),
    "batchEndpoints/deployments": ("BatchDeployment", "batch deployment"),
    "schedules": ("Schedule", "schedule"),
    "": ("Workspace", "workspace"),
}
PLACE = re.compile(
    r".*/providers/Microsoft\.MachineLearningServices/workspaces/(?P<workspace>[^/]+)/?(?P<rest>.*)", re.I
)


@dataclass(frozen=True)
class Place:
    """What an address names: `names` along `collection`, the last one missing for a list."""

    path: str
    collection: str
    names: tuple[str, ...]
    is_list: bool

    @classmethod
    def of(cls, path: str) -> "Place | None":
        """None for an address outside of a workspace."""
        match = PLACE.fullmatch(path)
        if not match:
            return None
        parts = [part for part in match["rest"].split("/") if part]
        names = (match["workspace"], *parts[1::2])
        return cls(path, "/".join(parts[0::2]), names, len(parts) % 2 == 1)

    @property
    def name(self) -> str:
        return self.names[-1]


@dataclass(frozen=True)
class Exchange:
    """One request and its recorded answer."""

    method: str
    uri: str
    sent: Any
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.uri).path)

    @property
    def place(self) -> Place | None:
        return Place.of(self.path)

    @property
    def is_arm(self) -> bool:
        return "/subscriptions/" in self.path and ".blob." not in self.uri


@dataclass(frozen=True)
class Recording:
    name: str
    told: str  # with which SDK, and when
    exchanges: tuple[Exchange, ...]

    @property
    def api_versions(self) -> set[str]:
        return set(re.findall(r"api-version=([\w-]+)", " ".join(one.uri for one in self.exchanges)))


def read(folder: Path) -> Iterator[Recording]:
    """Every recording below a folder, Azure's own form of the test proxy's or a trimmed one."""
    for path in sorted(folder.rglob("*.json")):
        told = json.loads(path.read_text("utf-8"))
        if not isinstance(told, dict) or "Entries" not in told:
            continue
        exchanges = tuple(
            Exchange(
                one["RequestMethod"],
                one["RequestUri"],
                _json(one.get("RequestBody")),
                one["StatusCode"],
                {name.lower(): value for name, value in (one.get("ResponseHeaders") or {}).items()},
                _json(one.get("ResponseBody")),
            )
            for one in told["Entries"]
        )
        yield Recording(path.relative_to(folder).as_posix(), str(told.get("RecordedWith") or ""), exchanges)


def _json(body: Any) -> Any:
    if isinstance(body, str) and body[:1] in "{[":
        try:
            return json.loads(body)
        except ValueError:
            return body
    return body


def kind_of(place: Place | None, body: Any) -> str | None:
    """Which kind of resource a body is (jobs and computes by their type); None for no resource that `az ml` shows."""
    if place is None or place.is_list or place.collection not in COLLECTIONS or not isinstance(body, dict):
        return None
    kind = COLLECTIONS[place.collection][1]
    if kind == "job":
        return f"{str((body.get('properties') or {}).get('jobType', '')).lower()} job"
    return kind


def entity(collection: str, body: dict[str, Any]) -> Any:
    """azure-ai-ml's entity of a body, by its own deserialiser."""
    from azure.ai.ml import entities
    from azure.ai.ml._restclient.arm_ml_service import models

    rest = getattr(models, COLLECTIONS[collection][0])._deserialize(body, [])
    classes = {
        "jobs": "Job",
        "components/versions": "Component",
        "data/versions": "Data",
        "models/versions": "Model",
        "environments/versions": "Environment",
        "datastores": "Datastore",
        "computes": "Compute",
        "onlineEndpoints": "OnlineEndpoint",
        "onlineEndpoints/deployments": "OnlineDeployment",
        "batchEndpoints": "BatchEndpoint",
        "batchEndpoints/deployments": "BatchDeployment",
        "schedules": "Schedule",
        "": "Workspace",
    }
    return getattr(entities, classes[collection])._from_rest_object(rest)


def printed(collection: str, body: dict[str, Any]) -> dict[str, Any]:
    """What `az ml ... show` prints of a body: azure-ai-ml's dictionary of its entity."""
    from amlocal.cli.printing import plain

    told = plain(entity(collection, body))
    return dict(without_nothing(told))


def container(collection: str, body: dict[str, Any]) -> dict[str, Any]:
    """What `az ml ... list` prints of a name with its versions. collection: `models`, `data`, ..."""
    from azure.ai.ml import entities
    from azure.ai.ml._restclient.arm_ml_service import models

    from amlocal.cli.printing import plain

    noun = {"components": "Component", "data": "Data", "environments": "Environment", "models": "Model"}[collection]
    rest = getattr(models, f"{noun}Container")._deserialize(body, [])
    return dict(without_nothing(plain(getattr(entities, noun)._from_container_rest_object(rest))))


def without_nothing(value: Any) -> Any:
    """A dictionary without its nulls, at every depth."""
    if isinstance(value, dict):
        return {key: without_nothing(inner) for key, inner in value.items() if inner is not None}
    return [without_nothing(inner) for inner in value] if isinstance(value, list) else value


def resources(recording: Recording) -> Iterator[tuple[Exchange, dict[str, Any]]]:
    """The last answer about each resource, with the request that made it (without one: the answer itself)."""
    sent: dict[str, Any] = {}
    last: dict[str, Exchange] = {}
    for one in recording.exchanges:
        place = one.place
        if place is None or place.is_list or place.collection not in COLLECTIONS:
            continue
        key = place.path.lower()
        if one.method == "PUT" and isinstance(one.sent, dict) and one.status < 300:
            sent[key] = one.sent if key not in sent else _merged(sent[key], one.sent)
        if one.status < 300 and one.method in ("GET", "PUT", "PATCH") and isinstance(one.body, dict) and one.body:
            last[key] = one
    for key, one in last.items():
        yield one, sent.get(key) or one.body


def _merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {**before, **after, "properties": {**before.get("properties", {}), **after.get("properties", {})}}


def with_identity_of(place: Place, body: dict[str, Any]) -> dict[str, Any]:
    """A request as the deserialiser takes it, which wants the resource's own id and name."""
    return {**body, "id": place.path, "name": place.name}
