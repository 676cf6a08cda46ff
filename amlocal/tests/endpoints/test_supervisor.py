"""The supervisor: one thing that is broken keeps it from nothing else, and who wants it running gets one that stays."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from amlocal.core.errors import UserError
from amlocal.core.files import read_json, write_json
from amlocal.core.processes import end, find, lives, spawn, write_process
from amlocal.core.workspace import Workspace
from amlocal.endpoints import supervisor
from amlocal.endpoints.health import deployment_health, endpoint_health, failure
from amlocal.endpoints.plan import COLLECTOR, SERVER, runs_in
from amlocal.endpoints.store import Deployment, Endpoint, EndpointStore, ServingPlan
from amlocal.endpoints.supervisor import ANOTHER_RUNS, Child, Launch, Supervisor, ensure, running
from amlocal.operations.online_deployments import OnlineDeploymentOperations

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
posix = pytest.mark.skipif(os.name == "nt", reason="there a process cannot refuse")


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        threading.Event().wait(0.02)
    return found


class Watched:
    """A workspace with endpoints whose processes only sleep, and a supervisor that looks when it is told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workspace = Workspace(folder / ".amlocal")
        self.store = EndpointStore(self.workspace)
        self.launches: dict[str, dict[str, Launch]] = {}
        monkeypatch.setattr(Supervisor, "_launches", lambda _, endpoint: iter(self.launches[endpoint.name].items()))
        for name in ("digits", "letters"):
            self.store.create(Endpoint(name, 20_000, "i", {"traffic": {}, "mirror_traffic": {}}, {}))
            self.launches[name] = {"gateway": self.launch(name, SLEEP)}
        self.watcher = Supervisor(self.workspace)

    def launch(self, endpoint: str, command: tuple[str, ...], patience: float = 0.0) -> Launch:
        return Launch(command, self.store.log(endpoint, "blue"), self.store.run(endpoint), (), patience)

    def alive(self, endpoint: str, process: str = "gateway") -> bool:
        return find(self.store.run(endpoint) / f"{process}.json") is not None


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    made = Watched(tmp_path, monkeypatch)
    yield made
    children = made.watcher.children.values()
    for each in (*(child.process for child in children), *(each for child in children for each in child.doomed)):
        if each:
            each.kill()


