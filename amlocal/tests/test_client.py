"""LocalMLClient as a Python user meets it: assets, models, environments, paths."""

import logging
import os
from pathlib import Path

import mlflow
import pytest
from azure.ai.ml import load_component
from azure.ai.ml.entities import AmlCompute, Data, Environment, Model
from azure.core.exceptions import ResourceNotFoundError

from amlocal.assets import uris
from amlocal.client import LocalMLClient
from amlocal.core.errors import NotFound, UserError
from amlocal.core.names import creation_context
from amlocal.jobs.record import JobRecord


def test_data_gets_versions_that_count_as_numbers(client, tmp_path):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "a.txt").write_text("1")
    for version in ("9", "10", None):
        client.data.create_or_update(Data(name="digits", version=version, path=str(tmp_path / "digits")))
    assert [item.version for item in client.data.list("digits")] == ["11", "10", "9"]
    assert [item["name"] for item in client.data.describe_all()] == ["digits"]
    assert client.data.get("digits", label="latest").version == "11"
    assert (Path(client.data.get("digits", "9").path) / "a.txt").read_text() == "1"
    with pytest.raises(ResourceNotFoundError, match="version 12 was not found; there is 11, 10, 9"):
        client.data.get("digits", "12")


def test_a_client_of_azures_registry_has_its_environments_and_nothing_else():
    registry = LocalMLClient(credential=None, registry_name="azureml")
    got = registry.environments.get("sklearn-1.5", label="latest")
    assert isinstance(got, Environment) and got.image == f"mcr.microsoft.com/azureml/curated/sklearn-1.5:{got.version}"
    assert registry.environments.get("sklearn-1.5", version="33").version == "33"
    assert got.name in [each.name for each in registry.environments.list()]
    with pytest.raises(ResourceNotFoundError, match="is not known to be in the registry"):
        registry.environments.get("gone", label="latest")
    with pytest.raises(UserError, match="only the environments are known here"):
        registry.jobs.list()
    with pytest.raises(ResourceNotFoundError, match='registry "mine" was not found'):
        LocalMLClient(registry_name="mine")


def test_a_workspace_resolves_curated_environments_that_begin_with_azureml(client):
    assert client.environments.get("AzureML-sklearn-1.5", label="latest").tags["Scikit-learn"] == "1.5"
    with pytest.raises(ResourceNotFoundError, match="the registry has one of that name"):
        client.environments.get("sklearn-1.5", label="latest")


def test_the_same_again_is_no_error_another_content_is(client):
    first = Environment(name="e", version="1", image="a")
    client.environments.create_or_update(first)
    client.environments.create_or_update(first)
    with pytest.raises(UserError, match="version 1, exists with another content"):
        client.environments.create_or_update(Environment(name="e", version="1", image="b"))


def test_compute_is_kept_and_replaced(client):
    for most in (1, 2):
        made = client.compute.begin_create_or_update(
            AmlCompute(name="cpu-cluster", size="Standard_F4s_v2", max_instances=most)
        )
        assert made.result().max_instances == most
    assert client.compute.get("cpu-cluster").max_instances == 2
    with pytest.raises(ResourceNotFoundError, match='compute "gone" was not found in this workspace'):
        client.compute.get("gone")


def test_a_registered_component_runs_in_a_pipeline(client, spec, run):
    component = load_component(
        spec(
            """
        type: command
        name: greeter
        version: 2
        inputs: {who: {type: string}}
        environment: {image: a}
        command: echo hello ${{inputs.who}}
    """,
            "greeter.yml",
        )
    )
    client.components.create_or_update(component)
    record = run(
        spec("""
        type: pipeline
        jobs:
          greet: {type: command, component: azureml:greeter@latest, inputs: {who: you}}
    """)
    )
    assert record.status == "Completed", record.error
    log = client.jobs.store.folder(f"{record.name}_greet") / "user_logs" / "std_log.txt"
    assert log.read_text().endswith("hello you\n")


