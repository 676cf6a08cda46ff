"""The lives of an endpoint's processes: made, killed, replaced, stopped, brought back; and what cannot be made."""

import errno
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from amlocal.cli import main
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.core.processes import find
from amlocal.down import down, up
from amlocal.endpoints.logs import EARLIER_BYTES, MOST_BYTES
from amlocal.operations.common import entity

ECHO = """
import os
from pathlib import Path
import helper

def init():
    global model
    folder = Path(os.environ["AZUREML_MODEL_DIR"])
    model = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))

def run(raw_data): return {"version": helper.VERSION, "model": model, "cwd": sorted(os.listdir())}
"""


class Bench:
    """A workspace with an endpoint `digits`, and a code folder to deploy from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = LocalMLClient(folder / "w" / ".amlocal")
        self.store = self.client.online_endpoints.store
        self.run = self.store.run("digits")
        (folder / "code").mkdir()
        self.write("score.py", ECHO)
        self.write("helper.py", "VERSION = 1")

    def write(self, name: str, text: str) -> None:
        (self.folder / "code" / name).write_text(text)

    def endpoint(self, **more: Any) -> None:
        spec = entity("online-endpoint", {"name": "digits", "auth_mode": "key", **more})
        self.client.online_endpoints.begin_create_or_update(spec)

    def deploy(self, **more: Any) -> None:
        spec = {
            "name": "blue",
            "endpoint_name": "digits",
            "code_configuration": {"code": str(self.folder / "code"), "scoring_script": "score.py"},
            "environment": {"image": "python:3.11"},
            "instance_type": "Standard_DS1_v2",
            "request_settings": {"max_concurrent_requests_per_instance": 20},
            **more,
        }
        spec = {key: value for key, value in spec.items() if value is not None}
        self.client.online_deployments.begin_create_or_update(entity("online-deployment", spec))
        endpoint = self.client.online_endpoints.get("digits")
        endpoint.traffic = {spec["name"]: 100}
        self.client.online_endpoints.begin_create_or_update(endpoint)

    def ask(self, body: Any = None) -> tuple[int, Any]:
        record = self.store.get("digits")
        connection = http.client.HTTPConnection("127.0.0.1", record.port, timeout=30)
        headers = {
            "Authorization": f"Bearer {self.store.keys('digits')['primaryKey']}",
            "Content-Type": "application/json",
        }
        try:
            connection.request("POST", "/score", json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.ask()[0] == 200
        except OSError:
            return False

    def health(self) -> dict[str, Any]:
        return self.client.online_endpoints.describe("digits")["health"]

    def process(self, name: str) -> psutil.Process | None:
        return find(self.store.supervisor if name == "supervisor" else self.run / f"{name}.json")

    def kill(self, name: str) -> None:
        """kill -9; returns when the process is dead, buried or not."""
        process = self.process(name)
        assert process
        process.kill()
        eventually(lambda: self.process(name) != process)

    def processes(self) -> list[psutil.Process]:
        """All that lives of this workspace: what has its folder in its command line or environment."""
        found = []
        for process in psutil.process_iter():
            try:
                marks = (*process.cmdline(), process.environ().get("AMLOCAL_HOME"))
                if str(self.client.workspace.root) in marks and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        threading.Event().wait(0.02)
    return found


@contextmanager
def held(process: psutil.Process) -> Iterator[None]:
    """The process does nothing meanwhile."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.delenv("AMLOCAL_HOME", raising=False)
    bench = Bench(tmp_path)
    yield bench
    down(bench.client.workspace)
    # A supervisor whose last endpoint is deleted leaves by itself: off the record first, and then out of memory.
    eventually(lambda: bench.processes() == [], 10)


@pytest.fixture
def serving(bench: Bench) -> Bench:
    bench.endpoint()
    bench.deploy()
    return bench


