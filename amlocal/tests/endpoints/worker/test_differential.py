"""The endpoint answers as Azure's inference server does: the same requests to both, over HTTP, and what comes back.

On one side azureml-inference-server-http as it is, with gunicorn, in processes of its own; on the other side our worker
behind our gateway. Status, headers and body must agree, but for what DIFFERENCES names. The gateway answers 424 for
every status of the server's but 200, as Azure's does, and tells that in a header, which is what is compared.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

import pytest

from amlocal.client import LocalMLClient
from amlocal.down import down
from amlocal.operations.common import entity

SERVER = "azureml-inference-server-http"
KNOWN_VERSION = "1.4.1"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the inference server has gunicorn on Linux and macOS only")

# What differs, and must: headers of answers ...
DIFFERENCES = {
    "date": "a time",
    "server": "who wrote the HTTP: gunicorn there; the gateway, as Azure's, does not say",
    "connection": "of one connection: gunicorn's worker closes each",
    "transfer-encoding": "of one connection: the gateway knows the whole answer and sends its length",
    "content-length": "compared with the body, not with the other's: gunicorn sends none with a stream",
    "x-ms-run-fn-exec-ms": "a time",
    "azureml-model-deployment": "the gateway's: which deployment answered",
    "ms-azureml-model-error-statuscode": "the gateway's: compared as the status",
    "ms-azureml-model-error-reason": "the gateway's: the status in words",
}
# ... and of requests, as scripts see them. (Another, which no request here shows: behind a proxy on its own machine
# gunicorn believes X-Forwarded-Proto; the gateway is no such proxy, and request.scheme stays http.)
SEEN_DIFFERENCES = {
    r'\["X-Request-Id", "<a new id>"\]': "the gateway, as Azure's, gives an id to a request that has none",
    r'\["Content-Length", "\d+"\]': "the gateway hears the request to its end, and then its length is known",
    r'\["Transfer-Encoding", "chunked"\]': "so that it is not chunked any more",
    r'\["Expect", "100-continue"\]': "and what the client has waited for has come",
}


@dataclass(frozen=True)
class Case:
    """One request; its headers without those that belong to one side."""

    method: str = "POST"
    target: str = "/score"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = b""
    chunked: bool = False

    def __repr__(self) -> str:
        body = self.body if self.body is None or len(self.body) < 60 else self.body[:50] + b"..."
        return f"{self.method} {self.target} {dict(self.headers)} {body!r}{' chunked' if self.chunked else ''}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def test_the_server_is_the_one_that_was_compared() -> None:
    installed = version(SERVER)
    assert installed == KNOWN_VERSION, (
        f"{SERVER} is {installed} now; the worker's shortcut (endpoints/worker/instance.py, class Shortcut) was written"
        f" after {KNOWN_VERSION}. Read what has changed in its server/routes.py, server/user_script.py,"
        " server/input_parsers.py and api/aml_response.py, follow it in the worker, add cases here for what is new,"
        " run this file, and only then change KNOWN_VERSION here."
    )


# -- the scripts

BODY = """
    try: do = json.loads(data)["do"] if isinstance(data, str) else data
    except Exception: do = "echo"
    if do == "none": return None
    if do == "raise": raise ValueError("as asked")
    if do == "deep": return (lambda f: f(f))(lambda f: f(f))
    if do == "object": return object()
    if do == "bytes": return b"bytes"
    if do == "set": return {1}
    if do == "generator": return (number for number in range(3))
    if do == "numpy": return numpy.float32(1)
    if do == "array": return numpy.arange(3)
    if do == "nan": return [float("nan"), float("inf")]
    if do == "tuple": return (1, None, True)
    if do == "empty": return ""
    if do == "zero": return 0
    if do == "false": return False
    if do == "list": return []
    if do == "json": return {"a": [1, None, "ü\\u2028\\U0001f600"], 1: 2, None: 3}
    if do == "surrogate": return "\\ud800"
    if do == "big": return "x" * 1_000_000
    if do == "image": return AMLResponse(b"\\x00\\xff", 200, {"Content-Type": "image/png", "X-B": "1,2"})
    if do == "created": return AMLResponse({"m": 1}, 201, json_str=True)
    if do == "no content": return AMLResponse("", 204)
    if do == "moved": return AMLResponse("", 302, {"Location": "/score?x=1"})
    if do == "odd": return AMLResponse("odd", 299)
    if do == "teapot": return AMLResponse("no tea", 418)
    if do == "unavailable": return AMLResponse("no", 503)
    if do == "none at all": return AMLResponse(None, 200)
    if do == "failed": return AMLResponse("oh", 200, run_function_failed=True)
    if do == "unicode": return AMLResponse("grüße", 200, {"X-C": "é"})
    if do == "cookies": return AMLResponse("c", 200, {"Set-Cookie": "a=1, b=2"})
    if do == "response": return Response("plain", 202, mimetype="text/csv")
    if do == "stream": return Response((part for part in ("a", "b")), mimetype="text/plain")
    if do == "length": return Response("12345", headers={"Content-Length": "5", "X-D": "d"})
    if do == "abort": abort(409)
    if do == "print": print("grüße", file=sys.stderr); return "printed"
    if do == "exit": sys.exit(7)
    if do == "timeout": raise TimeoutError("mine")
    return data
