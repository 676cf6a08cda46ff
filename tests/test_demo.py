"""The demo as a newcomer runs it, twice, with what it prints tried out; afterwards nothing is left running."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A workspace of its own, taken down whatever happens."""
    folder = tmp_path / "work space"
    yield folder
    subprocess.run([sys.executable, "-m", "amlocal", "down"], env=variables(folder), check=False)


def variables(home: Path) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return {**inherited, "AMLOCAL_HOME": str(home)}


def run(command: list[str] | str, home: Path) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=variables(home),
        capture_output=True,
        text=True,
        check=False,
        shell=isinstance(command, str),
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def left_running(home: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("AMLOCAL_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.mark.timeout(900)
def test_the_demo_twice_then_down(home: Path) -> None:
    first = run([sys.executable, "demo.py"], home)
    assert "REGISTERED digits version 1" in first
    accuracy = float(re.search(r"Accuracy +([\d.]+)%", first).group(1))
    assert accuracy > 98
    synthetic = "" if os.environ.get("DIGITS_DATA") else "Synthetic "
    assert f"{synthetic}Japanese digits came and went twice" in first
    assert f"{synthetic}Devanagari digits came and stayed" in first
    reports = re.findall(r"^  (?:seasonal|external|after) +(\S.*report\.html)$", first, re.MULTILINE)
    assert len(reports) == 3 and all((ROOT / report).is_file() for report in reports)
    assert "REGISTERED digits version 2" in first and "digits: green has 100 % of the traffic" in first
    before, after = re.search(r"served +(\d+)% of 100 digits read before, (\d+)% of others", first).groups()
    assert int(after) >= int(before) + 10, "it learnt the hand that stayed"
    assert "after      Nothing changed" in first, "to who learnt it, that hand is normal"

    again = run([sys.executable, "demo.py"], home)
    assert "_train: Completed (reused from " in again
    assert "it is version 1 already, and version 2 is champion since" in again
    assert "digits: green has 100 % of the traffic" in again

    if shutil.which("curl"):
        curl = re.search(r"ask it +(curl .*)", again).group(1)
        answer = json.loads(run(["bash", "-c", curl], home))
        assert len(answer["predictions"]) == 1 and len(answer["probabilities"][0]) == 10
    credentials = "online-endpoint get-credentials -n digits --query primaryKey -o tsv"
    key = run([sys.executable, "-m", "amlocal", *credentials.split(" ")], home)
    assert key.strip() not in first + again, "a key is printed only to whoever asks for it"

    assert "endpoint digits" in run([sys.executable, "-m", "amlocal", "down"], home)
    assert left_running(home) == []
