"""A YAML file becomes azure-ai-ml's own entity, and what is wrong with it one clear line."""

import copy
import io
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from amlocal.core import documents
from amlocal.core.errors import Problems, UserError
from amlocal.core.files import relative
from amlocal.core.names import as_text, nearest
from amlocal.specs.blame import blamed, needless, value_at
from amlocal.specs.explain import LACKING, Complaint, complaints, in_words, instead, plain_message, refusing_schema
from amlocal.specs.literals import suggestion
from amlocal.specs.schemas import DISCRIMINATORS
from amlocal.specs.unknown import unknown

# Where Azure has text for text, and the parts of an entity that may have these too.
TEXTS = ("tags", "properties", "environment_variables")
PARTS = ("_component", "trial", "environment", "_create_job")

# The values of `type` by which azure-ai-ml chooses among the schemas of a kind.
TYPES = {
    "job": ("command", "pipeline", "sweep", "spark", "automl", "import", "finetuning", "distillation"),
    "component": ("command", "pipeline", "parallel", "spark", "automl", "data_transfer", "import"),
    "compute": ("amlcompute", "computeinstance", "virtualmachine", "kubernetes", "synapsespark"),
    "datastore": ("azure_blob", "azure_file", "azure_data_lake_gen1", "azure_data_lake_gen2", "one_lake"),
}
TYPED = ("compute", "datastore")  # the kinds that have no default type


# The field that tells the type of a job or a component that has none; a mapping as `task` is a parallel one's.
MEANT = {"jobs": "pipeline", "search_space": "sweep", "task": "automl", "entry": "spark"}

# What a file may have instead of the field that azure-ai-ml misses.
ALSO = {"schedule": "; a schedule has create_job, create_monitor or import_data"}

UNBOUND = re.compile(r"(?<=input binding )\$\{\{(.*?)\}\}")

# Fields whose text may be the path of another YAML file.
FILES = ("component", "conda_file", "create_job", "environment", "trial")


def load(kind: str, path: Path | str, overrides: Sequence[Mapping[str, Any]] = ()) -> Any:
    """The entity that `path` describes, as `azure.ai.ml.load_<kind>` gives it.

    overrides: what `--set a.b=c` asks for, as `{"a.b": "c"}` each; applied before the schema, as Azure does.
    Raises Problems, each naming the file, the line, the field and the remedy.
    """
    path = Path(path)
    document = read_document(path)
    look_over_files([document, *overrides], path.parent, {path.resolve()})
    read = loader(kind)
    try:
        entity = read(path.resolve(), params_override=[dict(item) for item in overrides])
    except Exception as error:  # marshmallow, azure-ai-ml and yaml each raise their own kinds from within the loader
        raise Problems(_explain(kind.replace("-", "_"), path, document, overrides, error)) from error
    _write_as_text(entity)
    return entity


def _write_as_text(entity: Any) -> None:
    """Dates, numbers, true and false become text where Azure has text, as they do on azure-ai-ml's way to Azure."""
    for name in TEXTS:
        values = getattr(entity, name, None)
        if not isinstance(values, dict):
            continue
        for key, value in list(values.items()):
            if isinstance(value, bool | int | float | date):
                values[key] = as_text(value)
    jobs = getattr(entity, "jobs", None)
    for part in (*(jobs.values() if isinstance(jobs, dict) else ()), *(getattr(entity, name, None) for name in PARTS)):
        if part is not None and not isinstance(part, str | dict):
            _write_as_text(part)


def loader(kind: str) -> Callable[..., Any]:
    """azure-ai-ml's `load_job`, `load_online_endpoint`, ...; takes a path or a stream, and `params_override`."""
    from azure.ai.ml.entities import _load_functions  # load_schedule is nowhere else

    quiet()
    return getattr(_load_functions, f"load_{kind.replace('-', '_')}")


