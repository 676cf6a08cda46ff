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
from collections.abc import Callable, Iterator, Mapping
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
RULES = 3  # how versions are chosen; what was built by other rules is not used again
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"


def built(
    wanted: Wanted, missing: list[str], workspace: Workspace, log: Path, stopped: Callable[[], bool]
) -> tuple[Path, list[str]]:
    """The virtual environment (its folder) with what is wanted, and what the log should say of it.

    missing: what this Python lacks, for the log of the job that builds. Raises UserError.
    """
    lines = sorted({*(str(package.requirement) for package in wanted.packages), *wanted.options})
    python = [sys.version, sys.prefix, wanted.python or "", wanted.layered, RULES]
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
    """One package on its way from what was asked for to what can be installed.

    loose: it may move to another version. compiled: it need not be a wheel.
    """

    def __init__(self, package: Package, loose: bool) -> None:
        self.package, self.loose = package, loose
        self.specifier = package.requirement.specifier
        self.compiled = not loose
        self.left_out = False

    @property
    def line(self) -> str:
        return self.with_versions(self.specifier)

    def with_versions(self, specifier: SpecifierSet) -> str:
        requirement = Requirement(str(self.package.requirement))
        requirement.specifier = specifier
        return str(requirement)

    @property
    def bound(self) -> str | None:
        """The version from which the nearest one is counted; None if any version will do."""
        return bound_of(self.package.requirement.specifier)

    @property
    def movable(self) -> bool:
        return self.loose and not self.left_out and self.bound is not None

    @property
    def pinned(self) -> bool:
        return any(each.operator in ("==", "===", "~=") for each in self.specifier)

    @property
    def capped(self) -> bool:
        return self.pinned or any(each.operator in ("<", "<=") for each in self.specifier)

    @property
    def dispensable(self) -> bool:
        """Conda's own, which PyPI may not have; Azure's, which mostly talk to Azure and nothing else; what we guess."""
        package = self.package
        return not self.left_out and (package.conda or package.guessed or package.name.startswith("azureml-"))


