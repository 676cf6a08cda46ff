"""What the service adds to what an author wrote: ids, defaults, states.

Each function takes a resource as it is kept and returns it as it is shown. `describe` and `describe_all` give that,
`get` and `list` azure-ai-ml's entity of it (see `rest`; a test holds the two equal), and the tests' double of Azure
fills its answers in with the same defaults, so that a key which Azure answers with is added here and nowhere else.
What each kind has was taken from recorded answers of Azure's: docs/parity.md.
"""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from amlocal.core.workspace import Workspace

if TYPE_CHECKING:
    from amlocal.batch.plan import Settings

COLLECTIONS = {"component": "components", "data": "data", "environment": "environments", "model": "models"}
# azure-ai-ml writes `azureml:` in front of the ids of these.
PREFIXED = ("component", "environment", "model")
RUNS_A_COMMAND = ("command",)
LOCATION = "local"

OF_AN_ENDPOINT = ("createdBy", "createdAt", "lastModifiedAt", "azureml.onlineendpointid")
RESOURCES = {"instance_count": 1, "properties": {}, "shm_size": "2g"}
QUEUE = {"job_tier": "null"}
PROBE = {
    "failure_threshold": 30,
    "initial_delay": 10,
    "period": 10,
    "success_threshold": 1,
    "timeout": 2,
}
# The service says half a second of the queue, or none; azure-ai-ml counts whole seconds, and prints 0 of both.
REQUESTS = {"max_concurrent_requests_per_instance": 1, "max_queue_wait_ms": 0, "request_timeout_ms": 5000}
ONLINE_DEPLOYMENT: dict[str, Any] = {
    "app_insights_enabled": False,
    "egress_public_network_access": "enabled",
    "environment_variables": {},
    "instance_count": 1,
    "instance_type": "Standard_F4s_v2",
    "liveness_probe": PROBE,
    "properties": {},
    "readiness_probe": PROBE,
    "request_settings": REQUESTS,
    "scale_settings": {"type": "default"},
    "tags": {},
    "type": "managed",
}
WORKSPACE = {
    "description": "",
    "enable_data_isolation": False,
    "hbi_workspace": False,
    "public_network_access": "Enabled",
}
ENDPOINT_KIND, ENDPOINT_ACCESS = "Managed", "enabled"
OS_TYPE = "linux"
INPUT_MODE, OUTPUT_MODE, OUTPUT_TYPE = "ro_mount", "rw_mount", "uri_folder"


