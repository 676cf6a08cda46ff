"""Records on disk, read into dataclasses: damage is told as damage, and what a later version has added is left out."""

import functools
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from amlocal.core.errors import UserError
from amlocal.core.files import read_json

Record = TypeVar("Record")
SCALARS = (str, int, float, bool, type(None))


class _Wrong(Exception):
    """Where in a record, and what is wrong there."""


def read_record(path: Path, kind: type[Record]) -> Record:
    """The record in a file. Raises UserError for one that is damaged, FileNotFoundError for one that is not there."""
    return as_record(read_json(path), kind, path)


def as_record(value: Any, kind: type[Record], path: Path) -> Record:
    """A record of this kind, as `dataclasses.asdict` has told it; `path` is where it was read, for the message.

    Fields that the kind does not have are a later version's, and left out. Raises UserError.
    """
    try:
        made: Record = _dataclass(kind, value, "")
    except _Wrong as wrong:
        raise damaged(path, str(wrong)) from None
    return made


def damaged(path: Path, why: str) -> UserError:
    """What to say of a file that is not what was written."""
    return UserError(f"{path}: damaged: {why}; restore it from a copy, or delete it if nothing needs it")


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _Wrong(f"{where or 'it'} is {_told(value)}, not an object")
    hints = _hints(kind)
    made, missing = {}, []
    for each in fields(kind):
        if each.name in value:
            made[each.name] = _converted(hints[each.name], value[each.name], f"{where}.{each.name}".lstrip("."), True)
        elif each.default is MISSING and each.default_factory is MISSING:
            missing.append(f"{where}.{each.name}".lstrip("."))
    if missing:
        raise _Wrong(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return kind(**made)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _converted(hint: Any, value: Any, where: str, field: bool) -> Any:
    """The value as the annotation has it. field: whether it is a field's own; within tables any scalar will do."""
    if hint is Any:
        return value
    if is_dataclass(hint):
        return _dataclass(hint, value, where)
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        [only] = [each for each in inner if each is not type(None)]
        return _converted(only, value, where, field)
    if origin is dict:
        if not isinstance(value, dict):
            raise _Wrong(f"{where} is {_told(value)}, not an object")
        return {key: _converted(inner[1], each, f"{where}.{key}", False) for key, each in value.items()}
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise _Wrong(f"{where} is {_told(value)}, not a list")
        if origin is tuple and Ellipsis not in inner:
            if len(value) != len(inner):
                raise _Wrong(f"{where} has {len(value)} parts, not {len(inner)}")
            return tuple(_converted(kind, each, where, True) for kind, each in zip(inner, value, strict=True))
        return origin(_converted(inner[0], each, f"{where}[{number}]", True) for number, each in enumerate(value))
    if origin is int and isinstance(value, float) and value.is_integer():
        return int(value)
    wanted = (int, float) if origin is float else (origin,)
    fits = isinstance(value, wanted) and (origin is bool or not isinstance(value, bool))
    if fits or (not field and isinstance(value, SCALARS)):
        return value
    raise _Wrong(f"{where} is {_told(value)}, not {_named(origin)}")


def _told(value: Any) -> str:
    return {dict: "an object", list: "a list", type(None): "null"}.get(type(value)) or repr(value)[:40]


def _named(kind: type) -> str:
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}.get(kind, kind.__name__)
