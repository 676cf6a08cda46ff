"""`POST .../jobs` at the scoring_uri, as the REST API documents it; the endpoint's process is really run."""

import json
import urllib.error
import urllib.request

import pytest

from amlocal.down import down, up
from amlocal.operations.common import entity


@pytest.fixture
def endpoint(client, deployment):
    try:
        client.batch_endpoints.begin_create_or_update(entity("batch-endpoint", {"name": "tens"})).result()
        client.batch_deployments.begin_create_or_update(deployment()).result()
        yield client.batch_endpoints.get("tens")
    finally:
        down(client.workspace)


def ask(address, body, token=None, method="POST", **headers):
    """(status, the answer's JSON)"""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        address, data, {"Content-Type": "application/json", **bearer, **headers}, method=method
    )
    try:
        with direct.open(request) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_job_is_started_over_http(endpoint, client, finish, numbers):
    address, token = endpoint.scoring_uri, client.batch_endpoints.credentials("tens")["accessToken"]
    assert address.endswith("/jobs")
    data = {"numbers": {"JobInputType": "UriFolder", "Uri": str(numbers)}}
    body = {"properties": {"InputData": data, "properties": {"experimentName": "nightly"}}}

    assert ask(address, body)[0] == 401
    assert ask(address, body, "wrong")[0] == 401
    assert client.batch_endpoints.describe_jobs("tens") == []
    status, told = ask(address, body, token)
    assert (status, told["error"]["code"]) == (404, "NotFound"), "it has no default deployment"

    named = {"azureml-model-deployment": "first"}
    status, told = ask(address, body, token, **named)
    assert status == 201 and told["type"].endswith("/batchEndpoints/deployments/jobs")
    assert told["id"].endswith(f"/deployments/first/jobs/{told['name']}")
    assert told["properties"]["status"] == "Preparing"
    record = finish(told["name"])
    assert (record.status, record.experiment_name) == ("Completed", "nightly")

    status, told = ask(address, {"properties": {"InputData": {"x": {"JobInputType": "Literal"}}}}, token, **named)
    assert status == 400 and "inputs.x: a literal" in told["error"]["message"]
    status, told = ask(address, b"{", token, **named)
    assert status == 400 and "not JSON" in told["error"]["message"]
    assert ask(address, body, token, method="PUT")[0] == 405
    assert ask(address.replace("/jobs", "/score"), body, token)[0] == 404
    assert ask(address, body, token, Origin="https://example.org")[0] == 403

    assert "endpoint tens" in down(client.workspace)
    assert client.batch_endpoints.describe("tens")["health"]["status"] == "Stopped"
    assert up(client.workspace) == ["tens"]
    assert ask(address, {}, token)[0] == 404
