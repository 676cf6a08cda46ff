"""A step's process: bash on a command, its output in a file, its life tied to ours."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from amlocal.errors import UserError

LIFELINE = Path(__file__).with_name("lifeline.py")
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


class Process:
    """A running command and everything it starts."""

    def __init__(self, command: str, cwd: Path, environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LIFELINE), bash(), "-c", command],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait(self, stop: Callable[[], bool]) -> int | None:
        """The command's exit code (negative: the lifeline itself was killed), or None when `stop` ended it first."""
        while True:
            try:
                return self._popen.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if stop():
                    self.end()
                    return None

    def end(self) -> None:
        """End the command and what it started: the lifeline asks politely, then kills."""
        assert self._popen.stdin
        self._popen.stdin.close()
        self._popen.wait()
