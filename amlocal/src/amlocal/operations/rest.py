"""azure-ai-ml's entities of what is shown: the REST body of it, given to azure-ai-ml's own deserialiser.

What a resource has is described once, as it is printed; its entity follows from that, so that a key which is added
there is in both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amlocal.operations.service import bare_id, with_last_change

# What the body of every resource has beside its `properties`.
AROUND = ("id", "identity", "kind", "location", "name", "tags")
# Objects whose keys are somebody's own words.
VERBATIM = ("flavors", "mirror_traffic", "properties", "tags", "traffic")
AUTH_MODES = {"key": "Key", "aml_token": "AMLToken", "aad_token": "AADToken"}


@dataclass(frozen=True)
class Shape:
    """rest, entity: azure-ai-ml's classes. names: keys whose REST name is not their own, in camel case."""

    rest: str
    entity: str
    names: Mapping[str, str] = field(default_factory=dict)
    versioned: bool = False


SHAPES = {
    "batch endpoint": Shape("BatchEndpoint", "BatchEndpoint"),
    "model": Shape("ModelVersion", "Model", {"path": "modelUri", "type": "modelType"}, versioned=True),
    "online endpoint": Shape("OnlineEndpoint", "OnlineEndpoint", {"openapi_uri": "swaggerUri"}),
    "workspace": Shape(
        "Workspace", "Workspace", {"display_name": "friendlyName", "mlflow_tracking_uri": "mlFlowTrackingUri"}
    ),
}


def entity(kind: str, shown: Mapping[str, Any]) -> Any:
    """azure-ai-ml's entity of a resource, shown as `az ml` prints it. kind: a key of `SHAPES`."""
    from azure.ai.ml import entities
    from azure.ai.ml._restclient.arm_ml_service import models

    shape = SHAPES[kind]
    rest = getattr(models, shape.rest)._deserialize(body(shape, shown), [])
    return getattr(entities, shape.entity)._from_rest_object(rest)


def body(shape: Shape, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The REST body of what is shown."""
    around = (*(key for key in AROUND if not shape.versioned or key != "tags"), "creation_context")
    told = {key: _camel(shown[key]) for key in AROUND if key in around and shown.get(key) is not None}
    told["id"] = bare_id(shown)
    if shape.versioned:
        told["name"] = shown["version"]
    if identity := told.get("identity"):
        told["identity"] = identity | {"type": "".join(map(str.capitalize, str(identity["type"]).split("_")))}
    if context := shown.get("creation_context"):
        told["systemData"] = _camel(with_last_change(context))
    told["properties"] = {
        shape.names.get(key, _camel_case(key)): value if key in VERBATIM else _camel(value)
        for key, value in shown.items()
        if key not in around and (key, shape.versioned) not in (("version", True), ("name", True))
    }
    if mode := shown.get("auth_mode"):
        told["properties"]["authMode"] = AUTH_MODES[mode]
    if flavors := shown.get("flavors"):
        told["properties"]["flavors"] = {name: {"data": flavor} for name, flavor in flavors.items()}
    return told


def _camel(value: Any) -> Any:
    """A value with the keys of its objects in camel case, at every depth."""
    if isinstance(value, Mapping):
        return {_camel_case(str(key)): inner if key in VERBATIM else _camel(inner) for key, inner in value.items()}
    return [_camel(inner) for inner in value] if isinstance(value, list) else value


def _camel_case(key: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), key)
