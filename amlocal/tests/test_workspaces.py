"""Several workspaces in one folder: which one a command, a program or a job means, and what deleting one leaves."""

import json
from pathlib import Path

import pytest
from azure.ai.ml.entities import Data, Model
from azure.ai.ml.entities import Workspace as AzureWorkspace
from azure.core.exceptions import ResourceNotFoundError

import amlocal
from amlocal.cli import main
from amlocal.client import LocalMLClient
from amlocal.core.errors import NotFound, UserError
from amlocal.core.workspace import Workspace
from amlocal.exec import sdk
from amlocal.exec.azcli import records


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AMLOCAL_HOME", "MLFLOW_TRACKING_URI", "AZUREML_ARM_WORKSPACE_NAME", "AZURE_DEFAULTS_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("a\n")
    return tmp_path


@pytest.fixture
def two(folder: Path) -> Path:
    for name in ("dev", "prod"):
        assert main(["workspace", "create", "-n", name]) == 0
    LocalMLClient(workspace_name="dev").data.create_or_update(Data(name="of-dev", path="a.csv", type="uri_file"))
    LocalMLClient(workspace_name="Prod").data.create_or_update(Data(name="of-prod", path="a.csv", type="uri_file"))
    return folder


def data(**client: object) -> list[str]:
    return [each.name for each in LocalMLClient(**client).data.list()]


def aml(capsys: pytest.CaptureFixture[str], line: str) -> str:
    capsys.readouterr()
    assert main(line.split()) == 0, capsys.readouterr().err
    return capsys.readouterr().out.strip()


