"""Misspelt fields that azure-ai-ml reads past without a word: it takes any field on the node of a pipeline."""

from collections.abc import Iterator, Mapping
from typing import Any

from amlocal.core.names import nearest
from amlocal.specs.schemas import DISCRIMINATORS, discriminator, inner, members_of, nested_schema, takes

Place = tuple[Any, ...]


def unknown(schema: Any, document: Any, place: Place = ()) -> Iterator[tuple[Place, str | None]]:
    """(the keys to a field that the schema neither knows nor refuses, the known field whose name is near).

    schema: a marshmallow schema of azure-ai-ml's.
    """
    if not isinstance(document, Mapping):
        return
    fields = _known(schema)
    for key, value in document.items():
        if key in fields:
            yield from _inside(fields[key], value, (*place, key))
        elif schema.unknown != "raise":
            yield (*place, key), nearest(str(key), [name for name in fields if name not in document])


def _known(schema: Any) -> dict[str, Any]:
    return {field.data_key or name: field for name, field in schema.fields.items() if not field.dump_only}


def _inside(field: Any, value: Any, place: Place) -> Iterator[tuple[Place, str | None]]:
    from azure.ai.ml._schema.core.fields import UnionField, fields

    field = inner(field)
    if isinstance(field, UnionField):
        field = _member(field, value)
    if isinstance(field, fields.Nested) and not field.many:
        yield from unknown(nested_schema(field), value, place)
    elif isinstance(field, fields.Dict) and field.value_field is not None and isinstance(value, Mapping):
        for key, each in value.items():
            yield from _inside(field.value_field, each, (*place, key))


def _member(field: Any, value: Any) -> Any:
    """The member of a union that a value is meant for: what agrees with its type, and knows its fields."""
    if not isinstance(value, Mapping):
        return None
    members = [member for member in members_of(field) if takes(member, value)]
    for name in DISCRIMINATORS:
        agreeing = [member for member in members if _agrees(discriminator(member, name), value.get(name))]
        members = agreeing or members
    return min(members, key=lambda member: _unknown(member, value), default=None)


def _agrees(telling: Any, given: Any) -> bool:
    if telling is None or given is None:
        return telling is None or not telling.required
    try:
        telling.deserialize(given)
    except Exception:  # marshmallow's, and whatever azure-ai-ml's fields stumble over
        return False
    return True


def _unknown(member: Any, value: Mapping[Any, Any]) -> int:
    """How much of a mapping a member does not know, what it requires and lacks counted too."""
    if not hasattr(inner(member), "nested"):
        return len(value)
    known = _known(nested_schema(inner(member)))
    lacking = sum(field.required and name not in value for name, field in known.items())
    return sum(key not in known for key in value) + lacking
