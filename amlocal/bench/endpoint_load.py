"""What the runs against an endpoint share: the endpoint itself, clients that know what became of each request, records.

A client's request carries an id of its own, x-ms-client-request-id, and its body says the same id; the answer must say
it, too. What a client knows of an id is one of: the status it was answered with, or that the connection was lost before
the answer had come whole. Nothing is sent twice.
"""

import asyncio
import http.client
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import psutil

NAME = "digits"
RECONNECT_SECONDS = 0.01
LOST = 0  # in place of a status: the connection went before the answer was there
NO_ANSWER_SECONDS = 20.0  # nothing takes this long; whoever waits longer has been forgotten

ECHO = """
import json

def init(): pass

def run(raw_data): return {"id": json.loads(raw_data)["id"]}
"""


# -- the endpoint


class Served:
    """A workspace with one endpoint, its processes and its keys."""

    def __init__(self, folder: Path) -> None:
        from amlocal.client import LocalMLClient

        self.folder = folder
        self.client = LocalMLClient(folder / ".amlocal")
        self.store = self.client.online_endpoints.store
        self.run = self.store.run(NAME)
        self.collected = self.client.workspace.datastore() / "modelDataCollector" / NAME

    def create(self) -> None:
        from amlocal.operations.common import entity

        self.client.online_endpoints.begin_create_or_update(
            entity("online-endpoint", {"name": NAME, "auth_mode": "key"})
        )
        self.port = self.store.get(NAME).port

    def deploy(
        self, name: str = "blue", script: str = ECHO, instances: int = 1, timeout_ms: int = 5000, **more: Any
    ) -> None:
        """Create or replace a deployment whose scoring script is this text; returns when it is ready."""
        from amlocal.operations.common import entity

        code = self.folder / f"code-{name}"
        code.mkdir(exist_ok=True)
        (code / "score.py").write_text(script)
        spec = {
            "name": name,
            "endpoint_name": NAME,
            "code_configuration": {"code": str(code), "scoring_script": "score.py"},
            "environment": {"image": "python:3.11"},
            "instance_type": "Standard_DS1_v2",
            "instance_count": instances,
            "request_settings": {"max_concurrent_requests_per_instance": 100, "request_timeout_ms": timeout_ms},
            "data_collector": {"collections": {each: {"enabled": "true"} for each in ("request", "response")}},
            **more,
        }
        self.client.online_deployments.begin_create_or_update(entity("online-deployment", spec))

    def traffic(self, **shares: int) -> None:
        endpoint = self.client.online_endpoints.get(NAME)
        endpoint.traffic = shares
        self.client.online_endpoints.begin_create_or_update(endpoint)

    def key(self, which: str = "primary") -> str:
        return self.client.online_endpoints.credentials(NAME)[f"{which}Key"]

    def processes(self) -> dict[str, psutil.Process]:
        """Who lives: `supervisor`, `gateway` and the workers by their names."""
        from amlocal.core.processes import find

        files = {"supervisor": self.store.supervisor} | {path.stem: path for path in self.run.glob("*.json")}
        return {name: process for name, path in files.items() if (process := find(path))}

    def workers(self) -> dict[str, psutil.Process]:
        return {name: process for name, process in self.processes().items() if name not in ("supervisor", "gateway")}

    def strays(self) -> list[psutil.Process]:
        """What runs for the endpoint and nobody knows of."""
        from amlocal.core.processes import marked

        known = [process.pid for process in self.processes().values()]
        root = self.client.workspace.root
        return [process for process in marked(root, "AMLOCAL_ENDPOINT") if process.pid not in known]

    def ready(self) -> list[str]:
        """The workers that have their script loaded."""
        return [name for name in self.workers() if (self.run / f"{name}.ready").exists()]

    def sizes(self) -> dict[str, dict[str, int]]:
        """Resident bytes and descriptors of each process."""
        sizes = {}
        for name, process in self.processes().items():
            with suppress(psutil.Error):
                sizes[name] = {"rss": process.memory_info().rss, "descriptors": descriptors(process)}
        return sizes