def test_what_is_killed_comes_back_and_health_tells_the_truth(serving: Bench) -> None:
    assert serving.health()["status"] == "Healthy"
    watcher, gateway = serving.process("supervisor"), serving.process("gateway")
    assert watcher and gateway

    with held(watcher):  # so that nobody mends it while we look
        serving.kill("blue-1-0")
        assert serving.health()["message"] == "deployment blue: 0 of 1 instances are ready"
        assert serving.health()["status"] == "Unhealthy"
    eventually(serving.answers)
    eventually(lambda: serving.health()["status"] == "Healthy")
    assert serving.client.online_deployments.describe("blue", "digits")["health"]["restarts"] == 1

    worker = serving.process("blue-1-0")
    with held(watcher):
        serving.kill("gateway")
        assert serving.health()["status"] == "Unhealthy" and serving.health()["gateway"] == "not running"
    eventually(serving.answers)
    assert serving.process("blue-1-0") == worker, "the worker lives through its gateway's death"

    gateway = serving.process("gateway")
    assert gateway
    with held(gateway):
        serving.kill("supervisor")
        assert serving.health()["status"] == "Degraded" and serving.health()["supervisor"] == "not running"
    assert serving.answers(), "who serves goes on without the supervisor"
    eventually(lambda: serving.process("supervisor"))  # the gateway missed it
    eventually(lambda: len(serving.processes()) == 3)
    assert serving.process("blue-1-0") == worker and serving.process("gateway") == gateway, "it takes over what runs"
    serving.kill("gateway")
    eventually(lambda: serving.process("gateway") not in (None, gateway))
    eventually(serving.answers)


def test_a_supervisor_that_a_gateway_has_started_again_outlives_that_gateway(serving: Bench) -> None:
    guardian, gateway, worker = (serving.process(name) for name in ("supervisor", "gateway", "blue-1-0"))
    assert guardian and gateway and worker
    guardian.suspend()
    (serving.run / "gateway.json").unlink()  # as if it had died before it could put down whom it has started
    guardian.kill()
    after = eventually(lambda: serving.process("gateway"))
    assert after != gateway
    eventually(serving.answers)
    assert serving.process("supervisor") and serving.process("blue-1-0") == worker
    eventually(lambda: len(serving.processes()) == 3)


def test_all_killed_at_once_and_one_command(serving: Bench) -> None:
    for process in (names := [serving.process(name) for name in ("supervisor", "gateway", "blue-1-0")]):
        assert process
        process.suspend()  # so that none can mend what happens to another
    for process in names:
        assert process
        process.kill()
    eventually(lambda: serving.health()["status"] == "Stopped")
    with pytest.raises(UserError, match="does not answer: nothing of it runs; `aml up` starts it"):
        serving.client.online_endpoints.invoke("digits", request_file=str(request(serving)))
    assert up(serving.client.workspace) == ["digits"]
    assert serving.answers()


def request(bench: Bench) -> Path:
    path = bench.folder / "request.json"
    path.write_text("{}")
    return path


def test_down_leaves_nothing_and_up_brings_back_the_same(serving: Bench) -> None:
    before = serving.store.get("digits").port, serving.store.keys("digits")
    assert len(serving.processes()) == 3
    assert down(serving.client.workspace) == ["endpoint digits"]
    assert serving.processes() == []
    assert serving.health()["status"] == "Stopped"
    assert down(serving.client.workspace) == []
    up(serving.client.workspace)
    assert (serving.store.get("digits").port, serving.store.keys("digits")) == before
    assert serving.answers()


def test_an_update_drops_no_request_and_a_broken_one_changes_nothing(serving: Bench) -> None:
    statuses: Counter[int] = Counter()
    versions: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            status, answer = serving.ask()
            statuses[status] += 1
            versions.append(answer.get("version"))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        serving.write("helper.py", "VERSION = 2")
        serving.deploy(instance_count=2)
        eventually(lambda: serving.ask()[1]["version"] == 2)
        assert serving.client.online_deployments.describe("blue", "digits")["health"]["ready_instances"] == 2
        serving.write("helper.py", "import nothing_like_that")
        with pytest.raises(UserError, match=r"No module named 'nothing_like_that'.*serves on as it was"):
            serving.deploy()
        eventually(lambda: serving.process("blue-1-0") is None)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert set(statuses) == {200} and set(versions) == {1, 2} and versions[-1] == 2
    shown = serving.client.online_deployments.describe("blue", "digits")
    assert shown["provisioning_state"] == "Succeeded" and shown["instance_count"] == 2


BROKEN = {
    "def init(: pass": "SyntaxError",
    "def run(raw_data): pass": r"does not have a init\(\) function",
    "def init(): raise ValueError('no model')\ndef run(data): pass": r"init\(\) failed: ValueError: no model",
    "import os\nos._exit(7)": "dies again and again while it starts: blue-[0-9]-0 exited with code 7",
    "import ctypes\nctypes.string_at(0)": "dies again and again while it starts: blue-[0-9]-0 was killed by SIGSEGV",
    "import sys\ndef init(): sys.exit('no licence')\ndef run(data): pass": r"init\(\) .*no licence",
    "import sys\nsys.exit(5)": r"loading it failed: SystemExit: 5",
    "import nothing_like_that": "score.py: loading it failed: ModuleNotFoundError: No module named 'nothing_like_that'",
}


