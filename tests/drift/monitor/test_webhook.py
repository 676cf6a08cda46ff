"""A webhook hears of a change: a real listener on the loopback, and none."""

import argparse

import pytest
from tests.listener import Listener

from drift.monitor import webhook


def test_what_is_posted(listener: Listener) -> None:
    assert webhook.send(listener.url, "alarm", "ALARM: taller", first=7, words=["taller"])
    expected = {"event": "alarm", "text": "ALARM: taller", "first": 7, "words": ["taller"]}
    assert listener.heard == [("/hook", "application/json", expected)]


def test_a_refusal_is_a_warning_without_the_address(listener: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    listener.status = 403
    assert not webhook.send(listener.url, "alarm", "x")
    assert capsys.readouterr().err == "Warning: the webhook was not told of the alarm: it answered 403\n"


def test_nobody_there_is_a_warning_too(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener() as server:
        gone = server.url
    assert not webhook.send(gone, "all clear", "x")
    warning = capsys.readouterr().err
    assert warning.startswith("Warning: the webhook was not told of the all clear: ") and "127.0.0.1" not in warning


@pytest.mark.parametrize("text", ["hooks.example.org/x", "file:///etc/passwd", "ftp://x", "https://"])
def test_what_is_no_address_is_refused_at_once(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no http:// or https:// address"):
        webhook.address(text)


def test_addresses_are_taken() -> None:
    for text in ("http://127.0.0.1:9/x", "https://hooks.example.org/services/T0/B0/x?y=1"):
        assert webhook.address(text) == text