class _Search:
    """Finds the versions nearest to those asked for that can be installed together.

    An environment for this very Python is taken at its word. One that names another Python, or none, has pins that
    may be too old for this one: then every package is first looked for as a wheel (an old numpy takes an hour to
    compile, and fails), in the nearest version: the lowest from the pin on, else the highest below it. What has no
    wheels at all is compiled. What still excludes each other moves on, as few packages as need be, again to the
    nearest version that fits all the others. What is not pinned is no newer than the older Python that is asked for
    would get it, as on Azure, where this one can have that.
    """

    def __init__(self, wanted: Wanted, installer: Installer) -> None:
        self.wanted, self.installer = wanted, installer
        loose = wanted.other_python or not wanted.python
        packages = [package for package in wanted.packages if package.applies]
        self.choices = [_Choice(package, loose or package.conda or package.guessed) for package in packages]
        self.options = list(wanted.options)
        self.limits: dict[str, str] = {}  # package -> the newest version that may be taken
        self.dependencies: set[str] = set()  # those that must be wheels

    def run(self) -> Outcome:
        try:
            older, outcome = self._begin()
        except Unreachable:
            # An extra index that is gone, or not for this machine, can be done without; the one that somebody has put
            # in the place of the public one cannot: the same names may mean other packages there.
            needed = [option for option in self.options if not option.startswith("--extra-index-url")]
            if len(needed) == len(self.options) or any(not option.startswith("-f") for option in needed):
                raise
            self.options = needed
            older, outcome = self._begin()
        if outcome.code:
            for choice in self.choices:
                impossible = self._settle(choice)
                if impossible:
                    return impossible
            outcome = self._fit()
            outcome = outcome if outcome.code else self._finish(older)
        elif older:
            outcome = self._finish(older)
        while outcome.code and self._give_up(outcome):  # it could be resolved, but not be built
            outcome = self._install()
        return outcome

    def _begin(self) -> tuple[Mapping[str, str], Outcome]:
        """What an older Python that is asked for would get, if that can be told; and whether this one can have what is
        asked for, which is installed at once where nothing is known of an older one."""
        older, python = {}, self.wanted.older_python
        if python and self.installer.speaks_for_others:
            outcome, versions = self.installer.resolve(self._lines, python=python)
            older = {} if outcome.code else versions
        return older, self._resolve() if older else self._install()

    def _finish(self, older: Mapping[str, str]) -> Outcome:
        """Install it, what is not pinned no newer than `older` as far as this Python can have that."""
        if self.installer.speaks_for_others:
            self._prefer_wheels()
        pinned = {choice.package.name for choice in self._taken if choice.pinned}
        self.limits = {name: version for name, version in older.items() if name not in pinned}
        while self.limits and (outcome := self._resolve()).code:
            for name in outcome.mentions(self.limits) or [*self.limits]:
                del self.limits[name]
        return self._install()

    def _prefer_wheels(self) -> None:
        """Move pins that need something in a version from before this Python, which has wheels of later ones only."""
        outcome, versions = self.installer.resolve(self._lines, self._wheels)
        self.dependencies = versions.keys() - {choice.package.name for choice in self.choices}
        while self.dependencies and (outcome := self._resolve()).code:
            named = outcome.mentions(choice.package.name for choice in self.choices)
            movable = [choice for choice in self.choices if choice.movable and choice.package.name in named]
            lacking = outcome.without_wheels() & self.dependencies or set(self.dependencies)
            late = any(self._has_wheels(name) for name in lacking)
            if not (late and self._moves(movable)):
                self.dependencies -= lacking

    def _has_wheels(self, name: str) -> bool:
        return not self.installer.resolve([*self.options, name], [name], alone=True)[0].code

    @property
    def _taken(self) -> list[_Choice]:
        return [choice for choice in self.choices if not choice.left_out]

    @property
    def _lines(self) -> list[str]:
        # Of what can be newer at another's cost, the first line has its way. An older release of what has an upper
        # bound would only go with the newest of the rest because it does not know them; what nobody asked for is last.
        chosen = sorted(self._taken, key=lambda choice: not choice.capped)
        limits = [self.installer.limits(self.limits)] if self.limits else []
        return [*self.options, *limits, *(choice.line for choice in chosen), *BESIDE_PYTHON]

    @property
    def _wheels(self) -> list[str]:
        return [
            *(choice.package.name for choice in self._taken if not choice.compiled),
            *self.limits,
            *self.dependencies,
        ]

    def _install(self) -> Outcome:
        return self.installer.install(self._lines, self._wheels)

    def _resolve(self) -> Outcome:
        return self.installer.resolve(self._lines, self._wheels)[0]

    def _settle(self, choice: _Choice) -> Outcome | None:
        """Take the nearest version that is available when the package is alone; what is said if there is none."""
        name, bound = choice.package.name, choice.bound
        ways = [(choice.specifier, False)]
        if choice.movable:
            ways += [(SpecifierSet(f">={bound}"), True), (SpecifierSet(f"<{bound}"), False)]
        for compiled in dict.fromkeys((choice.compiled, True)):
            for specifier, lowest in ways:
                line = choice.with_versions(specifier)
                wheels = [] if compiled else [name]
                outcome, versions = self.installer.resolve([*self.options, line], wheels, lowest=lowest, alone=True)
                if not outcome.code:
                    choice.compiled = compiled
                    if specifier != choice.specifier:
                        choice.specifier = SpecifierSet(f"=={versions[name]}")
                    return None
        choice.left_out = choice.dispensable
        return None if choice.left_out else outcome

    def _fit(self) -> Outcome:
        """Move what excludes each other until everything can be installed together, or nothing is left to try."""
        outcome = self._resolve()
        while outcome.code:
            named = outcome.mentions(choice.package.name for choice in self.choices)
            movable = [choice for choice in self.choices if choice.movable]
            speaks_of = [choice for choice in movable if choice.package.name in named]
            if self._moves(speaks_of) or self._moves_all(movable):
                return self._resolve()
            spare = [choice for choice in self.choices if choice.dispensable]
            if not spare:
                return outcome
            min(spare, key=lambda choice: choice.package.name not in named).left_out = True
            outcome = self._resolve()
        return outcome

    def _moves(self, choices: list[_Choice]) -> bool:
        """Whether one of them, or else all together, can move so that everything fits."""
        moved = [choice for choice in choices if choice.specifier != choice.package.requirement.specifier]
        groups = [*([moved] if moved else []), *([choice] for choice in choices)]
        return (
            any(self._moves_up(group) for group in groups)
            or any(self._moves_to([choice], [f"<{choice.bound}"]) for choice in choices)
            or self._moves_all(choices)
        )

    def _moves_all(self, choices: list[_Choice]) -> bool:
        return bool(choices) and (self._moves_up(choices) or self._moves_to(choices, [""] * len(choices)))

    def _moves_up(self, group: list[_Choice]) -> bool:
        """Each of the group to the lowest version from its bound on that fits what else is pinned."""
        fixed = [choice.line for choice in self._taken if choice.pinned and choice not in group]
        lines = [choice.with_versions(SpecifierSet(f">={choice.bound}")) for choice in group]
        outcome, versions = self.installer.resolve([*self.options, *fixed, *lines], self._wheels, lowest=True)
        return not outcome.code and self._moves_to(group, [f"=={versions[choice.package.name]}" for choice in group])

    def _moves_to(self, group: list[_Choice], specifiers: list[str]) -> bool:
        """Whether everything fits with these versions of the group; if not, they stay as they were."""
        before = [choice.specifier for choice in group]
        for choice, text in zip(group, specifiers, strict=True):
            choice.specifier = SpecifierSet(text)
        if not self._resolve().code:
            return True
        for choice, specifier in zip(group, before, strict=True):
            choice.specifier = specifier
        return False

    def _give_up(self, outcome: Outcome) -> bool:
        """Take any version of what could not be built, or leave it out; False when nothing is left to try."""
        named = outcome.mentions(choice.package.name for choice in self.choices)
        for choice in self.choices:
            if choice.package.name in named and not choice.left_out:
                if choice.movable and len(choice.specifier):
                    choice.specifier = SpecifierSet()
                    return True
                if choice.dispensable:
                    choice.left_out = True
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
                told.append(f"{asked} is left out: no package index has it for {PYTHON} with the others")
            elif version and not asked.specifier.contains(version, prereleases=True):
                told.append(f"{asked} is not available for {PYTHON} with the others; the nearest, {version}, is taken")
        return told


def without_password(line: str) -> str:
    """An address as it may be shown: without who signs in there."""
    return re.sub(r"//[^/@\s]*@", "//***@", line)


def bound_of(specifier: SpecifierSet) -> str | None:
    """The version that a requirement speaks of first: its highest lower bound, else its lowest upper one.

    >>> [bound_of(SpecifierSet(each)) for each in ("==1.2.*", ">=1,<2", "==2.2.0+cu118", "<3", "!=1", "")]
    ['1.2', '1', '2.2.0', '3', None, None]
    """
    lower = [each.version for each in specifier if each.operator in ("==", "===", "~=", ">=", ">")]
    upper = [each.version for each in specifier if each.operator in ("<", "<=")]
    bounds = sorted((bound.partition("+")[0].removesuffix(".*") for bound in lower or upper), key=Version)
    if not bounds:
        return None
    return bounds[-1] if lower else bounds[0]
