"""azure-ai-ml's dictionary of a job or an asset, with what gets lost in it put back."""

from collections.abc import Mapping
from typing import Any

from amlocal.specs.placed import ANONYMOUS, data_of, flat


def dictionary(item: Any) -> dict[str, Any]:
    """`item._to_dict()`, in which booleans given to a step are no numbers and a step's component has its own name."""
    return _whole(item._to_dict(), item)


def _whole(told: dict[str, Any], item: Any) -> dict[str, Any]:
    nodes = getattr(item, "jobs", None) or {}
    steps = {name: _step(step, nodes.get(name)) for name, step in (told.get("jobs") or {}).items()}
    return _with_booleans(told, item) | ({"jobs": steps} if steps else {})


def _step(told: Any, node: Any) -> Any:
    if not isinstance(told, Mapping) or node is None:
        return told
    told = _with_booleans(dict(told), node)
    component = getattr(node, "component", None)
    if isinstance(told.get("component"), Mapping) and component is not None and hasattr(component, "_to_dict"):
        told["component"] = _whole(dict(told["component"]), component)
        if told["component"].get("name") == ANONYMOUS:
            told["component"]["name"] = component.name or ANONYMOUS
    return told


def _with_booleans(told: dict[str, Any], item: Any) -> dict[str, Any]:
    """azure-ai-ml writes a literal as the first of its kinds that takes it, and a whole number takes True and False."""
    if not isinstance(told.get("inputs"), Mapping):
        return told
    given = {name: data_of(value) for name, value in flat(getattr(item, "inputs", None)).items()}
    kept = {name: given[name] if isinstance(given.get(name), bool) else value for name, value in told["inputs"].items()}
    return {**told, "inputs": kept}
