"""A YAML file becomes azure-ai-ml's own entity, and what is wrong with it one clear line."""

import difflib
import io
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from amlocal.core import documents
from amlocal.core.errors import UserError

# Fields whose text may be the path of another YAML file.
FILES = ("component", "conda_file", "create_job", "environment", "trial")


def load(kind: str, path: Path | str, overrides: Sequence[Mapping[str, Any]] = ()) -> Any:
    """The entity that `path` describes, as `azure.ai.ml.load_<kind>` gives it.

    overrides: what `--set a.b=c` asks for, as `{"a.b": "c"}` each; applied before the schema, as Azure does.
    Raises UserError naming the file, the line, the field and the remedy.
    """
    path = Path(path)
    document = read_document(path)
    look_over_files([document, *overrides], path.parent, {path.resolve()})
    read = loader(kind)
    try:
        return read(path.resolve(), params_override=[dict(item) for item in overrides])
    except Exception as error:  # marshmallow, azure-ai-ml and yaml each raise their own kinds from within the loader
        raise UserError(_explain(kind, path, document, error)) from error


def loader(kind: str) -> Callable[..., Any]:
    """azure-ai-ml's `load_job`, `load_online_endpoint`, ...; takes a path or a stream, and `params_override`."""
    from azure.ai.ml.entities import _load_functions  # load_schedule is nowhere else

    quiet()
    return getattr(_load_functions, f"load_{kind.replace('-', '_')}")


def quiet() -> None:
    """Keep the SDK's notices about experimental classes and unknown fields off the user's screen."""
    for name in ("azure.ai.ml", "azure.ai.ml._schema.assets.environment", "azure.ai.ml._utils._experimental"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"azure\.ai\.ml.*")


def read_document(path: Path) -> Any:
    """A YAML file as it stands, without a schema. Raises UserError."""
    document = documents.read_yaml(path)
    if not isinstance(document, dict):
        raise UserError(f"{path}: an Azure ML spec is a mapping of fields to values; this file is not")
    return document


def look_over_files(document: Any, folder: Path, seen: set[Path]) -> None:
    """Read what azure-ai-ml will read for a document: the components, environments and jobs it names as files.

    folder: which their paths count from. seen: files that were read. Raises UserError for one that must not be read.
    """
    if isinstance(document, list):
        for each in document:
            look_over_files(each, folder, seen)
    elif isinstance(document, Mapping):
        for key, value in document.items():
            if not isinstance(value, str):
                look_over_files(value, folder, seen)
            elif value.startswith("file:") or str(key).rpartition(".")[2] in FILES:
                path = folder / value.removeprefix("file:")
                # os.path's also says no to what can be no path: a text that is too long, or has a NUL
                if os.path.isfile(path) and (path := path.resolve()) not in seen:  # noqa: PTH113
                    seen.add(path)
                    look_over_files(documents.read_yaml(path), path.parent, seen)


def line_of(path: Path, field: str) -> int | None:
    """The line (from 1) where the dotted `field`, or the nearest parent of it that is there, stands in a YAML file."""
    try:
        node = documents.nodes(path)
    except UserError:
        return None
    line = None
    for part in field.split("."):
        if not isinstance(node, yaml.MappingNode):
            break
        pairs = {key.value: (key, value) for key, value in node.value}
        if part not in pairs:
            break
        key, node = pairs[part]
        line = key.start_mark.line + 1
    return line


def at(path: Path, field: str) -> str:
    """`file:line: field`, the beginning of every complaint about a spec."""
    line = line_of(path, field)
    shown = relative(path)
    return f"{shown}:{line}: {field}" if line else f"{shown}: {field}"


def relative(path: Path) -> Path:
    """The path as the user would type it: below the current folder without its prefix."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path


def _explain(kind: str, path: Path, document: dict[str, Any], error: Exception) -> str:
    """One line out of whatever the SDK's loader raised."""
    if isinstance(error, RecursionError):
        return f"{relative(path)}: a component in it contains itself, or a component is nested too deep"
    if (
        isinstance(error, NotImplementedError) and error.__context__
    ):  # a monitor's, where it has failed to explain itself
        from amlocal.specs.monitor import misspelt

        if told := misspelt(document.get("create_monitor")):
            return f"{at(path, told[0])}: {told[1]}"
        error = error.__context__  # type: ignore[assignment]
    found = list(problems(error))
    if not found:
        return f"{relative(path)}: {message_of(error) or type(error).__name__}"
    field, message = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{at(path, field)}: {_remedy(kind, field, message, document)}{more}"


