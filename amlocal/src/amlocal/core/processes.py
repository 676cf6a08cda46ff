"""Processes that outlive the command that starts them: started detached, found by id and start time, ended for good."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors, read_json, write_json

# What a notebook's kernel sets for what it runs itself: where plots go to, colours, whose child it is.
OF_A_KERNEL = ("MPLBACKEND", "CLICOLOR", "FORCE_COLOR", "JPY_", "IPY_")


def inherited(*without: str) -> dict[str, str]:
    """The variables of this process that those it runs for somebody may have; without: how the others begin."""
    return {key: value for key, value in os.environ.items() if not key.startswith((*without, *OF_A_KERNEL))}


def spawn(
    command: Sequence[str], log: Path, cwd: Path, environment: Mapping[str, str], stdin: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Start a process out of this terminal's reach; what it prints is appended to `log`.

    Raises UserError: what cannot be opened, entered or run.
    """
    detached: dict[str, Any] = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined]
        if os.name == "nt"
        else {"start_new_session": True}
    )
    with disk_errors(log):
        output = log.open("ab")
    with output:
        try:
            return subprocess.Popen(
                command, cwd=cwd, env=dict(environment), stdin=stdin, stdout=output, stderr=output, **detached
            )
        except OSError as error:
            what = error.filename or command[0]
            raise UserError(f"{what}: a process cannot be started with this: {error.strerror or error}") from error


# Starts what it is told, and is gone; the flags are those of `spawn`.
STARTER = """
import os, subprocess, sys
subprocess.Popen(sys.argv[1:], **({"creationflags": 0x08000200} if os.name == "nt" else {"start_new_session": True}))
"""


def spawn_orphan(
    command: Sequence[str], log: Path, cwd: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """As `spawn`, but the process is not a child of this one, and not ended with it. Returns the one that starts it."""
    return spawn([sys.executable, "-IS", "-c", STARTER, *command], log, cwd, environment)


def write_process(path: Path, pid: int, **more: Any) -> None:
    """Put a process on record; when it was started tells it from a later one that is given the same id."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0
    write_json(path, {"pid": pid, "started": started, "birth": _birth(pid), **more})


def _birth(pid: int) -> str | None:
    """When a process was started, by a clock that nobody sets; None where the system does not tell.

    psutil's time of the start moves with the system's clock, as that of a machine that was asleep does.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # proc(5): field 22, and the second, the command's name in brackets, may hold anything
        ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return None
    return f"{boot} {ticks}"


def find(path: Path) -> psutil.Process | None:
    """The living process that `path` has on record."""
    try:
        recorded = read_json(path)
        process = psutil.Process(recorded["pid"])
        birth = recorded.get("birth")
        same = birth == _birth(process.pid) if birth else abs(process.create_time() - recorded["started"]) < 1
        if same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (OSError, UserError, KeyError, TypeError, ValueError, AttributeError, psutil.Error):
        pass  # nothing on record, or nothing that we have written
    return None


def end(processes: Iterable[psutil.Process], patience: float = 5.0) -> None:
    """End processes and all they have started, but this one: politely, after `patience` seconds by force."""
    left = with_children(processes)
    for how in ("terminate", "kill"):
        tell(left, how)
        _, left = psutil.wait_procs(left, timeout=patience)


def with_children(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Processes and all they have started, but this one."""
    tree: dict[int, psutil.Process] = {}
    for process in processes:
        try:
            tree.update({one.pid: one for one in (*process.children(recursive=True), process)})
        except psutil.NoSuchProcess:
            continue
    tree.pop(os.getpid(), None)
    return list(tree.values())


def tell(processes: Iterable[psutil.Process], how: str) -> None:
    """Have processes end; how: "terminate" or "kill". Does not wait for it."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            getattr(process, how)()


def lives(process: psutil.Process) -> bool:
    """Whether it does, and its id is not another's by now."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(root: Path, mark: str, values: set[str] | None = None) -> Iterator[psutil.Process]:
    """The processes, but this one, that were started for the workspace `root` and carry `mark` in their environment.

    values: only those whose `mark` has one of these values. Whoever started them, and whatever they are a child of.
    """
    for process in psutil.process_iter():
        try:
            variables = process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        ours = variables.get("AMLOCAL_HOME") == str(root) and mark in variables and process.pid != os.getpid()
        if ours and (values is None or variables[mark] in values):
            yield process


def free_ports(count: int) -> list[int]:
    """Ports of this machine's loopback nobody listens at now, all different."""
    with ExitStack() as stack:  # all held at once: a port that was let go may be given again
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in sockets]


def port_is_free(port: int) -> bool:
    """Whether a server on this machine's loopback could take `port` now."""
    with socket.socket() as probe:
        if os.name != "nt":  # there the option would let the probe succeed on a port in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True
