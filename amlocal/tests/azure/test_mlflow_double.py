"""What Azure's MLflow server refuses, and that azureml-mlflow meets it as it would there."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from double import Double, identity

PROBE = """
import json, tempfile
from pathlib import Path

import mlflow

client, answers = mlflow.MlflowClient(), {}

def ask(name, call):
    try:
        call()
        answers[name] = ""
    except Exception as error:
        answers[name] = f"{type(error).__name__}: {error}"

class Nothing(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str]):
        return model_input

folder = Path(tempfile.mkdtemp())
(folder / "MLmodel").write_text("flavors: {}")
with mlflow.start_run() as run:
    ask("log_model", lambda: mlflow.pyfunc.log_model(name="model", python_model=Nothing(), pip_requirements=["mlflow"]))
    mlflow.log_artifacts(str(folder), "mine")
    ask("the same file again", lambda: mlflow.log_artifacts(str(folder), "mine"))
    ask("a long tag", lambda: mlflow.set_tag("long", "x" * 1001))
    ask("fifty metrics", lambda: mlflow.log_metrics({f"m{number}": 0.0 for number in range(50)}))
    ask("one metric more", lambda: mlflow.log_metric("m50", 0.0))
    mlflow.log_metric("m0", 1.0, synchronous=False)
    mlflow.flush_async_logging()
    client.create_registered_model("named")
    ask("a model named twice", lambda: client.create_registered_model("named"))
    source = mlflow.get_artifact_uri("mine")
    ask("tags at creation", lambda: client.create_model_version("named", source, run.info.run_id, tags={"a": "b"}))
    ask("a file", lambda: client.create_model_version("named", "runs:/" + run.info.run_id))
    ask("a version", lambda: client.create_model_version("named", source, run.info.run_id))
    ask("an alias", lambda: client.set_registered_model_alias("named", "champion", "1"))
    ask("a search by tag", lambda: client.search_model_versions("tags.champion = 'true'"))
    ask("a search by name", lambda: client.search_model_versions("name = 'named'"))
    ask("another name", lambda: client.rename_registered_model("named", "renamed"))
    ask("no such run", lambda: client.get_run("nobody"))
print(json.dumps(answers))
"""

# As a notebook does it: the client's own credential opens MLflow too.
READER = """
import mlflow
from azure.ai.ml import MLClient
from azure.identity import EnvironmentCredential

place = "{double.subscription}", "{double.resource_group}", "{double.workspace}"
workspace = MLClient(EnvironmentCredential(), *place, cloud="FakeCloud").workspaces.get()
mlflow.set_tracking_uri(workspace.mlflow_tracking_uri)
print(*mlflow.search_runs(experiment_names=["{experiment}"]).run_id)
"""


def run(environment: dict[str, str], code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_azure_refuses_is_refused_in_its_words(double: Double) -> None:
    told = run(double.mlflow.start_run("clever_needle_1grscjk86f"), PROBE)
    answers = json.loads(next(line for line in told.splitlines() if line.startswith("{")))
    taken = {name for name, answer in answers.items() if not answer}
    assert taken == {"fifty metrics", "a version", "a search by name"}
    for name, told in {
        "log_model": "/logged-models failed with error code 404 != 200. Response body: ''",
        "the same file again": "Resource Conflict: ArtifactId ExperimentRun/dcid.clever_needle_1grscjk86f/mine/MLmodel",
        "a long tag": "'ComponentName': 'mlflow'",
        "one metric more": "50 names of metrics",
        "a model named twice": "RESOURCE_ALREADY_EXISTS",
        "tags at creation": "The request is invalid",
        "a file": "azureml://artifacts/<origin>/<container>/<artifact_prefix>",
        "an alias": "404",
        "a search by tag": "unsupported filter string",
        "another name": "not supported",
        "no such run": "RESOURCE_DOES_NOT_EXIST",
    }.items():
        assert told in answers[name], (name, answers[name])
    assert double.mlflow.backend.tracking.get_run("clever_needle_1grscjk86f").data.metrics["m0"] == 1.0


def test_a_token_that_runs_out_is_renewed(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(identity, "time", SimpleNamespace(time=lambda: 0))
        environment = double.mlflow.start_run("long-job")
    run(environment, "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('accuracy', 0.5)")
    assert [one for one in double.requests if one.path.endswith("/runs/long-job/token")]
    assert double.mlflow.backend.tracking.get_run("long-job").data.metrics == {"accuracy": 0.5}


def test_without_a_token_nothing_is_told(double: Double) -> None:
    import requests

    answer = requests.get(f"https:{double.mlflow.base}/api/2.0/mlflow/runs/get?run_id=x", timeout=30)
    assert answer.status_code == 401


def test_a_job_is_a_run_of_the_same_name(double: Double, ml_client: Any) -> None:
    from azure.ai.ml import command

    made = command(command="true", environment="azureml:env:1", experiment_name="digits-training")
    job = ml_client.jobs.create_or_update(made)
    told = run({}, READER.format(double=double, experiment=job.experiment_name))
    assert told.split() == [job.name]