"""
DO = re.findall(r'do == "([a-z ]+)"', BODY)

IMPORTS = """
import json, numpy, sys
from azureml_inference_server_http.api.aml_response import AMLResponse
"""
# A script that names Flask is answered through Flask's app, one that does not by the worker's shortcut.
LONG_WAY = f"{IMPORTS}from flask import Response, abort\n"
SHORT_WAY = f"{IMPORTS}from werkzeug.exceptions import abort\nResponse = AMLResponse.__mro__[1]\n"

SCRIPTS = {
    "plain": f"{SHORT_WAY}def init(): pass\ndef run(data):{BODY}",
    "long": f"{LONG_WAY}def init(): pass\ndef run(data):{BODY}",
    "headers": "def init(): pass\ndef run(data, request_headers): return [data, sorted(request_headers.items())]",
    "schema": (
        f"{SHORT_WAY}from inference_schema.schema_decorators import input_schema, output_schema\n"
        "from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Type\n"
        "def init(): pass\n@input_schema('data', Type(1))\n@input_schema('more', Type('x'), optional=True)\n"
        "@output_schema(Type({'a': 1}))\ndef run(data, more='default'):\n    if more != 'default': return more\n" + BODY
    ),
    "context": (
        "import json\nfrom flask import g, request\n"
        "def init(): pass\n"
        "def run(data):\n"
        "    return [data, request.method, request.url, request.full_path, request.args.to_dict(flat=False),\n"
        "        request.form.to_dict(flat=False), sorted(request.headers.items()), request.remote_addr,\n"
        "        request.mimetype, request.charset if hasattr(request, 'charset') else None, request.is_json,\n"
        "        sorted(request.cookies.items()), g.request_id, g.client_request_id]"
    ),
    "raw": (
        "from azureml_inference_server_http.api.aml_request import rawhttp\n"
        "from azureml_inference_server_http.api.aml_response import AMLResponse\n"
        "def init(): pass\n"
        "@rawhttp\n"
        "def run(request):\n"
        "    if request.method == 'GET': return {'path': request.full_path}\n"
        "    if request.files: return {name: file.read().decode() for name, file in request.files.items()}\n"
        "    if request.form: return request.form.to_dict(flat=False)\n"
        "    if request.method == 'POST' and request.args.get('json'): return request.get_json()\n"
        "    return AMLResponse(request.get_data()[::-1], 200, {'X-Type': str(request.content_type)})"
    ),
    "cors": "def init(): pass\ndef run(data): return data",
}
VARIABLES = {"SCORING_TIMEOUT_MS": "20000"}
MORE_VARIABLES = {"cors": {"AML_CORS_ORIGINS": "http://host.example, https://other.example"}}

# -- the requests

ID, JSON, TEXT = ("x-request-id", "an-id"), ("content-type", "application/json"), ("content-type", "text/plain")
FORM = ("content-type", "application/x-www-form-urlencoded")
MULTIPART = ("content-type", "multipart/form-data; boundary=b")
FILE = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n\r\nin the file\r\n--b--\r\n'
BODIES = [
    b"",
    b"{}",
    b"null",
    b"not JSON",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"a": NaN}',
    '"grüße \u2028 \U0001f600"'.encode(),
    '"grüße"'.encode("utf-16"),
    b'"\\ud800"',
    b"[" * 50_000,
    b"1" * 5_000,
    b"[1]",
    b'{"data": 1}',
    b'{"data": 1, "more": "m"}',
    b'{"more": "m"}',
    b'{"data": 1, "unknown": 2}',
    b'{"data": 1, "data": 2}',
    b"\x00",
    b'"' + b"x" * 300_000 + b'"',
    b"a=1&b=%C3%BC",
    FILE,
]
BODIES += [json.dumps({name: do}).encode() for do in DO for name in ("do", "data")]
HEADERS = [
    (ID, JSON),
    (JSON,),
    (ID,),
    (ID, TEXT),
    (ID, FORM),
    (ID, MULTIPART),
    (ID, ("content-type", "APPLICATION/JSON ; charset=latin-1")),
    (ID, ("content-type", "application/vnd.x+json; charset=utf-8")),
    (ID, ("content-type", "")),
    (ID, JSON, ("x-ms-client-request-id", "mine")),
    (ID, JSON, ("x-ms-request-id", "old")),
    (ID, JSON, ("x-ms-request-id", "old"), ("x-ms-client-request-id", "mine")),
    (ID, JSON, ("traceid", "t")),
    (ID, JSON, ("x-a", "1"), ("x-a", "2")),
    (ID, JSON, ("X-Mixed-CASE", "Kept"), ("x-empty", ""), ("x-latin", "caf\xe9")),
    (ID, JSON, ("cookie", "a=1; b=2"), ("accept", "text/html"), ("user-agent", "tests")),
    (ID, JSON, ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "http"), ("forwarded", "for=1.2.3.4")),
    (("x-request-id", ""), JSON),
    (("x-request-id", "x" * 100), JSON),
    (("x-request-id", "x" * 101), JSON),
    (("x-request-id", "one"), ("x-request-id", "two"), JSON),
    (ID, JSON, ("x-ms-request-id", "x" * 101)),
    (ID, JSON, ("content-encoding", "gzip")),
    (ID, JSON, ("range", "bytes=0-1"), ("if-none-match", "*")),
    (ID, JSON, ("expect", "100-continue")),
    (ID, JSON, ("x_under", "dropped"), ("x-under", "kept")),
]
TARGETS = [
    *[(method, "/score") for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "GET")],
    ("GET", "/score?a=1&b=%22x%22&b=2&data=5"),
    ("GET", "/score?data=%ff&%C3%BC=ü".encode().decode("latin-1").encode("ascii", "ignore").decode()),
    ("GET", "/score?data=[1,2]&data=null&empty=&=x"),
    ("GET", "/score?data=+a%20b%2Bc;d=e"),
    ("POST", "/score?x=1&x=2"),
    ("POST", "/score?"),
    ("POST", "/score?json=1"),
    *[("GET", f"/swagger.json{query}") for query in ("", "?version=2", "?version=3", "?version=9", "?version=")],
    ("POST", "/swagger.json"),
    ("OPTIONS", "/swagger.json"),
    ("HEAD", "/swagger.json"),
]
ORIGINS = [(ID, JSON, ("origin", origin)) for origin in ("http://host.example",)]


def cases() -> list[Case]:
    found = [Case(headers=HEADERS[0], body=body) for body in BODIES]
    found += [Case(headers=headers, body=body) for headers in HEADERS[1:] for body in (*BODIES[:5], BODIES[13])]
    found += [Case(headers=(ID, FORM), body=BODIES[20]), Case(headers=(ID, MULTIPART), body=FILE)]
    found += [Case(headers=HEADERS[0], body=body, chunked=True) for body in (b"", b"[1]", BODIES[19])]
    for method, target in TARGETS:
        for headers in (*HEADERS[:3], *ORIGINS):
            for body in (None, b'{"data": 1}'):
                found.append(Case(method, target, headers, body))
    for preflight in ("POST", "PUT"):
        asked = ("access-control-request-method", preflight), ("access-control-request-headers", "x-a")
        found.append(Case("OPTIONS", "/score", (*ORIGINS[0], *asked), None))
    return found


# -- the two sides


class Sides:
    """The inference server with a script, and the endpoint's deployment of it."""

    def __init__(self, servers: dict[str, int], gateway: int, key: str) -> None:
        self.servers = servers
        self.gateway = gateway
        self.key = key

    def theirs(self, script: str, case: Case) -> Answer:
        return comparable(ask(self.servers[script], case), case)

    def ours(self, script: str, case: Case) -> Answer:
        own = (("authorization", f"Bearer {self.key}"), ("azureml-model-deployment", script))
        answer = ask(self.gateway, case, own)
        headers = dict(answer.headers)
        assert headers["azureml-model-deployment"] == script, (case, answer)
        if "content-length" in headers and case.method != "HEAD":
            assert int(headers["content-length"]) == len(answer.body)
        told = headers.get("ms-azureml-model-error-statuscode")
        assert (answer.status == 424) == (told is not None), (case, answer)
        status = int(told) if told else answer.status
        if told:
            known = status in {each.value for each in HTTPStatus}
            expected = HTTPStatus(status).phrase if known else "Unknown"
            assert headers["ms-azureml-model-error-reason"] == expected
        return comparable(Answer(status, answer.headers, answer.body), case)


