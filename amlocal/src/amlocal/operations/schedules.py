"""`client.schedules`: jobs by the clock."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.files import read_json
from amlocal.core.names import creation_context, refuse_changes, texts
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import JobRecord, JobStore
from amlocal.operations import service
from amlocal.operations.common import Operations, Poller, checked, created, entity, not_missing
from amlocal.schedules import Outcome, Schedule, Schedules

# azure-ai-ml's ScheduleListViewType.
ENABLED, DISABLED = "EnabledOnly", "DisabledOnly"

# What of a schedule `update` changes; the rest in its file.
MUTABLE = ("description", "display_name", "is_enabled", "properties", "tags", "trigger")
# What of a schedule azure-ai-ml's schema of files does not take.
NOT_IN_FILES = ("creation_context", "id", "is_enabled", "next_run", "provisioning_state")


def utc_now() -> datetime:
    return datetime.now(UTC)


class ScheduleOperations(Operations):
    """`client.schedules`. now: the clock."""

    takes = ("Schedule",)

    def __init__(self, workspace: Workspace, now: Callable[[], datetime] = utc_now) -> None:
        self.workspace, self.now = workspace, now
        self.store = Schedules(workspace)

    def begin_create_or_update(self, schedule: Any, **_: Any) -> Poller:
        """Check a schedule and its job, and keep both as they are now for `aml schedule run`. Raises UserError."""
        _refuse_other_jobs(schedule)
        self.store.put(self._made(schedule), self.now())
        return Poller(self.get(schedule.name))

    def _made(self, schedule: Any) -> Schedule:
        told = schedule._to_dict()
        is_job = schedule.type == "job"
        if not is_job and "create_monitor" not in told:
            raise UserError(f'schedule "{schedule.name}": it neither creates a job nor a monitor; only these are kept')
        return Schedule(
            name=schedule.name,
            trigger=told["trigger"],
            creation_context={**creation_context(), "created_at": self.now().isoformat()},
            looked="",
            job=self._job(schedule) if is_job else None,
            monitor=None if is_job else self._monitor(schedule, told),
            is_enabled=schedule.is_enabled is not False,
            display_name=schedule.display_name,
            description=schedule.description,
            tags=texts(schedule.tags),
            properties=texts(schedule.properties),
        )

    def get(self, name: str, **_: Any) -> Any:
        with not_missing():
            return self._entity(self.store.get(name))

    def list(self, *, list_view_type: Any = ENABLED, **_: Any) -> Iterator[Any]:
        for schedule in self._listed(list_view_type):
            yield self._entity(schedule)

    def begin_enable(self, name: str, **_: Any) -> Poller:
        return Poller(self._entity(self._set_enabled(name, True)))

    def begin_disable(self, name: str, **_: Any) -> Poller:
        return Poller(self._entity(self._set_enabled(name, False)))

    def begin_delete(self, name: str, **_: Any) -> Poller:
        """Raises UserError while the schedule is enabled, as on Azure."""
        with not_missing():
            self.store.delete(name)
        return Poller(None)

    def trigger(self, name: str, *, schedule_time: str | None = None, **_: Any) -> Any:
        """Start the schedule's job once, now; returns azure-ai-ml's ScheduleTriggerResult, which has its `job_name`.

        schedule_time: another time, ISO 8601, to be called after.
        """
        from azure.ai.ml.entities import ScheduleTriggerResult

        with not_missing():
            job_name = self.store.trigger(name, _moment(schedule_time) or self.now())
            action = "CreateJob" if self.store.get(name).job else "CreateMonitor"
        return ScheduleTriggerResult(job_name=job_name, schedule_action_type=action)

    def run(self) -> Sequence[Outcome]:
        """Start every schedule's job that has come due since the last look. An addition to MLClient's."""
        return [*self.store.start_due(self.now())]

    def describe(self, name: str) -> dict[str, Any]:
        return self._describe(self.store.get(name))

    def describe_all(self, list_view_type: Any = ENABLED, **_: Any) -> Sequence[dict[str, Any]]:
        return [self._describe(schedule) for schedule in self._listed(list_view_type)]

    def revise(self, name: str, wanted: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Make a schedule read as `wanted`, its job aside; returns it as `describe` does. Raises UserError."""
        now = self.describe(name) | {"next_run": wanted.get("next_run")}  # which may have come to pass meanwhile
        changed = refuse_changes(f'schedule "{name}"', now, wanted, MUTABLE)
        if "trigger" in changed:
            checked("schedule", name, {"name": name, "trigger": changed["trigger"], "create_job": "azureml:kept"})
        for key in {"tags", "properties"} & changed.keys():
            changed[key] = texts(changed[key])
        self.store.put(replace(self.store.get(name), **changed), self.now())
        return self.describe(name)

    def _listed(self, list_view_type: str) -> Iterator[Schedule]:
        wanted = {ENABLED.lower(): (True,), DISABLED.lower(): (False,)}.get(
            str(getattr(list_view_type, "value", list_view_type)).lower().replace("_", ""), (True, False)
        )
        return (schedule for schedule in self.store.all() if schedule.is_enabled in wanted)

    def _set_enabled(self, name: str, enabled: bool) -> Schedule:
        with not_missing():
            return self.store.enable(name, enabled, self.now())

    def _job(self, schedule: Any) -> dict[str, Any]:
        """{"record", "plan"} of the job that the schedule creates: made anew, or that of the workspace's "source"."""
        from amlocal.jobs.submit import prepare_job

        job = schedule.create_job
        if isinstance(job, str):
            name = job.removeprefix("azureml:").rpartition("/")[2]
            store = JobStore(self.workspace)
            record = store.read(name)
            return _kept(record, read_json(store.folder(name) / "plan.json")) | {"source": name}
        mark = getattr(job, "_kept_as", None)
        if mark and mark[1] == job._to_dict():  # as `get` gave it: its files need not be where they were
            kept = self.store.get(mark[0]).job
            if kept:
                return kept
        if getattr(job, "jobs", True) in (None, {}) and getattr(job, "id", None):
            raise UserError(
                f'schedule "{schedule.name}": create_job.job: {job.id}: other settings for a job of the workspace are '
                "not applied here; name the job's file instead"
            )
        record, plan = prepare_job(job, self.workspace)
        return _kept(record, plan.to_json())

    def _monitor(self, schedule: Any, told: Mapping[str, Any]) -> dict[str, Any]:
        """What a monitor asks for, checked, its paths whole. Signals that only Azure computes are told of."""
        from amlocal.monitors import places
        from amlocal.specs import monitor as definition

        monitor = places.kept(schedule)
        try:
            refused = definition.refused(monitor, told["trigger"])
        except UserError as error:
            raise UserError(f'schedule "{schedule.name}": {error}') from error
        for signal in refused:
            said = f"{signal.name} ({signal.type}): {signal.reason}"
            logging.getLogger(__name__).warning('WARNING: schedule "%s": %s', schedule.name, said)
        return monitor

    def _describe(self, schedule: Schedule) -> dict[str, Any]:
        try:
            following = schedule.times.following(self.now()) if schedule.is_enabled else None
        except UserError:  # a time zone that another machine knew
            following = None
        told = {
            "creation_context": schedule.creation_context,
            "description": schedule.description,
            "display_name": schedule.display_name,
            "id": self.workspace.id_of("schedules", schedule.name),
            "is_enabled": schedule.is_enabled,
            "name": schedule.name,
            "next_run": following.isoformat() if following else None,
            "properties": schedule.properties,
            "provisioning_state": "Succeeded",
            "tags": schedule.tags,
            "trigger": _as_sent(schedule.trigger),
        }
        if schedule.job is None:
            return told | {"create_monitor": schedule.monitor}
        if source := schedule.job.get("source"):  # as Azure, which does not say again what that job has
            id = f"azureml:{self.workspace.id_of('jobs', source)}"
            about = {"experiment_name": "Default", "id": id, "status": "NotStarted"}
            return told | {"create_job": about | {"type": schedule.job["record"]["type"]}}
        record = schedule.job["record"]
        spec = {**record["spec"], **service.submitted(record["spec"], None)}
        told["create_job"] = spec | {"experiment_name": record["experiment_name"], "status": "NotStarted"}
        return told

    def _entity(self, schedule: Schedule) -> Any:
        shown = self._describe(schedule)
        spec = {key: value for key, value in shown.items() if key not in NOT_IN_FILES}
        if schedule.job is None:
            made = entity("schedule", spec)
        else:
            made = entity("schedule", spec | {"create_job": "azureml:kept"})
            job = entity("job", schedule.job["record"]["spec"])
            job._kept_as = (schedule.name, job._to_dict())
            made.create_job = job
        for key in ("start_time", "end_time"):  # a text, where azure-ai-ml has read it from Azure
            setattr(made.trigger, key, shown["trigger"].get(key))
        made._is_enabled = shown["is_enabled"]
        made._id, made._provisioning_state = shown["id"], shown["provisioning_state"]
        made._creation_context = created(shown["creation_context"])
        return made