def batch_deployment_kind(document: Any, overrides: Sequence[Mapping[str, Any]] = ()) -> str:
    """The `kind` for `load` of a batch deployment's file: each `type` has a loader, and so has none."""
    named = [override["type"] for override in overrides if "type" in override]
    kind = named[-1] if named else document.get("type") if isinstance(document, Mapping) else None
    kinds = {"model": "model-batch-deployment", "pipeline": "pipeline-component-batch-deployment"}
    return kinds.get(str(kind).lower(), "batch-deployment")


def quiet() -> None:
    """Keep the SDK's notices about experimental classes and unknown fields off the user's screen."""
    for name in ("azure.ai.ml", "azure.ai.ml._schema.assets.environment", "azure.ai.ml._utils._experimental"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"azure\.ai\.ml.*")


def read_document(path: Path, warn: bool = True) -> Any:
    """A YAML file as it stands, without a schema. warn: of a key that stands twice. Raises UserError."""
    document = documents.read_yaml(path, warn)
    if not isinstance(document, dict):
        what = "an empty file" if document is None else in_words(document)
        raise UserError(f"{path}: an Azure ML spec is a mapping of fields to values, not {what}")
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


def line_of(path: Path, field: str | Sequence[str]) -> int | None:
    """The line (from 1) where a field, or the nearest parent of it that is there, stands in a YAML file.

    field: dotted, or its keys one by one; a number leads into a list.
    """
    root = _composed(path)
    parts = field.split(".") if isinstance(field, str) else field
    line, node = None, root
    for part in parts:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if part not in pairs:
                break
            key, node = pairs[part]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line


def has_field(path: Path, field: str) -> bool:
    """Whether a dotted field is written in a YAML file."""
    node = _composed(path)
    for part in field.split("."):
        if not isinstance(node, yaml.MappingNode):
            return False
        node = next((value for key, value in node.value if key.value == part), None)
    return node is not None


def _composed(path: Path) -> Any:
    """A YAML file's nodes, which know their lines; None if it has none."""
    try:
        return documents.nodes(path)
    except UserError:
        return None


def at(path: Path, field: str | Sequence[str]) -> str:
    """`file:line: field`, the beginning of every complaint about a spec."""
    line = line_of(path, field)
    place = f"{relative(path)}:{line}" if line else str(relative(path))
    dotted = field if isinstance(field, str) else ".".join(field)
    return f"{place}: {dotted}" if dotted else place


def _explain(
    kind: str, path: Path, document: Any, overrides: Sequence[Mapping[str, Any]], error: Exception
) -> list[str]:
    """All that is wrong with a file, a line each, out of whatever the SDK's loader raised."""
    found = _complaints(kind, path, document, overrides, error, (path.resolve(),))
    return list(dict.fromkeys(f"{at(one.source, one.field)}: {one.message}" for one in found))


def _complaints(
    kind: str,
    path: Path,
    document: Any,
    overrides: Sequence[Mapping[str, Any]],
    error: Exception,
    inside: tuple[Path, ...] = (),
) -> list[Complaint]:
    """inside: the files that led here, each naming the next."""
    if isinstance(error, RecursionError):
        return [Complaint(path, (), "a component in it contains itself, or a component is nested too deep")]
    if isinstance(document, Mapping) and (wrong := _wrong_type(kind, path, document, error)):
        return [wrong]
    if isinstance(error, TypeError) and isinstance(document, Mapping):  # it has looked its schema up by one of these
        for name in DISCRIMINATORS:
            if isinstance(document.get(name), Mapping | list):
                return [Complaint(path, (name,), f"text is wanted here, not {in_words(document[name])}")]
    found: list[Complaint] = []
    schema = refusing_schema(error) or _schema_of(kind, document, overrides)
    if schema is not None:
        changed = _overridden(document, overrides)
        found = complaints(schema, changed, path.resolve(), lambda other, file: _of_file(other, file, inside))
    if kind == "component":  # azure-ai-ml ignores a field of a component that it does not know: another one is at fault
        known = [one for one in found if len(one.field) > 1 or not one.message.startswith("unknown field; remove")]
        found = known or found
    if not found and isinstance(error, NotImplementedError) and error.__context__:
        error = error.__context__  # type: ignore[assignment]  # a monitor's, which has failed to explain itself
    if not found:
        found = [Complaint(path, tuple(field.split(".")), plain_message(said)) for field, said in problems(error)]
    if not found and (lacking := LACKING.search(str(error))):
        found = [Complaint(path, (lacking[1],), f"required, and not there{ALSO.get(kind, '')}")]
    found = found or [Complaint(path, (), plain_message(error), error)]
    found = [replace(one, message=_unbound(one.message, document) or one.message) for one in found]
    if len(found) == 1 and found[0].cause is not None and found[0].source in (path, path.resolve()):
        found = _placed(found[0], found[0].cause, kind, document, overrides, schema)
    return [replace(one, source=path) if one.source == path.resolve() else one for one in found]


