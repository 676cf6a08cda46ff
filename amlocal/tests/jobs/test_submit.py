"""Either a job is submitted, or it never runs: whatever the machine is busy with."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.jobs import submit
from amlocal.jobs.record import RUNNER
from amlocal.specs import load

JOB = "name: {name}\ncommand: touch {flag}\nenvironment: {{image: a}}\n"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Each runner is a real one, but begins after the seconds that a busy machine takes to give it its turn."""
    started: list[subprocess.Popen[bytes]] = []

    def spawn(workspace: object, arguments: list[str], log: Path, stdin: int = subprocess.DEVNULL) -> submit.Runner:
        code = "import runpy, sys, time; time.sleep(2); runpy.run_module(sys.argv.pop(1), run_name='__main__')"
        command = [sys.executable, "-c", code, "amlocal.jobs.run.runner", str(workspace.root), *arguments]  # type: ignore[attr-defined]
        started.append(subprocess.Popen(command, stdin=stdin))
        return started[-1]

    monkeypatch.setattr(submit, "_spawn", spawn)
    return started


@pytest.mark.parametrize("ready", [False, True], ids=["named at once", "named later"])
def test_a_runner_that_is_given_up_never_runs_the_job(
    client: LocalMLClient,
    spec: Callable[..., Path],
    tmp_path: Path,
    slow: list[subprocess.Popen[bytes]],
    ready: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(submit, "START_SECONDS", 0.5)
    flag = tmp_path / "flag"
    job = load("job", spec(JOB.format(name="late", flag=flag.as_posix())))
    runner = submit.get_ready(client.workspace) if ready else None
    with pytest.raises(UserError, match="job late: its runner did not start, and it will not run; see "):
        submit.submit(job, client.workspace, runner)
    assert [process.returncode for process in slow] == [-9]
    assert client.jobs.store.get("late").status == "Failed"
    time.sleep(3)
    assert not flag.exists() and not (client.jobs.store.folder("late") / RUNNER).exists()


def test_a_runner_that_takes_its_time_is_waited_for_and_that_is_said(
    client: LocalMLClient,
    spec: Callable[..., Path],
    tmp_path: Path,
    slow: list[subprocess.Popen[bytes]],
    finish: Callable[[str], object],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(submit, "TELL_SECONDS", 0.1)
    flag = tmp_path / "flag"
    submit.submit(load("job", spec(JOB.format(name="late", flag=flag.as_posix()))), client.workspace)
    assert caplog.text.count("Waiting for the job's runner to start") == 1
    finish("late")
    assert flag.exists() and client.jobs.store.get("late").status == "Completed"
