"""A key or a token is sent to the endpoint that it opens, and to nobody who listens where that was."""

import http.client
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from thief import content, passed_on, thief

from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.down import down, up
from amlocal.endpoints.gateway.auth import MODES
from amlocal.endpoints.proof import NotProven, ProvenConnection, proof, proven_adapter
from amlocal.operations.common import entity
from amlocal.rollout.probes import Asker, Request


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMLClient]:
    """An endpoint `door`, without a deployment."""
    client = LocalMLClient(tmp_path_factory.mktemp("proof") / ".amlocal")
    try:
        client.online_endpoints.begin_create_or_update(entity("online-endpoint", {"name": "door", "auth_mode": "key"}))
        yield client
    finally:
        down(client.workspace)


def change(client: LocalMLClient, mode: str) -> str:
    """Give the endpoint this mode; returns what opens it."""
    endpoint = client.online_endpoints.get("door")
    endpoint.auth_mode = mode
    client.online_endpoints.begin_create_or_update(endpoint)
    told = client.online_endpoints.credentials("door")
    return told.get("primaryKey") or told["accessToken"]


def port_of(client: LocalMLClient) -> int:
    return client.online_endpoints.store.get("door").port


@pytest.mark.parametrize("mode", MODES)
def test_the_endpoint_proves_itself_to_who_has_what_opens_it(standing: LocalMLClient, mode: str) -> None:
    credential, port = change(standing, mode), port_of(standing)
    connection = ProvenConnection("127.0.0.1", port, credential, 30)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {credential}"})
    assert connection.getresponse().status == 200, "the very connection that was proven is used"
    connection.close()
    with requests.Session() as session:
        session.mount("http://", proven_adapter(credential))
        answer = session.get(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {credential}"})
        assert answer.status_code == 200
    for wrong in ("wrong", f"{credential[:-2]}xx", "a.b.c"):
        with pytest.raises(NotProven, match=f"the program listening on port {port} did not prove"):
            ProvenConnection("127.0.0.1", port, wrong, 30).connect()


def test_either_key_is_proven_and_one_that_was_replaced_is_not(standing: LocalMLClient) -> None:
    change(standing, "key")
    before = standing.online_endpoints.credentials("door")
    for key in before.values():
        ProvenConnection("127.0.0.1", port_of(standing), key, 30).connect()
    standing.online_endpoints.begin_regenerate_keys("door", key_type="secondary")
    with pytest.raises(NotProven):
        ProvenConnection("127.0.0.1", port_of(standing), before["secondaryKey"], 30).connect()


@pytest.mark.parametrize("mode", MODES)
def test_who_passes_the_question_on_is_not_the_endpoint(standing: LocalMLClient, mode: str) -> None:
    credential = change(standing, mode)
    with thief(answer=passed_on(port_of(standing))) as (port, told), pytest.raises(NotProven):
        ProvenConnection("127.0.0.1", port, credential, 30).connect()
    assert b"200 OK" in passed_on(port_of(standing))(told[0]), "the endpoint would answer it"
    assert credential.encode() not in b"".join(told)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of this machine")
def test_who_listens_on_the_same_port_of_another_address_is_not_the_endpoint(standing: LocalMLClient) -> None:
    key, port = change(standing, "key"), port_of(standing)
    with thief(port, passed_on(port), "127.0.0.2") as (_, told):
        with pytest.raises(NotProven):
            ProvenConnection("127.0.0.2", port, key, 30).connect()
        with requests.Session() as session, pytest.raises(requests.ConnectionError, match="did not prove"):
            session.mount("http://", proven_adapter(key))
            session.post(f"http://127.0.0.2:{port}/score", headers={"Authorization": f"Bearer {key}"})
    assert key.encode() not in b"".join(told)


@pytest.mark.parametrize(
    "answer",
    [
        content,
        lambda _: b"",
        lambda _: b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        lambda _: b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        lambda _: b"hello\r\n",
        lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        lambda _: b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"proofs": null}',
        lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000,
    ],
    ids=["proofs", "silence", "404", "302", "no HTTP", "a list", "null", "much"],
)
def test_any_other_answer_is_no_proof(answer: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amlocal.endpoints.proof.ANSWER_SECONDS", 0.3)
    with thief(answer=answer) as (port, told):
        with pytest.raises(NotProven):
            ProvenConnection("127.0.0.1", port, "the-key", 30).request("POST", "/score", b"{}", {"a": "the-key"})
        with requests.Session() as session, pytest.raises(requests.ConnectionError, match="did not prove"):
            session.mount("http://", proven_adapter("the-key"))
            session.post(f"http://127.0.0.1:{port}/score", headers={"Authorization": "Bearer the-key"})
    assert b"the-key" not in b"".join(told) and b"POST" not in b"".join(told)


@pytest.mark.parametrize(
    "query", ["", "?nonce=", "?nonce=short", f"?nonce={'x' * 129}", "?nonce=%00aaaaaaaaaaaaaaaaaaa"]
)
def test_what_is_no_challenge_is_refused(standing: LocalMLClient, query: str) -> None:
    change(standing, "key")
    status, said = get(port_of(standing), f"/challenge{query}")
    assert (status, said["message"][:28]) == (400, "the challenge needs a nonce:")


def test_a_challenge_tells_nothing_of_the_key(standing: LocalMLClient) -> None:
    key = change(standing, "key")
    nonce = "0123456789abcdef"
    status, said = get(port_of(standing), f"/challenge?nonce={nonce}")
    assert status == 200 and len(said["proofs"]) == 2
    assert said["proofs"][0] == proof(key, port_of(standing), nonce) != proof(key, port_of(standing) + 1, nonce)
    assert get(port_of(standing), f"/challenge?nonce={nonce}&token=a.b") == (status, said), "no token opens it now"
    assert get(port_of(standing), "/challenge", Origin="https://evil.example")[0] == 403


def get(port: int, path: str, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


# -- every client of ours


@pytest.mark.parametrize("mode", MODES)
def test_invoke_tells_a_thief_nothing(standing: LocalMLClient, mode: str, tmp_path: Path) -> None:
    credential, port = change(standing, mode), port_of(standing)
    (tmp_path / "request.json").write_text('{"what": "of mine"}')
    down(standing.workspace)
    refusal = r"did not prove that it is this endpoint, .*; nothing of it runs; `aml up`"
    with thief(port) as (_, told), pytest.raises(UserError, match=refusal):
        standing.online_endpoints.invoke("door", request_file=str(tmp_path / "request.json"))
    up(standing.workspace)
    heard = b"".join(told)
    assert heard.startswith(b"GET /challenge?nonce=") and credential.encode() not in heard and b"of mine" not in heard


@pytest.mark.parametrize("mode", MODES)
def test_a_rollout_tells_a_thief_nothing(standing: LocalMLClient, mode: str) -> None:
    credential, port = change(standing, mode), port_of(standing)
    with Asker(standing, "door") as asker:
        assert "no deployment" in (asker.ask("blue", Request("a", b"{}")).error or ""), "it enters"
        down(standing.workspace)
        with thief(port) as (_, told):
            answer = asker.ask("blue", Request("a", b'"of mine"'))
    up(standing.workspace)
    assert answer.text is None and "did not prove" in (answer.error or "")
    heard = b"".join(told)
    assert credential.encode() not in heard and b"of mine" not in heard


def test_the_client_on_the_page_gets_in(standing: LocalMLClient) -> None:
    page = Path(__file__).parents[2] / "docs" / "endpoints.md"
    [code] = re.findall(r"```python\n(import hashlib.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    shown: dict[str, Any] = {}
    exec(code, shown)
    key, port = change(standing, "key"), port_of(standing)
    connection = shown["connect"](port, key)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
    assert connection.getresponse().status == 200
    connection.close()
    with thief() as (other, told), pytest.raises(AssertionError, match="somebody else listens there"):
        shown["connect"](other, key)
    assert key.encode() not in b"".join(told)
