"""Jobs run for real: what they see, what they leave, how they fail, and what a kill -9 does to them."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.core.mlflow_store import client as mlflow_client
from amlocal.core.processes import write_process
from amlocal.jobs.record import LOG, RUNNER
from amlocal.jobs.stream import Tail
from amlocal.specs import load

PIPELINE = """
type: pipeline
experiment_name: letters
inputs: {text: hello}
outputs:
  last: {type: uri_folder}
jobs:
  one:
    type: command
    component: ./component.yml
    inputs: {text: "${{parent.inputs.text}}"}
  two:
    type: command
    component: ./component.yml
    inputs: {text: two, data: "${{parent.jobs.one.outputs.out}}"}
    outputs: {out: "${{parent.outputs.last}}"}
"""

SLEEPER = """
type: pipeline
jobs:
  sleeper:
    type: command
    command: "sleep 300 & echo started; sleep 300; echo woke"
    environment: {image: a}
"""


def until(condition, seconds=60):
    """Wait for a condition; fails the test when it does not come."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def processes_of(client: LocalMLClient) -> list[psutil.Process]:
    """Everything that runs for a workspace: runners by their arguments, jobs by their environment."""
    root = str(client.workspace.root)
    found = []
    for process in psutil.process_iter():
        try:
            ours = root in process.cmdline() or process.environ().get("AMLOCAL_HOME") == root
            if ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_pipeline_runs_reports_and_is_reused(client, spec, run):
    record = run(spec(PIPELINE))
    assert record.status == "Completed", record.error
    last = Path(record.outputs["last"]["path"])
    assert (last / "said.txt").read_text().startswith("two 0.5 fast from /")
    one, two = client.jobs.store.steps(record)
    assert (one.step, two.step, two.status) == ("one", "two", "Completed")

    store = mlflow_client(client.workspace)
    parent = store.get_run(record.run_id)
    child = store.get_run(two.run_id)
    assert parent.info.status == child.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == record.run_id
    assert store.get_experiment(parent.info.experiment_id).name == "letters"
    assert "user_logs" in {item.path for item in store.list_artifacts(two.run_id)}

    again = run(spec(PIPELINE))
    assert [step.reused_from for step in client.jobs.store.steps(again)] == [one.name, two.name]
    assert again.outputs["last"]["path"] == str(last)

    changed = run(spec(PIPELINE), {"inputs.text": "bye"})
    first, second = client.jobs.store.steps(changed)
    assert (first.reused_from, second.reused_from) == (None, None), "another input, and what reads its output"
    forced = run(spec(PIPELINE), {"settings.force_rerun": True})
    assert [step.reused_from for step in client.jobs.store.steps(forced)] == [None, None]


def test_a_command_sees_what_azure_would_give_it(client, spec, run, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "hello.txt").write_text("code is here")
    (tmp_path / "code" / "secret.txt").write_text("leave me")
    (tmp_path / "code" / ".amlignore").write_text("secret.txt\n")
    record = run(
        spec("""
        command: |
          cat hello.txt && ls > ${{outputs.files}}/ls.txt
          echo kept > outputs/kept.txt
          env > ${{outputs.files}}/env.txt
          python -c "import yaml; print('yaml', yaml.__file__)"
        code: ./code
        environment: {image: a}
        environment_variables: {MINE: "1"}
        outputs: {files: {type: uri_folder}}
        tags: {team: red}
        """)
    )
    assert record.status == "Completed", record.error
    log = (client.jobs.store.folder(record.name) / LOG).read_text()
    assert "code is here" in log and f"yaml {yaml.__file__}" in log
    files = Path(record.outputs["files"]["path"])
    assert "secret.txt" not in (files / "ls.txt").read_text()
    environment = dict(line.split("=", 1) for line in (files / "env.txt").read_text().splitlines() if "=" in line)
    assert environment["MINE"] == "1"
    assert environment["AZUREML_RUN_ID"] == record.name
    assert environment["MLFLOW_RUN_ID"] == record.run_id
    assert environment["MLFLOW_TRACKING_URI"] == client.workspace.tracking_uri

    client.jobs.download(record.name, download_path=tmp_path / "got", all=True)
    assert (tmp_path / "got/artifacts/outputs/kept.txt").read_text() == "kept\n"
    assert (tmp_path / "got/named-outputs/files/ls.txt").exists()
    shown = client.jobs.describe(record.name)
    assert (shown["status"], shown["tags"], shown["type"]) == ("Completed", {"team": "red"}, "command")
    assert client.jobs.get(record.name).status == "Completed"