def message_of(error: Exception) -> str:
    """What the SDK says, in one line, about what its schemas do not."""
    said = " ".join(str(getattr(error, "message", None) or error).split())
    return re.sub(r"\b(?:Unknown|Unsupported) (\w+) type: None\b", r"type: required, the kind of \1", said)


def problems(error: Exception) -> Iterator[tuple[str, str]]:
    """(dotted field, message) pairs from marshmallow's nested messages or from the SDK's JSON report of them."""
    messages = getattr(error, "messages", None)
    if isinstance(messages, dict):
        yield from _flatten(messages, "")
    else:
        yield from _reported(str(error))


def _reported(text: str) -> Iterator[tuple[str, str]]:
    """The pairs in the JSON that the SDK's messages carry; for a command job it is JSON within JSON."""
    start = text.find("{")
    try:
        report, _ = json.JSONDecoder().raw_decode(text[max(start, 0) :])
    except ValueError:
        return
    if not isinstance(report, dict):
        return
    if "errors" not in report:
        yield from _flatten(report, "")
        return
    for item in report["errors"]:
        message = item.get("message", "")
        inner = list(_reported(message)) if item.get("path") in (None, "*") else []
        yield from inner or [(item.get("path") or "*", message)]


def _flatten(messages: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(messages, dict):
        for key, value in messages.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(messages, list):
        for value in messages:
            if isinstance(value, dict):
                yield from _flatten(value, prefix)
            else:
                yield prefix.removesuffix("._schema") or "*", str(value)
    else:
        yield prefix, str(messages)


def _remedy(kind: str, field: str, message: str, document: dict[str, Any]) -> str:
    message = re.sub(r"\s+", " ", message).strip()
    missing = re.search(r"(?:No such file or directory:|resolved absolute path:) '?([^'\];]+)", message)
    if missing:
        return f"no such file or folder: {relative(Path(missing.group(1).rstrip('. ')))}"
    if "Unknown field" in message:
        return "unknown field" + _did_you_mean(kind, field, document)
    if "Missing data for required field" in message:
        return "required, and not there"
    return message


def _did_you_mean(kind: str, field: str, document: dict[str, Any]) -> str:
    """A misspelt field's likely meaning, from the fields that the schema of this file (or of its steps) knows."""
    from azure.ai.ml._schema.component import CommandComponentSchema
    from azure.ai.ml._schema.job import CommandJobSchema
    from azure.ai.ml._schema.pipeline.pipeline_job import PipelineJobSchema
    from azure.ai.ml.constants._common import BASE_PATH_CONTEXT_KEY

    *parents, name = field.split(".")
    schema: Any
    if kind == "component":
        schema = CommandComponentSchema
    elif kind == "job":
        schema = PipelineJobSchema if document.get("type") == "pipeline" and not parents else CommandJobSchema
    else:
        return "; remove it"
    known = schema(context={BASE_PATH_CONTEXT_KEY: Path()}).fields
    close = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else "; remove it"


def revive(kind: str, spec: dict[str, Any]) -> Any:
    """azure-ai-ml's entity of a dictionary that an entity gave (`_to_dict`).

    Its loaders take a pipeline component inside a pipeline as a file only, so that each is written to one for the
    moment.
    """
    spec = json.loads(json.dumps(spec, default=str))  # from OrderedDict and the like
    with tempfile.TemporaryDirectory() as folder:
        filed = _filed(spec, Path(folder))
        if filed == spec:
            return loader(kind)(io.StringIO(yaml.safe_dump(spec, sort_keys=False)))
        path = Path(folder, "job.yml")
        path.write_text(yaml.safe_dump(filed, sort_keys=False), encoding="utf-8")
        made = loader(kind)(path)
    _forget_file(made)
    return made


def _forget_file(made: Any) -> None:
    """The file that messages would name is gone, and nobody has written it."""
    vars(made)["_Resource__source_path"] = ""  # the property's setter makes "." of nothing
    for node in (getattr(made, "jobs", None) or {}).values():
        component = getattr(node, "_component", None)
        if hasattr(component, "_source_path"):
            _forget_file(component)


def _filed(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    jobs = spec.get("jobs")
    if not isinstance(jobs, dict):
        return spec
    filed = {}
    for name, node in jobs.items():
        component = node.get("component") if isinstance(node, dict) else None
        if isinstance(component, dict) and component.get("type") == "pipeline":
            path = folder / f"{len(list(folder.iterdir()))}.yml"
            path.touch()
            path.write_text(yaml.safe_dump(_filed(component, folder), sort_keys=False), encoding="utf-8")
            node = {**node, "component": f"./{path.name}"}
        filed[name] = node
    return {**spec, "jobs": filed}
