"""A checked job, as plain data: flat steps with their bindings, free of azure-ai-ml, kept as JSON beside the record."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from amlocal.core.records import as_record

FOLDER_TYPES = ("uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model")
FILE_TYPES = ("uri_file",)
ANY_TYPES = ("path",)  # azure-ai-ml's LegacyAssetTypes: a file or a folder
DATA_TYPES = FOLDER_TYPES + FILE_TYPES + ANY_TYPES


@dataclass(frozen=True)
class Binding:
    """Where a step's input comes from: a literal, a path or an address, another step's output, or (all None) nowhere.

    path: on this disk; or, still to be fetched when the job runs, an address that begins with a scheme.
    """

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
    """What a step writes: its type, a path if the spec names one (else the job's own folder in the datastore).

    name, version: the data asset that it becomes when the job has completed.
    """

    type: str
    path: str | None = None
    name: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Distribution:
    """One command as several processes. kind: tensorflow, pytorch or mpi; spec: its own fields."""

    kind: str
    spec: dict[str, Any]
    instances: int


@dataclass(frozen=True)
class Step:
    """One thing to run.

    type: its kind, which decides how it is run; settings: what is of this kind alone (`specs.kinds`), as plain data.
    name: unique in the plan; a step inside pipeline components carries their names, `outer.inner.step`.
    code: its folder; includes: what else goes into a copy of it.
    sources: where the copy's files come from, by their place in it ("" is all of it): a debugger shows those.
    timeout: seconds, after which it is canceled.
    """

    name: str
    command: str = ""
    code: str | None = None
    environment: dict[str, Any] | None = None
    includes: tuple[str, ...] = ()
    inputs: dict[str, Binding] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    environment_variables: dict[str, str] = field(default_factory=dict)
    display_name: str | None = None
    component: str | None = None
    deterministic: bool = True
    timeout: float | None = None
    notices: tuple[str, ...] = ()
    distribution: Distribution | None = None
    type: str = "command"
    settings: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> set[str]:
        """The steps whose outputs this one reads."""
        return {binding.step for binding in self.inputs.values() if binding.step}


Owners = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Group:
    """A pipeline component used as a step. outputs: which step's output each of its own is."""

    display_name: str | None = None
    outputs: Owners = field(default_factory=dict)


@dataclass(frozen=True)
class Debug:
    """The step of a plan that waits for a debugger, and for which."""

    step: str
    debugger: str


@dataclass(frozen=True)
class Plan:
    """What the runner runs. A command or sweep job is a plan of one step, called "", and no outputs of its own.

    Pipelines inside pipelines are flattened: their steps stand among the others, and `groups` says who they belong to.
    """

    type: str
    steps: dict[str, Step]
    outputs: Owners = field(default_factory=dict)
    inputs: dict[str, Binding] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    force_rerun: bool = False
    continue_on_step_failure: bool = False
    debug: Debug | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_plan(value: Any, path: Path) -> Plan:
    """The plan that `Plan.to_json` wrote to the file `path`. Raises UserError for a damaged one."""
    steps = value.get("steps") if isinstance(value, dict) else None
    if isinstance(steps, dict):
        value = {**value, "steps": {name: _upgraded(step) for name, step in steps.items()}}
    return as_record(value, Plan, path)


def _upgraded(step: Any) -> Any:
    """A step as it is written now: plans of amlocal 0.1 had a field for each kind of job."""
    for kind in ("sweep", "parallel"):
        if isinstance(step, dict) and step.get(kind):
            return {**step, "type": kind, "settings": step[kind]}
    return step
