"""A parallel job's driver and workers, as a job's runner starts them: real processes, small scripts."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from amlocal.core.errors import UserError
from amlocal.jobs.parallel import driver as parallel
from amlocal.jobs.parallel.config import Config, split_arguments
from amlocal.jobs.parallel.mini_batches import cut
from amlocal.jobs.parallel.worker import cores

ECHO = """
from pathlib import Path

def run(mini_batch):
    return [f"{Path(path).name}: {Path(path).read_text().strip()}" for path in mini_batch]
"""


@dataclass
class Ended:
    code: int
    log: str


class Job:
    """A folder with a script and an input, and how to run them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.input = root / "input"
        self.code = root / "code"
        self.rows = root / "rows.csv"
        self.input.mkdir()
        self.code.mkdir()

    def files(self, count: int) -> None:
        for number in range(count):
            (self.input / f"{number:03}.txt").write_text(f"{number}\n")

    def start(self, script: str, kind: str = "uri_folder", **more: Any) -> "subprocess.Popen[str]":
        (self.code / "score.py").write_text(script)
        config = {
            "python": sys.executable,
            "code": str(self.code),
            "entry_script": "score.py",
            "input": {"path": str(self.input), "type": kind},
            "append_row_to": str(self.rows),
            "concurrency": 2,
            **more,
        }
        (self.root / "config.json").write_text(json.dumps(config))
        return subprocess.Popen(
            [sys.executable, parallel.__file__, str(self.root / "config.json")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, kind: str = "uri_folder", **more: Any) -> Ended:
        driver = self.start(script, kind, **more)
        log, _ = driver.communicate(timeout=60)
        return Ended(driver.returncode, log)

    def lines(self) -> list[str]:
        return self.rows.read_text().splitlines()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_rows_come_in_the_order_of_the_input_whoever_was_first(job: Job) -> None:
    job.files(9)
    late = ECHO.replace("    return", "    import time; time.sleep('000.txt' in mini_batch[0])\n    return")
    ended = job.run(late, mini_batch_size="2")
    assert ended.code == 0
    assert job.lines() == [f"{number:03}.txt: {number}" for number in range(9)]
    assert "9 files in 5 mini batches" in ended.log
    assert "5 of 5 mini batches done" in ended.log
    assert "mini batch 1 of 5: 2 items, 2 rows" in ended.log


def test_the_script_may_be_named_as_a_module(job: Job) -> None:
    job.files(1)
    package = job.code / "scoring"
    package.mkdir()
    (package / "answer.py").write_text("def answer(paths):\n    return paths\n")
    (package / "main.py").write_text("from .answer import answer\ndef run(mini_batch):\n    return answer(['a'])\n")
    assert job.run("", entry_script="scoring.main").code == 0
    assert job.lines() == ["a"]
    missing = job.run("", entry_script="scoring.gone")
    assert missing.code == 1 and "entry_script: scoring.gone does not exist in the code folder" in missing.log


def test_init_is_called_once_in_every_process_with_the_arguments_but_azures_own(job: Job) -> None:
    job.files(6)
    script = """
import os, sys
calls = []
def init():
    calls.append(os.getpid())
    print("prepared", sys.argv[1:], os.path.basename(os.getcwd()))
def run(mini_batch):
    assert calls == [os.getpid()]
    return mini_batch
def shutdown():
    print("closed")
"""
    arguments = [
        "--model",
        "m",
        "--task_overhead_timeout",
        "1200",
        "--error_threshold=5",
        "--copy_logs_to_parent",
        "True",
    ]
    ended = job.run(script, arguments=arguments)
    assert ended.code == 0, ended.log
    assert ended.log.count("prepared ['--model', 'm'] code") == ended.log.count("closed") > 0


def test_more_processes_than_cores_are_not_started_and_the_log_says_so(
    job: Job, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    config = Config("python", ".", "s.py", {"path": ".", "type": "uri_folder"}, concurrency=8)
    assert parallel._process_count(config, batches=100) == 2
    assert "8 processes are asked for, and this machine has 2 cores" in capsys.readouterr().out
    assert parallel._process_count(config, batches=1) == 1


def test_a_failing_mini_batch_is_tried_again_and_then_left(job: Job) -> None:
    job.files(3)
    script = """
def run(mini_batch):
    if "001" in mini_batch[0]:
        raise ValueError("cannot read this")
    return mini_batch
"""
    ended = job.run(script, max_retries=1)
    assert ended.code == 0
    assert len(job.lines()) == 2
    assert ended.log.count("ValueError: cannot read this") == 2
    assert "mini batch 2 of 3 failed, try 2 of 2" in ended.log
    assert "2 completed, 1 failed" in ended.log
    assert "amlocal" not in ended.log.split("Traceback")[1].split("ValueError")[0]  # the script's frames only


def test_a_thousand_failures_are_not_a_thousand_tracebacks(job: Job) -> None:
    job.files(30)
    ended = job.run("def run(mini_batch):\n    raise ValueError('again')\n", max_retries=0)
    assert ended.code == 0
    assert ended.log.count("Traceback") == 20
    assert ended.log.count("ValueError: again") == 30
    assert "0 completed, 30 failed" in ended.log


def test_a_retry_may_help(job: Job) -> None:
    job.files(1)
    script = """
from pathlib import Path
def run(mini_batch):
    mark = Path("tried")
    if not mark.exists():
        mark.touch()
        raise OSError("for a moment")
    return mini_batch
"""
    ended = job.run(script)
    assert ended.code == 0
    assert len(job.lines()) == 1


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ({"mini_batch_error_threshold": 0}, "mini batches failed, more than mini_batch_error_threshold 0"),
        ({"error_threshold": 0}, "items failed, more than error_threshold 0"),
        ({"arguments": ["--error_threshold", "0"]}, "items failed, more than error_threshold 0"),
        ({"arguments": ["--allowed_failed_percent", "10"]}, "more than allowed_failed_percent 10"),
    ],
)
def test_a_threshold_that_is_passed_fails_the_job_and_leaves_no_rows(
    job: Job, thresholds: dict[str, Any], said: str
) -> None:
    job.files(4)
    ended = job.run("def run(mini_batch):\n    return mini_batch[1:]\n", mini_batch_size="2", **thresholds)
    assert ended.code == 1
    assert said in ended.log
    assert not job.rows.exists()
    assert list(job.root.glob("*.part")) == []


