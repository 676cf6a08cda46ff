"""What is measured: this project's endpoint in several settings, and its peers, each a context that starts and ends it.

Between its turns a server is held (SIGSTOP), so that it costs the others nothing.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from serving.load import Request

ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).with_name("apps")
ENDPOINT = ROOT / "aml" / "endpoints" / "digits"
START_SECONDS = 180
PATIENCE = 60.0  # seconds for one request
LOOK_SECONDS, IDLE = 0.2, 0.04  # a server is idle that uses no more than this (seconds of processor time) meanwhile

IMAGE = [(17 * pixel) % 256 if 200 < pixel < 600 else 0 for pixel in range(784)]
BODY = json.dumps({"input_data": [IMAGE]})
RECORDS = ("request", "response")  # what the gateway writes
COLLECTIONS = (*RECORDS, "model_inputs", "model_outputs")  # and what the script's Collector sends
JSON = {"Content-Type": "application/json"}


@dataclass
class Server:
    """Something that answers: how it is asked, its processes by what they are, and how long it took to be there."""

    request: Request
    processes: dict[str, psutil.Process]
    ready_after: float
    read: Callable[[Any], Any] | None = lambda answer: answer["probabilities"]  # of an answer; None: there are none

    def tree(self) -> set[psutil.Process]:
        """Its processes and theirs."""
        found = set()
        for process in self.processes.values():
            with suppress(psutil.NoSuchProcess):
                found |= {process, *process.children(recursive=True)}
        return found

    def cpu(self) -> float:
        """Seconds of processor time, its own and the system's for it."""
        return sum(_ask(process, lambda p: sum(p.cpu_times()[:2])) for process in self.tree())

    def settle(self) -> None:
        """Return when it does nothing any more: clients that did not wait for their answers leave work behind."""
        answer(self.request)
        deadline = time.monotonic() + PATIENCE
        done, now = -1.0, self.cpu()
        while now - done > IDLE and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            done, now = now, self.cpu()

    def memory(self) -> tuple[int, int]:
        """Bytes: what is its own with its share of what is shared (PSS; elsewhere than on Linux USS), and RSS."""
        own = resident = 0
        for process in self.tree():
            told = _ask(process, lambda p: p.memory_full_info(), None)
            if told:
                own, resident = own + getattr(told, "pss", told.uss), resident + told.rss
        return own, resident

    def hold(self) -> None:
        for process in self.tree():
            _ask(process, lambda p: p.suspend())

    def go_on(self) -> None:
        for process in self.tree():
            _ask(process, lambda p: p.resume())


def _ask(process: psutil.Process, question: Callable[[psutil.Process], Any], otherwise: Any = 0) -> Any:
    try:
        return question(process)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return otherwise


# -- this project's endpoint


class Workspace:
    """A local workspace in a folder, with an endpoint `digits` and what deployments it is told to make."""

    def __init__(self, folder: Path, model: Path) -> None:
        from amlocal.client import LocalMLClient
        from amlocal.specs import load

        self.client = LocalMLClient(folder / ".amlocal")
        self.store = self.client.online_endpoints.store
        self._load = load
        self._model = {"model": {"path": str(model), "type": "mlflow_model"}}

    def create(self) -> None:
        """Make the endpoint; what runs from then on is ended by `end`."""
        self.client.online_endpoints.begin_create_or_update(self._load("online-endpoint", ENDPOINT / "endpoint.yml"))
        self.key = self.client.online_endpoints.credentials("digits")["primaryKey"]

    def deploy(self, name: str, script: str | None = None, records: Sequence[str] = RECORDS, **changes: Any) -> float:
        """Make blue.yml's deployment under another name, with changes; returns the seconds to its first answer.

        script: one of apps/ instead of the model's; records: the collections that are on; changes: by field.
        """
        overrides = [{"name": name}, self._model, *({key: value} for key, value in changes.items())]
        for collection in COLLECTIONS:
            overrides.append({f"data_collector.collections.{collection}.enabled": str(collection in records)})
        if script:
            overrides.append({"code_configuration": {"code": str(APPS), "scoring_script": script}})
        deployment = self._load("online-deployment", ENDPOINT / "blue.yml", overrides)
        start = time.perf_counter()
        self.client.online_deployments.begin_create_or_update(deployment)
        answer(self.request(name))
        return time.perf_counter() - start

    def split(self, **traffic: int) -> None:
        endpoint = self.client.online_endpoints.get("digits")
        endpoint.traffic = traffic
        self.client.online_endpoints.begin_create_or_update(endpoint)

    def request(self, deployment: str | None = None, key: str | None = None) -> Request:
        headers = {**JSON, "Authorization": f"Bearer {key or self.key}"}
        if deployment:
            headers["azureml-model-deployment"] = deployment
        return Request(self.store.get("digits").port, "/score", headers, BODY)

    def processes(self) -> dict[str, psutil.Process]:
        """The supervisor, the gateway, and the workers as DEPLOYMENT-REVISION-INDEX."""
        from amlocal.core.processes import find

        paths = {path.stem: path for path in self.store.run("digits").glob("*.json")} | {
            "supervisor": self.store.supervisor
        }
        return {name: process for name, path in paths.items() if (process := find(path))}

    def end(self) -> None:
        from amlocal.down import down

        for process in self.processes().values():
            _ask(process, lambda p: p.resume())
        down(self.client.workspace)


