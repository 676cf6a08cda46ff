"""The recorded requests, sent to the tests' double of Azure: is its answer the recorded one?

What a recording was made on top of (the workspace, computes, code, components, an endpoint) is put into the double
first, as far as the requests name it. Two answers are equal in a leaf when the recorded key is there with a value of
the same form; words of Azure's (types, states, modes, codes) and what the request itself said must be the same.
"""

import copy
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import recorded
from double import Double, Request
from recorded import Exchange, Place, Recording
from recordings import Tally, form

if TYPE_CHECKING:
    from collections.abc import Mapping

# Requests that are not about the workspace's resources: storage, the scoring address. `inference`: see the double's.
ELSEWHERE = re.compile(r"https://(?!management\.azure\.com|Sanitized\.azure\.com|[\w-]+\.api\.azureml\.ms)[^/]*/", re.I)
SCORED = re.compile(r"https://(?P<endpoint>[\w-]+)\.[\w.-]+\.inference\.(?:ml\.azure\.com|azureml-test\.net)/", re.I)
POLL = re.compile(r"OperationsStatus|operationresults|computeOperationsStatus|mfeOperation|operationStatuses", re.I)
REGISTRY = re.compile(r"/Microsoft\.MachineLearningServices/registries/[^/]+$", re.I)
RESULT = re.compile(r"OperationResults|type=location", re.I)
WORDS = re.compile(
    r"(Type|State|status|Status|code|Mode|mode|kind|tier|jobTier|stage|goal|osType|enabled|Enabled|Access)$"
)
# Keys that hold what only the service knows: their presence counts, not their form.
OPAQUE = re.compile(
    r"additionalInfo|_aml_system|\.properties\.properties\.|\.properties\.tags\.|createdByType|lastModified"
)
# What the double does not claim, and why.
LEFT_OUT = [
    (r"(^|\.)additionalInfo", "correlation ids of the service"),
    (r"properties\.properties\.(?!azureml\.labels)", "the service's own notes"),
    (r"properties\.tags\._aml_system", "the notes of Azure's sweep service"),
    (r"^nextLink$", "whether there is more depends on what was made before the recording began"),
]
LEFT_OUT_OF_RUNS = [
    (r"^(runMetadata|value\.\d+)\.(properties|tags|outputs)\.", "the service's own notes, and where outputs lie"),
]


def compare_double(recordings: list[Recording], tallies: "Mapping[str, Tally]") -> None:
    for recording in recordings:
        with tempfile.TemporaryDirectory() as folder, Double(Path(folder)) as double:
            Replay(double, recording).run(tallies)


