"""What a sweep, a parallel step or an environment asks for, as plain data; what is wrong with it, told at its place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from amlocal.core.errors import UserError
from amlocal.specs.expressions import whole, words
from amlocal.specs.load import at, relative
from amlocal.specs.plan import Distribution, Parallel, Sweep

DISTRIBUTIONS = ("tensorflow", "pytorch", "mpi")
SWEEP_TRIALS, SWEEP_CONCURRENT = 1000, 10  # where the file is silent, as far as Azure allows


class Node(Protocol):
    """What is asked of a node of a job here; `nodes.Node` is one."""

    @property
    def inputs(self) -> Mapping[str, Any]: ...

    @property
    def outputs(self) -> Mapping[str, Any]: ...

    def error(self, field: str, message: str) -> UserError: ...

    def own(self, field: str) -> Any: ...

    def check_expressions(self, field: str, text: str | None) -> None: ...


def sweep_of(node: Any, place: Node) -> Sweep:
    from amlocal.specs import sampling, termination

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


def parallel_of(node: Node) -> Parallel:
    task = node.own("task")
    if task is None or not task.entry_script:
        raise node.error("task", "required: run_function with an entry_script")
    if task.type not in (None, "run_function", "function"):
        raise node.error("task.type", f"{task.type}: not emulated; run_function is")
    node.check_expressions("task.program_arguments", task.program_arguments)
    try:
        words(task.program_arguments or "", lambda _: "")
    except ValueError as error:
        raise node.error("task.program_arguments", f"not a command line: {error}") from error
    data = whole(node.own("input_data"))
    if data is None or len(data.parts) != 2 or data.parts[1] not in node.inputs:
        raise node.error("input_data", f"{node.own('input_data')}: write ${{{{inputs.NAME}}}}, the data to be divided")
    append = whole(task.append_row_to)
    if task.append_row_to and (append is None or append.parts[-1] not in node.outputs):
        raise node.error("task.append_row_to", f"{task.append_row_to}: write ${{{{outputs.NAME}}}}")
    retry, each = node.own("retry_settings"), node.own("max_concurrency_per_instance")
    settings = {
        # azure-ai-ml gives 0 for what is not said
        "mini_batch_size": str(node.own("mini_batch_size")) if node.own("mini_batch_size") else None,
        "partition_keys": node.own("partition_keys"),
        "error_threshold": node.own("error_threshold"),
        "mini_batch_error_threshold": node.own("mini_batch_error_threshold"),
        "max_retries": getattr(retry, "max_retries", None),
        "timeout": getattr(retry, "timeout", None),
        "concurrency": int(each) * _instances(node) if each else None,
        "logging_level": node.own("logging_level"),
    }
    return Parallel(
        entry_script=task.entry_script,
        arguments=task.program_arguments or "",
        input=data.parts[1],
        append_row_to=append.parts[-1] if append else None,
        settings={key: value for key, value in settings.items() if value is not None},
    )


def distribution_of(node: Node) -> Distribution | None:
    from amlocal.specs import distribution as distributed

    given = node.own("distribution")
    if given is None:
        return None
    fields = given if isinstance(given, dict) else vars(given)
    kind = str(fields.get("type", "")).lower()
    if kind not in DISTRIBUTIONS:
        raise node.error("distribution.type", f"{kind}: not emulated; {', '.join(DISTRIBUTIONS)} are")
    spec = {key: value for key, value in fields.items() if key != "type"}
    try:
        distributed.processes(kind, spec, _instances(node))
    except UserError as error:
        raise node.error("distribution", str(error).removeprefix("distribution.")) from error
    return Distribution(kind, spec, _instances(node))


def _instances(node: Node) -> int:
    resources = node.own("resources")
    count = (
        resources.get("instance_count") if isinstance(resources, dict) else getattr(resources, "instance_count", None)
    )
    return int(count) if count else 1


def environment_of(environment: Any, source: Path) -> dict[str, Any] | None:
    """What a job asks to run in, as plain data: `{"reference": ...}` for a name, else all it says."""
    if environment is None:
        return None
    if isinstance(environment, str):
        return {"reference": environment.removeprefix("azureml:")}
    conda = environment.conda_file
    if isinstance(conda, str):
        raise UserError(f"{at(source, 'environment.conda_file')}: no such file: {conda}")
    build = environment.build
    return {
        "name": environment.name,
        "version": environment.version,
        "image": environment.image,
        "conda_file": conda,
        "build": {"path": str(environment.path or build.path), "dockerfile": build.dockerfile_path or "Dockerfile"}
        if build
        else None,
        "source": str(relative(source)),
    }
