"""What durable deployments have recorded comes back after the power has gone, once, and in its place."""

import asyncio
from pathlib import Path

import psutil
import pytest

from amlocal.endpoints.records import journal as journals
from amlocal.endpoints.records import recorder as recorders
from amlocal.endpoints.records.journal import Journal

LINES = [b'{"n":%d}\n' % number for number in range(20)]


def record(folder: Path, lines: list[bytes]) -> Path:
    """Have a recorder put lines of a durable collection on record, a group each; returns their file."""
    one = recorders.Collected(str(folder / "data"), "request", "/the/endpoint", "instance", "day", durable=True)

    async def run() -> None:
        recorder = recorders.Recorder(folder / "journal")
        for line in lines:
            told: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
            recorder.add([(one, line)], told.set_result)
            assert await told is None

    asyncio.run(run())
    latest = one.latest()
    assert latest
    return latest


@pytest.fixture
def power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next recorder finds a machine that has been started anew."""
    started = psutil.boot_time()
    monkeypatch.setattr(journals, "SIZE", 2**16)
    times = iter((started, *(started + 1000 * number for number in range(1, 50))))
    monkeypatch.setattr(journals.psutil, "boot_time", lambda: next(times))


@pytest.mark.parametrize("kept", [0, 1, 9, len(LINES[0]) * 3, len(LINES[0]) * 3 + 4, len(b"".join(LINES))])
@pytest.mark.parametrize("tail", [b"", b"\0" * 30])
def test_what_the_files_lack_is_appended(tmp_path: Path, power_cut: None, kept: int, tail: bytes) -> None:
    file = record(tmp_path, LINES)
    whole = file.read_bytes()
    assert whole == b"".join(LINES)
    file.write_bytes(whole[:kept] + (tail if kept < len(whole) else b""))
    record(tmp_path, [b"after\n"])
    assert file.read_bytes() == whole + b"after\n"


def test_a_file_that_was_deleted_stays_deleted(tmp_path: Path, power_cut: None) -> None:
    file = record(tmp_path, LINES)
    file.unlink()
    record(tmp_path, [b"after\n"])
    assert file.read_bytes() == b"after\n"


def test_the_death_of_the_process_alone_changes_nothing(tmp_path: Path) -> None:
    file = record(tmp_path, LINES)
    file.write_bytes(b"somebody has tidied up\n")
    record(tmp_path, [b"after\n"])
    assert file.read_bytes() == b"somebody has tidied up\nafter\n"


def test_it_begins_anew_when_it_is_full_and_only_the_last_round_counts(tmp_path: Path, power_cut: None) -> None:
    lines = [b"%d " % number + b"x" * 1000 + b"\n" for number in range(200)]  # three times as much as it holds
    file = record(tmp_path, lines)
    assert (tmp_path / "journal").stat().st_size == 2**16
    whole = file.read_bytes()
    assert whole == b"".join(lines)
    # what was synchronised when it was full the disk has; of the rest it may have lost everything
    entries = list(journals._entries(tmp_path / "journal"))
    assert 0 < len(entries) < 65
    file.write_bytes(whole[: entries[0][3]])
    record(tmp_path, [b"after\n"])
    assert file.read_bytes() == whole + b"after\n"


def test_a_torn_entry_and_what_lies_behind_it_are_nothing(tmp_path: Path, power_cut: None) -> None:
    file = record(tmp_path, LINES)
    with (tmp_path / "journal").open("r+b") as opened:
        place = 5 * (journals.HEAD.size + len(str(file)) + len(LINES[0])) + journals.HEAD.size + 3
        opened.seek(place)
        opened.write(b"?")
    file.write_bytes(b"")
    record(tmp_path, [b"after\n"])
    assert file.read_bytes() == b"".join(LINES[:5]) + b"after\n"


def test_where_it_cannot_be_the_files_are_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(self: Journal, path: Path) -> None:
        raise OSError(28, "No space left on device")

    synced: list[int] = []
    monkeypatch.setattr(Journal, "__init__", no_room)
    monkeypatch.setattr(recorders, "to_disk", synced.append)
    assert record(tmp_path, LINES[:3]).read_bytes() == b"".join(LINES[:3])
    assert len(synced) == 3


def test_it_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    record(tmp_path, LINES[:1])
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600
