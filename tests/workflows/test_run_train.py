"""`train`, run here: in front of a local workspace, where it trains in earnest, and of the double of Azure."""

import json

import pytest
from double.jobs import Job
from tests.workflows.conftest import run_steps

OUTPUT = {"jobOutputType": "uri_folder"}
VERDICT = {
    "registered": True,
    "reason": "98.70% is significantly better than 98.10%",
    "model_name": "digits",
    "version": 3,
    "accuracy": 0.987,
    "champion_version": 2,
    "champion_accuracy": 0.981,
    "mcnemar_p": 0.0123,
}


@pytest.fixture
def local(runner):
    """A machine whose `az` is a laptop's; what is trained is soon done and soon good enough."""
    runner.variables = {"AZURE_WORKSPACE": "local", "AZURE_RESOURCE_GROUP": "local"}
    runner.environment["POLL_SECONDS"] = "1"
    runner.replace("src/digits/network/fit.py", "epochs=5, batch=64", "epochs=1, batch=64")
    runner.replace("aml/pipelines/training.yml", "threshold: 0.97", "threshold: 0.5")
    return runner


@pytest.fixture
def cloud(azure):
    runner, double = azure
    double.jobs.outputs = {"verdict": {"verdict.json": json.dumps(VERDICT).encode()}}
    return runner, double


def sent(double, method, end):
    return [request for request in double.requests if request.method == method and request.path.endswith(end)]


def test_it_trains_on_this_machine(local):
    ran = local("train", "workflow_dispatch", inputs={"schedule": "baseline"})
    assert ran.green, ran.log
    assert "epoch 1/1" in ran.log
    assert "### Training: Completed" in ran.summary
    assert "**Registered as `digits:1`**" in ran.summary
    assert "| accuracy | " in ran.summary
    assert local.started == ["deploy.yml --ref main --raw-field version=1"]


def test_a_push_trains_in_azure(cloud):
    runner, double = cloud
    double.jobs.script = ["Queued", "Running", "Completed"]
    ran = runner("train", ref="refs/heads/main")
    assert ran.green, ran.log
    assert ran.steps >= run_steps("train") - {"Follow on"}
    assert "epoch 2" in ran.log, "the job's log was not streamed"
    assert "**Registered as `digits:3`**: 98.70% is significantly better than 98.10%" in ran.summary
    for line in ("| accuracy | 98.70% |", "| champion's accuracy | 98.10% |", "| McNemar's p | 0.0123 |"):
        assert line in ran.summary
    assert "Job `train-1-1`" in ran.summary
    assert "https://github.com/somebody/digits/commit/" in ran.summary
    [job] = sent(double, "PUT", "/jobs/train-1-1")
    assert job.body["properties"]["inputs"]["schedule"]["value"] == "small"
    assert len(job.body["properties"]["tags"]["commit"]) == 40
    environments = [request.path for request in double.requests if "/environments/" in request.path]
    assert environments and all("/CliV2AnonymousEnvironment/" in path for path in environments), "it comes with the job"
    assert runner.started == ["deploy.yml --ref main --raw-field version=3"]
    assert ran.leaks(double) == []


def test_with_two_workspaces_the_model_is_promoted(cloud):
    runner, double = cloud
    double.jobs.script = ["Completed"]
    runner.variables["AZURE_REGISTRY"] = "mlr-digits"
    ran = runner("train", ref="refs/heads/main")
    assert ran.green, ran.log
    assert runner.started == ["promote.yml --ref main --raw-field version=3"]


def test_a_drift_is_learnt_from_its_labels(cloud):
    runner, double = cloud
    double.jobs.script = ["Completed"]
    double.jobs.outputs["monitoring"] = {"verdict.json": b'{"changes": []}'}
    runner.variables["AZURE_LABELS"] = "azureml://datastores/workspaceblobstore/paths/labels/labels.jsonl"
    place = f"{double.workspace_id}/jobs/monitor-7-1"
    double.store.make(place, {"properties": {"jobType": "Pipeline", "outputs": {"monitoring": OUTPUT}}})
    double.jobs.begin(None, double.store.get(place))
    ran = runner("train", "workflow_dispatch", inputs={"drift": "monitor-7-1"})
    assert ran.green, ran.log
    [job] = sent(double, "PUT", "/jobs/train-1-1")
    assert job.body["properties"]["experimentName"] == "digits-retraining"
    assert job.body["properties"]["inputs"]["labels"]["uri"].endswith("/paths/labels/labels.jsonl")
    assert "drift" in job.body["properties"]["jobs"]["gather"]["inputs"]
    assert "**Registered as `digits:3`**" in ran.summary
    assert runner.started == ["deploy.yml --ref main --raw-field version=3"]


def test_a_training_that_fails_in_azure_is_red(cloud):
    runner, double = cloud
    double.jobs.script = ["Queued", "Running", "Failed"]
    ran = runner("train", ref="refs/heads/main")
    assert not ran.green
    assert "### Training: Failed" in ran.summary
    assert "::error title=Failed::the job train-1-1 did not complete" in ran.log
    assert runner.started == []
    assert ran.leaks(double) == []


def test_a_queue_that_never_moves_is_red_and_says_why(cloud, monkeypatch):
    runner, double = cloud
    double.jobs.script = ["Running"]  # Azure calls a pipeline running while its steps are queued
    monkeypatch.setattr(Job, "status_of_child", lambda self, child: "Canceled" if self.canceled else "Queued")
    runner.variables["AZURE_QUEUE_MINUTES"] = "0"
    ran = runner("train", ref="refs/heads/main")
    assert not ran.green
    assert "### The queue never moved" in ran.summary
    assert "quota" in ran.summary
    assert "az ml compute list-usage" in ran.summary
    assert "### Training: Canceled" in ran.summary
    assert len(sent(double, "POST", "/jobs/train-1-1/cancel")) == 1, "the job would wait on, and cost when it starts"
    assert ran.leaks(double) == []


def test_a_job_that_cannot_be_submitted_is_red_and_is_not_reported(cloud):
    runner, _ = cloud
    runner.replace("aml/environments/training/environment.yml", "conda_file: conda.yml", "conda_file: nowhere.yml")
    ran = runner("train", ref="refs/heads/main")
    assert not ran.green
    assert "nowhere.yml" in ran.log
    assert ran.summary == ""


def test_without_a_workspace_nothing_happens(cloud):
    runner, double = cloud
    del runner.variables["AZURE_WORKSPACE"]
    ran = runner("train", ref="refs/heads/main")
    assert ran.green
    assert double.requests == []
