"""The worker answers as the inference server's own Flask app does, and only its own gateway."""

import contextlib
import errno
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from amlocal.endpoints.worker import instance as worker

WORKER = Path(worker.__file__)

# Asks one loaded script everything, once as the worker does and once through Flask alone.
COMPARE = """
import importlib.util, json, os, struct, sys

spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
scorer = worker.Scorer(worker.load())
shortcut = scorer._shortcut

DO = ("none", "raise", "object", "numpy", "json", "bytes", "created", "fails")
BODIES = [b"", b"{}", b"not JSON", b"\\xff\\xfe", b'{"a": NaN}', '"grüße"'.encode(), b"[" * 50_000, b"[1]"]
BODIES.append(b'{"data": 1}')
BODIES += [json.dumps({"do": do}).encode() for do in DO] + [json.dumps({"data": do}).encode() for do in DO]
ID, JSON = ["x-request-id", "an-id"], ["content-type", "application/json"]
HEADERS = [
    [ID, JSON],
    [ID],
    [ID, ["content-type", "text/plain"]],
    [ID, ["content-type", "application/x-www-form-urlencoded"]],
    [ID, ["content-type", "application/vnd.x+json; charset=utf-8"]],
    [ID, JSON, ["x-ms-client-request-id", "mine"]],
    [ID, JSON, ["x-ms-request-id", "old"]],
    [ID, JSON, ["traceid", "t"]],
    [ID, JSON, ["x-a", "1"], ["x-a", "2"]],
    [["x-request-id", "x" * 101], JSON],
    [ID, JSON, ["x-ms-client-request-id", "x" * 101]],
]
TARGETS = [
    ("GET", "/score?a=1&b=%22x%22&b=2"),
    *[(method, "/score") for method in ("PUT", "OPTIONS", "HEAD", "GET")],
    *[("GET", path) for path in ("/", "/swagger.json", "/swagger.json?version=9", "/nothing")],
    ("POST", "/score?x=1"),
]
UNEQUAL = ("x-ms-run-fn-exec-ms", "content-length")  # a time, and what the gateway writes itself


def ask(through, method, target, headers, body):
    scorer._shortcut = through
    message = scorer.answer([method, target, headers], body)
    length, _ = struct.unpack_from("!II", message)
    status, told = json.loads(message[8 : 8 + length])
    told = sorted([name.lower(), value] for name, value in told if name.lower() not in UNEQUAL)
    return [status, told, message[8 + length :].decode("latin-1")]


asked = [("POST", "/score", headers, body) for headers in HEADERS for body in BODIES]
asked += [("POST", "/score", HEADERS[0], json.dumps({key: "slow"}).encode()) for key in ("do", "data")]
asked += [(*target, headers, body) for target in TARGETS for headers in HEADERS[:2] for body in BODIES[:4]]
told = [(each, ask(shortcut, *each), ask(None, *each)) for each in asked]
result = {
    "asked": len(told),
    "differ": [[repr(each), short, long] for each, short, long in told if short != long][:5],
    "statuses": sorted({short[0] for _, short, _ in told}),
    "short": shortcut is not None,
}
print("RESULT" + json.dumps(result))
"""

BODY = """
    try: do = json.loads(data)["do"] if isinstance(data, str) else data
    except Exception: do = "echo"
    if do == "none": return None
    if do == "raise": raise ValueError("as asked")
    if do == "object": return object()
    if do == "numpy": return numpy.float32(1)
    if do == "json": return {"a": [1, None, "ü"]}
    if do == "bytes": return AMLResponse(b"\\x00\\xff", 200, {"Content-Type": "image/png", "X-B": "1,2"})
    if do == "created": return AMLResponse({"m": 1}, 201, json_str=True)
    if do == "fails": return AMLResponse("no", 503)
    if do == "slow": time.sleep(5)
    return data
"""

