"""`aml` on a real workspace: the commands of the documentation, typed one after the other."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from amlocal.cli import main

JOB = """
type: command
command: echo hello ${{inputs.who}}; sleep ${{inputs.seconds}}
environment: {image: "python:3.11"}
inputs: {who: world, seconds: 0}
"""
COMPONENT = """
type: command
name: greet
version: 1
inputs: {who: {type: string}}
command: echo ${{inputs.who}}
environment: {image: "python:3.11"}
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / ".amlocal"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "job.yml").write_text(JOB)
    (tmp_path / "greet.yml").write_text(COMPONENT)
    return tmp_path


def aml(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """Run a command that must succeed; what it printed."""
    code = main(line.split())
    out, err = capsys.readouterr()
    assert code == 0, err
    return out.strip()


def test_a_job_from_creation_to_its_files(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    name = aml(capsys, "job create -f job.yml --set inputs.who=you --query name -o tsv")
    log = aml(capsys, f"job stream -n {name}")
    assert f"RunId: {name}" in log and "hello you" in log
    assert aml(capsys, f"job show -n {name} --query status -o tsv") == "Completed"
    assert name in aml(capsys, "job list -o table")
    aml(capsys, f"job download -n {name} -p got")
    assert "hello you" in (workspace / "got/artifacts/user_logs/std_log.txt").read_text()
    assert main(["job", "show", "-n", "nosuch"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_validate_runs_nothing(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    assert json.loads(aml(capsys, "job validate -f job.yml")) == {"result": "Succeeded"}
    (workspace / "job.yml").write_text(JOB.replace("command: echo", "comand: echo"))
    assert main(["job", "validate", "-f", "job.yml"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["result"] == "Failed"
    assert err.startswith("ERROR: job.yml") and "command" in err and err.count("\n") == 1
    assert json.loads(aml(capsys, "job list")) == []


def test_assets_from_files_and_from_flags(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    assert aml(capsys, "component create -f greet.yml --version 3 --query version -o tsv") == "3"
    assert aml(capsys, "component show -n greet -l latest --query name -o tsv") == "greet"
    aml(capsys, "data create -n letters --path job.yml --type uri_file -d words")
    kept = Path(aml(capsys, "data show -n letters -v 1 --query path -o tsv"))
    assert kept.read_text() == (workspace / "job.yml").read_text() and kept.is_relative_to(workspace / ".amlocal")
    aml(capsys, "environment create -n small -i python:3.11 --tags a=b")
    assert "small" in aml(capsys, "environment list -o table")
    aml(capsys, "compute create -n cpu-cluster -t AmlCompute --size Standard_F4s_v2 --max-instances 1")
    assert aml(capsys, "compute list --type amlcompute --query [].size -o tsv") == "Standard_F4s_v2"
    assert json.loads(aml(capsys, "workspace show"))["path"] == str(workspace / ".amlocal")


def test_an_asset_needs_a_file_or_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "create", "--path", "job.yml"]) == 1
    assert "--file" in capsys.readouterr().err
    assert main(["data", "create", "-n", "x", "--set", "colour=red"]) == 1
    err = capsys.readouterr().err
    assert "colour" in err and "Visit" not in err and err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a test cannot send Ctrl-C there")
def test_ctrl_c_on_a_streamed_job_leaves_nothing_running(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    command = [sys.executable, "-m", "amlocal", "job", "create", "-f", "job.yml", "-n", "long", "--stream"]
    process = subprocess.Popen(
        [*command, "--set", "inputs.seconds=600"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stderr
    for line in process.stdout:
        if line.startswith("hello"):
            process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "canceling job long" in process.stderr.read()
    assert aml(capsys, "job show -n long --query status -o tsv") == "Canceled"
    # What is gone between two looks has no values.
    sleepers = [one for one in psutil.process_iter(["cmdline", "environ"]) if one.info["cmdline"] == ["sleep", "600"]]
    assert not [
        one for one in sleepers if (one.info["environ"] or {}).get("AMLOCAL_HOME") == os.environ["AMLOCAL_HOME"]
    ]
