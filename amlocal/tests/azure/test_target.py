"""`aml --target azure`: the command line drives azure-ai-ml's real client, and that drives the double."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from double import Double

from amlocal.azure import connection
from amlocal.cli import main

PROJECT = Path(__file__).resolve().parents[1] / "project"


@pytest.fixture
def aml(
    double: Double, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., str]:
    """Runs a command and returns what it prints; `fails` is what it is to say on stderr when it must not succeed."""
    monkeypatch.chdir(PROJECT)
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


def test_a_batch_endpoint_is_made_invoked_and_listed(
    aml: Callable[..., str], double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text("def init(): pass\n\n\ndef run(batch): return batch\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.txt").write_text("a")
    (tmp_path / "deployment.yml").write_text(
        "name: first\nendpoint_name: many\ntype: model\nmodel: {path: images}\nenvironment: {image: ubuntu}\n"
        "code_configuration: {code: code, scoring_script: score.py}\ncompute: azureml:cpu-cluster\n"
        "settings: {mini_batch_size: 5}\n"
    )
    aml("compute create -n cpu-cluster --type amlcompute")
    made = json.loads(aml("batch-endpoint create -n many"))
    assert (made["name"], made["auth_mode"], made["provisioning_state"]) == ("many", "aad_token", "Succeeded")
    told = json.loads(aml("batch-deployment create -f deployment.yml --set-default"))
    assert (told["mini_batch_size"], told["retry_settings"]) == (5, {"max_retries": 3, "timeout": 30})
    assert (told["logging_level"], told["provisioning_state"]) == ("Info", "Succeeded")
    assert json.loads(aml("batch-endpoint show -n many --query defaults")) == {"deployment_name": "first"}

    job = aml("batch-endpoint invoke -n many --input images -m 2 --query name -o tsv").strip()
    path = "azureml://datastores/workspaceblobstore/paths/out"
    aml(f"batch-endpoint invoke -n many --input {path} -d first --output-path {path} --set output_file_name=a.csv")
    (one, by, first), (_, _, second) = double.batch.invocations
    assert (one, by, first["properties"]["miniBatchSize"]) == ("many", "first", 2)
    assert first["properties"]["inputData"]["UriFolder"]["uri"].startswith("azureml://")
    assert [each["uri"] for each in second["properties"]["outputData"].values()] == [f"{path}/a.csv"]
    assert job in aml("batch-endpoint list-jobs -n many -o table")
    assert len(json.loads(aml("batch-deployment list-jobs -n first -e many"))) == 2
    changed = aml("batch-deployment update -n first -e many --set mini_batch_size=9 --query mini_batch_size")
    assert changed.strip() == "9"
    aml("batch-deployment delete -n first -e many --yes")
    aml("batch-endpoint delete -n many --yes")
    assert json.loads(aml("batch-endpoint list")) == []


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


def test_credentials_of_an_endpoint_with_tokens(aml: Callable[..., str]) -> None:
    aml("online-endpoint create -n tokens --auth-mode aml_token")
    told = json.loads(aml("online-endpoint get-credentials -n tokens"))
    assert told.keys() == {"accessToken", "expiryTimeUtc", "refreshAfterTimeUtc", "tokenType"}
    aml("online-endpoint regenerate-keys -n tokens", fails="does not use keys for authentication")
    aml("online-endpoint create -n people --auth-mode aad_token")
    assert json.loads(aml("online-endpoint get-credentials -n people")).keys() == {"accessToken", "expiryTimeUtc"}


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


def test_assets_with_their_files(aml: Callable[..., str], double: Double, tmp_path: Path) -> None:
    (tmp_path / "digits.csv").write_text("7,1\n")
    made = json.loads(aml(f"data create --name sample --version 1 --path {tmp_path}/digits.csv --type uri_file"))
    assert made["name"] == "sample" and made["path"].startswith("azureml://")
    assert any(name.endswith("digits.csv") for name in double.blobs.names("azureml-blobstore-digits"))
    assert json.loads(aml("component create -f aml/components/prepare.yml --query name"))
    assert json.loads(aml("component list --query length(@)")) == 1
    aml("model create --name digits --version 1 --path aml/endpoints/digits")
    assert json.loads(aml("model show -n digits --label latest --query version")) == "1"
    aml(f"model download -n digits -v 1 -p {tmp_path}/downloaded")
    assert list((tmp_path / "downloaded").rglob("blue.yml"))


def test_a_command_job_and_its_outputs(aml: Callable[..., str], double: Double, tmp_path: Path) -> None:
    aml("compute create -f aml/compute/cpu-cluster.yml")
    (tmp_path / "job.yml").write_text(
        "command: python hello.py\ncode: code\nenvironment: {image: ubuntu}\ncompute: azureml:cpu-cluster\n"
    )
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "hello.py").write_text("print('hello')\n")
    assert aml(f"job create -f {tmp_path}/job.yml --name hello --query status -o tsv") == "Starting\n"
    assert "hello.py" in str([request.path for request in double.requests])
    aml("job stream -n hello")
    aml(f"job download -n hello -p {tmp_path}/out --all")
    assert (tmp_path / "out").is_dir()


def test_asking_an_endpoint(aml: Callable[..., str], double: Double, tmp_path: Path) -> None:
    aml("online-endpoint create -f aml/endpoints/digits/endpoint.yml")
    aml("model create --name digits --version 1 --path aml/endpoints/digits")
    aml("online-deployment create -f aml/endpoints/digits/blue.yml --all-traffic")
    double.endpoints.answer = lambda deployment, body: {"predictions": body["input_data"], "by": deployment}
    (tmp_path / "request.json").write_text('{"input_data": [3]}')
    deadline = time.monotonic() + 30
    while aml("online-endpoint show -n digits --query traffic.blue -o tsv") != "100\n":
        assert time.monotonic() < deadline
    answer = json.loads(json.loads(aml(f"online-endpoint invoke -n digits -r {tmp_path}/request.json")))
    assert answer == {"predictions": [3], "by": "blue"}
    aml("online-endpoint regenerate-keys -n digits --key-type secondary")


def test_a_schedule(aml: Callable[..., str], double: Double, tmp_path: Path) -> None:
    aml("compute create -f aml/compute/cpu-cluster.yml")
    (tmp_path / "nightly.yml").write_text(
        "name: nightly\ntrigger: {type: cron, expression: '0 3 * * *'}\n"
        f"create_job: {PROJECT / 'aml' / 'pipelines' / 'training.yml'}\n"
    )
    assert json.loads(aml(f"schedule create -f {tmp_path}/nightly.yml"))["trigger"]["expression"] == "0 3 * * *"
    assert aml("schedule list --query [].name -o tsv") == "nightly\n"
    assert json.loads(aml("schedule disable -n nightly"))["is_enabled"] is False
    aml("schedule delete -n nightly --yes")
    assert json.loads(aml("schedule list")) == []


def test_assets_are_changed_archived_and_restored(aml: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "digits.csv").write_text("7,1\n")
    aml(f"data create --name sample --version 1 --path {tmp_path}/digits.csv --type uri_file")
    changed = json.loads(aml("data update -n sample -v 1 --set tags.a=b description=words"))
    assert (changed["tags"], changed["description"]) == ({"a": "b"}, "words")
    aml("model create --name digits --version 1 --path aml/endpoints/digits")
    assert json.loads(aml("model update -n digits -v 1 --set tags.a=b --query tags")) == {"a": "b"}
    for noun, name in (("data", "sample"), ("model", "digits")):
        names = f"{noun} list -n {name} --query [].version -o tsv"
        aml(f"{noun} archive -n {name} -v 1")
        assert aml(names) == ""
        aml(f"{noun} restore -n {name} -v 1")
        assert aml(names) == "1\n"


def test_jobs_and_compute_are_changed(aml: Callable[..., str], double: Double) -> None:
    aml("compute create -f aml/compute/cpu-cluster.yml")
    assert json.loads(aml("compute update -n cpu-cluster --max-instances 3 --query max_instances")) == 3
    aml("job create -f aml/pipelines/training.yml --set name=first")
    aml("job archive -n first")
    assert aml("job list --query [].name -o tsv") == ""
    aml("job restore -n first")
    assert aml("job list --query [].name -o tsv") == "first\n"
    changed = json.loads(aml("job update -n first --set tags.a=b display_name=Shown"))
    assert (changed["tags"]["a"], changed["display_name"]) == ("b", "Shown")


def test_datastores(aml: Callable[..., str]) -> None:
    assert "workspaceblobstore" in aml("datastore list --query [].name -o tsv")
    assert json.loads(aml("datastore show -n workspaceblobstore --query type")) == "azure_blob"


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
