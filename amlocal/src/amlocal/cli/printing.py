"""How an entity becomes what `aml` prints: the dictionary `az ml` prints for it."""

import json
import re
import sys
from itertools import islice
from typing import Any

from knack.cli import CLI

STATES = {"logging_level", "provisioning_state", "provisioning_status", "state", "status"}
MEMBER = re.compile(r"[A-Z]\w+\.([A-Z_]+)")


def described(operations: Any, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
    """One entity of `operations` (a client's `.jobs`, `.models`, ...) by its name.

    A client that can `describe` does it without importing azure-ai-ml, which takes seconds.
    """
    by = {key: value for key, value in (("version", version), ("label", label)) if value is not None}
    if hasattr(operations, "describe"):
        return operations.describe(name, **by)
    return plain(operations.get(name, **by))


def described_all(operations: Any, limit: int | None = None, **filters: Any) -> list[dict[str, Any]]:
    """The entities that pass `filters` (None: no such filter), at most `limit`."""
    given = {key: value for key, value in filters.items() if value is not None}
    if hasattr(operations, "describe_all"):
        return list(islice(operations.describe_all(**given), limit))
    # azure-ai-ml gives None for a job that it cannot read.
    return [plain(entity) for entity in islice(filter(None, operations.list(**given)), limit)]


def view(include_archived: bool, archived_only: bool) -> str | None:
    """azure-ai-ml's ListViewType for the two flags; None is its default, what is not archived."""
    return "ArchivedOnly" if archived_only else "All" if include_archived else None


def created(operations: Any, entity: Any, version: str | None = None) -> dict[str, Any]:
    """What a `create` verb prints: the entity that the client returned, as it now stands in the workspace."""
    if hasattr(operations, "describe"):
        return described(operations, entity.name, version)
    return plain(entity)


def plain(entity: Any) -> dict[str, Any]:
    """The dictionary that azure-ai-ml makes of its own entity, and `az ml` prints.

    azure-ai-ml 1.35 writes some of Azure's states as Python's `JobStatus.COMPLETED`; scripts compare with `Completed`.
    """
    if hasattr(entity, "_to_job"):  # a command or sweep job comes as a pipeline's step, which has no status
        entity = entity._to_job()
    told = json.loads(json.dumps(entity._to_dict(), default=str))  # from OrderedDict and the like
    for key in STATES & told.keys():
        if member := MEMBER.fullmatch(str(told[key])):
            told[key] = "".join(word.capitalize() for word in member[1].split("_"))
    return told


def finished(operations: Any, poller: Any, no_wait: bool) -> dict[str, Any] | None:
    """What a verb prints that takes long: the entity when it is ready; with --no-wait nothing, at once."""
    return None if no_wait else created(operations, poller.result())


def note(cli: CLI, text: str) -> None:
    """Say something that is not data: on stderr, and not with --only-show-errors."""
    if not cli.only_show_errors:
        print(text, file=sys.stderr, flush=True)
