"""Processes that outlive the command that starts them: started detached, found by id and start time, ended for good."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from amlocal.errors import UserError
from amlocal.workspace import disk_errors, read_json, write_json


def spawn(
    command: Sequence[str], log: Path, cwd: Path, environment: Mapping[str, str], stdin: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Start a process out of this terminal's reach; what it prints is appended to `log`."""
    detached: dict[str, Any] = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined]
        if os.name == "nt"
        else {"start_new_session": True}
    )
    with disk_errors(log), log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=cwd, env=dict(environment), stdin=stdin, stdout=output, stderr=output, **detached
        )


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
    """Put a process on record; its start time tells it from a later one that is given the same id."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0
    write_json(path, {"pid": pid, "started": started, **more})


def find(path: Path) -> psutil.Process | None:
    """The living process that `path` has on record."""
    try:
        recorded = read_json(path)
        process = psutil.Process(recorded["pid"])
        if abs(process.create_time() - recorded["started"]) < 1 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (OSError, UserError, KeyError, psutil.NoSuchProcess):
        pass
    return None


def end(processes: Iterable[psutil.Process], patience: float = 5.0) -> None:
    """End processes and all they have started, but this one: politely, after `patience` seconds by force."""
    tree: dict[int, psutil.Process] = {}
    for process in processes:
        try:
            tree.update({one.pid: one for one in (*process.children(recursive=True), process)})
        except psutil.NoSuchProcess:
            continue
    tree.pop(os.getpid(), None)
    left = list(tree.values())
    for how in ("terminate", "kill"):
        for process in left:
            try:
                getattr(process, how)()
            except psutil.NoSuchProcess:
                continue
        _, left = psutil.wait_procs(left, timeout=patience)


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
