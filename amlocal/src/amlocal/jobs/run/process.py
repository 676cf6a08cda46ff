"""A step's process: bash on a command, its output in a file, its life tied to ours."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from amlocal.core.errors import UserError
from amlocal.core.lifeline import LIFELINE

POLL_SECONDS = 0.05


def bash() -> str:
    """The shell that commands are written for. Raises UserError where there is none."""
    found = shutil.which("bash")
    if os.name == "nt" and (not found or "system32" in found.lower()):
        # Windows' own bash.exe starts a Linux machine that knows nothing of this Python.
        git = Path(os.environ.get("PROGRAMFILES", r"C:\Program Files"), "Git", "bin", "bash.exe")
        found = str(git) if git.exists() else None
    if not found:
        raise UserError("bash: not found, and a job's command is a bash script; on Windows install Git for Windows")
    return found


def wait(
    processes: Sequence["Process"], stop: Callable[[], bool], servers: Sequence["Process"] = ()
) -> list[int] | None:
    """The exit codes of processes that belong together, or None when `stop` said so first; all have ended then.

    servers: those that serve the others for ever; what they have to do is over when the others are. When a process
    fails the others are ended, since they would wait for it for ever; their code is 0. A negative code: the lifeline
    itself was killed.
    """
    awaited = [process for process in processes if process not in servers]
    running = list(awaited)
    codes: list[int | None] = []
    stopped = False
    while running and not stopped and not any(codes):
        with contextlib.suppress(subprocess.TimeoutExpired):
            running[0].popen.wait(POLL_SECONDS)
        codes = [process.popen.poll() for process in processes]
        running = [process for process in awaited if process.popen.poll() is None]
        stopped = bool(running) and stop()
    for process in processes:
        process.let_go()
    for process in processes:
        process.popen.wait()
    return None if stopped else [code or 0 for code in codes]


class Process:
    """A running command and everything it starts."""

    def __init__(self, command: str, cwd: Path, environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LIFELINE), bash(), "-c", command],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def let_go(self) -> None:
        """Have the lifeline end the command and what it started, if it runs: politely, then for good."""
        assert self.popen.stdin
        self.popen.stdin.close()
