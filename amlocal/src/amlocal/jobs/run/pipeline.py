"""A pipeline's run: its steps start as soon as what they read is there."""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Any

from amlocal.assets import uris
from amlocal.jobs.record import JobRecord
from amlocal.jobs.run.context import Context, Value
from amlocal.specs.plan import Owners, Step

POLL_SECONDS = 0.1
# Waiting costs nothing: what a step may use of the machine is for the context's slots to say.
THREADS = 16


def run(context: Context, step: Step, record: JobRecord, values: dict[str, Value]) -> None:
    """Run the pipeline that the whole job is; those inside it are flattened into its plan."""
    assert record is context.record
    PipelineRun(context).run()


def step_properties(component: str | None, pipeline: JobRecord, root: JobRecord) -> dict[str, str]:
    """What the run history of Azure says of a step; programs find a component's step by `azureml.moduleName`.

    component: its name and version, `name:version`; None without a name.
    """
    name, _, version = (component or "azureml_anonymous:1").partition(":")
    return {
        "azureml.moduleName": name,
        "azureml.moduleVersion": version,
        "azureml.pipeline": pipeline.name,
        "azureml.pipelinerunid": pipeline.name,
        "azureml.rootpipelinerunid": root.name,
        "azureml.runsource": "azureml.StepRun",
    }


class PipelineRun:
    """The pipeline, the pipelines inside it, and their steps; `records` by their names in the plan, "" its own."""

    def __init__(self, context: Context) -> None:
        self.context, self.plan = context, context.plan
        self.store, self.progress = context.store, context.progress
        self.records: dict[str, JobRecord] = {"": context.record}
        self.finished: set[str] = set()

    def run(self) -> None:
        self.progress.status(self.records[""], "Running")
        for name, group in self.plan.groups.items():
            self._create(name, "pipeline", group.display_name)
        for name, step in self.plan.steps.items():
            self._create(name, step.type, step.display_name, step.component)
        with ThreadPoolExecutor(max_workers=THREADS) as threads:
            try:
                self._run_steps(threads)
            except BaseException:
                self.context.stopping.set()  # or the threads would be waited for to the end of their steps
                raise
        self._close()

    def _create(self, name: str, kind: str, display_name: str | None, component: str | None = None) -> None:
        outer, _, own = name.rpartition(".")
        parent = self.records[outer]
        spec = (_dig(parent.spec, "jobs") or _dig(parent.spec, "component", "jobs") or {}).get(own) or {}
        of_step = step_properties(component, parent, self.records[""]) if name in self.plan.steps else None
        self.records[name] = self.context.child(parent, own, kind, display_name or own, spec, of_step)

    def _run_steps(self, threads: ThreadPoolExecutor) -> None:
        running: dict[Future[None], Step] = {}
        waiting = dict(self.plan.steps)
        while True:
            if self.store.canceled(self.records[""]):
                self.context.stopping.set()
            for step in self._ready(waiting):
                del waiting[step.name]
                self._begin_groups(step)
                self._say(f"Submitting 1 runs, first five are: {step.name}:{self.records[step.name].name}")
                running[threads.submit(self._run_step, step)] = step
            if not running:
                return
            done, _ = wait(running, POLL_SECONDS, FIRST_COMPLETED)
            for future in done:
                self._finish(running.pop(future), future)

    def _ready(self, waiting: dict[str, Step]) -> list[Step]:
        """The steps that can start now."""
        if self.context.stopping.is_set():
            return []
        return [step for step in waiting.values() if all(self._completed(need) for need in step.needs)]

    def _completed(self, name: str) -> bool:
        return name in self.finished and self.records[name].status == "Completed"

    def _begin_groups(self, step: Step) -> None:
        """A pipeline inside the pipeline runs when the first of its steps does."""
        for name in _outer(step.name):
            record = self.records[name]
            if record.status == "NotStarted":
                self.progress.open(record, self.context.parent(record))
                self.progress.status(record, "Running")

    def _run_step(self, step: Step) -> None:
        values: dict[str, Value] = {}
        for name, binding in step.inputs.items():
            if binding.step and binding.output:
                written = self.records[binding.step].outputs[binding.output]["path"]
                values[name] = uris.output_path(self.context.workspace, written)
            else:
                values[name] = self.context.given(step, name)
        self.context.run_step(step, self.records[step.name], values)

    def _finish(self, step: Step, future: Future[None]) -> None:
        record = self.records[step.name]
        self.finished.add(step.name)
        error = future.exception()
        if error:
            self.progress.fail(record, error)
        reused = f" (reused from {record.reused_from})" if record.reused_from else ""
        self._say(f"Completing processing run id {record.name}: {record.status}{reused}")
        if record.status == "Failed" and not self.plan.continue_on_step_failure:
            self.context.stopping.set()
        for name in reversed(list(_outer(step.name))):
            members = [member for member in self.plan.steps if member.startswith(f"{name}.")]
            if all(self.records[member].final for member in members):
                self._end(name, self.plan.groups[name].outputs)

    def _close(self) -> None:
        for name in self.plan.steps:
            record = self.records[name]
            if not record.final:
                record.error = "not started: a step before it did not complete"
                self.progress.end(record, "Canceled")
        for name in reversed(self.plan.groups):  # the inner ones stand behind those they are in
            if not self.records[name].final:
                self._end(name, self.plan.groups[name].outputs)
        self._end("", self.plan.outputs)

    def _end(self, name: str, outputs: Owners) -> None:
        """Close a pipeline whose steps have all ended."""
        record = self.records[name]
        for output, (step, source) in outputs.items():
            if source in self.records[step].outputs:
                record.outputs[output] = self.records[step].outputs[source]
        steps = {step: self.records[step] for step in self.plan.steps if not name or step.startswith(f"{name}.")}
        failed = {step: child for step, child in steps.items() if child.status == "Failed"}
        if failed:
            record.error = "; ".join(f'step "{step}" failed: {child.error}' for step, child in failed.items())
            self.progress.end(record, "Failed", self.store.folder(record.name))
        else:
            completed = all(child.status == "Completed" for child in steps.values())
            self.progress.end(record, "Completed" if completed else "Canceled", self.store.folder(record.name))

    def _say(self, line: str) -> None:
        time = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        with self.store.log(self.records[""]).open("a", encoding="utf-8") as log:
            log.write(f"[{time}] {line}\n")


def _outer(name: str) -> Iterator[str]:
    """The pipelines that a step of the plan is in, the outermost first."""
    parts = name.split(".")
    return (".".join(parts[:depth]) for depth in range(1, len(parts)))


def _dig(spec: Any, *keys: str) -> Any:
    for key in keys:
        spec = spec.get(key) if isinstance(spec, dict) else None
    return spec if isinstance(spec, dict) else None
