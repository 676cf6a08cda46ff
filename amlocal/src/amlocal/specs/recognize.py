"""Which Azure ML spec a YAML document is: by its `$schema`, else by its fields; and which other tool's file."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from amlocal.core.names import nearest

SCHEMA = re.compile(r"/(\w+?)(?:\.schema)?\.json\s*$")
AZUREML = re.compile(r"azuremlschemas|azuremlsdk2|//azureml/", re.IGNORECASE)
# The kind of a spec by its schema's name in small letters, the same for every place that schemas lie at.
KINDS = {
    **dict.fromkeys(
        (
            "commandjob",
            "pipelinejob",
            "sweepjob",
            "sparkjob",
            "automljob",
            "paralleljob",
            "importjob",
            "finetuningjob",
            "distillationjob",
        ),
        "job",
    ),
    **dict.fromkeys(
        (
            "commandcomponent",
            "pipelinecomponent",
            "parallelcomponent",
            "sparkcomponent",
            "automlcomponent",
            "importcomponent",
            "datatransfercomponent",
        ),
        "component",
    ),
    **dict.fromkeys(
        ("amlcompute", "computeinstance", "vmcompute", "virtualmachine", "kubernetescompute", "synapsesparkcompute"),
        "compute",
    ),
    "environment": "environment",
    "data": "data",
    "model": "model",
    **dict.fromkeys(("managedonlineendpoint", "kubernetesonlineendpoint", "onlineendpoint"), "online_endpoint"),
    **dict.fromkeys(("managedonlinedeployment", "kubernetesonlinedeployment", "onlinedeployment"), "online_deployment"),
    "batchendpoint": "batch_endpoint",
    **dict.fromkeys(
        ("batchdeployment", "modelbatchdeployment", "pipelinecomponentbatchdeployment"), "batch_deployment"
    ),
    **dict.fromkeys(("schedule", "monitorschedule"), "schedule"),
    **dict.fromkeys(
        ("azureblob", "azurefile", "azuredatalakegen1", "azuredatalakegen2", "onelake"),
        "datastore",
    ),
    "registry": "registry",
    "workspace": "workspace",
}
# What `type` says where it says it all.
TYPES = {
    **dict.fromkeys(("uri_file", "uri_folder", "mltable"), "data"),
    **dict.fromkeys(("custom_model", "mlflow_model", "triton_model"), "model"),
    **dict.fromkeys(("amlcompute", "computeinstance", "virtualmachine", "kubernetes", "synapsespark"), "compute"),
    **dict.fromkeys(
        ("azure_blob", "azure_file", "azure_data_lake_gen1", "azure_data_lake_gen2", "one_lake"), "datastore"
    ),
}
# The `type` of a job's node, and the fields by one of which it is known.
NODE_TYPES = {"command", "sweep", "parallel", "pipeline", "spark", "automl", "import", "data_transfer"}
COMPONENT_TYPES = {"parallel", "data_transfer"}  # of which no job is made
NODE_FIELDS = {"component", "command", "trial", "task"}
PRIMITIVES = {"string", "integer", "number", "boolean"}
ENVIRONMENT_FIELDS = {
    "$schema",
    "name",
    "version",
    "image",
    "build",
    "conda_file",
    "description",
    "tags",
    "properties",
    "os_type",
    "inference_config",
    "type",
}
# The fields by which a spec without `$schema` is known.
TELLING = (
    "type",
    "jobs",
    "command",
    "trial",
    "search_space",
    "trigger",
    "create_job",
    "endpoint_name",
    "auth_mode",
    "model",
    "conda_file",
    "image",
    "inputs",
)
# Other tools' files, by the fields that all of them have. `on:` is true to YAML.
OTHERS = (
    ({True, "jobs"}, "a GitHub workflow"),
    ({"on", "jobs"}, "a GitHub workflow"),
    ({"runs", "name"}, "a GitHub action"),
    ({"updates", "version"}, "Dependabot's"),
    ({"stages"}, "an Azure pipeline or GitLab's"),
    ({"steps"}, "an Azure pipeline or another CI's"),
    ({"pool"}, "an Azure pipeline"),
    ({"parameters", "jobs"}, "an Azure pipeline"),
    ({"variables"}, "an Azure pipeline's variables"),
    ({"services"}, "docker-compose's"),
    ({"apiVersion", "kind"}, "Kubernetes'"),
    ({"site_name"}, "MkDocs'"),
    ({"repos"}, "pre-commit's"),
    ({"dependencies"}, "a conda environment"),
    ({"artifact_path", "flavors"}, "an MLflow model's"),
    ({"flavors"}, "an MLflow model's"),
)


def kind_of(document: Any) -> str | None:
    """What a document describes, as the name of azure-ai-ml's `load_...`; None if it is no spec that is known."""
    if not isinstance(document, Mapping):
        return None
    schema = str(document.get("$schema", ""))
    named = SCHEMA.search(schema)
    kind = KINDS.get(named[1].lower()) if named else None
    if kind == "job" and document.get("type") in COMPONENT_TYPES:
        return "component"
    if kind or (schema and not AZUREML.search(schema)):
        return kind
    return next(_by_fields(document), None)


