"""A parallel step: a script that is called for one mini batch of its input after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from amlocal.assets import mltable
from amlocal.core.errors import Absent, UserError
from amlocal.specs.expressions import whole, words
from amlocal.specs.nodes import Node
from amlocal.specs.plan import Binding, Step


@dataclass(frozen=True)
class Parallel:
    """What is called, on what, and where its answers go. settings: those of `jobs.parallel`.

    row_file: what the file of rows is called in the folder `append_row_to`; None: Azure's own name for it.
    output_variables: environment variables that tell the script where an output lies.
    fresh: the file of rows must not be there yet, as a batch endpoint's must not.
    """

    entry_script: str
    arguments: str
    input: str
    append_row_to: str | None
    settings: dict[str, Any] = field(default_factory=dict)
    row_file: str | None = None
    output_variables: dict[str, str] = field(default_factory=dict)
    fresh: bool = False


class ParallelNode(Node):
    """A node that is a parallel step: it has a task, with an entry script, where others have a command."""

    alone = False
    command = ""

    @classmethod
    def complete(cls, shown: dict[str, Any], step: Step, as_job: bool) -> None:
        if shown.get("task"):  # azure-ai-ml writes `azureml:./folder`, which it cannot read again
            shown["task"]["code"] = step.code

    @property
    def task(self) -> Any:
        return self.own("task")

    def settings(self) -> dict[str, Any]:
        return asdict(parallel_of(self))

    def checks(
        self, settings: Mapping[str, Any], inputs: Mapping[str, Binding], code: str | None
    ) -> Sequence[Callable[[], None]]:
        return (
            partial(self._check_table, inputs.get(settings["input"])),
            partial(self._check_entry_script, settings["entry_script"], code),
        )

    def _check_entry_script(self, script: str, code: str | None) -> None:
        if code and not has_script(Path(code), script) and not any(self.includes()):
            raise self.error("task.entry_script", f"no such file in the code folder: {script}")

    def _check_table(self, data: Binding | None) -> None:
        if data and data.type == "mltable" and data.path and "://" not in data.path:
            try:
                mltable.check(Path(data.path))
            except UserError as error:
                raise self.error("input_data", str(error)) from error


def has_script(code: Path, entry: str) -> bool:
    """Whether an entry script, named by its path or as a module (`package.main`), is in the code folder."""
    return Path(code, entry).is_file() or Path(code, f"{entry.replace('.', '/')}.py").is_file()


def parallel_of(node: Node) -> Parallel:
    """What the parallel step `node` asks for. Raises UserError where it is not sound."""
    task = node.own("task")
    if hasattr(node.component, "flow"):
        raise node.placed("component", Absent("a flow as a component is not emulated here"))
    if task is None or not task.entry_script:
        raise node.error("task", "required: run_function with an entry_script")
    if task.type not in (None, "run_function", "function"):
        raise node.placed("task.type", Absent(f"{task.type}: not emulated; run_function is"))
    node.check_expressions("task.program_arguments", task.program_arguments)
    try:
        words(task.program_arguments or "", lambda _: "")
    except ValueError as error:
        raise node.error("task.program_arguments", f"not a command line: {error}") from error
    data = whole(node.own("input_data"))
    group, name = (data.parts[0], ".".join(data.parts[1:])) if data else ("", "")
    if group != "inputs" or name not in node.inputs:
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
        "concurrency": int(each) * node.instances if each else None,
        "logging_level": node.own("logging_level"),
    }
    return Parallel(
        entry_script=task.entry_script,
        arguments=task.program_arguments or "",
        input=name,
        append_row_to=append.parts[-1] if append else None,
        settings={key: value for key, value in settings.items() if value is not None},
    )
