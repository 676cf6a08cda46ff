"""One node of a job (a command, a sweep, a parallel step) becomes a Step, checked as Azure would check it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.assets.store import Assets
from amlocal.core.errors import Problems, UserError
from amlocal.core.workspace import Workspace
from amlocal.specs.expressions import references, whole
from amlocal.specs.literals import literal_problem, suggestion
from amlocal.specs.load import at, revive
from amlocal.specs.plan import DATA_TYPES, FILE_TYPES, Binding, Output, Step
from amlocal.specs.settings import distribution_of, environment_of, parallel_of, sweep_of

TEMPLATES = ("name", "output_name", "default_datastore")  # what ${{...}} may stand for in the path of an output
ANONYMOUS = "azureml_anonymous"
BUILT_IN_PYTHON = Path("(job built in Python)")


# Stands for an input whose fault has been told, so that what follows from it is not told as well.
BROKEN = Binding("broken")


class Faults:
    """What is wrong with a job, gathered so that one look shows everything."""

    def __init__(self) -> None:
        self.each: list[str] = []
        self.forgiven: list[str] = []  # what Azure lets pass, though nobody can have meant it

    @contextmanager
    def gathering(self) -> Iterator[None]:
        try:
            yield
        except UserError as error:
            told = error.each if isinstance(error, Problems) else [str(error)]
            self.each += [line for line in told if line not in self.each]

    def unknown_input(self, name: str, place: "Placed", known: Mapping[str, Any], called: str) -> None:
        """azure-ai-ml leaves out an input that the component does not declare, without a word."""
        error = place.error(f"inputs.{name}", f"{called} has no such input{suggestion(name, known)}")
        self.forgiven.append(str(error))

    def raise_any(self) -> None:
        if self.each:
            raise Problems(self.each)


def source_of(entity: Any, otherwise: Path = BUILT_IN_PYTHON) -> Path:
    """The file an entity was loaded from, for messages."""
    return Path(getattr(entity, "_source_path", None) or otherwise)


def data_of(value: Any) -> Any:
    """What was given for an input or output of a node; a binding made in Python comes as its `${{...}}`."""
    data = getattr(value, "_data", value)
    return data._data_binding() if hasattr(data, "_data_binding") else data


def reference_of(data: Any) -> Any:
    """The one reference that `data` (a text, or data whose path is one) consists of."""
    path = getattr(data, "path", None)
    return whole(path if isinstance(path, str) else data)


def type_of(data: Any) -> str | None:
    return None if isinstance(data, str) else getattr(data, "type", None)


def written_inputs(node: Any, known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The inputs of a node as its file gives them, known to the component or not."""
    # azure-ai-ml drops what the component does not know; it is still among what the user wrote
    for name in getattr(node, "_job_inputs", None) or {}:
        if name not in known and name not in node.inputs:
            yield name, None
    for name in node.inputs:
        yield name, data_of(node.inputs[name])


def declared_type(declared: Any) -> str | None:
    """The type of a component's output: a mapping in files, an object where Python has made the component."""
    return declared.get("type") if isinstance(declared, Mapping) else type_of(declared)


class Placed:
    """Something that stands at a place in a file: how its faults are told, how its literals and paths are read."""

    def __init__(self, prefix: str, source: Path, base: Path, workspace: Workspace) -> None:
        self.prefix, self.source, self.base, self.workspace = prefix, source, base, workspace

    def error(self, field: str, message: str) -> UserError:
        return UserError(f"{at(self.source, f'{self.prefix}{field}')}: {message}")

    def literal_or_path(self, name: str, value: Any) -> Binding:
        if value is None:
            return Binding("string")
        path = getattr(value, "path", None)
        if hasattr(value, "type") and not isinstance(value, str):
            if value.type in DATA_TYPES:
                return Binding(value.type, path=self.path(name, path, value.type) if path else None)
            return Binding(value.type, literal=None if value.default is None else str(value.default))
        return Binding("string", literal=str(value))

    def path(self, name: str, uri: str, kind: str) -> str:
        """Where an input lies: a path on this disk, or an address that is fetched when the step runs."""
        if uris.SHORT.fullmatch(str(uri)) and not Path(self.base, uri).exists():
            # azure-ai-ml, reading a file, takes away an asset's "azureml:".
            uri = f"azureml:{uri}"
        try:
            # only a parallel step reads an MLTable itself; for others, as on Azure, it is a folder
            path = uris.locate(self.workspace, str(uri), self.base, "uri_folder" if kind == "mltable" else kind)
        except UserError as error:
            raise self.error(f"inputs.{name}", str(error)) from error
        if isinstance(path, str):
            return path
        if kind in ("uri_folder", "mltable") and not path.is_dir():
            raise self.error(f"inputs.{name}", f"{uri} is a file; a {kind} is a folder")
        if kind in FILE_TYPES and not path.is_file():
            raise self.error(f"inputs.{name}", f"{uri} is a folder; a {kind} is a file")
        return str(path)

    def output(self, name: str, kind: str | None, data: Any) -> Output:
        """What a step writes, at its own place or at one in a datastore."""
        path = getattr(data, "path", None)
        if path:
            for reference in references(path):
                if ".".join(reference.parts) not in TEMPLATES:
                    raise self.error(f"outputs.{name}", f"{reference}: a path knows {', '.join(TEMPLATES)}")
            match = uris.DATASTORE.fullmatch(path)
            if not match:
                raise self.error(
                    f"outputs.{name}", f"{path}: not understood; use azureml://datastores/STORE/paths/PATH"
                )
            if match["store"] != "${{default_datastore}}":
                try:
                    uris.datastore(self.workspace, match["store"], path)
                except UserError as error:
                    raise self.error(f"outputs.{name}", str(error)) from error
        named = None if isinstance(data, str) else data
        version = getattr(named, "version", None)
        return Output(
            kind or "uri_folder", path, getattr(named, "name", None), None if version is None else str(version)
        )