def ask(port: int, case: Case, own: tuple[tuple[str, str], ...] = ()) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(case.method, case.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", "host.example")
        for name, value in (*own, *case.headers):
            connection.putheader(name, value.encode("latin-1"))
        body = case.body
        if case.chunked:
            assert body is not None
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders(iter([body[:7], body[7:]]), encode_chunked=True)
        else:
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
        response = connection.getresponse()
        headers = tuple((name.lower(), value) for name, value in response.getheaders())
        return Answer(response.status, headers, response.read())
    finally:
        connection.close()


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def comparable(answer: Answer, case: Case) -> Answer:
    """Without what differs from one request to the next, or is one side's own."""
    headers = []
    for name, value in answer.headers:
        if "request-id" in name:
            value = UUID.sub("<a new id>", value)
        elif name == "allow":  # a set's order, which changes from one process to the next
            value = ", ".join(sorted(value.split(", ")))
        if name not in DIFFERENCES:
            headers.append((name, value))
    body = UUID.sub("<a new id>", answer.body.decode("latin-1"))
    for seen in SEEN_DIFFERENCES:
        if "Content-Length" not in seen or case.body is None or case.chunked:
            body = re.sub(f"{seen}, |, {seen}", "", body)
    return Answer(answer.status, tuple(sorted(headers)), body.encode("latin-1"))


START = (
    "from azureml_inference_server_http import amlserver, amlserver_linux; run = amlserver_linux.run;"
    " amlserver_linux.run = lambda host, *more: run('127.0.0.1', *more); amlserver.run()"
)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    folder = tmp_path_factory.mktemp("differential")
    for name, text in SCRIPTS.items():
        (folder / name).mkdir()
        (folder / name / "score.py").write_text(text, encoding="utf-8")
    ports = dict(zip(SCRIPTS, free_ports(len(SCRIPTS)), strict=True))
    client = LocalMLClient(folder / "w" / ".amlocal")
    servers = [
        inference_server(folder / name, ports[name], {**VARIABLES, **MORE_VARIABLES.get(name, {})}) for name in SCRIPTS
    ]
    try:
        client.online_endpoints.begin_create_or_update(
            entity("online-endpoint", {"name": "digits", "auth_mode": "key"})
        )
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: deploy(client, folder, name), SCRIPTS))
        for name, server in zip(SCRIPTS, servers, strict=True):
            wait_for(ports[name], server, folder / name / "log.txt")
        store = client.online_endpoints.store
        yield Sides(ports, store.get("digits").port, store.keys("digits")["primaryKey"])
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(20)
        down(client.workspace)


