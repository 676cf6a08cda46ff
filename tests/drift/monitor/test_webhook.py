"""A webhook hears of a change: a real listener on the loopback, and none."""

import argparse
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from drift.monitor import webhook


class Listener(HTTPServer):
    """Keeps what is posted to it, as (path, type, content); answers with `status`."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, Any]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((self.path, self.headers["Content-Type"], content))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_what_is_posted(listener: Listener) -> None:
    assert webhook.send(listener.url, "alarm", "ALARM: taller", first=7, words=["taller"])
    expected = {"event": "alarm", "text": "ALARM: taller", "first": 7, "words": ["taller"]}
    assert listener.heard == [("/hook", "application/json", expected)]


def test_a_refusal_is_a_warning_without_the_address(listener: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    listener.status = 403
    assert not webhook.send(listener.url, "alarm", "x")
    assert capsys.readouterr().err == "Warning: --webhook was not told of the alarm: it answered 403\n"


def test_nobody_there_is_a_warning_too(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener() as server:
        gone = server.url
    assert not webhook.send(gone, "all clear", "x")
    warning = capsys.readouterr().err
    assert warning.startswith("Warning: --webhook was not told of the all clear: ") and "127.0.0.1" not in warning


@pytest.mark.parametrize("text", ["hooks.example.org/x", "file:///etc/passwd", "ftp://x", "https://"])
def test_what_is_no_address_is_refused_at_once(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no http:// or https:// address"):
        webhook.address(text)


def test_addresses_are_taken() -> None:
    for text in ("http://127.0.0.1:9/x", "https://hooks.example.org/services/T0/B0/x?y=1"):
        assert webhook.address(text) == text