IMPORTS = """
import json, numpy, time
from azureml_inference_server_http.api.aml_response import AMLResponse
"""

SCRIPTS = {
    "plain": f"{IMPORTS}def init(): pass\ndef run(data):{BODY}",
    "headers": "def init(): pass\ndef run(data, request_headers): return dict(sorted(request_headers.items()))",
    "schema": (
        f"{IMPORTS}from inference_schema.schema_decorators import input_schema\n"
        "from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Type\n"
        f"def init(): pass\n@input_schema('data', Type(1))\ndef run(data):{BODY}"
    ),
    "flask": "def init(): pass\ndef run(data):\n    from flask import request\n    return request.path",
    "raw": (
        "from azureml_inference_server_http.api.aml_request import rawhttp\n"
        "def init(): pass\n@rawhttp\ndef run(request): return request.method + request.full_path"
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_shortcut_answers_as_flask_does(tmp_path: Path, name: str) -> None:
    (tmp_path / "score.py").write_text(SCRIPTS[name], encoding="utf-8")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("AZUREML_", "AML_"))}
    variables |= {"AML_APP_ROOT": str(tmp_path), "AZUREML_ENTRY_SCRIPT": "score.py", "SCORING_TIMEOUT_MS": "500"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMPARE, str(WORKER)],
        env=variables,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=100,
    )
    assert "RESULT" in done.stdout, done.stderr[-2000:]
    result = json.loads(done.stdout.rpartition("RESULT")[2])
    assert result["differ"] == []
    assert result["asked"] > 200
    assert result["short"] == (name not in ("flask", "raw"))
    if name == "plain":
        assert {200, 201, 400, 404, 405, 431, 500, 503} <= set(result["statuses"])