def inference_server(folder: Path, port: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Azure's command, `azmlinfsrv`, but on loopback only."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("AZUREML_", "AML_"))}
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", START, "--entry_script", "score.py", "--port", str(port)],
            cwd=folder,
            env={**variables, **environment, "AML_APP_ROOT": str(folder), "SERVICE_NAME": "digits"},
            stdout=log,
            stderr=log,
        )


def deploy(client: LocalMLClient, folder: Path, name: str) -> None:
    spec = {
        "name": name,
        "endpoint_name": "digits",
        "code_configuration": {"code": str(folder / name), "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
        "environment_variables": {**VARIABLES, **MORE_VARIABLES.get(name, {})},
        "instance_type": "Standard_DS1_v2",
        "request_settings": {"max_concurrent_requests_per_instance": 20, "request_timeout_ms": 30_000},
    }
    client.online_deployments.begin_create_or_update(entity("online-deployment", spec))


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                return
        except OSError:
            time.sleep(0.02)
    pytest.fail(f"the inference server does not start:\n{log.read_text(errors='replace')[-2000:]}")


# -- what is compared


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_endpoint_answers_as_the_inference_server(sides: Sides, script: str) -> None:
    asked = cases()
    differ = []
    statuses = set()
    for case in asked:
        theirs, ours = sides.theirs(script, case), sides.ours(script, case)
        statuses.add(theirs.status)
        if theirs != ours:
            differ.append(f"{case!r}\n  theirs {told(theirs)}\n  ours   {told(ours)}")
    assert not differ, f"{len(differ)} of {len(asked)} answers differ:\n" + "\n".join(differ[:10])
    assert len(asked) >= 78
    assert {200, 405, 431} & statuses


def told(answer: Answer) -> str:
    return f"{answer.status} {dict(answer.headers)} {answer.body[:200]!r}"


# What the gateway does itself, as Azure's does in front of the server: the request, the server's status and ours.
GATEWAYS = {
    "a client's id of over 40 characters is cut": (Case(headers=(("x-ms-client-request-id", "x" * 101),)), 431, 200),
    "another path is not forwarded": (Case("GET", "/nothing", body=None), 404, 404),
    "nor is what is not GET or HEAD to the health probe": (Case("PUT", "/"), 405, 404),
    "a body of over 10 MiB is refused": (Case(body=b"[" + b" " * 10 * 2**20 + b"]"), 200, 413),
    "a web page from elsewhere is refused": (Case(headers=(("origin", "http://other.example"),)), 200, 403),
}


@pytest.mark.parametrize("what", GATEWAYS)
def test_what_the_gateway_answers_itself(sides: Sides, what: str) -> None:
    case, theirs, ours = GATEWAYS[what]
    assert ask(sides.servers["plain"], case).status == theirs
    own = (("authorization", f"Bearer {sides.key}"), ("azureml-model-deployment", "plain"))
    assert ask(sides.gateway, case, own).status == ours


def test_health(sides: Sides) -> None:
    for port in (sides.servers["plain"], sides.gateway):
        for method, body in (("GET", b"Healthy"), ("HEAD", b"")):
            answer = ask(port, Case(method, "/", body=None))
            assert (answer.status, answer.body) == (200, body)
            assert dict(answer.headers)["content-length"] == "7"
