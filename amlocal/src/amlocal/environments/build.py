"""Virtual environments for jobs, named after what is in them: built once, whole or not at all, and kept.

environments/<hash>/<attempt>/     one virtual environment; an attempt that was killed is never looked at again
environments/<hash>/built.json     which attempt is the good one, and what is in it that was not asked for
"""

import hashlib
import json
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TextIO

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from amlocal.core.durable import make_folder, sync
from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors, read_json, write_json
from amlocal.core.records import damaged
from amlocal.core.trust import check_file
from amlocal.core.workspace import Workspace
from amlocal.environments import overlay
from amlocal.environments.installer import Installer, Outcome, Stopped, Unreachable, interpreter, packages_of
from amlocal.environments.wanted import Package, Wanted

WAIT_SECONDS = 0.2
PATIENCE_SECONDS = 7200  # for somebody else who builds the same
# What conda puts beside every Python, and old packages take for granted; setuptools 81 is the last with pkg_resources.
BESIDE_PYTHON = ("pip", "setuptools<82", "wheel")
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"


def built(
    wanted: Wanted, missing: list[str], workspace: Workspace, log: Path, stopped: Callable[[], bool]
) -> tuple[Path, list[str]]:
    """The virtual environment (its folder) with what is wanted, and what the log should say of it.

    missing: what this Python lacks, for the log of the job that builds. Raises UserError.
    """
    lines = sorted({*(str(package.requirement) for package in wanted.packages), *wanted.options})
    python = [sys.version, sys.prefix, wanted.python or "", wanted.layered]
    key = hashlib.sha256(json.dumps([python, lines]).encode()).hexdigest()[:16]
    folder = workspace.environments / key
    found = _published(folder)
    if found:
        return found
    with disk_errors(folder), _alone(folder, log, stopped):
        found = _published(folder)
        if found:
            return found
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        prefix = folder / secrets.token_hex(4)
        with log.open("a", encoding="utf-8") as output:
            try:
                notices = _build(wanted, missing, Installer(prefix, stopped), output)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        sync(folder)
        write_json(
            folder / "built.json", {"folder": prefix.name, "notices": notices, "asked": [*map(without_password, lines)]}
        )
        return prefix, notices


def _published(folder: Path) -> tuple[Path, list[str]] | None:
    try:
        about = read_json(folder / "built.json")
    except FileNotFoundError:
        return None
    if not isinstance(about.get("folder"), str) or not isinstance(about.get("notices"), list):
        raise damaged(folder / "built.json", "it does not say which folder the environment is in")
    prefix = folder / about["folder"]
    if not interpreter(prefix).exists():
        return None
    check_file(interpreter(prefix))
    return prefix, about["notices"]


@contextmanager
def _alone(folder: Path, log: Path, stopped: Callable[[], bool]) -> Iterator[None]:
    """Keep out others who build the same; while somebody else does, a job can still be canceled."""
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the environments, so that workspaces may share the folder of them.
    lock, deadline, told = FileLock(f"{folder}.lock", mode=0o600), time.monotonic() + PATIENCE_SECONDS, False
    while True:
        try:
            lock.acquire(timeout=WAIT_SECONDS)
            break
        except Timeout:
            if stopped():
                raise Stopped("environment: canceled while it was built") from None
            if time.monotonic() > deadline:
                raise UserError(f"environment: another job has been building {folder} for hours") from None
            if not told:
                with log.open("a", encoding="utf-8") as output:
                    print("Waiting for another job that builds the same environment", file=output)
            told = True
    try:
        yield
    finally:
        lock.release()


def _build(wanted: Wanted, missing: list[str], installer: Installer, log: TextIO) -> list[str]:
    print(f"Building an environment: this Python lacks {', '.join(missing)}", file=log, flush=True)
    start = time.monotonic()
    installer.create()
    search = _Search(wanted, installer)
    outcome = search.run()
    if wanted.layered:
        overlay.put_beneath(installer.prefix, None)
    if outcome.code:
        print(outcome.output.rstrip(), file=log, flush=True)
        raise UserError(f"environment: it could not be built: {_cause(outcome)}; the job's log has the rest")
    print(f"Built it in {time.monotonic() - start:.0f} s, and kept it for later jobs", file=log, flush=True)
    return search.notices()


def _cause(outcome: Outcome) -> str:
    """What uv or pip gives as the reason, in a line."""
    lines = [line.strip() for line in outcome.output.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("cause:", "ERROR:"))] or lines[-1:] or ["no reason was given"]
    return told[0].removeprefix("cause:").removeprefix("ERROR:").strip().rstrip(".")


class _Choice:
    """One package on its way from what was asked for to what can be had."""

    def __init__(self, package: Package, loose: bool) -> None:
        self.package = package
        self.versions = loosened(package.requirement) if loose else [package.requirement.specifier]
        self.step = 0
        self.compiled = not loose
        self.left_out = False

    @property
    def line(self) -> str:
        requirement = Requirement(str(self.package.requirement))
        requirement.specifier = self.versions[self.step]
        return str(requirement)

    @property
    def can_loosen(self) -> bool:
        return not self.left_out and self.step + 1 < len(self.versions)

    @property
    def dispensable(self) -> bool:
        """Conda's own, which PyPI may not have; Azure's, which mostly talk to Azure and nothing else; what we guess."""
        package = self.package
        return not self.left_out and (package.conda or package.guessed or package.name.startswith("azureml-"))