def test_a_script_that_does_not_load_is_one_line_with_its_log(bench: Bench) -> None:
    bench.endpoint()
    for script, said in BROKEN.items():
        bench.write("score.py", script)
        with pytest.raises(UserError, match=said) as raised:
            bench.deploy()
        assert "\n" not in str(raised.value)
        assert "aml online-deployment get-logs --name blue --endpoint-name digits" in str(raised.value)
    shown = bench.client.online_deployments.describe("blue", "digits")
    assert shown["provisioning_state"] == "Failed" and shown["health"]["status"] == "Unhealthy"
    assert "nothing_like_that" in shown["health"]["message"]
    assert "ModuleNotFoundError" in bench.client.online_deployments.get_logs("blue", "digits", 50)
    bench.write("score.py", ECHO)
    bench.deploy()  # the same again, mended
    assert bench.answers()


CRASHES = """
import ctypes, json, os
from pathlib import Path

def init():
    if Path("broken").exists(): raise ValueError("no model today")
    global held
    held = []

def run(raw_data):
    do = json.loads(raw_data)
    if do == "exit": os._exit(3)
    if do == "segfault": ctypes.string_at(0)
    if do == "abort": os.abort()
    if do == "out of memory": os.kill(os.getpid(), 9)  # as the system does
    if do == "stuck": ctypes.PyDLL(None).sleep(60)  # no exception comes through to it
    if do == "leak":
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))  # so that it does not take long
        while True: held.append(open(os.devnull))
    if do == "print":
        for number in range(200): print(number, "x" * 1_000_000, flush=True)
    return "fine"
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_script_that_crashes_costs_its_own_request_and_health_tells(bench: Bench) -> None:
    bench.write("score.py", CRASHES)
    bench.endpoint()
    bench.deploy(request_settings={"max_concurrent_requests_per_instance": 20, "request_timeout_ms": 1500})
    deployments = bench.client.online_deployments
    for number, (do, how) in enumerate(
        (
            ("exit", "exited with code 3"),
            ("segfault", "was killed by SIGSEGV"),
            ("abort", "was killed by SIGABRT"),
            ("out of memory", "was killed by SIGKILL"),
        ),
        1,
    ):
        status, said = bench.ask(do)
        assert status == 502 and "worked on the request died" in said["message"]
        eventually(lambda: bench.ask("fine") == (200, "fine"))
        health = deployments.describe("blue", "digits")["health"]
        assert (health["status"], health["restarts"], health["last_exit"]) == ("Healthy", number, f"blue-1-0 {how}")
        assert f"blue-1-0 {how}; it is started again" in deployments.get_logs("blue", "digits", 500)
    assert bench.ask("stuck")[0] == 408
    eventually(lambda: bench.ask("fine") == (200, "fine"))

    status, said = bench.ask("leak")
    assert status == 424 and "Too many open files" in deployments.get_logs("blue", "digits", 500)
    assert bench.ask("fine") == (200, "fine"), "what needs no descriptor is served"


def test_a_script_that_prints_without_end_does_not_fill_the_disk(bench: Bench) -> None:
    bench.write("score.py", CRASHES)
    bench.endpoint()
    bench.deploy(request_settings={"request_timeout_ms": 60_000})
    assert bench.ask("print") == (200, "fine")
    log = bench.store.log("digits", "blue")
    eventually(lambda: log.stat().st_size < MOST_BYTES)
    assert sum(path.stat().st_size for path in log.parent.iterdir()) < MOST_BYTES + EARLIER_BYTES
    assert bench.ask("fine") == (200, "fine")
    last = bench.client.online_deployments.get_logs("blue", "digits", 1)
    assert "POST /score 200" in last and last.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="there is no such limit there")
def test_where_few_files_may_be_open_there_is_a_limit_of_connections(bench: Bench) -> None:
    bench.endpoint()
    down(bench.client.workspace)
    up_with_few = ["sh", "-c", 'ulimit -n 600 && exec "$0" -m amlocal up', sys.executable]
    home = {**os.environ, "AMLOCAL_HOME": str(bench.client.workspace.root)}
    subprocess.run(up_with_few, env=home, check=True, capture_output=True, timeout=60)
    address = ("127.0.0.1", bench.store.get("digits").port)
    held = [socket.create_connection(address) for _ in range(300)]
    refused = [socket.create_connection(address, timeout=20) for _ in range(20)]
    assert all(b"503 Service Unavailable" in b"".join(iter(lambda: each.recv(999), b"")) for each in refused)  # noqa: B023
    for each in (held[0], held[-1]):  # those that are in are served
        each.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert each.recv(999).startswith(b"HTTP/1.1 200 ")
    for each in (*held, *refused):
        each.close()
    eventually(lambda: bench.ask()[0] == 404)  # no deployment has traffic: it is open again


def test_a_script_that_does_not_come_back_tells_why_until_it_does(bench: Bench) -> None:
    bench.write("score.py", CRASHES)
    bench.endpoint()
    bench.deploy(request_settings={"max_concurrent_requests_per_instance": 20, "request_timeout_ms": 300})
    broken = Path(bench.store.get("digits").deployments["blue"].plans[0].folder, "code", "broken")
    broken.touch()
    bench.kill("blue-1-0")
    eventually(lambda: bench.health()["message"] == "deployment blue: init() failed: ValueError: no model today")
    assert bench.health()["status"] == "Unhealthy"
    status, said = bench.ask("fine")
    assert status == 503 and "no instance of deployment blue was ready within 300 ms" in said["message"]
    broken.unlink()
    eventually(lambda: bench.health()["status"] == "Healthy")
    assert bench.ask("fine") == (200, "fine")


def test_what_cannot_be_deployed_is_refused_before_anything_runs(bench: Bench) -> None:
    bench.endpoint()
    for change, said in (
        ({"code_configuration": {"code": "/nowhere", "scoring_script": "score.py"}}, "code: no such folder: /nowhere"),
        ({"code_configuration": None}, "code_configuration: required"),
        ({"environment": None}, "environment: required with a scoring script"),
        ({"environment": "azureml:nothing:1"}, "nothing"),
        ({"name": "b"}, 'deployment name "b": use 3 to 32'),
        ({"endpoint_name": "letters"}, 'online endpoint "letters" was not found in this workspace'),
        ({"request_settings": {"request_timeout_ms": 200_000}}, "200000 is not between 1 and 180000"),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            bench.deploy(**change)
    assert bench.client.online_deployments.describe_all("digits") == []


def test_a_port_in_use(bench: Bench) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} on 127.0.0.1 is in use"):
            bench.endpoint(properties={"port": port})
    bench.endpoint(properties={"port": port})
    assert bench.store.get("digits").port == port
    down(bench.client.workspace)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(UserError, match=f"port {port}.*another program listens there.*--set properties.port=0"):
            up(bench.client.workspace)
        assert f"port {port}" in bench.health()["message"]
        bench.endpoint(properties={"port": 0})
        assert bench.health()["status"] == "Healthy" and bench.store.get("digits").port != port


@pytest.mark.skipif(sys.platform != "linux", reason="only there one user's sockets can share a port")
def test_nobody_takes_the_port_of_a_gateway_that_has_died(bench: Bench) -> None:
    """Another user would be told what its clients ask; the supervisor keeps it until the next gateway listens."""
    bench.endpoint()
    port = bench.store.get("digits").port
    supervisor = bench.process("supervisor")
    assert supervisor
    with held(supervisor):
        bench.kill("gateway")
        for option in (None, socket.SO_REUSEADDR):
            with socket.socket() as thief:
                if option:
                    thief.setsockopt(socket.SOL_SOCKET, option, 1)
                for address in ("127.0.0.1", "0.0.0.0"):
                    with pytest.raises(OSError, match="in use"):
                        thief.bind((address, port))
    eventually(lambda: bench.health()["gateway"] == "running")
    down(bench.client.workspace)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


@pytest.mark.skipif(sys.platform != "linux", reason="only there one user's sockets can share a port")
def test_two_endpoints_never_share_a_port(bench: Bench) -> None:
    """Of two workspaces, the second of which was told the port while the first was down."""
    bench.endpoint()
    port = bench.store.get("digits").port
    down(bench.client.workspace)
    other = LocalMLClient(bench.folder / "other" / ".amlocal")
    try:
        spec = {"name": "letters", "auth_mode": "key", "properties": {"port": port}}
        other.online_endpoints.begin_create_or_update(entity("online-endpoint", spec))
        with pytest.raises(UserError, match=f"port {port}.*another program listens there"):
            up(bench.client.workspace)
    finally:
        down(other.workspace)


def test_a_model_lies_below_azureml_model_dir(bench: Bench) -> None:
    bench.endpoint()
    (bench.folder / "model-1" / "deep").mkdir(parents=True)
    (bench.folder / "model-1" / "deep" / "x.pkl").touch()
    bench.deploy(model={"path": str(bench.folder / "model-1")})
    assert bench.ask()[1]["model"] == ["model-1", "model-1/deep", "model-1/deep/x.pkl"]
    bench.deploy(model={"path": str(bench.folder / "model-1" / "deep" / "x.pkl")})
    eventually(lambda: bench.ask()[1]["model"] == ["x.pkl"])


def test_deleting(serving: Bench) -> None:
    with pytest.raises(UserError, match="gets 100 % of the traffic of digits"):
        serving.client.online_deployments.begin_delete("blue", "digits")
    endpoint = serving.client.online_endpoints.get("digits")
    endpoint.traffic = {}
    serving.client.online_endpoints.begin_create_or_update(endpoint)
    serving.client.online_deployments.begin_delete("blue", "digits")
    assert not serving.process("blue-1-0") and serving.ask()[0] == 404
    serving.client.online_endpoints.begin_delete("digits")
    assert serving.client.online_endpoints.describe_all() == []
    eventually(lambda: not serving.processes())  # nothing to watch over: the supervisor goes, too


def test_a_deployment_that_hung_is_deleted_and_made_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("score.py", "import time\ndef init(): time.sleep(600)\ndef run(data): pass")
    bench.endpoint()
    with monkeypatch.context() as patch:
        patch.setattr("amlocal.operations.online_deployments.START_SECONDS", 1.0)
        with pytest.raises(UserError, match="deployment blue: not ready after 1 s"):
            bench.deploy()
    hung = bench.process("blue-1-0")
    assert hung
    bench.client.online_deployments.begin_delete("blue", "digits")
    assert not hung.is_running() and not list(bench.run.glob("blue-*"))
    bench.write("score.py", ECHO)
    bench.deploy()
    assert bench.answers() and bench.process("blue-2-0"), "no process is ever called as one before"


def test_an_endpoint_is_up_again_while_the_one_that_was_told_to_stop_is_still_at_it(serving: Bench) -> None:
    guardian = serving.process("supervisor")
    assert guardian
    serving.store.stop.touch()
    eventually(lambda: serving.process("supervisor") is None)
    assert up(serving.client.workspace) == ["digits"]
    assert serving.process("supervisor") not in (None, guardian) and serving.answers()


def test_deleting_while_the_supervisor_tidies_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at its folder a file goes, or one comes."""
    bench.endpoint()
    remove = shutil.rmtree
    races = iter([FileNotFoundError(errno.ENOENT, "gone", "gateway.ready"), OSError(errno.ENOTEMPTY, "not empty")])

    def disturbed(folder: Path) -> None:
        if race := next(races, None):
            raise race
        remove(folder)

    monkeypatch.setattr(shutil, "rmtree", disturbed)
    bench.client.online_endpoints.begin_delete("digits")
    assert not bench.store.folder("digits").exists() and next(races, None) is None


