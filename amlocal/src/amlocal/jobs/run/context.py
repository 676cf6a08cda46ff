"""What the parts of one job's run share, whatever kind of job it is."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amlocal.core.files import read_json
from amlocal.core.names import now
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import JobRecord, JobStore
from amlocal.jobs.reuse import ReuseIndex
from amlocal.jobs.run.progress import Progress
from amlocal.specs.plan import Step, read_plan

LONGEST = 200  # characters in the name of a job

Value = str | Path | None
# Runs a step as the job of the record, to the end; the record tells how it ended. The values are the step's inputs.
Handler = Callable[["Context", Step, JobRecord, dict[str, Value]], None]


class Context:
    """One job's run. handlers: by kind of job.

    slots: one per core; whoever starts processes takes one. stopping: set when nothing more may be started.
    """

    def __init__(self, workspace: Workspace, name: str, handlers: Mapping[str, Handler]) -> None:
        self.workspace = workspace
        self.handlers = handlers
        self.store = JobStore(workspace)
        self.reuse = ReuseIndex(self.store)
        self.record = self.store.read(name)
        kept = self.store.folder(name) / "plan.json"
        self.plan = read_plan(read_json(kept), kept)
        self.progress = Progress(workspace, self.store, self.record)
        self.slots = threading.BoundedSemaphore(os.cpu_count() or 1)
        self.stopping = threading.Event()
        self._records = {name: self.record}
        self._to_debug = self.plan.debug
        self._choosing = threading.Lock()

    @property
    def records(self) -> list[JobRecord]:
        """The job and all its parts, each after what it is a part of."""
        return list(self._records.values())

    def run_step(self, step: Step, record: JobRecord, values: dict[str, Value]) -> None:
        """Run a step as the handler of its kind does; raises what no record could tell."""
        self.handlers[step.type](self, step, record, values)

    @contextmanager
    def slot(self, record: JobRecord) -> Iterator[None]:
        """A core of this machine for the step that `record` is of, as soon as one is free."""
        with self.slots:
            failed = True
            try:
                yield
                failed = record.status == "Failed"
            finally:
                if failed and not self.plan.continue_on_step_failure:
                    self.stopping.set()  # now, before the slot is free and the next step begins

    def debugger(self, step: Step) -> str | None:
        """What the step's process waits for, if it is the one to debug; of a sweep's trials the first is."""
        with self._choosing:
            wanted = self._to_debug
            if not wanted or wanted.step != step.name:
                return None
            self._to_debug = None
            return wanted.debugger

    def asked_to_end(self, record: JobRecord) -> bool:
        """Whether a part of the job shall end, or not begin."""
        return self.stopping.is_set() or self.store.canceled(record)

    def given(self, step: Step, name: str) -> Value:
        """An input that no other step writes."""
        binding = step.inputs[name]
        if binding.path is None:
            return binding.literal
        return binding.path if "://" in binding.path else Path(binding.path)

    def child(
        self,
        parent: JobRecord,
        name: str,
        type: str,
        display_name: str,
        spec: dict[str, Any],
        properties: dict[str, str] | None = None,
    ) -> JobRecord:
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
            properties=properties or {},
        )
        self.store.create(made)
        self._records[made.name] = made
        return made

    def parent(self, record: JobRecord) -> JobRecord | None:
        return self._records[record.parent] if record.parent else None
