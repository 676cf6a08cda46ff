"""Environments with packages from the real index: another MLflow, an endpoint's. Skipped where no index is reached."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from amlocal import environments
from amlocal.client import LocalMLClient
from amlocal.down import down
from amlocal.environments import server
from amlocal.environments.installer import Unreachable, packages_of
from amlocal.jobs.run.tracking import Tracking
from amlocal.operations.common import entity

OURS = metadata.version("mlflow")

TRAIN = """
import pathlib, mlflow
mlflow.log_metric("accuracy", 0.5)
mlflow.log_param("rate", 0.1)
mlflow.set_tag("by", mlflow.__version__)
pathlib.Path("note.txt").write_text("hello")
mlflow.log_artifact("note.txt", "notes")
mlflow.end_run()
mlflow.set_experiment("another")
with mlflow.start_run():
    mlflow.log_text("hello", "note.txt")

model = pathlib.Path("saved")
model.mkdir()
(model / "MLmodel").write_text("flavors: {python_function: {loader_module: x}}")
mlflow.register_model(model.resolve().as_uri(), "registered")
try:
    mlflow.register_model(pathlib.Path("/").as_uri(), "registered")
except mlflow.MlflowException as refused:
    assert "Invalid model version source" in str(refused)
else:
    raise SystemExit("what is no model was registered")
"""

SCORE = """
import cowsay, packaging
def init(): pass
def run(raw_data):
    cowsay.cow("mu")
    return {"cowsay": cowsay.__version__, "packaging": packaging.__version__}
