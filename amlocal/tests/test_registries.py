"""Registries: what is shared from one workspace is used in another, by `aml` and in Python."""

import json
from pathlib import Path

import pytest
import yaml
from azure.ai.ml import Input, command, load_job
from azure.ai.ml.entities import BuildContext, Data, Environment, ManagedOnlineDeployment, Model, Registry
from azure.core.exceptions import ResourceNotFoundError

from amlocal.cli import main
from amlocal.client import LocalMLClient
from amlocal.core.errors import NotEmulated, UserError
from amlocal.core.workspace import Workspace
from amlocal.endpoints.plan import resolve_model
from amlocal.exec import sdk
from amlocal.specs.load import load
from amlocal.specs.planner import plan

MODEL = "azureml://registries/shared/models/{}/versions/{}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the workspaces dev and prod and the registry shared."""
    for name in ("AMLOCAL_HOME", "MLFLOW_TRACKING_URI", "AZUREML_ARM_WORKSPACE_NAME", "AZURE_DEFAULTS_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.txt").write_text("weights")
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM python:3.11\n")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/run.py").write_text("import sys\nprint(open(sys.argv[1]).read())\n")
    for line in ("workspace create -n dev", "workspace create -n prod", "registry create -n shared --tags a=b"):
        assert main(line.split()) == 0
    return tmp_path


def aml(capsys: pytest.CaptureFixture[str], line: str) -> str:
    capsys.readouterr()
    assert main(line.split()) == 0, capsys.readouterr().err
    return capsys.readouterr().out.strip()


def refused(capsys: pytest.CaptureFixture[str], line: str) -> str:
    capsys.readouterr()
    assert main(line.split()) == 1
    error = capsys.readouterr().err
    assert error.startswith("ERROR: ") and error.count("\n") == 1
    return error.removeprefix("ERROR: ").strip()


