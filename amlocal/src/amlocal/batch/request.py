"""An invocation as the REST API documents its body, read into a `Request`. Names are taken in any case, as there.

{"properties": {"InputData": {"images": {"JobInputType": "UriFolder", "Uri": "azureml:images:1"}},
                "OutputData": {"score": {"JobOutputType": "UriFile", "Uri": "azureml://datastores/..."}},
                "MiniBatchSize": 5, "Compute": {"InstanceCount": 2}, "RetrySettings": {"MaxRetries": 1},
                "properties": {"experimentName": "nightly"}}}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amlocal.core.errors import UserError

LITERAL = "literal"
# The API's names of the types of inputs and outputs, in lower case.
TYPES = {
    "urifolder": "uri_folder",
    "urifile": "uri_file",
    "mltable": "mltable",
    "mlflowmodel": "mlflow_model",
    "custommodel": "custom_model",
    "tritonmodel": "triton_model",
    "literal": LITERAL,
}
DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?", re.IGNORECASE)


@dataclass(frozen=True)
class Given:
    """An input or output. type: of azure-ai-ml's words, or `LITERAL`; value: a path or address, or the literal."""

    type: str
    value: Any = None


@dataclass(frozen=True)
class Request:
    """What an invocation asks for. output_folder: an azureml:// address, whose folder takes the file of rows."""

    inputs: dict[str, Given] = field(default_factory=dict)
    outputs: dict[str, Given] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)  # those of batch.plan.Settings that this job overrides
    job_name: str | None = None
    experiment_name: str | None = None
    output_folder: str | None = None


def read(body: Any) -> Request:
    """Raises UserError naming the field of the body that cannot be read."""
    properties = _object(_get(_object(body, "the body"), "properties", {}), "properties")
    inputs = {name: _given(f"InputData.{name}", each, "JobInputType") for name, each in _named(properties, "InputData")}
    outputs = {
        name: _given(f"OutputData.{name}", each, "JobOutputType") for name, each in _named(properties, "OutputData")
    }
    if dataset := _get(properties, "dataset"):
        inputs["dataset"] = Given("uri_folder", str(_get(dataset, "DatasetId", "")) if _is_object(dataset) else dataset)
    retry = _object(_get(properties, "RetrySettings", {}), "RetrySettings")
    compute = _object(_get(properties, "Compute", {}), "Compute")
    settings = {
        "mini_batch_size": _number("MiniBatchSize", _get(properties, "MiniBatchSize")),
        "error_threshold": _number("ErrorThreshold", _get(properties, "ErrorThreshold")),
        "instance_count": _number("Compute.InstanceCount", _get(compute, "InstanceCount")),
        "max_retries": _number("RetrySettings.MaxRetries", _get(retry, "MaxRetries")),
        "timeout": _seconds(_get(retry, "Timeout")),
        "output_file_name": _get(properties, "OutputFileName"),
    }
    more = _object(_get(properties, "properties", {}), "properties.properties")
    return Request(
        inputs,
        outputs,
        {name: value for name, value in settings.items() if value is not None},
        _text("name", _get(properties, "name")),
        _text("properties.experimentName", _get(more, "experimentName")),
        _folder(_object(_get(properties, "OutputDataset", {}), "OutputDataset")),
    )


def address(uri: str) -> str:
    """A documented address in the form that the rest of amlocal reads: of a datastore or asset by its ARM id, too."""
    text = uri.strip()
    if text.startswith("azureml:/subscriptions/"):
        text = text.removeprefix("azureml:")
    if text.startswith("/subscriptions/") and "/datastores/" in text:
        return f"azureml:/{text}"
    if match := re.fullmatch(r"azureml:([\w-]+)/paths/(.*)", text):  # the id that `aml datastore show` prints
        return f"azureml://datastores/{match[1]}/paths/{match[2]}"
    return text


def _folder(dataset: Mapping[str, Any]) -> str | None:
    """Where `--output-path` wants the file of rows: a datastore, by its name or id, and a path in it."""
    store, path = _get(dataset, "DatastoreId"), str(_get(dataset, "Path") or "").strip("/")
    if not store and not path:
        return None
    name = str(store or "workspaceblobstore").removeprefix("azureml:").rstrip("/").rpartition("/")[2]
    return f"azureml://datastores/{name.removeprefix('azureml:')}/paths/{path}"


def _given(where: str, value: Any, discriminator: str) -> Given:
    fields = _object(value, where)
    kind = TYPES.get(str(_get(fields, discriminator, "UriFolder")).lower())
    if kind is None:
        known = ", ".join(("UriFolder", "UriFile", "Literal"))
        raise UserError(f"{where}.{discriminator}: {_get(fields, discriminator)} is none of {known}")
    if kind == LITERAL:
        return Given(LITERAL, _get(fields, "Value"))
    uri = _get(fields, "Uri")
    if not uri and discriminator == "JobInputType":
        raise UserError(f"{where}.Uri: required, the address of the data")
    return Given(kind, address(str(uri)) if uri else None)


def _named(properties: Mapping[str, Any], group: str) -> list[tuple[str, Any]]:
    return list(_object(_get(properties, group) or {}, group).items())


def _get(fields: Mapping[str, Any], name: str, otherwise: Any = None) -> Any:
    for key, value in fields.items():
        if str(key).lower() == name.lower():
            return otherwise if value is None else value
    return otherwise


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: {value!r} is not an object")
    return value


def _text(where: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise UserError(f"{where}: {value!r} is not a text")
    return value


def _number(where: str, value: Any) -> int | None:
    try:
        return None if value is None else int(str(value))
    except ValueError:
        raise UserError(f"{where}: {value!r} is not a whole number") from None


def _seconds(value: Any) -> int | None:
    """Seconds, of a number or of an ISO 8601 duration (PT30S)."""
    match = DURATION.fullmatch(str(value)) if value is not None else None
    if not match or not any(match.groups()):
        return _number("RetrySettings.Timeout", value)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
