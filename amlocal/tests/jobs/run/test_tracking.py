"""MLflow's store is made once, whole, whoever comes first and wherever it lies."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from amlocal.client import LocalMLClient
from amlocal.core.mlflow_store import client as mlflow_client
from amlocal.jobs.record import JobRecord
from amlocal.jobs.run.tracking import Tracking, context_tags
from amlocal.specs import load

OPEN = """
import sys
from pathlib import Path
from amlocal.jobs.run.tracking import client
from amlocal.core.workspace import Workspace
client(Workspace(Path(sys.argv[1]))).create_experiment(sys.argv[2])
"""


def test_the_first_processes_at_once_make_one_store_where_the_user_wants_it(
    bare_client: LocalMLClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "mine" / "runs.sqlite"
    database.parent.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database.as_posix()}")
    command = [sys.executable, "-c", OPEN, str(bare_client.workspace.root)]
    started = [subprocess.Popen([*command, name], env=os.environ, stderr=subprocess.PIPE) for name in "abc"]
    for process in started:
        _, err = process.communicate()
        assert process.returncode == 0, err.decode()
    there = mlflow_client(bare_client.workspace).search_experiments()
    assert sorted(experiment.name for experiment in there) == ["Default", "a", "b", "c"]
    assert [path.name for path in database.parent.iterdir()] == ["runs.sqlite"]


def test_a_store_that_the_users_own_program_makes_meanwhile_is_not_replaced(
    bare_client: LocalMLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking import sqlalchemy_store

    made = []
    original = sqlalchemy_store.SqlAlchemyStore

    class Slow(sqlalchemy_store.SqlAlchemyStore):
        def __init__(self, uri: str, *more: Any) -> None:
            if uri.endswith("-new"):  # while ours is made, theirs is made and used
                theirs = original(bare_client.workspace.tracking_uri, *more)
                made.append(theirs.create_experiment("theirs"))
            super().__init__(uri, *more)

    with monkeypatch.context() as patch:
        patch.setattr(sqlalchemy_store, "SqlAlchemyStore", Slow)
        there = mlflow_client(bare_client.workspace).search_experiments()
    assert made and "theirs" in {experiment.name for experiment in there}


def test_what_a_killed_first_process_leaves_is_known_to_be_the_workspaces(
    bare_client: LocalMLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking import sqlalchemy_store

    def killed(uri: str, artifacts: str) -> None:
        beside = Path(uri.removeprefix("sqlite:///"))
        for name in (beside.name, f"{beside.name}-journal"):
            beside.with_name(name).touch()
        raise KeyboardInterrupt

    workspace = bare_client.workspace
    with monkeypatch.context() as patch:
        patch.setattr(sqlalchemy_store, "SqlAlchemyStore", killed)
        with pytest.raises(KeyboardInterrupt):
            mlflow_client(workspace)
    assert not workspace.database.exists() and any(workspace.root.glob("*-journal"))
    bare_client.workspaces.begin_delete(workspace.name).result()
    assert not workspace.root.exists()


def record_of(name: str) -> JobRecord:
    return JobRecord(name, "command", name, "exp", {}, {}, status="Completed")


def log_model(client: LocalMLClient, experiment: str, name: str, text: str, ready: bool = True, **origin: Any) -> Any:
    """What MLflow 3 does when a job's process logs a model."""
    store = mlflow_client(client.workspace)
    model = store.create_logged_model(experiment, name, **origin)
    file = Path(url2pathname(urlparse(model.artifact_location).path), "MLmodel")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    if ready:
        store.finalize_logged_model(model.model_id, "READY")
    return file


def test_experiments_are_of_trained_models(client: LocalMLClient) -> None:
    """MLflow 3's pages would else show what is there for GenAI applications."""
    tracking = Tracking(client.workspace)
    tracking.client.create_experiment("of-before")
    tracking.client.create_experiment("chosen", tags={"mlflow.experimentKind": "genai_development"})
    kinds = {"new": "custom_model_development", "of-before": "custom_model_development", "chosen": "genai_development"}
    for name, kind in kinds.items():
        tracking.experiment(name)
        assert tracking.client.get_experiment_by_name(name).tags["mlflow.experimentKind"] == kind, name


