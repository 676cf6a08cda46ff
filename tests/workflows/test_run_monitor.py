"""`monitor`, run here in front of the double of Azure and of a local workspace: a look, and what follows from it."""

import json
import os
import subprocess
import sys

import pytest
from tests.workflows.conftest import run_steps
from tests.workflows.monitored import Repository, change, verdict

MARCH = change("2026-03-02", "2026-03-20")
OVER = MARCH | {"last_date": "2026-03-22", "ended": True}


@pytest.fixture
def cloud(azure):
    """The double, with an endpoint, a registered model and a job that ends at once."""
    runner, double = azure
    endpoint = {"location": double.location, "properties": {"authMode": "Key"}}
    double.store.make(f"{double.workspace_id}/onlineEndpoints/digits", endpoint)
    double.store.make(
        f"{double.workspace_id}/models/digits/versions/1",
        {
            "properties": {
                "modelUri": "azureml://datastores/workspaceblobstore/paths/model",
                "modelType": "mlflow_model",
            }
        },
    )
    double.jobs.script = ["Completed"]
    return runner, double


def look(cloud, found, **event):
    """One run of the workflow whose job finds `found`, as the clock would start it."""
    runner, double = cloud
    double.jobs.outputs = {"monitoring": {"verdict.json": json.dumps(found).encode()}}
    ran = runner("monitor", **event) if event else runner("monitor", "schedule", schedule="41 4 * * *")
    assert ran.leaks(double) == []
    assert not [issue for issue in runner.issues if double.subscription in json.dumps(issue)]
    return ran


def submitted(double):
    return [
        one.body["properties"]
        for one in double.requests
        if one.method == "PUT" and one.path.endswith("/jobs/monitor-1-1")
    ]


def after(runner, *earlier, found):
    """One run that finds `found`, after one that found the changes `earlier`; without the job, which costs seconds."""
    if earlier:
        assert Repository(runner.folder).look(verdict(*earlier), "monitor-0-1").returncode == 0
    before = runner.issues
    scripts = runner.copy / ".github" / "scripts"
    handed_on = json.dumps(found | {"job": "monitor-1-1", "place": ""})
    (scripts / "follow.sh").write_text("#!/bin/sh\n")
    for script, output in (("look.sh", "job=monitor-1-1"), ("report.py", f"verdict={handed_on}")):
        (scripts / script).write_text(f"#!/bin/sh\ncat >> $GITHUB_OUTPUT <<'END'\n{output}\nEND\n")
    ran = runner("monitor", "schedule", schedule="41 4 * * *")
    assert ran.green, ran.log
    assert "Tell" in ran.steps
    return ran, before


def test_a_drift_becomes_an_issue_and_is_posted(cloud, listener):
    runner, double = cloud
    runner.secrets["DRIFT_WEBHOOK"] = listener.url
    ran = look(cloud, verdict(MARCH))
    assert ran.green, ran.log
    assert ran.steps >= run_steps("monitor")
    assert "### Monitoring: Completed" in ran.summary
    assert "**Other digits came and stayed.** Label some of what was collected." in ran.summary
    [issue] = runner.issues
    assert issue["title"] == "Drift: Other digits came and stayed"
    assert "| 2026-03-02 | 2026-03-02 | it stands (2026-03-20) | thinner, harder to read | `knn` |" in issue["body"]
    assert "[Job `monitor-1-1`](https://ml.azure.com/runs/monitor-1-1)" in issue["body"]
    assert "What to do: label some of them" in issue["body"]
    assert runner.started == []
    address = "https://github.com/somebody/digits/issues/1"
    text = f"Drift, alarm: Other digits came and stayed. Label some of what was collected. {address}"
    assert [heard for _, _, heard in listener.heard] == [{"event": "alarm", "text": text, "issue": address}]
    assert listener.url not in ran.log, "whoever knows it may post"
    [job] = submitted(double)
    assert job["inputs"]["collected"]["uri"].endswith("/datastores/workspaceblobstore/paths/modelDataCollector/")
    assert job["inputs"]["model"]["uri"].endswith("/models/digits/versions/1")
    assert "labels" not in job["jobs"]["monitor"]["inputs"]


def test_the_same_drift_on_the_next_day_is_silence(azure):
    runner, _ = azure
    ran, before = after(runner, MARCH, found=verdict(MARCH | {"last_date": "2026-03-21"}))
    assert "Nothing to tell" in ran.log
    [told], [issue] = before, runner.issues
    assert issue | {"body": told["body"]} == told
    assert issue["body"] == told["body"].replace('"last": "2026-03-20"', '"last": "2026-03-21"'), "noted unseen"


def test_another_drift_is_a_comment(azure):
    runner, _ = azure
    after(runner, MARCH, found=verdict(OVER, change("2026-04-01", "2026-04-05", words=["bolder"])))
    [issue] = runner.issues
    assert issue["state"] == "OPEN"
    assert ["bolder" in comment["body"] for comment in issue["comments"]] == [True]


def test_its_end_closes_the_issue_and_is_posted(azure, listener):
    runner, _ = azure
    runner.secrets["DRIFT_WEBHOOK"] = listener.url
    after(runner, MARCH, found=verdict(OVER))
    [issue] = runner.issues
    assert issue["state"] == "CLOSED"
    assert issue["comments"][-1]["body"].startswith("**All clear**: the last odd digits came on 2026-03-22.")
    [(_, _, heard)] = listener.heard
    assert heard["event"] == "all clear" and "the last odd digits came on 2026-03-22 https://" in heard["text"]