def misspelt_kind_of(document: Any) -> str | None:
    """As `kind_of`, for a file that somebody calls a spec: what it would be if its fields were spelt right."""
    if not isinstance(document, Mapping) or any(all(one in document for one in fields) for fields, _ in OTHERS):
        return None
    spelt = {key: key for key in document} | {
        key: near
        for key in document
        if key not in TELLING and (near := nearest(str(key), TELLING)) and near not in document
    }
    return kind_of({spelt[key]: value for key, value in document.items()})


def other_tool(document: Any) -> str:
    """Why a document that is no spec is left out, in words."""
    if not isinstance(document, Mapping):
        return "no mapping of fields to values"
    if schema := document.get("$schema"):
        return f"its $schema, {schema}, is none that is looked at"
    for fields, words in OTHERS:
        if all(field in document for field in fields):
            return words
    return "no Azure ML spec by its fields; a $schema would tell"


def _by_fields(document: Mapping[str, Any]) -> Iterator[str]:
    def has(*fields: str) -> bool:
        return all(document.get(field) is not None for field in fields)

    kind = document.get("type")
    kind = kind.lower() if isinstance(kind, str) else None
    jobs = document.get("jobs")
    if kind in TYPES:
        yield TYPES[kind]
    if isinstance(jobs, Mapping) and (kind == "pipeline" or any(_is_node(node) for node in jobs.values())):
        yield "component" if _declares(document) else "job"
    if has("trial", "search_space") or (kind == "sweep" and has("trial")):
        yield "job"
    if has("trigger") and any(has(action) for action in ("create_job", "create_monitor", "import_data")):
        yield "schedule"
    if has("endpoint_name"):
        yield "batch_deployment" if has("compute") or kind in ("model", "pipeline") else "online_deployment"
    if has("model") and any(has(field) for field in ("code_configuration", "instance_type", "instance_count")):
        yield "online_deployment"
    if has("auth_mode") or (has("name", "traffic") and len(document) <= 5):
        yield "batch_endpoint" if has("defaults") else "online_endpoint"
    if isinstance(document.get("command"), str):
        yield "component" if _declares(document) else "job"
    if kind in NODE_TYPES and any(has(field) for field in ("task", "entry", "training_data", "code")):
        yield "component" if _declares(document) else "job"
    if has("conda_file") or ((has("image") or has("build")) and has("name") and set(document) <= ENVIRONMENT_FIELDS):
        yield "environment"


def _is_node(node: Any) -> bool:
    return isinstance(node, Mapping) and (
        str(node.get("type", "")).lower() in NODE_TYPES or any(field in node for field in NODE_FIELDS)
    )


def _declares(document: Mapping[str, Any]) -> bool:
    """Whether a command or a pipeline is a component: it has a version, or inputs that are declared, not given."""
    if "version" in document or "is_deterministic" in document:
        return True
    inputs = document.get("inputs")
    given = [value for value in inputs.values() if isinstance(value, Mapping)] if isinstance(inputs, Mapping) else []
    return any(
        str(value.get("type")).lower() in PRIMITIVES or "optional" in value for value in given if "value" not in value
    )
