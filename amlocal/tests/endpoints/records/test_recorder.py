"""Collected data: what a record says, and that a file never holds half of one."""

import asyncio
import functools
import json
import os
import time
from pathlib import Path

import psutil
import pytest

from amlocal.endpoints.records import recorder as recorders


def collected(folder: Path, rolling_rate: str = "hour") -> recorders.Collected:
    return recorders.Collected(str(folder), "request", "/the/endpoint", "instance", rolling_rate)


def write(*lines: tuple) -> list[OSError | None]:
    """Have a recorder write in one turn of a loop; returns what each caller was told."""
    told: list[OSError | None] = []

    async def run() -> None:
        recorder = recorders.Recorder()
        for line in lines:
            recorder.add([line], told.append)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run())
    return told


def test_a_record_has_azures_keys(tmp_path: Path) -> None:
    line = collected(tmp_path).line(
        "an-id", 0.0, "application/json", b'{"input_data": [1.50]}', correlationid="r-1", xrequestid="x"
    )
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line) == {
        "specversion": "1.0",
        "id": "an-id",
        "source": "/the/endpoint",
        "type": "azureml.inference.request",
        "datacontenttype": "application/json",
        "time": "1970-01-01T00:00:00Z",
        "correlationid": "r-1",
        "xrequestid": "x",
        "contentrange": "bytes 0-21/22",
        "data": {"input_data": [1.5]},
    }


@pytest.mark.parametrize(
    ("body", "member", "kept", "content_type"),
    [
        (b'{"a":\n [1,\r\n 2]}', "data", {"a": [1, 2]}, "application/json"),
        (b"[123456789012345678901234567890,\n1]", "data", [123456789012345678901234567890, 1], "application/json"),
        (b'{"a": NaN}', "data", '{"a": NaN}', "text/plain"),
        ("grüße\n".encode(), "data", "grüße\n", "text/plain"),
        (b"", "data", "", "text/plain"),
        (b"\xff\xfe\n", "data_base64", "//4K", "image/png"),
        (b"[" * 5000 + b"]" * 5000, "data", "[" * 5000 + "]" * 5000, "text/plain"),
        (b"[" * 1000 + b"]" * 1000, "data", "[" * 1000 + "]" * 1000, "text/plain"),
        (
            b'{"a":' * 254 + b"1" + b"}" * 254,
            "data",
            functools.reduce(lambda a, _: {"a": a}, range(254), 1),
            "application/json",
        ),
        (b"[" + b"[1]," * 999 + b"[1]]", "data", [[1]] * 1000, "application/json"),
    ],
)
def test_any_body_fits_on_one_line(tmp_path: Path, body: bytes, member: str, kept: object, content_type: str) -> None:
    line = collected(tmp_path).line("id", 0.0, "image/png", body)
    assert line.count(b"\n") == 1 and b"\r" not in line
    record = json.loads(line)
    assert record[member] == kept
    assert record["datacontenttype"] == content_type


@pytest.mark.parametrize(
    ("rolling_rate", "folder"), [("minute", "2024/03/05/18/16"), ("hour", "2024/03/05/18"), ("day", "2024/03/05")]
)
def test_files_roll_as_asked(tmp_path: Path, rolling_rate: str, folder: str) -> None:
    assert collected(tmp_path, rolling_rate).path(1709662585.0) == str(tmp_path / folder / "instance.jsonl")


def test_lines_of_one_turn_are_all_there_when_their_writers_are_told(tmp_path: Path) -> None:
    one = collected(tmp_path)
    assert write(*[(one, b'{"n":%d}\n' % number) for number in range(100)]) == [None] * 100
    lines = Path(one.path(time.time())).read_text().splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(100))