class Replay:
    """One recording on one double."""

    def __init__(self, double: Double, recording: Recording) -> None:
        self.double, self.recording = double, recording
        self.operation = self.result = ""  # where the last answer said that its operation is, and its result will be
        for datastore in double.store.collection(f"{double.workspace_id}/datastores"):
            datastore["properties"]["credentials"] = {"credentialsType": "AccountKey"}  # as most were recorded

    def run(self, tallies: "Mapping[str, Tally]") -> None:
        for number, one in enumerate(self.recording.exchanges):
            scored = SCORED.match(one.uri)
            if (ELSEWHERE.match(one.uri) and not scored) or (POLL.search(one.path) and not self._begun(one)):
                continue  # storage; an operation whose beginning is not in the recording
            place = one.place
            if not scored:
                self._prepare(one)
            kind = self._kind(place, one)
            tally = tallies[kind]
            status, headers, body = self.send(one)
            if one.method != "GET" and one.status in (201, 202):
                self.operation = headers.get("Azure-AsyncOperation", "")
                self.result = headers.get("Location", "") if "/operations/" in headers.get("Location", "") else ""
            tally.exchanges += 1
            label = f"{one.method} {self._short(one.path)} [{self.recording.name}, {number + 1}]"
            if status != one.status:
                tally.answers[f"status of {label}"] = f"{one.status} there, {status} here: {json.dumps(body)[:200]}"
            else:
                tally.statuses += 1
            for key, said in self.differences(one, body):
                tally.leaves += 1
                tally.leaves_equal += said is None
                if said:
                    tally.answers.setdefault(f"{key} of {one.method} {place.collection if place else ''}",
                                             f"{said} [{self.recording.name}]")  # fmt: skip

    def _begun(self, one: Exchange) -> str:
        """Where the operation that a recorded request asks for is in the double; "" if it has not begun there."""
        return self.result if RESULT.search(one.uri) and self.result else self.operation

    @staticmethod
    def _kind(place: Place | None, one: Exchange) -> str:
        if SCORED.match(one.uri):
            return "scoring"
        if "/registries/" in one.path:
            return "registry"
        if "api.azureml" in one.uri:
            return "run history"
        if place is None:
            return "operations" if POLL.search(one.path) else "other"
        if kind := recorded.kind_of(place, one.sent) or recorded.kind_of(place, one.body):
            return kind if kind != " job" else "job"
        collection = place.collection.partition("/")[0]
        return recorded.COLLECTIONS.get(collection, recorded.COLLECTIONS.get(place.collection, ("", collection)))[1]

    @staticmethod
    def _short(path: str) -> str:
        return path.partition("/workspaces/")[2] or path

    def send(self, one: Exchange) -> tuple[int, dict[str, str], Any]:
        """The recorded request, to the double, whose subscription, group and workspace have other names."""
        url = urlsplit(one.uri)
        path, query = one.path, dict(parse_qsl(url.query, keep_blank_values=True))
        if POLL.search(path):
            path, query = urlsplit(self._begun(one)).path, {}
        content = json.dumps(self.ours(one.sent)).encode() if one.sent is not None else b""
        headers = {"host": f"127.0.0.1:{self.double.port}", "content-type": "application/json"}
        scored = SCORED.match(one.uri)
        service, host = ("inference", scored["endpoint"]) if scored else ("", "127.0.0.1")
        if scored:  # a credential and the deployment are in headers, which are not recorded
            keys = self.double.endpoints.keys.get(host, {})
            headers["authorization"] = f"Bearer {keys.get('primaryKey', 'token')}"
            if named := one.headers.get("azureml-model-deployment"):
                headers["azureml-model-deployment"] = named
        request = Request(one.method, service, host, self.ours(path), query, headers, content)
        response = self.double.handle(request)
        body = response.body
        if isinstance(body, bytes):
            body = body.decode(errors="replace")
        return response.status, dict(response.headers), body

    def ours(self, value: Any) -> Any:
        """A recorded value with the double's names for subscription, group and workspace."""
        text = json.dumps(value)
        for there, here in self.names:
            text = re.sub(there, here, text, flags=re.IGNORECASE)
        return json.loads(text)

    @property
    def names(self) -> list[tuple[str, str]]:
        double = self.double
        group = f"/resourceGroups/{double.resource_group}"
        return [
            (r"/subscriptions/[^/\"]+/resourceGroups/[^/\"]+/", f"/subscriptions/{double.subscription}{group}/"),
            (
                r"subscriptions/(?!00000000-0000-0000-0000-00000000d0b1)[^/\"]+/",
                f"subscriptions/{double.subscription}/",
            ),
            (r"/workspaces/00000(?=[/\"?])", f"/workspaces/{double.workspace}"),
        ]

    # -- what a recording was made on top of

    def _prepare(self, one: Exchange) -> None:
        """Put what a request refers to, and what it asks for if something that the recording lacks has made it."""
        place = one.place
        found = one.body if isinstance(one.body, dict) and one.status < 300 else {}
        if place is None:
            if registry := found.get("registryName") or (REGISTRY.search(one.path) and found.get("name")):
                self._make_registry(registry, found)
            return
        if not self._said(one).endswith("Compute Not Found for run ID : " + place.name):
            for id in self._referred(one.sent):
                self._provide(id)
        if place.is_list:
            asked = dict(parse_qsl(urlsplit(one.uri).query))
            for each in reversed(found.get("value") or []):
                if isinstance(each, dict) and Place.of(str(each.get("id"))):
                    if asked.get("hash"):
                        each["properties"]["properties"] = {"hash_sha256": asked["hash"]}
                    self._keep(each)
            self._make_newest(each for each in reversed(found.get("value") or []) if isinstance(each, dict))
        elif one.method == "POST" and one.status < 300:
            self._provide(place.path.rpartition("/")[0])
        elif one.status < 300 and one.status != 204 and (one.method != "PUT" or one.status == 200):
            self._keep(found | {"id": place.path}) if found else self._provide(place.path)
        elif place.collection == "onlineEndpoints/deployments":
            self._provide(place.path.rpartition("/deployments/")[0])
        if place.collection == "runs/children":
            parent = self.double.jobs.jobs.get(place.names[1])
            for child, told in zip(parent.children if parent else (), found.get("value") or (), strict=False):
                child.script = [told["status"]]
        job = self.double.jobs.jobs.get(place.name)
        if place.collection == "jobs" and job and found:  # the state is what a test says it is
            job.script, job.index = [found["properties"]["status"]], 0

    def _make_newest(self, listed: Iterable[dict[str, Any]]) -> None:
        """What the recording itself has made is newer than what else a list has, which is put there only now."""
        made = {one.path.lower() for one in self.recording.exchanges if one.method == "PUT"}
        resources = self.double.store.resources
        for each in listed:
            if str(each.get("id")).lower() in made and (kept := resources.pop(self.ours(each["id"]).lower(), None)):
                resources[kept["id"].lower()] = kept

    @staticmethod
    def _said(one: Exchange) -> str:
        """The message of a refusal."""
        error = one.body.get("error") if isinstance(one.body, dict) else None
        return str((error or {}).get("message", ""))

    def _make_registry(self, name: str, found: dict[str, Any]) -> None:
        double = self.double
        scope = f"/subscriptions/{double.subscription}/resourceGroups/{double.resource_group}"
        path = f"{scope}/providers/Microsoft.MachineLearningServices/registries/{name}"
        if double.store.get(path) is None:
            region = found.get("location") or found.get("primaryRegion")
            double.store.make(path, {"location": region, "tags": found.get("tags") or {}})

    def _referred(self, value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for inner in value.values():
                yield from self._referred(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from self._referred(inner)
        elif isinstance(value, str) and "/subscriptions/" in value and "/workspaces/" in value:
            yield value[value.index("/subscriptions/") :]

    def _refused(self, id: str) -> bool:
        """Whether the recording itself says that there is no such thing."""
        missing = [json.dumps(one.body) for one in self.recording.exchanges if one.status in (400, 404) and one.body]
        missing += [one.path for one in self.recording.exchanges if one.status == 404]
        name = [part for part in id.split("/") if part]
        tail = name[-3] if "versions" in name else name[-1]
        return any(tail in text for text in missing) and not any(
            one.status in (200, 201) and one.place and one.place.path.lower() == id.lower()
            for one in self.recording.exchanges
        )

    def _provide(self, id: str) -> None:
        path = self.ours(id)
        if self.double.store.get(path) is not None or self._refused(id) or Place.of(id) is None:
            return
        place = Place.of(id)
        assert place
        bodies: dict[str, Any] = {
            "computes": {"properties": {"computeType": "AmlCompute", "properties": {"vmSize": "STANDARD_DS2_V2"}}},
            "onlineEndpoints": {"location": "westus", "properties": {"authMode": "Key"}},
        }
        if place.collection in recorded.COLLECTIONS and place.collection:
            try:
                self.double.store.put(path, copy.deepcopy(bodies.get(place.collection, {"properties": {}})))
            except Exception as error:
                raise RuntimeError(f"{id}: {error}") from error

    def _keep(self, body: dict[str, Any]) -> None:
        """Have the double hold a recorded resource as it was answered."""
        id = body.get("id") or ""
        place = Place.of(id)
        if place is None or place.is_list:
            return
        path = self.ours(id)
        kept = self.ours({key: value for key, value in body.items() if key not in ("id", "name", "type", "systemData")})
        before = self.double.store.get(path)
        if place.collection in ("", "datastores") and before:  # the workspace's own: as it was set up there
            for name in ("systemDatastoresAuthMode", "credentials", "containerRegistry"):
                if name in kept["properties"]:
                    before["properties"][name] = kept["properties"][name]
        if before:
            return
        for other in self._referred(body["properties"]):
            self._provide(other)
        # Through the front door where there is one, so that the double fills in what it fills in.
        # Without its nulls: those too are the double's to fill in.
        request = {
            key: recorded.without_nothing(value)
            for key, value in kept.items()
            if key in ("properties", "tags", "location", "identity", "sku", "kind")
        }
        try:
            self.double.store.make(path, request)
        except Exception:
            self.double.store.put(path, kept)
        for deployment in kept["properties"].get("traffic") or ():
            self._provide(f"{id}/deployments/{deployment}")

    # -- is it the same?

    def differences(self, one: Exchange, ours: Any) -> Iterator[tuple[str, str | None]]:
        """(key, what is different) for every leaf of the recorded body that the double claims."""
        if not isinstance(one.body, dict):
            if one.body is not None:
                same = form(one.body) == form(ours) or (one.body == "null" and ours in (None, "null"))
                yield "(body)", None if same else f"{one.body!r} there, {ours!r} here"
            return
        theirs = dict(flat(self.ours(one.body)))
        mine = dict(flat(ours if isinstance(ours, dict) else {}))
        asked = self.ours(one.path).rpartition("/")[2]
        left_out = LEFT_OUT + (LEFT_OUT_OF_RUNS if "api.azureml" in one.uri else [])
        for key, value in theirs.items():
            if any(re.search(pattern, key) for pattern, _ in left_out):
                continue
            if key not in mine:
                same = value in (None, {}, []) and any(other.startswith(key) for other in mine)
                yield key, None if same else f"missing here ({json.dumps(value)[:60]})"
                continue
            there, here = form(value), form(mine[key])
            if there != here and not {there, here} <= {"an ARM id", "azureml: and an ARM id"}:
                yield key, f"{there} there, {here} here ({json.dumps(value)[:40]}, {json.dumps(mine[key])[:40]})"
            elif key == "name":
                made_up = value != one.path.rpartition("/")[2] or POLL.search(one.path)
                yield key, None if made_up or mine[key] == asked else f"{value} there, {mine[key]} here"
            elif WORDS.search(key) and value != mine[key] and not OPAQUE.search(key):
                yield key, f"{json.dumps(value)[:60]} there, {json.dumps(mine[key])[:60]} here"
            else:
                yield key, None


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """As `leaves`, with the members of lists by their number."""
    if isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from flat(inner, f"{prefix}.{number}" if prefix else str(number))
    elif isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value
