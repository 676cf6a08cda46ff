"""`aml schedule`: what is typed, printed and returned; the jobs it starts are really run once."""

import json
import textwrap

import pytest

from amlocal.cli import main
from amlocal.core.files import read_json, write_json

SCHEDULE = """
    name: nightly
    display_name: Every night
    trigger:
      type: cron
      expression: "0 3 * * *"
      time_zone: W. Europe Standard Time
      start_time: "2020-01-01T00:00:00"
    create_job: ./job.yml
"""
PIPELINE = """
    type: pipeline
    experiment_name: nights
    inputs: {who: nobody}
    jobs:
      greet:
        command: echo good night ${{inputs.who}}
        environment: {image: a}
        inputs: {who: "${{parent.inputs.who}}"}
"""


@pytest.fixture
def aml(client, monkeypatch, capsys):
    """Runs `aml schedule WORDS` in this process, on the test's workspace; returns (code, stdout, stderr)."""
    monkeypatch.setenv("AMLOCAL_HOME", str(client.workspace.root))

    def run(*words):
        code = main(["schedule", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def file(tmp_path):
    (tmp_path / "job.yml").write_text(textwrap.dedent(PIPELINE))
    path = tmp_path / "schedule.yml"
    path.write_text(textwrap.dedent(SCHEDULE))
    return path


def came_due(client, name):
    """Make the last look at a schedule a year old."""
    path = client.workspace.root / "schedules" / f"{name}.json"
    write_json(path, read_json(path) | {"looked": "2025-01-01T00:00:00+00:00"})


def test_a_schedule_lives(aml, file):
    code, out, err = aml("create", "-f", file, "--set", "description=says good night")
    made = json.loads(out)
    assert (code, made["name"], made["is_enabled"], made["provisioning_state"]) == (0, "nightly", True, "Succeeded")
    assert (made["trigger"]["type"], made["trigger"]["expression"]) == ("cron", "0 3 * * *")
    assert (made["display_name"], made["description"]) == ("Every night", "says good night")
    assert made["create_job"]["experiment_name"] == "nights"
    assert "have cron call `aml schedule run`" in err
    assert aml("show", "--name", "nightly", "--query", "trigger.type", "-o", "tsv")[1] == "cron\n"
    assert aml("list", "--query", "[].name", "-o", "tsv")[1] == "nightly\n"

    code, out, _ = aml(
        "update", "-n", "nightly", "--set", "tags.a=b", "description=other", "trigger.expression=0 4 * * *"
    )
    assert (json.loads(out)["tags"], json.loads(out)["description"]) == ({"a": "b"}, "other")
    assert json.loads(out)["next_run"][11:16] in ("02:00", "03:00"), "four o'clock in Berlin"

    assert json.loads(aml("disable", "-n", "nightly")[1])["is_enabled"] is False
    assert aml("list", "-o", "tsv")[1] == ""
    assert aml("list", "--disabled-only", "--query", "[].name", "-o", "tsv")[1] == "nightly\n"
    assert aml("enable", "-n", "nightly", "--no-wait")[:2] == (0, "")
    assert aml("list", "--include-disabled", "--max-results", "5", "--query", "[].is_enabled")[1].split() == [
        "[",
        "true",
        "]",
    ]

    code, _, err = aml("delete", "-n", "nightly")
    assert (code, err.strip()) == (1, 'ERROR: schedule "nightly" is enabled; first `aml schedule disable -n nightly`')
    aml("disable", "-n", "nightly")
    assert aml("delete", "--name", "nightly", "--yes")[:2] == (0, "")
    code, _, err = aml("show", "-n", "nightly")
    assert code == 1
    assert 'schedule "nightly" was not found in this workspace' in err


def test_run_starts_what_is_due_and_says_so(aml, file, client, finish):
    changed = "create_job: {type: pipeline, job: ./job.yml, inputs: {who: moon}}"
    file.write_text(file.read_text().replace("create_job: ./job.yml", changed))
    assert aml("create", "-f", file)[0] == 0
    assert json.loads(aml("run")[1]) == []
    came_due(client, "nightly")
    code, out, _ = aml("run", "-o", "json")
    [started] = json.loads(out)
    assert (code, started["schedule"]) == (0, "nightly")
    assert started["job_name"].startswith("nightly-20")
    assert json.loads(aml("run")[1]) == []
    assert finish(started["job_name"]).status == "Completed"
    log = client.jobs.store.folder(f"{started['job_name']}_greet") / "user_logs" / "std_log.txt"
    assert "good night moon\n" in log.read_text()


def test_trigger_gives_the_job(aml, file, client, finish):
    aml("create", "-f", file)
    name = aml("trigger", "-n", "nightly", "--query", "job_name", "-o", "tsv")[1].strip()
    assert finish(name).status == "Completed"


def test_what_cannot_start_fails_run_and_is_tried_again(aml, file, client, tmp_path):
    (tmp_path / "job.yml").write_text(
        "type: pipeline\njobs: {one: {type: command, command: echo hello, environment: {image: a}}}\n"
    )
    (tmp_path / "other.yml").write_text(
        textwrap.dedent(
            """
            name: other
            trigger: {type: cron, expression: "0 3 13 * *", start_time: "2020-01-01T00:00:00"}
            create_job: ./job.yml
            """
        )
    )
    code, _, err = aml("create", "-f", tmp_path / "other.yml")
    assert code == 0
    assert "days and months count as *, as Azure has it" in err
    came_due(client, "other")
    path = client.workspace.root / "schedules" / "other.json"
    kept = read_json(path)
    write_json(path, kept | {"job": {"record": {}, "plan": {}}})
    for _ in range(2):
        code, out, err = aml("run")
        assert (code, json.loads(out)) == (1, [])
        assert "schedules/other.json: damaged: " in err.replace("\\", "/")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("update", "-n", "nightly", "--set", "name=other"), 'schedule "nightly": name cannot be changed'),
        (("update", "-n", "nightly", "--set", "trigger.time_zone=Mars"), 'trigger.time_zone: "Mars" is no name'),
        (("trigger", "-n", "other"), 'schedule "other" was not found in this workspace'),
        (("run", "--target", "azure"), "is about the workspace of this folder"),
    ],
)
def test_what_is_wrong_is_one_line(aml, file, words, message):
    aml("create", "-f", file)
    code, _, err = aml(*words)
    assert code == 1
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_file_that_is_wrong_names_its_line(aml, file):
    file.write_text(file.read_text().replace("create_job: ./job.yml", "create_job: ./gone.yml"))
    code, _, err = aml("create", "-f", file)
    assert code == 1
    assert "gone.yml" in err
