"""Reads cases.yml: what is run and what must come of it, and why the rest of a checkout is not run."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from conformance import outcome

EXPECTED = outcome.OF_A_COMMAND | outcome.OF_A_JOB
KINDS = ("job", "notebook", "run")
MADE_OF = {"set", "in", "needs", "packages", "replace", "write", "before", "then", "covers", "seconds", "fails"}
CASE_FIELDS = {*KINDS, *MADE_OF}
STEP_KINDS = ("do", "job", "look")


class CaseError(ValueError):
    """One line for whoever edits cases.yml."""


@dataclass(frozen=True)
class Step:
    """One thing that a case does, and what must come of it.

    kind: `do` (a shell's command, as a script would have it), `job` (a spec to submit), `notebook` (to execute), `look`
    (at the last job whose display name the pattern matches, once it has ended); what: command, path or pattern;
    overrides: what `--set` says of a job.
    """

    kind: str
    what: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What is run in a copy of a part of the checkout.

    folder: where its commands run; needs: what is copied, a file, a folder or a pattern each; packages: what its user
    is told to install beside azure-ai-ml; replace: file or pattern -> {text: other text}, for addresses that cannot be
    reached; write: file -> text, for a job of our own that uses what is theirs; covers: the specs that it runs;
    seconds: how long it may take; fails: what of it must fail, and whose fault that is. Paths are relative to the
    checkout, those to write to `folder`.
    """

    name: str
    folder: PurePosixPath
    needs: tuple[str, ...]
    packages: tuple[str, ...]
    steps: tuple[Step, ...]
    replace: Mapping[str, Mapping[str, str]]
    write: Mapping[str, str]
    covers: tuple[str, ...]
    seconds: float
    fails: str = ""


@dataclass(frozen=True)
class NotRun:
    cause: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Cases:
    """repository: owner/name on GitHub; written_for: the commit whose specs these are; specs: patterns of all that a
    case could be made of; parts: those that are no case by themselves but a part of one (components, conda files)."""

    repository: str
    written_for: str
    specs: tuple[str, ...]
    parts: tuple[str, ...]
    cases: tuple[Case, ...]
    not_run: tuple[NotRun, ...]

    def unexplained(self, checkout: Path) -> list[str]:
        """Specs of the checkout that no case covers and no cause excuses."""
        explained = [*self.parts, *(path for case in self.cases for path in case.covers)]
        explained += [path for entry in self.not_run for path in entry.paths]
        accepted = _any_of(explained)
        return [spec for spec in matching(checkout, self.specs) if not accepted(spec)]

    def excused(self, checkout: Path) -> Iterator[tuple[str, str]]:
        """(spec, cause) of what is there and not run."""
        covered = _any_of([path for case in self.cases for path in case.covers])
        for entry in self.not_run:
            mine = _any_of(entry.paths)
            for spec in matching(checkout, self.specs):
                if mine(spec) and not covered(spec):
                    yield spec, entry.cause

    def idle(self, checkout: Path) -> Iterator[str]:
        """Patterns that no file of the checkout meets: they excuse nothing."""
        specs = matching(checkout, self.specs)
        for pattern in [*self.parts, *(path for entry in self.not_run for path in entry.paths)]:
            if not any(_any_of([pattern])(spec) for spec in specs):
                yield pattern


def read(path: Path) -> Cases:
    """Raises CaseError naming the case and the field."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise CaseError(f"{path}: {' '.join(str(error).split())}") from error
    unknown = set(document) - {"repository", "written_for", "specs", "parts", "cases", "not_run"}
    if unknown:
        raise CaseError(f"{path.name}: unknown: {', '.join(sorted(unknown))}")
    return Cases(
        repository=str(document.get("repository", "")),
        written_for=str(document.get("written_for", "")),
        specs=tuple(document["specs"]),
        parts=tuple(document.get("parts") or ()),
        cases=tuple(_case(name, fields) for name, fields in document["cases"].items()),
        not_run=tuple(
            NotRun(cause=entry["cause"], paths=tuple(entry["paths"])) for entry in document.get("not_run") or ()
        ),
    )


def _case(name: str, fields: dict[str, Any]) -> Case:
    unknown = set(fields) - CASE_FIELDS - EXPECTED
    if unknown:
        raise CaseError(f"{name}: unknown: {', '.join(sorted(unknown))}")
    kinds = [kind for kind in KINDS if kind in fields]
    if len(kinds) != 1:
        raise CaseError(f"{name}: it needs one of job, notebook and run")
    path = PurePosixPath(fields.get("job") or fields.get("notebook") or ".")
    if kinds == ["run"] and "in" not in fields:
        raise CaseError(f"{name}: in: the folder that its commands run in is missing")
    # A spec is named as the checkout's own scripts name it: relative to cli/, or to the folder it lies in.
    default = "cli" if path.parts[0:1] == ("cli",) else path.parent.as_posix()
    folder = PurePosixPath(fields.get("in", default))
    return Case(
        name=name,
        folder=folder,
        needs=tuple(fields.get("needs") or ([path.parent.as_posix()] if kinds != ["run"] else [folder.as_posix()])),
        packages=tuple(fields.get("packages", ())),
        steps=tuple(_steps(name, kinds[0], path, folder, fields)),
        replace=fields.get("replace", {}),
        write=fields.get("write", {}),
        covers=tuple(fields.get("covers", [path.as_posix()] if kinds != ["run"] else [])),
        seconds=fields.get("seconds", 300),
        fails=fields.get("fails", ""),
    )


def _steps(name: str, kind: str, path: PurePosixPath, folder: PurePosixPath, fields: dict[str, Any]) -> Iterator[Step]:
    for command in outcome.listed(fields.get("before")):
        yield Step("do", command)
    if kind != "run":
        expect = {key: value for key, value in fields.items() if key in EXPECTED}
        yield Step(kind, path.relative_to(folder).as_posix(), fields.get("set", {}), _checked(name, kind, expect))
    for entry in [*fields.get("run", []), *fields.get("then", [])]:
        yield _step(name, entry)


def _step(name: str, entry: str | dict[str, Any]) -> Step:
    if isinstance(entry, str):
        return Step("do", entry)
    expect = {key: value for key, value in entry.items() if key in EXPECTED}
    kinds = [kind for kind in STEP_KINDS if kind in entry]
    unknown = set(entry) - {*STEP_KINDS, "set"} - set(expect)
    if unknown or len(kinds) != 1:
        raise CaseError(
            f"{name}: a step needs one of do, job and look; unknown: {', '.join(sorted(unknown)) or 'none'}"
        )
    return Step(kinds[0], entry[kinds[0]], entry.get("set", {}), _checked(name, kinds[0], expect))


def _checked(name: str, kind: str, expect: dict[str, Any]) -> dict[str, Any]:
    misplaced = set(expect) & (outcome.OF_A_JOB if kind in ("do", "notebook") else set())
    if misplaced:
        raise CaseError(f"{name}: {', '.join(sorted(misplaced))} can be expected of a job only")
    return expect


def matching(folder: Path, patterns: tuple[str, ...]) -> list[str]:
    """Files below `folder` that meet a pattern, as sorted paths relative to it."""
    found = {
        file for pattern in patterns for one in _alternatives(pattern) for file in folder.glob(one) if file.is_file()
    }
    return sorted(file.relative_to(folder).as_posix() for file in found)


def _alternatives(pattern: str) -> list[str]:
    """The patterns that one with `{a,b}` in it stands for."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    before, after = pattern[: match.start()], pattern[match.end() :]
    return [one for choice in match[1].split(",") for one in _alternatives(before + choice + after)]


def _any_of(patterns: list[str] | tuple[str, ...]) -> Any:
    """Whether a path meets one of the patterns: `**` any folders, `*` within a name, `{a,b}` either."""
    expressions = [re.compile(_expression(one)) for pattern in patterns for one in _alternatives(pattern)]
    return lambda path: any(expression.fullmatch(path) for expression in expressions)


def _expression(pattern: str) -> str:
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return "".join(meanings.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*)", pattern))