def _unbound(message: str, document: Any) -> str | None:
    """Why the source of a binding is not found, of which azure-ai-ml only says that it is not."""
    match = UNBOUND.search(message)
    if not match:
        return None
    told = f"{match[0]}: "
    match match[1].strip().split("."):
        case ["parent", "inputs", *rest]:
            name, known = ".".join(rest), _keys(document, "inputs")
            return f'{told}the pipeline has no input "{name}"{suggestion(name, known)}'
        case ["parent", "jobs", step, "outputs" | "inputs" as group, *rest]:
            steps = _keys(document, "jobs")
            if step not in steps:
                return f'{told}no step is called "{step}"{suggestion(step, steps)}'
            name, known = ".".join(rest), _keys(document["jobs"][step], group)
            return f'{told}step "{step}" has no {group[:-1]} "{name}"{suggestion(name, known)}'
    return f"{told}not understood; use ${{{{parent.inputs.X}}}} or ${{{{parent.jobs.STEP.outputs.X}}}}"


def _keys(document: Any, field: str) -> list[str]:
    value = document.get(field) if isinstance(document, Mapping) else None
    return list(map(str, value)) if isinstance(value, Mapping) else []


def _placed(
    vague: Complaint, cause: Exception, kind: str, document: Any, overrides: Sequence[Mapping[str, Any]], schema: Any
) -> list[Complaint]:
    """The complaint at the fields that it is about, in the words of the file."""

    def accepted(other: Any) -> bool:
        text = io.StringIO(yaml.safe_dump(other, sort_keys=False))
        origin, changed = str(vague.source.resolve()), [dict(item) for item in overrides]
        try:
            loader(kind)(text, relative_origin=origin, params_override=changed)
        except Exception:
            return False
        return True

    placeless = any(cls.__module__.startswith(("azure.", "marshmallow.")) for cls in type(cause).__mro__)
    if placeless:  # it says what is wrong, if not where
        field = blamed(accepted, document)
        return [replace(vague, field=tuple(map(str, field)))] if field else [vague]
    near = dict(unknown(schema, document)) if schema is not None else {}
    if fields := needless(accepted, document, list(near)):
        return [
            replace(vague, field=tuple(map(str, one)), message=f"unknown field{instead(near[one], {})}")
            for one in fields
        ]
    field = blamed(accepted, document)
    told = f"{in_words(value_at(document, field))} is not understood here" if field else vague.message
    return [replace(vague, field=tuple(map(str, field)) or vague.field, message=told)]


def _of_file(kind: str, path: Path, inside: tuple[Path, ...]) -> list[Complaint]:
    """What is wrong with a file that another one names. Without a name it is as good: who refers to it needs none."""
    path = path.resolve()
    if path in inside:
        return []  # told once is enough, also of a file that contains itself
    document = read_document(path)
    overrides = [{key: "1"} for key in ("name", "version") if key not in document]
    try:
        loader(kind)(path, params_override=[dict(each) for each in overrides])
    except Exception as error:
        return _complaints(kind, path, document, overrides, error, (*inside, path))
    return []


def ignored_fields(kind: str, path: Path, document: Any) -> list[str]:
    """A line for each field of a sound file that has no effect, since its name is misspelt."""
    schema = _schema_of(kind, document, ())
    if schema is None:
        return []
    if kind == "component":
        schema.unknown = "include"  # as azure-ai-ml reads a component
    return [
        f'{at(path, tuple(map(str, place)))}: Azure ignores this field; did you mean "{near}"?'
        for place, near in unknown(schema, document)
        if near
    ]