def test_logged_models_are_among_the_artifacts_of_their_runs(client: LocalMLClient) -> None:
    tracking, job, other = Tracking(client.workspace), record_of("job-1"), record_of("job-2")
    tracking.start(job, None)
    tracking.start(other, None)
    assert (job.run_id, other.run_id) == ("job-1", "job-2")  # as in Azure: runs:/job-1/model
    assert job.experiment_id
    nested = tracking.client.create_run(job.experiment_id)
    tags = json.loads(context_tags(job)["MLFLOW_RUN_CONTEXT"])
    log_model(client, job.experiment_id, "model", "old", source_run_id="job-1")
    kept = log_model(client, job.experiment_id, "model", "new", source_run_id="job-1")
    log_model(client, job.experiment_id, "alone", "without a run", tags=tags)
    elsewhere = tracking.experiment("another")
    log_model(client, elsewhere, "elsewhere", "in another experiment", tags=tags)
    log_model(client, job.experiment_id, "inner", "nested", tags=tags, source_run_id=nested.info.run_id)
    log_model(client, job.experiment_id, "half", "torn", ready=False, source_run_id="job-1")
    log_model(client, job.experiment_id, "others", "of job-2", source_run_id="job-2")
    for each in (job, other):
        tracking.finish(each, None)

    def models(run: str) -> dict[str, str]:
        artifacts = client.workspace.artifacts / "exp" / run / "artifacts"
        return {file.parent.name: file.read_text() for file in artifacts.glob("*/MLmodel")}

    assert models("job-1") == {
        "model": "new",
        "alone": "without a run",
        "elsewhere": "in another experiment",
    }
    assert models("job-2") == {"others": "of job-2"}
    assert models(nested.info.run_id) == {"inner": "nested"}
    place = client.workspace.artifacts / "exp" / "job-1" / "artifacts" / "model" / "MLmodel"
    assert place.samefile(kept)  # not twice on the disk


def test_a_name_that_mlflow_takes_for_no_id_or_that_is_taken_gets_another(client: LocalMLClient) -> None:
    tracking = Tracking(client.workspace)
    for name in ("a.b", "same", "same"):
        job = record_of(name)
        tracking.start(job, None)
        assert job.run_id
    assert job.run_id != "same"


def test_a_model_of_a_job_is_found_registered_and_downloaded(
    client: LocalMLClient, spec: Callable[..., Path], run: Callable[..., JobRecord], tmp_path: Path
) -> None:
    """Without start_run: MLflow 3 gives such a model no run."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(
        "import mlflow\n"
        "class Model(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None): return model_input\n"
        "mlflow.pyfunc.log_model(name='model', python_model=Model(), pip_requirements=['mlflow'])\n"
    )
    job = run(spec("code: code\ncommand: python train.py\nenvironment: {image: a}\n"))
    assert job.status == "Completed"
    logged = f"azureml://jobs/{job.name}/outputs/artifacts"
    paths = [f"{logged}/paths/model/", f"{logged}/model", f"runs:/{job.name}/model"]
    for number, path in enumerate(paths):
        entity = load("model", spec(f"name: made\ntype: mlflow_model\npath: {path}\nversion: {number + 1}\n"))
        client.models.create_or_update(entity)
        client.models.download("made", str(number + 1), tmp_path / str(number))
        assert (tmp_path / str(number) / "made" / "model" / "MLmodel").is_file()
    client.jobs.download(job.name, download_path=tmp_path / "all", all=True)
    assert [file.parent.name for file in (tmp_path / "all").rglob("MLmodel")] == ["model"]
    store = mlflow_client(client.workspace)
    assert store.get_run(job.name).info.run_id == job.name


def test_a_job_does_not_inherit_what_a_notebook_sets_for_itself(
    client: LocalMLClient, spec: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """matplotlib cannot draw in a job with the backend of the notebook that submits it."""
    for name in ("MPLBACKEND", "FORCE_COLOR", "KEPT"):
        monkeypatch.setenv(name, name)
    command = "type: command\ncommand: echo [$MPLBACKEND$FORCE_COLOR] $KEPT\nenvironment: {image: any}\n"
    job = client.jobs.create_or_update(load("job", spec(command)))
    client.jobs.stream(job.name)
    log = client.workspace.jobs / job.name / "user_logs" / "std_log.txt"
    assert "[] KEPT" in log.read_text(encoding="utf-8")
