"""An entity becomes a plan: steps with their bindings, checked as Azure would check them, free of azure-ai-ml."""

import difflib
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from amlocal import uris
from amlocal.assets import Assets
from amlocal.errors import UserError
from amlocal.specs.expressions import Reference, references, whole
from amlocal.specs.load import at, relative
from amlocal.workspace import Workspace

FOLDER_TYPES = ("uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model")
FILE_TYPES = ("uri_file",)
DATA_TYPES = FOLDER_TYPES + FILE_TYPES
TEMPLATES = ("name", "output_name", "default_datastore")  # what ${{...}} may stand for in the path of an output


@dataclass(frozen=True)
class Binding:
    """Where a step's input comes from: a literal, a path on disk, another step's output, or (all None) nowhere."""

    type: str
    literal: str | None = None
    path: str | None = None
    step: str | None = None
    output: str | None = None

    @property
    def absent(self) -> bool:
        return self.literal is None and self.path is None and self.step is None


@dataclass(frozen=True)
class Output:
    """What a step writes: its type, and a path if the spec names one (else the job's own folder in the datastore)."""

    type: str
    path: str | None = None


@dataclass(frozen=True)
class Step:
    """One command to run."""

    name: str
    command: str
    code: str | None
    environment: dict[str, Any] | None
    inputs: dict[str, Binding] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    environment_variables: dict[str, str] = field(default_factory=dict)
    display_name: str | None = None
    component: str | None = None
    deterministic: bool = True

    @property
    def needs(self) -> set[str]:
        """The steps whose outputs this one reads."""
        return {binding.step for binding in self.inputs.values() if binding.step}


@dataclass(frozen=True)
class Plan:
    """What the runner runs. A command job is a plan of one step and no outputs of its own."""

    type: str
    steps: dict[str, Step]
    outputs: dict[str, tuple[str, str]] = field(default_factory=dict)
    inputs: dict[str, Binding] = field(default_factory=dict)
    force_rerun: bool = False
    continue_on_step_failure: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Plan":
        def bindings(values: dict[str, Any]) -> dict[str, Binding]:
            return {name: Binding(**binding) for name, binding in values.items()}

        steps = {}
        for name, step in value["steps"].items():
            step = {**step, "inputs": bindings(step["inputs"])}
            step["outputs"] = {key: Output(**output) for key, output in step["outputs"].items()}
            steps[name] = Step(**step)
        outputs = {name: (step, output) for name, (step, output) in value["outputs"].items()}
        return cls(**{**value, "steps": steps, "outputs": outputs, "inputs": bindings(value["inputs"])})


def plan(job: Any, workspace: Workspace) -> Plan:
    """The plan of a command or pipeline job that azure-ai-ml has loaded.

    Checks what azure-ai-ml leaves to the service: literal types and limits, enum values, unknown and missing inputs,
    undefined bindings, cycles, files that are not there. Raises UserError with file, line, field and remedy.
    """
    if job.type == "pipeline":
        return _Pipeline(job, workspace).plan()
    if job.type == "command":
        return _command(job, workspace)
    raise UserError(
        f'{_source(job)}: type: a job of type "{job.type}" is not run here yet; command and pipeline jobs are'
    )


def _source(entity: Any) -> Path:
    """The file an entity was loaded from, for messages."""
    return Path(getattr(entity, "_source_path", None) or "(job built in Python)")