def test_models_from_a_path_and_from_a_job(client, spec, run, tmp_path):
    (tmp_path / "weights.txt").write_text("1 2 3")
    client.models.create_or_update(Model(name="m", path=str(tmp_path / "weights.txt"), tags={"by": "hand"}))
    record = run(spec("command: mkdir -p outputs/model && echo 4 > outputs/model/w.txt\nenvironment: {image: a}\n"))
    uri = f"azureml://jobs/{record.name}/outputs/artifacts/paths/outputs/model"
    made = client.models.create_or_update(Model(name="m", path=uri))
    assert made.version == "2"
    first, second = client.models.describe("m", "1"), client.models.describe("m")
    assert (first["tags"], first["job_name"]) == ({"by": "hand"}, None)
    assert second["job_name"] == record.name
    client.models.download("m", "1", tmp_path / "got")
    client.models.download("m", "2", tmp_path / "got")
    assert (tmp_path / "got/m/weights.txt").read_text() == "1 2 3"
    assert (tmp_path / "got/m/model/w.txt").read_text() == "4\n"
    with pytest.raises(UserError, match="version 1 exists with another content; give a higher version"):
        client.models.create_or_update(Model(name="m", version="1", path=uri))
    with pytest.raises(UserError, match='version "a b" is not a word or a number'):
        client.models.create_or_update(Model(name="never", version="a b", path=uri))
    assert [item["name"] for item in client.models.describe_all()] == ["m"], "a refused model leaves no name behind"
    with pytest.raises(ResourceNotFoundError, match='model "none" was not found'):
        client.models.get("none")


@pytest.mark.parametrize("name", ["azureml:letters:1", "azureml:letters@latest"])
def test_a_data_asset_is_an_input_by_name(client, spec, run, tmp_path, name):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("alpha")
    client.data.create_or_update(Data(name="letters", path=str(tmp_path / "letters")))
    inputs = f"inputs:\n  letters: {{type: uri_folder, path: '{name}'}}\n"
    record = run(spec("command: cat '${{inputs.letters}}/a.txt'\nenvironment: {image: a}\n" + inputs))
    assert record.status == "Completed", record.error
    log = client.jobs.store.folder(record.name) / "user_logs" / "std_log.txt"
    assert log.read_text().endswith("alpha")


def test_jobs_built_in_python(client, finish):
    from azure.ai.ml import command

    job = client.jobs.create_or_update(
        command(
            command="echo ${{inputs.n}} > outputs.txt", inputs={"n": 3}, environment=Environment(name="e", image="a")
        )
    )
    assert finish(job.name).status == "Completed"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("./gone", "no such file or folder"),
        ("azureml:gone:1", 'data "gone" was not found in this workspace'),
        ("azureml://datastores/workspaceblobstore/paths/../../../mlflow.db", "leads out of"),
        ("azureml://jobs/gone/outputs/x", 'job "gone" was not found in this workspace'),
        ("azureml://nonsense", "not understood"),
        ("https://example.com/folder/", "a uri_folder over https cannot be listed"),
    ],
)
def test_a_path_that_leads_nowhere(client, uri, message):
    with pytest.raises(UserError, match=message):
        uris.resolve(client.workspace, uri, Path.cwd())


def test_downloading_what_is_not_there(client, spec, run, tmp_path):
    record = run(spec("command: echo hi\nenvironment: {image: a}\n"))
    with pytest.raises(NotFound, match='has no output "model"; it has artifacts'):
        client.jobs.download(record.name, download_path=tmp_path, output_name="model")


def test_a_job_that_is_not_there_is_not_found(client, tmp_path):
    for ask in (client.jobs.get, client.jobs.stream, client.jobs.download):
        with pytest.raises(ResourceNotFoundError, match='job "nope" was not found in this workspace'):
            ask("nope")


def test_a_job_is_called_as_it_was_named(client):
    spec = {"type": "command", "command": "echo hi", "environment": "azureml:e:1", "compute": "azureml:c"}
    client.jobs.store.create(
        JobRecord(
            name="MyJob",
            type="command",
            display_name="MyJob",
            experiment_name="tests",
            spec=spec,
            creation_context=creation_context(),
            status="Completed",
        )
    )
    assert client.jobs.get("MyJob").name == "MyJob"
    assert [job.name for job in client.jobs.list()] == ["MyJob"]


def test_two_workspaces_in_one_process_do_not_meet_and_mlflow_is_as_before(client, tmp_path, monkeypatch):
    """MLflow puts what it is told into the environment, where the second client would find it."""

    def state():
        levels = [logging.getLogger(name).level for name in ("mlflow", "alembic")]
        return mlflow.get_tracking_uri(), {key: os.environ[key] for key in os.environ if "MLFLOW_" in key}, levels

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    before = state()
    (tmp_path / "model.txt").write_text("first")
    client.models.create_or_update(Model(name="made", path=tmp_path / "model.txt"))
    client.models.download("made", "1", tmp_path / "first")
    assert state() == before
    mlflow.set_tracking_uri(client.workspaces.get().mlflow_tracking_uri)
    try:
        second = LocalMLClient(tmp_path / "second" / ".amlocal")
        assert list(second.models.list()) == []
        second.models.create_or_update(Model(name="made", path=tmp_path / "model.txt"))
        second.models.download("made", "1", tmp_path / "second")
        assert mlflow.get_tracking_uri() == client.workspace.tracking_uri
    finally:
        mlflow.set_tracking_uri(None)
    assert state() == before