def component_of(reference: str, workspace: Workspace) -> Any:
    """A component of the workspace, by `azureml:name:version` or `azureml:name@latest`. Raises UserError."""
    named = uris.named(reference) or uris.named(f"azureml:{reference}")
    if not named:
        raise UserError(f"{reference}: not understood; use azureml:NAME:VERSION or a file")
    spec = Assets(workspace, "component").get(named.name, named.version, named.label)
    return revive("component", {key: value for key, value in spec.items() if key != "creation_context"})


def called(component: Any, source: Path, otherwise: str = "the command") -> str:
    """A component in words; one that was given as a file has lost its name to azure-ai-ml."""
    if component.name != ANONYMOUS:
        return f"component {component.name}"
    own = source_of(component, source)
    return f"component {own.name}" if own != source else otherwise


class Node(Placed):
    """A node that runs something by itself, on its way to a Step. name: the step's in the plan."""

    def __init__(
        self, node: Any, name: str, prefix: str, source: Path, base: Path, workspace: Workspace, component: Any
    ) -> None:
        super().__init__(prefix, source, base, workspace)
        self.node, self.name, self.component = node, name, component
        self.called = called(component, source)
        self.component_source = source_of(component, source)
        self.sweep = sweep_of(node, self) if node.type == "sweep" else None

    @property
    def inputs(self) -> Mapping[str, Any]:
        return self.component.inputs

    @property
    def outputs(self) -> Mapping[str, Any]:
        return self.component.outputs

    @property
    def place(self) -> Placed:
        """Where the node itself stands, for what is told about its inputs."""
        return self

    def own(self, field: str) -> Any:
        """A setting of the node, or where it has none, of its component."""
        mine = getattr(self.node, field, None)
        # a node of azure-ai-ml's answers {} for what it does not know
        return mine if mine not in (None, {}) else getattr(self.component, field, None) or None

    def step(self, given: Mapping[str, Binding], outputs: dict[str, Output], faults: Faults) -> Step | None:
        """The checked step; None, with the reasons among `faults`, when it is not sound."""
        component, node = self.component, self.node
        before = len(faults.each)
        inputs: dict[str, Binding] = {}
        for name, declared in component.inputs.items():
            with faults.gathering():
                inputs[name] = self.binding(name, declared, given)
        code, parallel, environment, distribution = None, None, None, None
        with faults.gathering():
            if node.type == "parallel":
                parallel = parallel_of(self)
            else:
                self.check_expressions("command", component.command)
        task = self.own("task") if node.type == "parallel" else component
        if task is not None:
            with faults.gathering():
                code = self._code(task)
            with faults.gathering():
                environment = environment_of(task.environment, self.component_source)
        with faults.gathering():
            distribution = distribution_of(self)
        if parallel:
            with faults.gathering():
                self._check_table(inputs.get(parallel.input))
            with faults.gathering():
                self._check_entry_script(parallel.entry_script, code)
        if len(faults.each) > before:
            return None
        variables = {
            **(getattr(component, "environment_variables", None) or {}),
            **(getattr(node, "environment_variables", None) or {}),
        }
        limits = getattr(node, "limits", None)
        timeout = limits and (limits.trial_timeout if self.sweep else limits.timeout)
        notices = []
        if getattr(node, "services", None):
            notices.append(f"services ({', '.join(node.services)}): started in Azure only; this job runs without them")
        return Step(
            name=self.name,
            includes=tuple(self._includes()),
            command="" if parallel else component.command,
            code=code,
            environment=environment,
            inputs=inputs,
            outputs=outputs,
            environment_variables={key: str(value) for key, value in variables.items()},
            display_name=node.display_name or getattr(component, "display_name", None),
            component=f"{component.name}:{component.version}" if component.name != ANONYMOUS else None,
            deterministic=getattr(component, "is_deterministic", None) is not False,
            timeout=float(timeout) if timeout else None,
            notices=tuple(notices),
            distribution=distribution,
            sweep=self.sweep,
            parallel=parallel,
        )

    def binding(self, name: str, declared: Mapping[str, Any], given: Mapping[str, Binding]) -> Binding:
        """What the input called `name` is bound to, defaults and the declared type considered."""
        if self.sweep and name in self.sweep.space:
            return Binding("string")  # each trial has its own
        return typed(name, declared, given.get(name), self, self.called)

    def _check_entry_script(self, script: str, code: str | None) -> None:
        if code and not Path(code, script).is_file() and not any(self._includes()):
            raise self.error("task.entry_script", f"no such file in the code folder: {script}")

    def _check_table(self, data: Binding | None) -> None:
        if data and data.type == "mltable" and data.path and "://" not in data.path:
            from amlocal.assets import mltable

            try:
                mltable.check(Path(data.path))
            except UserError as error:
                raise self.error("input_data", str(error)) from error

    def _includes(self) -> Iterator[str]:
        """What `additional_includes` puts beside the code."""
        for include in getattr(self.component, "additional_includes", None) or []:
            if not isinstance(include, str):
                raise UserError(f"{at(self.component_source, 'additional_includes')}: artifact feeds are not emulated")
            yield str((Path(getattr(self.component, "base_path", None) or self.base) / include).resolve())

    def _code(self, task: Any) -> str | None:
        code = task.code
        if code is None:
            return None
        base = Path(getattr(self.node, "_base_path", None) or self.base)
        if task is self.component or task is getattr(self.component, "task", None):
            base = Path(getattr(self.component, "base_path", None) or base)
        path = (base / str(code).removeprefix("file:")).resolve()
        if not path.exists():
            raise UserError(f"{at(self.component_source, 'code')}: no such folder: {code}")
        return str(path)

    def check_expressions(self, field: str, text: str | None) -> None:
        known = {"inputs": self.component.inputs, "outputs": self.component.outputs}
        if self.sweep:
            known["search_space"] = self.sweep.space
        for reference in references(text or ""):
            group, *rest = reference.parts
            if group not in known or not rest:
                places = " and ".join(f"${{{{{place}.NAME}}}}" for place in known)
                problem = f"a command knows {places}"
            elif (named := ".".join(rest)) not in known[group]:
                problem = f'no {group.removesuffix("s")} is called "{named}"{suggestion(named, known[group])}'
            else:
                continue
            raise UserError(f"{at(self.component_source, field)}: {reference}: {problem}")