def test_a_hung_mini_batch_is_ended_and_its_process_replaced(job: Job) -> None:
    job.files(3)
    script = """
import time
def run(mini_batch):
    if "000" in mini_batch[0]:
        time.sleep(60)
    return mini_batch
"""
    ended = job.run(script, timeout=0.5, max_retries=0, concurrency=1)
    assert ended.code == 0
    assert "run() took longer than 0.5 s; its process was ended" in ended.log
    assert [Path(line).name for line in job.lines()] == ["001.txt", "002.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_driver(job: Job, how: signal.Signals) -> None:
    job.files(2)
    script = """
import os, time
from pathlib import Path
def run(mini_batch):
    Path(f"{os.getpid()}.pid").touch()
    time.sleep(60)
"""
    driver = job.start(script)
    wait_for(lambda: len(list(job.code.glob("*.pid"))) == min(2, cores()))
    workers = [psutil.Process(int(file.stem)) for file in job.code.glob("*.pid")]
    driver.send_signal(how)
    assert driver.wait(20) != 0
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []


def test_a_process_that_dies_is_replaced(job: Job) -> None:
    job.files(3)
    script = """
import os, signal
def run(mini_batch):
    if "001" in mini_batch[0]:
        os.kill(os.getpid(), signal.SIGSEGV)
    return mini_batch
"""
    ended = job.run(script, max_retries=1, concurrency=1)
    assert ended.code == 0
    assert ended.log.count("its process died in run() (signal SIGSEGV)") == 2
    assert len(job.lines()) == 2


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("def init():\n    raise FileNotFoundError('no model here')\ndef run(b): pass\n", "no model here"),
        ("import nothing_like_it\n", "nothing_like_it"),
        ("def init(): pass\n", "no function run(mini_batch)"),
        ("import os\ndef init(): os._exit(4)\ndef run(b): pass\n", "its process died in init() (exit code 4)"),
    ],
)
def test_a_script_that_does_not_start_fails_the_job_at_once(job: Job, script: str, said: str) -> None:
    job.files(50)
    ended = job.run(script)
    assert ended.code == 1
    assert said in ended.log
    assert "0 of 50 mini batches done" in ended.log