def test_a_torn_last_line_is_cut_before_more_is_written(tmp_path: Path) -> None:
    one = collected(tmp_path)
    path = Path(one.path(time.time()))
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"n":1}\n{"n":2' + b"x" * 200_000)
    write((one, b'{"n":3}\n'))
    assert path.read_bytes() == b'{"n":1}\n{"n":3}\n'


def test_a_line_torn_in_an_earlier_hour_is_cut_too(tmp_path: Path) -> None:
    one = collected(tmp_path)
    path = Path(one.path(time.time() - 7200))
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"n":1}\n{"n":2')
    write((one, b'{"n":3}\n'))
    assert path.read_bytes() == b'{"n":1}\n'


def test_a_line_torn_before_the_clock_was_set_back_does_not_run_into_the_next(tmp_path: Path) -> None:
    """The file that is written to need not be the latest."""
    one = collected(tmp_path)
    ahead, now = Path(one.path(time.time() + 7200)), Path(one.path(time.time()))
    for path in (ahead, now):
        path.parent.mkdir(parents=True)
        path.write_bytes(b'{"n":1}\n{"n":2')
    write((one, b'{"n":3}\n'))
    assert now.read_bytes() == b'{"n":1}\n{"n":3}\n'
    assert ahead.read_bytes() == b'{"n":1}\n'


def test_a_file_that_the_clock_comes_back_to_is_cut_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = collected(tmp_path)
    start = time.time()
    later = Path(one.path(start + 7200))
    later.parent.mkdir(parents=True)
    later.write_bytes(b'{"n":1}\n{"n":2')
    (tmp_path / "9999/12/31/23").mkdir(parents=True)
    (tmp_path / "9999/12/31/23/instance.jsonl").touch()

    async def run() -> None:
        recorder = recorders.Recorder()
        for moment in (start, start + 7200):
            monkeypatch.setattr(time, "time", lambda moment=moment: moment)
            recorder.add([(one, b'{"n":3}\n')], lambda _: None)
            await asyncio.sleep(0.01)

    asyncio.run(run())
    assert later.read_bytes() == b'{"n":1}\n{"n":3}\n'


@pytest.mark.skipif(os.name == "nt", reason="a file that is open cannot be deleted there")
def test_a_deleted_folder_is_made_again(tmp_path: Path) -> None:
    import shutil

    one = collected(tmp_path / "data")

    async def run() -> None:
        recorder = recorders.Recorder()
        recorder.add([(one, b"1\n")], lambda _: shutil.rmtree(tmp_path / "data"))
        await asyncio.sleep(0.01)
        recorder.add([(one, b"2\n")], lambda _: None)
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert Path(one.path(time.time())).read_bytes() == b"2\n"


def test_what_cannot_be_written_is_told_and_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = collected(tmp_path)
    write((one, b'{"n":1}\n'))
    real, calls = os.write, []

    def full_disk(file: int, block: bytes) -> int:
        calls.append(block)
        if len(calls) == 1:
            return real(file, bytes(block)[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorders.os, "write", full_disk)
    (told,) = write((one, b'{"n":2}\n'))
    monkeypatch.undo()
    assert told is not None and told.errno == 28
    write((one, b'{"n":3}\n'))
    assert Path(one.path(time.time())).read_bytes() == b'{"n":1}\n{"n":3}\n'


def test_half_a_line_that_could_not_be_taken_back_is_cut_before_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = collected(tmp_path)
    real = os.write
    told: list[OSError | None] = []

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    async def run() -> None:
        recorder = recorders.Recorder()
        recorder.add([(one, b'{"n":1}\n')], told.append)
        await asyncio.sleep(0.001)
        monkeypatch.setattr(recorders.os, "ftruncate", broken)
        monkeypatch.setattr(
            recorders.os, "write", lambda file, block: real(file, block[:3]) if len(block) == 8 else broken()
        )
        recorder.add([(one, b'{"n":2}\n')], told.append)
        await asyncio.sleep(0.001)
        monkeypatch.undo()
        recorder.add([(one, b'{"n":3}\n')], told.append)
        await asyncio.sleep(0.001)

    asyncio.run(run())
    assert [error and error.errno for error in told] == [None, 5, None]
    assert Path(one.path(time.time())).read_bytes() == b'{"n":1}\n{"n":3}\n'


def test_the_files_of_a_deleted_deployment_are_closed(tmp_path: Path) -> None:
    one, two = collected(tmp_path / "one"), collected(tmp_path / "two")

    async def run() -> None:
        recorder = recorders.Recorder()
        recorder.add([(one, b"1\n"), (two, b"2\n")], lambda _: None)
        while not recorder.written or recorder.lag():
            await asyncio.sleep(0.001)
        recorder.keep_only({two.folder})
        opened = {each.path for each in psutil.Process().open_files()}
        assert one.path(time.time()) not in opened and two.path(time.time()) in opened

    asyncio.run(run())


class Disk:
    """Stands in for fdatasync: what it was asked to keep, in which order of events."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: bool = False) -> None:
        self.events: list[str] = []
        self.fails = fails
        monkeypatch.setattr(recorders, "to_disk", self)

    def __call__(self, file: int) -> None:
        self.events.append("disk")
        if self.fails:
            raise OSError(5, "Input/output error")


def test_a_durable_answer_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    one = recorders.Collected(str(tmp_path), "request", "/the/endpoint", "instance", "hour", durable=True)

    async def run() -> None:
        recorder = recorders.Recorder()
        done = asyncio.Event()
        recorder.add([(one, b"1\n")], lambda error: (disk.events.append(f"told {error}"), done.set()))
        await done.wait()
        assert recorder.lag() == 0

    asyncio.run(run())
    assert disk.events == ["disk", "told None"]


def test_what_the_disk_does_not_take_is_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch, fails=True)
    one = recorders.Collected(str(tmp_path), "request", "/the/endpoint", "instance", "hour", durable=True)

    async def run() -> OSError | None:
        recorder = recorders.Recorder()
        told: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
        recorder.add([(one, b"1\n")], told.set_result)
        error = await told
        assert recorder.failures == 1
        return error

    error = asyncio.run(run())
    assert error is not None and error.errno == 5


def test_the_disk_has_everything_soon_and_the_lag_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    one = collected(tmp_path)

    async def run() -> float:
        recorder = recorders.Recorder()
        start = time.monotonic()
        recorder.add([(one, b"1\n")], lambda error: disk.events.append("told"))
        await asyncio.sleep(0.001)
        assert recorder.lag() > 0
        while recorder.lag():
            await asyncio.sleep(0.001)
        return time.monotonic() - start

    took = asyncio.run(run())
    assert disk.events == ["told", "disk"]
    assert recorders.SYNC_SECONDS <= took < 5  # a busy machine; bench/soak.py tells what it is on a quiet one