class _Search:
    """Finds the versions nearest to those asked for that can be installed together.

    An environment for this very Python is taken at its word. One that names another Python, or none, has pins that
    may be too old for this one: then every package is first to be had as a wheel (an old numpy takes an hour to
    compile, and fails), in the nearest version: same minor version, same major version, later, any. What has no wheels
    at all is compiled. What still excludes each other is loosened step by step.
    """

    def __init__(self, wanted: Wanted, installer: Installer) -> None:
        self.wanted, self.installer = wanted, installer
        loose = wanted.other_python or not wanted.python
        packages = [package for package in wanted.packages if package.applies]
        self.choices = [_Choice(package, loose or package.conda) for package in packages]
        self.options = list(wanted.options)

    def run(self) -> Outcome:
        try:
            outcome = self._attempt()
        except Unreachable:
            # An extra index that is gone, or not for this machine, can be done without; the one that somebody has put
            # in the place of the public one cannot: the same names may mean other packages there.
            needed = [option for option in self.options if not option.startswith("--extra-index-url")]
            if len(needed) == len(self.options) or any(not option.startswith("-f") for option in needed):
                raise
            self.options = needed
            outcome = self._attempt()
        if outcome.code:
            for choice in self.choices:
                impossible = self._settle(choice)
                if impossible:
                    return impossible
            outcome = self._attempt()
        while outcome.code and self._give_way(outcome):
            outcome = self._attempt()
        return outcome

    def _attempt(self) -> Outcome:
        taken = [choice for choice in self.choices if not choice.left_out]
        lines = [*self.options, *BESIDE_PYTHON, *(choice.line for choice in taken)]
        return self.installer.install(lines, [choice.package.name for choice in taken if not choice.compiled])

    def _settle(self, choice: _Choice) -> Outcome | None:
        """Take the nearest version that can be had when the package is alone; what is said if there is none at all."""
        for compiled in dict.fromkeys((choice.compiled, True)):
            choice.step, choice.compiled = 0, compiled
            while (outcome := self._alone(choice)).code and choice.can_loosen:
                choice.step += 1
            if not outcome.code:
                return None
        choice.left_out = choice.dispensable
        return None if choice.left_out else outcome

    def _alone(self, choice: _Choice) -> Outcome:
        wheels = [] if choice.compiled else [choice.package.name]
        return self.installer.install([*self.options, choice.line], wheels, trial=True)

    def _give_way(self, outcome: Outcome) -> bool:
        """Loosen what the failure speaks of, else leave out what can be spared; False when nothing is left to try."""
        named = outcome.mentions(choice.package.name for choice in self.choices)
        for candidates in ([choice for choice in self.choices if choice.package.name in named], self.choices):
            loose = [choice for choice in candidates if choice.can_loosen]
            spare = [choice for choice in candidates if choice.dispensable]
            if loose:
                for choice in loose:
                    choice.step += 1
                return True
            if spare:
                spare[0].left_out = True
                return True
        return False

    def notices(self) -> list[str]:
        """What was taken instead of what was asked for."""
        site = [str(packages_of(self.installer.prefix))]
        there: dict[str, str] = {
            canonicalize_name(found.name): found.version for found in metadata.distributions(path=site)
        }
        gone = [option for option in self.wanted.options if option not in self.options]
        told = [f"{without_password(option)} cannot be reached and is left out" for option in gone]
        for choice in self.choices:
            asked, version = choice.package.requirement, there.get(choice.package.name)
            if choice.left_out:
                told.append(f"{asked} is left out: it is not to be had from a package index for {PYTHON}")
            elif version and not asked.specifier.contains(version, prereleases=True):
                told.append(f"{asked} is not to be had for {PYTHON} with the others; {version} is taken")
        return told


def without_password(line: str) -> str:
    """An address as it may be shown: without who signs in there."""
    return re.sub(r"//[^/@\s]*@", "//***@", line)


def loosened(requirement: Requirement) -> list[SpecifierSet]:
    """What is asked for, and then looser and looser: the same minor version, the same major one, later, any.

    >>> [str(each) for each in loosened(Requirement("numpy==1.19.5"))]
    ['==1.19.5', '==1.19.*,>=1.19.5', '==1.*,>=1.19.5', '>=1.19.5', '']
    """
    steps = [requirement.specifier]
    bounds = [each.version for each in requirement.specifier if each.operator in ("==", "~=", ">=", ">")]
    if bounds:
        low = max((bound.partition("+")[0].removesuffix(".*") for bound in bounds), key=Version)
        numbers = low.split(".")
        steps += [SpecifierSet(f">={low},=={'.'.join(numbers[:count])}.*") for count in (2, 1) if count < len(numbers)]
        steps.append(SpecifierSet(f">={low}"))
    if len(requirement.specifier):
        steps.append(SpecifierSet())
    return list(dict.fromkeys(steps))