def test_what_run_returns_must_be_rows(job: Job) -> None:
    job.files(1)
    ended = job.run("def run(mini_batch): pass\n", max_retries=0, mini_batch_error_threshold=0)
    assert ended.code == 1
    assert "run() returned NoneType; a list, a tuple or a DataFrame is needed" in ended.log


def test_prints_of_a_script_are_log_and_never_rows(job: Job) -> None:
    job.files(2)
    script = "import os\ndef run(mini_batch):\n    print('seen')\n    os.system('echo by a child')\n    return [1]\n"
    ended = job.run(script, concurrency=1)
    assert ended.code == 0
    assert ended.log.count("seen") == ended.log.count("by a child") == 2
    assert job.lines() == ["1", "1"]


def test_the_scripts_own_modules_are_found_and_none_of_ours(job: Job) -> None:
    job.files(1)
    (job.code / "record.py").write_text("WHOSE = 'the job'\n")
    ended = job.run("import record\ndef run(mini_batch): return [record.WHOSE]\n")
    assert ended.code == 0, ended.log
    assert job.lines() == ["the job"]


def test_rows_go_into_a_folder_under_azures_name(job: Job) -> None:
    job.files(1)
    (job.root / "out").mkdir()
    assert job.run(ECHO, append_row_to=str(job.root / "out")).code == 0
    assert (job.root / "out" / "parallel_run_step.txt").read_text() == "000.txt: 0\n"


def test_a_run_with_two_places_is_told_what_its_mini_batch_is(job: Job) -> None:
    for store in ("s=1", "s=2"):
        (job.input / store).mkdir()
        (job.input / store / "a.txt").touch()
    script = """
def run(mini_batch, mini_batch_context):
    return [f"{mini_batch_context.minibatch_index} {mini_batch_context.partition_key_value} {len(mini_batch)}"]
"""
    ended = job.run(script, partition_keys=["s"])
    assert ended.code == 0, ended.log
    assert job.lines() == ["0 {'s': '1'} 1", "1 {'s': '2'} 1"]


# --- tables ---------------------------------------------------------------------------------------------------------

READ = "transformations:\n  - read_delimited:\n      delimiter: ','\n"


def test_a_table_comes_as_data_frames_and_goes_parted_by_spaces(job: Job) -> None:
    (job.input / "MLTable").write_text("paths:\n  - file: ./t.csv\n" + READ)
    (job.input / "t.csv").write_text("a,b\n" + "".join(f"{n},word {n}\n" for n in range(10)))
    script = "def run(frame):\n    assert list(frame.index) == list(range(len(frame)))\n    return frame\n"
    ended = job.run(script, "mltable", mini_batch_size="50")
    assert ended.code == 0, ended.log
    assert "10 rows in 2 mini batches" in ended.log
    assert job.lines() == [f'{n} "word {n}"' for n in range(10)]
    assert job.run(script, "mltable", arguments=["--append_row_dataframe_header", "True"]).code == 0
    assert job.lines()[:2] == ["a b", '0 "word 0"']