def test_no_drift_is_quiet(azure):
    runner, _ = azure
    after(runner, found=verdict(accuracy=0.99))
    assert runner.issues == [] and runner.started == []


def test_labels_start_a_retraining(cloud):
    runner, double = cloud
    double.store.make(f"{double.workspace_id}/data/digits-labels", {"properties": {"latestVersion": "2"}})
    double.store.make(
        f"{double.workspace_id}/data/digits-labels/versions/2",
        {
            "properties": {
                "dataType": "uri_file",
                "dataUri": "azureml://datastores/workspaceblobstore/paths/labels.jsonl",
            }
        },
    )
    ran = look(cloud, verdict(MARCH | {"accuracy": 0.31}, accuracy=0.9))
    assert ran.green, ran.log
    [job] = submitted(double)
    labels = job["jobs"]["monitor"]["inputs"]["labels"]
    assert (labels["job_input_type"], labels["uri"].rpartition("/data/")[2]) == ("uri_file", "digits-labels/versions/2")
    [issue] = runner.issues
    assert "a retraining is started" in issue["body"]
    assert runner.started == ["train.yml --ref main --raw-field drift=monitor-1-1"]


def test_a_look_that_fails_is_red_and_no_issue(cloud):
    runner, double = cloud
    double.jobs.script = ["Running", "Failed"]
    ran = look(cloud, verdict(MARCH), event="workflow_dispatch", inputs={})
    assert not ran.green
    assert "### Monitoring: Failed" in ran.summary
    assert "::error title=Failed::the job monitor-1-1 did not complete" in ran.log
    assert "Tell" not in ran.steps
    assert runner.issues == []


@pytest.mark.parametrize("gone", ["onlineEndpoints/digits", ""])
def test_by_the_clock_nothing_is_looked_at_without_an_endpoint(cloud, gone):
    _, double = cloud
    double.store.delete(f"{double.workspace_id}/{gone}".rstrip("/"))
    ran = look(cloud, verdict(MARCH))
    assert ran.green, ran.log
    assert "There is no endpoint `digits`: nothing new to look at." in ran.summary
    assert submitted(double) == [] and "Tell" not in ran.steps


# Stands for drift.monitor: the same command line and the same files; a drift if anything was collected.
MONITOR = """
import argparse, json
from pathlib import Path
parser = argparse.ArgumentParser()
for flag in ("collected", "model", "labels", "endpoint", "model-name", "output"):
    parser.add_argument("--" + flag, required=flag != "labels")
given = parser.parse_args()
assert (Path(given.model) / "MLmodel").is_file()
lines = [line for file in Path(given.collected, given.endpoint).rglob("*.jsonl") for line in file.open()]
found = json.loads({found!r}) | {{"requests": len(lines)}}
if given.labels:
    found["accuracy"] = len(Path(given.labels).read_text().splitlines()) / len(lines)
Path(given.output, "verdict.json").write_text(json.dumps(found))
"""


def test_it_looks_at_what_was_collected_on_this_machine(runner):
    """The whole way, but for the monitor itself: collected data, a registered model, labels, an issue, a retraining."""
    runner.variables = {"AZURE_WORKSPACE": "local", "AZURE_RESOURCE_GROUP": "local"}
    home = runner.folder / "home"
    runner.environment |= {"POLL_SECONDS": "1", "AMLOCAL_HOME": str(home)}
    command = runner.copy / "src" / "drift" / "monitor" / "__main__.py"
    command.write_text(MONITOR.format(found=json.dumps(verdict(MARCH))))
    store = home / "datastores" / "workspaceblobstore" / "modelDataCollector"
    for endpoint, count in (("digits", 4), ("another", 2)):
        folder = store / endpoint / "blue" / "model_outputs" / "2026" / "03" / "02" / "07"
        folder.mkdir(parents=True)
        (folder / "0.jsonl").write_text('{"data": []}\n' * count)
    model = runner.folder / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {python_function: {loader_module: nothing}}\n")
    labels = runner.folder / "labels.jsonl"
    labels.write_text('{"id": "a", "label": 1}\n')
    for words in (
        ["model", "create", "--name", "digits", "--type", "mlflow_model", "--path", model],
        ["data", "create", "--name", "digits-labels", "--type", "uri_file", "--path", labels],
    ):
        aml = [sys.executable, "-m", "amlocal", *map(str, words)]
        surroundings = os.environ | runner.environment
        subprocess.run(aml, cwd=runner.copy, env=surroundings, capture_output=True, text=True, check=True)

    ran = runner("monitor", "workflow_dispatch", inputs={})
    assert ran.green, ran.log
    assert "4 requests were looked at; of those with a label 25.00% were read right." in ran.summary
    [issue] = runner.issues
    assert "it stands (2026-03-20)" in issue["body"]
    assert runner.started == ["train.yml --ref main --raw-field drift=monitor-1-1"]


def test_without_a_workspace_nothing_happens(cloud):
    runner, double = cloud
    del runner.variables["AZURE_WORKSPACE"]
    assert look(cloud, verdict(MARCH)).green
    assert double.requests == []