class Listener:
    """Listens where a gateway would, at a run folder's socket, and does what a test wants with each connection."""

    def __init__(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AMLOCAL_NO_UNIX_SOCKETS", "1")
        self.server = socket.create_server(("127.0.0.1", 0))
        (run / worker.SOCKET).write_text(str(self.server.getsockname()[1]))

    def accept(self) -> tuple[socket.socket, BinaryIO]:
        connection, _ = self.server.accept()
        connection.settimeout(20)
        return connection, connection.makefile("rb")


def serve_a_worker(run: Path, secret: str) -> list[bytes]:
    """Start a worker's line in a thread; what it is asked is collected."""
    asked: list[bytes] = []

    def answer(head: list[Any], body: bytes) -> bytes:
        asked.append(body)
        return worker.pack(b"[200,[]]", b"ok")

    line = worker.Gateway(run, secret, {"deployment": "blue", "revision": 1, "pid": 1})
    threading.Thread(target=line.serve, args=(answer, lambda: None), daemon=True).start()
    return asked


def test_a_worker_answers_nobody_who_cannot_prove_to_be_its_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(tmp_path, monkeypatch)
    asked = serve_a_worker(tmp_path, "the secret")
    request = worker.pack(b'["POST","/score",[]]', b"stolen")
    for impostor in (b'{"nonce":"1","proof":"%b"}' % (b"0" * 64), b"{}", b"[]", '{"proof":"ü"}'.encode()):
        connection, stream = listener.accept()
        hello = worker._receive(stream)
        assert hello is not None and "the secret" not in str(hello)
        connection.sendall(worker.pack(impostor) + request)
        with contextlib.suppress(ConnectionError):
            assert stream.read() == b""  # it says nothing and goes
        connection.close()

    connection, stream = listener.accept()
    hello = worker._receive(stream)
    assert hello is not None
    ours = {"nonce": "n", "proof": worker.proof("the secret", "gateway", hello[0]["nonce"])}
    connection.sendall(worker.pack(json.dumps(ours).encode()))
    said = worker._receive(stream)
    assert said == ({"proof": worker.proof("the secret", "worker", "n")}, b"")
    connection.sendall(worker.pack(b"[]") + worker.pack(b'["POST","/score",[]]', b"mine"))
    assert worker._receive(stream) == ([200, []], b"ok")
    connection.sendall(worker.pack(b"null"))
    assert asked == [b"mine"]


# -- a full disk


class Full:
    """A log whose disk is full."""

    def write(self, *_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = write


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("log", [Full(), None])
def test_a_failure_that_cannot_be_said_is_answered(monkeypatch: pytest.MonkeyPatch, log: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise SystemExit("as asked")

    monkeypatch.setattr(worker.Shortcut, "of", lambda app: None)
    monkeypatch.setattr("sys.stderr", log)
    answer = worker.Scorer(app).answer(["POST", "/score", []], b"{}")
    assert b"[500," in answer and worker.GUNICORN_ERROR in answer


def test_a_worker_that_cannot_say_that_it_is_ready_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr(worker, "load", lambda: None)
    monkeypatch.setattr(worker.Gateway, "serve", lambda self, answer, ready: ready())
    assert worker.main(str(tmp_path), "blue-1-0", "blue", "1") == 0
    assert (tmp_path / "blue-1-0.ready").exists()
    monkeypatch.setattr(Path, "touch", full_disk)
    with pytest.raises(SystemExit, match="No space left"):  # not OSError, which is the line's
        worker.main(str(tmp_path), "blue-1-0", "blue", "1")


def test_what_is_wrong_with_a_script_is_in_the_log_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise worker.ScriptError("init() failed")

    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr(worker, "load", fail)
    monkeypatch.setattr(Path, "write_text", full_disk)
    assert worker.main(str(tmp_path), "blue-1-0", "blue", "1") == 3
    assert "init() failed" in capsys.readouterr().err


def test_the_line_about_a_request_is_what_logging_would_write(monkeypatch: pytest.MonkeyPatch) -> None:
    from azureml_inference_server_http.log_config import AMLLogFormatter

    monkeypatch.setattr(time, "time", lambda: 1709662585.0419)
    logger = logging.getLogger("azmlinfsrv.of.this.test")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(AMLLogFormatter())
    logger.addHandler(handler)
    say = worker.AccessLog(logger)
    assert say._handler is handler
    say("POST /score 200 0.123ms 45")
    logger.info("POST /score 200 0.123ms 45")
    first, second = stream.getvalue().splitlines()
    assert first == second and first.startswith("2024-03-05 18:16:25,041 I [")

    other = logging.StreamHandler(elsewhere := io.StringIO())
    logger.handlers[:] = [other]  # the script has other plans
    say("another")
    assert elsewhere.getvalue() == "another\n"
    logger.setLevel(logging.WARNING)
    say("nothing")
    assert elsewhere.getvalue() == "another\n"


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no alarms, and the server no limit there")
def test_the_alarm_rings_whatever_the_script_has_done_to_it() -> None:
    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.getsignal(signal.SIGALRM)
    alarm = worker.Alarm(ring)
    try:
        for _ in range(2):
            with pytest.raises(TimeoutError), alarm(20):
                threading.Event().wait(10)
            with alarm(60_000):
                pass
            assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_old_server_finds_its_azureml_beside_the_collectors(tmp_path: Path) -> None:
    """Server 1.2 imports azureml.contrib from its own folder; azureml-ai-monitoring's azureml is no namespace."""
    server = tmp_path / "azureml_inference_server_http" / "server"
    for place in (server / "azureml" / "contrib", tmp_path / "azureml"):
        place.mkdir(parents=True)
    (tmp_path / "azureml" / "__init__.py").touch()
    (server.parent / "__init__.py").write_text("__version__ = '1.2.0'\n")
    (server / "create_app.py").write_text("import azureml.contrib\ncreate = lambda: 'made'\n")
    code = f"import runpy; print(runpy.run_path({str(WORKER)!r})['load']())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.stdout == "made\n", ran.stderr
