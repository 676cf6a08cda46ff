"""What azure-ai-ml's marshmallow schemas say of their fields: shapes, choices, and what a field takes, in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# What a mapping says of itself: decides which member of a union is meant.
DISCRIMINATORS = ("type", "task", "kind")
LISTED = 8  # a schema of up to this many fields is listed in full where no name is near


def inner(field: Any) -> Any:
    """The field itself, without the notice that it is experimental."""
    while hasattr(field, "experimental_field"):
        field = field.experimental_field
    return field


def nested_schema(field: Any) -> Any:
    schema = field.schema
    if getattr(field, "unknown", None):
        schema.unknown = field.unknown
    return schema


def members_of(field: Any) -> Iterator[Any]:
    """The members of a union, those of unions in it included."""
    for member in field.union_fields:
        member = inner(member)
        if hasattr(member, "union_fields"):
            yield from members_of(member)
        else:
            yield member


def is_structure(field: Any) -> bool:
    from azure.ai.ml._schema.core.fields import fields

    return isinstance(inner(field), fields.Nested | fields.Dict | fields.List)


def takes(field: Any, value: Any) -> bool:
    """Whether a field is one for values of this shape: mappings, lists, or what is neither."""
    from azure.ai.ml._schema.core.fields import fields

    field = inner(field)
    if isinstance(value, Mapping):
        return isinstance(field, fields.Dict) or (isinstance(field, fields.Nested) and not field.many)
    if isinstance(value, list):
        return isinstance(field, fields.List) or (isinstance(field, fields.Nested) and field.many)
    return not is_structure(field)


def discriminator(member: Any, name: str) -> Any:
    bare = inner(member)
    if not hasattr(bare, "nested"):
        return None
    field = nested_schema(bare).fields.get(name)
    return field if field is not None and choices_of(field) else None


def choices_of(field: Any) -> list[str]:
    """The values that a field is restricted to; empty if it is not."""
    field = inner(field)
    if hasattr(field, "allowed_values"):
        return [str(value) for value in field.allowed_values or ()]
    if hasattr(field, "union_fields"):
        each = [choices_of(member) for member in field.union_fields]
        return [choice for choices in each for choice in choices]
    for validator in getattr(field, "validators", ()):
        if hasattr(validator, "choices"):
            return [str(choice) for choice in validator.choices]
    return []


def pattern_of(field: Any) -> str | None:
    """The regular expression that a text has to match."""
    for validator in getattr(inner(field), "validators", ()):
        if hasattr(validator, "regex"):
            return str(validator.regex.pattern)
    return None


def listed(schema: Any) -> str:
    """The fields of a schema in brackets, if they are few."""
    known = [field.data_key or name for name, field in schema.fields.items() if not field.dump_only]
    return f" ({', '.join(known)})" if 0 < len(known) <= LISTED else ""


def wishes(members: Sequence[Any]) -> str:
    """What a union takes, in words."""
    words: dict[str, None] = {}
    for member in members:
        words[_wish(inner(member))] = None
    each = [word for word in words if word]
    mappings = [word for word in each if word.startswith("a mapping")]
    if len(mappings) > 1:
        each = [_one_of(members), *(word for word in each if word not in mappings)]
    return " or ".join((", ".join(each[:-1]), each[-1]) if len(each) > 1 else each)


def _one_of(members: Sequence[Any]) -> str:
    """A mapping, and the values by which it says which of the members it is."""
    for name in DISCRIMINATORS:
        telling = [told for member in members if (told := discriminator(member, name)) is not None]
        choices = list(dict.fromkeys(choice for told in telling for choice in choices_of(told)))
        if choices and len(choices) <= LISTED:
            return f"a mapping with {name}: {', '.join(choices[:-1])} or {choices[-1]}"
    return "a mapping"


def _wish(field: Any) -> str:
    from azure.ai.ml._schema.core.fields import fields

    names = {
        "LocalPathField": "a path",
        "FileRefField": "a file",
        "RegistryStr": "azureml://registries/...",
        "InternalRegistryStr": "azureml://registries/...",
        "GitStr": "git+URL",
        "SerializeValidatedUrl": "a URL",
        "DataBindingStr": "${{parent...}}",
        "OutputBindingStr": "${{parent.outputs.NAME}}",
        "ArmVersionedStr": "azureml:NAME:VERSION",
        "ArmStr": "azureml:NAME",
    }
    if type(field).__name__ in names:
        return names[type(field).__name__]
    if "FileRefField" in type(field).__name__ or "YamlRef" in type(field).__name__:
        return "a file"
    if choices := choices_of(field):
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    if isinstance(field, fields.Nested):
        if field.many:
            return "a list"
        return f"a mapping{listed(nested_schema(field))}"
    for kind, words in (
        (fields.Dict, "a mapping"),
        (fields.List, "a list"),
        (fields.Boolean, "true or false"),
        (fields.Integer, "an integer"),
        (fields.Number, "a number"),
        (fields.Url, "a URL"),
        (fields.String, "text"),
    ):
        if isinstance(field, kind):
            return words
    return ""
