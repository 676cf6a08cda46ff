"""The tests' own shortcut: a job's Python that is forked is to the job as one that was started."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from forked import Forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only")

TELL = """
import json, mlflow, os, sys
print(json.dumps([sys.argv, sys.prefix, sys.path, os.getcwd(), os.environ["ASKED"], __name__, sys.stdout.encoding]))
print("told", file=sys.stderr)
sys.exit(3)
"""
WAIT = "import mlflow, os, time; print(os.getpid(), flush=True); time.sleep(300)"


@pytest.fixture
def python(forks: Forks, tmp_path: Path) -> Path:
    return forks.prefix(tmp_path / "a prefix")


@pytest.mark.parametrize("words", [["-c", TELL], ["tell.py"]], ids=["code", "script"])
def test_it_knows_of_itself_what_a_started_one_does(python: Path, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "tell.py").write_text(TELL)
    started = python.with_name(f"python{sys.version_info.major}.{sys.version_info.minor}")
    how = {"cwd": tmp_path, "env": {"ASKED": "é", "PYTHONUTF8": "1"}, "capture_output": True, "text": True}
    one, other = (subprocess.run([program, *words, "a b", "c"], **how) for program in (python, started))
    assert (one.stdout, one.stderr, one.returncode) == (other.stdout, other.stderr, other.returncode)
    assert one.returncode == 3 and "a b" in one.stdout


def test_it_dies_with_the_one_that_asked_for_it(python: Path) -> None:
    with subprocess.Popen([python, "-c", WAIT], stdout=subprocess.PIPE, text=True) as asked:
        forked = psutil.Process(int(asked.stdout.readline()))
        asked.kill()
    assert psutil.wait_procs([forked], timeout=60)[1] == []
