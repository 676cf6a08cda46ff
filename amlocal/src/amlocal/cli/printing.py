"""How an entity becomes what `aml` prints: the dictionary `az ml` prints for it."""

import json
import re
import sys
from itertools import islice
from typing import Any

from knack.cli import CLI

STATES = {"logging_level", "provisioning_state", "provisioning_status", "state", "status"}
OWN_WORDS = ("tags", "properties", "environment_variables", "command", "description", "display_name")
MEMBER = re.compile(r"[A-Z]\w+\.[A-Z][A-Z0-9_]*")


def described(
    operations: Any,
    name: str,
    version: str | None = None,
    label: str | None = None,
    endpoint_name: str | None = None,
) -> dict[str, Any]:
    """One entity of `operations` (a client's `.jobs`, `.models`, ...) by its name, a deployment by its endpoint's too.

    A client that can `describe` does it without importing azure-ai-ml, which takes seconds.
    """
    every = {"version": version, "label": label, "endpoint_name": endpoint_name}
    by = {key: value for key, value in every.items() if value is not None}
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
    """The dictionary that azure-ai-ml makes of its own entity, and `az ml` prints, in Azure's spelling."""
    if hasattr(entity, "_to_job"):  # a command or sweep job comes as a pipeline's step, which has no status
        entity = entity._to_job()
    return dict(
        as_azure_spells(json.loads(json.dumps(entity._to_dict(), default=str)))
    )  # from OrderedDict and the like


def as_azure_spells(value: Any) -> Any:
    """azure-ai-ml writes some of Azure's words as Python's `JobStatus.NOT_STARTED`; scripts compare with `NotStarted`.

    What a user wrote, in tags and the like, stays as it is.
    """
    if isinstance(value, dict):
        return {
            key: inner if key in OWN_WORDS else _state(inner) if key in STATES else as_azure_spells(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [as_azure_spells(inner) for inner in value]
    return _word(value) if isinstance(value, str) and MEMBER.fullmatch(value) else value


def _state(value: Any) -> Any:
    """A state, of whatever enumeration."""
    told = as_azure_spells(value)
    if isinstance(told, str) and (found := re.fullmatch(r"[A-Z]\w+\.([A-Z_]+)", told)):
        return "".join(word.capitalize() for word in found[1].split("_"))
    return told


def _word(text: str) -> str:
    """The value of a member of one of azure-ai-ml's enumerations; any other text as it is."""
    from azure.ai.ml._restclient.arm_ml_service import models

    kind, _, member = text.partition(".")
    found = getattr(models, kind, None)
    members = getattr(found, "__members__", {})
    return str(members[member].value) if member in members else text


def finished(operations: Any, poller: Any, no_wait: bool) -> dict[str, Any] | None:
    """What a verb prints that takes long: the entity when it is ready; with --no-wait nothing, at once."""
    return None if no_wait else created(operations, poller.result())


def wait(poller: Any, no_wait: bool) -> None:
    """The end of a verb that takes long and prints nothing: --no-wait does not wait for it."""
    if not no_wait:
        poller.result()


def note(cli: CLI, text: str) -> None:
    """Say something that is not data: on stderr, and not with --only-show-errors."""
    if not cli.only_show_errors:
        print(text, file=sys.stderr, flush=True)
