"""The supervisor of a workspace: `python -m amlocal.endpoints.supervisor WORKSPACE`.

One process that runs what the endpoints' records ask for, a gateway for each and the workers of its deployments, and
starts again what dies. Nobody talks to it: it reads the records, again and again, and leaves in each endpoint's run
folder who lives. What it has started goes on without it; a gateway that misses it starts another, which finds
everything there.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from amlocal.core.errors import UserError
from amlocal.core.files import write_json, write_text
from amlocal.core.processes import (
    end,
    find,
    inherited,
    lives,
    marked,
    spawn,
    spawn_orphan,
    tell,
    with_children,
    write_process,
)
from amlocal.core.workspace import NAMED_BY, Workspace
from amlocal.endpoints.logs import keep_short, say
from amlocal.endpoints.store import BATCH, ONLINE, Endpoint, EndpointStore, ServingPlan

LOOK_SECONDS = 0.1
START_SECONDS = 300.0  # the machine may be busy
# What dies is started again at once, and then ever later: 0.1 s, 0.2 s, ... Whoever lived this long begins anew.
FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS = 0.1, 10.0, 30.0
# What has served is missed, and what has not even started well would not the next time.
LONGEST_PAUSE_OF_THE_READY = 0.5
# A worker whose revision is not wanted is sent away by the gateway; by us if that takes longer than its request may.
GRACE_SECONDS = 5.0
KILL_SECONDS = 5.0  # for whoever has been told to end, and those it has started
LOCK_SECONDS = 1.0
ANOTHER_RUNS = 75  # exit code: sysexits.h, EX_TEMPFAIL

SCORING_GRACE_MS = 500

WORKER = Path(__file__).parent / "worker" / "instance.py"
GATEWAYS = {ONLINE: "amlocal.endpoints.gateway.server", BATCH: "amlocal.batch.server"}
# glibc's own values, which it raises once large bodies come and go, to keep for ever what they have taken.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}


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
    last_exit: str | None = None
    pause: float = 0.0
    not_before: float = 0.0
    started: float = field(default_factory=time.monotonic)
    unwanted_since: float | None = None
    unwritten: bool = False  # its record could not be written
    patience: float = GRACE_SECONDS
    doomed: list[psutil.Process] = field(default_factory=list)  # it and what it has started, once told to end
    kill_from: float = 0.0

    @property
    def alive(self) -> bool:
        if self.popen:
            return self.popen.poll() is None
        return self.process is not None and lives(self.process)

    def doom(self, now: float) -> None:
        """Tell it to end, politely."""
        if self.process and not self.doomed:
            self.doomed, self.kill_from = with_children([self.process]), now + KILL_SECONDS
            tell(self.doomed, "terminate")

    def see_to_its_end(self, now: float) -> bool:
        """Whether nothing is left of what was told to end; who takes too long is killed."""
        self.doomed = [each for each in self.doomed if lives(each)]
        if self.doomed and now >= self.kill_from:
            tell(self.doomed, "kill")
        return not self.doomed


class Supervisor:
    """The processes of a workspace's endpoints, by (endpoint, process)."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = EndpointStore(workspace, None)
        self.children: dict[tuple[str, str], Child] = {}
        self._said: dict[str, str] = {}
        self._kept: dict[int, socket.socket] = {}  # the endpoints' ports
        self._leaving = False
        self._unwritten = True
        for path in self.store.root.glob("*/run/*.json"):
            if process := find(path):  # an earlier supervisor's
                self.children[path.parent.parent.name, path.stem] = Child(process=process)
        end(self._strays())

    def _strays(self) -> Iterator[psutil.Process]:
        """What an earlier supervisor started, and died before it could put it on record."""
        known = {child.process.pid for child in self.children.values() if child.process}
        for process in marked(self.workspace.root, "AMLOCAL_ENDPOINT"):
            with contextlib.suppress(psutil.Error, OSError):
                command = process.cmdline()
                # What a script has started may have its command, too, but is in its session.
                leads = os.name == "nt" or os.getsid(process.pid) == process.pid
                if leads and process.pid not in known and {str(WORKER), *GATEWAYS.values()} & set(command):
                    yield process

    def run(self) -> None:
        """Keep the endpoints running until there is nothing to run, `.stop` is there, or we are told to leave."""
        while not self._off_the_record():
            with self._only("endpoints"):
                self.reconcile()
            time.sleep(LOOK_SECONDS)
        children = list(self.children.values())
        doomed = [each for child in children for each in child.doomed]
        end([*doomed, *(child.process for child in children if child.process)])

    def leave(self) -> None:
        """End what runs, and go: the system shuts down, or somebody wants us gone."""
        self._leaving = True

    def _off_the_record(self) -> bool:
        """Whether it is time to go. Then we are on record no more: who wants something from now on starts another."""
        if not self._time_to_go():
            return False
        try:
            with self.workspace.lock("supervisor", LOCK_SECONDS):
                if not self._time_to_go():  # somebody came before us, and counts on us
                    return False
                self.store.supervisor.unlink(missing_ok=True)
                return True
        except (OSError, UserError):
            return self._leaving

    def _time_to_go(self) -> bool:
        if self._leaving or self.store.stop.exists():
            return True
        return not self._unwritten and not self.children and not any(self.store.root.glob("*/endpoint.json"))

    @contextlib.contextmanager
    def _only(self, about: str) -> Iterator[None]:
        """What goes wrong with one thing keeps nobody from the others; it is said once, and tried again."""
        try:
            yield
        except (OSError, UserError, psutil.Error) as error:
            self._complain(about, str(error))

    def _complain(self, about: str, what: str) -> None:
        if what != self._said.get(about):
            self._said[about] = what
            say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} | {about}: {what}")

    def reconcile(self) -> None:
        """Start what should run and does not; end what runs and should not."""
        wanted: dict[tuple[str, str], Launch] = {}
        broken: set[str] = set()

        def leave_out(name: str, why: str) -> None:
            broken.add(name)
            self._complain(f"endpoint {name}", why)

        endpoints = list(self.store.all(leave_out))
        for endpoint in endpoints:
            try:
                wanted |= {(endpoint.name, name): launch for name, launch in self._launches(endpoint)}
            except (OSError, UserError) as error:
                leave_out(endpoint.name, str(error))
        self._keep_ports({endpoint.port for endpoint in endpoints}, release=not broken)
        now = time.monotonic()
        if self._unwritten:  # others must know that there is one
            self._unwritten = not _written(self.store.supervisor, os.getpid())
        for log in {launch.log for launch in wanted.values()} | {self.store.supervisor_log}:
            with self._only(str(log)):
                keep_short(log)
        for key, launch in wanted.items():
            with self._only("/".join(key)):
                self._look_after(key, launch, now)
        for key in [key for key in self.children if key not in wanted and key[0] not in broken]:
            with self._only("/".join(key)):
                self._dismiss(key, now)

    def _keep_ports(self, wanted: set[int], release: bool) -> None:
        """Keep other users from the endpoints' ports, also in the moment after a gateway has died.

        On Linux sockets of one user, and of nobody else, may share a port that each asks to share; only the gateway's
        listens. release: whether to let go of the others; a record that cannot be read may name one of them.
        """
        if sys.platform != "linux":
            return
        for port in self._kept.keys() - wanted if release else ():
            self._kept.pop(port).close()
        for port in wanted - self._kept.keys():
            kept = socket.socket()
            try:
                kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                kept.bind(("127.0.0.1", port))
                self._kept[port] = kept
            except (OSError, OverflowError):  # another program's, or no port: the gateway says so
                kept.close()

    def _look_after(self, key: tuple[str, str], launch: Launch, now: float) -> None:
        child = self.children.setdefault(key, Child())
        child.unwanted_since = None
        child.patience = launch.patience
        if child.see_to_its_end(now) and not child.alive:
            self._restart(key, child, launch, now)
        if child.unwritten and child.popen:
            self._record(self.store.run(key[0]) / f"{key[1]}.json", child)

    def _restart(self, key: tuple[str, str], child: Child, launch: Launch, now: float) -> None:
        endpoint, name = key
        run = self.store.run(endpoint)
        if child.popen or child.process:  # it has just died
            lived, ready = now - child.started, (run / f"{name}.ready").exists()
            longest = LONGEST_PAUSE_OF_THE_READY if ready else LONGEST_PAUSE
            child.pause = 0.0 if lived > STEADY_SECONDS else min(max(2 * child.pause, FIRST_PAUSE), longest)
            child.not_before = now if child.restarts == 0 else now + child.pause
            child.restarts += 1
            child.last_exit = _how_it_ended(child.popen)
            child.popen = child.process = None
            self._say_how_it_ended(run, name, child, launch.log)
        if now < child.not_before or not self.store.record(endpoint).exists():
            return
        (run / f"{name}.ready").unlink(missing_ok=True)
        child.started = now
        try:
            child.popen = spawn(launch.command, launch.log, launch.cwd, dict(launch.environment))
            child.process = psutil.Process(child.popen.pid)
        except psutil.NoSuchProcess:
            return  # it died at once: the next look tells
        except (OSError, UserError) as error:
            if self.store.record(endpoint).exists():  # else it is being deleted in this moment
                self._cannot_start(key, child, str(error))
            return
        if self._said.pop("/".join(key), None):  # what has kept it from being started
            (run / f"{name}.failed").unlink(missing_ok=True)
        self._record(run / f"{name}.json", child)

    def _record(self, path: Path, child: Child) -> None:
        """Let health and the next supervisor know of a process; if the disk is full, at a later look."""
        if child.popen:
            more = {"restarts": child.restarts, "last_exit": child.last_exit}
            child.unwritten = not _written(path, child.popen.pid, **more)

    def _cannot_start(self, key: tuple[str, str], child: Child, why: str) -> None:
        """Leave the reason for its health, and try again after a pause."""
        child.pause = min(max(2 * child.pause, FIRST_PAUSE), LONGEST_PAUSE)
        child.not_before = child.started + child.pause
        self._complain("/".join(key), why)
        with contextlib.suppress(OSError, UserError):
            write_text(self.store.run(key[0]) / f"{key[1]}.failed", why)

    def _say_how_it_ended(self, run: Path, name: str, child: Child, log: Path) -> None:
        """Say that a process has died, in its log and for its health."""
        with contextlib.suppress(OSError, UserError):  # a full disk, or its endpoint is being deleted
            write_json(run / f"{name}.json", {"restarts": child.restarts, "last_exit": child.last_exit})
            with log.open("a", encoding="utf-8") as output:
                output.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} | {name} {child.last_exit}; it is started again\n")

    def _dismiss(self, key: tuple[str, str], now: float) -> None:
        child = self.children[key]
        gateway = self.children.get((key[0], "gateway"))
        child.unwanted_since = child.unwanted_since or now
        forsaken = gateway is None or gateway.doomed or not gateway.alive
        overdue = now - child.unwanted_since > child.patience
        if child.alive and (overdue or forsaken or key[1] == "gateway"):
            child.doom(now)
        if child.see_to_its_end(now) and not child.alive:
            del self.children[key]
            self._said.pop("/".join(key), None)
            for mark in ("json", "ready", "failed"):
                (self.store.run(key[0]) / f"{key[1]}.{mark}").unlink(missing_ok=True)

    # -- how each is started

    def _launches(self, endpoint: Endpoint) -> Iterator[tuple[str, Launch]]:
        run = self.store.run(endpoint.name)
        module = (sys.executable, "-m", GATEWAYS[endpoint.kind], str(self.workspace.root), endpoint.name)
        variables = {**os.environ, **ALLOCATOR, **self._marks(endpoint)}
        yield "gateway", Launch(module, self.store.gateway_log(endpoint.name), run, tuple(variables.items()))
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
                            plan.patience + GRACE_SECONDS,
                        ),
                    )

    def _marks(self, endpoint: Endpoint) -> dict[str, str]:
        """By these `aml down` knows whose a process is, whoever started it."""
        return {"AMLOCAL_HOME": str(self.workspace.root), "AMLOCAL_ENDPOINT": endpoint.name}

    def _environment(self, endpoint: Endpoint, deployment: str, plan: ServingPlan) -> dict[str, str]:
        """What Azure's container has in its environment, as far as it means something here."""
        ours = inherited("AZUREML_", "AML_", "MLFLOW_", "PYTHONPATH", "PYTHONHOME")
        no_proxy = ",".join(filter(None, (ours.get("NO_PROXY") or ours.get("no_proxy"), "127.0.0.1")))
        folder = Path(plan.folder)
        variables = {
            **ours,
            **self._marks(endpoint),
            NAMED_BY[0]: self.workspace.name,
            "PATH": os.pathsep.join([str(Path(plan.python).parent), ours.get("PATH", "")]),
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


def _written(path: Path, pid: int, **more: Any) -> bool:
    """Put a process on record, if there is room."""
    try:
        write_process(path, pid, **more)
    except (OSError, UserError):
        return False
    return True


def _how_it_ended(popen: "subprocess.Popen[bytes] | None") -> str:
    code = popen.returncode if popen else None
    if code is None:  # another supervisor's child: the system told that one
        return "died"
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def running(workspace: Workspace) -> psutil.Process | None:
    """The workspace's supervisor, if it has one that is not about to go."""
    return find(EndpointStore(workspace).supervisor)


def ensure(workspace: Workspace) -> None:
    """Have a supervisor run. Raises UserError when it does not start."""
    store = EndpointStore(workspace)
    log = store.supervisor_log
    process = None
    with workspace.lock("supervisor", START_SECONDS + 30):
        store.stop.unlink(missing_ok=True)
        deadline = time.monotonic() + START_SECONDS
        while not running(workspace):
            # Another may still be about to go, or somebody else's not on record yet.
            if process is None or process.poll() == ANOTHER_RUNS:
                process = spawn(_command(workspace), log, workspace.root, os.environ)
            if process.poll() not in (None, ANOTHER_RUNS) or time.monotonic() > deadline:
                raise UserError(f"the supervisor of the endpoints did not start; see {log}")
            time.sleep(0.01)
    if process:
        process.returncode = 0  # not ours to wait for


def revive(workspace: Workspace, last: "subprocess.Popen[bytes] | None") -> "subprocess.Popen[bytes] | None":
    """Start a supervisor if there is none; does not wait for it. last: what the last call has returned."""
    if (last and last.poll() is None) or running(workspace):
        return last
    # not as our child: who ends us would end it, and with it all that it has started
    return spawn_orphan(_command(workspace), EndpointStore(workspace).supervisor_log, workspace.root, os.environ)


def _command(workspace: Workspace) -> list[str]:
    return [sys.executable, "-m", "amlocal.endpoints.supervisor", str(workspace.root)]


def main(root: str) -> int:
    from filelock import FileLock, Timeout

    workspace = Workspace.at(Path(root))
    store = EndpointStore(workspace)
    try:
        with FileLock(store.root / "supervisor.lock", timeout=0.5, mode=0o600):
            supervisor = Supervisor(workspace)
            if hasattr(signal, "SIGCHLD"):
                signal.signal(signal.SIGTERM, lambda *_: supervisor.leave())
            supervisor.run()
    except Timeout:
        return ANOTHER_RUNS
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
