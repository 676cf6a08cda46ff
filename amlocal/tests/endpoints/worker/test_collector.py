"""Azure's Collector in a worker: no record is lost when the worker is sent away, and no secret gets into its log."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amlocal.endpoints.worker import instance as worker

WORKER = Path(worker.__file__)

# It learns of the package only when it is called, writes all it can to its log, and collects faster than is sent.
SCRIPT = """
import logging

def init(): logging.basicConfig(level=logging.DEBUG)

def run(raw_data):
    import pandas
    from azureml.ai.monitoring import Collector
    collector = Collector(name="inputs")
    for number in range(100): collector.collect(pandas.DataFrame([{"number": number}]))
    return "collected"
"""


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(60)
    (tmp_path / worker.SOCKET).write_text(str(server.getsockname()[1]))
    return server


def test_who_is_sent_away_hands_over_all_it_has_collected(tmp_path: Path, listener: socket.socket) -> None:
    (tmp_path / "secret").write_text("hush-hush")
    (tmp_path / "score.py").write_text(SCRIPT)
    enabled = {"enabled": True, "sampleRatePercentage": 100}
    config = tmp_path / "collector.json"
    config.write_text(json.dumps({"collections": {"inputs": enabled}, "runMode": "cloud"}))
    environment = {
        **os.environ,
        "AMLOCAL_NO_UNIX_SOCKETS": "1",
        "AML_APP_ROOT": str(tmp_path),
        "AZUREML_ENTRY_SCRIPT": "score.py",
        "AZUREML_MDC_CONFIG_PATH": str(config),
        "AZUREML_MDC_HOST": "blue:hush-hush@127.0.0.1",
        "AZUREML_MDC_PORT": "9",
    }
    command = [sys.executable, "-P", str(WORKER), str(tmp_path), "blue-1-0", "blue", "1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
    collected: list[int] = []
    answers: list[Any] = []
    try:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            hello = worker._receive(stream)
            assert hello
            ours = {"nonce": "n", "proof": worker.proof("hush-hush", "gateway", hello[0]["nonce"])}
            connection.sendall(worker.pack(json.dumps(ours).encode()))
            assert worker._receive(stream)
            connection.sendall(worker.pack(b"[]") + worker.pack(b'["POST","/score",[]]', b"{}") + worker.pack(b"null"))
            while message := worker._receive(stream):
                head, body = message
                if isinstance(head, dict):
                    collected.append(json.loads(body)[0]["number"])
                else:
                    answers.append((head[0], body))
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        listener.close()
    said = (tmp_path / "log").read_text()
    assert answers == [(200, b'"collected"')], said
    assert collected == list(range(100))
    assert "mdc" in said and "hush-hush" not in said