def test_partition_keys_group_a_table(job: Job) -> None:
    (job.input / "MLTable").write_text("paths:\n  - pattern: ./*.csv\n" + READ)
    (job.input / "1.csv").write_text("store,brand,sold\n2,x,1\n1,y,2\n")
    (job.input / "2.csv").write_text("store,brand,sold\n1,y,4\n1,x,8\n")
    script = """
def run(frame, context):
    key = context.partition_key_value
    return [f"{key['store']}{key['brand']} {frame.sold.sum()}"]
"""
    ended = job.run(script, "mltable", partition_keys=["store", "brand"], error_threshold=0, concurrency=1)
    assert ended.code == 0, ended.log
    assert job.lines() == ["1x 8", "1y 6", "2x 1"]


# --- what needs no process ------------------------------------------------------------------------------------------


def test_azures_settings_are_taken_out_wherever_they_stand() -> None:
    own, settings = split_arguments(["--error_threshold", "5", "a", "--progress_update_timeout=600", "--lr", "1", "b"])
    assert own == ["a", "--lr", "1", "b"]
    assert settings == {"error_threshold": "5", "progress_update_timeout": "600"}


def test_a_config_says_what_it_does_not_know() -> None:
    needed = {"python": "p", "code": "c", "entry_script": "e", "input": {"path": "i", "type": "uri_folder"}}
    assert Config.from_json({**needed, "timeout": None}).timeout == 60
    with pytest.raises(UserError, match="unknown field batchsize"):
        Config.from_json({**needed, "batchsize": 1})
    with pytest.raises(UserError, match="entry_script is missing"):
        Config.from_json({name: value for name, value in needed.items() if name != "entry_script"})


def test_files_are_counted_in_all_folders_and_one_file_is_a_mini_batch(tmp_path: Path) -> None:
    for name in ("b/2", "a/1", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = cut(tmp_path, "uri_folder", "2", []).batches
    assert [[Path(path).name for path in batch.paths or []] for batch in found] == [["1", "2"], ["c"]]
    assert len(cut(tmp_path / "c", "uri_file", None, []).batches) == 1


def test_a_mini_batch_of_a_table_stays_within_a_file(tmp_path: Path) -> None:
    (tmp_path / "MLTable").write_text("paths:\n  - folder: ./\n" + READ)
    for name, rows in (("a.csv", 3), ("b.csv", 100), ("c.csv", 2)):
        (tmp_path / name).write_text("n\n" + "12345678\n" * rows)
    found = cut(tmp_path, "mltable", "500b", []).batches
    assert [batch.rows for batch in found] == [(0, 3), (3, 53), (53, 103), (103, 105)]
    assert [batch.items for batch in cut(tmp_path, "mltable", "1mb", []).batches] == [3, 100, 2]


def test_an_mltable_without_a_reader_is_a_list_of_files(tmp_path: Path) -> None:
    (tmp_path / "MLTable").write_text("paths:\n  - file: ./two.png\n  - file: ./one.png\n")
    for name in ("one.png", "two.png"):
        (tmp_path / name).touch()
    found = cut(tmp_path, "mltable", "1", [])
    assert found.table is None
    assert [batch.paths for batch in found.batches] == [[str(tmp_path / "two.png")], [str(tmp_path / "one.png")]]


@pytest.mark.parametrize(
    ("size", "kind", "said"),
    [
        ("10kb", "uri_folder", "mini_batch_size: 10kb is a size, and the input is files"),
        ("many", "uri_folder", "mini_batch_size: many is neither"),
        ("0", "uri_folder", "mini_batch_size: 0 is neither"),
        ("1", "mltable", "holds no file named MLTable"),
    ],
)
def test_an_input_that_cannot_be_cut_is_one_line(tmp_path: Path, size: str, kind: str, said: str) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(UserError, match=said):
        cut(tmp_path, kind, size, [])
