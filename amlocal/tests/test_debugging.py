"""A breakpoint in a step of a pipeline and in a scoring script, by debugpy's own protocol; and pdb in the terminal."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dap import Debugger, place_of

from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.environments.debug_hook import program
from amlocal.environments.debugger import mappings, sources
from amlocal.jobs.debug import TAG
from amlocal.jobs.record import JobRecord

ADD = "def plus_one(number):\n    more = number + 1\n    return more\n"
TWO = """import sys
from pathlib import Path
from lib.add import plus_one

number = int(Path(sys.argv[1], "n.txt").read_text())
print("answer", plus_one(number))
"""
PIPELINE = """
type: pipeline
jobs:
  first:
    type: command
    command: echo 41 > ${{outputs.out}}/n.txt
    environment: {image: "python:3.11"}
    outputs: {out: {type: uri_folder}}
  second:
    type: command
    command: pip --version && python two.py ${{inputs.data}}
    code: src
    environment: {image: "python:3.11"}
    inputs: {data: "${{parent.jobs.first.outputs.out}}"}
  third:
    type: command
    command: echo over
    environment: {image: "python:3.11"}
"""
SCORE = """import json

def init():
    global offset
    offset = 5

def run(data):
    given = json.loads(data)["number"]
    answer = given + offset
    return {"answer": answer}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder, with a space in its path."""
    folder = tmp_path / "my project"
    (folder / "src" / "lib").mkdir(parents=True)
    (folder / "src" / "lib" / "add.py").write_text(ADD)
    (folder / "src" / "two.py").write_text(TWO)
    (folder / "src" / "score.py").write_text(SCORE)
    (folder / "pipeline.yml").write_text(PIPELINE)
    (folder / "endpoint.yml").write_text("name: adder\nauth_mode: key\n")
    (folder / "deployment.yml").write_text(
        "name: blue\nendpoint_name: adder\nenvironment: {image: 'python:3.11'}\n"
        "instance_type: Standard_DS2_v2\ninstance_count: 2\n"
        "code_configuration: {code: src, scoring_script: score.py}\nrequest_settings: {request_timeout_ms: 1000}\n"
    )
    (folder / "request.json").write_text('{"number": 37}')
    return folder


@contextmanager
def aml(client: LocalMLClient, project: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """`aml` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "amlocal", *words],
        cwd=project,
        env={**os.environ, "AMLOCAL_HOME": str(client.workspace.root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: "subprocess.Popen[str]") -> str:
    said, _ = process.communicate(timeout=150)
    assert process.returncode == 0, said
    return said


def told_by(client: LocalMLClient, job: str) -> Callable[[], Path | None]:
    """Where the program of a job says that it waits, once the job is there."""
    return lambda: next(
        (path.with_name("debugger.json") for path in client.workspace.jobs.glob(f"{job}/job.json")), None
    )


def test_a_breakpoint_in_a_pipelines_second_step(client: LocalMLClient, project: Path) -> None:
    started = time.monotonic()
    words = ("-f", "pipeline.yml", "--set", "jobs.second.limits.timeout=1", "--debug-step", "second")
    with aml(client, project, "job", "create", *words) as process:
        with Debugger(*place_of(told_by(client, "*_second"), process)) as editor:
            [breakpoint] = editor.break_at(project / "src" / "lib" / "add.py", 3)
            assert breakpoint["verified"] and breakpoint["line"] == 3
            editor.run()
            frame = editor.stopped()
            print(f"{time.monotonic() - started:.1f} s from Enter to the breakpoint")
            assert (frame["source"]["path"], frame["line"]) == (str(project / "src" / "lib" / "add.py"), 3)
            assert editor.variables(frame) == {"number": "41", "more": "42"}
            time.sleep(1)  # the step's limits.timeout
            editor.go_on(frame)
        said = ended(process)
    assert re.search(r"second \| Debugger: two.py waits at 127.0.0.1:\d+; attach your editor there", said)
    assert "second | answer 42" in said and "third | over" in said
    [record] = client.jobs.store.all()
    assert record.status == "Completed"
    # Under a debugger a step is never reused: somebody wants to see it run.
    assert all(not step.reused_from for step in client.jobs.store.steps(record))


def test_a_step_of_a_job_that_has_failed_runs_again_alone(
    client: LocalMLClient, project: Path, run: Callable[..., JobRecord]
) -> None:
    (project / "src" / "lib" / "add.py").write_text(ADD.replace("return more", "return more / 0"))
    failed = run(project / "pipeline.yml")
    assert failed.status == "Failed"
    (project / "src" / "two.py").write_text(f"# another line\n{TWO}")
    with aml(client, project, "job", "debug", "-n", failed.name) as process:
        with Debugger(*place_of(told_by(client, f"{failed.name}_second_debug_*"), process)) as editor:
            editor.break_at(project / "src" / "lib" / "add.py", 3)
            editor.run()
            frame = editor.stopped()
            assert editor.variables(frame)["number"] == "41"
            editor.go_on(frame)
        said, _ = process.communicate(timeout=150)
    assert process.returncode == 1 and "ZeroDivisionError" in said
    assert "Changed since the job ran: two.py." in said
    again = client.jobs.store.all()[0]
    assert again.tags == {TAG: f"{failed.name}_second"} and again.name.startswith(f"{failed.name}_second_debug_")
    assert client.jobs.get(again.name).type == "command"
    assert client.jobs.store.read(failed.name).status == "Failed"


def test_what_cannot_be_debugged_is_said_in_one_line(
    client: LocalMLClient, project: Path, run: Callable[..., JobRecord]
) -> None:
    (project / "src" / "two.py").write_text("raise SystemExit(3)")
    with aml(client, project, "job", "create", "-f", "pipeline.yml", "--debug-step", "secund") as process:
        said, _ = process.communicate(timeout=150)
    assert (process.returncode, said) == (1, 'ERROR: there is no step "secund"; there is first, second, third\n')
    with aml(client, project, "job", "create", "-f", "pipeline.yml", "--debug", "second") as process:
        said, _ = process.communicate(timeout=150)
    assert process.returncode == 2 and "unrecognized arguments: second; did you mean --debug-step?" in said
    with aml(client, project, "job", "create", "-f", "x", "--debug-step", "--target", "azure") as process:
        said, _ = process.communicate(timeout=150)
    assert process.returncode == 1 and "--debug-step: a debugger attaches to programs of this machine" in said
    failed = run(project / "pipeline.yml")
    with pytest.raises(UserError, match='there is no step "fourth"; there is first, second, third'):
        client.jobs.debug(failed.name, "fourth")
    with pytest.raises(UserError, match="--debugger gdb: none of debugpy, pdb"):
        client.jobs.debug(failed.name, "second", "gdb")


def test_pdb_in_this_terminal(client: LocalMLClient, project: Path) -> None:
    words = ("job", "create", "-f", "pipeline.yml", "--debug-step", "second", "--debugger", "pdb")
    with aml(client, project, *words) as process:
        assert process.stdin and process.stdout
        process.stdin.write("b lib/add.py:3\nc\np 'more is', more\nc\n")
        process.stdin.flush()
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(process.stdout or ()))
        reader.start()
        assert process.wait(150) == 0
        reader.join(10)
    assert "('more is', 42)" in "".join(said)
    assert client.jobs.store.all()[0].status == "Completed"


