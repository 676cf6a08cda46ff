"""LocalMLClient as a Python user meets it: assets, models, environments, paths."""

from pathlib import Path

import pytest
from azure.ai.ml import load_component
from azure.ai.ml.entities import AmlCompute, Data, Environment, Model
from azure.core.exceptions import ResourceNotFoundError

from amlocal import environments, uris
from amlocal.errors import NotFound, UserError


def test_data_gets_versions_that_count_as_numbers(client, tmp_path):
    (tmp_path / "digits").mkdir()
    for version in ("9", "10", None):
        client.data.create_or_update(Data(name="digits", version=version, path=str(tmp_path / "digits")))
    assert [item.version for item in client.data.list("digits")] == ["11", "10", "9"]
    assert [item["name"] for item in client.data.describe_all()] == ["digits"]
    assert client.data.get("digits", label="latest").version == "11"
    assert Path(client.data.get("digits", "9").path) == tmp_path / "digits"
    with pytest.raises(ResourceNotFoundError, match="has no version 12; there is 11, 10, 9"):
        client.data.get("digits", "12")


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
    with pytest.raises(ResourceNotFoundError, match='compute "gone" is not in this workspace'):
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
    assert log.read_text() == "hello you\n"


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
    assert (tmp_path / "got/m/w.txt").read_text() == "4\n"
    with pytest.raises(UserError, match="version 9 is not the next; leave it out, and it becomes 3"):
        client.models.create_or_update(Model(name="m", version="9", path=uri))
    with pytest.raises(UserError, match="version 7 is not the next"):
        client.models.create_or_update(Model(name="never", version="7", path=uri))
    assert [item["name"] for item in client.models.describe_all()] == ["m"], "a refused model leaves no name behind"
    with pytest.raises(ResourceNotFoundError, match='model "none" is not registered'):
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
    assert log.read_text().strip() == "alpha"


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
        ("azureml:gone:1", 'data "gone" is not in this workspace'),
        ("azureml://datastores/workspaceblobstore/paths/../../../mlflow.db", "leads out of"),
        ("azureml://jobs/gone/outputs/x", 'job "gone" is not in this workspace'),
        ("azureml://nonsense", "not understood"),
        ("https://example.com/data.csv", "remote data is not read here"),
    ],
)
def test_a_path_that_leads_nowhere(client, uri, message):
    with pytest.raises(UserError, match=message):
        uris.resolve(client.workspace, uri, Path.cwd())


def conda(*pip: str) -> dict:
    return {"conda_file": {"dependencies": ["python=3.11", "pip", {"pip": list(pip)}]}}


def test_an_environment_that_this_python_satisfies_costs_nothing(client, tmp_path):
    import sys

    python = environments.python_for(conda("numpy>=2", "pyyaml # used"), client.workspace, tmp_path / "log")
    assert python == Path(sys.executable)
    assert environments.python_for(None, client.workspace, tmp_path / "log") == Path(sys.executable)


def test_options_of_pip_are_not_dropped_in_silence(client, tmp_path):
    with pytest.raises(UserError, match="pip's options are not read"):
        environments.python_for(conda("-r requirements.txt"), client.workspace, tmp_path / "log")


def test_requirements_of_a_conda_file():
    file = {
        "dependencies": ["python=3.11", "conda-forge::numpy=2.4", "scipy>=1.0", {"pip": ["a==1 ; python_version<'3'"]}]
    }
    wanted = list(environments.requirements(file))
    assert [str(item) for item in wanted] == ["numpy==2.4.*", "scipy>=1.0", 'a==1; python_version < "3"']
    assert list(environments.unsatisfied(wanted[2:])) == [], "its marker says that it is not for this Python"
    [told] = environments.unsatisfied(environments.requirements(conda("numpy==0.1")["conda_file"]))
    assert told.startswith("numpy==0.1 (here ")


def test_a_requirement_that_is_none_is_named(client, tmp_path):
    with pytest.raises(UserError, match='"not a requirement!" is not a requirement'):
        environments.python_for(conda("not a requirement!"), client.workspace, tmp_path / "log")


def test_an_unknown_environment_is_named(client, tmp_path):
    with pytest.raises(UserError, match=r'environment "gone" is not in this workspace'):
        environments.python_for({"reference": "gone:1"}, client.workspace, tmp_path / "log")


def test_downloading_what_is_not_there(client, spec, run, tmp_path):
    record = run(spec("command: echo hi\nenvironment: {image: a}\n"))
    with pytest.raises(NotFound, match='has no output "model"; it has artifacts'):
        client.jobs.download(record.name, download_path=tmp_path, output_name="model")


def test_nothing_is_archived_here(client, tmp_path):
    client.data.create_or_update(Data(name="digits", path=str(tmp_path)))
    assert len(client.data.describe_all()) == 1
    for operations in (client.data, client.models, client.jobs):
        assert operations.describe_all(list_view_type="ArchivedOnly") == []