def test_a_failed_step_fails_the_job_and_names_its_log(client, spec, run):
    record = run(
        spec("""
        type: pipeline
        jobs:
          bad: {type: command, command: "echo oh no; exit 3", environment: {image: a}, outputs: {o: {type: uri_folder}}}
          after:
            type: command
            command: ls ${{inputs.i}}
            environment: {image: a}
            inputs: {i: "${{parent.jobs.bad.outputs.o}}"}
        """)
    )
    assert record.status == "Failed"
    assert 'step "bad" failed: exit code 3; its log is ' in record.error
    assert Path(record.error.split("its log is ")[1]).read_text().endswith("oh no\n")
    assert {step.step: step.status for step in client.jobs.store.steps(record)} == {
        "bad": "Failed",
        "after": "Canceled",
    }
    from azure.ai.ml.exceptions import JobException

    with pytest.raises(JobException, match="exit code 3"):
        client.jobs.stream(record.name)


def test_independent_steps_run_at_the_same_time(client, spec, run, tmp_path):
    """Each waits for the other's mark, so that one after the other would never end."""
    meet = "touch {0}/{1}; while [ ! -e {0}/{2} ]; do sleep 0.05; done"
    record = run(
        spec(f"""
        type: pipeline
        jobs:
          a: {{type: command, command: "{meet.format(tmp_path, "a.mark", "b.mark")}", environment: {{image: x}}}}
          b: {{type: command, command: "{meet.format(tmp_path, "b.mark", "a.mark")}", environment: {{image: x}}}}
        """)
    )
    assert record.status == "Completed", record.error


def running(client, spec):
    """A pipeline whose step has started two sleeps."""
    job = client.jobs.create_or_update(load("job", spec(SLEEPER)))
    log = client.jobs.store.folder(f"{job.name}_sleeper") / LOG
    until(lambda: log.exists() and "started" in log.read_text())
    return job.name


def test_cancel_ends_everything(client, spec):
    name = running(client, spec)
    client.jobs.begin_cancel(name).result()
    assert client.jobs.describe(name)["status"] == "Canceled"
    until(lambda: not processes_of(client))


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_kill_9_of_the_runner(client, spec, run):
    name = running(client, spec)
    pid = client.jobs.store.runner(client.jobs.store.read(name))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not processes_of(client))
    shown = client.jobs.describe(name)
    assert shown["status"] == "Failed"
    assert "died" in shown["error"]
    assert client.jobs.describe(f"{name}_sleeper")["status"] == "Failed"
    store = mlflow_client(client.workspace)
    assert store.get_run(client.jobs.store.read(name).run_id).info.status == "FAILED"
    assert run(spec("command: echo fine\nenvironment: {image: a}\n")).status == "Completed"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("victim", ["lifeline.py", "bash"])
def test_kill_9_of_a_step(client, spec, finish, victim):
    name = running(client, spec)

    def is_victim(process: psutil.Process) -> bool:
        try:
            command = process.cmdline()
        except psutil.NoSuchProcess:
            return False  # one that was on its way out, or a zombie that nobody has waited for yet
        lifeline = any(part.endswith("lifeline.py") for part in command)
        program = Path(command[0]).name if command else ""
        return lifeline if victim == "lifeline.py" else program == victim and not lifeline

    victims = [process for process in processes_of(client) if is_victim(process)]
    assert victims
    for process in victims:
        process.kill()
    record = finish(name)
    assert record.status == "Failed"
    assert "exit code 137" in record.error
    until(lambda: not processes_of(client))