class _Node:
    """One command node (a step of a pipeline, or a job by itself) on its way to a Step."""

    def __init__(self, node: Any, name: str, prefix: str, source: Path, base: Path, workspace: Workspace) -> None:
        self.node, self.name, self.prefix, self.source, self.base = node, name, prefix, source, base
        self.workspace = workspace
        self.component = node.component
        if isinstance(self.component, str):
            self.component = self._registered(self.component)

    def error(self, field: str, message: str) -> UserError:
        return UserError(f"{at(self.source, f'{self.prefix}{field}')}: {message}")

    def _registered(self, reference: str) -> Any:
        """A component of the workspace, by `azureml:name:version` or `azureml:name@latest`."""
        from azure.ai.ml import load_component

        match = uris.ASSET.fullmatch(reference if reference.startswith("azureml:") else f"azureml:{reference}")
        if not match:
            raise self.error("component", f"{reference}: not understood; use azureml:NAME:VERSION or a file")
        try:
            spec = Assets(self.workspace, "component").get(match["name"], match["version"], match["label"])
        except UserError as error:
            raise self.error("component", str(error)) from error
        spec = {key: value for key, value in spec.items() if key != "creation_context"}
        return load_component(io.StringIO(yaml.safe_dump(spec)))

    @property
    def called(self) -> str:
        """The component in words; one that was given as a file has lost its name to azure-ai-ml."""
        if self.component.name != "azureml_anonymous":
            return f"component {self.component.name}"
        return "the command" if self.component_source == self.source else f"component {self.component_source.name}"

    @property
    def component_source(self) -> Path:
        """The component's own file; inline ones are in the job's."""
        own = getattr(self.component, "_source_path", None)
        return Path(own) if own else self.source

    def step(self, given: Mapping[str, Binding], outputs: dict[str, Output]) -> Step:
        component = self.component
        self._check_command(component)
        variables = {
            **(getattr(component, "environment_variables", None) or {}),
            **(self.node.environment_variables or {}),
        }
        return Step(
            name=self.name,
            command=component.command,
            code=self._code(),
            environment=environment_of(component.environment, self.component_source),
            inputs={name: self._binding(name, declared, given) for name, declared in component.inputs.items()},
            outputs=outputs,
            environment_variables={key: str(value) for key, value in variables.items()},
            display_name=self.node.display_name or getattr(component, "display_name", None),
            component=f"{component.name}:{component.version}" if component.name != "azureml_anonymous" else None,
            deterministic=component.is_deterministic is not False,
        )

    def _binding(self, name: str, declared: Mapping[str, Any], given: Mapping[str, Binding]) -> Binding:
        binding = given.get(name)
        kind = str(declared.get("type") or "string")
        if binding is None or binding.absent:
            default = declared.get("default")
            if default is not None:
                return Binding(kind, literal=str(default))
            if declared.get("optional"):
                return Binding(kind)
            raise self.error("inputs", f'{self.called} requires an input "{name}"; give it a value')
        if kind in DATA_TYPES:
            if binding.literal is not None:
                return Binding(kind, path=self._path(name, binding.literal, kind))
            return Binding(kind, path=binding.path, step=binding.step, output=binding.output)
        if binding.literal is None:
            raise self.error(f"inputs.{name}", f"{self.called} wants a {kind} here, not data")
        problem = literal_problem(binding.literal, declared)
        if problem:
            raise self.error(f"inputs.{name}", problem)
        return Binding(kind, literal=binding.literal)

    def output(self, name: str, kind: str | None, path: str | None) -> Output:
        """What the step writes, at its own place or at one in a datastore."""
        if path:
            for reference in references(path):
                if ".".join(reference.parts) not in TEMPLATES:
                    raise self.error(f"outputs.{name}", f"{reference}: a path knows {', '.join(TEMPLATES)}")
            if not uris.DATASTORE.fullmatch(path):
                raise self.error(
                    f"outputs.{name}", f"{path}: not understood; use azureml://datastores/STORE/paths/PATH"
                )
        return Output(kind or "uri_folder", path)

    def given(self, name: str) -> Binding:
        """An input as the node gives it, bindings to parents aside."""
        value = getattr(self.node.inputs[name], "_data", self.node.inputs[name])
        return self.literal_or_path(name, value)

    def literal_or_path(self, name: str, value: Any) -> Binding:
        if value is None:
            return Binding("string")
        path = getattr(value, "path", None)
        if hasattr(value, "type") and not isinstance(value, str):
            if value.type in DATA_TYPES:
                return Binding(value.type, path=self._path(name, path, value.type) if path else None)
            return Binding(value.type, literal=None if value.default is None else str(value.default))
        return Binding("string", literal=str(value))

    def _path(self, name: str, uri: str, kind: str) -> str:
        if uris.SHORT.fullmatch(str(uri)) and not Path(self.base, uri).exists():
            # azure-ai-ml, reading a file, takes away an asset's "azureml:".
            uri = f"azureml:{uri}"
        try:
            path = uris.resolve(self.workspace, str(uri), self.base, kind)
        except UserError as error:
            raise self.error(f"inputs.{name}", str(error)) from error
        if kind in FOLDER_TYPES and not path.is_dir():
            raise self.error(f"inputs.{name}", f"{uri} is a file; a {kind} is a folder")
        if kind in FILE_TYPES and not path.is_file():
            raise self.error(f"inputs.{name}", f"{uri} is a folder; a {kind} is a file")
        return str(path)

    def _code(self) -> str | None:
        code = self.component.code
        if code is None:
            return None
        base = Path(getattr(self.component, "base_path", None) or self.base)
        path = (base / str(code).removeprefix("file:")).resolve()
        if not path.exists():
            raise UserError(f"{at(self.component_source, 'code')}: no such folder: {code}")
        return str(path)

    def _check_command(self, component: Any) -> None:
        known = {"inputs": component.inputs, "outputs": component.outputs}
        for reference in references(component.command):
            group, *rest = reference.parts
            if group not in known or not rest:
                problem = "a command knows ${{inputs.NAME}} and ${{outputs.NAME}}"
            elif rest[0] not in known[group]:
                problem = f'no {group[:-1]} is called "{rest[0]}"{suggestion(rest[0], known[group])}'
            else:
                continue
            raise UserError(f"{at(self.component_source, 'command')}: {reference}: {problem}")


