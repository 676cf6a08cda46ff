"""Whether an expression may stand where it stands."""

from tree_sitter import Node

from .expressions import Expressions
from .grammar import literal, operands, properties, text
from .kinds import ANY, BOOL, Field, Kind, Limits, ListOf, Maybe, OneOf, Shape, describe, nearest, settle

# What Azure Resource Manager knows of a resource before it has made it.
_KNOWN_AT_START = {"id", "name", "type", "apiVersion"}
_NO_LIMITS = Limits()


class Expectations(Expressions):
    """Walks literals beside the kind that is expected of them, so that a fault is reported on its own line."""

    def check(self, node: Node, expected: Kind, what: str, limits: Limits = _NO_LIMITS) -> None:
        """Fault everything in `node` that is not as expected; `what` names the place in messages."""
        expected = settle(expected)
        inner = settle(expected.kind) if isinstance(expected, Maybe) else expected
        if node.type == "parenthesized_expression":
            self.check(operands(node)[0], expected, what, limits)
        elif node.type == "ternary_expression":
            self.expect(node.child_by_field_name("condition"), BOOL, "a condition")
            for branch in ("consequence", "alternative"):
                self.check(node.child_by_field_name(branch) or node, expected, what, limits)
        elif node.type == "object" and isinstance(inner, Shape):
            self._check_object(node, inner, what)
        elif node.type == "array" and isinstance(inner, ListOf):
            for item in operands(node):
                self.check(item, inner.item, f"an item of {what}")
        elif node.type == "for_statement" and isinstance(inner, ListOf):
            with self.loop(node):
                self.check(node.child_by_field_name("body") or node, inner.item, f"an item of {what}")
        else:
            self.expect(node, expected, what)
            value = literal(node)
            if value is not None and (broken := limits.broken_by(value)):
                self.fault(node, f"{what}: {broken}")

    def known_at_start(self, node: Node, what: str) -> None:
        """Fault what is only known once another resource exists, where Azure must know it before it begins."""
        if found := self._late(node, frozenset()):
            self.fault(node, f"{what} must be known before the deployment starts, and {found} is not")

    def _check_object(self, node: Node, shape: Shape, what: str) -> None:
        fields = self._fields(node, shape, what)
        if fields is None:
            return
        given: set[str] = set()
        computed = False
        for name, item, value in properties(node):
            if name is None:
                computed = True
                self.kind(operands(item)[0])
                self.check(value, shape.extra or ANY, what)
                continue
            if name in given:
                self.fault(item, f"'{name}' is given twice")
            given.add(name)
            if name in fields:
                self._check_field(name, fields[name], item, value)
            elif shape.extra is not None:
                self.check(value, shape.extra, name)
            else:
                self.fault(item, f"{what} has no property '{name}'{nearest(name, fields)}")
        if not computed:
            for name, field in fields.items():
                if field.required and not field.read_only and name not in given:
                    self.fault(node, f"{what}: '{name}' is missing")

    def _check_field(self, name: str, field: Field, item: Node, value: Node) -> None:
        if field.read_only:
            self.fault(item, f"'{name}' is read-only: Azure sets it")
        if field.known_at_start:
            self.known_at_start(value, f"'{name}'")
        # Null leaves an optional property out.
        self.check(value, field.kind if field.required else Maybe(field.kind), name, field.limits)

    def _fields(self, node: Node, shape: Shape, what: str) -> dict[str, Field] | None:
        """The properties an object may have, by its tag if its shape has one; None if the tag does not say."""
        if not shape.tag:
            return dict(shape.fields)
        item, value = next(((item, value) for name, item, value in properties(node) if name == shape.tag), (node, None))
        tag = literal(value) if value else None
        if value is None:
            self.fault(node, f"{what}: '{shape.tag}' is missing, {describe(OneOf(tuple(shape.variants)))}")
        elif tag is not None and tag not in shape.variants:
            hint = nearest(str(tag), shape.variants) or f", expected {describe(OneOf(tuple(shape.variants)))}"
            self.fault(item, f"{shape.tag}: unknown value '{tag}'{hint}")
        elif tag is not None:
            return {**shape.fields, **shape.variants[str(tag)]}
        self.kind(node)  # all the same, what is used in it is used
        return None

    def _late(self, node: Node, seen: frozenset[str]) -> str | None:
        if node.type == "member_expression":
            owner = node.child_by_field_name("object")
            name = text(node.child_by_field_name("property") or node)
            symbol = self.symbols.get(text(owner)) if owner and owner.type == "identifier" else None
            if symbol and symbol.what == "module" and name != "name":
                return f"an output of module '{symbol.name}'"
            if symbol and symbol.what in ("resource", "existing"):
                return None if name in _KNOWN_AT_START else f"'{symbol.name}.{name}'"
        elif node.type == "identifier" and text(node) not in seen:
            symbol = self.symbols.get(text(node))
            if symbol and symbol.what == "var":
                return self._late(operands(symbol.node)[-1], seen | {text(node)})
        return next((found for child in operands(node) if (found := self._late(child, seen))), None)