def test_a_breakpoint_in_a_scoring_script(client: LocalMLClient, project: Path) -> None:
    started = time.monotonic()
    with aml(client, project, "online-endpoint", "create", "-f", "endpoint.yml") as process:
        ended(process)
    try:
        words = ("online-deployment", "create", "-f", "deployment.yml", "--all-traffic", "--vscode-debug")
        with aml(client, project, *words) as creation:
            folder = client.online_deployments.store.folder("adder") / "deployments" / "blue" / "1"
            # what VS Code sends for a launch.json with `host` and `port`; PyCharm does, too
            own = [{"localRoot": str(project), "remoteRoot": str(project)}]
            with Debugger(*place_of(lambda: folder / "debugger.json", creation), pathMappings=own) as editor:
                editor.break_at(project / "src" / "score.py", 5, 9)
                editor.run()
                frame = editor.stopped()
                print(f"{time.monotonic() - started:.1f} s from Enter to the breakpoint")
                assert (frame["name"], frame["line"]) == ("init", 5)
                editor.go_on(frame)
                said = ended(creation)
                assert "Deployment blue waits for a debugger at 127.0.0.1:" in said
                with aml(client, project, "online-endpoint", "invoke", "-n", "adder", "-r", "request.json") as call:
                    frame = editor.stopped()
                    assert frame["source"]["path"] == str(project / "src" / "score.py")
                    assert editor.variables(frame)["given"] == "37"
                    time.sleep(1.6)  # its request_timeout_ms, and more
                    editor.go_on(frame)
                    assert json.loads(json.loads(ended(call)))["answer"] == 42
        # Without the editor it serves on; and it goes at once, however long its requests may take.
        answer = client.online_endpoints.invoke("adder", request_file=str(project / "request.json"))
        assert "42" in answer
        client.online_endpoints.begin_delete("adder").result()
        assert not folder.exists()
    finally:
        from amlocal.down import down

        down(client.workspace)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("python train.py --epochs 3", "train.py"),
        ("python -u -X dev -W ignore src/train.py", "train.py"),
        ("python -m pip install x", "pip"),
        ("python -m torch.distributed.run x.py", "torch"),
        ("python -mpytest", "pytest"),
        ("python -c print() x.py", "-c"),
        ("python", ""),
    ],
)
def test_the_program_that_a_python_runs(words: str, name: str) -> None:
    assert program(words.split()) == name


def test_where_the_copys_files_come_from(tmp_path: Path) -> None:
    code = tmp_path / "src"
    code.mkdir()
    (tmp_path / "one.py").touch()
    found = sources(str(code), [str(tmp_path / "shared" / "lib")])
    assert found == {"": str(code), "lib": str(tmp_path / "shared" / "lib")}
    # the innermost first: debugpy takes the first that fits
    here = Path(os.path.realpath(tmp_path)) / "copy"
    assert mappings(here, found) == [(found["lib"], str(here / "lib")), (found[""], str(here))]
    assert sources(str(tmp_path / "one.py")) == {"": str(tmp_path)}