"""


@pytest.fixture
def no_server() -> Iterator[None]:
    yield
    while server._servers:  # a process ends its servers with itself, and this one goes on
        server._servers.popitem()[1].stop()


# azureml-mlflow without a full MLflow is what most conda files ask for.
@pytest.mark.parametrize(
    ("requirement", "version"), [("mlflow-skinny==2.16.*", "2.16"), (f"mlflow-skinny=={OURS}", OURS)]
)
def test_another_mlflow_talks_to_a_server_and_leaves_the_database_alone(
    client, tmp_path, no_server, requirement, version
):
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    tracking = Tracking(client.workspace)
    run = tracking.client.create_run(tracking.experiment("e"))
    before = schema(client.workspace.database)
    spec = {"conda_file": {"dependencies": [f"python={python}", {"pip": [requirement, "cowsay"]}]}}
    try:
        runtime = environments.prepare(spec, client.workspace, tmp_path / "log", tmp_path, "")
    except Unreachable as error:
        pytest.skip(str(error))
    address = runtime.variables["MLFLOW_TRACKING_URI"]
    assert address.startswith("http://127.0.0.1:")
    variables = {**os.environ, "MLFLOW_RUN_ID": run.info.run_id, **runtime.variables}
    subprocess.run([runtime.python, "-c", TRAIN], cwd=tmp_path, env=variables, check=True)
    kept = tracking.client.get_run(run.info.run_id)
    assert kept.data.metrics == {"accuracy": 0.5}
    assert kept.data.params == {"rate": "0.1"}
    assert kept.data.tags["by"].startswith(version)
    assert [item.path for item in tracking.client.list_artifacts(run.info.run_id, "notes")] == ["notes/note.txt"]
    [other] = tracking.client.search_runs([tracking.experiment("another")])
    assert [item.path for item in tracking.client.list_artifacts(other.info.run_id)] == ["note.txt"]
    assert schema(client.workspace.database) == before
    [version] = tracking.client.search_model_versions("name='registered'")  # and what was registered has a copy here
    assert (client.workspace.artifacts / "LocalUpload").as_uri() in version.source

    # another such job has the same server
    command = "pip install 'mlflow<2.19' && python train.py"
    again = environments.prepare(None, client.workspace, tmp_path / "log", tmp_path, command)
    assert again.variables["MLFLOW_TRACKING_URI"] == address


def schema(database: Path) -> str:
    import sqlite3

    with sqlite3.connect(database) as connection:
        return str(connection.execute("select sql from sqlite_master order by name").fetchall())


@pytest.mark.parametrize(
    ("command", "served"),
    [
        ("pip install 'mlflow<2.19' -q && python train.py", True),
        ("python -m pip install -r requirements.txt; python train.py", True),
        ("pip install -q ./package && python train.py", True),
        ("pip install -e .", True),
        ("pip install -q ipykernel papermill==2.6; papermill a.ipynb -r mlflow", False),
        ("python train.py --with mlflow", False),
    ],
)
def test_a_server_is_started_for_those_who_may_bring_an_mlflow(client, tmp_path, monkeypatch, command, served):
    monkeypatch.setattr(server, "ensure", lambda workspace: "http://there")
    runtime = environments.prepare(None, client.workspace, tmp_path / "log", tmp_path, command)
    assert ("MLFLOW_TRACKING_URI" in runtime.variables) == served


@pytest.mark.parametrize(
    ("there", "served"),
    [
        ({"mlflow": OURS, "mlflow-skinny": OURS, "mlflow-tracing": OURS, "sqlalchemy": "2", "alembic": "1"}, False),
        ({"mlflow-skinny": OURS, "azureml-mlflow": "1"}, True),  # of our version, and without a database all the same
        ({"mlflow-skinny": OURS, "sqlalchemy": "2", "alembic": "1"}, True),
        ({"mlflow": OURS, "mlflow-skinny": OURS}, True),  # installed without what it requires
        ({"mlflow": "2.16.2", "mlflow-skinny": "2.16.2", "sqlalchemy": "2", "alembic": "1"}, True),
        ({"numpy": "2"}, False),
    ],
)
def test_what_an_environment_has_tells_whether_it_needs_a_server(client, tmp_path, monkeypatch, there, served):
    monkeypatch.setattr(server, "ensure", lambda workspace: "http://there")
    monkeypatch.setattr(environments, "_base", lambda *_: tmp_path / "base")
    place = packages_of(tmp_path / "base")
    for name, version in there.items():
        about = place / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (tmp_path / "base" / "bin").mkdir()
    runtime = environments.prepare(None, client.workspace, tmp_path / "log", tmp_path, "")
    assert ("MLFLOW_TRACKING_URI" in runtime.variables) == served


def test_a_tracking_server_of_the_users_own_is_kept(client, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    runtime = environments.prepare(None, client.workspace, tmp_path / "log", tmp_path, "pip install mlflow")
    assert "MLFLOW_TRACKING_URI" not in runtime.variables


def test_the_server_dies_with_whoever_runs_the_job(client, tmp_path):
    script = (
        "import os, sys, time; from pathlib import Path; from amlocal.environments import server\n"
        "from amlocal.core.workspace import Workspace\n"
        f"print(server.ensure(Workspace(Path({str(client.workspace.root)!r}))), flush=True); time.sleep(100)"
    )
    runner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert runner.stdout
    address = runner.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    started = psutil.Process(runner.pid).children(recursive=True)
    runner.kill()
    runner.wait()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []


def test_a_deployment_runs_in_the_environment_it_asks_for(client, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCORE)
    conda = {"name": "e", "dependencies": ["python=3.11", {"pip": ["cowsay==6.1", "packaging==24.1"]}]}
    client.online_endpoints.begin_create_or_update(entity("online-endpoint", {"name": "cows", "auth_mode": "key"}))
    deployment = {
        "name": "blue",
        "endpoint_name": "cows",
        "code_configuration": {"code": str(tmp_path / "code"), "scoring_script": "score.py"},
        "environment": {"image": "python:3.11", "conda_file": conda},
        "instance_type": "Standard_DS1_v2",
    }
    try:
        client.online_deployments.begin_create_or_update(entity("online-deployment", deployment))
        endpoint = client.online_endpoints.get("cows")
        endpoint.traffic = {"blue": 100}
        client.online_endpoints.begin_create_or_update(endpoint)
        assert ask(client) == {"cowsay": "6.1", "packaging": "24.1"}
    except Unreachable as error:
        pytest.skip(str(error))
    finally:
        down(client.workspace)


def ask(client: LocalMLClient) -> dict:
    store = client.online_endpoints.store
    request = urllib.request.Request(
        f"http://127.0.0.1:{store.get('cows').port}/score",
        b"{}",
        {"Authorization": f"Bearer {store.keys('cows')['primaryKey']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())
