"""Azure CLI's generic update: `--set a.b=1`, `--add a.list x`, `--remove a.b`, in the order they were typed in."""

import argparse
import ast
import copy
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader

from amlocal.cli.arguments import is_text
from amlocal.cli.printing import described, plain
from amlocal.core.errors import UserError

PART = re.compile(r"""\[([^\]]*)\]|"([^"]*)"|([^.\[]+)""")


@dataclass
class Changes:
    """What `--set`, `--add` and `--remove` ask for. force_string: values stay as they were typed."""

    each: list[tuple[Literal["set", "add", "remove"], list[str]]] = field(default_factory=list)
    force_string: bool = False

    def applied(self, to: dict[str, Any]) -> dict[str, Any]:
        """`to` with the changes made; it is itself left as it is. Raises UserError for a path that leads nowhere."""
        changed = copy.deepcopy(to)
        for verb, texts in self.each:
            if verb == "set":
                for text in texts:
                    self._set(changed, text)
            elif verb == "add":
                self._add(changed, texts)
            else:
                _remove(changed, texts)
        return changed

    def overrides(self) -> list[dict[str, Any]]:
        """The same as azure-ai-ml's `params_override`, for a file that is yet to be read. Raises UserError."""
        if any(verb != "set" for verb, _ in self.each):
            raise UserError("--add and --remove change what is there: name it with --name, or write it in the file")
        split = [_pair(text) for _, texts in self.each for text in texts]
        return [{path: self._value_at(path, value)} for path, value in split]

    def _set(self, target: dict[str, Any], text: str) -> None:
        path, value = _pair(text)
        holder, last = _holder(target, path, make=True)
        holder[last] = self._value_at(path, value)

    def _add(self, target: dict[str, Any], texts: Sequence[str]) -> None:
        if len(texts) < 2:
            raise UserError(f"--add {' '.join(texts)}: give a path and what to add, e.g. --add list key=value")
        path, *values = texts
        holder, last = _holder(target, path, make=True)
        try:
            found = holder[last]
        except (KeyError, IndexError):
            found = holder[last] = []
        if not isinstance(found, list):
            raise UserError(f"--add {path}: this is no list; use --set")
        pairs = [value.partition("=") for value in values]
        if all(equals and not value.startswith("{") for value, (_, equals, _) in zip(values, pairs, strict=True)):
            found.append({key: self._value(value) for key, _, value in pairs})
        else:
            found.extend(self._value(value) for value in values)

    def _value_at(self, path: str, text: str) -> Any:
        value = self._value(text)
        return value if value is None or isinstance(value, str) or not is_text(path) else text

    def _value(self, text: str) -> Any:
        """As az reads it: JSON if it is some, else a Python literal, else the text."""
        if self.force_string:
            return text
        for read in (json.loads, ast.literal_eval):
            try:
                return read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two: nested too deep
                continue
        return text


def _pair(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise UserError(f"--set {text}: is not of the form property=value")
    return path, value


def _remove(target: dict[str, Any], texts: Sequence[str]) -> None:
    path, *index = texts
    holder, last = _holder(target, path, make=False)
    try:
        if index:
            holder, last = holder[last], int(index[0])
        del holder[last]
    except (KeyError, IndexError, TypeError, ValueError):
        raise UserError(f"--remove {' '.join(texts)}: there is no such thing; see what `show` prints") from None


def _holder(target: Any, path: str, make: bool) -> tuple[Any, Any]:
    """The dictionary or list that holds what `path` names, and its key there."""
    parts: list[Any] = []
    for bracket, quoted, word in PART.findall(path):
        parts.append(int(bracket) if bracket.lstrip("-").isdecimal() else bracket or quoted or word)
    if not parts:
        raise UserError(f"{path}: is not a path of properties, like tags.owner")
    for part in parts[:-1]:
        if make and isinstance(target, dict) and target.get(part) is None:
            target[part] = {}
        try:
            target = target[part]
        except (KeyError, IndexError, TypeError):
            raise UserError(f"{path}: there is no {part}; see what `show` prints") from None
    last = parts[-1]
    if isinstance(target, list) != isinstance(last, int) or not isinstance(target, (list, dict)):
        raise UserError(f"{path}: there is no {last}; see what `show` prints")
    return target, last


def changed(
    operations: Any,
    name: str,
    changes: Changes | None,
    flags: Sequence[dict[str, Any]] = (),
    update: str = "create_or_update",
    **by: str | None,
) -> dict[str, Any]:
    """Get, change and put back: what every `update` verb does. flags: what other flags set, as {property: value}.

    update: the client's method that puts it back. by: version or label.
    """
    which = {key: value for key, value in by.items() if value is not None}
    wanted = changes or Changes()
    if hasattr(operations, "revise"):
        after = _flagged(wanted.applied(operations.describe(name, **which)), flags)
        return operations.revise(name, after, **which)
    entity = operations.get(name, **which)
    before = plain(entity)
    after = _flagged(wanted.applied(before), flags)
    differing = {key: after.get(key) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    for key, value in differing.items():
        if not hasattr(entity, key):
            raise UserError(f"{key}: {type(entity).__name__} has no such property that can be set")
        setattr(entity, key, value)
    result = getattr(operations, update)(entity)
    if hasattr(result, "result"):
        result = result.result()
    return plain(result) if result is not None else described(operations, name, **which)


def _flagged(after: dict[str, Any], flags: Sequence[dict[str, Any]]) -> dict[str, Any]:
    for flag in flags:
        after |= flag
    return after


def _changes(namespace: Any) -> Changes:
    if getattr(namespace, "changes", None) is None:
        namespace.changes = Changes()
    return namespace.changes


class _Change(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        verb: Any = str(option_string).strip("-")
        _changes(namespace).each.append((verb, list(values)))


class _ForceString(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        _changes(namespace).force_string = True


def update_arguments(loader: CLICommandsLoader, command: str) -> None:
    """The generic update's flags; the verb's function takes them as `changes`."""
    group = {"arg_group": "Generic Update", "action": _Change, "nargs": "+"}
    with ArgumentsContext(loader, command) as c:
        c.argument(
            "changes",
            options_list=["--set"],
            metavar="PROPERTY=VALUE",
            help="Update an object by specifying a property path and value to set. "
            "Example: --set property1.property2=value.",
            **group,
        )
        c.extra(  # noqa: S610 (knack's, not Django's)
            "_add",
            options_list=["--add"],
            help="Add an object to a list of objects by specifying a path and key value pairs. "
            "Example: --add property.listProperty <key=value, string or JSON string>.",
            **group,
        )
        c.extra(  # noqa: S610
            "_remove",
            options_list=["--remove"],
            help="Remove a property or an element from a list. "
            "Example: --remove property.list <indexToRemove> OR --remove propertyToRemove.",
            **group,
        )
        c.extra(  # noqa: S610
            "_force_string",
            options_list=["--force-string"],
            arg_group="Generic Update",
            action=_ForceString,
            nargs=0,
            help="When using 'set' or 'add', preserve string literals instead of attempting to convert to JSON.",
        )
