"""An endpoint made with `--local`, to try a deployment out: no key and no traffic rule, as Azure's local endpoints."""

import json
import urllib.error
import urllib.request

import pytest

from amlocal.core.errors import UserError
from amlocal.down import down
from amlocal.endpoints.gateway.server import Gateway
from amlocal.endpoints.store import EndpointStore
from amlocal.operations.common import entity

SCRIPT = """
import json


def init():
    pass


def run(data):
    return {"said": json.loads(data)["say"]}
"""


@pytest.fixture
def address(client, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCRIPT)
    blue = {
        "name": "blue",
        "endpoint_name": "trial",
        "code_configuration": {"code": str(tmp_path / "code"), "scoring_script": "score.py"},
        "environment": {"image": "a"},
        "instance_type": "Standard_DS1_v2",
        "instance_count": 1,
    }
    try:
        client.online_endpoints.begin_create_or_update(endpoint(), local=True)
        client.online_deployments.begin_create_or_update(
            deployment=entity("online-deployment", blue), local=True
        ).result()
        yield client.online_endpoints.get(name="trial", local=True).scoring_uri
    finally:
        down(client.workspace)


def endpoint():
    return entity("online-endpoint", {"name": "trial", "auth_mode": "key"})


def ask(address):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(address, b'{"say": "hi"}', {"Content-Type": "application/json"})
    with direct.open(request) as response:
        return json.loads(response.read())


def test_whoever_is_on_this_machine_may_ask_until_it_is_made_without_local(client, address, tmp_path):
    assert ask(address) == {"said": "hi"}
    (tmp_path / "request.json").write_text('{"say": "ho"}')
    answer = client.online_endpoints.invoke(
        endpoint_name="trial", request_file=str(tmp_path / "request.json"), local=True
    )
    assert json.loads(answer) == {"said": "ho"}
    client.online_endpoints.begin_create_or_update(endpoint()).result()
    assert ask(address) == {"said": "hi"}, "not said, it stays local"
    client.online_endpoints.begin_create_or_update(endpoint(), local=False).result()
    with pytest.raises(urllib.error.HTTPError) as refused:
        for _ in range(1_000):  # the gateway looks at its record several times a second
            ask(address)
    assert refused.value.code == 401


def test_the_gateway_of_a_deleted_endpoint_lets_nobody_in(client, monkeypatch):
    monkeypatch.setattr("amlocal.endpoints.supervisor.ensure", lambda workspace: None)
    monkeypatch.setattr("amlocal.operations.online_endpoints.wait_for_gateway", lambda store, name: None)
    client.online_endpoints.begin_create_or_update(endpoint(), local=True)
    gateway = Gateway(client.workspace, "trial")
    assert gateway.guard is None
    EndpointStore(client.workspace).record("trial").unlink()
    gateway._look_again = 0.0
    gateway.refresh()
    assert gateway.guard and gateway.guard.refusal(None) and gateway.guard.refusal(b"Bearer ")


def test_an_endpoint_whose_processes_do_not_start_is_not_left_to_come_to_life_later(client, monkeypatch):
    def refuse(workspace):
        raise UserError("the supervisor of the endpoints did not start")

    monkeypatch.setattr("amlocal.endpoints.supervisor.ensure", refuse)
    with pytest.raises(UserError, match="did not start"):
        client.online_endpoints.begin_create_or_update(entity("online-endpoint", {"name": "late"}))
    assert list(client.online_endpoints.list()) == []


def test_names_are_found_in_any_case(address, client):
    """As Azure finds them, which keeps them in lower case."""
    asked = client.online_endpoints.get("Trial")
    assert asked.name == "trial"
    asked.traffic = {"Blue": 100}
    assert client.online_endpoints.begin_create_or_update(asked).result().traffic == {"blue": 100}
    assert client.online_deployments.get(name="BLUE", endpoint_name="TRIAL").name == "blue"
    assert [each.name for each in client.online_deployments.list("TRIAL")] == ["blue"]
    assert client.online_deployments.get_logs("Blue", "Trial", 50) == client.online_deployments.get_logs(
        "blue", "trial", 50
    )
    client.online_endpoints.begin_delete("TRIAL")
    assert list(client.online_endpoints.list()) == []