def filled(given: Mapping[str, Any] | None, template: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with what it lacks, or has as null, taken from the template, at every depth that the template has."""
    result = dict(given or {})
    for name, value in template.items():
        if result.get(name) is None:
            result[name] = copy.deepcopy(value)
        elif isinstance(value, Mapping) and value and isinstance(result[name], Mapping):
            result[name] = filled(result[name], value)
    return result


def arm_id(workspace: Workspace, kind: str, name: str, version: str) -> str:
    """The id of a version, of a workspace's without `azureml:`."""
    return workspace.asset_id(COLLECTIONS[kind], name, "versions", version)


def _prefixed(workspace: Workspace, kind: str, spec: Mapping[str, Any]) -> str:
    return workspace.prefixed_id(COLLECTIONS[kind], spec["name"], "versions", spec["version"])


def bare_id(shown: Mapping[str, Any]) -> str:
    """The id of an entity: as it is shown, without the `azureml:` that files have before a workspace's."""
    id = str(shown["id"])
    return id if id.startswith("azureml://") else id.removeprefix("azureml:")


def versioned(workspace: Workspace, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A version of data, of an environment or of a component."""
    id = arm_id(workspace, kind, spec["name"], spec["version"])
    shown = {**spec, "id": id if kind not in PREFIXED else _prefixed(workspace, kind, spec)}
    if "creation_context" in spec:
        shown["creation_context"] = with_last_change(spec["creation_context"])
    if kind == "data":
        shown.setdefault("properties", {})
    if kind == "environment":
        shown["os_type"] = spec.get("os_type") or OS_TYPE
    if kind == "component":
        return shown | component(spec)
    return shown | {"tags": spec.get("tags") or {}}


def component(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the service fills into a component; its tags are in its spec, or nowhere."""
    added: dict[str, Any] = {}
    if spec.get("type") in RUNS_A_COMMAND:
        added["resources"] = {"instance_count": 1, **(spec.get("resources") or {})}
    if spec.get("type") == "pipeline":
        added["is_deterministic"] = bool(spec.get("is_deterministic"))
    if spec.get("inputs"):
        added["inputs"] = {name: _declared(each) for name, each in spec["inputs"].items()}
    return added


def _declared(given: Mapping[str, Any]) -> dict[str, Any]:
    """An input of a component; a default that names something loses its `azureml:`."""
    told = {**given, "optional": str(given.get("optional")).lower() == "true"}
    if isinstance(told.get("default"), str):
        told["default"] = told["default"].removeprefix("azureml:")
    return told


def container(workspace: Workspace, kind: str, latest: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    """A name with its versions, as `list` gives it when it is not asked for one name: no version, no path.

    latest, first: its versions that were created last and first, as they are shown.
    """
    context = {key: value for key, value in first["creation_context"].items() if key.startswith("created_")}
    changed = latest["creation_context"]
    context["last_modified_at"] = changed.get("last_modified_at") or changed["created_at"]
    version = None if kind == "component" else latest["version"]  # which Azure does not tell of a component
    shown: dict[str, Any] = {"creation_context": context, "latest_version": version, "name": latest["name"], "tags": {}}
    id = workspace.prefixed_id(COLLECTIONS[kind], latest["name"])
    if kind == "data":
        return shown | {"properties": {}, "type": latest.get("type")}
    return shown | {"id": id} | ({"properties": {}, "type": "custom_model"} if kind == "model" else {})


def container_entity(kind: str, shown: Mapping[str, Any]) -> Any:
    """azure-ai-ml's entity of that, by its own deserialiser."""
    from azure.ai.ml import entities
    from azure.ai.ml._restclient.arm_ml_service import models

    context = shown["creation_context"]
    rest = {
        "id": bare_id({"id": "", **shown}),
        "name": shown["name"],
        "properties": {
            "latestVersion": shown["latest_version"],
            "tags": shown["tags"],
            "properties": shown.get("properties") or {},
            "isArchived": False,
            "dataType": shown.get("type"),
        },
        "systemData": {
            "createdAt": context["created_at"],
            "createdBy": context.get("created_by"),
            "createdByType": context.get("created_by_type"),
            "lastModifiedAt": context["last_modified_at"],
        },
    }
    noun = kind.capitalize()
    container = getattr(models, f"{noun}Container")._deserialize(rest, [])
    return getattr(entities, noun)._from_container_rest_object(container)


def with_last_change(context: Mapping[str, str]) -> dict[str, str]:
    """Who created something, and who changed it last: the same, unless it is on record."""
    changed = {
        f"last_modified_{what}": context[f"created_{what}"]
        for what in ("at", "by", "by_type")
        if f"created_{what}" in context
    }
    return {**changed, **context}


def unshown(kept: Mapping[str, Any], now: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`kept` with what makes `wanted` differ from `now`, which is how it is shown: what `update` asks to change."""
    changed = dict(kept)
    for key in now.keys() | wanted.keys():
        if key not in wanted:
            changed.pop(key, None)
        elif wanted[key] != now.get(key):
            changed[key] = wanted[key]
    return changed


def compute(workspace: Workspace, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A compute target."""
    shown = {**spec, "id": workspace.id_of("computes", spec["name"]), "tags": spec.get("tags")}
    context = spec.get("creation_context") or {}
    if context.get("created_at"):
        shown["created_on"] = context["created_at"]
    if isinstance(spec.get("ssh_settings"), Mapping) and str(spec.get("type")).lower() == "computeinstance":
        asked = {key: value for key, value in spec["ssh_settings"].items() if value is not None}
        shown["ssh_settings"] = {"admin_username": "azureuser", **asked}
    return shown


def datastore(workspace: Workspace, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A datastore, whose credentials nobody is told."""
    return {
        **spec,
        "credentials": {},
        "id": workspace.id_of("datastores", spec["name"]),
        "tags": spec.get("tags") or {},
    }


def endpoint_properties(workspace: Workspace, name: str, context: Mapping[str, str]) -> dict[str, str | None]:
    """What the service, and azure-ai-ml of its answer, add to an online endpoint's properties."""
    changed = with_last_change(context)
    told = {
        "createdBy": changed.get("created_by"),
        "createdAt": _moment(changed["created_at"]),
        "lastModifiedAt": _moment(changed["last_modified_at"]),
        "azureml.onlineendpointid": workspace.id_of("onlineEndpoints", name).lower(),
    }
    return {key: told[key] for key in OF_AN_ENDPOINT}


def _moment(text: str) -> str:
    """As azure-ai-ml writes an endpoint's times."""
    from datetime import datetime

    return datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M:%S.%f%z")


def online_deployment(workspace: Workspace, endpoint: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A deployment of an online endpoint."""
    template = dict(ONLINE_DEPLOYMENT)
    if spec.get("type") == "kubernetes":  # whose network is its cluster's
        del template["egress_public_network_access"]
    return {
        **filled({key: value for key, value in spec.items() if value is not None}, template),
        "endpoint_name": endpoint,
        "id": workspace.id_of("onlineEndpoints", endpoint, "deployments", name),
        "name": name,
    }


def batch_settings(settings: "Settings") -> dict[str, Any]:
    """How a deployment of a batch endpoint scores with a model, all of it."""
    return {
        "error_threshold": settings.error_threshold,
        "logging_level": settings.logging_level.capitalize(),
        "max_concurrency_per_instance": settings.max_concurrency_per_instance,
        "mini_batch_size": settings.mini_batch_size,
        "output_action": settings.output_action,
        "output_file_name": settings.output_file_name,
        "resources": {"instance_count": settings.instance_count, "properties": {}},
        "retry_settings": {"max_retries": settings.max_retries, "timeout": settings.timeout},
    }


def job(workspace: Workspace, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A job's spec with the settings that a command or a sweep has even where its author gave none."""
    shown = {**spec, "id": f"azureml:{workspace.id_of('jobs', name)}", "name": name}
    return {**shown, **submitted(spec, name)}


def submitted(spec: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    """What the service fills into a job; name: None for one that a schedule is to create."""
    if spec.get("type") not in ("command", "sweep"):
        return {}
    filled: dict[str, Any] = {
        "inputs": with_modes(spec.get("inputs")),
        "queue_settings": {**QUEUE, **(spec.get("queue_settings") or {})},
        "resources": _resources(spec.get("resources")),
    }
    if spec["type"] == "command":
        filled |= {"environment_variables": spec.get("environment_variables") or {}, "parameters": {}}
    elif isinstance(spec.get("trial"), Mapping):
        trial = spec["trial"]
        filled["trial"] = {
            **trial,
            "environment_variables": trial.get("environment_variables") or {},
            "queue_settings": {**QUEUE, **(trial.get("queue_settings") or {})},
            "resources": _resources(trial.get("resources")),
        }
        sampling = spec.get("sampling_algorithm")
        sampling = dict(sampling) if isinstance(sampling, Mapping) else {"type": sampling or "random"}
        if sampling.get("type") == "random":
            sampling = {"rule": "random", **{key: value for key, value in sampling.items() if value is not None}}
        filled["sampling_algorithm"] = sampling
    outputs = {name: _with_mode(each, OUTPUT_MODE) for name, each in (spec.get("outputs") or {}).items()}
    if name:
        outputs["default"] = default_output(name)
    filled["outputs"] = outputs
    return filled


def default_output(job: str) -> dict[str, Any]:
    """The output that every command and sweep has in Azure: what its run logs."""
    path = f"azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{job}"
    return {"mode": OUTPUT_MODE, "path": path, "type": OUTPUT_TYPE}


def with_modes(inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """A job's inputs, each with the mode in which its files come."""
    return {name: _with_mode(each, INPUT_MODE) for name, each in (inputs or {}).items()}


def _with_mode(given: Any, mode: str) -> Any:
    if not isinstance(given, Mapping) or ("path" not in given and mode == INPUT_MODE):
        return given
    kind = given.get("type") or OUTPUT_TYPE
    default = "eval_mount" if kind == "mltable" and mode == INPUT_MODE else mode
    return {**given, "mode": given.get("mode") or default, "type": kind}


def _resources(given: Any) -> dict[str, Any]:
    asked = {key: value for key, value in given.items() if value is not None} if isinstance(given, Mapping) else {}
    return {**RESOURCES, **asked}
