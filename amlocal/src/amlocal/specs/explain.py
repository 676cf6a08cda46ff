"""Why azure-ai-ml refuses a document: every mistake at the field it is in, in words.

azure-ai-ml decides whether a spec is sound; this module only says why not. Its own report of a union (an input that is
a literal, data or a model) mixes the complaints of every member. Here the same marshmallow schemas are walked field by
field, and of a union only the complaints of the member that was meant are reported.
"""

import ast
import copy
import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from amlocal.core import documents
from amlocal.core.errors import UserError
from amlocal.core.files import relative
from amlocal.core.names import nearest
from amlocal.specs.schemas import (
    DISCRIMINATORS,
    LISTED,
    choices_of,
    discriminator,
    inner,
    is_structure,
    listed,
    members_of,
    nested_schema,
    pattern_of,
    takes,
    wishes,
)

PRIMITIVES = ("string", "integer", "number", "boolean")
# Other tools' and other versions' names for fields, where the spelling gives no hint.
SYNONYMS = {
    "choices": "enum",
    "options": "enum",
    "allowed_values": "enum",
    "minimum": "min",
    "maximum": "max",
    "cmd": "command",
    "script": "command",
    "run": "command",
    "image": "environment",
    "docker": "image",
    "cluster": "compute",
    "compute_target": "compute",
    "target": "compute",
    "env": "environment_variables",
    "env_vars": "environment_variables",
    "steps": "jobs",
    "nodes": "jobs",
    "node_count": "instance_count",
    "value": "default",
}
MISSING = re.compile(r"(?:No such file or directory:|resolved absolute path:) '?([^'\];]+)")
PATH_WANTED = re.compile(r"only path input is supported now but get \w+: (.*)\.$")
LACKING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: '(\w+)'")
DEFAULT = re.compile(r"Default value of Input cannot be parsed, got '(.*)', type = ")
WANTED = {
    "Not a valid integer.": "an integer",
    "Not a valid number.": "a number",
    "Not a valid string.": "text",
    "Not a valid boolean.": "true or false",
    "Not a valid mapping type.": "a mapping",
    "Not a valid list.": "a list",
    "Not a valid URL.": "a URL",
    "Invalid input type.": "a mapping",
}


@dataclass(frozen=True)
class Complaint:
    """One mistake: the file, the keys that lead to it, and what is wrong there.

    cause: what was raised, if it does not say which of the fields in there it is about.
    """

    source: Path
    field: tuple[str, ...]
    message: str
    cause: Exception | None = dataclasses.field(default=None, compare=False)


# Explains a file of its own, such as a component that a step names.
Explain = Callable[[str, Path], Sequence[Complaint]]


def complaints(schema: Any, document: Any, source: Path, explain: Explain) -> list[Complaint]:
    """What `schema`, a marshmallow schema of azure-ai-ml's, has against `document`, which stands in `source`.

    explain: finds what is wrong with a file that the document refers to. Empty where the schema has no objection.
    """
    return list(dict.fromkeys(_Walk(source, source.parent, explain).schema(schema, copy.deepcopy(document), ())))


def refusing_schema(error: BaseException) -> Any:
    """The outermost schema that azure-ai-ml was reading with when it raised `error`; None if it was not."""
    from azure.ai.ml._schema.core.schema_meta import Schema

    code = Schema._do_load.__code__
    seen: BaseException | None = error
    while seen is not None:
        trace = seen.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code is code:
                return trace.tb_frame.f_locals["self"]
            trace = trace.tb_next
        seen = seen.__cause__ or seen.__context__
    return None


def plain_message(error: BaseException | str) -> str:
    """A message of azure-ai-ml's on one line, without its advice for authors of files."""
    text = getattr(error, "message", None) or str(error)
    if isinstance(text, str) and text.startswith("{"):  # marshmallow's, which tell the fields by their names
        with suppress(ValueError, SyntaxError):
            text = ast.literal_eval(text)
    text = "; ".join(_texts(text)) if isinstance(text, dict | list) else str(text)
    text = " ".join(text.split())
    text = re.split(
        r" (?:Visit this link|The easiest way to author|If you are trying to configure|For a more detailed)", text
    )[0]
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
    text = re.sub(r"\b(?:Unknown|Unsupported) (\w+) type: None\b", r"type: required, the kind of \1", text)
    if path := PATH_WANTED.search(text):
        return f'a path is wanted here, not "{path[1]}"'
    if default := DEFAULT.search(text):
        return f'"{default[1]}" does not fit the type of the input'
    if missing := MISSING.search(text):
        return f"no such file or folder: {relative(Path(missing.group(1).rstrip('. ')))}"
    return text or type(error).__name__


