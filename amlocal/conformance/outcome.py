"""What a case must have led to, held against what it did lead to: a list of sentences, empty when all is as expected.

Nothing here starts a process or reads a workspace; `Evidence` is asked, and a test may play it.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

# What may be expected of a command, and of a job or one of its steps.
OF_A_COMMAND = {"exit", "prints", "never"}
OF_A_JOB = {"status", "log", "files", "params", "metrics", "tags", "fields", "error", "steps", "trials"}


class Evidence(Protocol):
    """A job that has ended, as the command line and MLflow tell of it."""

    def described(self) -> Mapping[str, Any]:
        """What `aml job show` prints."""

    def log(self) -> str:
        """The log the user sees; of a distributed job, those of all its processes."""

    def files(self) -> Path:
        """The folder that `aml job download --all` filled."""

    def run(self) -> Mapping[str, Mapping[str, Any]]:
        """Its MLflow run: `params`, `metrics`, `tags`."""

    def children(self) -> Mapping[str, "Evidence"]:
        """Its steps by name, or its trials."""


def command_faults(expected: Mapping[str, Any], code: int, printed: str) -> Iterator[str]:
    """What is wrong with a command's exit code and with what it printed.

    expected: `exit` (a number, or "not 0"; default 0), `prints` (patterns found in this order), `never` (patterns).
    """
    wanted = expected.get("exit", 0)
    if (code == 0) if wanted == "not 0" else (code != wanted):
        yield f"exit code {code}, not {wanted}" if wanted != "not 0" else "exit code 0: it should have failed"
    yield from _in_order(listed(expected.get("prints")), printed, "printed")
    for pattern in listed(expected.get("never")):
        if re.search(pattern, printed, re.MULTILINE):
            yield f"printed, and should not be: {pattern}"


def job_faults(expected: Mapping[str, Any], job: Evidence, where: str = "") -> Iterator[str]:
    """What is wrong with a job, its steps included.

    expected: `status` (default Completed); `log`: patterns found in this order; `files`: path below the download ->
    pattern of its text, true (it is there) or false; `params`, `metrics`, `tags`: name -> value, [least, most] or
    pattern; `fields`: dotted name in what `job show` prints -> the same; `error`: pattern of why it failed; `trials`:
    how many children it has; `steps`: name -> all of this again.
    """
    described = job.described()
    wanted = expected.get("status", "Completed")
    if described.get("status") != wanted:
        why = described.get("error") or last_line(job.log())
        yield f"{where}{described.get('status')}, not {wanted}" + (f": {why}" if why else "")
    if "error" in expected and not re.search(expected["error"], str(described.get("error"))):
        yield f"{where}failed for another reason: {described.get('error')}"
    if "log" in expected:
        for fault in _in_order(listed(expected["log"]), job.log(), "in the log"):
            yield where + fault
    for path, content in expected.get("files", {}).items():
        for fault in file_faults(job.files(), path, content):
            yield where + fault
    for kind in ("params", "metrics", "tags"):
        if kind in expected:
            yield from (where + fault for fault in value_faults(kind, expected[kind], job.run()[kind]))
    if "fields" in expected:
        found = {name: _field(described, name) for name in expected["fields"]}
        yield from (where + fault for fault in value_faults("job show", expected["fields"], found))
    if "steps" in expected or "trials" in expected:
        children = job.children()
        if "trials" in expected and len(children) != expected["trials"]:
            yield f"{where}{len(children)} trials, not {expected['trials']}"
        for name, of_step in expected.get("steps", {}).items():
            if name in children:
                yield from job_faults(of_step or {}, children[name], f"{where}{name}: ")
            else:
                yield f"{where}no step {name}; there are {', '.join(children) or 'none'}"


def file_faults(folder: Path, path: str, content: str | bool) -> Iterator[str]:
    """path: below `folder`, may hold wildcards; content: a pattern that one of the files must hold, true or false."""
    found = sorted(file for file in folder.glob(path) if file.is_file())
    if content is False:
        if found:
            yield f"{path} is there, and should not be"
    elif not found:
        there = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        yield f"no file {path}; there are {', '.join(there[:8]) or 'none'}"
    elif content is not True and not any(
        re.search(str(content), file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE) for file in found
    ):
        yield f"{path} does not hold {content}"


def value_faults(kind: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """expected: name -> a number, [least, most], a pattern that the whole value matches, or true (it is there)."""
    for name, wanted in expected.items():
        if name not in found or found[name] is None:
            yield f"{kind}: no {name}; there are {', '.join(map(str, found)) or 'none'}"
        elif not _is(wanted, found[name]):
            yield f"{kind}: {name} is {found[name]}, not {wanted}"


def _is(wanted: Any, value: Any) -> bool:
    if wanted is True:
        return True
    if isinstance(wanted, list):
        return wanted[0] <= float(value) <= wanted[1]
    if isinstance(wanted, int | float):
        return math.isclose(float(value), wanted, rel_tol=1e-9)
    return re.fullmatch(wanted, str(value), re.DOTALL) is not None


def _field(described: Mapping[str, Any], dotted: str) -> Any:
    value: Any = described
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _in_order(patterns: list[str], text: str, where: str) -> Iterator[str]:
    """Each pattern must be found behind the one before it."""
    position = 0
    for pattern in patterns:
        match = re.compile(pattern, re.MULTILINE).search(text, position)
        if match is None:
            elsewhere = " in this place" if re.search(pattern, text, re.MULTILINE) else ""
            yield f"not {where}{elsewhere}: {pattern} (last: {last_line(text)})"
            return
        position = match.end()


def listed(patterns: str | list[str] | None) -> list[str]:
    return [patterns] if isinstance(patterns, str) else patterns or []


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing"
