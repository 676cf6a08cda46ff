"""Runs one submitted job to its end: `python -m amlocal.jobs.run.runner WORKSPACE [JOB]`, detached from any terminal.

It is the only writer of the job's records while it lives. Without JOB it makes itself ready, and reads the name from
standard input.
"""

import hashlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from amlocal.core import mlflow_store
from amlocal.core.files import read_json
from amlocal.core.names import now
from amlocal.core.processes import write_process
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import RUNNER, JobRecord, JobStore
from amlocal.jobs.reuse import ReuseIndex
from amlocal.jobs.run.journal import Journal
from amlocal.jobs.run.pipeline import PipelineRun
from amlocal.jobs.run.step import StepRun, Value
from amlocal.jobs.run.sweep import SweepRun
from amlocal.specs.plan import Plan, Step

LONGEST = 200  # characters in the name of a job


class Runner:
    """One job's run, and what all its parts share.

    slots: one per core; whoever starts a process takes one. stopping: set when nothing more may be started.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.store = JobStore(workspace)
        self.reuse = ReuseIndex(self.store)
        self.record = self.store.read(name)
        self.plan = Plan.from_json(read_json(self.store.folder(name) / "plan.json"))
        self.journal = Journal(workspace, self.store, self.record)
        self.slots = threading.BoundedSemaphore(os.cpu_count() or 1)
        self.stopping = threading.Event()
        self._records = {name: self.record}

    def run(self) -> None:
        """Run to the end; whatever happens, the records and MLflow say how it ended."""
        try:
            self.journal.status(self.record, "Preparing")
            self.journal.open(self.record)
            if self.plan.type == "pipeline":
                PipelineRun(self).run()
            else:
                step = self.plan.steps[""]
                self.run_step(step, self.record, {name: self.given(step, name) for name in step.inputs})
        except Exception as error:
            self.stopping.set()
            for child in reversed(list(self._records.values())):
                if not child.final and child is not self.record:
                    child.error = "the job it is a part of failed"
                    self.journal.end(child, "Canceled")
            self.journal.fail(self.record, error)

    def run_step(self, step: Step, record: JobRecord, values: dict[str, Value]) -> None:
        """Run one step as the job `record`; raises what no record could tell."""
        if step.sweep:
            SweepRun(self, step, record, values).run()
        else:
            with self.slots:
                failed = True
                try:
                    StepRun(self, step, record, values).run()
                    failed = record.status == "Failed"
                finally:
                    if failed and not self.plan.continue_on_step_failure:
                        self.stopping.set()  # now, before the slot is free and the next step begins

    def given(self, step: Step, name: str) -> Value:
        """An input that no other step writes."""
        binding = step.inputs[name]
        if binding.path is None:
            return binding.literal
        return binding.path if "://" in binding.path else Path(binding.path)

    def child(self, parent: JobRecord, name: str, type: str, display_name: str, spec: dict[str, Any]) -> JobRecord:
        """A new job that is a part of `parent`. name: what it is called there."""
        full = f"{parent.name}_{name}"
        if len(full) > LONGEST:  # for the file system
            full = f"{full[:LONGEST]}_{hashlib.sha256(full.encode()).hexdigest()[:8]}"
        # somebody's own job may be called so; or step "a" of group "b_c" meets step "c_a" of group "b"
        while full in self._records or self.store.folder(full).exists():
            full += "_"
        made = JobRecord(
            name=full,
            type=type,
            display_name=display_name,
            experiment_name=parent.experiment_name,
            spec=spec,
            creation_context={**parent.creation_context, "created_at": now()},
            parent=parent.name,
            step=name,
        )
        self.store.create(made)
        self._records[made.name] = made
        return made

    def parent(self, record: JobRecord) -> JobRecord | None:
        return self._records[record.parent] if record.parent else None


def main(root: str, name: str = "") -> None:
    workspace = Workspace(Path(root))
    if not name:
        name = _wait_for_job(workspace)
    runner = Runner(workspace, name)
    # Asked to end from outside (a shutdown, a kill): that is a cancel.
    signal.signal(signal.SIGTERM, lambda *_: runner.store.cancel(runner.record))
    write_process(runner.store.folder(name) / RUNNER, os.getpid())
    runner.run()


def _wait_for_job(workspace: Workspace) -> str:
    """The name of the job that we are given, when all that takes long is imported; exits if there will be none."""
    if workspace.database.exists():
        # the first question to the store is the slow one; where there is no store yet, nothing must be left behind
        mlflow_store.client(workspace).get_experiment("0")
    else:
        mlflow_store.get_ready()
    name = sys.stdin.readline().strip()
    if not name:
        sys.exit()
    log = os.open(JobStore(workspace).folder(name) / "runner.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    return name


if __name__ == "__main__":
    main(*sys.argv[1:])
