"""A job that azure-ai-ml has loaded becomes a plan: its pipelines flattened, every binding resolved and checked."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.core.errors import Absent, Problems, UserError
from amlocal.core.workspace import Workspace
from amlocal.specs.expressions import EXPRESSION, Reference
from amlocal.specs.kinds import NODE_KINDS
from amlocal.specs.literals import suggestion
from amlocal.specs.load import at
from amlocal.specs.nodes import Node
from amlocal.specs.placed import (
    BROKEN,
    EnvironmentProblem,
    Faults,
    Placed,
    called,
    check_defaults,
    component_of,
    data_of,
    declared_type,
    flat,
    reference_of,
    source_of,
    type_of,
    typed,
    written_inputs,
)
from amlocal.specs.plan import Binding, Group, Owners, Plan, Step


def plan(
    job: Any, workspace: Workspace, strict: bool = True, environment_problem: EnvironmentProblem | None = None
) -> Plan:
    """The plan of a command, sweep or pipeline job.

    Checks what azure-ai-ml leaves to the service: literal types and limits, enum values, unknown and missing inputs,
    undefined bindings, cycles, files that are not there. Raises Problems, each with file, line, field and remedy.
    Not strict: an input or output that nothing declares is left out with a notice, as Azure leaves it out.
    environment_problem: what is wrong with the environment of a step, `environments.problem`; without it none is
    looked at.
    """
    if hasattr(job, "_to_job") and job.type == "pipeline":
        job = job._to_job()  # a pipeline component, called and handed in as a job
    faults = Faults(environment_problem)
    if job.type == "pipeline":
        made = _pipeline(job, workspace, faults)
    elif job.type in NODE_KINDS and NODE_KINDS[job.type].alone:
        made = _single(job, workspace, faults)
    else:
        known = ", ".join(name for name, kind in NODE_KINDS.items() if kind.alone)
        raise Absent(
            f'{at(source_of(job), "type")}: a job of type "{job.type}" is not emulated here; {known} and pipeline are'
        )
    if strict:  # what Azure lets pass is a note, as is what is not here
        faults.each += faults.forgiven
        faults.absent |= {line: Absent(line) for line in faults.forgiven}
    faults.raise_any()
    assert made is not None, "without a fault there is a plan"
    return replace(made, notices=tuple(faults.forgiven))


def _single(job: Any, workspace: Workspace, faults: Faults) -> Plan | None:
    """A job that is no pipeline."""
    source, base = source_of(job), Path(job.base_path or ".")
    kind = NODE_KINDS[job.type]
    component = kind.component_of_job(job)
    if isinstance(component, str):
        component = component_of(component, workspace)
    node = kind(job, "", "", source, base, workspace, component)
    given: dict[str, Binding] = {}
    for name, data in written_inputs(job, node.inputs):
        with faults.gathering():
            if name not in node.inputs:
                faults.unknown("input", name, node, node.inputs, node.called)
                continue
            reference = reference_of(data)
            given[name] = BROKEN
            if reference:
                raise node.error(f"inputs.{name}", f"{reference}: only the steps of a pipeline are bound to others")
            given[name] = node.literal_or_path(name, data, node.inputs[name])
    outputs = {}
    for name, declared in component.outputs.items():
        data = data_of(job.outputs.get(name)) if job.outputs else None
        if uris.ARTIFACTS.fullmatch(str(getattr(data, "path", None) or "")):
            continue  # the default output of a job that `get` gave, which each job has of its own
        with faults.gathering():
            outputs[name] = node.output(name, type_of(data) or declared_type(declared), data)
    step = node.step(given, outputs, faults)
    return Plan(job.type, {"": step}, inputs=step.inputs) if step else None


def _pipeline(job: Any, workspace: Workspace, faults: Faults) -> Plan | None:
    component = job.component  # which may be of a file of its own: `component: pipeline.yml`
    steps_base = Path(getattr(component, "base_path", None) or job.base_path or ".")
    level = Level(job, "", source_of(component, source_of(job)), steps_base, workspace, faults)
    level.place = Placed("", source_of(job), Path(job.base_path or "."), workspace)
    if not level.children and not faults.each:
        raise level.error("jobs", "a pipeline without steps; add at least one")
    for name, value in flat(job.inputs).items():
        level.given[name] = BROKEN
        with faults.gathering():
            level.given[name] = level.place.literal_or_path(name, data_of(value))
    for name, value in job.outputs.items():
        level.places[name] = data_of(value)
    steps = dict(level.steps())
    with faults.gathering():
        owners = level.owners()
    if faults.broken:
        faults.raise_any()
    with faults.gathering():
        _check_order(level, steps)
    settings = job.settings
    return Plan(
        "pipeline",
        steps,
        owners,
        level.given,
        dict(level.groups()),
        force_rerun=bool(settings and settings.force_rerun),
        continue_on_step_failure=bool(settings and settings.continue_on_step_failure),
    )


def _check_order(level: "Level", steps: Mapping[str, Step]) -> None:
    """Raises UserError for steps of a level, pipelines among them, that wait for each other; Azure runs them whole."""
    needs: dict[str, set[str]] = {key: set() for key in level.children}
    prefix = f"{level.name}." if level.name else ""
    for name, step in steps.items():
        if name.startswith(prefix):
            own = name.removeprefix(prefix).partition(".")[0]
            inside = (need.removeprefix(prefix).partition(".")[0] for need in step.needs if need.startswith(prefix))
            needs[own] |= {need for need in inside if need != own or need in step.needs}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        path = " -> ".join(reversed(error.args[1]))
        raise level.error("jobs", f"the steps wait for each other in a circle: {path}") from error
    for child in level.children.values():
        if isinstance(child, Level):
            _check_order(child, steps)


class Level(Placed):
    """One level of a pipeline: the job itself, or a pipeline component that is one of its nodes.

    name: "" or the path of the node, "outer.inner". given, places: what the level above has bound to its inputs, and
    where it wants its outputs.
    """

    def __init__(
        self, pipeline: Any, name: str, source: Path, base: Path, workspace: Workspace, faults: Faults
    ) -> None:
        super().__init__("", source, base, workspace)
        self.pipeline, self.name, self.faults = pipeline, name, faults
        self.node: Any = None
        self.place: Placed = self
        self.given: dict[str, Binding] = {}
        self.places: dict[str, Any] = {}
        self.children: dict[str, Node | Level] = {}
        self.asking: list[str] = []  # the inputs, each bound to the next one's, that are being looked up
        for key, child in pipeline.jobs.items():
            with faults.gathering():
                self.children[key] = self._child(key, child)

    def _child(self, key: str, node: Any) -> "Node | Level":
        prefix = f"jobs.{key}."
        path = f"{self.name}.{key}" if self.name else key
        if node.type not in (*NODE_KINDS, "pipeline"):
            known = ", ".join((*NODE_KINDS, "pipeline"))
            told = f'a step of type "{node.type}" is not emulated here; {known} are'
            raise self.placed(f"{prefix}type", Absent(told))
        component = node._component
        if isinstance(component, str):
            try:
                component = component_of(component, self.workspace)
            except UserError as error:
                raise self.placed(f"{prefix}component", error) from error
        if node.type != "pipeline":
            return NODE_KINDS[node.type](node, path, prefix, self.source, self.base, self.workspace, component)
        base = Path(getattr(component, "base_path", None) or self.base)
        level = Level(component, path, source_of(component, self.source), base, self.workspace, self.faults)
        level.node, level.place = node, Placed(prefix, self.source, self.base, self.workspace)
        return level

    @property
    def called(self) -> str:
        return called(self.pipeline, self.place.source, "the pipeline")

    @property
    def inputs(self) -> Mapping[str, Any]:
        return flat(self.pipeline.inputs)

    @property
    def outputs(self) -> Mapping[str, Any]:
        return self.pipeline.outputs

    def steps(self) -> Iterator[tuple[str, Step]]:
        """Every step of this level and of those below it, by its name in the plan."""
        for child in self.children.values():
            given, places = self._bindings(child), self._places(child)
            if isinstance(child, Level):
                child.given = child.checked(given)
                child.places = places
                yield from child.steps()
                continue
            outputs = {}
            for name, declared in child.outputs.items():
                with self.faults.gathering():
                    kind = declared_type(declared) or "uri_folder"
                    outputs[name] = child.output(name, type_of(places.get(name)) or kind, places.get(name))
            step = child.step(given, outputs, self.faults)
            if step:
                yield child.name, step

    def groups(self) -> Iterator[tuple[str, Group]]:
        for child in self.children.values():
            if isinstance(child, Level):
                title = child.node.display_name or getattr(child.pipeline, "display_name", None)
                yield child.name, Group(title, child.owners())
                yield from child.groups()

    def checked(self, given: Mapping[str, Binding]) -> dict[str, Binding]:
        """What the level above has given, as this one declares it."""
        known = {}
        check_defaults(self.pipeline, self.error, self.faults)
        for name, declared in self.inputs.items():
            known[name] = BROKEN
            with self.faults.gathering():
                known[name] = typed(name, declared, given.get(name), self.place, self.called)
        return known

    def _bindings(self, child: "Node | Level") -> dict[str, Binding]:
        place, found = child.place, {}
        for name, data in written_inputs(child.node, child.inputs):
            with self.faults.gathering():
                if name not in child.inputs:
                    if not hasattr(getattr(child, "component", None), "flow"):  # whose inputs only Azure knows
                        self.faults.unknown("input", name, place, child.inputs, child.called)
                    continue
                found[name] = BROKEN
                found[name] = self._binding(place, name, data, child.inputs[name])
        return found

    def _binding(self, place: Placed, name: str, data: Any, declared: Any) -> Binding:
        reference = reference_of(data)
        if reference:
            return self._bound(place, name, reference)
        if isinstance(data, str) and "${{" in data:
            return self._joined(place, name, data)
        return place.literal_or_path(name, data, declared)

    def _joined(self, place: Placed, name: str, text: str) -> Binding:
        """A text with references in it: the pipeline's literals, put in."""

        def meaning(match: re.Match[str]) -> str:
            reference = Reference(tuple(match.group(1).split(".")))
            bound = self._bound(place, name, reference)
            if bound is BROKEN:
                return ""
            if bound.literal is None:
                raise place.error(f"inputs.{name}", f"{reference}: only a literal can stand inside a text")
            return bound.literal

        return Binding("string", literal=EXPRESSION.sub(meaning, text))

    def _bound(self, place: Placed, name: str, reference: Reference) -> Binding:
        field = f"inputs.{name}"
        match reference.parts:
            case ("parent", "inputs", *rest):
                source = ".".join(rest)
                if source not in self.inputs:
                    known = suggestion(source, self.inputs)
                    raise place.error(field, f'{reference}: the pipeline has no input "{source}"{known}')
                return self.given.get(source, Binding("string"))
            case ("parent", "jobs", step, ("outputs" | "inputs") as group, *rest) if rest:
                source = ".".join(rest)
                child = self.children.get(step)
                if child is None:
                    if step in self.pipeline.jobs:
                        return BROKEN  # that step's own fault has been told
                    raise place.error(
                        field, f'{reference}: no step is called "{step}"{suggestion(step, self.children)}'
                    )
                if group == "inputs":
                    if source not in child.inputs:
                        known = suggestion(source, child.inputs)
                        raise place.error(field, f'{reference}: step "{step}" has no input "{source}"{known}')
                    return self._same_as(step, child, source)
                if source not in child.outputs:
                    known = suggestion(source, child.outputs)
                    raise place.error(field, f'{reference}: step "{step}" has no output "{source}"{known}')
                kind = declared_type(child.outputs[source]) or "uri_folder"
                owner, output = child.owners()[source] if isinstance(child, Level) else (child.name, source)
                return Binding(kind, step=owner, output=output)
        raise place.error(
            field,
            f"{reference}: not understood; use ${{{{parent.inputs.X}}}} or ${{{{parent.jobs.STEP.outputs.X}}}}",
        )

    def _same_as(self, step: str, child: "Node | Level", name: str) -> Binding:
        """What another step's input is bound to. Raises UserError for inputs that are each other's in a circle."""
        asked = f"{step}.inputs.{name}"
        if asked in self.asking:
            circle = self.asking[self.asking.index(asked) :]
            first = circle.index(min(circle))  # told the same from wherever it is entered
            path = " -> ".join((*circle[first:], *circle[:first], circle[first]))
            raise self.error("jobs", f"the inputs are bound to each other in a circle: {path}")
        self.asking.append(asked)
        try:
            given = self._binding(child.place, name, data_of(flat(child.node.inputs).get(name)), child.inputs[name])
        finally:
            self.asking.pop()
        return typed(name, child.inputs[name], given, child.place, child.called)

    def _places(self, child: "Node | Level") -> dict[str, Any]:
        """Where the outputs of a node go, as its file says or, bound to one of ours, as we were told."""
        places = {}
        for name in getattr(child.node, "_job_outputs", None) or {}:
            if name not in child.outputs and not hasattr(getattr(child, "component", None), "flow"):
                self.faults.unknown("output", name, child.place, child.outputs, child.called)
        for name in child.outputs:
            data = data_of(child.node.outputs.get(name))
            reference = reference_of(data)
            places[name] = self.places.get(reference.parts[-1]) if reference else data
        return places

    def owners(self) -> Owners:
        """Which step's output each of this level's own outputs is. Raises UserError for one that nobody writes."""
        found: Owners = {}
        for key, child in self.children.items():
            for name, value in child.node.outputs.items():
                reference = reference_of(data_of(value))
                if reference is None:
                    continue
                *group, target = reference.parts
                if group != ["parent", "outputs"] or target not in self.outputs:
                    known = suggestion(target, self.outputs)
                    raise self.error(
                        f"jobs.{key}.outputs.{name}", f'{reference}: the pipeline has no output "{target}"{known}'
                    )
                if target in found:
                    raise self.error(
                        f"jobs.{key}.outputs.{name}", f'another step writes the pipeline\'s output "{target}" already'
                    )
                found[target] = child.owners()[name] if isinstance(child, Level) else (child.name, name)
        missing = [name for name in self.outputs if name not in found]
        if missing and len(self.children) == len(self.pipeline.jobs):  # a step that is not known might write it
            told = "no step's output is bound to it; bind one or remove it"
            unbound = [str(self.error(f"outputs.{name}", told)) for name in missing]
            if self.name:
                raise Problems(unbound)
            self.faults.forgiven += unbound  # of a job: Azure takes it, and nobody writes it
        return found
