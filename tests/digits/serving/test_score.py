"""The scoring script: what it answers, what it refuses and how, and what it hands over to be collected."""

import json
import math
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests

from digits.data import ink
from digits.data.sets import Digits, embedded
from digits.errors import ModelError
from digits.network.lite import find
from digits.serving import payload, score

BLANK = [0] * 784


@pytest.fixture(scope="module")
def digits() -> Digits:
    return embedded("mnist", "test")


@pytest.fixture
def model(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(trained))
    monkeypatch.delenv("AZUREML_MDC_ENABLED", raising=False)
    monkeypatch.delenv("AZUREML_MDC_CONFIG_PATH", raising=False)
    score.init()


def with_value(value: object) -> str:
    return json.dumps({"input_data": [[*BLANK[:-1], value]]})


# --- answers ---


def test_it_reads_digits(model: None, digits: Digits) -> None:
    answer = score.run(json.dumps({"input_data": digits.images[:100].reshape(100, 784).tolist()}))
    assert (np.array(answer["predictions"]) == digits.labels[:100]).mean() > 0.7
    probabilities = np.array(answer["probabilities"])
    assert probabilities.shape == (100, 10) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    json.dumps(answer)


def test_all_forms_of_a_request_are_answered_alike(model: None, digits: Digits) -> None:
    rows = digits.images[:2].reshape(2, 784).tolist()
    frame = {"columns": list(range(784)), "index": [0, 1], "data": rows}
    bodies = [{"input_data": rows}, {"input_data": frame}, {"dataframe_split": frame}, {"inputs": rows}]
    answers = [score.run(json.dumps(body)) for body in [*bodies, {"instances": rows}, {"input_data": {"data": rows}}]]
    assert all(answer == answers[0] for answer in answers)


def test_numbers_are_not_rounded(model: None, digits: Digits) -> None:
    rows = digits.images[:1].reshape(1, 784).astype(float)
    faint = score.run(json.dumps({"input_data": (rows * 0.3).tolist()}))
    assert faint != score.run(json.dumps({"input_data": np.floor(rows * 0.3).tolist()}))


def test_without_the_collector_it_still_answers(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(trained))
    monkeypatch.setitem(sys.modules, "azureml.ai.monitoring", None)  # as if it were not installed
    score.init()
    assert score.collect == {} and len(score.run(json.dumps({"input_data": [BLANK]}))["predictions"]) == 1


def test_a_collector_that_breaks_costs_no_answer(model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "collect", {"model_inputs": object()})
    assert "predictions" in score.run(json.dumps({"input_data": [BLANK]}))


# --- refusals ---

BAD = {
    "nothing": ("", "empty"),
    "not JSON": ("seven", "not JSON"),
    "half of it": ('{"input_data": [[1, 2', "not JSON"),
    "a list": ("[[1, 2]]", "JSON list"),
    "no images": ("{}", "none of input_data"),
    "two of them": (json.dumps({"inputs": [BLANK], "instances": [BLANK]}), "both inputs and instances"),
    "an empty list": ('{"input_data": []}', "input_data is empty"),
    "a number": ('{"input_data": 5}', "input_data is a number"),
    "a wrong length": ('{"input_data": [[1, 2, 3]]}', "image 0 has 3 numbers, not 784"),
    "one wrong length of two": (json.dumps({"input_data": [BLANK, BLANK[1:]]}), "image 1 has 783 numbers"),
    "no list of images": (json.dumps({"input_data": BLANK}), "list of its own"),
    "letters": (with_value("a"), 'number 783: "a" is not a number'),
    "digits as text": (with_value("7"), 'number 783: "7" is not a number'),
    "null": (with_value(None), "number 783: null is not a number"),
    "true": (with_value(True), "number 783: true is not a number"),
    "a list too deep": (with_value([1]), "number 783: [1] is not a number"),
    "NaN": (with_value(math.nan), "NaN"),
    "infinity": (with_value(math.inf), "Infinity"),
    "infinity in disguise": ('{"input_data": [[' + "0," * 783 + "1e999]]}", "outside 0 to 255"),
    "above the range": (with_value(255.1), "number 783: 255.1 is outside 0 to 255"),
    "below the range": (with_value(-1), "number 783: -1 is outside 0 to 255"),
    "a huge number": ('{"input_data": [[' + "0," * 783 + "1" + "0" * 400 + "]]}", "outside 0 to 255"),
    "an absurd number": ('{"input_data": [[' + "0," * 783 + "1" * 5000 + "]]}", "not JSON"),
    "too many images": (json.dumps({"input_data": [BLANK] * 1001}), "1,001 images are too many"),
    "a frame without data": ('{"dataframe_split": {"columns": []}}', "no data"),
    "a frame of other columns": (json.dumps({"input_data": {"columns": ["a"], "data": [BLANK]}}), "1 columns, not 784"),
    "brackets without end": ("[" * 200_000, "not JSON"),
    "50 MB": ('{"input_data": "' + "7" * 50_000_000 + '"}', "48 MiB is too large"),
}


@pytest.mark.parametrize(("body", "told"), BAD.values(), ids=BAD)
def test_what_it_cannot_score_it_refuses_saying_why(model: None, body: str, told: str) -> None:
    refusal = score.run(body)
    assert refusal.status_code == 400 and told in refusal.get_json()["message"]
    assert "predictions" in score.run(json.dumps({"input_data": [BLANK]})), "it must score on"


