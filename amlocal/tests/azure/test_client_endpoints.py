"""Online endpoints and deployments, by the real MLClient: made, refused in each of Azure's ways, called, deleted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceResponseError
from double import Double


@pytest.fixture
def deploy(ml_client: Any, tmp_path: Path) -> Callable[..., Any]:
    """Makes a deployment of the endpoint `digits`, which is there, and waits for it."""
    from azure.ai.ml.entities import (
        CodeConfiguration,
        Environment,
        ManagedOnlineDeployment,
        ManagedOnlineEndpoint,
        Model,
    )

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text("def init(): pass\n\n\ndef run(data): return data\n")
    (tmp_path / "model.bin").write_bytes(b"model")
    ml_client.models.create_or_update(Model(name="digits", version="1", path=str(tmp_path / "model.bin")))
    ml_client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="digits", auth_mode="key")).result()

    def make(name: str = "blue", size: str = "Standard_DS2_v2", count: int = 1) -> Any:
        deployment = ManagedOnlineDeployment(
            name=name,
            endpoint_name="digits",
            model="digits@latest",
            environment=Environment(image="ubuntu"),
            code_configuration=CodeConfiguration(code=str(tmp_path / "code"), scoring_script="score.py"),
            instance_type=size,
            instance_count=count,
        )
        return ml_client.online_deployments.begin_create_or_update(deployment).result()

    return make


def test_a_deployment_is_made(deploy: Callable[..., Any], ml_client: Any, double: Double) -> None:
    made = deploy()
    assert (made.name, made.provisioning_state, made.instance_type) == ("blue", "Succeeded", "Standard_DS2_v2")
    sent = next(one for one in double.requests if one.method == "PUT" and one.path.endswith("/deployments/blue"))
    assert sent.body["properties"]["model"].endswith("/models/digits/versions/1")
    assert [one.name for one in ml_client.online_deployments.list("digits")] == ["blue"]
    assert ml_client.online_endpoints.get("digits").traffic == {"blue": 0}
    assert [one.name for one in ml_client.online_endpoints.list()] == ["digits"]


def test_traffic_keys_and_invoke(deploy: Callable[..., Any], ml_client: Any, tmp_path: Path) -> None:
    deploy("blue")
    deploy("green", "Standard_F2s_v2")
    endpoint = ml_client.online_endpoints.get("digits")
    endpoint.traffic = {"blue": 100, "green": 0}
    ml_client.online_endpoints.begin_create_or_update(endpoint).result()
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"input_data": [[0]]}))
    assert json.loads(ml_client.online_endpoints.invoke("digits", request_file=request))["deployment"] == "blue"
    answer = ml_client.online_endpoints.invoke("digits", request_file=request, deployment_name="green")
    assert json.loads(answer)["deployment"] == "green"

    assert ml_client.online_endpoints.get_keys("digits").primary_key == "digits-primary"
    ml_client.online_endpoints.begin_regenerate_keys("digits", key_type="secondary").result()

    endpoint.traffic = {"blue": 60}
    with pytest.raises(HttpResponseError, match="sum to 0 or 100"):
        ml_client.online_endpoints.begin_create_or_update(endpoint).result()


def test_a_script_that_fails_is_a_424(
    deploy: Callable[..., Any], ml_client: Any, double: Double, tmp_path: Path
) -> None:
    from azure.ai.ml.exceptions import MlException

    deploy()

    def fail(deployment: str, body: Any) -> Any:
        raise ValueError("no digits")

    double.endpoints.answer = fail
    (tmp_path / "request.json").write_text("{}")
    with pytest.raises(MlException, match="no digits"):
        ml_client.online_endpoints.invoke("digits", request_file=tmp_path / "request.json", deployment_name="blue")


def test_logs_and_deletion(deploy: Callable[..., Any], ml_client: Any) -> None:
    deploy()
    assert "UserContainerImagePull" in ml_client.online_deployments.get_logs("blue", "digits", lines=1)
    ml_client.online_deployments.begin_delete("blue", "digits").result()
    assert list(ml_client.online_deployments.list("digits")) == []
    ml_client.online_endpoints.begin_delete("digits").result()
    assert list(ml_client.online_endpoints.list()) == []


def test_quota_refused_at_once(deploy: Callable[..., Any], ml_client: Any, double: Double) -> None:
    double.endpoints.refuse("quota")
    with pytest.raises(HttpResponseError) as caught:
        deploy()
    assert caught.value.status_code == 400
    assert caught.value.error.details[0].code == "InferencingClientCreateDeploymentFailed"
    assert "Not enough quota available for Standard_DS2_v2" in str(caught.value)
    assert list(ml_client.online_deployments.list("digits")) == []


def test_quota_is_counted_as_azure_counts_it(deploy: Callable[..., Any], double: Double) -> None:
    """A deployment needs room for a fifth more instances than it has: one needs its cores twice, two thrice."""
    double.resources.usage["standardDSv2Family"] = (0, 6)
    with pytest.raises(HttpResponseError, match=r"Current usage/limit: 0/6. Additional needed: 8"):
        deploy("blue", "Standard_DS3_v2")
    deploy("blue", "Standard_DS2_v2", 2)
    with pytest.raises(HttpResponseError, match=r"Current usage/limit: 6/6. Additional needed: 2"):
        deploy("green", "Standard_DS1_v2")
    deploy("green", "Standard_F2s_v2")


def test_quota_refused_once_polled_has_status_200(deploy: Callable[..., Any], ml_client: Any, double: Double) -> None:
    double.endpoints.refuse("quota-async")
    with pytest.raises(HttpResponseError, match="Not enough cluster CPU quota") as caught:
        deploy()
    assert caught.value.status_code == 200
    assert caught.value.error.code == "OutOfQuota"
    assert ml_client.online_deployments.get("blue", "digits").provisioning_state == "Failed"


def test_image_that_cannot_be_built(deploy: Callable[..., Any], double: Double) -> None:
    double.endpoints.refuse("image")
    with pytest.raises(HttpResponseError, match="Image build failed") as caught:
        deploy()
    assert caught.value.error.code == "ImageBuildFailure"


@pytest.mark.parametrize(
    ("kind", "code"), [("permission", "AuthorizationFailed"), ("region", "RequestDisallowedByAzure")]
)
def test_what_no_other_size_would_mend(deploy: Callable[..., Any], double: Double, kind: str, code: str) -> None:
    double.endpoints.refuse(kind)
    with pytest.raises(HttpResponseError) as caught:
        deploy()
    assert (caught.value.status_code, caught.value.error.code) == (403, code)


def test_throttled_for_a_moment(deploy: Callable[..., Any], double: Double) -> None:
    double.endpoints.refuse("throttled")
    assert deploy().provisioning_state == "Succeeded"
    times = [one.time for one in double.requests if one.method == "PUT" and one.path.endswith("/deployments/blue")]
    assert len(times) == 2
    assert times[1] - times[0] >= 1, "Retry-After says one second"


def test_connection_cut_while_polling(deploy: Callable[..., Any], double: Double) -> None:
    double.endpoints.refuse("cut")
    assert deploy().provisioning_state == "Succeeded"


def test_connection_lost_while_polling(
    deploy: Callable[..., Any], ml_client: Any, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client gives up; the deployment does not: it is there when one looks again."""
    from azure.core.pipeline.policies import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "sleep", lambda *_, **__: None)
    double.endpoints.refuse("cut", times=100)
    with pytest.raises(ServiceResponseError):
        deploy()
    assert ml_client.online_deployments.get("blue", "digits").provisioning_state == "Succeeded"