@contextmanager
def served(script: str = ECHO, folder: Path | None = None, **more: Any) -> Iterator[Served]:
    """An endpoint with one deployment, blue, that gets all traffic; everything is gone afterwards."""
    from amlocal.down import down

    for name in ("AMLOCAL_HOME", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="endpoint-", ignore_cleanup_errors=True) as scratch:
        made = Served(folder or Path(scratch))
        try:
            made.create()
            made.deploy(script=script, **more)
            made.traffic(blue=100)
            yield made
        finally:
            down(made.client.workspace)


def descriptors(process: psutil.Process) -> int:
    return process.num_fds() if hasattr(process, "num_fds") else process.num_handles()


def ask(
    served: Served, id: str, key: str | None = None, deployment: str = "", timeout: float = 30.0, **more: Any
) -> tuple[int, Any, float]:
    """One request {"id": id, **more} on a connection of its own: status, the answer and seconds. Raises OSError."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=timeout)
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {served.key() if key is None else key}",
        "x-ms-client-request-id": id,
    }
    if deployment:
        headers["azureml-model-deployment"] = deployment
    try:
        connection.request("POST", "/score", json.dumps({"id": id, **more}), headers)
        response = connection.getresponse()
        content = response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
    finally:
        connection.close()
    took = time.perf_counter() - start
    try:
        return response.status, json.loads(content), took
    except ValueError:
        return response.status, content, took


def eventually(condition: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """The condition's value as soon as it is true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what or condition}")
        time.sleep(0.005)
    return found


# -- clients


@dataclass(slots=True)
class Outcome:
    """What a client knows of one request; times are those of time.perf_counter."""

    sent: float
    answered: float = 0.0
    status: int | None = None  # None: on its way
    request_id: str = ""  # the gateway's
    deployment: str = ""  # who answered


