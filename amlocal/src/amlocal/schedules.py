"""Schedules of a workspace: kept in `schedules/<name>.json`, their jobs checked and frozen, started when they are due.

Nothing here runs by itself: `aml schedule run` (or `client.schedules.run()`) looks at the clock, starts what has come
due since the last look, and leaves. Every run has a name that tells its time, `<schedule>-20260131T060000Z`, as Azure
gives it as display name; so a look that was killed half-way, or two at once, start nothing twice.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from amlocal.core.errors import NotFound, UserError
from amlocal.core.files import write_json
from amlocal.core.names import checked_name, creation_context
from amlocal.core.records import as_record, read_record
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import RUNNER, JobRecord, JobStore
from amlocal.specs.plan import read_plan
from amlocal.specs.triggers import Trigger, trigger

PATIENCE_SECONDS = 600.0  # how long a look waits for another one to end
TAKE_OVER_SECONDS = 5.0  # how long a runner may take to show itself after the look that started it was killed
TRIGGER_TIME = re.compile(r"\$\{\{\s*creation_context\.trigger_time\s*\}\}")
JOB_NAME = re.compile(r"\$\{\{\s*name\s*\}\}")


@dataclass
class Schedule:
    """A schedule as it stands on disk.

    job: {"record", "plan"}, what `jobs.submit.prepare_job` made of it, and "source", the name of a job of the workspace
    whose record and plan they are; None for a monitor, whose definition is
    `monitor`: of that a job is made when it is due.
    looked: the time (UTC, ISO 8601) up to which everything that was due has been started.
    """

    name: str
    trigger: dict[str, Any]
    creation_context: dict[str, str]
    looked: str
    job: dict[str, Any] | None = None
    monitor: dict[str, Any] | None = None
    is_enabled: bool = True
    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def times(self) -> Trigger:
        return trigger(self.trigger, datetime.fromisoformat(self.creation_context["created_at"]))


@dataclass(frozen=True)
class Outcome:
    """What a look did about a schedule that was due: the job that it started, or why it could not."""

    schedule: str
    due: str
    job_name: str | None = None
    error: str | None = None


class Schedules:
    """The schedules of a workspace. `now` is always given: this class never looks at a clock."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folder = workspace.root / "schedules"

    def all(self) -> list[Schedule]:
        """Every schedule, by name."""
        return [_read(path) for path in self._files()]

    def get(self, name: str) -> Schedule:
        """Raises NotFound."""
        try:
            return _read(self._path(name))
        except FileNotFoundError:
            raise NotFound(
                f'schedule "{name}" was not found in this workspace ({self.workspace.root}); see `aml schedule list`'
            ) from None

    def put(self, schedule: Schedule, now: datetime) -> Schedule:
        """Create a schedule, or give one another definition; what came due before is not made up for.

        Raises UserError for a trigger that means nothing.
        """
        with self._lock():
            try:
                before = self.get(schedule.name)
            except NotFound:
                times = schedule.times
                schedule.looked = _text(now if schedule.trigger.get("start_time") else times.start - _SECOND)
            else:
                schedule.creation_context = before.creation_context
                same = schedule.trigger == before.trigger and schedule.is_enabled == before.is_enabled
                schedule.looked = before.looked if same else _text(now)
                _ = schedule.times  # only to raise
            self._write(schedule)
        return schedule

    def enable(self, name: str, enabled: bool, now: datetime) -> Schedule:
        """Enabled again, a schedule goes on from now. Raises NotFound."""
        with self._lock():
            schedule = self.get(name)
            if enabled and not schedule.is_enabled:
                schedule.looked = _text(now)
            schedule.is_enabled = enabled
            self._write(schedule)
        return schedule

    def delete(self, name: str) -> None:
        """Forget a schedule; its jobs stay. Raises UserError while it is enabled, as Azure does."""
        with self._lock():
            if self.get(name).is_enabled:
                raise UserError(f'schedule "{name}" is enabled; first `aml schedule disable -n {name}`')
            self._path(name).unlink()

    def start_due(self, now: datetime) -> Iterator[Outcome]:
        """Start what has come due since the last look: of every schedule the latest time, however many were missed.

        One that cannot be read, or whose job cannot start, is told of and keeps none of the others.
        """
        with self._lock():
            for path in self._files():
                outcome = self._look(path, now)
                if outcome:
                    yield outcome

    def _look(self, path: Path, now: datetime) -> Outcome | None:
        due = now
        try:
            schedule = _read(path)
            found = schedule.times.latest(datetime.fromisoformat(schedule.looked), now) if schedule.is_enabled else None
            if found is None:
                return None
            due = found
            outcome = Outcome(schedule.name, _text(due), self._start(schedule, due))
            schedule.looked = _text(due)
            self._write(schedule)
            return outcome
        except UserError as error:  # not its time's fault: the next look tries again
            return Outcome(path.stem, _text(due), error=str(error))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:  # a file that somebody has spoilt
            said = f"{type(error).__name__}: {error}"
            return Outcome(path.stem, _text(due), error=f'schedule "{path.stem}": not started: {said}')

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[!.]*.json"))

    def trigger(self, name: str, now: datetime) -> str:
        """Start a schedule's job now, whatever its trigger says; returns the job's name."""
        with self._lock():
            schedule = self.get(name)
            now = now.replace(microsecond=0)
            while (JobStore(self.workspace).folder(run_name(name, now))).exists():
                now += _SECOND
            return self._start(schedule, now)

    def _start(self, schedule: Schedule, due: datetime) -> str:
        """Start the job of one time, unless an earlier look that was killed has done so; returns its name."""
        name = run_name(schedule.name, due)
        if not self._under_way(name):
            from amlocal.jobs.submit import start

            start(*self._prepared(schedule, name, due), self.workspace)
        return name

    def _prepared(self, schedule: Schedule, name: str, due: datetime) -> tuple[JobRecord, Any]:
        """The job of one time: record and plan. Raises UserError for a monitor that cannot be computed."""
        if schedule.job is None:
            from amlocal.monitors.job import prepare_run

            return prepare_run(schedule.name, name, schedule.monitor or {}, schedule.trigger, due, self.workspace)
        job = _filled(schedule.job, name, due)
        path = self._path(schedule.name)
        record = as_record(job.get("record"), JobRecord, path)
        called = record.spec.get("display_name") or name
        changed = replace(record, name=name, display_name=called, creation_context=creation_context())
        return changed, read_plan(job.get("plan"), path)

    def _under_way(self, name: str) -> bool:
        """Whether the job has a runner, or had one. What a killed look has left unfinished is removed."""
        folder = JobStore(self.workspace).folder(name)
        if not folder.exists():
            return False
        deadline = time.monotonic() + TAKE_OVER_SECONDS
        while (folder / "plan.json").exists():
            if (folder / RUNNER).exists() or JobStore(self.workspace).read(name).final:
                return True
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        shutil.rmtree(folder)
        return False

    def _path(self, name: str) -> Path:
        return self.folder / f"{checked_name('schedule', name)}.json"

    def _write(self, schedule: Schedule) -> None:
        self.workspace.create()
        self.folder.mkdir(exist_ok=True)
        write_json(self._path(schedule.name), asdict(schedule))

    def _lock(self) -> Any:
        return self.workspace.lock("schedules", PATIENCE_SECONDS)


_SECOND = timedelta(seconds=1)


def _read(path: Path) -> Schedule:
    return read_record(path, Schedule)


def run_name(schedule: str, due: datetime) -> str:
    """What Azure calls the run of one time."""
    return f"{schedule}-{due.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _filled(job: dict[str, Any], name: str, due: datetime) -> dict[str, Any]:
    """The job with what only its time tells: `${{creation_context.trigger_time}}`, and `${{name}}` in its inputs."""
    text = TRIGGER_TIME.sub(f"{due.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", json.dumps(job))

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: JOB_NAME.sub(name, inner) if key == "literal" and isinstance(inner, str) else named(inner)
                for key, inner in value.items()
            }
        return [named(inner) for inner in value] if isinstance(value, list) else value

    return named(json.loads(text))