def _wrong_type(kind: str, path: Path, document: Mapping[str, Any], error: Exception) -> Complaint | None:
    known = TYPES.get(kind)
    given = document.get("type")
    if kind == "batch_deployment" and given is None:  # one without a type has its settings at the root
        typed = "pipeline" if "component" in document else "model" if "settings" in document else None
        if typed:
            return Complaint(path, ("type",), f"required, and not there; write `type: {typed}`")
    if known and "type" not in document:
        meant = next((kind for field, kind in MEANT.items() if field in document and kind in known), None)
        if meant == "automl" and not isinstance(document["task"], str):
            meant = "parallel"
        if meant in known and "command" not in document:
            return Complaint(path, ("type",), f"required, and not there; write `type: {meant}`")
    if not known or ("type" not in document and kind not in TYPED):
        return None
    if isinstance(given, str) and (given in known or (kind in TYPED and given.lower() in known)):
        return None
    near = nearest(given, known) if isinstance(given, str) else None
    told = "required, and not there; it is one of" if given is None else f"{in_words(given)} is not one of"
    return Complaint(path, ("type",), f"{told} {', '.join(known)}" + (f'; did you mean "{near}"?' if near else ""))


def _schema_of(kind: str, document: Any, overrides: Sequence[Mapping[str, Any]]) -> Any:
    """The schema of what `document` says it is, where azure-ai-ml stumbled before it got as far."""
    from azure.ai.ml import entities
    from azure.ai.ml.entities._component.component_factory import component_factory
    from azure.ai.ml.entities._schedule.schedule import Schedule

    named = {"compute": "Compute", "job": "Job", "component": "Component", "schedule": "Schedule"}
    entity = Schedule if kind == "schedule" else getattr(entities, named.get(kind, ""), None)
    if entity is None or not isinstance(document, Mapping):
        return None
    try:
        if kind == "component":
            _, made = component_factory.get_create_funcs(dict(document))
            return made({"base_path": Path()})
        cls, _ = entity._resolve_cls_and_type(dict(document), [dict(item) for item in overrides])
        return cls._create_schema_for_validation(context={"base_path": Path()})
    except Exception:
        return None


def _overridden(document: Any, overrides: Sequence[Mapping[str, Any]]) -> Any:
    """The document with `--set` applied, as azure-ai-ml does it."""
    from azure.ai.ml.entities._load_functions import objects

    changed = copy.deepcopy(document)
    for override in overrides:
        for field, value in override.items():
            objects.set_(changed, field, value)
    return changed


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


def revive(kind: str, spec: dict[str, Any]) -> Any:
    """azure-ai-ml's entity of a dictionary that an entity gave (`_to_dict`).

    Its loaders take a pipeline component inside a pipeline as a file only, so that each is written to one for the
    moment.
    """
    spec = json.loads(json.dumps(spec, default=str))  # from OrderedDict and the like
    with tempfile.TemporaryDirectory() as folder:
        filed = _filed(spec, Path(folder))
        if filed == spec:
            made = loader(kind)(io.StringIO(yaml.safe_dump(spec, sort_keys=False)))
            _name_components(made, spec)
            return made
        path = Path(folder, "job.yml")
        path.write_text(yaml.safe_dump(filed, sort_keys=False), encoding="utf-8")
        made = loader(kind)(path)
    _name_components(made, spec)
    _forget_file(made)
    return made


def _name_components(made: Any, spec: dict[str, Any]) -> None:
    """Call the steps' components as the dictionary does: the loaders call each of them azureml_anonymous."""
    for name, node in (getattr(made, "jobs", None) or {}).items():
        told = ((spec.get("jobs") or {}).get(name) or {}).get("component")
        component = getattr(node, "_component", None)
        if isinstance(told, dict) and component is not None and hasattr(component, "_to_dict"):
            component.name = told.get("name") or component.name
            _name_components(component, told)


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
