"""How a job fares, written down as it happens: in its record, and in its MLflow run."""

import threading
import traceback
from pathlib import Path

from amlocal.core.errors import UserError
from amlocal.core.names import now
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import JobRecord, JobStore
from amlocal.jobs.run.tracking import Tracking


class Progress:
    """What one runner writes about its job and all that belongs to it."""

    def __init__(self, workspace: Workspace, store: JobStore, root: JobRecord) -> None:
        self.workspace, self.store, self.root = workspace, store, root
        self.tracking: Tracking | None = None
        self._opening = threading.Lock()

    def open(self, record: JobRecord, parent: JobRecord | None = None) -> None:
        """Begin the MLflow run of a job, once; `parent`'s must have been begun."""
        with self._opening:
            if self.tracking is None:
                self.tracking = Tracking(self.workspace)
            if record.run_id is None:
                self.tracking.start(record, parent)
                record.started = now()

    def log_params(self, record: JobRecord, params: dict[str, str]) -> None:
        """What a job was started with, for MLflow's tables."""
        assert self.tracking and record.run_id
        for name, value in params.items():
            self.tracking.client.log_param(record.run_id, name, value)

    def metric(self, record: JobRecord, name: str) -> list[float]:
        """Every report of a metric in a job's run, in the order of its steps and times."""
        if not self.tracking or not record.run_id:
            return []
        history = self.tracking.client.get_metric_history(record.run_id, name)
        return [each.value for each in sorted(history, key=lambda each: (each.step, each.timestamp))]

    def status(self, record: JobRecord, status: str) -> None:
        record.status = status
        self.store.write(record)

    def end(self, record: JobRecord, status: str, folder: Path | None = None) -> None:
        """Close the record and its MLflow run; a run that MLflow cannot close must not keep the record open.

        folder: the job's own, whose `outputs`, `logs` and log become the run's artifacts.
        """
        record.ended = now()
        record.status = status
        try:
            if record.run_id and self.tracking:
                self.tracking.finish(record, folder)
        finally:
            self.store.write(record)

    def fail(self, record: JobRecord, error: BaseException) -> None:
        """Close a job that the runner itself stumbled over."""
        if not isinstance(error, UserError):
            traceback.print_exception(error)
        record.error = self._told(error)
        self.end(record, "Failed")

    def _told(self, error: BaseException) -> str:
        """What stopped the runner, in one line."""
        try:
            self.workspace.require_space()  # whatever failed then, failed for this
        except UserError as full:
            return str(full)
        if isinstance(error, UserError):
            return str(error)
        first = (str(error).splitlines() or [""])[0]
        log = self.store.folder(self.root.name) / "runner.log"
        return f"the runner failed: {type(error).__name__}: {first}; see {log}"
