"""YAML and JSON that users write: read here and nowhere else, and refused in one line where it cannot be read.

What no spec needs would take minutes, or all memory: too long a file, too deep a nesting, aliases that multiply. So
YAML is watched event by event while it is read. The reader is PyYAML's own, as azure-ai-ml's is: the faster one by
libyaml refuses what this one takes (`{a:{b:1}}`), and takes what this one refuses (a tab after a colon).
"""

import json
import logging
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError

MOST_BYTES = 4 * 2**20  # of a YAML file; a request to Azure Resource Manager may be no longer
MOST_DEPTH = 100
CONFLICT = ("<<<<<<< ", ">>>>>>> ")  # the marks that git leaves
MOST_VALUES = 250_000  # keys and values, those behind an alias counted at each alias

_warned: set[str] = set()


def read_yaml(path: Path, warn: bool = True) -> Any:
    """What the one document in a file says. Raises UserError naming file and line.

    warn: of a key that stands twice. azure-ai-ml takes the last one silently, as PyYAML does.
    """
    return _read(_text(path), str(path), "get_single_data", warn)


def yaml_of(text: str, where: str) -> Any:
    """What a YAML text says. where: what it is called in messages. Raises UserError."""
    return _read(text, where, "get_single_data")


def nodes(path: Path) -> Any:
    """PyYAML's nodes of a file, which know their lines; None for an empty one. Raises UserError."""
    return _read(_text(path), str(path), "get_single_node", warn=False)


def json_of(text: str | bytes, where: str) -> Any:
    """What a JSON text says. where: what it is called in messages. Raises UserError."""
    try:
        value = json.loads(text)
        json.dumps(value)  # Python reads JSON that is nested too deep for it to write
        return value
    except RecursionError as error:
        raise UserError(f"{where}: JSON that is nested too deep to be read") from error
    except ValueError as error:
        raise UserError(f"{where}: not JSON: {error}") from error


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(f"{path}: {size:,} bytes; a YAML file may have {MOST_BYTES:,}")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: this is a folder; name the YAML file in it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text: {error}") from error


def _read(text: str, where: str, what: str, warn: bool = True) -> Any:
    """What a method of PyYAML's safe loader makes of a text."""
    import yaml

    try:
        loader = _loader()(text, where)
        made = getattr(loader, what)()
    except yaml.YAMLError as error:
        raise _invalid(where, error, text) from error
    # PyYAML's own for what looks like a date or a number and is none: 2025-13-01, !!int ""
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{where}: not valid YAML: {error}") from error
    for line, key in loader.repeated:
        told = f"{where}:{line}: {key} stands there twice; the last one counts, as on Azure"
        if warn and told not in _warned:
            _warned.add(told)
            logging.getLogger(__name__).warning("WARNING: %s", told)
    return made


def _invalid(where: str, error: Any, text: str) -> UserError:
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    mark = getattr(error, "problem_mark", None)
    if not mark:
        return UserError(f"{where}: not valid YAML: {problem}")
    opened = getattr(error, "context_mark", None)
    if "end of stream" in problem and "quoted" in str(error.context) and opened:
        mark = opened  # where the quotation mark stands, not the end of the file
    lines = text.splitlines()
    hint = _hint(problem, lines[mark.line] if mark.line < len(lines) else "", mark.column)
    if any(line.startswith(CONFLICT) for line in lines):
        hint = "it has the marks of a merge conflict; resolve it"
    return UserError(f"{where}:{mark.line + 1}: not valid YAML: {problem}" + (f"; {hint}" if hint else ""))


def _hint(problem: str, line: str, column: int) -> str | None:
    """What most often stands behind a problem of PyYAML's, and the remedy."""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not with tabs"
    if line[column : column + 1] == "\t":
        return "write a space here, not a tab"
    if "cannot start any token" in problem or "undefined alias" in problem:
        return f'put a value that begins with "{line[column : column + 1]}" in quotation marks'
    if "mapping values are not allowed" in problem:
        return 'put a value that has ": " in it in quotation marks, or mend the indentation'
    if "end of stream" in problem:
        return "a quotation mark or bracket that is opened here is not closed"
    return None


@dataclass
class _Open:
    """A list or mapping whose end has not come. keys: those of a mapping so far; values: how many are in it."""

    anchor: str | None
    keys: set[tuple[str, str]] | None
    values: int = 1
    at_key: bool = field(default=True)


@cache
def _loader() -> Any:
    """The class of PyYAML's safe loader, watched. Its methods raise UserError for what must not be loaded."""
    import yaml

    class Watched(yaml.SafeLoader):
        """repeated: (line, key) of every key that stands in its mapping already."""

        def __init__(self, text: str, where: str) -> None:
            super().__init__(text)
            self.where = where
            self.repeated: list[tuple[int, str]] = []
            self.sizes: dict[str | None, int] = {}  # by anchor
            self.opened: list[_Open] = []

        def get_event(self) -> Any:
            event = super().get_event()
            line = event.start_mark.line + 1
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self.opened.append(_Open(event.anchor, set() if isinstance(event, yaml.MappingStartEvent) else None))
                if len(self.opened) > MOST_DEPTH:
                    raise UserError(f"{self.where}:{line}: nested more than {MOST_DEPTH} levels deep")
            elif isinstance(event, yaml.AliasEvent):
                if any(each.anchor == event.anchor for each in self.opened):
                    raise UserError(f"{self.where}:{line}: *{event.anchor} stands inside of what it names")
                self.count(self.sizes.get(event.anchor, 1), line)
            elif isinstance(event, yaml.ScalarEvent):
                keys = self.opened[-1].keys if self.opened else None
                if keys is not None and self.opened[-1].at_key and event.value != "<<":
                    key = (event.tag or self.resolve(yaml.ScalarNode, event.value, event.implicit), event.value)
                    if key in keys:
                        self.repeated.append((line, event.value))
                    keys.add(key)
                self.count(1, line)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                closed = self.opened.pop()
                if closed.anchor:
                    self.sizes[closed.anchor] = closed.values
                self.count(closed.values, line)
            return event

        def count(self, values: int, line: int) -> None:
            """Add what has been read to the list or mapping that it stands in."""
            if self.opened:
                self.opened[-1].values += values
                self.opened[-1].at_key = not self.opened[-1].at_key
                values = self.opened[-1].values
            if values > MOST_VALUES:
                raise UserError(f"{self.where}:{line}: more than {MOST_VALUES:,} values, its aliases followed")

    return Watched
