"""Schedules as a Python user meets them: kept, due, started exactly once. Nothing here waits for a clock."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from azure.ai.ml import Input, command, dsl
from azure.ai.ml.constants import TimeZone
from azure.ai.ml.entities import CronTrigger, Environment, JobSchedule, RecurrencePattern, RecurrenceTrigger
from azure.core.exceptions import ResourceNotFoundError

from amlocal import schedules as scheduled
from amlocal.core.errors import UserError
from amlocal.core.files import read_json, write_json
from amlocal.jobs.record import RUNNER, JobStore
from amlocal.operations.schedules import ScheduleOperations

NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.time = NOON

    def __call__(self):
        return self.time

    def goes(self, **by):
        self.time += timedelta(**by)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def schedules(client, clock):
    return ScheduleOperations(client.workspace, now=clock)


@pytest.fixture
def started(client, monkeypatch):
    """The jobs that were started, as (name, plan); none runs, but each leaves the folder of one that does."""
    jobs = []

    def start(record, plan, workspace):
        jobs.append((record.name, plan))
        store = JobStore(workspace)
        store.create(record)
        write_json(store.folder(record.name) / "plan.json", plan.to_json())
        write_json(store.folder(record.name) / RUNNER, {})
        return record

    monkeypatch.setattr("amlocal.jobs.submit.start", start)
    return jobs


def job(text="hello"):
    return pipeline_of(command(command=f"echo {text}", environment=Environment(name="e", image="a")))


def pipeline_of(said):
    """A pipeline of one step: azure-ai-ml schedules nothing else."""

    @dsl.pipeline(experiment_name="by-the-clock")
    def steps():
        step = said()  # noqa: F841 (its name)

    return steps()


def hourly(name="hourly", **more):
    trigger = CronTrigger(expression="0 * * * *", start_time="2020-01-01T00:00:00", **more)
    return JobSchedule(name=name, trigger=trigger, create_job=job())


def names(outcomes):
    return [outcome.job_name for outcome in outcomes]


def test_a_schedule_starts_its_job_when_it_is_due_and_only_then(schedules, clock, started):
    made = schedules.begin_create_or_update(hourly()).result()
    assert (made.name, made.is_enabled, made.provisioning_state) == ("hourly", True, "Succeeded")
    assert names(schedules.run()) == [], "what came due before it was made is not made up for"
    clock.goes(minutes=59)
    assert names(schedules.run()) == []
    clock.goes(minutes=1)
    assert names(schedules.run()) == ["hourly-20260101T130000Z"]
    assert names(schedules.run()) == []
    assert [name for name, _ in started] == ["hourly-20260101T130000Z"]


def test_missed_times_are_one_run(schedules, clock, started):
    schedules.begin_create_or_update(hourly()).result()
    clock.goes(hours=5, minutes=10)
    assert names(schedules.run()) == ["hourly-20260101T170000Z"]
    clock.goes(hours=1)
    assert names(schedules.run()) == ["hourly-20260101T180000Z"]


def test_without_a_start_a_recurrence_begins_at_once(schedules, clock, started):
    schedules.begin_create_or_update(
        JobSchedule(name="often", trigger=RecurrenceTrigger(frequency="hour", interval=2), create_job=job())
    ).result()
    assert names(schedules.run()) == ["often-20260101T120000Z"]
    clock.goes(hours=2)
    assert names(schedules.run()) == ["often-20260101T140000Z"]


def test_a_look_that_is_killed_half_way_starts_nothing_twice(schedules, clock, started, monkeypatch):
    schedules.begin_create_or_update(hourly()).result()
    clock.goes(hours=1)
    with monkeypatch.context() as patch:
        patch.setattr(scheduled.Schedules, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            list(schedules.run())
    assert len(started) == 1
    assert names(schedules.run()) == ["hourly-20260101T130000Z"]
    assert len(started) == 1, "the next look finds it under way"
    assert names(schedules.run()) == []


def test_a_job_whose_runner_never_came_is_started_again(schedules, clock, client, started, monkeypatch):
    monkeypatch.setattr(scheduled, "TAKE_OVER_SECONDS", 0.1)
    schedules.begin_create_or_update(hourly()).result()
    clock.goes(hours=1)
    list(schedules.run())
    store = JobStore(client.workspace)
    (store.folder("hourly-20260101T130000Z") / RUNNER).unlink()
    kept = replace(schedules.store.get("hourly"), looked=NOON.isoformat())
    schedules.store._write(kept)
    assert names(schedules.run()) == ["hourly-20260101T130000Z"]
    assert len(started) == 2


def test_looks_at_the_same_time_start_nothing_twice(schedules, clock, started):
    for name in ("a", "b", "c"):
        schedules.begin_create_or_update(hourly(name)).result()
    clock.goes(hours=1)
    looks = [threading.Thread(target=lambda: list(schedules.run())) for _ in range(4)]
    for look in looks:
        look.start()
    for look in looks:
        look.join()
    assert sorted(name for name, _ in started) == [f"{name}-20260101T130000Z" for name in ("a", "b", "c")]


def test_one_that_cannot_start_does_not_stop_the_others_and_is_tried_again(schedules, clock, started, monkeypatch):
    schedules.begin_create_or_update(hourly("broken")).result()
    schedules.begin_create_or_update(hourly("sound")).result()
    clock.goes(hours=1)
    whole = scheduled.Schedules._start

    def start(self, schedule, due):
        if schedule.name == "broken":
            raise UserError("the disk is full")
        return whole(self, schedule, due)

    with monkeypatch.context() as patch:
        patch.setattr(scheduled.Schedules, "_start", start)
        told = [(outcome.schedule, outcome.job_name, outcome.error) for outcome in schedules.run()]
    assert told == [("broken", None, "the disk is full"), ("sound", "sound-20260101T130000Z", None)]
    assert names(schedules.run()) == ["broken-20260101T130000Z"]


@pytest.mark.parametrize("text", ["{", "{}", None, "no time"])
def test_one_whose_file_is_spoilt_does_not_stop_the_others(schedules, clock, started, text):
    schedules.begin_create_or_update(hourly("broken")).result()
    schedules.begin_create_or_update(hourly("sound")).result()
    clock.goes(hours=1)
    path = schedules.store.folder / "broken.json"
    if text is None:  # what makes reading raise an OSError
        path.unlink()
        path.mkdir()
    else:
        path.write_text(json.dumps({**read_json(path), "looked": "soon"}) if text == "no time" else text)
    broken, sound = schedules.run()
    assert broken.job_name is None and "broken" in broken.error and "\n" not in broken.error
    assert sound.job_name == "sound-20260101T130000Z"


def test_a_look_needs_nobody_to_count_what_it_started(schedules, clock, started):
    schedules.begin_create_or_update(hourly()).result()
    clock.goes(hours=1)
    schedules.run()
    assert [name for name, _ in started] == ["hourly-20260101T130000Z"]


def test_disabled_it_sleeps_and_enabled_again_it_goes_on_from_now(schedules, clock, started):
    schedules.begin_create_or_update(hourly()).result()
    assert schedules.begin_disable(name="hourly").result().is_enabled is False
    assert list(schedules.list()) == []
    assert [each.name for each in schedules.list(list_view_type="DISABLED_ONLY")] == ["hourly"]
    assert [each.name for each in schedules.list(list_view_type="ALL")] == ["hourly"]
    clock.goes(hours=3)
    assert names(schedules.run()) == []
    assert schedules.begin_enable(name="hourly").result().is_enabled is True
    assert names(schedules.run()) == []
    clock.goes(hours=1)
    assert names(schedules.run()) == ["hourly-20260101T160000Z"]


def test_deleting_is_for_disabled_ones(schedules):
    schedules.begin_create_or_update(hourly()).result()
    with pytest.raises(UserError, match='schedule "hourly" is enabled; first `aml schedule disable -n hourly`'):
        schedules.begin_delete(name="hourly")
    schedules.begin_disable(name="hourly").result()
    assert schedules.begin_delete(name="hourly").result() is None
    for ask in (schedules.get, schedules.begin_delete, schedules.begin_enable, schedules.trigger):
        with pytest.raises(ResourceNotFoundError, match='schedule "hourly" was not found in this workspace'):
            ask("hourly")


def test_what_get_returns_can_be_changed_and_put_back(schedules, clock, started, tmp_path):
    schedules.begin_create_or_update(hourly()).result()
    schedule = schedules.get("hourly")
    schedule.trigger.expression = "30 * * * *"
    schedule.description = "half past"
    again = schedules.begin_create_or_update(schedule=schedule).result()
    assert (again.trigger.expression, again.description) == ("30 * * * *", "half past")
    clock.goes(minutes=30)
    assert names(schedules.run()) == ["hourly-20260101T123000Z"]


def test_a_trigger_by_hand_is_beside_the_clock(schedules, clock, started):
    schedules.begin_create_or_update(hourly()).result()
    first, second = (schedules.trigger(name="hourly").job_name for _ in range(2))
    assert (first, second) == ("hourly-20260101T120000Z", "hourly-20260101T120001Z")
    assert schedules.trigger("hourly", schedule_time="2025-12-24T18:00:00").job_name == "hourly-20251224T180000Z"
    clock.goes(hours=1)
    assert names(schedules.run()) == ["hourly-20260101T130000Z"]


def test_the_time_and_the_name_are_inputs(schedules, clock, started):
    @dsl.pipeline()
    def steps(when, who):
        command(
            command="echo ${{inputs.when}} ${{inputs.who}}",
            environment=Environment(name="e", image="a"),
            inputs={"when": Input(type="string"), "who": Input(type="string")},
        )(when=when, who=who)

    schedules.begin_create_or_update(
        JobSchedule(
            name="nightly",
            trigger=RecurrenceTrigger(
                frequency="day", interval=1, schedule=RecurrencePattern(hours=3, minutes=0), time_zone=TimeZone.UTC
            ),
            create_job=steps(when="${{creation_context.trigger_time}}", who="${{name}}"),
        )
    ).result()
    clock.goes(days=1)
    [name] = names(schedules.run())
    told = json.dumps(started[0][1].to_json())
    assert name == "nightly-20260102T030000Z"
    assert '"literal": "2026-01-02T03:00:00Z"' in told
    assert f'"literal": "{name}"' in told
    assert "${{" not in told.replace("${{inputs.", "")


def test_a_job_of_the_workspace_by_its_name(schedules, client, clock, started):
    from amlocal.jobs.submit import prepare_job

    record, plan = prepare_job(job("kept"), client.workspace)
    store = JobStore(client.workspace)
    store.create(replace(record, name="before"))
    write_json(store.folder("before") / "plan.json", plan.to_json())
    trigger = CronTrigger(expression="0 * * * *", start_time="2020-01-01T00:00:00")
    schedules.begin_create_or_update(JobSchedule(name="again", trigger=trigger, create_job="azureml:before")).result()
    clock.goes(hours=1)
    assert names(schedules.run()) == ["again-20260101T130000Z"]
    assert started[0][1].steps["step"].command == "echo kept"
    id = f"azureml:{client.workspace.id_of('jobs', 'before')}"
    shown = {"experiment_name": "Default", "id": id, "status": "NotStarted", "type": record.type}
    assert schedules.describe("again")["create_job"] == shown, "as Azure, nothing of what that job is made of"


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        (CronTrigger(expression="0 0 *"), "trigger.expression"),
        (CronTrigger(expression="0 0 * * *", time_zone="Mars"), "trigger.time_zone"),
        (RecurrenceTrigger(frequency="day", interval=0), "trigger.interval"),
    ],
)
def test_a_trigger_that_means_nothing_is_refused_and_not_kept(schedules, trigger, message):
    with pytest.raises(UserError, match=message):
        schedules.begin_create_or_update(JobSchedule(name="wrong", trigger=trigger, create_job=job()))
    assert schedules.describe_all(list_view_type="All") == []


def test_a_job_that_is_not_sound_is_refused_when_the_schedule_is_made(schedules):
    unsound = command(command="cat ${{inputs.data}}", inputs={"data": Input(type="uri_file", path="./gone.txt")})
    trigger = CronTrigger(expression="0 * * * *")
    with pytest.raises(UserError, match="no such file"):
        schedules.begin_create_or_update(JobSchedule(name="wrong", trigger=trigger, create_job=pipeline_of(unsound)))


def test_a_schedule_creates_pipelines_only_as_azure_ai_mls(schedules, monkeypatch):
    step = command(command="true", environment=Environment(name="e", image="a"))
    schedule = JobSchedule(name="alone", trigger=CronTrigger(expression="0 * * * *"), create_job=step)
    with pytest.raises(UserError, match="Azure schedules pipelines, not a job of type command"):
        schedules.begin_create_or_update(schedule)
    monkeypatch.setenv("AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED", "true")
    schedules.begin_create_or_update(schedule)
    shown = schedules.describe("alone")["create_job"]
    assert (shown["type"], shown["status"], shown["queue_settings"]) == ("command", "NotStarted", {"job_tier": "null"})


def test_the_jobs_of_a_schedule_have_the_display_name_of_its_job(schedules, clock, monkeypatch):
    started = []
    monkeypatch.setattr("amlocal.jobs.submit.start", lambda record, *_: started.append(record.display_name))
    job = pipeline_of(command(command="true", environment=Environment(name="e", image="a")))
    job.display_name = "Nightly training"
    schedules.begin_create_or_update(
        JobSchedule(name="named", trigger=CronTrigger(expression="0 * * * *"), create_job=job)
    )
    clock.goes(hours=1)
    schedules.run()
    assert started == ["Nightly training"]


def test_it_really_runs(schedules, clock, client, finish):
    schedules.begin_create_or_update(hourly()).result()
    clock.goes(hours=1)
    [name] = names(schedules.run())
    record = finish(name)
    assert (record.status, record.display_name, record.experiment_name) == ("Completed", "steps", "by-the-clock")
    [step] = client.jobs.describe_all(parent_job_name=name)
    assert "hello" in (client.jobs.store.folder(step["name"]) / "user_logs" / "std_log.txt").read_text()
    assert read_json(client.jobs.store.folder(name) / "job.json")["creation_context"]["created_by"]
