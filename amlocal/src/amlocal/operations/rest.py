"""A resource as Azure's REST interface has it, and azure-ai-ml's entity of that.

What a resource has is described once: as a dictionary that `az ml` prints, made by the operations with `service`. The
body follows from it by the table below, and the entity from the body by azure-ai-ml's own deserialiser, so that a key
which is added to the description is in all three. Jobs, computes, schedules and pipeline components hold what REST has
no words for (assets that are written inline): their entities are made of the same dictionary by azure-ai-ml's schema
of files.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amlocal.operations.service import bare_id, with_last_change

# Objects whose keys are somebody's own words.
VERBATIM = ("environment_variables", "flavors", "mirror_traffic", "properties", "tags", "traffic")
# What this machine tells besides, and what stands in the id.
NOT_IN_BODIES = ("endpoint_name", "health", "latest_version")
AUTH_MODES = {"key": "Key", "aml_token": "AMLToken", "aad_token": "AADToken"}
OUTPUT_ACTIONS = {"append_row": "AppendRow", "summary_only": "SummaryOnly"}
MODES = {
    "ro_mount": "ReadOnlyMount",
    "rw_mount": "ReadWriteMount",
    "eval_mount": "EvalMount",
    "eval_download": "EvalDownload",
    "download": "Download",
    "upload": "Upload",
    "direct": "Direct",
}


def camel(value: Any) -> Any:
    """A value with the keys of its objects in camel case, at every depth."""
    if isinstance(value, Mapping):
        return {camel_case(str(key)): inner if key in VERBATIM else camel(inner) for key, inner in value.items()}
    return [camel(inner) for inner in value] if isinstance(value, list) else value


def camel_case(key: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), key)


def word(text: Any) -> Any:
    """`target_utilization` as REST spells it: TargetUtilization."""
    return "".join(part[:1].upper() + part[1:] for part in text.split("_")) if isinstance(text, str) else text


def seconds(number: float) -> str:
    """A duration as ISO 8601 writes it."""
    return f"PT{number:g}S"


def _probe(given: Mapping[str, Any]) -> dict[str, Any]:
    durations = ("initial_delay", "period", "timeout")
    return camel({key: seconds(value) if key in durations else value for key, value in given.items()})


def _requests(given: Mapping[str, Any]) -> dict[str, Any]:
    # Nothing is asked for with 0: the service's half a second of queue, which azure-ai-ml shows as 0.
    milliseconds = {key.removesuffix("_ms"): seconds(given[key] / 1000 or 0.5) for key in given if key.endswith("_ms")}
    return camel({key: value for key, value in given.items() if not key.endswith("_ms")} | milliseconds)


def _scale(given: Mapping[str, Any]) -> dict[str, Any]:
    told = {"scale_type": word(given.get("type")), **{key: value for key, value in given.items() if key != "type"}}
    if "polling_interval" in told:
        told["polling_interval"] = seconds(told["polling_interval"])
    return camel(told)


def _code(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"codeId": given.get("code"), "scoringScript": given.get("scoring_script")}


def _retries(given: Mapping[str, Any]) -> dict[str, Any]:
    return camel({**given, "timeout": seconds(given["timeout"])} if given.get("timeout") is not None else given)


def _collector(given: Mapping[str, Any]) -> dict[str, Any]:
    """The collections of a deployment, each of which has the rate of all."""
    collections = {
        name: {
            "dataCollectionMode": "Enabled" if str(each.get("enabled")).lower() == "true" else "Disabled",
            "dataId": each.get("data"),
            "clientId": each.get("client_id"),
            "samplingRate": given.get("sampling_rate"),
        }
        for name, each in (given.get("collections") or {}).items()
    }
    others = {key: value for key, value in given.items() if key not in ("collections", "sampling_rate")}
    return camel(others) | {"collections": collections}


def _needs(given: Mapping[str, Any]) -> dict[str, Any]:
    names = {"requests": "containerResourceRequests", "limits": "containerResourceLimits"}
    return {names.get(key, key): camel(value) for key, value in given.items()}


def _conda(given: Any) -> Any:
    import yaml

    return yaml.safe_dump(given, sort_keys=False) if isinstance(given, Mapping) else given


def _build(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"contextUri": given.get("path"), "dockerfilePath": given.get("dockerfile_path")}


def _identity(given: Mapping[str, Any]) -> dict[str, Any]:
    return camel(given) | {"type": word(str(given["type"]))}


def _flavors(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"data": flavor} for name, flavor in given.items()}


def _regions(given: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"location": each["location"], "acrDetails": [], "storageAccountDetails": []} for each in given]


@dataclass(frozen=True)
class Field:
    """path: where a key stands in the body, dotted; write: how its value is written there."""

    path: str
    write: Callable[[Any], Any] = camel


AROUND = {
    "id": Field("id"),
    "identity": Field("identity", _identity),
    "kind": Field("kind"),
    "location": Field("location"),
    "name": Field("name"),
    "tags": Field("tags", dict),
}
VERSION = {  # of an asset, whose name is in the id
    "name": Field(""),
    "tags": Field("properties.tags", dict),
    "version": Field("name"),
}
DEPLOYMENT = {
    "code_configuration": Field("properties.codeConfiguration", _code),
    "environment": Field("properties.environmentId"),
}


@dataclass(frozen=True)
class Shape:
    """rest, entity: azure-ai-ml's classes. fields: the keys whose place or form in the body is one of their own."""

    rest: str
    entity: str
    fields: Mapping[str, Field] = field(default_factory=dict)

    def field(self, key: str) -> Field:
        """Without an entry: among the properties, in camel case."""
        if found := self.fields.get(key) or AROUND.get(key):
            return found
        return Field(f"properties.{camel_case(key)}", _verbatim if key in VERBATIM else camel)


