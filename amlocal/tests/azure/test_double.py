"""The double by itself: as a process, steered from outside, and the Azure around a workspace that a fake `az` asks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from double import SITE, Double

SUPPORT = Path(__file__).resolve().parents[1] / "support"
# What a process on the double sees: the client by az's own variables, names under .localhost, an unknown request.
PROCESS = """
import os, requests
from azure.ai.ml import MLClient
from azure.identity import EnvironmentCredential

place = [os.environ[name] for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_DEFAULTS_GROUP", "AZURE_DEFAULTS_WORKSPACE")]
print(MLClient(EnvironmentCredential(), *place, enable_telemetry=False).workspaces.get().location)
url = os.environ["DOUBLE_URL"]
port = url.rpartition(":")[2]
print(requests.get(f"https://stdigits.blob.core.localhost:{port}/none?sig=x").headers["x-ms-error-code"])
unknown = requests.get(url + "/never-heard-of").status_code, requests.get(url + "/double/unknown").json()
print(unknown[0], [one["path"] for one in unknown[1]])
steered = requests.put(url + "/double/script", json={"jobs": ["Running", "Failed"], "refuse": "quota"}).json()
print(steered["jobs"], steered["refuse"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="ends the process with a signal")
def test_another_process_takes_it_for_azure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "double", "--folder", str(tmp_path), "--env", str(tmp_path / "env")]
    with subprocess.Popen(command, cwd=SUPPORT) as process:
        try:
            while not (tmp_path / "env").is_file():
                assert process.poll() is None
                time.sleep(0.02)
            pairs = [line.partition("=") for line in (tmp_path / "env").read_text().splitlines()]
            environment = {name: value for name, _, value in pairs}
            assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(SITE)
            ran = subprocess.run(
                [sys.executable, "-c", PROCESS],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            process.send_signal(signal.SIGTERM)
    assert ran.stdout.splitlines() == [
        "westeurope",
        "ContainerNotFound",
        "501 ['/never-heard-of']",
        "['Running', 'Failed'] quota",
    ], ran.stderr
    assert process.returncode == 0


@pytest.fixture
def ask(double: Double) -> Callable[..., requests.Response]:
    """One request to ARM under this subscription."""

    def send(method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(
            method, f"{double.url}/subscriptions/{double.subscription}{path}", json=body, timeout=10
        )

    return send


def deployment(**parameters: Any) -> dict[str, Any]:
    given = {name: {"value": value} for name, value in parameters.items()}
    return {"location": "westeurope", "properties": {"mode": "Incremental", "parameters": given}}


PLACE = "/providers/Microsoft.Resources/deployments/digits"


def test_a_deployment_answers_with_outputs(ask: Callable[..., requests.Response]) -> None:
    changes = ask("POST", PLACE + "/whatIf", deployment(name="second")).json()["properties"]["changes"]
    assert {one["changeType"] for one in changes} == {"Create"}
    accepted = ask("PUT", PLACE, deployment(name="second", repository="someone/digits"))
    assert accepted.status_code == 201
    operation = accepted.headers["Azure-AsyncOperation"]
    assert [requests.get(operation, timeout=10).json()["status"] for _ in range(2)] == ["Running", "Succeeded"]
    outputs = ask("GET", PLACE).json()["properties"]["outputs"]
    assert outputs["workspace"]["value"] == "mlw-second"
    changes = ask("POST", PLACE + "/whatIf", deployment(name="second")).json()["properties"]["changes"]
    assert {one["changeType"] for one in changes} == {"NoChange"}


def test_what_a_deleted_group_leaves_behind(ask: Callable[..., requests.Response]) -> None:
    """The workspace and the Key Vault keep their names: nothing of that name is deployed until both are purged."""

    def deploy() -> str:
        accepted = ask("PUT", PLACE, deployment(name="second"))
        requests.get(accepted.headers["Azure-AsyncOperation"], timeout=10)
        error = requests.get(accepted.headers["Azure-AsyncOperation"], timeout=10).json().get("error")
        return error["details"][0]["message"] if error else ""

    workspace = "/resourceGroups/rg-second/providers/Microsoft.MachineLearningServices/workspaces/mlw-second"
    assert deploy() == ""
    vault = ask("GET", PLACE).json()["properties"]["outputs"]["keyVault"]["value"]
    assert ask("DELETE", "/resourceGroups/rg-second").status_code == 202
    assert ask("HEAD", "/resourceGroups/rg-second").status_code == 404
    assert "recover or purge existing key vault" in deploy()
    purge = f"/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/{vault}/purge"
    assert ask("POST", purge).status_code == 202
    assert "Soft-deleted workspace exists" in deploy()
    assert ask("DELETE", workspace + "?forceToPurge=true").status_code == 202
    assert deploy() == ""


def test_a_deployment_that_a_policy_forbids(ask: Callable[..., requests.Response], double: Double) -> None:
    double.deployments.refusal = ("RequestDisallowedByAzure", "Resource was disallowed by Azure")
    operation = ask("PUT", PLACE, deployment(name="second")).headers["Azure-AsyncOperation"]
    requests.get(operation, timeout=10)
    failed = requests.get(operation, timeout=10).json()
    assert (failed["status"], failed["error"]["details"][0]["code"]) == ("Failed", "RequestDisallowedByAzure")
    assert ask("GET", PLACE).json()["properties"]["provisioningState"] == "Failed"


def test_groups(ask: Callable[..., requests.Response], double: Double) -> None:
    assert ask("PUT", "/resourceGroups/rg-new", {"location": "northeurope"}).status_code == 201
    assert [one["name"] for one in ask("GET", "/resourceGroups").json()["value"]] == [double.resource_group, "rg-new"]
    kinds = {one["type"] for one in ask("GET", f"/resourceGroups/{double.resource_group}/resources").json()["value"]}
    assert "Microsoft.MachineLearningServices/workspaces" in kinds
    missing = ask("GET", "/resourceGroups/rg-none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "ResourceGroupNotFound")


def test_a_request_that_it_does_not_know_is_kept(tmp_path: Path) -> None:
    with Double(tmp_path) as double:
        for path in ("/subscriptions/s/providers/Microsoft.Quantum/workspaces/w", "/mlflow/unheard-of"):
            assert (
                requests.get(double.url + path, verify=str(tmp_path / "certificate.pem"), timeout=10).status_code == 501
            )
        assert len(double.unknown) == 2


def shown(rest: str, entity: str, body: dict[str, Any]) -> dict[str, Any]:
    """What `az ml` prints of a body, without its nulls."""
    from azure.ai.ml import entities
    from azure.ai.ml._restclient.arm_ml_service import models

    from amlocal.cli.printing import plain

    told = getattr(entities, entity)._from_rest_object(getattr(models, rest)._deserialize(body, []))
    return {key: value for key, value in plain(told).items() if value is not None}


def test_the_double_fills_in_what_is_filled_in_here(tmp_path: Path) -> None:
    """Both describe what the service adds: deployments, jobs and components that say nothing themselves."""
    from double import defaults

    from amlocal.batch.plan import Settings
    from amlocal.core.workspace import Workspace
    from amlocal.operations import service

    workspace = Workspace(tmp_path)
    around = {"id": workspace.id_of("onlineEndpoints", "e", "deployments", "d"), "name": "d", "location": "x"}
    properties = defaults.filled({"instanceType": "Standard_F4s_v2"}, defaults.DEPLOYMENT)
    around["sku"] = {"name": "Default", "capacity": 1}
    there = shown("OnlineDeployment", "OnlineDeployment", around | {"properties": properties})
    here = service.online_deployment(workspace, "e", "d", {})
    said = ("egress_public_network_access", "instance_type", "liveness_probe", "readiness_probe", "request_settings")
    for key in (*said, "scale_settings"):
        assert there[key] == here[key], key

    given = {"jobType": "Command", "command": "true", "environmentId": "azureml:e:1", "status": "Running"}
    around = {"id": workspace.id_of("jobs", "j"), "name": "j"}
    there = shown("JobBase", "Job", around | {"properties": defaults.job(dict(given), "j")})
    here = service.submitted({"type": "command"}, "j")
    for key in ("outputs", "queue_settings", "resources"):
        assert there[key] == here[key], key

    around = {"id": workspace.id_of("batchEndpoints", "e", "deployments", "d"), "name": "d", "location": "x"}
    there = shown("BatchDeployment", "BatchDeployment", around | {"properties": defaults.BATCH_DEPLOYMENT})
    ours, words = Settings(), ("error_threshold", "max_concurrency_per_instance", "mini_batch_size", "output_file_name")
    assert {key: there[key] for key in words} == {key: getattr(ours, key) for key in words}
    assert there["retry_settings"] == {"max_retries": ours.max_retries, "timeout": ours.timeout}
    assert (there["output_action"], there["logging_level"].lower()) == (ours.output_action, ours.logging_level)

    for kind in ("command", "pipeline"):
        spec = {"type": kind, "name": "c", "version": "1", "inputs": {"a": {"type": "string"}}}
        there = defaults.component({**spec, "inputs": {"a": {"type": "string"}}}, None)
        here = service.versioned(workspace, "component", spec)
        for key in ("inputs", "is_deterministic", "resources"):
            assert there.get(key) == defaults._texts(here.get(key)), (kind, key)
