"""uv or pip, whichever is here: makes virtual environments, installs into them, tells what went wrong in one line."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from amlocal.core.errors import UserError
from amlocal.core.lifeline import LIFELINE

POLL_SECONDS = 0.02
NO_NETWORK = re.compile(
    r"error sending request|dns error|Failed to fetch|NewConnectionError|NameResolutionError|Max retries exceeded"
    r"|Connection refused|ConnectTimeout|Temporary failure in name resolution|ProxyError|SSLError"
    r"|Could not resolve host"
)
FULL = re.compile(r"No space left on device|os error 28|os error 112|Disk quota exceeded")


class Stopped(UserError):
    """The job was canceled while its environment was built."""


class Unreachable(UserError):
    """A package index, or a repository, does not answer."""


@dataclass(frozen=True)
class Outcome:
    """How a call of uv or pip ended."""

    code: int
    output: str

    def mentions(self, names: Iterable[str]) -> set[str]:
        """Those of the packages that the output speaks of."""
        words = {canonicalize_name(word.rstrip(".-_")) for word in re.findall(r"[A-Za-z0-9][\w.-]*", self.output)}
        return {name for name in names if name in words}


def scripts(prefix: Path) -> Path:
    """Where a virtual environment has its programs."""
    return prefix / ("Scripts" if os.name == "nt" else "bin")


def interpreter(prefix: Path) -> Path:
    return scripts(prefix) / ("python.exe" if os.name == "nt" else "python")


def packages_of(prefix: Path) -> Path:
    """Where a virtual environment of this Python has its packages."""
    return Path(sysconfig.get_path("purelib", "venv", vars={"base": str(prefix), "platbase": str(prefix)}))


class Installer:
    """Builds one virtual environment in `prefix`."""

    def __init__(self, prefix: Path, stopped: Callable[[], bool]) -> None:
        self.prefix, self._stopped = prefix, stopped
        self._uv = _find_uv()
        self._said = prefix.with_name(f"{prefix.name}.out")

    def create(self) -> None:
        """Make the environment, with pip in it and nothing else."""
        tool = [self._uv, "venv", "--quiet", "--no-project"] if self._uv else [sys.executable, "-m", "venv"]
        where = ["--python", sys.executable] if self._uv else []
        self._demand(self._run([*tool, *where, str(self.prefix)]))

    def install(self, lines: Sequence[str], wheels: Iterable[str] = (), trial: bool = False) -> Outcome:
        """Install what the lines of a requirements file name.

        wheels: packages not to be compiled here. trial: only see whether each could be had, dependencies aside.
        """
        file = self.prefix / "requirements.txt"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        options = ["--quiet", "-r", str(file)]
        options += [word for name in wheels for word in ("--only-binary", name)]
        options += ["--dry-run", "--no-deps"] if trial else []
        if self._uv:
            # As pip does: the best version of all indexes, not that of the first which has any.
            where = ["--python", str(interpreter(self.prefix)), "--index-strategy", "unsafe-best-match"]
            return self._check(self._run([self._uv, "pip", "install", *where, *options]))
        pip = [str(interpreter(self.prefix)), "-m", "pip", "--no-input", "--disable-pip-version-check"]
        return self._check(self._run([*pip, "install", *options]))

    def _run(self, command: Sequence[str]) -> Outcome:
        """Run to the end, or until the job is canceled; dies with us (what is half installed, nobody will use)."""
        elsewhere = ("VIRTUAL_ENV", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")
        variables = {key: value for key, value in os.environ.items() if key not in elsewhere}
        with self._said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LIFELINE), *command],
                cwd=self.prefix.parent,
                env={**variables, "NO_COLOR": "1", "PYTHONUTF8": "1", "PIP_USER": "0"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            assert process.stdin
            try:
                while process.poll() is None:
                    if self._stopped():
                        raise Stopped("environment: canceled while it was built")
                    time.sleep(POLL_SECONDS)
            finally:
                process.stdin.close()
                process.wait()
        text = self._said.read_text(encoding="utf-8", errors="replace")
        self._said.unlink()
        return Outcome(process.returncode, text)

    @staticmethod
    def _check(outcome: Outcome) -> Outcome:
        """Raises UserError where trying other versions would not help."""
        if outcome.code and FULL.search(outcome.output):
            raise UserError("environment: the disk is full; free some space (`aml doctor` shows how much is left)")
        if outcome.code and NO_NETWORK.search(outcome.output):
            address = re.search(r"https?://[^\s'\"`)]+", outcome.output)
            raise Unreachable(
                f"environment: {address[0] if address else 'the package index'} could not be reached; connect to the"
                " network, or name another index (UV_DEFAULT_INDEX for uv, PIP_INDEX_URL for pip), and try again"
            )
        return outcome

    @staticmethod
    def _demand(outcome: Outcome) -> None:
        if outcome.code:
            Installer._check(outcome)
            last = (outcome.output.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"environment: no virtual environment could be made: {last}")


def _find_uv() -> str | None:
    try:
        import uv

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        return shutil.which("uv")
