"""What an expression gives: its kind, and what is wrong inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tree_sitter import Node

from .grammar import Fault, call_name, line, literal, operands, properties, text, tokens
from .kinds import (
    ANY,
    ARRAY,
    BOOL,
    INT,
    NULL,
    OBJECT,
    STRING,
    Field,
    Kind,
    ListOf,
    Maybe,
    OneOf,
    Shape,
    describe,
    disagreement,
    nearest,
    settle,
    union,
)
from .language import FUNCTIONS, IN_DEFAULTS_ONLY, IN_PARAMETER_FILES_ONLY, LISTS, SHAPES

_ARITHMETIC = {"+", "-", "*", "/", "%"}
_LOGIC = {"&&", "||"}


@dataclass
class Symbol:
    """A name that a file declares. `kind` is asked for when needed, since declarations may stand in any order."""

    name: str
    what: str  # param, var, resource, existing or module
    kind: Callable[[], Kind]
    node: Node
    used: bool = False


class Expressions:
    """Reads the expressions of one file: `kind(node)` dispatches on the node's type to the `read_...` methods."""

    def __init__(self, path: Path, scope: str):
        self.path = path
        self.scope = scope
        self.symbols: dict[str, Symbol] = {}
        self.in_default = False  # whether a parameter's default is being read
        self.faults: set[Fault] = set()
        self._locals: list[dict[str, Kind]] = []

    def fault(self, node: Node, message: str) -> None:
        """Note something wrong at a node; saying it twice makes no difference."""
        self.faults.add(Fault(self.path, line(node), message))

    def kind(self, node: Node | None) -> Kind:
        """What an expression gives."""
        if node is None:
            return ANY
        reader = getattr(self, f"read_{node.type}", None)
        if reader is None:
            self.fault(node, f"not understood: {node.type.replace('_', ' ')} '{text(node)[:40]}'")
            return ANY
        return reader(node)

    def expect(self, node: Node | None, expected: Kind, what: str) -> None:
        """Fault an expression that gives something else than a simple kind; `what` names the place in the message."""
        if node is not None and (problem := disagreement(self.kind(node), expected)):
            self.fault(node, f"{what}: {problem}")

    @contextmanager
    def loop(self, node: Node) -> Iterator[None]:
        """Inside a `for`, where its variables have values."""
        head, sequence = operands(node)[0], operands(node)[1]
        listed = settle(self.kind(sequence))
        if disagreement(listed, ARRAY):
            self.fault(sequence, f"a loop goes over an array, not over {describe(listed)}")
        names = [text(child) for child in operands(head)] if head.type == "for_loop_parameters" else [text(head)]
        kinds = [listed.item if isinstance(listed, ListOf) else ANY, INT]
        self._locals.append(dict(zip(names, kinds, strict=False)))
        yield
        self._locals.pop()

    def read_number(self, node: Node) -> Kind:
        value = literal(node)
        return NULL if value is None else OneOf((value,))

    read_boolean = read_null = read_number

    def read_string(self, node: Node) -> Kind:
        inserted = [part for part in operands(node) if part.type == "interpolation"]
        for part in inserted:
            self.kind(operands(part)[0])
        return STRING if inserted else self.read_number(node)

    def read_array(self, node: Node) -> Kind:
        items = [self.kind(item) for item in operands(node)]
        common = items[0] if items else ANY
        for item in items[1:]:
            common = union(common, item)
        return ListOf(common)

    def read_object(self, node: Node) -> Kind:
        fields: dict[str, Field] = {}
        computed = False
        for name, item, value in properties(node):
            if name is None:
                self.kind(operands(item)[0])
                computed = True
            elif name in fields:
                self.fault(item, f"'{name}' is given twice")
            fields[name or ""] = Field(self.kind(value))
        return Shape("object", fields, extra=ANY if computed else None)

    def read_parenthesized_expression(self, node: Node) -> Kind:
        return self.kind(operands(node)[0])

    def read_for_statement(self, node: Node) -> Kind:
        with self.loop(node):
            return ListOf(self.kind(node.child_by_field_name("body")))

    def read_identifier(self, node: Node) -> Kind:
        name = text(node)
        for scope in reversed(self._locals):
            if name in scope:
                return scope[name]
        symbol = self.symbols.get(name)
        if symbol is None:
            self.fault(node, f"'{name}' is not defined{nearest(name, self.symbols)}")
            return ANY
        symbol.used = True
        return symbol.kind()

    def read_member_expression(self, node: Node) -> Kind:
        owner, member = node.child_by_field_name("object"), node.child_by_field_name("property")
        if owner is None or member is None:
            return ANY
        base, name, safe = settle(self.kind(owner)), text(member), _safe(node)
        if isinstance(base, Maybe):
            if not safe and "!" not in tokens(node):
                self.fault(node, f"'{text(owner)}' may not exist (it is conditional): '{text(owner)}!.{name}' or '.?'")
            base = settle(base.kind)
        found = self._property(base, name, owner, member)
        return Maybe(found) if safe and found != ANY else found

    def read_subscript_expression(self, node: Node) -> Kind:
        owner, index = node.child_by_field_name("object"), node.child_by_field_name("index")
        if owner is None or index is None:
            return ANY
        base, key = settle(self.kind(owner)), literal(index)
        if isinstance(base, ListOf):
            self.expect(index, INT, "the index of an array")
            return base.item
        self.kind(index)
        return self._property(base, key, owner, index) if isinstance(key, str) else ANY

    def _property(self, base: Kind, name: str, owner: Node, place: Node) -> Kind:
        if isinstance(base, Shape):
            if name in base.fields:
                return base.fields[name].kind
            if base.extra is None and not base.tag:
                self.fault(place, f"'{text(owner)}' has no property '{name}'{nearest(name, base.fields)}")
            return base.extra or ANY
        if base not in (ANY, OBJECT):
            self.fault(place, f"'{text(owner)}' is no object but {describe(base)}: it has no property '{name}'")
        return ANY

    def read_call_expression(self, node: Node) -> Kind:
        name, arguments = call_name(node)
        for argument in arguments:
            self.kind(argument)
        if not name:  # a resource's own function, such as listKeys()
            called = node.child_by_field_name("function")
            self.kind(called.child_by_field_name("object") if called else None)
            return ANY
        function = FUNCTIONS.get(name)
        if function is None:
            self.fault(node, f"there is no function '{name}'{nearest(name, FUNCTIONS)}")
            return ANY
        least, most, count = function.least, function.most, len(arguments)
        if count < least or (most is not None and count > most):
            wanted = f"{least} or more" if most is None else str(least) if least == most else f"{least} to {most}"
            self.fault(node, f"{name}() takes {wanted} arguments, not {count}")
        if name in IN_DEFAULTS_ONLY and not self.in_default:
            self.fault(node, f"{name}() may only stand in the default of a parameter")
        if name in IN_PARAMETER_FILES_ONLY and self.path.suffix != ".bicepparam":
            self.fault(node, f"{name}() may only stand in a .bicepparam file")
        if name == "resourceGroup" and not arguments and self.scope != "resourceGroup":
            self.fault(node, f"resourceGroup() has no meaning in a file whose targetScope is '{self.scope}'")
        return SHAPES.get(name) or LISTS.get(name) or function.result

    def read_ternary_expression(self, node: Node) -> Kind:
        self.expect(node.child_by_field_name("condition"), BOOL, "a condition")
        return union(*(self.kind(node.child_by_field_name(name)) for name in ("consequence", "alternative")))

    def read_binary_expression(self, node: Node) -> Kind:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = text(node.child_by_field_name("operator") or node)
        wanted = INT if operator in _ARITHMETIC else BOOL if operator in _LOGIC else None
        if wanted:
            self.expect(left, wanted, f"the left of '{operator}'")
            self.expect(right, wanted, f"the right of '{operator}'")
            return wanted
        first, second = settle(self.kind(left)), self.kind(right)
        if operator == "??":
            return union(first.kind if isinstance(first, Maybe) else first, second)
        return BOOL

    def read_unary_expression(self, node: Node) -> Kind:
        sign = next(iter(tokens(node)))
        wanted = BOOL if sign == "!" else INT
        self.expect(operands(node)[-1], wanted, f"what follows '{sign}'")
        return wanted


def _safe(node: Node | None) -> bool:
    """Whether a `.?` in a chain of members makes all that follows it null where its owner is."""
    while node is not None and node.type == "member_expression":
        if ".?" in tokens(node):
            return True
        node = node.child_by_field_name("object")
    return False