@dataclass
class Load:
    """Clients on kept connections, each asking again when it is answered, and what they know.

    clients: connections; pause: seconds between an answer and the next question; headers: sent with each request.
    """

    port: int
    key: str
    clients: int = 16
    pause: float = 0.0
    tag: str = "r"
    headers: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    good: list[str] = field(default_factory=list)  # the ids answered 200, in their order
    refused: int = 0  # connections that could not be made: nothing was sent
    wrong: list[str] = field(default_factory=list)  # answers that are not the answer to the question
    over: bool = False

    def __post_init__(self) -> None:
        self.numbers = itertools.count()
        self._watch: tuple[float, list[float], threading.Event] | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        eventually(lambda: any(one.status for one in list(self.outcomes.values())), what="the first answer")
        return self

    def __exit__(self, *_: object) -> None:
        """Let every client have its last answer, then stop."""
        self.over = True
        self._thread.join(NO_ANSWER_SECONDS + 5)

    def next_200(self, since: float) -> "Callable[[float], float | None]":
        """Call it before a fault: gives a function that waits for a request sent after `since` to be answered 200.

        It returns the seconds from `since` to that answer, or None when it has not come within the seconds given.
        """
        answered: list[float] = []
        event = threading.Event()
        self._watch = (since, answered, event)

        def wait(seconds: float) -> float | None:
            event.wait(seconds)
            self._watch = None
            return answered[0] - since if answered else None

        return wait

    def counts(self) -> Counter[str]:
        """How many of each status, with `lost`, `unanswered` and `refused` (connections)."""
        names = {LOST: "lost", None: "unanswered"}
        counts = Counter(names.get(one.status, str(one.status)) for one in list(self.outcomes.values()))
        if self.refused:
            counts["refused"] = self.refused
        return counts

    def failed(self) -> Counter[str]:
        """The same without what is well."""
        return Counter({name: count for name, count in self.counts().items() if name != "200"})

    def latest(self, count: int) -> list[Outcome]:
        """The last requests that were answered 200."""
        return [self.outcomes[id] for id in self.good[-count:]]

    def latencies(self) -> list[float]:
        """Seconds of each request that was answered 200."""
        return [one.answered - one.sent for one in list(self.outcomes.values()) if one.status == 200]

    def _serve(self) -> None:
        run = asyncio.run
        if os.name != "nt":
            import uvloop

            run = uvloop.run
        run(self._clients())

    async def _clients(self) -> None:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._client()) for _ in range(self.clients)]
        _, late = await asyncio.wait(tasks, timeout=None)
        for task in late:
            task.cancel()

    async def _client(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.over:
            try:
                _, client = await loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
            except OSError:
                self.refused += 1
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            await client.gone
            await asyncio.sleep(RECONNECT_SECONDS)


class Client(asyncio.Protocol):
    """One connection of a load."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpResponseParser(self)
        self.gone = self.loop.create_future()
        self.id = ""
        self.outcome: Outcome | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.ask()

    def ask(self) -> None:
        if self.load.over or self.transport.is_closing():
            self.transport.abort()
            return
        load = self.load
        self.id = f"{load.tag}-{next(load.numbers)}"
        body = b'{"id": "%b"}' % self.id.encode()
        head = (
            f"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {load.key}\r\nx-ms-client-request-id: {self.id}\r\nContent-Length: {len(body)}\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in load.headers.items())
        )
        self.request_id, self.deployment, self.content = "", "", b""
        self.outcome = load.outcomes[self.id] = Outcome(time.perf_counter())
        self.limit = self.loop.call_later(NO_ANSWER_SECONDS, self.transport.abort)
        self.transport.write(head.encode() + b"\r\n" + body)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.load.wrong.append(f"{self.id}: not HTTP: {error}: {data[:200]!r}")
            self.transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-request-id":
            self.request_id = value.decode()
        elif name.lower() == b"azureml-model-deployment":
            self.deployment = sys.intern(value.decode())

    def on_body(self, body: bytes) -> None:
        self.content += body

    def on_message_complete(self) -> None:
        outcome, load = self.outcome, self.load
        if outcome is None:
            load.wrong.append(f"{self.id}: an answer more than was asked for: {self.content[:200]!r}")
            return
        self.outcome = None
        self.limit.cancel()
        outcome.answered = time.perf_counter()
        outcome.request_id, outcome.deployment = self.request_id, self.deployment
        outcome.status = self.parser.get_status_code()
        if outcome.status == 200:
            if self.content != b'{"id": "%b"}' % self.id.encode():
                load.wrong.append(f"{self.id}: answered {self.content[:200]!r}")
            load.good.append(self.id)
            watch = load._watch
            if watch and outcome.sent > watch[0] and not watch[1]:
                watch[1].append(outcome.answered)
                watch[2].set()
        if load.pause or outcome.status in (429, 503):
            self.loop.call_later(max(load.pause, RECONNECT_SECONDS if outcome.status != 200 else 0), self.ask)
        else:
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if self.outcome is not None:
            waited = time.perf_counter() - self.outcome.sent
            if waited >= NO_ANSWER_SECONDS:
                self.load.wrong.append(f"{self.id}: no answer after {waited:.0f} s")
            self.outcome.status = LOST
            self.limit.cancel()
            self.outcome = None
        if not self.gone.done():
            self.gone.set_result(None)


# -- figures


def quantiles(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and greatest of some seconds, as they are."""
    if not values:
        return {"median": float("nan"), "p99": float("nan"), "max": float("nan")}
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {"median": statistics.median(ordered), "p99": p99, "max": ordered[-1]}


def shown(values: list[float]) -> str:
    return "/".join(f"{1000 * value:.0f}" for value in quantiles(values).values()) + " ms (median/p99/max)"


def tally(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items())) or "none"


def machine() -> str:
    """What ran it."""
    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
