"""A sweep: one command, run as trials that differ in the values they are given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from amlocal.core.workspace import Workspace
from amlocal.specs import sampling, termination
from amlocal.specs.nodes import Node
from amlocal.specs.placed import ANONYMOUS, Placed, data_of, flat, type_of
from amlocal.specs.plan import Binding, Step

SWEEP_TRIALS, SWEEP_CONCURRENT = 1000, 10  # where the file is silent, as far as Azure allows
TRIAL_FIELDS = ("command", "code", "environment", "environment_variables", "distribution", "resources")


@dataclass(frozen=True)
class Sweep:
    """A search for the best values: which, how, how many times, and when a trial is given up."""

    space: dict[str, dict[str, Any]]
    algorithm: dict[str, Any]
    goal: str
    metric: str
    total: int
    concurrent: int
    timeout: float | None = None
    termination: dict[str, Any] | None = None


class SweepNode(Node):
    """A node that is a sweep; its component is the trial."""

    def __init__(
        self, node: Any, name: str, prefix: str, source: Path, base: Path, workspace: Workspace, component: Any
    ) -> None:
        super().__init__(node, name, prefix, source, base, workspace, component)
        self.sweep = sweep_of(node, self)

    @classmethod
    def component_of_job(cls, job: Any) -> Any:
        return trial_of(job)

    @classmethod
    def complete(cls, shown: dict[str, Any], step: Step, as_job: bool) -> None:
        if isinstance(shown.get("trial"), dict):
            super().complete(shown["trial"], step, as_job)

    @property
    def timeout(self) -> Any:
        limits = getattr(self.node, "limits", None)
        return limits and limits.trial_timeout

    @property
    def known(self) -> dict[str, Mapping[str, Any]]:
        return {**super().known, "search_space": self.sweep.space}

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), **asdict(self.sweep)}

    def binding(self, name: str, declared: Mapping[str, Any], given: Mapping[str, Binding]) -> Binding:
        if name in self.sweep.space:
            return Binding("string")  # each trial has its own
        return super().binding(name, declared, given)


def trial_of(job: Any) -> Any:
    """What a sweep runs, as a component: in a file, a trial declares no inputs of its own; they are the job's."""
    trial = job._component if hasattr(job, "_component") else job.trial
    if isinstance(trial, str) or hasattr(trial, "inputs"):
        return trial
    return SimpleNamespace(
        **{field: getattr(trial, field, None) for field in TRIAL_FIELDS},
        name=ANONYMOUS,
        base_path=job.base_path,
        inputs={name: {"type": type_of(data_of(value)) or "string"} for name, value in flat(job.inputs).items()},
        outputs={name: {"type": type_of(data_of(value))} for name, value in (job.outputs or {}).items()},
    )


def sweep_of(node: Any, place: Placed) -> Sweep:
    """What the sweep `node` asks for. Raises UserError where it is not sound."""
    space = {name: _plain(value) for name, value in (node.search_space or {}).items()}
    if not space:
        raise place.error("search_space", "a sweep without values to search; name at least one")
    algorithm = node.sampling_algorithm or "random"
    algorithm = {"type": algorithm} if isinstance(algorithm, str) else _plain(algorithm)
    problem = sampling.problem(space, algorithm)
    if problem:
        raise place.error("search_space", problem)
    early = None if node.early_termination is None else _plain(node.early_termination)
    problem = termination.problem(early)
    if problem:
        raise place.error("early_termination", problem)
    if node.objective is None or not node.objective.primary_metric:
        raise place.error("objective", "required: the primary_metric to be improved, and the goal")
    limits = node.limits
    total = getattr(limits, "max_total_trials", None)
    if total is not None and int(total) < 1:
        raise place.error("limits.max_total_trials", f"{total}: at least 1")
    return Sweep(
        space=space,
        algorithm=algorithm,
        goal=str(node.objective.goal).lower(),
        metric=node.objective.primary_metric,
        total=SWEEP_TRIALS if total is None else int(total),
        concurrent=int(getattr(limits, "max_concurrent_trials", None) or SWEEP_CONCURRENT),
        timeout=float(limits.timeout) if getattr(limits, "timeout", None) else None,
        termination=early,
    )


def _plain(thing: Any) -> Any:
    """An object of azure-ai-ml's as the dictionary it was written as."""
    if isinstance(thing, dict):
        return {key: _plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_plain(value) for value in thing]
    if thing is None or isinstance(thing, (str, int, float, bool)):
        return getattr(thing, "value", thing)
    return {
        key.lstrip("_"): _plain(value)
        for key, value in vars(thing).items()
        if value is not None and key != "additional_properties"
    }