def _verbatim(value: Any) -> Any:
    return value


SHAPES = {
    "batch deployment": Shape(
        "BatchDeployment",
        "BatchDeployment",
        {
            **DEPLOYMENT,
            "model": Field("properties.model", lambda id: {"referenceType": "Id", "assetId": id}),
            "output_action": Field("properties.outputAction", lambda text: OUTPUT_ACTIONS.get(text, text)),
            "retry_settings": Field("properties.retrySettings", _retries),
        },
    ),
    "batch endpoint": Shape(
        "BatchEndpoint",
        "BatchEndpoint",
        {"auth_mode": Field("properties.authMode", AUTH_MODES.__getitem__)},
    ),
    "component": Shape("ComponentVersion", "Component", VERSION),
    "data": Shape(
        "DataVersionBase",
        "Data",
        {**VERSION, "path": Field("properties.dataUri"), "type": Field("properties.dataType")},
    ),
    "datastore": Shape(
        "Datastore",
        "Datastore",
        {
            "credentials": Field("properties.credentials", lambda _: {"credentialsType": "None"}),
            "tags": Field("properties.tags", dict),
            "type": Field("properties.datastoreType", word),
        },
    ),
    "environment": Shape(
        "EnvironmentVersion",
        "Environment",
        {
            **VERSION,
            "build": Field("properties.build", _build),
            "conda_file": Field("properties.condaFile", _conda),
        },
    ),
    "model": Shape(
        "ModelVersion",
        "Model",
        {
            **VERSION,
            "flavors": Field("properties.flavors", _flavors),
            "path": Field("properties.modelUri"),
            "type": Field("properties.modelType"),
        },
    ),
    "online deployment": Shape(
        "OnlineDeployment",
        "OnlineDeployment",
        {
            **DEPLOYMENT,
            "data_collector": Field("properties.dataCollector", _collector),
            "egress_public_network_access": Field("properties.egressPublicNetworkAccess", word),
            "instance_count": Field("sku.capacity"),
            "liveness_probe": Field("properties.livenessProbe", _probe),
            "readiness_probe": Field("properties.readinessProbe", _probe),
            "request_settings": Field("properties.requestSettings", _requests),
            "resources": Field("properties.containerResourceRequirements", _needs),
            "scale_settings": Field("properties.scaleSettings", _scale),
            "type": Field("properties.endpointComputeType", word),
        },
    ),
    "online endpoint": Shape(
        "OnlineEndpoint",
        "OnlineEndpoint",
        {
            "auth_mode": Field("properties.authMode", AUTH_MODES.__getitem__),
            "openapi_uri": Field("properties.swaggerUri"),
            "public_network_access": Field("properties.publicNetworkAccess", word),
        },
    ),
    "registry": Shape(
        "Registry",
        "Registry",
        {
            "mlflow_registry_uri": Field("properties.mlFlowRegistryUri"),
            "replication_locations": Field("properties.regionDetails", _regions),
        },
    ),
    "workspace": Shape(
        "Workspace",
        "Workspace",
        {
            "display_name": Field("properties.friendlyName"),
            "mlflow_tracking_uri": Field("properties.mlFlowTrackingUri"),
        },
    ),
}


def entity(kind: str, shown: Mapping[str, Any]) -> Any:
    """azure-ai-ml's entity of a resource, shown as `az ml` prints it. kind: a key of `SHAPES`."""
    from azure.ai.ml import entities
    from azure.ai.ml._restclient.arm_ml_service import models

    shape = SHAPES[kind]
    rest = getattr(models, shape.rest)._deserialize(body(kind, shown), [])
    made = getattr(entities, shape.entity)._from_rest_object(rest)
    for key in ("environment", "model"):  # of a deployment: written inline, where REST names one that is registered
        if isinstance(shown.get(key), Mapping):
            setattr(made, key, _inline(key, dict(shown[key])))
    for key, value in (shown.get("request_settings") or {}).items():  # azure-ai-ml counts whole seconds
        setattr(made.request_settings, key, value)
    return made


def _inline(key: str, given: dict[str, Any]) -> Any:
    if key == "environment":
        from amlocal.specs.load import revive

        return revive("environment", given)
    from azure.ai.ml.entities import Model

    return Model(**given)


def body(kind: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The REST body of a resource that is shown, or of as much of it as is told."""
    told: dict[str, Any] = {"properties": {}}
    for key, value in shown.items():
        inline = key in ("environment", "model") and isinstance(value, Mapping)
        if value is None or inline or key in NOT_IN_BODIES or key == "creation_context":
            continue
        place = SHAPES[kind].field(key)
        *parents, last = place.path.split(".")
        into = told
        for parent in parents:
            into = into.setdefault(parent, {})
        if last:
            into[last] = bare_id(shown) if key == "id" else place.write(value)
    if context := shown.get("creation_context"):
        told["systemData"] = camel(with_last_change(context))
    if kind == "component":
        told["properties"] = {"componentSpec": {k: v for k, v in shown.items() if k not in SERVICE and v is not None}}
    return told


# What a component's spec does not hold.
SERVICE = ("creation_context", "id")