@pytest.mark.skipif(os.name == "nt", reason="there it is the only way")
def test_without_unix_sockets(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMLOCAL_NO_UNIX_SOCKETS", "1")
    bench.endpoint()
    bench.deploy()
    assert bench.answers()
    assert (bench.run / "gateway.sock").read_text().isdecimal()
    bench.kill("gateway")
    assert eventually(bench.answers)


def test_an_mlflow_model_needs_no_script(bench: Bench) -> None:
    folder = bench.folder / "flow"
    code = """
import sys, mlflow, pandas as pd
from mlflow.models import infer_signature
class Sums(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input.sum(axis=1) * params["times"]
x = pd.DataFrame({"a": [1.0], "b": [1.0]})
signature = infer_signature(x, x.sum(axis=1).to_frame("sum"), {"times": 1.0})
mlflow.pyfunc.save_model(sys.argv[1], python_model=Sums(), signature=signature, pip_requirements=["mlflow"])
"""
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True, cwd=bench.folder)
    bench.endpoint()
    bench.client.models.create_or_update(entity("model", {"name": "sums", "path": str(folder), "type": "mlflow_model"}))
    with pytest.raises(UserError, match='deployment blue: model: model "sums": version 7 was not found'):
        bench.deploy(code_configuration=None, environment=None, model="azureml:sums:7")
    collected = {"collections": {name: {"enabled": "True"} for name in ("model_inputs", "model_outputs")}}
    model = "azureml:sums@latest"
    bench.deploy(code_configuration=None, environment=None, model=model, data_collector=collected)
    rows = {"columns": ["a", "b"], "index": [0, 1], "data": [[1.0, 2.0], [0.0, 1.0]]}
    assert bench.ask({"input_data": rows}) == (200, [{"0": 3.0}, {"0": 1.0}])
    assert bench.ask({"input_data": rows, "params": {"times": 2}}) == (200, [{"0": 6.0}, {"0": 2.0}])
    status, answer = bench.ask({"rows": []})
    assert status == 424 and answer == {"message": "A value is not provided for the 'input_data' parameter."}

    def records(name: str) -> list[Any]:
        places = bench.client.workspace.datastore().glob(f"modelDataCollector/digits/blue/{name}/**/*.jsonl")
        return [json.loads(line)["data"] for place in places for line in place.read_text().splitlines()]

    assert eventually(lambda: len(records("model_inputs")) == len(records("model_outputs")) == 2)
    assert records("model_inputs")[0] == [{"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 1.0}]
    assert [{"0": 6.0}, {"0": 2.0}] in records("model_outputs")


def test_down_cancels_jobs(bench: Bench) -> None:
    job = entity("job", {"type": "command", "command": "sleep 100", "environment": {"image": "python:3.11"}})
    name = bench.client.jobs.create_or_update(job).name
    eventually(lambda: bench.client.jobs.store.get(name).status == "Running")
    assert down(bench.client.workspace) == [f"job {name}"]
    assert bench.client.jobs.store.get(name).status == "Canceled"
    eventually(lambda: not bench.processes())


def test_the_command_line(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a user types."""
    (tmp_path / "endpoint.yml").write_text("name: digits\nauth_mode: key\n")
    (tmp_path / "blue.yml").write_text(
        "name: blue\nendpoint_name: digits\ncode_configuration: {code: code, scoring_script: score.py}\n"
        "environment: {image: 'python:3.11'}\ninstance_type: Standard_DS1_v2\n"
    )
    request(bench)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMLOCAL_HOME", str(bench.client.workspace.root))

    def aml(line: str) -> Any:
        """What a command prints, as JSON."""
        code = main(line.split())
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out or "null")

    def refused(line: str) -> str:
        """The one line that a command fails with."""
        assert main(line.split()) == 1
        (said,) = capsys.readouterr().err.splitlines()
        return said

    shown = aml("online-endpoint create --local -f endpoint.yml")
    assert shown["scoring_uri"] == f"http://127.0.0.1:{bench.store.get('digits').port}/score"
    assert "exists already" in refused("online-endpoint create -f endpoint.yml")
    assert aml("online-deployment create -f blue.yml --all-traffic --local")["provisioning_state"] == "Succeeded"
    assert aml("online-endpoint show -n digits --query traffic") == {"blue": 100}
    assert json.loads(aml("online-endpoint invoke -n digits -r request.json"))["version"] == 1
    said = refused("online-endpoint invoke -n digits -r request.json -d red")
    assert said == 'ERROR: endpoint "digits": deployment "red" was not found; it has blue'
    assert aml("online-endpoint get-credentials -n digits") == bench.store.keys("digits")
    assert "must be 100" in refused("online-endpoint update -n digits --traffic blue=90")
    tagged = aml("online-endpoint update -n digits --set tags.team=vision traffic.blue=0")
    assert tagged["tags"] == {"team": "vision"} and tagged["traffic"] == {"blue": 0}
    assert aml("online-deployment update -n blue -e digits --set instance_count=2 --query health.ready_instances") == 2
    main(["online-deployment", "get-logs", "-n", "blue", "-e", "digits", "-l", "5"])
    assert "Worker with pid" in capsys.readouterr().out
    assert "cancelled" in refused("online-endpoint delete -n digits")  # nobody is there to ask
    aml("online-deployment delete -n blue -e digits --yes")
    assert aml("down") == ["endpoint digits"]
    assert bench.processes() == []
    # An endpoint outlives the shell that starts it, and is found by the next.
    shell = [sys.executable, "-m", "amlocal", "up"]
    assert json.loads(subprocess.run(shell, capture_output=True, check=True, timeout=60).stdout) == ["digits"]
    assert aml("online-endpoint list --query [].health.status") == ["Healthy"]
    aml("online-endpoint delete -n digits -y")
    assert aml("online-endpoint list") == []
