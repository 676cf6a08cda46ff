"""The demo as a newcomer runs it, twice, with what it prints tried out; afterwards nothing is left running."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import demo
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


def run(command: list[str] | str, home: Path, both: bool = False) -> str:
    """What a command prints, with `both` on either stream; it must succeed."""
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
    return done.stdout + done.stderr * both


def left_running(home: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("AMLOCAL_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def noise(printed: str) -> list[str]:
    """The lines by which a library tells of itself."""
    words = ("INFO", "WARNING", "absl", "TensorFlow", "tensorflow", "XNNPACK", "mlflow.", ".cc:", ".py:", "is ignored")
    return [line for line in printed.splitlines() if any(word in line for word in words)]


@pytest.mark.parametrize("step", ["", "train | "])
@pytest.mark.parametrize(
    "line",
    [
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "I0000 00:00:1764477337.123456    4711 cpu_feature_guard.cc:227] This TensorFlow binary is optimized",
        "W1130 04:35:37.123456    4711 xla.py:12] no accelerator",
        "2026-11-30 04:35:37.123456: E external/local_xla/xla/cuda_fft.cc:467] Unable to register cuFFT factory",
        "To enable the following instructions: AVX2 FMA, rebuild TensorFlow with the appropriate compiler flags.",
        "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
        "2026/11/30 04:35:37 INFO mlflow.system_metrics.system_metrics_monitor: Started monitoring system metrics.",
    ],
)
def test_a_notice_of_a_library_does_not_reach_the_terminal(step: str, line: str) -> None:
    out = io.StringIO()
    demo.WithoutNotices(out).write(f"{step}{line}\n")
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    "line",
    [
        "train | [##                  ] epoch 3/30  loss 0.5832  validation 89.70%",
        "[2026-11-30 04:35:21Z] Submitting 1 runs, first five are: train:sleepy_glass_84kg0z8rdb_train",
        "gather | note: 4 images are in the prepared data already and were left out",
        'train |   File "train.py", line 12, in main',
        "train | ValueError: WARNING: is not a number",
        "train | 2026/11/30 04:35:37 ERROR mlflow.cli: the store is gone",
    ],
)
def test_what_tells_of_the_work_reaches_the_terminal(line: str) -> None:
    out = io.StringIO()
    demo.WithoutNotices(out).write(f"{line}\n")
    assert out.getvalue() == f"{line}\n"


@pytest.mark.timeout(900)
def test_the_demo_twice_then_down(home: Path) -> None:
    first = run([sys.executable, "demo.py"], home, both=True)
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

    assert noise(first) == []
    steps = "".join(log.read_text(encoding="utf-8") for log in home.rglob("jobs/*/**/std_log.txt"))
    assert "XNNPACK" in steps and "INFO mlflow." in steps, "the log of a step is complete"

    again = run([sys.executable, "demo.py"], home, both=True)
    assert noise(again) == []
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