@contextmanager
def workspace(folder: Path, model: Path) -> Iterator[Workspace]:
    folder.mkdir(parents=True)
    made = Workspace(folder, model)
    try:
        made.create()
        yield made
    finally:
        made.end()


@contextmanager
def endpoint(folder: Path, model: Path, **changes: Any) -> Iterator[Server]:
    """Key asked for, two deployments that share the traffic, as aml/endpoints/digits has them but for `changes`."""
    with workspace(folder, model) as made:
        ready_after = made.deploy("blue", **changes)
        made.deploy("green", **changes)
        made.split(blue=50, green=50)
        yield Server(made.request(), made.processes(), ready_after)


# -- its peers


@contextmanager
def peer(
    command: Callable[[int], Sequence[str]],
    folder: Path,
    *,
    path: str = "/score",
    body: str = BODY,
    read: Callable[[Any], Any] | None = lambda answer: answer["probabilities"],
    **environment: str,
) -> Iterator[Server]:
    """A server that `command` starts at the port that it is given."""
    from amlocal.core.processes import end

    folder.mkdir(parents=True)
    port = free_port()
    # What they start themselves (uvicorn, gunicorn) lies beside their Python.
    words = command(port)
    search = os.pathsep.join([str(Path(words[0]).parent), os.environ.get("PATH", "")])
    log = folder / "log.txt"
    start = time.perf_counter()
    with log.open("wb") as output:
        started = subprocess.Popen(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PATH": search, "PYTHONPATH": str(APPS), **environment},
            start_new_session=os.name != "nt",
        )
    process = psutil.Process(started.pid)
    server = Server(Request(port, path, JSON, body), {"server": process}, 0.0, read)
    try:
        first_answer(server.request, started, log)
        server.ready_after = time.perf_counter() - start
        yield server
    finally:
        server.go_on()
        end([process])


def mlflow_serve(model: Path, folder: Path) -> Any:
    words = ["-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local", "-h", "127.0.0.1"]
    return peer(
        lambda port: [sys.executable, *words, "-p", str(port)],
        folder,
        path="/invocations",
        body=json.dumps({"inputs": [IMAGE]}),
        read=lambda answer: answer["predictions"],
    )


def inference_server(script: Path, model: Path, folder: Path, read: Callable[[Any], Any] | None) -> Any:
    """Azure's, as its command `azmlinfsrv` starts it, but on loopback only."""
    start = "from azureml_inference_server_http import amlserver_linux, amlserver; run = amlserver_linux.run;"
    start += " amlserver_linux.run = lambda host, *more: run('127.0.0.1', *more); amlserver.run()"
    words = ["-c", start, "--entry_script", str(script), "--model_dir", str(model)]
    return peer(
        lambda port: [sys.executable, *words, "--port", str(port)],
        folder,
        read=read,
        AML_APP_ROOT=str(script.parent),
        TF_CPP_MIN_LOG_LEVEL="2",
    )


def with_fastapi(interpreter: Path, onnx: Path, folder: Path, workers: int = 1) -> Any:
    words = [str(interpreter), "-m", "uvicorn", "with_fastapi:app", "--host", "127.0.0.1", "--log-level", "warning"]
    # A worker that was held between two turns is not dead.
    words += ["--workers", str(workers), "--timeout-worker-healthcheck", "3600"]
    return peer(lambda port: [*words, "--port", str(port)], folder, ONNX_MODEL=str(onnx))


def with_bentoml(interpreter: Path, onnx: Path, folder: Path) -> Any:
    words = [str(interpreter), "-m", "bentoml", "serve", "with_bentoml:Digits", "--host", "127.0.0.1"]
    return peer(
        lambda port: [*words, "--port", str(port)],
        folder,
        ONNX_MODEL=str(onnx),
        BENTOML_DO_NOT_TRACK="True",
        BENTOML_HOME=str(folder),
    )


def with_litserve(interpreter: Path, onnx: Path, folder: Path) -> Any:
    return peer(
        lambda port: [str(interpreter), str(APPS / "with_litserve.py"), str(port)], folder, ONNX_MODEL=str(onnx)
    )


# -- asking once


def answer(request: Request) -> Any:
    """The JSON that a request is answered with. Raises OSError, or RuntimeError for another status than 200."""
    connection = http.client.HTTPConnection("127.0.0.1", request.port, timeout=PATIENCE)
    try:
        connection.request("POST", request.path, request.body, request.headers)
        response = connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {text[:300]}")
        return json.loads(text)
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def first_answer(request: Request, started: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return as soon as it answers; leave with what its log says if it does not."""
    deadline = time.monotonic() + START_SECONDS
    said = ""
    while time.monotonic() < deadline and started.poll() is None:
        try:
            answer(request)
            return
        except (OSError, RuntimeError) as error:
            said = str(error)
            time.sleep(0.02)
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise SystemExit(f"serving.py: port {request.port} does not answer ({said}); its log ends:\n{tail}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
