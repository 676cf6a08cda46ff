"""`--target auto`: Azure if it has room, this machine if quota says no, and an error for everything else."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from double import Double
from double.arm import ML

from amlocal.azure import connection, fallback
from amlocal.cli import main
from amlocal.client import LocalMLClient

DEPLOYMENT = """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: digits
model: azureml:echo@latest
code_configuration: {code: code, scoring_script: score.py}
environment: {image: "python:3.11"}
instance_type: Standard_DS1_v2
instance_count: 1
"""
SCRIPT = """
import os
from pathlib import Path

def init():
    global content
    (file,) = [path for path in Path(os.environ["AZUREML_MODEL_DIR"]).rglob("*") if path.is_file()]
    content = file.read_text()

def run(data):
    return {"model": content}
"""


SHARED = "azureml://registries/shared/models/echo"


class Aml:
    """Runs `aml` in this process, in a folder with a deployment, on the double and on a workspace of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder, self.capsys = folder, capsys
        self.outputs = folder / "outputs.txt"
        (folder / "blue.yml").write_text(DEPLOYMENT)
        (folder / "endpoint.yml").write_text("name: digits\nauth_mode: key\n")
        (folder / "code").mkdir()
        (folder / "code" / "score.py").write_text(SCRIPT)
        (folder / "model").mkdir()
        (folder / "model" / "echo.txt").write_text("the third")
        (folder / "request.json").write_text("{}")
        patch.chdir(folder)
        (folder / "bin").mkdir()
        (folder / "bin" / "bash").symlink_to(str(shutil.which("bash")))
        patch.setenv("PATH", str(folder / "bin"))  # no az: the credentials are the environment's
        patch.setenv("AMLOCAL_HOME", str(folder / ".amlocal"))
        patch.setenv("GITHUB_OUTPUT", str(self.outputs))
        patch.setattr(connection, "POLLING_SECONDS", 0.05)

    def __call__(self, line: str, code: int = 0) -> tuple[Any, str]:
        """What a command prints, as JSON, and what it says on stderr."""
        assert main(line.split()) == code, self.capsys.readouterr().err
        out, err = self.capsys.readouterr()
        return (json.loads(out) if out else None), err

    def outcome(self) -> dict[str, str]:
        """What the next step of a workflow reads."""
        return dict(line.split("=", 1) for line in self.outputs.read_text().splitlines())