def test_each_has_its_own_assets(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data() == data(workspace_name="dev") == ["of-dev"]
    assert data(workspace_name="prod") == ["of-prod"]
    assert aml(capsys, "data list -w prod --query [].name -o tsv") == "of-prod"
    assert aml(capsys, "data list --query [].name -o tsv") == "of-dev"
    assert aml(capsys, "workspace list --query [].name -o tsv").split() == ["dev", "prod"]
    kept = Path(aml(capsys, "workspace show -n prod --query path -o tsv"))
    assert kept == two / ".amlocal/workspaces/prod"
    assert data(workspace=kept) == ["of-prod"]


@pytest.mark.parametrize("variable", ["AZUREML_ARM_WORKSPACE_NAME", "AZURE_DEFAULTS_WORKSPACE"])
def test_the_environment_chooses(two: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "prod")
    assert data() == ["of-prod"]
    assert data(workspace_name="dev") == ["of-dev"]
    monkeypatch.setenv(variable, "other")
    with pytest.raises(NotFound, match=f'^{variable}: workspace "other" was not found; there are "dev" and "prod"$'):
        Workspace.find()


def test_the_defaults_of_az_choose(two: Path) -> None:
    records.remember_defaults({"workspace": "prod"})
    assert data() == ["of-prod"]
    assert records.known_defaults()["workspace"] == "prod"
    assert [each["name"] for each in records.resources("Microsoft.MachineLearningServices/workspaces")] == [
        "dev",
        "prod",
    ]


def test_a_config_file_chooses(two: Path) -> None:
    (two / ".azureml").mkdir()
    (two / ".azureml/config.json").write_text(json.dumps({"workspace_name": "prod"}))
    client = LocalMLClient.from_config()
    assert client.workspace_name == client.workspace.name == "prod"


def test_the_folder_of_one_chooses(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a job and whatever else is started for a workspace finds it, and from there the others by their names."""
    monkeypatch.setenv("AMLOCAL_HOME", str(two / ".amlocal/workspaces/prod"))
    monkeypatch.setenv("AZURE_DEFAULTS_WORKSPACE", "dev")
    assert data() == ["of-prod"]
    assert data(workspace_name="dev") == ["of-dev"]


def test_a_folder_that_is_called_so_is_no_further_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "workspaces" / "mine"
    monkeypatch.setenv("AMLOCAL_HOME", str(home))
    assert main(["workspace", "create", "-n", "mine"]) == 0
    assert Workspace.find().home == home and not (tmp_path / ".gitignore").exists()


def test_one_alone_answers_to_any_name(folder: Path) -> None:
    assert main(["workspace", "create", "-n", "dev"]) == 0
    assert LocalMLClient(workspace_name="in-azure").workspace.name == "dev"
    assert LocalMLClient().workspaces.get("in-azure").name == "dev"


def test_a_name_that_none_has(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = 'workspace "other" was not found; there are "dev" and "prod"'
    for line in ("data list -w other", "workspace show -n other", "down -w other", "mlflow ui -w other"):
        assert main(line.split()) == 1
        assert capsys.readouterr().err == f"ERROR: {said}\n"
    client = LocalMLClient(workspace_name="other")
    with pytest.raises(ResourceNotFoundError, match=said):
        client.jobs.list()
    with pytest.raises(ResourceNotFoundError, match=said):
        client.workspaces.get("other")
    made = client.workspaces.begin_create(AzureWorkspace(name="other", description="a third")).result()
    assert (made.name, made.description) == ("other", "a third")
    assert data(workspace_name="other") == []


def test_a_name_that_no_workspace_can_have(two: Path) -> None:
    with pytest.raises(UserError, match=r'workspace name "\.\./x"'):
        LocalMLClient().workspaces.begin_create(AzureWorkspace(name="../x"))


def test_creating_one_again_changes_it(two: Path) -> None:
    workspaces = LocalMLClient().workspaces
    workspaces.begin_create(AzureWorkspace(name="PROD", description="serves")).result()
    assert [(each.name, each.description) for each in workspaces.list()] == [("dev", ""), ("prod", "serves")]


def test_deleting_the_first_leaves_the_others(two: Path) -> None:
    assert main(["workspace", "create", "-n", "third"]) == 0
    assert main(["workspace", "delete", "-n", "dev", "--yes"]) == 0
    assert not (two / ".amlocal/assets").exists()
    with pytest.raises(NotFound, match=r'which workspace is meant.*there are "prod" and "third"'):
        Workspace.find()
    assert main(["workspace", "delete", "-n", "third", "--yes"]) == 0
    assert data() == ["of-prod"]
    assert main(["workspace", "create", "-n", "new"]) == 0
    assert [each.name for each in Workspace.here().every()] == ["new", "prod"]
    assert data(workspace_name="new") == []


def test_one_client_deletes_them_all_the_first_first(two: Path) -> None:
    workspaces = LocalMLClient().workspaces
    workspaces.begin_delete("dev").result()
    assert [each.name for each in (*workspaces.list(), workspaces.get("Prod"), workspaces.get("any"))] == ["prod"] * 3
    assert not (two / ".amlocal/mlflow.db").exists()
    with pytest.raises(NotFound, match='workspace "dev2" was not found; the one of this folder is "prod"'):
        workspaces.begin_delete("dev2")
    workspaces.begin_delete("prod").result()
    assert not (two / ".amlocal/workspaces/prod").exists()


def test_deleting_another_leaves_the_first(two: Path) -> None:
    assert main(["workspace", "delete", "-n", "prod", "--yes"]) == 0
    assert data() == ["of-dev"]
    assert not (two / ".amlocal/workspaces/prod").exists()


def test_mlflows_address_of_one_is_not_taken_for_the_users(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow keeps in the environment what it is told; a model of one workspace is not to show up in the other."""
    first, second = (LocalMLClient(workspace_name=name) for name in ("dev", "prod"))
    for one, other in ((first, second), (second, first)):
        one.models.create_or_update(Model(name=f"of-{one.workspace.name}", path="a.csv"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", one.workspaces.get(one.workspace.name).mlflow_tracking_uri)
        assert other.workspace.tracking_uri != one.workspace.tracking_uri
    assert [each.name for each in first.models.list()] == ["of-dev"]


def test_the_address_of_any_workspaces_store_is_not_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor that of one in a folder of another name, before anything has run in it."""
    one, other = (LocalMLClient(tmp_path / name) for name in ("one", "other"))
    one.models.create_or_update(Model(name="made", path="a.csv"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", one.workspace.tracking_uri)
    assert list(other.models.list()) == []


def test_mlflow_under_aml_exec_opens_the_workspace_that_its_address_names(two: Path) -> None:
    opened = []

    def find(_: object, uri: str) -> object:
        return lambda store_uri, **__: opened.append(store_uri)

    build = sdk.serve_workspace(find)
    for name in ("dev", "prod"):
        uri = f"azureml://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/s/resourceGroups/g/providers/M/workspaces/{name}"
        build(None, uri)(store_uri=uri)
    assert opened == [LocalMLClient(workspace_name=name).workspace.tracking_uri for name in ("dev", "prod")]


def test_doctor_and_down_look_at_all(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (two / "job.yml").write_text("type: command\ncommand: sleep 600\nenvironment: {image: 'python:3.11'}\n")
    for name in ("dev", "prod"):
        aml(capsys, f"job create -f job.yml -n long-{name} -w {name}")
    told = json.loads(aml(capsys, "doctor -o json"))
    assert [each["stop"] for each in told["running"]] == [
        f"aml job cancel -n long-{name} -w {name}" for name in ("dev", "prod")
    ]
    assert sum(check["name"] == "mlflow store" for check in told["checks"]) == 2
    assert json.loads(aml(capsys, "down -w prod")) == ["job long-prod"]
    assert json.loads(aml(capsys, "down")) == ["job long-dev of workspace dev"]


def test_a_job_finds_its_own_workspace_and_the_other(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (two / "code").mkdir()
    (two / "code/look.py").write_text(
        "from amlocal.client import LocalMLClient\n"
        "for name in (None, 'dev'):\n"
        "    print([each.name for each in LocalMLClient(workspace_name=name).data.list()])\n"
    )
    (two / "job.yml").write_text(
        "type: command\ncode: code\ncommand: python look.py\nenvironment: {image: 'python:3.11'}\n"
        f"environment_variables: {{PYTHONPATH: '{Path(amlocal.__file__).parents[1]}'}}\n"
    )
    name = aml(capsys, "job create -f job.yml -w prod --query name -o tsv")
    log = aml(capsys, f"job stream -n {name} -w prod")
    assert [line for line in log.splitlines() if line.startswith("[")] == ["['of-prod']", "['of-dev']"], log
    assert aml(capsys, "job list --query [].name -o tsv") == ""
