"""From the text of a Bicep file to tree-sitter's nodes, and the few questions asked of a node.

The grammar is not the compiler's: it binds `[0]` too loosely behind an operator or inside an array literal, and knows
no spread. What it misreads is reported, never passed over; a variable of its own helps.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong with one line."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def parse(path: Path) -> Node:
    """The root node of a file; syntax errors are nodes in it (see `syntax_errors`)."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".bicepparam":
        # The grammar knows `param x string = ...` only; a parameter file's `param x = ...` reads like a variable.
        source = re.sub(r"^param(?=\s+\w+\s*=)", "var  ", source, flags=re.MULTILINE)
    return _PARSER.parse(source.encode()).root_node


def syntax_errors(node: Node) -> Iterator[tuple[Node, str]]:
    """The places where the file is no Bicep, and what stands there."""
    if node.type == "string" and text(node)[:3] != "'''" and node.start_point.row != node.end_point.row:
        yield node, "syntax error: the string is not closed on its line"
    elif node.type == "ERROR":
        yield node, f"syntax error near '{text(node).splitlines()[0][:40] if text(node) else ''}'"
    elif node.is_missing:
        yield node, f"syntax error: '{node.type}' is missing"
    else:
        for child in node.children:
            yield from syntax_errors(child)
        yield from _separators(node)


def _separators(node: Node) -> Iterator[tuple[Node, str]]:
    """What the compiler asks for between items and the grammar does not: a comma within a line, none at its end."""
    if node.type in ("object", "array", "infrastructure"):
        for first, second in itertools.pairwise(child for child in node.children if child.type != "comment"):
            apart = second.start_point.row > first.end_point.row
            if first.type == "," and apart:
                yield first, "syntax error: no comma at the end of a line"
            elif first.is_named and second.is_named and not apart:
                yield second, f"syntax error: '{text(second).splitlines()[0][:40]}' needs a line of its own"


def text(node: Node) -> str:
    """The source of a node."""
    return node.text.decode() if node.text else ""


def line(node: Node) -> int:
    """The line a node begins on, from 1."""
    return node.start_point.row + 1


def tokens(node: Node) -> set[str]:
    """The keywords and operators directly under a node."""
    return {child.type for child in node.children if not child.is_named}


def operands(node: Node) -> list[Node]:
    """The named children of a node, without comments."""
    return [child for child in node.named_children if child.type != "comment"]


def statements(root: Node) -> Iterator[tuple[Node, list[Node]]]:
    """Every declaration of a file, with the decorators above it (their call expressions)."""
    decorators: list[Node] = []
    for node in operands(root):
        if node.type == "decorators":
            decorators = [operands(decorator)[0] for decorator in operands(node)]
        else:
            yield node, decorators
            decorators = []


def call_name(call: Node) -> tuple[str, list[Node]]:
    """What is called, without its namespace (`sys.` or `az.`), and with which arguments.

    The name is empty where a method of some other expression is called.
    """
    function = call.child_by_field_name("function")
    arguments = call.child_by_field_name("arguments")
    given = operands(arguments) if arguments else []
    if function is None:
        return "", given
    if function.type == "member_expression":
        owner = function.child_by_field_name("object")
        if owner is None or text(owner) not in ("sys", "az"):
            return "", given
        function = function.child_by_field_name("property") or function
    return text(function), given


def literal(node: Node) -> str | int | bool | None:
    """The value of a literal; None for everything that is computed, and for null."""
    if node.type == "number":
        return int(text(node))
    if node.type == "boolean":
        return text(node) == "true"
    if node.type == "string":
        parts = []
        for part in operands(node):
            if part.type == "interpolation":
                return None
            raw = text(part)
            parts.append(_ESCAPES.get(raw[1], raw[1:]) if part.type == "escape_sequence" else raw)
        return "".join(parts)
    return None


def properties(node: Node) -> Iterator[tuple[str | None, Node, Node]]:
    """The properties of an object literal: name (None when it is computed), the property, its value."""
    for item in operands(node):
        parts = operands(item)
        if item.type == "object_property" and len(parts) == 2:
            key, value = parts
            name = literal(key) if key.type == "string" else text(key)
            yield (name if isinstance(name, str) else None), item, value


def body(declaration: Node) -> tuple[Node | None, Node | None, Node | None]:
    """Of a resource or module: the `for` around it, the condition before it, and the object itself."""
    loop = condition = None
    node = operands(declaration)[-1]
    if node.type == "for_statement":
        loop, node = node, node.child_by_field_name("body") or node
    if node.type == "if_statement":
        condition, node = operands(node)[0], operands(node)[-1]
    return loop, condition, node if node.type == "object" else None
