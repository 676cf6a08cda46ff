"""`aml mlflow ui` serves the workspace's store and leaves nothing behind."""

import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from amlocal.cli import main
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


@pytest.mark.skipif(sys.platform == "win32", reason="a test cannot send Ctrl-C there")
def test_it_serves_and_ctrl_c_stops_every_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "amlocal", "mlflow", "ui", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        with urlopen(f"{address}/health", timeout=30) as answer:
            assert answer.status == 200
        below = psutil.Process(process.pid).children(recursive=True)
        assert below
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert not [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    finally:
        process.kill()
        process.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".amlocal"]
