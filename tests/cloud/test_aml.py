"""`aml --target azure`: the command line drives azure-ai-ml's real client, and that drives the double."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cloud.double import Double

from amlocal.cli import main
from amlocal.cloud import connection

ROOT = Path(__file__).parents[2]


@pytest.fixture
def aml(
    double: Double, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., str]:
    """Runs a command and returns what it prints; `fails` is what it is to say on stderr when it must not succeed."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", str(tmp_path))  # no az: the credentials are those of the environment
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("AML_TARGET", "azure")
    monkeypatch.setattr(connection, "POLLING_SECONDS", 0.05)

    def run(line: str, fails: str | None = None) -> str:
        code = main(line.split())
        out, err = capsys.readouterr()
        assert code == (0 if fails is None else 1), err
        if fails is not None:
            assert fails in err and err.splitlines()[-1].startswith("ERROR: "), err
        return out

    return run


def test_a_job_from_its_compute_to_its_log(aml: Callable[..., str], double: Double) -> None:
    assert json.loads(aml("workspace show"))["name"] == double.workspace
    assert aml("compute create -f aml/compute/cpu-cluster.yml --query provisioning_state -o tsv") == "Succeeded\n"
    assert (
        aml("environment create -f aml/environments/training/environment.yml --query name -o tsv")
        == "digits-training\n"
    )
    double.jobs.script = ["Queued", "Running", "Completed"]
    out = aml("job create -f aml/pipelines/training.yml --set name=first --stream")
    assert out.startswith("RunId: first\n") and "Execution Summary" in out
    assert aml("job show -n first --query status -o tsv") == "Completed\n"
    assert "first" in aml("job list -o table")


def test_a_job_that_fails_is_one_line_and_exit_code_1(aml: Callable[..., str], double: Double) -> None:
    aml("compute create -f aml/compute/cpu-cluster.yml")
    double.jobs.script = ["Running", "Failed"]
    aml("job create -f aml/pipelines/training.yml --set name=second")
    aml("job stream -n second", fails="ERROR: Execution failed. User process 'python' exited with status code 1.")
    assert aml("job show -n second --query status -o tsv") == "Failed\n"
    double.jobs.script = ["Queued"]
    aml("job create -f aml/pipelines/training.yml --set name=third")
    aml("job cancel -n third")
    assert aml("job show -n third --query status -o tsv") in ("Canceled\n", "CancelRequested\n")


def test_an_endpoint_through_its_life(aml: Callable[..., str]) -> None:
    aml("online-endpoint create -f aml/endpoints/digits/endpoint.yml")
    aml("online-endpoint create -f aml/endpoints/digits/endpoint.yml", fails="endpoint digits exists already")
    aml("model create --name digits --version 1 --path aml/endpoints/digits")
    made = aml(
        "online-deployment create -f aml/endpoints/digits/blue.yml --all-traffic --query provisioning_state -o tsv"
    )
    assert made == "Succeeded\n"
    assert json.loads(aml("online-endpoint show -n digits --query traffic")) == {"blue": 100}
    assert json.loads(aml("online-endpoint get-credentials -n digits")).keys() == {"primaryKey", "secondaryKey"}
    aml("online-endpoint update -n digits --traffic blue=0")
    assert json.loads(aml("online-endpoint show -n digits --query traffic")) == {"blue": 0}
    count = "online-deployment update -n blue -e digits --set instance_count=2 --query instance_count"
    assert json.loads(aml(count)) == 2
    assert aml("online-deployment get-logs -n blue -e digits")
    aml("online-deployment delete -n blue -e digits --yes")
    assert json.loads(aml("online-deployment list -e digits")) == []
    aml("online-endpoint delete -n digits --yes --no-wait")
    assert json.loads(aml("online-endpoint list")) == []


def test_what_is_not_there_is_one_line(aml: Callable[..., str]) -> None:
    aml("compute show -n nothing", fails="was not found")
    aml("job show -n nothing", fails="nothing")
    aml("doctor", fails="is about the workspace of this folder")
    aml("online-endpoint show -n digits --local", fails="--local")


def test_usage_is_azure_s_answer(aml: Callable[..., str]) -> None:
    usage = json.loads(aml("compute list-usage"))
    family = next(each for each in usage if each["name"]["value"] == "standardFSv2Family")
    assert isinstance(family["current_value"], int) and isinstance(family["limit"], int)


def test_a_workspace_is_created_and_deleted_for_good(aml: Callable[..., str]) -> None:
    names = "workspace list --query [].name -o tsv"
    before = aml(names).split()
    aml("workspace create --name another --location westeurope")
    assert sorted([*before, "another"]) == sorted(aml(names).split())
    aml("workspace delete --name another --permanently-delete --yes")
    assert aml(names).split() == before
    aml("workspace create --name another --location westeurope")  # its name was free again


def test_without_an_account(aml: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    aml("workspace show", fails="ERROR: not signed in to Azure: run `az login`")