def _refuse_other_jobs(schedule: Any) -> None:
    """As azure-ai-ml, whose schedules create pipelines, and other jobs for those with its private features only."""
    job = getattr(schedule, "create_job", None)
    kind = getattr(job, "type", "pipeline")
    if schedule.type != "job" or isinstance(job, str) or kind == "pipeline":
        return
    from azure.ai.ml._utils.utils import is_private_preview_enabled

    if kind == "command" and is_private_preview_enabled():
        return
    raise UserError(
        f'schedule "{schedule.name}": create_job: Azure schedules pipelines, not a job of type {kind};'
        " make it the step of a pipeline"
    )


def _as_sent(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """A trigger with its times as azure-ai-ml sends them and Azure answers: a space between date and time."""
    times = {key: trigger[key] for key in ("start_time", "end_time") if trigger.get(key)}
    return {**trigger, **{key: str(datetime.fromisoformat(str(text))) for key, text in times.items()}}


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _kept(record: JobRecord, plan: dict[str, Any]) -> dict[str, Any]:
    """A job to be started again and again: what of its record belongs to no single run."""
    fresh = JobRecord(
        name="",
        type=record.type,
        display_name="",
        experiment_name=record.experiment_name,
        spec={key: value for key, value in record.spec.items() if key != "name"},
        creation_context=record.creation_context,
        description=record.description,
        tags=record.tags,
    )
    return {"record": asdict(fresh), "plan": plan}