def _command(job: Any, workspace: Workspace) -> Plan:
    source = _source(job)
    node = _Node(job, "", "", source, Path(job.base_path or "."), workspace)
    given = {name: node.given(name) for name in job.inputs}
    for name in job.component.inputs:
        reference = whole(given[name].literal) if name in given else None
        if reference:
            raise node.error(f"inputs.{name}", f"{reference}: only the steps of a pipeline are bound to others")
    outputs = {}
    for name, declared in job.component.outputs.items():
        data = getattr(job.outputs.get(name), "_data", None)
        outputs[name] = node.output(name, _type(data) or declared.get("type"), getattr(data, "path", None))
    step = node.step(given, outputs)
    return Plan("command", {"": step}, inputs=step.inputs)


class _Pipeline:
    def __init__(self, job: Any, workspace: Workspace) -> None:
        self.job, self.workspace, self.source = job, workspace, _source(job)
        self.base = Path(job.base_path or ".")
        self.inputs: dict[str, Binding] = {}

    def error(self, field: str, message: str) -> UserError:
        return UserError(f"{at(self.source, field)}: {message}")

    def plan(self) -> Plan:
        job = self.job
        if not job.jobs:
            raise self.error("jobs", "a pipeline without steps; add at least one")
        nodes = {}
        for name, node in job.jobs.items():
            if node.type != "command":
                raise self.error(f"jobs.{name}.type", f'a step of type "{node.type}" is not run here yet; command is')
            nodes[name] = _Node(node, name, f"jobs.{name}.", self.source, self.base, self.workspace)
        first = next(iter(nodes.values()))
        for name, value in job.inputs.items():
            try:
                self.inputs[name] = first.literal_or_path(name, getattr(value, "_data", value))
            except UserError as error:
                raise self.error(f"inputs.{name}", str(error).split(": ", 2)[-1]) from error
        owners = dict(self._owners(nodes))
        steps = {name: self._step(node, nodes) for name, node in nodes.items()}
        self._check_order(steps)
        missing = [name for name in job.outputs if name not in owners]
        if missing:
            raise self.error(f"outputs.{missing[0]}", "no step's output is bound to it; bind one or remove it")
        settings = job.settings
        return Plan(
            "pipeline",
            steps,
            owners,
            self.inputs,
            force_rerun=bool(settings and settings.force_rerun),
            continue_on_step_failure=bool(settings and settings.continue_on_step_failure),
        )

    def _step(self, node: _Node, nodes: Mapping[str, _Node]) -> Step:
        given = {}
        known = node.component.inputs
        # azure-ai-ml drops what the component does not know; it is still among what the user wrote
        for name in getattr(node.node, "_job_inputs", node.node.inputs):
            if name not in known:
                raise node.error(f"inputs.{name}", f"{node.called} has no such input{suggestion(name, known)}")
        for name in node.node.inputs:
            value = getattr(node.node.inputs[name], "_data", None)
            path = getattr(value, "path", None)
            reference = whole(path if isinstance(path, str) else value)
            given[name] = self._bound(node, name, reference, nodes) if reference else node.given(name)
        outputs = {}
        for name, declared in node.component.outputs.items():
            data = getattr(node.node.outputs.get(name), "_data", None)
            kind, path = declared.get("type") or "uri_folder", getattr(data, "path", None)
            reference = whole(path if isinstance(path, str) else data)
            if reference:
                bound = getattr(self.job.outputs.get(reference.parts[-1]), "_data", None)
                kind, path = _type(bound) or kind, getattr(bound, "path", None)
            outputs[name] = node.output(name, kind, path)
        return node.step(given, outputs)

    def _bound(self, node: _Node, name: str, reference: Reference, nodes: Mapping[str, _Node]) -> Binding:
        field = f"inputs.{name}"
        match reference.parts:
            case ("parent", "inputs", source):
                if source not in self.inputs:
                    known = suggestion(source, self.inputs)
                    raise node.error(field, f'{reference}: the pipeline has no input "{source}"{known}')
                return self.inputs[source]
            case ("parent", "jobs", step, ("outputs" | "inputs") as group, source):
                if step not in nodes:
                    raise node.error(field, f'{reference}: no step is called "{step}"{suggestion(step, nodes)}')
                if group == "inputs":
                    return nodes[step].given(source)
                known_outputs = nodes[step].component.outputs
                if source not in known_outputs:
                    known = suggestion(source, known_outputs)
                    raise node.error(field, f'{reference}: step "{step}" has no output "{source}"{known}')
                return Binding(known_outputs[source].get("type") or "uri_folder", step=step, output=source)
        raise node.error(
            field,
            f"{reference}: not understood; use ${{{{parent.inputs.X}}}} or ${{{{parent.jobs.STEP.outputs.X}}}}",
        )

    def _owners(self, nodes: Mapping[str, _Node]) -> Iterator[tuple[str, tuple[str, str]]]:
        """Which step's output each of the pipeline's own outputs is."""
        for step, node in nodes.items():
            for name, value in node.node.outputs.items():
                data = getattr(value, "_data", None)
                path = getattr(data, "path", None)
                reference = whole(path if isinstance(path, str) else data)
                if reference is None:
                    continue
                *group, target = reference.parts
                if group != ["parent", "outputs"] or target not in self.job.outputs:
                    known = suggestion(target, self.job.outputs)
                    raise node.error(f"outputs.{name}", f'{reference}: the pipeline has no output "{target}"{known}')
                yield target, (step, name)

    def _check_order(self, steps: Mapping[str, Step]) -> None:
        try:
            TopologicalSorter({name: step.needs for name, step in steps.items()}).prepare()
        except CycleError as error:
            path = " -> ".join(reversed(error.args[1]))
            raise self.error("jobs", f"the steps wait for each other in a circle: {path}") from error