def test_the_model_is_found_wherever_in_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "model" / "deep" / "model.tflite"
    file.parent.mkdir(parents=True)
    file.touch()
    assert find(tmp_path) == file


@pytest.mark.parametrize("held", [[], ["a", "b"]], ids=["none", "two"])
def test_a_folder_without_one_model_is_refused(tmp_path: Path, held: list[str]) -> None:
    for name in held:
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.tflite").touch()
    with pytest.raises(ModelError, match=rf"{len(held) or 'no'} file.*model\.tflite"):
        find(tmp_path)


def test_without_a_model_it_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    with pytest.raises(ModelError, match="AZUREML_MODEL_DIR"):
        score.init()


# --- what is collected ---


def test_anomalies() -> None:
    sure, unsure, flat = np.eye(10)[3], np.array([0.8, 0.2, *[0.0] * 8]), np.full(10, 0.1)
    assert score.anomalies(np.array([sure, unsure, flat, sure / 2])).tolist() == [
        [False, False, False],
        [True, False, False],
        [True, True, False],
        [True, False, True],
    ]


def test_the_statistics_of_a_line() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 12:15] = 255  # 20 tall, 3 wide
    image[0, 0] = 20  # no ink, only dirt
    seen = dict(zip(ink.STATISTICS, ink.statistics(image[None])[0], strict=True))
    assert (seen["width"], seen["height"], seen["peak"], seen["grey"]) == (3, 20, 255, 0)
    assert seen["stroke"] == pytest.approx(3, rel=0.15)
    assert seen["centre_x"] == pytest.approx(13, abs=0.1) and seen["centre_y"] == pytest.approx(13.5, abs=0.1)
    assert seen["ink"] == pytest.approx((20 * 3 * 255 + 20) / 784)
    assert not ink.statistics(np.zeros((1, 784), np.float32)).any(), "no ink, no numbers, and no division by zero"


class Agent:
    """The address that Azure's Collector posts to: keeps (collection, request id, rows)."""

    def __init__(self) -> None:
        self.got: queue.Queue[tuple[str, str, list[dict]]] = queue.Queue()
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                collection = self.headers["ce-type"].removeprefix("azureml.inference.")
                agent.got.put((collection, self.headers["ce-x-request-id"], rows))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Agent]]:
    """The script behind Azure's own inference server, its data collected."""
    agent, port = Agent(), free_port()
    home = tmp_path_factory.mktemp("server")
    collections = {name: {"enabled": True, "sampleRatePercentage": 100} for name in ("model_inputs", "model_outputs")}
    (home / "mdc.json").write_text(json.dumps({"collections": collections, "runMode": "cloud"}))
    environment = os.environ | {
        "AZUREML_MDC_CONFIG_PATH": str(home / "mdc.json"),
        "AZUREML_MDC_HOST": "127.0.0.1",
        "AZUREML_MDC_PORT": str(agent.server.server_port),
    }
    command = [sys.executable, "-m", "azureml_inference_server_http.amlserver", "--port", str(port)]
    command += ["--entry_script", score.__file__, "--model_dir", str(trained)]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    if requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 200:
                        break
                except requests.ConnectionError:
                    pass
                assert process.poll() is None and time.monotonic() < deadline, (home / "log").read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/score", agent
        finally:
            process.terminate()
            process.wait(30)
            agent.server.shutdown()


def test_behind_azures_server(server: tuple[str, Agent], digits: Digits) -> None:
    url, agent = server
    rows = digits.images[:2].reshape(2, 784).tolist()
    answer = requests.post(
        url,
        json={"input_data": rows},
        headers={"x-ms-client-request-id": "run-7", "x-request-id": "gateway-1"},
        timeout=30,
    )
    assert answer.status_code == 200
    got = {name: (id, rows) for name, id, rows in (agent.got.get(timeout=30) for _ in range(2))}
    assert got["model_inputs"][0] == got["model_outputs"][0] == "run-7"
    inputs, outputs = got["model_inputs"][1], got["model_outputs"][1]
    assert [tuple(row) for row in inputs] == [score.INPUTS] * 2
    assert [tuple(row) for row in outputs] == [score.OUTPUTS] * 2
    assert [row["prediction"] for row in outputs] == answer.json()["predictions"]
    assert {row["correlationid"] for row in inputs + outputs} == {"run-7"}
    assert {row["xrequestid"] for row in outputs} == {"gateway-1"}
    assert inputs[0]["ink"] == pytest.approx(digits.images[0].mean(), rel=1e-4)
    assert outputs[0]["probability_3"] == pytest.approx(answer.json()["probabilities"][0][3], abs=1e-6)


def test_azures_server_answers_bad_requests_and_serves_on(server: tuple[str, Agent]) -> None:
    url, _ = server
    header = {"Content-Type": "application/json"}
    for body, told in BAD.values():
        answer = requests.post(url, data=body.encode(), headers=header, timeout=60)
        assert answer.status_code == 400 and told in answer.json()["message"]
    assert requests.post(url, data=b"\xff", headers=header, timeout=30).status_code == 400
    assert requests.post(url, json={"input_data": [BLANK]}, timeout=30).status_code == 200


def test_limits_are_as_told() -> None:
    assert payload.images({"input_data": [BLANK] * payload.MAX_ROWS}).shape == (1000, 784)
