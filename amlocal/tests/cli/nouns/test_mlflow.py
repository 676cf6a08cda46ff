"""`aml mlflow ui` serves the workspace's store and leaves nothing behind."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest

from amlocal.cli import main, mlflow_pages
from amlocal.cli.nouns import mlflow


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / ".amlocal"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_port_in_use_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["mlflow", "ui", "--port", str(port)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"ERROR: port {port} on 127.0.0.1 cannot be used") and "--port" in err


def test_the_port_that_is_taken_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # then somebody else has it, which is as good
            stack.enter_context(socket.create_server(("127.0.0.1", 5000)))
        assert main(["mlflow", "ui"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("ERROR: port 5000 on 127.0.0.1 cannot be used") and "in use" in err


def test_an_impossible_port_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mlflow", "ui", "--port", "99999"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_tracking_server_of_ones_own_is_pointed_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    assert main(["mlflow", "ui"]) == 0
    assert capsys.readouterr().out == "http://tracking.example:5000\n"


def test_a_server_that_dies_is_told_with_its_last_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server that dies on its own, as MLflow does for a store of a newer version."""
    server = tmp_path / "server"
    server.write_text("import sys; print('Detected out-of-date database schema'); sys.exit(3)")
    monkeypatch.setattr(mlflow, "SERVER", [str(server)])
    assert main(["mlflow", "ui", "--port", "0"]) == 1
    assert capsys.readouterr() == (
        "",
        "ERROR: MLflow's server ended (exit code 3): Detected out-of-date database schema\n",
    )


def test_the_page_opens_on_trained_models_and_all_else_is_mlflows() -> None:
    asked: list[dict[str, Any]] = []

    async def theirs(scope: dict[str, Any], receive: Any, send: Any) -> None:
        asked.append(scope)
        headers = [(b"Content-Length", b"26"), (b"etag", b"x"), (b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<html><head><", "more_body": True})
        await send({"type": "http.response.body", "body": b"/head></html>"})

    def get(path: str) -> tuple[dict[bytes, bytes], bytes]:
        told: list[dict[str, Any]] = []
        pages = mlflow_pages.Pages()
        pages._mlflow = theirs

        async def send(message: dict[str, Any]) -> None:
            told.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"if-none-match", b"x"), (b"a", b"b")]}
        asyncio.run(pages(scope, None, send))
        return dict(told[0]["headers"]), b"".join(message.get("body", b"") for message in told)

    headers, page = get("/")
    assert page == b"<html><head>" + mlflow_pages.CHOICE + b"</head></html>"
    assert headers[b"content-length"] == str(len(page)).encode() and b"etag" not in headers
    assert headers[b"cache-control"] == b"no-store" and asked[-1]["headers"] == [(b"a", b"b")]
    assert get("/static-files/x")[1] == b"<html><head></head></html>" and len(asked[-1]["headers"]) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="a test cannot send Ctrl-C there")
def test_it_serves_and_ctrl_c_stops_every_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "amlocal", "mlflow", "ui", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        with urlopen(f"{address}/health", timeout=30) as answer:
            assert answer.status == 200
        with urlopen(f"{address}/", timeout=30) as answer:
            assert answer.headers["content-type"].startswith("text/html")
            assert b"machine_learning" in answer.read(), "it opens on trained models, not on GenAI"
        below = psutil.Process(process.pid).children(recursive=True)
        assert below
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert not [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    finally:
        process.kill()
        process.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".amlocal"]
