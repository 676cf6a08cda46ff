"""The checks of a whole file: every declaration, and what the file says to the files it uses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from tree_sitter import Node

from .catalogue import Catalogue, Resource
from .declarations import Source, plain, read_type, unknown_type
from .expectations import Expectations
from .expressions import Symbol
from .grammar import Fault, body, call_name, line, literal, operands, properties, text, tokens
from .kinds import ANY, ARRAY, BOOL, INT, STRING, Field, Kind, ListOf, Maybe, Shape, nearest
from .language import DECORATORS, SCOPES

_WORDS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "output_declaration": "output",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "type_declaration": "type",
}
_NUMERIC = {"minLength", "maxLength", "minValue", "maxValue", "batchSize"}


class Project:
    """Files that use one another, each read once."""

    def __init__(self, catalogue: Catalogue):
        self.catalogue = catalogue
        self._sources: dict[Path, Source] = {}

    def source(self, path: Path) -> Source:
        """The parsed file. Raises FileNotFoundError."""
        key = path.resolve()
        if key not in self._sources:
            self._sources[key] = Source(path)
        return self._sources[key]

    def check(self, files: Iterable[Path]) -> list[Fault]:
        """Everything wrong with some files, in order. Raises ToolMissing if azmcp is needed and not there."""
        return sorted(fault for file in files for fault in _File(self.source(file), self).run())


class _File(Expectations):
    """The checks of one file."""

    def __init__(self, source: Source, project: Project):
        super().__init__(source.path, source.scope)
        self._source = source
        self._project = project
        self._types: dict[str, str] = {}  # symbol of a resource -> its type
        self._reading: list[Node] = []  # variables being read, to see one that needs itself

    def run(self) -> set[Fault]:
        for node, message in self._source.broken:
            self.fault(node, message)
        for node, _ in self._source.statements:
            self._declare(node)
        if self.path.suffix == ".bicepparam" and not self._source.broken and self._source.uses is None:
            self.fault(self._source.root, "`using 'FILE'` is missing: which file are the parameters for?")
        for node, decorators in self._source.statements:
            self._decorators(node, decorators)
            getattr(self, f"_{node.type}", self._not_understood)(node)
        for symbol in self.symbols.values():
            if symbol.what in ("param", "var", "existing") and not symbol.used:
                self.fault(symbol.node, f"{symbol.what} '{symbol.name}' is not used")
        return self.faults

    # -- names ---------------------------------------------------------------------------------------------------

    def _declare(self, node: Node) -> None:
        word = _WORDS.get(node.type)
        if word not in ("param", "var", "resource", "module") or self._source.assigns(node):
            return
        name = text(operands(node)[0])
        if name in self.symbols:
            first = line(self.symbols[name].node)
            self.fault(node, f"'{name}' is declared twice, first on line {first}")
        if word == "resource":
            word = "existing" if "existing" in tokens(node) else word
            self._types[name] = str(literal(operands(node)[1])).split("@")[0]
        reader = {"param": self._param_kind, "var": self._var_kind, "module": self._module_kind}
        self.symbols[name] = Symbol(name, word, partial(reader.get(word, self._resource_kind), node), node)

    def _param_kind(self, node: Node) -> Kind:
        return self._source.parameters[text(operands(node)[0])].kind

    def _var_kind(self, node: Node) -> Kind:
        if node in self._reading:
            self.fault(node, f"var '{text(operands(node)[0])}' refers to itself")
            return ANY
        self._reading.append(node)
        kind = self.kind(operands(node)[-1])
        self._reading.pop()
        return kind

    def _resource_kind(self, node: Node) -> Kind:
        resource = self._resource(node)
        return _wrapped(node, resource.body if resource else ANY)

    def _module_kind(self, node: Node) -> Kind:
        module = self._module(node)
        fields = {"name": Field(STRING), "outputs": Field(module.outputs if module else ANY)}
        return _wrapped(node, Shape("module", fields))

    def _resource(self, node: Node) -> Resource | None:
        return self._project.catalogue.resource(str(literal(operands(node)[1])).split("@")[0])

    def _module(self, node: Node) -> Source | None:
        path = self.path.parent / str(literal(operands(node)[1]))
        return self._project.source(path) if path.is_file() else None

    # -- declarations --------------------------------------------------------------------------------------------

    def _not_understood(self, node: Node) -> None:
        self.fault(node, f"not understood: '{text(node).splitlines()[0][:40]}'")

    def _metadata_declaration(self, node: Node) -> None:
        self.kind(operands(node)[1])

    def _target_scope_assignment(self, node: Node) -> None:
        if self.scope not in SCOPES:
            self.fault(node, f"targetScope: unknown value '{self.scope}'{nearest(self.scope, SCOPES)}")

    def _type_declaration(self, node: Node) -> None:
        self._known_type(operands(node)[1])

    def _known_type(self, node: Node) -> None:
        word = unknown_type(node, self._source.types)
        if word:
            known = ["string", "int", "bool", "object", "array", *self._source.types]
            self.fault(node, f"there is no type '{word}'{nearest(word, known)}")

    def _parameter_declaration(self, node: Node) -> None:
        name, kind, *default = operands(node)
        self._known_type(kind)
        parameter = self._source.parameters[text(name)]
        if default:
            if isinstance(parameter.kind, Maybe):
                self.fault(node, f"the nullable parameter '{text(name)}' takes no default")
            self.in_default = True
            self.check(default[0], parameter.kind, f"the default of '{text(name)}'", parameter.limits)
            self.in_default = False

    def _variable_declaration(self, node: Node) -> None:
        name, value = operands(node)
        if not self._source.assigns(node):
            self.kind(value)
        elif self._target:
            parameters = self._target.parameters
            if text(name) not in parameters:
                hint = nearest(text(name), parameters)
                self.fault(node, f"{self._target.path.name} has no parameter '{text(name)}'{hint}")
                self.kind(value)
            else:
                parameter = parameters[text(name)]
                self.check(value, parameter.kind, f"parameter '{text(name)}'", parameter.limits)

    def _output_declaration(self, node: Node) -> None:
        name, kind, value = operands(node)
        self._known_type(kind)
        self.check(value, read_type(kind, self._source.types), f"output '{text(name)}'")

    def _using_statement(self, node: Node) -> None:
        if self._target is None:
            self.fault(node, f"there is no file {text(operands(node)[0])}")
            return
        given = {text(operands(other)[0]) for other, _ in self._source.statements if self._source.assigns(other)}
        for parameter in self._target.parameters.values():
            if parameter.required and parameter.name not in given:
                self.fault(node, f"parameter '{parameter.name}' of {self._target.path.name} is missing")

    @property
    def _target(self) -> Source | None:
        """The Bicep file that a parameter file is for."""
        path = self._source.uses
        return self._project.source(path) if path and path.is_file() else None

    def _resource_declaration(self, node: Node) -> None:
        name = text(operands(node)[0])
        kind, _, version = str(literal(operands(node)[1])).partition("@")
        resource = self._resource(node)
        if resource is None:
            self.fault(node, f"there is no resource type '{kind}'")
            return
        if not _is_as_new(version, resource.version):
            self.fault(node, f"{kind}: version '{version}' is not the newest known, '{resource.version}'")
        existing = "existing" in tokens(node)
        fields = {
            "parent": Field(ANY, known_at_start=True),
            "scope": Field(ANY, known_at_start=True),
            "dependsOn": Field(ARRAY),
        }
        fields |= {"name": resource.body.fields["name"]} if existing else resource.body.fields
        given = self._body(node, Shape(kind, fields))
        self._place(node, name, resource, given, existing)

    def _place(self, node: Node, name: str, resource: Resource, given: dict[str, Node], existing: bool) -> None:
        """Where a resource stands: under a parent of the right type, in a file of the right scope."""
        outer = resource.type.rsplit("/", 1)[0]
        if "parent" in given:
            found = self._types.get(text(given["parent"]))
            if found is None or found.lower() != outer.lower():
                self.fault(given["parent"], f"the parent of {resource.type} is a {outer}, not {found or 'this'}")
        elif resource.type.count("/") > 1:
            full_name = re.sub(r"\$\{.*?\}", "", text(given["name"])) if "name" in given else ""
            if "/" not in full_name:
                self.fault(node, f"'{name}' needs a parent: {resource.type} stands under {outer}")
        here = self.scope[0].upper() + self.scope[1:]
        anywhere = existing or "scope" in given or resource.scopes.startswith("All")
        if not anywhere and here not in resource.scopes.split(", "):
            self.fault(node, f"{resource.type} is deployed to {resource.scopes}, and this file to {here}")

    def _module_declaration(self, node: Node) -> None:
        path = str(literal(operands(node)[1]))
        module = self._module(node)
        if module is None:
            self.fault(node, f"there is no file '{path}'")
            return
        parameters = {
            name: Field(parameter.kind, parameter.required, limits=parameter.limits)
            for name, parameter in module.parameters.items()
        }
        shape = Shape(
            f"module '{path}'",
            {
                "name": Field(STRING, known_at_start=True),
                "scope": Field(ANY, required=module.scope != self.scope, known_at_start=True),
                "params": Field(Shape(f"params of '{path}'", parameters), any(f.required for f in parameters.values())),
                "dependsOn": Field(ARRAY),
            },
        )
        scope = self._body(node, shape).get("scope")
        found = self._types.get(text(scope), "") if scope else ""
        if found and (found.endswith("/resourceGroups") != (module.scope == "resourceGroup")):
            self.fault(scope or node, f"'{path}' is deployed to a {module.scope}, not to a {found}")

    def _body(self, node: Node, shape: Shape) -> dict[str, Node]:
        """Check the body of a resource or module, inside its loop and behind its condition; the properties given."""
        loop, condition, content = body(node)
        if content is None:
            self.fault(node, f"'{text(operands(node)[0])}' has no body")
            return {}
        if condition is not None:
            self.known_at_start(condition, "a condition")
        if loop is None:
            if condition is not None:
                self.expect(condition, BOOL, "a condition")
            self.check(content, shape, shape.name)
        else:
            self.known_at_start(operands(loop)[1], "what a loop goes over")
            with self.loop(loop):
                if condition is not None:
                    self.expect(condition, BOOL, "a condition")
                self.check(content, shape, shape.name)
        return {name: value for name, _, value in properties(content) if name}

    # -- decorators ----------------------------------------------------------------------------------------------

    def _decorators(self, node: Node, decorators: list[Node]) -> None:
        target = _WORDS.get(node.type, "")
        for call in decorators:
            name, arguments = call_name(call) if call.type == "call_expression" else (text(call), [])
            known = DECORATORS.get(name)
            if known is None:
                self.fault(call, f"there is no decorator '@{name}'{nearest(name, DECORATORS)}")
            elif len(arguments) != known.arguments:
                self.fault(call, f"@{name} takes {known.arguments} arguments, not {len(arguments)}")
            elif target not in known.targets:
                self.fault(call, f"@{name} cannot stand on a {target or 'statement'}")
            elif name == "batchSize" and body(node)[0] is None:
                self.fault(call, "@batchSize stands on loops only")
            else:
                self._decorated(node, call, name, arguments, known.kinds)

    def _decorated(self, node: Node, call: Node, name: str, arguments: list[Node], kinds: tuple[str, ...]) -> None:
        declared = read_type(operands(node)[1], self._source.types) if kinds or name == "allowed" else ANY
        if kinds and plain(declared) not in (*kinds, "any"):
            self.fault(call, f"@{name} is for {' or '.join(kinds)}, and this is {plain(declared)}")
        if name == "allowed":
            self.check(arguments[0], ListOf(declared), "@allowed")
        elif arguments:
            wanted = INT if name in _NUMERIC else STRING if name in ("description", "discriminator") else ANY
            self.check(arguments[0], wanted, f"@{name}")


def _is_as_new(version: str, known: str) -> bool:
    """Whether a version is the newest that azmcp knows, or came after it and is not of the future: azmcp ages."""
    try:
        return date.fromisoformat(known) <= date.fromisoformat(version) <= datetime.now(UTC).date()
    except ValueError:  # a preview, or no date at all
        return version == known


def _wrapped(node: Node, kind: Kind) -> Kind:
    """The kind of a resource or module as others see it: one, many, or perhaps none."""
    loop, condition, _ = body(node)
    kind = Maybe(kind) if condition is not None and kind != ANY else kind
    return ListOf(kind) if loop is not None else kind