@pytest.fixture
def aml(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Aml]:
    aml = Aml(tmp_path, capsys, monkeypatch)
    for version, text in ((1, "the first"), (2, "the second"), (3, "the third")):
        (tmp_path / "model" / "echo.txt").write_text(text)
        aml(f"model create --name echo --version {version} --path model/echo.txt --target azure")
    yield aml
    main(["down"])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine that only notes what comes to it: which refusals come is told without starting a server for each."""
    came: list[str] = []
    monkeypatch.setattr(fallback, "have_endpoint", lambda local, name: came.append(f"endpoint {name}"))
    monkeypatch.setattr(fallback, "bring_model", lambda azure, local, reference, say: reference)

    class Deployments:
        def describe_all(self, endpoint_name: str) -> list[Any]:
            return []

        def begin_create_or_update(self, entity: Any) -> Any:
            came.append(f"deployment {entity.name}")
            return self

        def result(self) -> None: ...

        def describe(self, name: str, endpoint_name: str) -> dict[str, str]:
            return {"name": name}

    monkeypatch.setattr(LocalMLClient, "online_deployments", Deployments(), raising=False)
    monkeypatch.setattr(LocalMLClient, "__init__", lambda self, *_, **__: None)
    return came


CREATE = "online-deployment create -f blue.yml --target auto"


def test_with_quota_it_is_in_azure(aml: Aml, double: Double, here: list[str]) -> None:
    aml("online-endpoint create -f endpoint.yml --target auto")
    answer, _ = aml(CREATE + " --all-traffic")
    assert (answer["target"], answer["fallback_reason"], answer["provisioning_state"]) == ("azure", None, "Succeeded")
    assert aml.outcome() == {"target": "azure", "reason": ""}
    assert aml("online-endpoint show -n digits --target azure --query traffic")[0] == {"blue": 100}
    assert here == []


def test_without_quota_the_same_file_and_azure_s_model_serve_here(aml: Aml, double: Double) -> None:
    """From the refusal to an answer; and back when quota comes."""
    aml("online-endpoint create -f endpoint.yml --target azure")
    double.resources.usage["standardDSv2Family"] = (6, 6)
    answer, err = aml(CREATE + " --all-traffic")
    reason = "1 x Standard_DS1_v2 needs 2 cores, and standardDSv2Family has 0 left"
    assert f"Azure has no quota for this: {reason}. It goes to this machine instead." in err
    assert (answer["target"], answer["fallback_reason"]) == ("local", reason)
    assert aml.outcome() == {"target": "local", "reason": reason}
    assert not any(request.path.endswith("/deployments/blue") for request in double.requests if request.method == "PUT")
    assert aml("online-endpoint invoke -n digits -r request.json")[0] == json.dumps({"model": "the third"})
    (ours,) = aml("model list -n echo")[0]
    assert ours["tags"]["azure_version"] == "3"
    double.resources.usage["standardDSv2Family"] = (0, 6)
    assert aml("online-deployment create -f blue.yml --target azure")[0]["provisioning_state"] == "Succeeded"


def test_a_model_of_a_registry_comes_from_there(aml: Aml, double: Double) -> None:
    """Not from the workspace, where the same version is another model."""
    double.store.make(
        f"{double.workspace_id.partition('/providers/')[0]}/providers/{ML}/registries/shared",
        {"location": double.location, "properties": {}},
    )
    aml("online-endpoint create -f endpoint.yml --target azure")
    share = "model share -n echo --registry-name shared --share-with-name echo --target azure"
    assert aml(f"{share} -v 2 --share-with-version 3")[0]["version"] == "3"
    assert aml("model show -n echo -v 3 --registry-name shared --target azure")[0]["version"] == "3"
    _, err = aml(f"{share} -v 2 --share-with-version 3", code=1)
    assert "already exists in registry" in err
    aml("model show -n echo -v 4 --registry-name shared --target azure", code=1)

    (aml.folder / "blue.yml").write_text(DEPLOYMENT.replace("azureml:echo@latest", f"{SHARED}/versions/3"))
    assert aml(CREATE)[0]["target"] == "azure"
    (sent,) = [one for one in double.requests if one.method == "PUT" and one.path.endswith("/deployments/blue")]
    assert sent.body["properties"]["model"] == f"{SHARED}/versions/3"

    aml("online-deployment delete -n blue -e digits --yes --target azure")
    double.resources.usage["standardDSv2Family"] = (6, 6)
    answer, err = aml(f"{CREATE} --all-traffic")
    assert answer["target"] == "local" and "Fetching model echo, version 3, from registry shared" in err
    assert aml("online-endpoint invoke -n digits -r request.json")[0] == json.dumps({"model": "the second"})
    (ours,) = aml("model list -n echo")[0]
    assert (ours["tags"]["azure_registry"], ours["tags"]["azure_version"]) == ("shared", "3")
    _, err = aml(f"{CREATE} --name green")
    assert "Fetching" not in err, "it is here"


BATCH = {
    "batch/endpoint.yml": "batchEndpoint.schema.json\nname: Files\n",
    "batch/broken.yml": "batchEndpoint.schema.json\nname: [\n",
    "batch/deployment.yml": """modelBatchDeployment.schema.json