def _texts(messages: Any) -> Iterator[str]:
    if isinstance(messages, dict):
        for key, value in messages.items():
            for text in _texts(value):
                yield text if key in ("_schema", 0) else f"{key}: {text}"
    elif isinstance(messages, list):
        for value in messages:
            yield from _texts(value)
    else:
        yield str(messages)


class _Walk:
    """One file, read with one schema."""

    def __init__(self, source: Path, base: Path, explain: Explain) -> None:
        self.source, self.base, self.explain = source, base, explain

    def at(self, field: tuple[str, ...], message: str) -> Complaint:
        return Complaint(self.source, field, message)

    def schema(self, schema: Any, data: Any, place: tuple[str, ...]) -> Iterator[Complaint]:
        if isinstance(data, str) and data.startswith("file:") and hasattr(schema, "load_from_file"):
            yield from self._file(schema, data.removeprefix("file:"), place)
            return
        if not isinstance(data, Mapping):
            yield self.at(place, f"a mapping of fields{listed(schema)} is wanted here, not {in_words(data)}")
            return
        found = list(self._fields(schema, data, place))
        yield from found or self._whole(schema, data, place)

    def _file(self, schema: Any, name: str, place: tuple[str, ...]) -> Iterator[Complaint]:
        path = self.base / name
        data, problem = _read(path, name)
        if problem:
            yield self.at(place, problem)
            return
        yield from _Walk(path, path.parent, self.explain).schema(schema, data, ())

    def _fields(self, schema: Any, data: Mapping[Any, Any], place: tuple[str, ...]) -> Iterator[Complaint]:
        fields = {field.data_key or name: field for name, field in schema.fields.items()}
        loaded = {name: field for name, field in fields.items() if not field.dump_only}
        meant, above = set(), None
        read = self._before_load(schema, data)
        for key in data:
            if key in fields or key not in read or schema.unknown != "raise":
                above = key if data[key] is None else None
                continue
            near = SYNONYMS.get(str(key))
            if near not in loaded:
                near = nearest(str(key), [name for name in loaded if name not in data]) or nearest(str(key), loaded)
            meant.add(near)
            belongs = f'; if it belongs to "{above}", indent it' if above and not near else instead(near, loaded)
            yield self.at((*place, str(key)), f"unknown field{belongs}")
        for name, field in loaded.items():
            if name in data:
                yield from self.field(field, data[name], (*place, name), data)
            elif field.required and name not in meant and name not in read:
                yield self.at((*place, name), "required, and not there")

    def _before_load(self, schema: Any, data: Mapping[Any, Any]) -> Any:
        """The fields that a schema has before it as it begins to read: it may take some by other names."""
        self._set_base(schema)
        begin = schema._invoke_load_processors
        options = {"many": False, "original_data": data, "partial": None, "unknown": schema.unknown}
        known = signature(begin).parameters  # marshmallow 4 has one more than 3
        try:
            read = begin("pre_load", copy.deepcopy(data), **{key: options[key] for key in options if key in known})
        except Exception:  # `_whole` tells what it has against them
            return data
        return read if isinstance(read, Mapping) else data

    def _whole(self, schema: Any, data: Mapping[Any, Any], place: tuple[str, ...]) -> Iterator[Complaint]:
        """What only the fields together have against it, or the entity that is made of them."""
        self._set_base(schema)
        try:
            schema.load(copy.deepcopy(data))
        except Exception as error:  # marshmallow's, azure-ai-ml's, and whatever its constructors stumble over
            told = self._of_error(error, place)
            missing = MISSING.search(" ".join(str(getattr(error, "message", None) or error).split()))
            named = self._naming(data, Path(missing[1].rstrip(". ")), place) if missing else None
            yield self.at(named[0], f"no such file or folder: {named[1]}") if named else told

    def _naming(self, data: Any, missing: Path, place: tuple[str, ...]) -> tuple[tuple[str, ...], str] | None:
        """(the field that names a file which is not there, the name as it is written)"""
        pairs = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
        for key, value in pairs:
            here = (*place, str(key))
            if isinstance(value, str) and (self.base / value.removeprefix("file:")).resolve() == missing.resolve():
                return here, value.removeprefix("file:")
            if found := self._naming(value, missing, here):
                return found
        return None

    def _of_error(self, error: Exception, place: tuple[str, ...]) -> Complaint:
        messages = getattr(error, "messages", None)
        if isinstance(messages, dict) and len(messages) == 1:
            (key, value), *_ = messages.items()
            if key != "_schema" and isinstance(key, str):
                return self.at((*place, key), _first(value))
        if lacking := LACKING.search(str(error)):
            return self.at((*place, lacking[1]), "required, and not there")
        return dataclasses.replace(self.at(place, plain_message(error)), cause=error)

    def _set_base(self, holder: Any) -> None:
        """All schemas share one context; a load that failed inside another file has left its folder there."""
        context = getattr(holder, "context", None)
        if isinstance(context, dict):
            context["base_path"] = self.base
            context.pop("params_override", None)

    def field(self, field: Any, value: Any, place: tuple[str, ...], data: Any = None) -> Iterator[Complaint]:
        """What one field of a schema has against a value."""
        from azure.ai.ml._schema.core.fields import UnionField, fields

        field = inner(field)
        if value is None:
            if self._refuses(field, None, place):
                yield self.at(place, "empty; give it a value or leave it out")
        elif isinstance(field, UnionField):
            if self._refuses(field, value, place):
                yield from self._union(list(members_of(field)), value, place, data)
        elif isinstance(field, fields.Nested):
            if field.many:
                yield from self._each(field, value, place, lambda one, at: self.schema(field.schema, one, at))
            else:
                yield from self.schema(nested_schema(field), value, place)
        elif isinstance(field, fields.List):
            yield from self._each(field, value, place, lambda one, at: self.field(field.inner, one, at))
        elif isinstance(field, fields.Dict):
            yield from self._dict(field, value, place)
        else:
            refused = self._refuses(field, value, place)
            if refused:
                yield self._leaf([field], value, place, refused)

    def _each(
        self,
        field: Any,
        value: Any,
        place: tuple[str, ...],
        look: Callable[[Any, tuple[str, ...]], Iterator[Complaint]],
    ) -> Iterator[Complaint]:
        if not isinstance(value, list | tuple):
            if self._refuses(field, value, place):
                yield self.at(place, f"a list is wanted here, not {in_words(value)}")
            return
        found = [complaint for number, one in enumerate(value) for complaint in look(one, (*place, str(number)))]
        yield from found or self._rest(field, value, place)

    def _dict(self, field: Any, value: Any, place: tuple[str, ...]) -> Iterator[Complaint]:
        if not isinstance(value, Mapping):
            yield self.at(place, f"a mapping of names to values is wanted here, not {in_words(value)}")
            return
        found = []
        for key, one in value.items():
            at = (*place, str(key))
            if field.key_field is not None and (refused := self._refuses(field.key_field, key, at)):
                found.append(self._name(key, at, refused))
            if field.value_field is not None:
                found += self.field(field.value_field, one, at)
        yield from found or self._rest(field, value, place)

    def _name(self, key: Any, place: tuple[str, ...], refused: Exception) -> Complaint:
        if not isinstance(key, str):
            return self.at(place, f"a name is text; YAML reads this as {in_words(key)}: put it in quotation marks")
        return self.at(place, _first(getattr(refused, "messages", [str(refused)])).replace("{name}", key))

    def _rest(self, field: Any, value: Any, place: tuple[str, ...]) -> Iterator[Complaint]:
        refused = self._refuses(field, value, place)
        if refused:
            yield self._of_error(refused, place)

    def _refuses(self, field: Any, value: Any, place: tuple[str, ...]) -> Exception | None:
        self._set_base(field)
        self._set_base(getattr(field, "parent", None))
        try:
            field.deserialize(copy.deepcopy(value), place[-1] if place else None, {})
        except Exception as error:
            return error
        return None

    # -- unions

    def _union(self, members: Sequence[Any], value: Any, place: tuple[str, ...], data: Any) -> Iterator[Complaint]:
        if isinstance(value, str) and (told := list(self._other_file(members, value, place, data))):
            yield from told
            return
        if isinstance(value, str) and value.startswith("file:"):
            read = [member for member in members if _reads_files(member)]
            if read and (told := [one for member in read[:1] for one in self.field(member, value, place)]):
                yield from told
                return
        fitting = [member for member in members if takes(member, value)]
        if not isinstance(value, Mapping | list):
            leaves = [member for member in members if not is_structure(member)]
            yield self._leaf(leaves or members, value, place, None, members)
        elif not fitting:
            yield self.at(place, f"{in_words(value)} is not understood here; give {wishes(members)}")
        else:
            literal = any(not is_structure(member) for member in members)
            for one in self._meant(fitting, value, place):
                if literal and isinstance(value, Mapping) and value.get("type") in PRIMITIVES:
                    one = dataclasses.replace(one, message=f"{one.message}; write a literal as it is: NAME: VALUE")
                yield one

    def _meant(self, members: Sequence[Any], value: Any, place: tuple[str, ...]) -> Iterator[Complaint]:
        """The complaints of the member that was meant: by what the value says of itself, else the fewest."""
        if isinstance(value, Mapping):
            for name in DISCRIMINATORS:
                if name not in value:
                    continue
                having = [(member, told) for member in members if (told := discriminator(member, name)) is not None]
                agreeing = [member for member, told in having if not self._refuses(told, value[name], (*place, name))]
                if agreeing:
                    members = agreeing
                elif having:
                    allowed = list(dict.fromkeys(choice for _, told in having for choice in choices_of(told)))
                    if allowed:
                        yield self.at((*place, name), _not_among(value[name], allowed))
                        return
        known = {name for member in members for name in _names(member)}
        ranked = []
        for order, member in enumerate(members):
            found = list(self.field(member, value, place))
            ranked.append((self._strange(member, value, known), len(found), order, found))
        yield from min(ranked, key=lambda each: each[:3])[3]

    def _strange(self, member: Any, value: Any, known: Collection[str]) -> bool:
        """Whether nothing of what the member requires is there, misspelt or not: something else was meant.

        known: the fields of all members; none of them is another one misspelt.
        """
        bare = inner(member)
        if not isinstance(value, Mapping) or not hasattr(bare, "nested"):
            return False
        required = [field.data_key or name for name, field in nested_schema(bare).fields.items() if field.required]
        names = [name for name in _names(member) if name not in value]
        meant = {nearest(str(key), names) for key in value if key not in known}
        return bool(required) and not any(name in value or name in meant for name in required)

    def _other_file(self, members: Sequence[Any], value: str, place: tuple[str, ...], data: Any) -> Iterator[Complaint]:
        """What is wrong with the component's file that `value` names."""
        if not any("FileRefField" in type(member).__name__ or "YamlRef" in type(member).__name__ for member in members):
            return
        name = value.removeprefix("file:")
        if value.startswith(("azureml:", "http://", "https://", "git+")):
            return
        path = self.base / name
        content, problem = _read(path, name)
        if problem:
            yield self.at(place, problem)
            return
        found = list(self.explain("component", path))
        if found:
            yield from found
            return
        wanted = data.get("type") if isinstance(data, Mapping) else None
        kind = content.get("type", "command") if isinstance(content, Mapping) else None
        if wanted != kind and kind:
            yield self.at((*place[:-1], "type"), f"{name} is a {kind} component; write `type: {kind}`{_now(wanted)}")

    def _leaf(
        self,
        fields: Sequence[Any],
        value: Any,
        place: tuple[str, ...],
        refused: Exception | None,
        members: Sequence[Any] = (),
    ) -> Complaint:
        """What is wrong with a text, a number, true or false, or a date."""
        fields = list(fields)
        shown = _shown(value)
        allowed = [choice for field in fields for choice in choices_of(field)]
        names = {type(field).__name__ for field in fields}
        if isinstance(value, str):
            versioned = next((field for field in fields if type(field).__name__ == "ArmVersionedStr"), None)
            if value.startswith("azureml:") and versioned is not None:
                return self.at(place, f"{value}: not understood; use azureml:NAME:VERSION or azureml:NAME@latest")
            path = value.removeprefix("file:")
            if names & {"LocalPathField", "FileRefField", "RefField"} and not value.startswith(
                ("azureml:", "http:", "https:", "git+", "wasb")
            ):
                return self._path(fields, path, place)
        if allowed and (isinstance(value, str) or all(choices_of(field) for field in fields)):
            return self.at(place, _not_among(value, allowed))
        if names & {"ArmVersionedStr", "ArmStr"} and not allowed:
            also = [member for member in members if is_structure(member)]
            other = f", or {wishes(also)}" if also else ""
            which = "azureml:NAME:VERSION" if "ArmVersionedStr" in names else "azureml:NAME"
            return self.at(place, f"{shown} is no reference; use {which}{other}")
        if isinstance(value, str) and len(fields) == 1 and (pattern := pattern_of(fields[0])):
            return self.at(place, f"{shown} does not match the pattern {pattern}")
        if len(fields) == 1 and (refused or (refused := self._refuses(fields[0], value, place))):
            message = _first(getattr(refused, "messages", None) or plain_message(refused))
            if message in WANTED:
                hint = "; put it in quotation marks" if message == "Not a valid string." and _is_scalar(value) else ""
                return self.at(place, f"{WANTED[message]} is wanted here, not {in_words(value)}{hint}")
            if type(value).__name__ != "str" and "is not supported for version" in message:
                return self.at(place, f"text or a number is wanted here, not {in_words(value)}")
            return self.at(place, message)
        return self.at(place, f"{shown} is not understood here; give {wishes(members or fields)}")

    def _path(self, fields: Sequence[Any], name: str, place: tuple[str, ...]) -> Complaint:
        path = self.base / name
        only = next((field for field in fields if type(field).__name__ == "LocalPathField"), None)
        try:
            if path.is_dir() and only is not None and not getattr(only, "_allow_dir", True):
                return self.at(place, f"{name} is a folder; a file is wanted here")
            if path.is_file() and only is not None and not getattr(only, "_allow_file", True):
                return self.at(place, f"{name} is a file; a folder is wanted here")
        except OSError:
            return self.at(place, f"{name}: is no path")
        slashed = name.replace("\\", "/")
        hint = f"; write {slashed}" if slashed != name and (self.base / slashed).exists() else ""
        return self.at(place, f"no such file or folder: {name}{hint}")


