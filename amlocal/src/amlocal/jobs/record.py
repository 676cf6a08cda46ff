"""One record per job, `jobs/<name>/job.json`: the truth for show, list and cancel, and for liveness after a crash."""

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from amlocal.core.durable import make_folder
from amlocal.core.errors import NotFound, UserError
from amlocal.core.files import read_json, write_json
from amlocal.core.lifeline import FINISH_SECONDS, GRACE_SECONDS
from amlocal.core.names import is_name
from amlocal.core.processes import find, marked
from amlocal.core.records import as_record, read_record
from amlocal.core.workspace import Workspace

FINAL = frozenset({"Completed", "Failed", "Canceled"})
LOG = Path("user_logs", "std_log.txt")
RUNNER = "runner.json"  # the process that runs the job
NO_PARENT = b'\n "parent": null'  # as write_json writes it
EDITS = "edits.json"  # what the user has changed since
RUN_ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}")  # which MLflow takes for a run's id
PIPELINE_LOG = Path("logs", "azureml", "executionlogs.txt")

# A runner writes its process id within moments of being started. One that has not after this long never will.
RUNNER_GRACE = 360.0


@dataclass
class JobRecord:
    """A job as it stands on disk. Its folder is written by one process: `aml` before the start, then the runner."""

    name: str
    type: str
    display_name: str
    experiment_name: str
    spec: dict[str, Any]
    creation_context: dict[str, str]
    status: str = "NotStarted"
    parent: str | None = None
    step: str | None = None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    started: str | None = None
    ended: str | None = None
    error: str | None = None
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    run_id: str | None = None
    experiment_id: str | None = None
    fingerprint: str | None = None
    reused_from: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    archived: bool = False

    @property
    def final(self) -> bool:
        return self.status in FINAL


