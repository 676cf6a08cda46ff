"""YAML and JSON that users write: read here and nowhere else, and refused in one line where it cannot be read.

What no spec needs would take minutes, or all memory: too long a file, too deep a nesting, aliases that multiply. So
YAML is first gone through event by event, which takes neither, and loaded then.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
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
    text = _text(path)
    for line, key in _look_over(text, str(path)):
        told = f"{path}:{line}: {key} stands there twice; the last one counts, as on Azure"
        if warn and told not in _warned:
            _warned.add(told)
            logging.getLogger(__name__).warning("WARNING: %s", told)
    return _loaded(text, str(path), "get_single_data")


def nodes(path: Path) -> Any:
    """PyYAML's nodes of a file, which know their lines; None for an empty one. Raises UserError."""
    text = _text(path)
    list(_look_over(text, str(path)))
    return _loaded(text, str(path), "get_single_node")


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


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, by libyaml, where PyYAML was built with that


def _loaded(text: str, where: str, what: str) -> Any:
    import yaml

    try:
        loader = _loader()(text)
        try:
            return getattr(loader, what)()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _invalid(where, error, text) from error
    # PyYAML's own for what looks like a date or a number and is none: 2025-13-01, !!int ""
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{where}: not valid YAML: {error}") from error


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


def _look_over(text: str, where: str) -> Iterator[tuple[int, str]]:
    """(line, key) of every key that stands in its mapping already. Raises UserError for what must not be loaded."""
    import yaml

    resolver = yaml.SafeLoader("")
    sizes: dict[str | None, int] = {}  # by anchor
    opened: list[_Open] = []
    try:
        events: Iterator[Any] = yaml.parse(text, _loader())
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                opened.append(_Open(event.anchor, set() if isinstance(event, yaml.MappingStartEvent) else None))
                if len(opened) > MOST_DEPTH:
                    raise UserError(f"{where}:{line}: nested more than {MOST_DEPTH} levels deep")
                continue
            if isinstance(event, yaml.AliasEvent):
                if any(each.anchor == event.anchor for each in opened):
                    raise UserError(f"{where}:{line}: *{event.anchor} stands inside of what it names")
                size = sizes.get(event.anchor, 1)
            elif isinstance(event, yaml.ScalarEvent):
                size = 1
                keys = opened[-1].keys if opened else None
                if keys is not None and opened[-1].at_key and event.value != "<<":
                    key = (event.tag or resolver.resolve(yaml.ScalarNode, event.value, event.implicit), event.value)
                    if key in keys:
                        yield line, event.value
                    keys.add(key)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                closed = opened.pop()
                size = closed.values
                if closed.anchor:
                    sizes[closed.anchor] = size
            else:
                continue
            if opened:
                opened[-1].values += size
                opened[-1].at_key = not opened[-1].at_key
                size = opened[-1].values
            if size > MOST_VALUES:
                raise UserError(f"{where}:{line}: more than {MOST_VALUES:,} values, its aliases followed")
    except yaml.YAMLError as error:
        raise _invalid(where, error, text) from error
