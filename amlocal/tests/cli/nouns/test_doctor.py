"""`aml doctor` finds what is missing, says what to do, and fails if jobs could not run."""

import json
import os
import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from amlocal.cli import about, checks, main
from amlocal.core.workspace import Workspace

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMLOCAL_HOME", str(tmp_path / ".amlocal"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Workspace.find()


def diagnose(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]], list[dict[str, Any]]]:
    code = main(["doctor", "-o", "json"])
    found = json.loads(capsys.readouterr().out)
    return code, {check["name"]: check for check in found["checks"]}, found["running"]


def test_report_is_for_people(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> None:
    main(["doctor"])
    out = capsys.readouterr().out
    assert str(workspace.root) in out and "python" in out and "running: nothing" in out
    assert not out.startswith("{")


def test_disk_full(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 2**20))
    code, found, _ = diagnose(capsys)
    assert code == 1
    assert found["disk"]["status"] == "missing" and "AMLOCAL_HOME" in found["disk"]["remedy"]


def test_no_bash(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    code, found, _ = diagnose(capsys)
    assert code == 1
    assert found["bash"]["status"] == "missing" and "install" in found["bash"]["remedy"]


def test_packages_are_held_against_the_distributions_own_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"mlflow": "3.14.0", "knack": None}
    monkeypatch.setattr(checks.metadata, "requires", lambda _: ["mlflow==3.15.0", "knack", "x ; python_version<'3'"])
    monkeypatch.setattr(about, "version", lambda name=about.DISTRIBUTION: installed.get(name, "0.1"))
    found = {check.name: check for check in checks.packages()}
    assert found["mlflow"].status == "warning" and found["mlflow"].detail == "3.14.0, wanted is ==3.15.0"
    assert found["knack"].status == "missing" and found["knack"].remedy == 'python -m pip install "knack"'
    assert "x" not in found


def test_wrong_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_requires_python", lambda: ">=3.99")
    assert checks.python().status == "missing"
    monkeypatch.setattr(checks, "_requires_python", lambda: None)
    assert checks.python().status == "ok"


def test_store(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not there yet" in checks.store(workspace).detail
    assert not workspace.root.exists()
    workspace.create()
    with sqlite3.connect(workspace.database) as database:
        database.execute("create table runs (id)")
        database.execute("insert into runs values (1)")
    assert "1 runs" in checks.store(workspace).detail
    workspace.database.write_bytes(b"not a database at all, but long enough to be looked at " * 20)
    code, found, _ = diagnose(capsys)
    assert code == 1 and found["mlflow store"]["status"] == "missing" and found["mlflow store"]["remedy"]


def test_server_that_does_not_answer(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert checks.store(workspace).status == "missing"


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_workspace_that_cannot_be_written(workspace: Workspace) -> None:
    workspace.create()
    workspace.root.chmod(0o500)
    assert checks.writable(workspace).status == "missing"
    workspace.root.chmod(0o700)


def test_a_running_job_is_shown_with_how_to_stop_it(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    from amlocal.core.processes import write_process
    from amlocal.jobs.record import RUNNER, JobRecord, JobStore

    jobs = JobStore(workspace)
    about_creation = {"created_at": "2026-01-01T00:00:00"}
    jobs.create(JobRecord("ant", "command", "ant", "e", {}, about_creation, status="Running"))
    jobs.create(JobRecord("bee", "command", "bee", "e", {}, about_creation, status="Completed"))
    write_process(jobs.folder("ant") / RUNNER, os.getpid())  # this very process plays the runner
    _, _, running = diagnose(capsys)
    assert [(job["name"], job["pid"], job["stop"]) for job in running] == [
        ("ant", os.getpid(), "aml job cancel -n ant")
    ]
    main(["doctor"])
    assert "aml job cancel -n ant" in capsys.readouterr().out