class JobStore:
    """The jobs of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._parents: dict[str, str | None] = {}

    def folder(self, name: str) -> Path:
        return self.workspace.jobs / name

    def log(self, record: JobRecord) -> Path:
        """What the job prints; a pipeline's is the runner's account of its steps."""
        return self.folder(record.name) / (PIPELINE_LOG if record.type == "pipeline" else LOG)

    def create(self, record: JobRecord) -> None:
        """Make the job's folder and record. Raises UserError when the name is taken."""
        self.workspace.create()
        folder = self.folder(record.name)
        with self.workspace.lock("new-jobs"):
            if (folder / "job.json").exists():
                raise UserError(f'job "{record.name}" exists already; give another --name, or none for a new one')
            # without a record: of one that was killed in the middle of this
            make_folder(self.log(record).parent)
            self.log(record).touch()
            self.write(record)

    def write(self, record: JobRecord) -> None:
        write_json(self.folder(record.name) / "job.json", asdict(record))

    def read(self, name: str) -> JobRecord:
        """The record as it stands. Raises NotFound."""
        try:
            if is_name(name):
                return self._load(self.folder(name))
            raise FileNotFoundError(name)  # nothing is called that; it may lead elsewhere
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f'job "{name}" was not found in this workspace ({self.workspace.root}); see `aml job list`'
            ) from None

    def edit(self, name: str, **changes: Any) -> JobRecord:
        """Change what a user may change in a job (display_name, description, tags, archived, ...); returns it.

        In a file of its own, read over the record: the record has one writer, the runner. Raises NotFound.
        """
        self.read(name)
        path = self.folder(name) / EDITS
        with self.workspace.lock("jobs"):
            edits = read_json(path) if path.exists() else {}
            write_json(path, edits | changes)
        return self.read(name)

    @staticmethod
    def _load(folder: Path) -> JobRecord:
        record = read_record(folder / "job.json", JobRecord)
        if (folder / EDITS).exists():
            edits = read_json(folder / EDITS)
            for name in ("display_name", "experiment_name"):  # removed by the user: as it was
                if edits.get(name, "") is None:
                    del edits[name]
            record = as_record(asdict(record) | edits, JobRecord, folder / EDITS)
        return record

    def get(self, name: str) -> JobRecord:
        """The record, after making sure that a job called running has somebody running it."""
        record = self.read(name)
        if not record.final and not self._runner_lives(self._root(record)):
            buried = self._bury(self._root(record))
            record = buried.get(name) or self.read(name)
        return record

    def opened(self, name: str, patience: float) -> JobRecord:
        """The record once the job has its MLflow run, or has ended; after `patience` seconds, as it then is."""
        deadline = time.monotonic() + patience
        while True:
            record = self.get(name)
            if record.run_id or record.final or record.parent or time.monotonic() > deadline:
                return record
            time.sleep(0.02)

    def all(self, parent: str | None = None) -> list[JobRecord]:
        """The jobs that have no parent, or `parent`'s steps; the newest first."""
        records = []
        for path in self.workspace.jobs.glob("*/job.json"):
            if parent is None and NO_PARENT not in path.read_bytes():
                continue  # a part of another: most are, and need not be parsed
            record = self._load(path.parent)
            if record.parent == parent:
                records.append(record if record.final else self.get(record.name))
        return sorted(records, key=lambda record: record.creation_context["created_at"], reverse=True)

    def steps(self, record: JobRecord) -> Iterator[JobRecord]:
        """What a job has started below itself: steps, trials, and theirs; a parent before its children."""
        found = [self._load(path.parent) for path in self.workspace.jobs.glob(f"{record.name}_*/job.json")]
        found.sort(key=lambda child: child.creation_context["created_at"])
        yield from _below(record.name, found)

    def runner(self, record: JobRecord) -> int | None:
        """The process id of the job's living runner."""
        process = find(self.folder(self._root(record).name) / RUNNER)
        return process.pid if process else None

    def cancel(self, record: JobRecord) -> None:
        """Ask whoever runs the job to end it."""
        (self.folder(record.name) / "cancel").touch()

    def canceled(self, record: JobRecord) -> bool:
        """Whether it, or what it is a part of, was asked to end."""
        return any((self.folder(name) / "cancel").exists() for name in self._line(record))

    def _line(self, record: JobRecord) -> Iterator[str]:
        """A job's name and those of what it is a part of."""
        yield record.name
        parent = record.parent
        while parent:
            yield parent
            if parent not in self._parents:
                self._parents[parent] = self.read(parent).parent
            parent = self._parents[parent]

    def _root(self, record: JobRecord) -> JobRecord:
        while record.parent:
            record = self.read(record.parent)
        return record

    def _runner_lives(self, root: JobRecord) -> bool:
        if (self.folder(root.name) / RUNNER).exists():
            return self.runner(root) is not None
        return time.time() - (self.folder(root.name) / "job.json").stat().st_mtime < RUNNER_GRACE

    def _bury(self, root: JobRecord) -> dict[str, JobRecord]:
        """The runner died without a word: end what it left running, and say so in the records and in MLflow.

        Returns the records that had to be closed. On a disk too full to write them the next look tries again.
        """
        with self.workspace.lock("jobs"):
            root = self.read(root.name)
            if root.final or self._runner_lives(root):
                return {}
            from amlocal.core.mlflow_store import close_runs
            from amlocal.core.names import now
            from amlocal.core.workspace import OVERLAY

            why = "the process that ran this job died (killed, or the machine was switched off)"
            try:
                self.workspace.require_space()
            except UserError as full:
                why = str(full)
            dead = [record for record in (*reversed(list(self.steps(root))), root) if not record.final]
            kill_leftovers({record.name for record in dead}, self.workspace)
            for record in dead:
                shutil.rmtree(self.folder(record.name) / OVERLAY, ignore_errors=True)
                record.status, record.ended = "Failed", now()
                record.error = why
                with contextlib.suppress(UserError):
                    self.write(record)
            close_runs(self.workspace, [record.run_id for record in dead if record.run_id])
            return {record.name: record for record in dead}


def _below(name: str, records: list[JobRecord]) -> Iterator[JobRecord]:
    for record in records:
        if record.parent == name:
            yield record
            yield from _below(record.name, records)


def kill_leftovers(names: set[str], workspace: Workspace, patient: bool = False) -> None:
    """Kill every process that carries one of these jobs' names in its environment.

    patient: they have a moment to come to their end, and are asked to first.
    """
    left = list(marked(workspace.root, "AZUREML_RUN_ID", names))
    if patient:
        _, left = psutil.wait_procs(left, FINISH_SECONDS)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, left = psutil.wait_procs(left, GRACE_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
