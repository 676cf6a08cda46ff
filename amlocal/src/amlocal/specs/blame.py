"""Which field a refusal is about, where azure-ai-ml does not say: the one without which it would accept the file."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Place = tuple[Any, ...]


def blamed(accepted: Callable[[Any], bool], document: Any, place: Place = ()) -> Place:
    """The keys to the deepest such field; `place` where there is none below it.

    accepted: whether azure-ai-ml takes a document.
    """
    value = value_at(document, place)
    keys = list(value) if isinstance(value, Mapping) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        if accepted(_without(document, (*place, key))):
            return blamed(accepted, document, (*place, key))
    return place


def needless(accepted: Callable[[Any], bool], document: Any, places: Sequence[Place]) -> list[Place]:
    """Those of the fields at `places` that azure-ai-ml refuses; empty if it refuses the document without them too."""

    def without(some: Sequence[Place]) -> Any:
        changed = document
        for place in some:
            changed = _without(changed, place)
        return changed

    if not places or not accepted(without(places)):
        return []
    return [place for place in places if not accepted(without([other for other in places if other != place]))]


def value_at(document: Any, place: Place) -> Any:
    """What stands at `place`. Raises KeyError, IndexError or TypeError if nothing does."""
    for key in place:
        document = document[key]
    return document


def _without(document: Any, place: Place) -> Any:
    changed = copy.deepcopy(document)
    del value_at(changed, place[:-1])[place[-1]]
    return changed
