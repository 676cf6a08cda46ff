"""The kinds of values in Bicep: what a property takes, what an expression gives, and whether the two agree."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


class Kind:
    """What a value may be."""


@dataclass(frozen=True)
class Simple(Kind):
    """string, int, bool, object, array, null, or any."""

    name: str


ANY, STRING, INT, BOOL, OBJECT, ARRAY, NULL = (
    Simple(name) for name in ("any", "string", "int", "bool", "object", "array", "null")
)
SIMPLE = {kind.name: kind for kind in (ANY, STRING, INT, BOOL, OBJECT, ARRAY, NULL)}


@dataclass(frozen=True)
class OneOf(Kind):
    """One of some literal values, all of one kind."""

    values: tuple[str | int | bool, ...]

    @property
    def plain(self) -> Simple:
        """The kind all the values are of."""
        first = self.values[0]
        return BOOL if isinstance(first, bool) else INT if isinstance(first, int) else STRING


@dataclass(frozen=True)
class ListOf(Kind):
    """An array of one kind."""

    item: Kind


@dataclass(frozen=True)
class Maybe(Kind):
    """A value that can be null: a nullable parameter, or a resource or module behind an `if`."""

    kind: Kind


@dataclass(frozen=True)
class Limits:
    """What a literal has to keep to besides its kind."""

    min_length: int | None = None
    max_length: int | None = None
    min_value: int | None = None
    max_value: int | None = None
    pattern: str | None = None

    def broken_by(self, value: str | int | bool) -> str | None:
        """What is wrong with a literal, if anything."""
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            if self.min_value is not None and value < self.min_value:
                return f"{value} is below the minimum of {self.min_value}"
            if self.max_value is not None and value > self.max_value:
                return f"{value} is above the maximum of {self.max_value}"
            return None
        if self.min_length is not None and len(value) < self.min_length:
            return f"'{value}' is shorter than {self.min_length} characters"
        if self.max_length is not None and len(value) > self.max_length:
            return f"'{value}' is longer than {self.max_length} characters"
        if self.pattern is not None and not re.search(self.pattern, value):
            return f"'{value}' does not match {self.pattern}"
        return None


@dataclass(frozen=True)
class Field:
    """A property: what it takes, and whether it must, may or must not be set."""

    kind: Kind
    required: bool = False
    read_only: bool = False
    known_at_start: bool = False
    limits: Limits = Limits()


@dataclass(frozen=True)
class Shape(Kind):
    """An object with known properties; `extra` is what any other may be, None where there may be none.

    With `tag`, further properties depend on the value of that one: `variants` by value.
    """

    name: str
    fields: Mapping[str, Field]
    extra: Kind | None = None
    tag: str | None = None
    variants: Mapping[str, Mapping[str, Field]] = field(default_factory=dict)


@dataclass(frozen=True)
class Named(Kind):
    """A kind that is looked up when it is needed: Azure's types refer to themselves."""

    name: str
    look_up: Callable[[str], Kind]


def settle(kind: Kind) -> Kind:
    """The kind behind a name."""
    while isinstance(kind, Named):
        kind = kind.look_up(kind.name)
    return kind


def describe(kind: Kind) -> str:
    """A kind in words, for a message."""
    kind = settle(kind)
    if isinstance(kind, OneOf):
        shown = ", ".join(f"'{value}'" if isinstance(value, str) else str(value).lower() for value in kind.values[:8])
        more = " ..." if len(kind.values) > 8 else ""
        return shown if len(kind.values) == 1 else f"one of {shown}{more}"
    if isinstance(kind, ListOf):
        return f"array of {describe(kind.item)}"
    if isinstance(kind, Maybe):
        return f"{describe(kind.kind)} or null"
    if isinstance(kind, Simple):
        return kind.name
    return "object"


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The end of a message that names the likeliest intention, or nothing."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f", did you mean '{by_lower[found[0]]}'?" if found else ""


def disagreement(given: Kind, expected: Kind) -> str | None:
    """Why a value of one kind cannot stand where another is expected; None if it can."""
    given, expected = settle(given), settle(expected)
    if ANY in (given, expected):
        return None
    if isinstance(expected, Maybe):
        given = settle(given.kind) if isinstance(given, Maybe) else given
        return None if given == NULL else disagreement(given, expected.kind)
    if isinstance(given, Maybe):
        return f"may be null, where {describe(expected)} is expected"
    if isinstance(given, OneOf) and isinstance(expected, OneOf) and given.plain == expected.plain:
        strange = [value for value in given.values if value not in expected.values]
        if not strange:
            return None
        hint = nearest(str(strange[0]), map(str, expected.values)) or f", expected {describe(expected)}"
        return f"unknown value {describe(OneOf((strange[0],)))}{hint}"
    if isinstance(given, ListOf) and isinstance(expected, ListOf):
        return disagreement(given.item, expected.item)
    if _family(given) == _family(expected):
        return None
    return f"expected {describe(expected)}, got {describe(given)}"


def union(first: Kind, second: Kind) -> Kind:
    """What a value is that is one or the other."""
    first, second = settle(first), settle(second)
    if first == second:
        return first
    if NULL in (first, second):
        other = second if first == NULL else first
        return other if isinstance(other, Maybe) or other == ANY else Maybe(other)
    if isinstance(first, OneOf) and isinstance(second, OneOf) and first.plain == second.plain:
        return OneOf(tuple(dict.fromkeys(first.values + second.values)))
    return SIMPLE[_family(first)] if _family(first) == _family(second) else ANY


def _family(kind: Kind) -> str:
    if isinstance(kind, OneOf):
        return kind.plain.name
    if isinstance(kind, Simple):
        return kind.name
    return "array" if isinstance(kind, ListOf) else "object"