@posix
def test_what_cannot_be_started_keeps_nothing_else_from_it_and_tells_why(
    watched: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = tmp_path / "python"
    locked.write_text("")
    watched.launches["digits"]["blue-1-0"] = watched.launch("digits", (str(locked),))
    gone = Launch(SLEEP, watched.store.log("digits", "blue"), tmp_path / "gone", ())
    watched.launches["digits"]["blue-1-1"] = gone
    for _ in range(3):
        watched.watcher.reconcile()
    assert watched.alive("digits") and watched.alive("letters")
    run = watched.store.run("digits")
    assert failure(run, "blue-1-0") == f"{locked}: a process cannot be started with this: Permission denied"
    assert f"{gone.cwd}: a process cannot be started" in str(failure(run, "blue-1-1"))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "digits/blue-1-0: " in said[0], "once, not at each look"
    child = watched.watcher.children["digits", "blue-1-0"]
    assert child.not_before > child.started, "and not ten times a second"

    locked.unlink()
    locked.symlink_to(sys.executable)
    watched.launches["digits"]["blue-1-0"] = watched.launch("digits", (str(locked), *SLEEP[1:]))
    eventually(lambda: watched.watcher.reconcile() or watched.alive("digits", "blue-1-0"))
    assert failure(run, "blue-1-0") is None


@pytest.mark.parametrize("record", ["{", '{"name": "digits"}', '{"nonsense": 1, "deployments": {}}', "[]"])
def test_a_record_that_cannot_be_read_keeps_what_runs_and_the_others_well(
    watched: Watched, record: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    watched.watcher.reconcile()
    watched.store.record("digits").write_text(record)
    end([p] if (p := find(watched.store.run("letters") / "gateway.json")) else [])
    for _ in range(3):
        watched.watcher.reconcile()
    assert watched.alive("digits"), "its processes are left alone"
    eventually(lambda: watched.watcher.reconcile() or watched.alive("letters"))
    assert capsys.readouterr().out.count("endpoint digits: ") == 1
    assert not watched.watcher._time_to_go()
    assert [each.name for each in watched.store.all()] == ["letters"] == [each.name for each in watched.store.all()]
    assert caplog.text.count("WARNING: endpoint digits is left out: ") == 1
    with pytest.raises(UserError, match=r"endpoint\.json"):
        watched.store.get("digits")


@posix
def test_who_does_not_want_to_end_holds_up_nobody(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    log = watched.store.log("digits", "blue")
    watched.launches["digits"]["blue-1-0"] = watched.launch("digits", (sys.executable, "-c", STUBBORN))
    watched.watcher.reconcile()
    eventually(lambda: "deaf" in log.read_text())
    child = watched.watcher.children["digits", "blue-1-0"]
    watched.launches["digits"] = {}
    eventually(lambda: watched.watcher.reconcile() or child.doomed)
    started = time.monotonic()
    watched.watcher.reconcile()
    assert time.monotonic() - started < supervisor.KILL_SECONDS / 2 and child.alive
    child.kill_from = 0.0  # its time is up
    eventually(lambda: watched.watcher.reconcile() or ("digits", "blue-1-0") not in watched.watcher.children)
    assert not child.alive and not watched.alive("digits", "blue-1-0")


def test_who_is_wanted_again_while_it_ends_is_started_anew(watched: Watched) -> None:
    watched.watcher.reconcile()
    child = watched.watcher.children["digits", "gateway"]
    before = child.process
    child.doom(time.monotonic())
    eventually(lambda: watched.watcher.reconcile() or (child.process not in (None, before) and child.alive))
    assert before and not lives(before)


def test_the_id_of_an_adopted_process_may_be_anothers_by_now() -> None:
    assert Child(process=psutil.Process()).alive
    stranger = psutil.Process(os.getppid())
    stranger._ident = (stranger.pid, 1.0)  # type: ignore[attr-defined]  # it was started at another time
    assert not Child(process=stranger).alive


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_process_is_found_after_a_step_of_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_process(tmp_path / "me.json", os.getpid())
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: 12.0)
    assert find(tmp_path / "me.json")
    write_json(tmp_path / "me.json", {**read_json(tmp_path / "me.json"), "birth": "another"})
    assert find(tmp_path / "me.json") is None
    write_json(tmp_path / "me.json", {"pid": os.getpid(), "started": 12.0})  # put down by an earlier version
    assert find(tmp_path / "me.json")


@pytest.mark.parametrize("record", ["[]", '{"pid": "x", "started": 1}', '{"pid": 1', "", '{"restarts": 1}'])
def test_a_broken_mark_of_a_process_is_none(watched: Watched, record: str) -> None:
    for process in ("gateway", "blue-1-0"):
        (watched.store.run("digits") / f"{process}.json").write_text(record)
    (watched.store.run("digits") / "blue-1-0.failed").write_bytes(b"\xff no words")
    plan = ServingPlan(1, sys.executable, ".", "score.py", 1, 1, 1000, {}, {})
    deployment = Deployment({}, "Succeeded", [plan])
    endpoint = watched.store.get("digits")
    assert deployment_health(watched.store, endpoint, "blue", deployment)["status"] == "Unhealthy"
    assert endpoint_health(watched.store, endpoint)["status"] == "Stopped"
    assert Supervisor(watched.workspace).children == {}


def test_who_wants_a_supervisor_while_one_ends_gets_another(tmp_path: Path) -> None:
    """The old one is still at it, and holds its lock, but is on record no more."""
    from filelock import FileLock

    workspace = Workspace(tmp_path / ".amlocal")
    store = EndpointStore(workspace)
    store.create(Endpoint("digits", 20_000, "i", {"traffic": {}}, {}))
    store.record("digits").write_text("{")  # nothing of it is to be started
    store.stop.touch()
    old = FileLock(store.root / "supervisor.lock")
    old.acquire()
    wanting = threading.Thread(target=ensure, args=(workspace,))
    wanting.start()
    try:
        threading.Event().wait(1.5)  # longer than a supervisor waits for the lock
        assert wanting.is_alive() and running(workspace) is None and not store.stop.exists()
    finally:
        old.release()
    wanting.join(30)
    guardian = running(workspace)
    assert guardian
    store.stop.touch()
    guardian.wait(20)
    assert running(workspace) is None


def test_who_goes_asks_once_more_when_nobody_else_can(watched: Watched) -> None:
    watched.watcher.reconcile()
    assert running(watched.workspace)
    watched.store.stop.touch()
    with watched.workspace.lock("supervisor"):  # as `ensure` does
        leaving: list[bool] = []
        asks = threading.Thread(target=lambda: leaving.append(watched.watcher._off_the_record()))
        asks.start()
        threading.Event().wait(0.2)
        watched.store.stop.unlink()
        assert running(watched.workspace)
    asks.join()
    assert leaving == [False] and running(watched.workspace)
    watched.store.stop.touch()
    assert watched.watcher._off_the_record() and running(watched.workspace) is None


def test_a_second_supervisor_says_that_there_is_one(watched: Watched) -> None:
    from filelock import FileLock

    with FileLock(watched.store.root / "supervisor.lock"):
        command = supervisor._command(watched.workspace)
        assert subprocess.run(command, timeout=60).returncode == ANOTHER_RUNS


def test_an_endpoint_may_be_called_stop(watched: Watched) -> None:
    watched.store.create(Endpoint("stop", 20_001, "i", {"traffic": {}}, {}))
    assert not watched.store.stop.exists() and not watched.watcher._time_to_go()
    assert watched.store.gateway_log("digits") != watched.store.log("digits", "gateway"), "a deployment may be, too"


def test_a_deployment_that_is_made_anew_is_another(watched: Watched) -> None:
    """No process, and no mark, of one that was deleted is taken for its."""
    store, deployments = watched.store, OnlineDeploymentOperations(watched.workspace)
    run = store.run("digits")
    left = spawn(SLEEP, store.log("digits", "blue"), run, os.environ)
    write_process(run / "blue-3-0.json", left.pid, restarts=2)
    (run / "blue-3-0.failed").write_text("it was broken")
    (run / "blue-3-1.json").write_text("{}")
    (run / "blue-1-1-0.failed").touch()  # of a deployment blue-1
    (store.folder("digits") / "deployments" / "blue" / "3").mkdir(parents=True)
    spec = {"code_configuration": {}}
    store.change("digits", lambda record: record.deployments.update(blue=Deployment(spec, "Failed", [], "broken")))
    try:
        deployments.begin_delete("blue", "digits")
        assert left.poll() is not None
    finally:
        left.kill()
        left.wait()
    assert [path.name for path in run.glob("blue-*")] == ["blue-1-1-0.failed"]
    assert not (store.folder("digits") / "deployments" / "blue").exists()
    assert deployments._last_revision(store.get("digits"), "blue") == 3


def test_a_deployment_is_not_deleted_under_the_hands_of_who_makes_it(watched: Watched) -> None:
    store, deployments = watched.store, OnlineDeploymentOperations(watched.workspace)
    store.change("digits", lambda record: record.deployments.update(blue=Deployment({}, "Creating", [])))
    deletes = threading.Thread(target=deployments.begin_delete, args=("blue", "digits"))
    with watched.workspace.lock("deployment-digits-blue"):
        deletes.start()
        threading.Event().wait(0.2)
        assert "blue" in store.get("digits").deployments
    deletes.join(20)
    assert store.get("digits").deployments == {}


def test_workers_of_one_instance_do_not_raise_the_limit() -> None:
    plan = ServingPlan(1, sys.executable, ".", "score.py", 6, 5, 1000, {"WORKER_COUNT": "3"}, {}, workers=3)
    assert plan.most_in_flight == 2 * 5 * 2 and len(plan.processes("blue")) == 6


@pytest.mark.parametrize(
    ("conda", "dependencies"),
    [("name: x\n", []), ("", []), ("dependencies: [python]\n", ["python"]), ("dependencies:\n", [])],
)
def test_an_mlflow_models_conda_file_may_lack_dependencies(tmp_path: Path, conda: str, dependencies: list[str]) -> None:
    (tmp_path / "conda.yaml").write_text(conda)
    deployment = SimpleNamespace(name="blue", environment=None)
    environment = runs_in(deployment, tmp_path, tmp_path, [SERVER, COLLECTOR])
    assert environment and environment["conda_file"]["dependencies"][:-1] == dependencies
    needed = ["azureml-inference-server-http", "azureml-ai-monitoring"]
    assert environment["conda_file"]["dependencies"][-1] == {"pip": needed}
    (tmp_path / "conda.yaml").write_text("[: no")
    with pytest.raises(UserError, match=r"deployment blue: model: .*conda.yaml: not a conda file"):
        runs_in(deployment, tmp_path, tmp_path, [SERVER, COLLECTOR])


def test_the_record_keeps_what_it_learns(watched: Watched) -> None:
    store = watched.store
    store.change("digits", lambda record: record.revisions.update(blue=7))
    assert store.get("digits").revisions == {"blue": 7}
    content = json.loads(store.record("digits").read_text())
    del content["revisions"]  # written before there were any
    write_json(store.record("digits"), content)
    assert store.get("digits").revisions == {}