def test_many_at_once_never_collide(client, spec, finish, forks):
    path = spec("command: echo hi\nenvironment: {image: a}\n")
    code = (
        "import sys; from amlocal.client import LocalMLClient; from amlocal.specs import load;"
        "c = LocalMLClient(sys.argv[1]); print(c.jobs.create_or_update(load('job', sys.argv[2])).name)"
    )
    command = [*forks.command(), "-c", code, str(client.workspace.root), str(path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    names = [process.communicate()[0].split()[-1] for process in started]
    assert len(set(names)) == 3
    assert [finish(name).status for name in names] == ["Completed"] * 3


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups")
@pytest.mark.parametrize("start", ["", "setsid "])
@pytest.mark.parametrize("code", [0, 3])
def test_what_runs_in_the_background_gets_its_last_lines_out(client, spec, run, start, code):
    lines = "for n in 1 2 3 4 5; do sleep 0.1; echo line $n; done"
    record = run(spec(f"command: {start}bash -c '{lines}' & echo first; exit {code}\nenvironment: {{image: a}}\n"))
    log = (client.jobs.store.folder(record.name) / "user_logs" / "std_log.txt").read_text()
    assert log.split("first\n")[1] == "".join(f"line {n}\n" for n in range(1, 6))
    assert record.status == ("Failed" if code else "Completed")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups")
@pytest.mark.parametrize("start", ["", "setsid "])
def test_what_runs_on_in_the_background_is_asked_to_end(client, spec, run, start):
    """As a container that is stopped; what does not listen is killed."""
    server = "trap 'echo asked; exit' TERM; while :; do sleep 0.1; done"
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    text = f'{start}bash -c "{server}" &\n{start}bash -c "{deaf}" &\necho first\n'
    path = spec("command: |\n" + "".join(f"  {line}\n" for line in text.splitlines()) + "environment: {image: a}\n")
    record = run(path)
    assert record.status == "Completed"
    assert (client.jobs.store.folder(record.name) / "user_logs" / "std_log.txt").read_text().endswith("asked\n")
    until(lambda: not processes_of(client))


def test_a_taken_name_is_refused(client, spec, run):
    path = spec("name: mine\ncommand: echo hi\nenvironment: {image: a}\n")
    run(path)
    with pytest.raises(UserError, match='job "mine" exists already'):
        run(path)


def test_a_name_that_leads_out_of_the_workspace_is_refused(client, spec):
    with pytest.raises(UserError, match=r'job name "\.\./x"'):
        client.jobs.create_or_update(load("job", spec("name: ../x\ncommand: ls\nenvironment: {image: a}\n")))


def test_an_output_with_a_place_of_its_own(client, spec, run):
    """It is never reused: the next run may have written over it."""
    text = PIPELINE.replace(
        "last: {type: uri_folder}",
        "last: {type: uri_folder, path: 'azureml://datastores/workspacefilestore/paths/${{output_name}}/here'}",
    )
    record = run(spec(text))
    place = client.workspace.datastore("workspacefilestore") / "out" / "here"
    assert Path(record.outputs["last"]["path"]) == place and (place / "said.txt").exists()
    one, two = client.jobs.store.steps(run(spec(text)))
    assert (bool(one.reused_from), two.reused_from) == (True, None)


def test_a_canceled_step_cancels_its_pipeline(client, spec, finish):
    name = running(client, spec)
    client.jobs.begin_cancel(f"{name}_sleeper").result()
    assert finish(name).status == "Canceled"


def test_a_runner_that_never_started_is_found_dead(client, spec):
    """The record says NotStarted, the process that should have taken it over is gone."""
    from amlocal.core.names import creation_context
    from amlocal.jobs.record import JobRecord

    store = client.jobs.store
    store.create(JobRecord("ghost", "command", "ghost", "e", {}, creation_context()))
    folder = store.folder("ghost")
    write_process(folder / RUNNER, os.getpid())
    text = (folder / RUNNER).read_text().replace(str(os.getpid()), "999999")
    (folder / RUNNER).write_text(text)
    assert store.get("ghost").status == "Failed"


def test_progress_bars_reach_a_terminal_as_pictures_and_a_file_as_their_last(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"one\n10%\r50%\r100%\ntwo")
    out = io.StringIO()
    tail = Tail(log, "step | ", out)
    tail.pump()
    assert out.getvalue() == "step | one\nstep | 100%\n"
    tail.pump(last=True)
    assert out.getvalue().endswith("step | two\n")


def test_the_first_jobs_of_a_workspace_at_once_make_one_store(bare_client, spec):
    """Without a store yet: its migrations must not be run by two at a time, nor be seen half-done."""
    path = spec("command: echo first\nenvironment: {image: a}\n")
    command = [sys.executable, "-m", "amlocal", "job", "create", "-f", str(path), "--stream"]
    environment = {**os.environ, "AMLOCAL_HOME": str(bare_client.workspace.root)}
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert len(bare_client.jobs.describe_all()) == 3


def test_what_made_a_session_of_its_own_ends_with_the_job(client, spec, run):
    record = run(spec("command: setsid sleep 300 & sleep 0.3\nenvironment: {image: a}\n"))
    assert record.status == "Completed", record.error
    assert [each for each in processes_of(client) if each.cmdline()[:1] == ["sleep"]] == []


def test_after_a_failure_nothing_more_starts(client, spec, run, tmp_path):
    steps = "".join(
        f"  s{number}: {{type: command, command: 'touch {tmp_path.as_posix()}/s{number}', environment: {{image: a}}}}\n"
        for number in range(30)
    )
    bad = "  bad: {type: command, command: exit 3, environment: {image: a}}\n"
    record = run(spec(f"type: pipeline\njobs:\n{bad}{steps}"))
    assert record.status == "Failed"
    touched = {path.name for path in tmp_path.glob("s*") if path.name[1:].isdigit()}
    completed = {step.step for step in client.jobs.store.steps(record) if step.status == "Completed"}
    assert completed <= touched and len(touched) < 20
    # a core each: only who had one when the other failed may have begun, and was ended
    assert len(touched - completed) < max(os.cpu_count() or 1, 2)


def test_a_step_finds_a_name_beside_a_job_that_is_called_so(client, spec, run):
    pipeline = "type: pipeline\nname: mine\njobs: {a: {type: command, command: ls, environment: {image: a}}}\n"
    assert run(spec("name: mine_a\ncommand: ls\nenvironment: {image: a}\n")).status == "Completed"
    record = run(spec(pipeline))
    assert record.status == "Completed", record.error
    assert [step.name for step in client.jobs.store.steps(record)] == ["mine_a_"]


@pytest.mark.parametrize("name", ["../../evil", "..", "/tmp/evil"])
def test_no_experiment_s_name_leads_out_of_the_workspace(client, spec, run, name):
    record = run(spec(f"experiment_name: {name}\ncommand: ls\nenvironment: {{image: a}}\n"))
    assert record.status == "Completed", record.error
    assert Path(record.outputs["artifacts"]["path"]).resolve().is_relative_to(client.workspace.artifacts)


def test_a_folder_without_a_record_is_taken_over(client, spec, run):
    """Of one that was killed between making the folder and writing the record."""
    (client.workspace.jobs / "cut").mkdir(parents=True)
    assert run(spec("name: cut\ncommand: ls\nenvironment: {image: a}\n")).status == "Completed"
