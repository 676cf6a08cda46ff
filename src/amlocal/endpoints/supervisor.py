"""The supervisor of a workspace: `python -m amlocal.endpoints.supervisor WORKSPACE`.

One process that runs what the endpoints' records ask for, a gateway for each and the workers of its deployments, and
starts again what dies. Nobody talks to it: it reads the records, again and again, and leaves in each endpoint's run
folder who lives. What it has started goes on without it; a gateway that misses it starts another, which finds
everything there.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from amlocal.endpoints.store import Endpoint, EndpointStore, Plan
from amlocal.errors import UserError
from amlocal.processes import end, find, spawn, write_process
from amlocal.workspace import Workspace

LOOK_SECONDS = 0.1
START_SECONDS = 30.0
# What dies is started again at once, and then ever later: 0.1 s, 0.2 s, ... Whoever lived this long begins anew.
FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS = 0.1, 10.0, 30.0
# A worker whose revision is not wanted is sent away by the gateway; by us if that takes longer than its request may.
GRACE_SECONDS = 5.0

SCORING_GRACE_MS = 500

WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Launch:
    """How one process is started."""

    command: tuple[str, ...]
    log: Path
    cwd: Path
    environment: tuple[tuple[str, str], ...]
    patience: float = 0.0


@dataclass
class Child:
    """One process that should run, through all its lives."""

    process: psutil.Process | None = None
    popen: "subprocess.Popen[bytes] | None" = None
    restarts: int = 0
    pause: float = 0.0
    not_before: float = 0.0
    started: float = field(default_factory=time.monotonic)
    unwanted_since: float | None = None
    patience: float = 0.0

    @property
    def alive(self) -> bool:
        if self.popen:
            return self.popen.poll() is None
        try:
            return self.process is not None and self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class Supervisor:
    """The processes of a workspace's endpoints, by (endpoint, process)."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = EndpointStore(workspace)
        self.children: dict[tuple[str, str], Child] = {}
        for path in self.store.root.glob("*/run/*.json"):
            if process := find(path):  # an earlier supervisor's
                self.children[path.parent.parent.name, path.stem] = Child(process=process)

    def run(self) -> None:
        """Keep the endpoints running until there is nothing to run, or `stop` is there."""
        while not self.store.stop.exists():
            self.reconcile()
            if not self.children and self._nothing_to_do():
                return
            time.sleep(LOOK_SECONDS)
        end(child.process for child in self.children.values() if child.process)

    def reconcile(self) -> None:
        """Start what should run and does not; end what runs and should not."""
        wanted = {
            (endpoint.name, name): launch for endpoint in self.store.all() for name, launch in self._launches(endpoint)
        }
        now = time.monotonic()
        for key, launch in wanted.items():
            child = self.children.setdefault(key, Child())
            child.unwanted_since = None
            child.patience = launch.patience
            if not child.alive:
                self._restart(key, child, launch, now)
        for key in [key for key in self.children if key not in wanted]:
            self._dismiss(key, now)

    def _nothing_to_do(self) -> bool:
        """Whether we can go: nobody wants anything, and whoever does from now on finds us gone and starts another."""
        with self.workspace.lock("supervisor"):
            if any(True for _ in self.store.all()):
                return False
            self.store.supervisor.unlink(missing_ok=True)
            return True

    def _restart(self, key: tuple[str, str], child: Child, launch: Launch, now: float) -> None:
        endpoint, name = key
        run = self.store.run(endpoint)
        if child.popen or child.process:  # it has just died
            lived = now - child.started
            child.pause = 0.0 if lived > STEADY_SECONDS else min(max(2 * child.pause, FIRST_PAUSE), LONGEST_PAUSE)
            child.not_before = now if child.restarts == 0 else now + child.pause
            child.restarts += 1
            child.popen = child.process = None
        if now < child.not_before or not self.store.record(endpoint).exists():
            return
        (run / f"{name}.ready").unlink(missing_ok=True)
        child.started = now
        try:
            child.popen = spawn(launch.command, launch.log, launch.cwd, dict(launch.environment))
            child.process = psutil.Process(child.popen.pid)
            write_process(run / f"{name}.json", child.popen.pid, restarts=child.restarts)
        except (FileNotFoundError, psutil.NoSuchProcess):
            return  # its endpoint is being deleted in this moment, or it died at once: the next look tells

    def _dismiss(self, key: tuple[str, str], now: float) -> None:
        child = self.children[key]
        gateway = self.children.get((key[0], "gateway"))
        child.unwanted_since = child.unwanted_since or now
        overdue = now - child.unwanted_since > child.patience or gateway is None or not gateway.alive
        if child.alive and (overdue or key[1] == "gateway") and child.process:
            end([child.process])
        if not child.alive:
            del self.children[key]
            for mark in ("json", "ready", "failed"):
                (self.store.run(key[0]) / f"{key[1]}.{mark}").unlink(missing_ok=True)

    # -- how each is started

    def _launches(self, endpoint: Endpoint) -> Iterator[tuple[str, Launch]]:
        run = self.store.run(endpoint.name)
        module = (sys.executable, "-m", "amlocal.endpoints.gateway", str(self.workspace.root), endpoint.name)
        variables = {**os.environ, **self._marks(endpoint)}
        yield "gateway", Launch(module, self.store.log(endpoint.name, "gateway"), run, tuple(variables.items()))
        for name, deployment in endpoint.deployments.items():
            for plan in deployment.plans:
                environment = tuple(self._environment(endpoint, name, plan).items())
                for process in plan.processes(name):
                    command = (plan.python, "-P", str(WORKER), str(run), process, name, str(plan.revision))
                    yield (
                        process,
                        Launch(
                            command,
                            self.store.log(endpoint.name, name),
                            Path(plan.folder, "code"),
                            environment,
                            plan.timeout_ms / 1000 + GRACE_SECONDS,
                        ),
                    )

    def _marks(self, endpoint: Endpoint) -> dict[str, str]:
        """By these `aml down` knows whose a process is, whoever started it."""
        return {"AMLOCAL_HOME": str(self.workspace.root), "AMLOCAL_ENDPOINT": endpoint.name}

    def _environment(self, endpoint: Endpoint, deployment: str, plan: Plan) -> dict[str, str]:
        """What Azure's container has in its environment, as far as it means something here."""
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("AZUREML_", "AML_", "MLFLOW_", "PYTHONPATH", "PYTHONHOME"))
        }
        no_proxy = ",".join(filter(None, (inherited.get("NO_PROXY") or inherited.get("no_proxy"), "127.0.0.1")))
        folder = Path(plan.folder)
        variables = {
            **inherited,
            **self._marks(endpoint),
            "PATH": os.pathsep.join([str(Path(plan.python).parent), inherited.get("PATH", "")]),
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "AML_APP_ROOT": str(folder / "code"),
            "AZUREML_ENTRY_SCRIPT": plan.entry_script,
            "AZUREML_MODEL_DIR": str(folder / "model"),
            # After the gateway has answered 408, before it kills the process.
            "SCORING_TIMEOUT_MS": str(plan.timeout_ms + SCORING_GRACE_MS),
            "SERVICE_NAME": endpoint.name,
        }
        if set(plan.collections) - {"request", "response"}:
            secret = (self.store.run(endpoint.name) / "secret").read_text(encoding="utf-8")
            variables |= {
                "AZUREML_MDC_CONFIG_PATH": str(folder / "collector.json"),
                # The Collector puts this into an address, and requests takes the user from it: so the gateway knows
                # whose records they are, and that they may come.
                "AZUREML_MDC_HOST": f"{deployment}:{secret}@127.0.0.1",
                "AZUREML_MDC_PORT": str(endpoint.port),
            }
        return variables | plan.variables


