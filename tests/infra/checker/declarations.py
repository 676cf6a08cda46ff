"""What a Bicep file offers to those who use it: its scope, its parameters, its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tree_sitter import Node

from .grammar import call_name, literal, operands, parse, statements, syntax_errors, text
from .kinds import ANY, SIMPLE, Field, Kind, Limits, ListOf, Maybe, OneOf, Shape, Simple, settle


@dataclass(frozen=True)
class Parameter:
    """One `param` of a file: what may be given, and whether it must be."""

    name: str
    kind: Kind
    limits: Limits
    required: bool
    node: Node


class Source:
    """A parsed file."""

    def __init__(self, path: Path):
        self.path = path
        self.root = parse(path)
        self.broken = list(syntax_errors(self.root))
        self.statements = [] if self.broken else list(statements(self.root))
        self._lines = path.read_text(encoding="utf-8").splitlines()

    def assigns(self, node: Node) -> bool:
        """Whether a statement of a parameter file gives a value to a parameter."""
        return node.type == "variable_declaration" and self._lines[node.start_point.row].startswith("param")

    @cached_property
    def scope(self) -> str:
        """The `targetScope`: what the file is deployed to."""
        for node, _ in self.statements:
            if node.type == "target_scope_assignment":
                return str(literal(operands(node)[0]))
        return "resourceGroup"

    @cached_property
    def uses(self) -> Path | None:
        """The Bicep file that a parameter file is for, whether it exists or not."""
        for node, _ in self.statements:
            if node.type == "using_statement":
                return self.path.parent / str(literal(operands(node)[0]))
        return None

    @cached_property
    def types(self) -> dict[str, Node]:
        """The types the file declares."""
        return {
            text(operands(node)[0]): operands(node)[1] for node, _ in self.statements if node.type == "type_declaration"
        }

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters a caller may give."""
        found = {}
        for node, decorators in self.statements:
            if node.type == "parameter_declaration":
                name, kind, *default = operands(node)
                declared = read_type(kind, self.types)
                allowed = _allowed(decorators)
                found[text(name)] = Parameter(
                    text(name),
                    OneOf(allowed) if allowed else declared,
                    limits(decorators),
                    not default and not isinstance(declared, Maybe),
                    node,
                )
        return found

    @cached_property
    def outputs(self) -> Shape:
        """What a caller may read of the file once it is deployed."""
        fields = {}
        for node, _ in self.statements:
            if node.type == "output_declaration":
                name, kind = operands(node)[:2]
                fields[text(name)] = Field(read_type(kind, self.types))
        return Shape("outputs", fields)


def read_type(node: Node, declared: dict[str, Node]) -> Kind:
    """The kind that a type in the source stands for; `any` for what has no name here."""
    parts = operands(node)
    if node.type in ("type", "parenthesized_type") and parts:
        return read_type(parts[0], declared)
    if node.type == "nullable_type":
        return Maybe(read_type(parts[0], declared))
    if node.type == "array_type":
        return ListOf(read_type(parts[0], declared))
    if node.type == "union_type":
        values = tuple(value for part in parts if (value := literal(part)) is not None)
        return OneOf(values) if len(values) == len(parts) else ANY
    if node.type in ("string", "number", "boolean"):
        value = literal(node)
        return ANY if value is None else OneOf((value,))
    if node.type == "object":
        fields, extra = {}, None
        for item in operands(node):
            if item.type == "object_property":
                *key, kind = operands(item)
                shown = read_type(kind, declared)
                if key:
                    fields[text(key[0]).strip("'")] = Field(shown, required=not isinstance(shown, Maybe))
                else:  # `*: kind`, any other name
                    extra = shown
        return Shape("object", fields, extra)
    if text(node) in declared:
        return read_type(declared[text(node)], declared)
    return SIMPLE.get(text(node), ANY)


def unknown_type(node: Node, declared: dict[str, Node]) -> str | None:
    """The first word in a type that names none."""
    if node.type == "identifier" and text(node) not in SIMPLE and text(node) not in declared:
        return text(node)
    named = [operands(item)[-1] if item.type == "object_property" else item for item in operands(node)]
    return next((word for part in named if (word := unknown_type(part, declared))), None)


def limits(decorators: list[Node]) -> Limits:
    """What @minLength and its like ask of a value."""
    given = {name: literal(arguments[0]) for name, arguments in map(call_name, decorators) if len(arguments) == 1}

    def number(name: str) -> int | None:
        value = given.get(name)
        return value if isinstance(value, int) else None

    return Limits(number("minLength"), number("maxLength"), number("minValue"), number("maxValue"))


def _allowed(decorators: list[Node]) -> tuple[str | int | bool, ...]:
    for name, arguments in map(call_name, decorators):
        if name == "allowed" and arguments:
            return tuple(value for item in operands(arguments[0]) if (value := literal(item)) is not None)
    return ()


def plain(kind: Kind) -> str:
    """The word for a kind that decorators are made for: string, int, bool, array, object or any."""
    kind = settle(kind)
    if isinstance(kind, Maybe):
        return plain(kind.kind)
    if isinstance(kind, OneOf):
        return kind.plain.name
    if isinstance(kind, Simple):
        return kind.name
    return "array" if isinstance(kind, ListOf) else "object"
