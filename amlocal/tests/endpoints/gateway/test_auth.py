"""Who may enter an endpoint: tokens and keys, web pages from elsewhere, paths that pretend, what lies on disk."""

import contextlib
import errno
import http.client
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jwt
import pytest
from azure.ai.ml.entities import EndpointAadToken, EndpointAuthKeys, EndpointAuthToken

from amlocal.cli import main
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.down import down
from amlocal.endpoints.gateway.auth import AAD_TOKEN, AML_TOKEN, KEY, MOST_KNOWN, TOKEN_SECONDS, Guard, token
from amlocal.endpoints.gateway.server import Gateway
from amlocal.endpoints.worker.instance import SOCKET, pack, unix_sockets
from amlocal.operations.common import entity

SCRIPT = """
def init(): pass
def run(data): return "scored"
"""


class Door:
    """An endpoint `door` with one deployment."""

    def __init__(self, client: LocalMLClient) -> None:
        self.client = client
        self.operations = client.online_endpoints
        self.store = self.operations.store

    @property
    def port(self) -> int:
        return self.store.get("door").port

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def change(self, mode: str, local: bool = False) -> None:
        endpoint = self.operations.get("door")
        endpoint.auth_mode = mode
        self.operations.begin_create_or_update(endpoint, local=local)

    def ask(
        self, bearer: str | None = None, method: str = "POST", path: str = "/score", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Header names are written with underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Content-Type": "application/json"} | ({} if bearer is None else {"Authorization": f"Bearer {bearer}"})
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, b"{}", sent)
            response = connection.getresponse()
            body = response.read()
            told = {name.lower(): value for name, value in response.getheaders()}
            assert not [name for name in told if name.startswith("access-control-")]
            return response.status, json.loads(body) if body.startswith((b"{", b'"')) else body, told
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    @property
    def good(self) -> str:
        told = self.operations.credentials("door")
        return told.get("primaryKey") or told["accessToken"]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(SCRIPT)
    blue = {
        "name": "blue",
        "endpoint_name": "door",
        "code_configuration": {"code": str(folder / "code"), "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
        "instance_type": "Standard_DS1_v2",
    }
    client = LocalMLClient(folder / "my work" / ".amlocal")
    try:
        for name in ("door", "other"):
            client.online_endpoints.begin_create_or_update(
                entity("online-endpoint", {"name": name, "auth_mode": "aml_token"})
            )
        client.online_deployments.begin_create_or_update(entity("online-deployment", blue))
        endpoint = client.online_endpoints.get("door")
        endpoint.traffic = {"blue": 100}
        client.online_endpoints.begin_create_or_update(endpoint)
        yield Door(client)
    finally:
        down(client.workspace)


@pytest.fixture
def door(standing: Door) -> Door:
    """With keys."""
    standing.change(KEY)
    return standing


# -- tokens


@pytest.mark.parametrize("mode", [AML_TOKEN, AAD_TOKEN])
def test_a_token_opens_until_it_expires_and_no_other_credential_does(standing: Door, mode: str) -> None:
    door = standing
    door.change(mode)
    assert door.operations.describe("door")["auth_mode"] == door.operations.get("door").auth_mode == mode
    told = door.operations.credentials("door")
    assert door.ask(told["accessToken"])[:2] == (200, "scored")
    assert door.ask(told["accessToken"])[0] == 200  # known now
    lived = told["expiryTimeUtc"] - time.time()
    assert TOKEN_SECONDS - 60 < lived <= TOKEN_SECONDS

    secret, other = door.store.token_secret("door"), door.store.token_secret("other")
    claims = {"iss": "amlocal", "aud": "door", "exp": int(time.time()) - 10}
    status, said, headers = door.ask(jwt.encode(claims, secret, "HS256"))
    assert status == 401 and said["message"].startswith("the token has expired; `aml online-endpoint get-credentials")
    assert headers["www-authenticate"] == "Bearer"
    claims["exp"] += 1000
    forged = {
        "another endpoint's": token("other", mode, other)["accessToken"],
        "signed by another": jwt.encode(claims, other, "HS256"),
        "for another, signed by this": jwt.encode({**claims, "aud": "other"}, secret, "HS256"),
        "not signed": jwt.encode(claims, "", "none"),
        "another algorithm": jwt.encode(claims, 2 * secret, "HS512"),
        "without an end": jwt.encode({"iss": "amlocal", "aud": "door"}, secret, "HS256"),
        "a changed one": told["accessToken"][:-5] + "AAAAA",
        "half": told["accessToken"].rpartition(".")[0],
        "a key": door.store.keys("door")["primaryKey"],
        "nothing": "",
        "much": "x" * 10_000,
        "dots": "..",
        "no text": "ü",
        **{
            f"exp {end!r:.20}": jwt.encode({**claims, "exp": end}, secret, "HS256")
            for end in (10**400, 1e300, "1" * 5000, [1], {}, None, 1 << 60)
        },
    }
    for what, credential in forged.items():
        status, said, _ = door.ask(credential)
        assert (status, "TOKEN" in said["message"]) == (401, True), what
    assert door.ask(jwt.encode(claims, secret, "HS256"))[0] == 200


def test_the_entities_are_the_sdks(standing: Door) -> None:
    standing.change(AML_TOKEN)
    told = standing.operations.get_keys("door")
    assert isinstance(told, EndpointAuthToken) and told.token_type == "Bearer"
    assert time.time() < told.refresh_after_time_utc < told.expiry_time_utc
    assert standing.ask(told.access_token)[0] == 200
    standing.change(AAD_TOKEN)
    told = standing.operations.get_keys("door")
    assert isinstance(told, EndpointAadToken) and standing.ask(told.access_token)[0] == 200
    standing.change(KEY)
    assert isinstance(standing.operations.get_keys("door"), EndpointAuthKeys)


def test_another_mode_locks_out_what_opened_before(standing: Door) -> None:
    standing.change(AML_TOKEN)
    before = standing.good
    standing.change(KEY)
    assert standing.ask(before)[0] == 401 and standing.ask(standing.good)[0] == 200
    standing.change(AML_TOKEN)
    assert standing.ask(before)[0] == 401 and standing.ask(standing.good)[0] == 200


def test_what_cannot_be_with_tokens(standing: Door) -> None:
    standing.change(AML_TOKEN)
    with pytest.raises(UserError, match="endpoint door does not use keys for authentication: its auth_mode is aml_tok"):
        standing.operations.begin_regenerate_keys("door")
    endpoint = standing.operations.get("door")
    endpoint.auth_mode = "password"
    with pytest.raises(UserError, match="auth_mode: password is none of key, aml_token, aad_token"):
        standing.operations.begin_create_or_update(endpoint)


def test_what_a_user_types(
    standing: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMLOCAL_HOME", str(standing.client.workspace.root))

    def aml(line: str) -> Any:
        code = main(line.split())
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out or "null")

    assert aml("online-endpoint update -n door --set auth_mode=aml_token --query auth_mode") == AML_TOKEN
    told = aml("online-endpoint get-credentials -n door")
    assert told.keys() == {"accessToken", "expiryTimeUtc", "refreshAfterTimeUtc", "tokenType"}
    (tmp_path / "request.json").write_text("{}")
    assert aml(f"online-endpoint invoke -n door -r {tmp_path / 'request.json'}") == '"scored"'
    assert main(["online-endpoint", "regenerate-keys", "-n", "door"]) == 1
    assert "does not use keys" in capsys.readouterr().err
    aml("online-endpoint update -n door --set auth_mode=aad_token")
    assert aml("online-endpoint get-credentials -n door").keys() == {"accessToken", "expiryTimeUtc"}
    aml("online-endpoint update -n door --set auth_mode=key")
    assert aml("online-endpoint get-credentials -n door").keys() == {"primaryKey", "secondaryKey"}


def test_the_tokens_it_remembers_are_bounded_and_not_the_bad_ones() -> None:
    secret = "s" * 40
    guard = Guard("door", AML_TOKEN, (), secret)
    end = int(time.time()) + 100
    for number in range(MOST_KNOWN + 50):
        claims = {"iss": "amlocal", "aud": "door", "exp": end, "n": number}
        assert guard.refusal(b"Bearer " + jwt.encode(claims, secret, "HS256").encode()) is None
        assert guard.refusal(b"Bearer bad-%d" % number)
    assert len(guard._known) == MOST_KNOWN


def test_a_token_that_was_good_is_refused_once_it_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s" * 40
    guard = Guard("door", AML_TOKEN, (), secret)
    claims = {"iss": "amlocal", "aud": "door", "exp": int(time.time())}  # now, and clocks are given a little
    given = b"Bearer " + jwt.encode(claims, secret, "HS256").encode()
    assert guard.refusal(given) is None and guard._known
    monkeypatch.setattr("amlocal.endpoints.gateway.auth.LEEWAY_SECONDS", 0)
    assert "has expired" in (guard.refusal(given) or "") and not guard._known


# -- what the gateway does when it cannot read who may enter


@pytest.fixture
def gateway(client: LocalMLClient, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """Of an endpoint `alone`, which nobody runs."""
    monkeypatch.setattr("amlocal.endpoints.supervisor.ensure", lambda workspace: None)
    monkeypatch.setattr("amlocal.operations.online_endpoints.wait_for_gateway", lambda store, name: None)
    client.online_endpoints.begin_create_or_update(entity("online-endpoint", {"name": "alone", "auth_mode": "key"}))
    return Gateway(client.workspace, "alone")


def enters(gateway: Gateway, key: str) -> bool:
    gateway._look_again = 0.0
    gateway.refresh()
    return gateway.guard is not None and gateway.guard.refusal(f"Bearer {key}".encode()) is None


def test_no_descriptor_for_a_moment_locks_nobody_out(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = gateway.store
    before = store.keys("alone")["primaryKey"]
    store.regenerate("alone", "primary")
    after = store.keys("alone")["primaryKey"]
    with monkeypatch.context() as patch:
        patch.setattr(store, "get", Mock(side_effect=OSError(errno.EMFILE, "Too many open files")))
        assert enters(gateway, before) and enters(gateway, before)
    assert capsys.readouterr().out.count("Too many open files") == 1
    assert enters(gateway, after) and not enters(gateway, before)


def test_a_broken_record_changes_nothing_until_it_is_mended(gateway: Gateway) -> None:
    record = gateway.store.record("alone")
    sound = record.read_text()
    key = gateway.store.keys("alone")["primaryKey"]
    for broken in ("{", "[]", '{"name": "alone"}', json.dumps({**json.loads(sound), "more": 1})):
        record.write_text(broken)
        assert enters(gateway, key), broken
    record.unlink()
    assert not enters(gateway, key)
    record.write_text(sound)
    assert enters(gateway, key)


def test_a_change_within_one_tick_of_the_clock_is_seen(gateway: Gateway) -> None:
    file = gateway.store.keys_file("alone")
    key = gateway.store.keys("alone")["primaryKey"]
    assert enters(gateway, key)
    times = file.stat()
    gateway.store.regenerate("alone", "primary")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not enters(gateway, key)


# -- web pages from elsewhere


@pytest.mark.parametrize("local", [False, True], ids=["keyed", "keyless"])
def test_a_page_from_another_origin_may_not_use_it(door: Door, local: bool) -> None:
    door.change(KEY, local)
    key = door.good
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": f"http://127.0.0.1:{door.port + 1}"},
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},  # a form's, for which no browser asks before
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
    ):
        status, said, _ = door.ask(key, **headers)
        assert status == 403 and "another origin" in said["message"]
        assert door.ask(key, "GET", "/score?a=1", **headers)[0] == 403
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert door.ask(None, "OPTIONS", **preflight)[0] == 403
    assert door.ask(key, Origin=door.origin, Sec_Fetch_Site="same-origin")[0] == 200
    assert door.ask(key, Sec_Fetch_Site="none")[0] == 200  # typed by a person


def test_of_two_origins_both_must_be_ours(door: Door) -> None:
    host = f"127.0.0.1:{door.port}"
    for name, good, bad in (
        ("Origin", f"http://{host}", "https://evil.example"),
        ("Sec-Fetch-Site", "none", "cross-site"),
    ):
        for first, second, status in ((good, bad, 403), (bad, good, 403), (good, good, 200)):
            lines = ["GET /metrics HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {door.good}"]
            lines += [f"{name}: {first}", f"{name}: {second}", "", ""]
            assert door.raw("\r\n".join(lines).encode())[:12] == b"HTTP/1.1 %d" % status, (name, first, second)


def test_without_a_key_it_answers_to_its_own_name_only(door: Door) -> None:
    door.change(KEY, local=True)
    for host in (f"127.0.0.1:{door.port}", f"localhost:{door.port}", f"[::1]:{door.port}", f"LOCALHOST:{door.port}"):
        assert door.ask(Host=host)[0] == 200
        assert door.ask(Host=host, Origin=f"http://{host}")[0] == 200
    for host in (
        f"evil.example:{door.port}",
        "evil.example",
        "127.0.0.1",
        f"127.0.0.1:{door.port + 1}",
        f"127.0.0.1.evil.example:{door.port}",
        f"127.0.0.1:{door.port}:{door.port}",
        f"evil.example@127.0.0.1:{door.port}",
        f"127.0.0.1:{'9' * 5000}",
        "",
    ):
        status, said, _ = door.ask(Host=host, Origin=f"http://{host}")
        assert status == 403 and "without a key" in said["message"], host
    assert door.raw(b"POST /score HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}").startswith(b"HTTP/1.1 403 ")


def test_with_a_key_it_can_be_reached_through_a_tunnel(door: Door) -> None:
    assert door.ask(door.good, Host="localhost:8080", Origin="http://localhost:8080")[0] == 200
    assert door.ask(None, Host="evil.example", Origin="http://evil.example")[0] == 401


# -- paths that pretend


TRICKS = [
    "//score",
    "/./score",
    "/score/",
    "/score/../score",
    "/x/../score",
    "/%73core",
    "/%2e%2e/score",
    "/score%2f",
    "/score%00",
    "/score;x",
    "/SCORE",
    "/score#x",
    "http://127.0.0.1/score",
    "http://evil.example/score",
    "*",
    "/modeldata/log/",
    "/../../keys.json",
    "/%2e%2e/%2e%2e/keys.json",
    "/..%2f..%2ftoken.secret",
    "\\score",
]


@pytest.mark.parametrize("path", TRICKS)
def test_no_other_spelling_of_a_path_leads_anywhere(door: Door, path: str) -> None:
    for key, status in ((None, b"401"), (door.good, b"404")):
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        for method in ("GET", "POST"):
            sent = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 2\r\n\r\n{{}}"
            assert door.raw(sent.encode())[9:12] in (status, b"400")


def test_only_paths_that_hold_no_secret_are_open_without_a_key(door: Door) -> None:
    for path in ("/score", "/swagger.json", "/swagger.json?version=3", "/metrics", "/console/about", "/nothing"):
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"):
            assert door.ask(None, method, path)[0] == 401, (method, path)


@pytest.mark.parametrize("local", [False, True], ids=["keyed", "keyless"])
def test_nobody_waits_for_a_large_body_of_who_may_not_enter(door: Door, local: bool) -> None:
    door.change(KEY, local)
    host = "evil.example" if local else f"127.0.0.1:{door.port}"
    for method, path, status in (
        ("POST", "/score", b"403" if local else b"401"),
        ("POST", "/modeldata/log", b"403" if local else b"401"),
        ("GET", "/", b"413"),
        ("POST", "/console", b"413"),
    ):
        sent = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\n"
        assert door.raw(sent.encode())[9:12] == status, (method, path)


def test_a_key_in_any_other_place_does_not_open(door: Door) -> None:
    key = door.good
    assert door.ask(None, path=f"/score?key={key}")[0] == 401
    assert door.ask(None, X_Api_Key=key)[0] == 401
    assert door.ask(None, Cookie=f"Authorization=Bearer {key}")[0] == 401
    twice = f"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nAuthorization: Bearer {key}\r\n\r\n"
    assert door.raw(twice.encode()).startswith(b"HTTP/1.1 401 ")


# -- ways round the gateway, and what lies on disk


def test_who_calls_the_gateway_as_a_worker_must_know_its_secret(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(door.store.run("door"))

    def dial() -> socket.socket:
        if not unix_sockets():
            return socket.create_connection(("127.0.0.1", int(Path(SOCKET).read_text())), timeout=20)
        assert stat.S_IMODE(Path(SOCKET).stat().st_mode) == 0o600
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(20)
        line.connect(SOCKET)
        return line

    hello = {"secret": "guessed", "deployment": "blue", "revision": 1, "pid": os.getpid()}
    for said in (pack(json.dumps(hello).encode()), pack(b"{}"), pack(b"null"), pack(b"x" * 100_000), b"GET / HTTP/1.1"):
        with dial() as line, contextlib.suppress(ConnectionError):
            line.sendall(said)
            line.shutdown(socket.SHUT_WR)
            assert line.recv(100) == b""
    assert door.ask(door.good)[0] == 200


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_secrets_are_their_owners_only(door: Door) -> None:
    folder = door.store.folder("door")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for secret in (door.store.keys_file("door"), door.store.token_secret_file("door"), folder / "run" / "secret"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_no_secret_is_anywhere_but_in_its_file(standing: Door) -> None:
    import psutil

    standing.change(AML_TOKEN)
    given = standing.good
    standing.ask(given), standing.ask("wrong")
    secrets = [
        given,
        standing.store.token_secret("door"),
        (standing.store.run("door") / "secret").read_text(),
        *standing.store.keys("door").values(),
    ]
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [text for text in commands for secret in secrets if secret in text]
    own = {"keys.json", "token.secret", "secret"}
    for path in standing.client.workspace.root.rglob("*"):
        if path.is_file() and path.name not in own:
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], path