def typed(name: str, declared: Mapping[str, Any], binding: Binding | None, place: Placed, called: str) -> Binding:
    """`binding` as the declared input takes it. Raises UserError where it does not."""
    kind = str(declared.get("type") or "string")
    if binding is BROKEN:
        return binding
    if binding is None or binding.absent:
        default = declared.get("default")
        if default is not None:
            problem = literal_problem(str(default), declared)
            if problem:
                raise place.error("inputs", f'{called}: the default of "{name}": {problem}')
            return Binding(kind, literal=str(default))
        if declared.get("optional"):
            return Binding(kind)
        raise place.error("inputs", f'{called} requires an input "{name}"; give it a value')
    if kind in DATA_TYPES:
        if binding.literal is not None:
            return Binding(kind, path=place.path(name, binding.literal, kind))
        return Binding(kind, path=binding.path, step=binding.step, output=binding.output)
    if binding.literal is None:
        if binding.step:  # a primitive that a step has written is not emulated, nor is data where a word is wanted
            raise place.error(f"inputs.{name}", f"{called} wants a {kind} here, not the output of a step")
        raise place.error(f"inputs.{name}", f"{called} wants a {kind} here, not data")
    problem = literal_problem(binding.literal, declared)
    if problem:
        raise place.error(f"inputs.{name}", problem)
    return Binding(kind, literal=binding.literal)
