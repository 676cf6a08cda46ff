"""uv or pip, whichever is here: makes virtual environments, installs into them, tells what went wrong in one line."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

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

    def without_wheels(self) -> set[str]:
        """The packages of which there is no wheel in the versions that would do, as uv tells."""
        return {canonicalize_name(name) for name in re.findall(r"Wheels are required for `([\w.-]+)`", self.output)}


def scripts(prefix: Path) -> Path:
    """Where a virtual environment has its programs."""
    return prefix / ("Scripts" if os.name == "nt" else "bin")


def interpreter(prefix: Path) -> Path:
    return scripts(prefix) / ("python.exe" if os.name == "nt" else "python")


def packages_of(prefix: Path) -> Path:
    """Where a virtual environment of this Python has its packages."""
    return Path(sysconfig.get_path("purelib", "venv", vars={"base": str(prefix), "platbase": str(prefix)}))


def _binary(wheels: Iterable[str]) -> list[str]:
    return [word for name in wheels for word in ("--only-binary", name)]


class Installer:
    """Builds one virtual environment in `prefix`."""

    def __init__(self, prefix: Path, stopped: Callable[[], bool]) -> None:
        self.prefix, self._stopped = prefix, stopped
        self._uv = _find_uv()
        self._said = prefix.with_name(f"{prefix.name}.out")

    @property
    def speaks_for_others(self) -> bool:
        """Whether it can tell what another version of Python would get: uv can."""
        return self._uv is not None

    def limits(self, versions: Mapping[str, str]) -> str:
        """The line that keeps packages from being newer than these versions."""
        file = self.prefix / "limits.txt"
        file.write_text("".join(f"{name}<={version}\n" for name, version in versions.items()), encoding="utf-8")
        return f"-c {file.as_posix()}"

    def create(self) -> None:
        """Make the environment, with pip in it and nothing else."""
        tool = [self._uv, "venv", "--quiet", "--no-project"] if self._uv else [sys.executable, "-m", "venv"]
        where = ["--python", sys.executable] if self._uv else []
        self._demand(self._run([*tool, *where, str(self.prefix)]))

    def install(self, lines: Sequence[str], wheels: Iterable[str] = ()) -> Outcome:
        """Install what the lines of a requirements file name. wheels: packages not to be compiled here."""
        tool = [self._uv, "pip", "install", *self._where] if self._uv else [*self._pip, "install"]
        return self._check(self._run([*tool, "--quiet", *_binary(wheels), "-r", self._file(lines)]))

    def resolve(
        self,
        lines: Sequence[str],
        wheels: Iterable[str] = (),
        *,
        lowest: bool = False,
        alone: bool = False,
        python: str | None = None,
    ) -> tuple[Outcome, dict[str, str]]:
        """The versions that `install` would take, by canonical name.

        lowest: of what the lines name, the lowest versions instead of the highest. pip can do that for one package
        `alone` only, and takes the highest otherwise. alone: dependencies aside. python: the version of another Python
        to find them for; only where `speaks_for_others`.
        """
        how = ["--quiet", *_binary(wheels), *(["--no-deps"] if alone else [])]
        if self._uv:
            how += ["--no-header", "--no-annotate", "--resolution", "lowest-direct" if lowest else "highest"]
            how += ["--python-version", python] if python else []
            outcome = self._check(self._run([self._uv, "pip", "compile", *self._where, *how, self._file(lines)]))
            found = re.findall(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==(\S+)", outcome.output, re.MULTILINE)
            return outcome, {canonicalize_name(name): version for name, version in found}
        if lowest and alone:
            lines = [*lines[:-1], self._lowest(lines, wheels)]
        report = self.prefix / "report.json"
        report.unlink(missing_ok=True)
        how += ["--dry-run", "--ignore-installed", "--report", str(report)]
        outcome = self._check(self._run([*self._pip, "install", *how, "-r", self._file(lines)]))
        installs = json.loads(report.read_text(encoding="utf-8"))["install"] if report.exists() else []
        told = (each["metadata"] for each in installs)
        return outcome, {canonicalize_name(each["name"]): each["version"] for each in told}

    def _lowest(self, lines: Sequence[str], wheels: Iterable[str]) -> str:
        """The last line with the lowest version that pip finds for it; unchanged if it finds none."""
        requirement = Requirement(lines[-1])
        sources = [word for option in lines[:-1] for word in option.split(" ", 1)]
        told = self._run([*self._pip, "index", "versions", requirement.name, *_binary(wheels), *sources]).output
        listed = re.search(r"Available versions: (.*)", told)
        fitting = sorted(requirement.specifier.filter(listed[1].split(", ") if listed else []), key=Version)
        if fitting:
            requirement.specifier = SpecifierSet(f"=={fitting[0]}")
        return str(requirement)

    @property
    def _where(self) -> list[str]:
        # As pip does: the best version of all indexes, not that of the first which has any.
        return ["--python", str(interpreter(self.prefix)), "--index-strategy", "unsafe-best-match"]

    @property
    def _pip(self) -> list[str]:
        return [str(interpreter(self.prefix)), "-m", "pip", "--no-input", "--disable-pip-version-check"]

    def _file(self, lines: Sequence[str]) -> str:
        file = self.prefix / "requirements.txt"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(file)

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
