"""How an entity becomes what `aml` prints: the dictionary `az ml` prints for it."""

import sys
from itertools import islice
from typing import Any

from knack.cli import CLI


def described(operations: Any, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
    """One entity of `operations` (a client's `.jobs`, `.models`, ...) by its name.

    A client that can `describe` does it without importing azure-ai-ml, which takes seconds.
    """
    by = {key: value for key, value in (("version", version), ("label", label)) if value is not None}
    if hasattr(operations, "describe"):
        return operations.describe(name, **by)
    return operations.get(name, **by)._to_dict()


def described_all(operations: Any, limit: int | None = None, **filters: Any) -> list[dict[str, Any]]:
    """The entities that pass `filters` (None: no such filter), at most `limit`."""
    given = {key: value for key, value in filters.items() if value is not None}
    if hasattr(operations, "describe_all"):
        return list(islice(operations.describe_all(**given), limit))
    return [entity._to_dict() for entity in islice(operations.list(**given), limit)]


def created(operations: Any, entity: Any, version: str | None = None) -> dict[str, Any]:
    """What a `create` verb prints: the entity that the client returned, as it now stands in the workspace."""
    if hasattr(operations, "describe"):
        return described(operations, entity.name, version)
    return entity._to_dict()


def note(cli: CLI, text: str) -> None:
    """Say something that is not data: on stderr, and not with --only-show-errors."""
    if not cli.only_show_errors:
        print(text, file=sys.stderr, flush=True)