def _read(path: Path, name: str) -> tuple[Any, str | None]:
    """(what a YAML file holds, why it cannot be read). name: what the document that refers to it calls it."""
    try:
        if not path.exists():
            return None, f"no such file or folder: {name}"
        if path.is_dir():
            return None, f"{name}: a folder; name the YAML file in it"
        content = documents.read_yaml(path, warn=False)
    except (OSError, UserError) as error:
        return None, f"{name}: {str(error).partition(': ')[2] or error}"
    return content, None if isinstance(content, Mapping) else f"{name}: not a mapping of fields to values"


def _reads_files(member: Any) -> bool:
    """Whether a member takes `file:PATH` for what the file holds."""
    return hasattr(inner(member), "nested") and hasattr(nested_schema(inner(member)), "load_from_file")


def _names(member: Any) -> Iterator[str]:
    """The fields of a member that has a schema."""
    if hasattr(inner(member), "nested"):
        for name, field in nested_schema(inner(member)).fields.items():
            yield field.data_key or name


def _not_among(value: Any, allowed: Sequence[str]) -> str:
    allowed = list(dict.fromkeys(allowed))
    near = nearest(value, allowed) if isinstance(value, str) else None
    meant = f'; did you mean "{near}"?' if near else ""
    return (
        f"{_shown(value)} is not one of {', '.join(allowed)}{meant}"
        if len(allowed) > 1
        else (f"{_shown(value)} is not allowed here; it is {allowed[0]}")
    )


def instead(near: str | None, known: Mapping[str, Any]) -> str:
    if near:
        return f'; did you mean "{near}"?'
    return f"; known here: {', '.join(known)}" if 0 < len(known) <= LISTED else "; remove it"


def _first(messages: Any) -> str:
    """The first text of marshmallow's nested messages, on one line."""
    return plain_message(next(_texts(messages), ""))


def _now(wanted: Any) -> str:
    return f", not {wanted}" if wanted else ""


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, Mapping | list)


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else in_words(value)


def in_words(value: Any) -> str:
    """A value in words, for what it is not."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f"the date {value}"
