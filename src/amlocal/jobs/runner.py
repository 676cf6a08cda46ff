"""Runs one submitted job to its end: `python -m amlocal.jobs.runner WORKSPACE JOB`, detached from any terminal.

It is the only writer of the job's records while it lives. Each step runs in a thread that waits for a process; steps
start as soon as what they read is there, at most one per core at a time.
"""

import os
import shutil
import signal
import sys
import threading
import traceback
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path

from amlocal import environments
from amlocal.assets import now
from amlocal.errors import UserError
from amlocal.jobs.process import Process
from amlocal.jobs.record import LOG, RUNNER, JobRecord, JobStore, kill_leftovers
from amlocal.jobs.reuse import ReuseIndex, fingerprint
from amlocal.jobs.tracking import Tracking, artifact_root
from amlocal.processes import write_process
from amlocal.specs.expressions import Reference, render
from amlocal.specs.plan import FILE_TYPES, Plan, Step
from amlocal.uris import DATASTORE, below
from amlocal.workspace import DEFAULT_DATASTORE, Workspace, disk_errors, read_json

POLL_SECONDS = 0.1


class Runner:
    """One job's run."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.store = JobStore(workspace)
        self.reuse = ReuseIndex(self.store)
        self.record = self.store.read(name)
        self.plan = Plan.from_json(read_json(self.store.folder(name) / "plan.json"))
        self.records: dict[str, JobRecord] = {}
        self.finished: set[str] = set()
        self.stopping = threading.Event()

    def run(self) -> None:
        """Run to the end; whatever happens, the records and MLflow say how it ended."""
        record = self.record
        try:
            self._status(record, "Preparing")
            self.tracking = Tracking(self.workspace)
            self.tracking.start(record, None)
            record.started = now()
            if self.plan.type == "command":
                self.records[""] = record
                self._run_step(self.plan.steps[""])
            else:
                self._run_pipeline()
        except Exception as error:
            traceback.print_exc()
            record.error = self._told(error)
            for child in self.records.values():
                if not child.final and child is not record:
                    child.error = "the pipeline's runner failed"
                    self._end(child, "Canceled")
            self._end(record, "Failed")

    # -- pipelines

    def _run_pipeline(self) -> None:
        self._status(self.record, "Running")
        for step in self.plan.steps.values():
            self._create_child(step)
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
            try:
                self._run_steps(threads)
            except BaseException:
                self.stopping.set()  # or the threads would be waited for to the end of their steps
                raise
        self._close_pipeline()

    def _run_steps(self, threads: ThreadPoolExecutor) -> None:
        running: dict[Future[None], Step] = {}
        while True:
            if self.store.canceled(self.record):
                self.stopping.set()
            for step in self._ready(running):
                self._say(f"Submitting 1 runs, first five are: {step.name}:{self.records[step.name].name}")
                running[threads.submit(self._run_step, step)] = step
            if not running:
                return
            done, _ = wait(running, POLL_SECONDS, FIRST_COMPLETED)
            for future in done:
                self._finished(running.pop(future), future)

    def _create_child(self, step: Step) -> None:
        parent = self.record
        child = JobRecord(
            name=f"{parent.name}_{step.name}",
            type="command",
            display_name=step.display_name or step.name,
            experiment_name=parent.experiment_name,
            spec=parent.spec["jobs"][step.name],
            creation_context={**parent.creation_context, "created_at": now()},
            parent=parent.name,
            step=step.name,
        )
        self.store.create(child)
        self.records[step.name] = child

    def _ready(self, running: dict[Future[None], Step]) -> list[Step]:
        """The steps that can start now."""
        if self.stopping.is_set():
            return []
        begun = self.finished | {step.name for step in running.values()}
        return [
            step
            for step in self.plan.steps.values()
            if step.name not in begun
            and all(need in self.finished and self.records[need].status == "Completed" for need in step.needs)
        ]

    def _finished(self, step: Step, future: Future[None]) -> None:
        record = self.records[step.name]
        self.finished.add(step.name)
        error = future.exception()
        if error:
            traceback.print_exception(error)
            record.error = self._told(error)
            self._end(record, "Failed")
        reused = f" (reused from {record.reused_from})" if record.reused_from else ""
        self._say(f"Completing processing run id {record.name}: {record.status}{reused}")
        if record.status == "Failed" and not self.plan.continue_on_step_failure:
            self.stopping.set()

    def _close_pipeline(self) -> None:
        for child in self.records.values():
            if not child.final:
                child.error = "not started: a step before it did not complete"
                self._end(child, "Canceled")
        for name, (step, output) in self.plan.outputs.items():
            if output in self.records[step].outputs:
                self.record.outputs[name] = self.records[step].outputs[output]
        failed = [child for child in self.records.values() if child.status == "Failed"]
        if failed:
            self.record.error = "; ".join(f'step "{child.step}" failed: {child.error}' for child in failed)
            self._end(self.record, "Failed")
        else:
            completed = all(child.status == "Completed" for child in self.records.values())
            self._end(self.record, "Completed" if completed else "Canceled")

    def _say(self, line: str) -> None:
        time = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        with self.store.log(self.record).open("a", encoding="utf-8") as log:
            log.write(f"[{time}] {line}\n")

    # -- steps

    def _run_step(self, step: Step) -> None:
        record = self.records[step.name]
        folder = self.store.folder(record.name)
        values = {name: self._input(step, name) for name in step.inputs}
        if record.run_id is None:
            self.tracking.start(record, self.record)
        record.started = now()
        self._status(record, "Preparing")
        with disk_errors(folder):
            if self._reusable(step):
                record.fingerprint = fingerprint(step, values)
                if not self.plan.force_rerun and self._reuse(step, record):
                    return
            outputs = {name: self._output(step, name, record) for name in step.outputs}
            (folder / LOG).parent.mkdir(exist_ok=True)
            python = environments.python_for(step.environment, self.workspace, folder / LOG)
            if step.code:
                shutil.copytree(step.code, folder / "code")
            else:
                (folder / "code").mkdir()
        command = render(step.command, lambda reference: _value(reference, values, outputs))
        variables = self._variables(step, record, python)
        process = Process(command, folder / "code", variables, folder / LOG)
        self._status(record, "Running")
        code = process.wait(lambda: self._stopped(record))
        self._status(record, "Finalizing")
        if code is not None and code < 0:  # the lifeline was killed, and could not take the command with it
            kill_leftovers({record.name}, self.workspace)
        if code is None:
            self._end(record, "Canceled", folder)
        elif code:
            record.error = f"exit code {code if code > 0 else 128 - code}; its log is {folder / LOG}"
            self._end(record, "Failed", folder)
        else:
            self._end(record, "Completed", folder)
            if record.fingerprint:
                self.reuse.add(record.fingerprint, record)

    def _stopped(self, record: JobRecord) -> bool:
        return self.stopping.is_set() or self.store.canceled(record) or self.store.canceled(self.record)

    def _reusable(self, step: Step) -> bool:
        """As on Azure, a job by itself always runs; so does what writes where the next run may write over it."""
        placed = any(output.path for output in step.outputs.values())
        return step.deterministic and self.plan.type == "pipeline" and not placed

    def _reuse(self, step: Step, record: JobRecord) -> bool:
        assert record.fingerprint
        earlier = self.reuse.find(record.fingerprint)
        if not earlier:
            return False
        record.reused_from = earlier.name
        record.outputs = earlier.outputs
        self._end(record, "Completed")
        return True

    def _input(self, step: Step, name: str) -> str | Path | None:
        binding = step.inputs[name]
        if binding.step and binding.output:
            return Path(self.records[binding.step].outputs[binding.output]["path"])
        return Path(binding.path) if binding.path else binding.literal

    def _output(self, step: Step, name: str, record: JobRecord) -> Path:
        """Where the step writes this output; the folder (of a file: its parent) is made."""
        output = step.outputs[name]
        if output.path:
            meanings = {"name": record.name, "output_name": name, "default_datastore": DEFAULT_DATASTORE}
            path = render(output.path, lambda reference: meanings[".".join(reference.parts)])
            match = DATASTORE.fullmatch(path)
            assert match, "the plan has checked it"
            place = below(self.workspace.datastore(match["store"]), match["path"], path)
        else:
            place = self.workspace.datastore() / "azureml" / record.name / name
        (place.parent if output.type in FILE_TYPES else place).mkdir(parents=True, exist_ok=True)
        record.outputs[name] = {"type": output.type, "path": str(place)}
        return place

    def _variables(self, step: Step, record: JobRecord, python: Path) -> dict[str, str]:
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "AZUREML_", "PYTHONPATH"))
        }
        assert record.run_id and record.experiment_id
        return {
            **inherited,
            "PATH": os.pathsep.join([str(python.parent), inherited.get("PATH", "")]),
            # A log is read while it is written, and by programs that write UTF-8, also where Windows would not.
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            "AMLOCAL_HOME": str(self.workspace.root),
            "MLFLOW_TRACKING_URI": self.workspace.tracking_uri,
            "MLFLOW_RUN_ID": record.run_id,
            "MLFLOW_EXPERIMENT_ID": record.experiment_id,
            "MLFLOW_EXPERIMENT_NAME": record.experiment_name,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **artifact_root(self.workspace),
            "AZUREML_RUN_ID": record.name,
            "AZUREML_ROOT_RUN_ID": self.record.name,
            "AZUREML_ARM_SUBSCRIPTION": "00000000-0000-0000-0000-000000000000",
            "AZUREML_ARM_RESOURCEGROUP": "local",
            "AZUREML_ARM_WORKSPACE_NAME": self.workspace.name,
            "AZUREML_ARM_PROJECT_NAME": record.experiment_name,
            **step.environment_variables,
        }

    # -- records

    def _told(self, error: BaseException) -> str:
        """What stopped the runner, in one line."""
        try:
            self.workspace.require_space()  # whatever failed then, failed for this
        except UserError as full:
            return str(full)
        if isinstance(error, UserError):
            return str(error)
        first = (str(error).splitlines() or [""])[0]
        log = self.store.folder(self.record.name) / "runner.log"
        return f"the runner failed: {type(error).__name__}: {first}; see {log}"

    def _status(self, record: JobRecord, status: str) -> None:
        record.status = status
        self.store.write(record)

    def _end(self, record: JobRecord, status: str, folder: Path | None = None) -> None:
        """Close the record and its MLflow run; a run that MLflow cannot close must not keep the record open."""
        record.ended = now()
        record.status = status
        try:
            if record.run_id:
                self.tracking.finish(record, folder)
        finally:
            self.store.write(record)


def _value(reference: Reference, inputs: dict[str, str | Path | None], outputs: dict[str, Path]) -> str | Path | None:
    group, name = reference.parts[0], ".".join(reference.parts[1:])
    return inputs[name] if group == "inputs" else outputs[name]


def main(root: str, name: str) -> None:
    workspace = Workspace(Path(root))
    runner = Runner(workspace, name)
    # Asked to end from outside (a shutdown, a kill): that is a cancel.
    signal.signal(signal.SIGTERM, lambda *_: runner.store.cancel(runner.record))
    write_process(runner.store.folder(name) / RUNNER, os.getpid())
    runner.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