def _type(data: Any) -> str | None:
    return None if isinstance(data, str) else getattr(data, "type", None)


def suggestion(name: str, known: Mapping[str, Any]) -> str:
    """`; did you mean "x"?`, or what there is, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; there is {', '.join(known)}" if known else ""


def literal_problem(text: str, declared: Mapping[str, Any]) -> str | None:
    """Why `text` is no value for an input declared with type, min, max and enum; None when it is one."""
    kind = declared.get("type")
    number: float
    if kind == "boolean":
        return None if text.lower() in ("true", "false") else f'"{text}" is not a boolean; write true or false'
    if kind in ("integer", "number"):
        try:
            number = int(text) if kind == "integer" else float(text)
        except ValueError:
            return f'"{text}" is not {"an integer" if kind == "integer" else "a number"}'
        low, high = declared.get("min"), declared.get("max")
        if low is not None and number < float(low):
            return f"{text} is below the least value allowed, {low}"
        if high is not None and number > float(high):
            return f"{text} is above the greatest value allowed, {high}"
    choices = declared.get("enum")
    if choices and text not in [str(choice) for choice in choices]:
        return f'"{text}" is not one of {", ".join(str(choice) for choice in choices)}'
    return None


def environment_of(environment: Any, source: Path) -> dict[str, Any] | None:
    """What a job asks to run in, as plain data: `{"reference": ...}` for a name, else name, image, conda file."""
    if environment is None:
        return None
    if isinstance(environment, str):
        return {"reference": environment.removeprefix("azureml:")}
    conda = environment.conda_file
    if isinstance(conda, str):
        raise UserError(f"{at(source, 'environment.conda_file')}: no such file: {conda}")
    return {
        "name": environment.name,
        "version": environment.version,
        "image": environment.image,
        "conda_file": conda,
        "build": bool(environment.build),
        "source": str(relative(source)),
    }