name: one
endpoint_name: files
type: model
model: azureml:echo@latest
code_configuration: {code: ../online/code, scoring_script: score.py}
environment: {image: "python:3.11"}
compute: azureml:cpu-cluster
""",
    "other/deployment.yml": "modelBatchDeployment.schema.json\nname: one\nendpoint_name: elsewhere\n",
}


def test_who_has_no_quota_is_told_of_batch_endpoints(aml: Aml, double: Double, here: list[str]) -> None:
    aml("online-endpoint create -f endpoint.yml --target azure")
    double.resources.usage["standardDSv2Family"] = (6, 6)
    _, err = aml(CREATE)
    assert "a batch endpoint can be in Azure" in err
    assert "aml batch-endpoint create, aml batch-deployment create." in err

    for name, text in BATCH.items():
        (aml.folder / name).parent.mkdir(exist_ok=True)
        (aml.folder / name).write_text(f"$schema: https://azuremlschemas.azureedge.net/latest/{text}")
    (aml.folder / "online").mkdir()
    (aml.folder / "blue.yml").rename(aml.folder / "online" / "blue.yml")
    (aml.folder / "code").rename(aml.folder / "online" / "code")
    _, err = aml(CREATE.replace("blue.yml", "online/blue.yml"))
    commands = [line.removeprefix("  aml ") for line in err.splitlines() if line.startswith("  aml ")]
    assert [words.split()[3] for words in commands] == ["batch/endpoint.yml", "batch/deployment.yml"]
    aml("compute create --name cpu-cluster --type amlcompute --size Standard_F4s_v2 --target azure")
    for command in commands:
        aml(command)
    assert aml("batch-endpoint show -n files --target azure --query defaults.deployment_name")[0] == "one"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("quota", "Not enough quota available for Standard_DS1_v2. Current usage/limit: 0/6. Additional needed: 2"),
        ("quota-async", "Not enough cluster CPU quota"),
        ("endpoints", "Endpoint Quota reached for subscription"),
    ],
)
def test_each_of_quota_s_refusals_comes_here(aml: Aml, double: Double, here: list[str], kind: str, words: str) -> None:
    aml("online-endpoint create -f endpoint.yml --target azure")
    double.endpoints.refuse(kind)
    answer, err = aml(CREATE)
    assert answer["target"] == "local" and words in answer["fallback_reason"]
    assert aml.outcome()["target"] == "local"
    assert double.subscription not in json.dumps(answer) + err + aml.outputs.read_text()
    assert here == ["endpoint digits", "deployment blue"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("permission", "AuthorizationFailed"),
        ("image", "ImageBuildFailure"),
        ("region", "RequestDisallowedByAzure"),
    ],
)
def test_everything_else_stays_an_error(aml: Aml, double: Double, here: list[str], kind: str, words: str) -> None:
    aml("online-endpoint create -f endpoint.yml --target azure")
    double.endpoints.refuse(kind)
    answer, err = aml(CREATE, code=1)
    assert answer is None and words in err and here == [] and not aml.outputs.exists()


def test_without_a_login_nothing_comes_here(aml: Aml, here: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    _, err = aml(CREATE, code=1)
    assert "not signed in to Azure" in err and here == []


def test_a_wrong_file_stays_an_error(aml: Aml, here: list[str]) -> None:
    (aml.folder / "blue.yml").write_text(DEPLOYMENT.replace("instance_count: 1", "instance_count: many"))
    _, err = aml(CREATE, code=1)
    assert "instance_count" in err and here == []


def test_when_the_endpoint_itself_was_refused_its_deployments_come_here(aml: Aml, double: Double) -> None:
    double.endpoints.refuse("endpoints")
    answer, _ = aml("online-endpoint create -f endpoint.yml --target auto")
    assert answer["target"] == "local" and "Endpoint Quota reached" in answer["fallback_reason"]
    answer, _ = aml(CREATE)
    assert answer["target"] == "local"
    assert answer["fallback_reason"] == "endpoint digits is on this machine, not in Azure"


def test_a_throttled_request_is_azure_s_own_to_mend(aml: Aml, double: Double, here: list[str]) -> None:
    aml("online-endpoint create -f endpoint.yml --target azure")
    double.endpoints.refuse("throttled", times=1)
    assert aml(CREATE)[0]["target"] == "azure" and here == []


JOB = "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\nname: greeting\n"
JOB += "command: echo hello\nenvironment: {image: 'python:3.11'}\ncompute: azureml:cpu-cluster\n"
SUBMIT = "job create -f job.yml --target auto --stream -o json"


@pytest.fixture
def job(aml: Aml) -> None:
    (aml.folder / "job.yml").write_text(JOB)
    aml("compute create --name cpu-cluster --type amlcompute --size Standard_F4s_v2 --target azure")


@pytest.mark.usefixtures("job")
def test_a_job_runs_in_azure_when_a_node_comes(aml: Aml, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "LOOK_SECONDS", 0.01)
    double.jobs.script = ["Queued", "Queued", "Running", "Completed"]
    answer, err = aml(SUBMIT)
    assert answer["status"] == "Completed" and answer["compute"].endswith("cpu-cluster")
    assert "Waiting for a node for job greeting" in err
    assert aml.outcome() == {"target": "azure", "reason": ""}


@pytest.mark.usefixtures("job")
def test_a_job_that_only_waits_is_canceled_and_runs_here(
    aml: Aml, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback, "LOOK_SECONDS", 0.01)
    double.jobs.script = ["Queued"]
    answer, err = aml(SUBMIT + " --queue-minutes 0.002")
    assert (answer["name"], answer["status"]) == ("greeting", "Completed") and "hello" in err
    assert aml.outcome()["reason"] == "job greeting waited 0.002 minutes for a node and was canceled"
    assert aml("job show -n greeting --target azure --query status")[0] == "Canceled"


@pytest.mark.usefixtures("job")
def test_a_job_that_no_quota_has_room_for_is_not_even_queued(aml: Aml, double: Double) -> None:
    double.resources.usage["standardFSv2Family"] = (0, 0)
    assert aml(SUBMIT)[0]["status"] == "Completed"
    assert aml.outcome()["reason"] == "1 x Standard_F4s_v2 needs 4 cores, and standardFSv2Family has 0 left"
    assert aml("job list --target azure")[0] == []


@pytest.mark.usefixtures("job")
def test_a_node_that_idles_takes_the_job_though_no_core_is_left(aml: Aml, double: Double) -> None:
    double.resources.usage["standardFSv2Family"] = (4, 4)
    double.workspaces.idle_nodes = 1
    answer, _ = aml(SUBMIT.replace(" --stream", ""))
    assert (answer["target"], answer["fallback_reason"]) == ("azure", None)


class Jobs:
    """Azure's jobs as `require_node` sees them: at each look a pipeline's status, and its steps'."""

    def __init__(self, *looks: tuple[str, list[str]]) -> None:
        self.looks = iter(looks)
        self.canceled: list[str] = []
        self.steps: list[str] = []
        self.jobs = self

    def get(self, name: str) -> Any:
        status, self.steps = next(self.looks)
        return SimpleNamespace(name=name, type="pipeline", status=status)

    def list(self, parent_job_name: str) -> list[Any]:
        return [None, *(SimpleNamespace(status=status) for status in self.steps)]

    def begin_cancel(self, name: str) -> Any:
        self.canceled.append(name)
        return SimpleNamespace(result=lambda: None)


def test_a_pipeline_has_a_node_when_a_step_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when Azure calls it running, nor when its first steps were reused."""
    monkeypatch.setattr(fallback, "LOOK_SECONDS", 0.0)
    waiting = [("Running", []), ("Running", ["Queued"]), ("Running", ["Completed", "Queued"])]
    jobs = Jobs(*waiting, ("Running", ["Completed", "Running"]))
    fallback.require_node(jobs, "p", 1, lambda _: None)
    assert next(jobs.looks, None) is None and jobs.canceled == []
    jobs = Jobs(*waiting)
    with pytest.raises(fallback.NoRoom, match="job p waited 0 minutes for a node and was canceled"):
        fallback.require_node(jobs, "p", 0, lambda _: None)
    assert jobs.canceled == ["p"]


def test_auto_has_to_wait(aml: Aml) -> None:
    _, err = aml(CREATE + " --no-wait", code=1)
    assert "--no-wait: with --target auto the command has to wait" in err


def test_auto_is_for_what_creates(aml: Aml) -> None:
    _, err = aml("online-endpoint list --target auto", code=1)
    assert "--target auto is for what creates something that quota can refuse" in err