def test_a_model_goes_from_dev_to_prod(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aml(capsys, "model create -n m -v 1 --path model.txt --tags owner=me -w dev")
    share = "model share -w dev -n m -v 1 --registry-name shared --share-with-name better --share-with-version 7"
    shared = json.loads(aml(capsys, share))
    assert shared["id"] == MODEL.format("better", "7")
    assert (shared["name"], shared["version"], shared["tags"]) == ("better", "7", {"owner": "me"})
    assert Path(shared["path"]).is_relative_to(folder / ".amlocal/registries/shared")
    assert refused(capsys, share).startswith("A model with this name and version already exists in registry: better")
    aml(capsys, "workspace delete -n dev --yes")  # what was shared is a copy

    (folder / "job.yml").write_text(
        yaml.safe_dump(
            {
                "type": "command",
                "command": "cat ${{inputs.m}}",
                "environment": {"image": "python:3.11"},
                "inputs": {"m": {"type": "custom_model", "path": MODEL.format("better", "7")}},
            }
        )
    )
    log = aml(capsys, "job create -f job.yml -w prod --stream")
    assert "weights" in log
    prod = LocalMLClient(workspace_name="prod")
    blue = ManagedOnlineDeployment(name="blue", endpoint_name="end", model=MODEL.format("better", "7"))
    model = resolve_model(blue, folder, prod.workspace)
    assert model is not None and model.read_text() == "weights"
    aml(capsys, "model download -n better -v 7 --registry-name shared -p got")
    assert (folder / "got/better/model.txt").read_text() == "weights"
    aml(capsys, f"model create -w prod -n mine --path {MODEL.format('better', '7')}")
    assert aml(capsys, "model list -w prod --query [].name -o tsv") == "mine"


def test_the_same_in_python(folder: Path) -> None:
    dev, prod = (LocalMLClient(workspace_name=name) for name in ("dev", "prod"))
    registry = LocalMLClient(registry_name="SHARED")
    dev.data.create_or_update(Data(name="d", path="model.txt", type="uri_file", version="1"))
    dev.environments.create_or_update(Environment(name="e", build=BuildContext(path="context"), version="1"))
    to = {"share_with_version": "3", "registry_name": "shared"}
    for home, name in (("data", "d"), ("environments", "e")):
        made = getattr(dev, home).share(name, "1", share_with_name=f"{name}-shared", **to)
        assert made.id == f"azureml://registries/shared/{home}/{name}-shared/versions/3"
        got = getattr(registry, home).get(f"{name}-shared", "3")
        assert got.id == made.id
        with pytest.raises(UserError, match="with this name and version already exists in registry"):
            getattr(dev, home).share(name, "1", share_with_name=f"{name}-shared", **to)
    step = command(
        name="c",
        command="python run.py ${{inputs.x}}",
        code="code",
        inputs={"x": Input(type="uri_file")},
        environment="azureml://registries/shared/environments/e-shared/labels/latest",
    )
    component = registry.components.create_or_update(step.component)
    assert component.id.startswith("azureml://registries/shared/components/c/versions/")
    assert Path(component.code).is_relative_to(folder / ".amlocal/registries/shared")
    document = {
        "type": "pipeline",
        "jobs": {
            "s": {
                "type": "command",
                "component": component.id,
                "inputs": {
                    "x": {"type": "uri_file", "path": "azureml://registries/shared/data/d-shared/labels/latest"}
                },
            }
        },
    }
    (folder / "pipeline.yml").write_text(yaml.safe_dump(document))
    [planned] = plan(load_job(folder / "pipeline.yml"), prod.workspace).steps.values()
    assert planned.environment == {"reference": "//registries/shared/environments/e-shared/labels/latest"}
    assert Path(planned.inputs["x"].path).is_relative_to(folder / ".amlocal/registries/shared")


def test_promotion_by_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The short address counts from the workspace that is chosen, the long one names it."""
    id = aml(capsys, "model create -n m -v 1 --path model.txt -w dev --query id -o tsv")
    into = "model create -n m --registry-name shared --query version -o tsv"
    assert aml(capsys, f"{into} -w dev --path azureml://models/m/versions/1") == "1"
    long = id.removeprefix("azureml:/").replace("/providers/Microsoft.MachineLearningServices", "")
    assert aml(capsys, f"{into} -w prod --path azureml://{long} --set version=2") == "2"
    assert 'model "m" was not found in this workspace' in refused(
        capsys, f"{into} -w prod --path azureml://models/m/versions/1 --version 3"
    )
    (folder / "model.txt").write_text("others")
    assert "exists with another content" in refused(capsys, f"{into} --version 1 --path model.txt")


def test_the_verbs_of_assets_in_a_registry(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_registry = "--registry-name shared"
    aml(capsys, f"data create -n d -v 1 --path model.txt --type uri_file {in_registry}")
    aml(capsys, f"environment create -n e -v 1 -i python:3.11 {in_registry}")
    aml(capsys, f"model create -n m -v 1 --path model.txt {in_registry}")
    for noun, name in (("data", "d"), ("environment", "e"), ("model", "m")):
        aml(capsys, f"{noun} update -n {name} -v 1 --set tags.x=y {in_registry}")
        shown = json.loads(aml(capsys, f"{noun} show -n {name} -v 1 {in_registry}"))
        assert shown["tags"] == {"x": "y"} and shown["id"].startswith("azureml://registries/shared/")
        aml(capsys, f"{noun} archive -n {name} {in_registry}")
        assert json.loads(aml(capsys, f"{noun} list {in_registry}")) == []
        assert in_registry in refused(capsys, f"{noun} show -n {name} {in_registry}"), "the remedy is for the registry"
        aml(capsys, f"{noun} restore -n {name} {in_registry}")
        assert [each["name"] for each in json.loads(aml(capsys, f"{noun} list {in_registry}"))] == [name]
        assert json.loads(aml(capsys, f"{noun} list")) == [], "the workspace has its own"
        assert f'{noun} "{name}x" was not found in registry "shared"' in refused(
            capsys, f"{noun} show -n {name}x {in_registry}"
        )


def test_mlflow_under_aml_exec_opens_the_registry_that_its_address_names(folder: Path) -> None:
    opened = []
    build = sdk.serve_workspace(lambda *_: lambda store_uri: opened.append(store_uri))
    uri = "azureml://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/s/resourceGroups/g/providers/M/registries/shared"
    build(None, uri)(store_uri=uri)
    assert opened == [LocalMLClient().registries.get("shared").mlflow_registry_uri]


def test_a_component_names_its_environment_in_full(folder: Path) -> None:
    registry = LocalMLClient(registry_name="shared")
    step = command(name="c", command="ls", environment="azureml:e:1").component
    with pytest.raises(UserError, match="Use fully qualified name to reference custom environments"):
        registry.components.create_or_update(step)


def test_a_pipeline_component_finds_its_steps_in_the_registry(folder: Path) -> None:
    registry, prod = LocalMLClient(registry_name="shared"), LocalMLClient(workspace_name="prod")
    environment = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
    registry.components.create_or_update(command(name="c", command="ls", environment=environment).component)
    (folder / "p.yml").write_text(
        yaml.safe_dump(
            {"type": "pipeline", "name": "p", "jobs": {"s": {"type": "command", "component": "azureml:c@latest"}}}
        )
    )
    registry.components.create_or_update(load("component", folder / "p.yml"), version="1")
    job = {
        "type": "pipeline",
        "jobs": {"all": {"type": "pipeline", "component": "azureml://registries/shared/components/p/versions/1"}},
    }
    (folder / "job.yml").write_text(yaml.safe_dump(job))
    assert len(plan(load_job(folder / "job.yml"), prod.workspace).steps) == 1


def test_an_asset_got_from_one_place_is_created_in_another(folder: Path) -> None:
    dev, prod = (LocalMLClient(workspace_name=name) for name in ("dev", "prod"))
    registry = LocalMLClient(registry_name="shared")
    dev.models.create_or_update(Model(name="m", version="1", path="model.txt"))
    dev.data.create_or_update(Data(name="d", version="1", path="model.txt", type="uri_file"))
    for home, name in (("models", "m"), ("data", "d")):
        got = getattr(dev, home).get(name, "1")
        for other in (registry, prod):
            made = getattr(other, home).create_or_update(got)
            assert (made.name, made.version) == (name, "1") and made.id != got.id


def test_registries_themselves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = LocalMLClient(workspace_name="prod")
    client.begin_create_or_update(Registry(name="more", location="westus", replication_locations=[])).result()
    assert [each.name for each in client.registries.list()] == ["more", "shared"]
    assert client.registries.get("More").location == "westus"
    assert aml(capsys, "registry list --query [].name -o tsv").split() == ["more", "shared"]
    told = json.loads(aml(capsys, "registry update -n shared --display-name Ours --tags c=d"))
    assert (told["display_name"], told["tags"]) == ("Ours", {"c": "d"})
    (folder / "registry.yml").write_text(
        "$schema: https://azuremlschemas.azureedge.net/latest/registry.schema.json\n"
        "name: filed\nlocation: eastus\nreplication_locations:\n  - location: eastus\n"
    )
    aml(capsys, "validate registry.yml")
    assert aml(capsys, "registry create -f registry.yml --query location -o tsv") == "eastus"
    aml(capsys, "registry delete -n more")
    gone = 'registry "more" was not found; there are "filed" and "shared"'
    for line in ("registry show -n more", "registry delete -n more", "model list --registry-name more"):
        assert refused(capsys, line) == gone
    assert "taken by Azure's own" in refused(capsys, "registry create -n azureml")
    with pytest.raises(ResourceNotFoundError, match="was not found"):
        client.registries.get("more")
    with pytest.raises(ResourceNotFoundError, match="was not found"):
        LocalMLClient(registry_name="more")
    with pytest.raises(NotEmulated, match=r"client\.jobs: a registry has none"):
        LocalMLClient(registry_name="shared").jobs.list()


def test_deleting_every_workspace_leaves_the_registry(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aml(capsys, "model create -n m -v 1 --path model.txt --registry-name shared")
    for name in ("prod", "dev"):
        aml(capsys, f"workspace delete -n {name} --yes")
    assert [each.name for each in LocalMLClient(registry_name="shared").models.list()] == ["m"]
    assert not Workspace.here().jobs.exists()