def running(workspace: Workspace) -> psutil.Process | None:
    """The workspace's supervisor, if it has one."""
    return find(EndpointStore(workspace).supervisor)


def ensure(workspace: Workspace) -> None:
    """Have a supervisor run. Raises UserError when it does not start."""
    store = EndpointStore(workspace)
    store.stop.unlink(missing_ok=True)
    log = store.root / "supervisor.log"
    with workspace.lock("supervisor"):
        if running(workspace):
            return
        process = _start(workspace, log)
        deadline = time.monotonic() + START_SECONDS
        while not running(workspace):
            if process.poll() is not None or time.monotonic() > deadline:
                raise UserError(f"the supervisor of the endpoints did not start; see {log}")
            time.sleep(0.01)
    process.returncode = 0  # not ours to wait for


def revive(workspace: Workspace) -> None:
    """Start a supervisor if there is none; does not wait for it."""
    if not running(workspace):
        _start(workspace, EndpointStore(workspace).root / "supervisor.log").returncode = 0


def _start(workspace: Workspace, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "amlocal.endpoints.supervisor", str(workspace.root)]
    return spawn(command, log, workspace.root, os.environ)


def main(root: str) -> int:
    from filelock import FileLock, Timeout

    workspace = Workspace(Path(root))
    store = EndpointStore(workspace)
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGTERM, lambda *_: store.stop.touch())
    try:
        with FileLock(store.root / "supervisor.lock", timeout=0.5):
            write_process(store.supervisor, os.getpid())
            Supervisor(workspace).run()
    except Timeout:
        print("another supervisor runs already", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
