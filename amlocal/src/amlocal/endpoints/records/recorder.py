"""Collected data on disk, as Azure's data collector writes it: JSON lines in CloudEvents' keys, a file per hour.

    <collection's folder>/<yyyy>/<MM>/<dd>/<HH>/<instance>.jsonl

The keys are those of
https://learn.microsoft.com/azure/machine-learning/how-to-collect-production-data#store-collected-data-in-blob-storage.
Lines are written in groups, one write a file and turn of the loop, and an answer leaves only after its lines were:
with the operating system, they survive the death of this process. The disk has them soon after; a deployment that is
durable waits for it. This process is the only one that writes to its files.
"""

import asyncio
import base64
import os
import random
import time
import traceback
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from amlocal.endpoints.logs import say
from amlocal.endpoints.records.journal import Journal, to_disk

# What a rolling_rate makes of the time; Azure's default is the hour.
FOLDERS = {"minute": "%Y/%m/%d/%H/%M", "hour": "%Y/%m/%d/%H", "day": "%Y/%m/%d"}
# What was written is on its way to the disk after this long; with the time that the disk takes, it is there in 50 ms.
SYNC_SECONDS = 0.035
SYNC_THREADS = 8

Line = tuple["Collected", bytes]
Written = Callable[[OSError | None], None]


class Collected:
    """One collection of one deployment: how its lines begin and where they go.

    durable: whether an answer waits until the disk has its lines.
    """

    def __init__(
        self,
        folder: str,
        name: str,
        source: str,
        instance: str,
        rolling_rate: str,
        percentage: float = 100.0,
        durable: bool = False,
    ) -> None:
        self.folder = folder
        self.percentage = percentage
        self.durable = durable
        self._instance = instance
        self._rolling = FOLDERS[rolling_rate]
        self._start = b',"source":%b,"type":%b,' % (
            orjson.dumps(source),
            orjson.dumps(f"azureml.inference.{name}"),
        )
        self._minute, self._path = -1, ""

    def path(self, now: float) -> str:
        minute = int(now) // 60  # no file is shorter than that
        if minute != self._minute:
            rolled = time.strftime(self._rolling, time.gmtime(now))
            self._minute, self._path = minute, str(Path(self.folder, rolled, f"{self._instance}.jsonl"))
        return self._path

    def latest(self) -> Path | None:
        """The file that was written last, of this hour or another."""
        place = Path(self.folder)
        while place.is_dir():
            parts = sorted(each for each in place.iterdir() if each.name.isdecimal())
            if not parts:
                break
            place = parts[-1]
        file = place / f"{self._instance}.jsonl"
        return file if file.is_file() else None

    def line(self, id: str, when: float, content_type: str, body: bytes, **more: Any) -> bytes:
        """A record as one line of JSON. `body` becomes `data`: as JSON if it is that, else as text, else in base64."""
        data, content_type = _data(body, content_type)
        start = orjson.dumps(
            {
                "datacontenttype": content_type,
                "time": _written_out(int(when)),
                **more,
                "contentrange": f"bytes 0-{max(len(body) - 1, 0)}/{len(body)}",
            }
        )
        return b'{"specversion":"1.0","id":%b%b%b,%b}\n' % (orjson.dumps(id), self._start, start[1:-1], data)


@lru_cache(maxsize=8)
def _written_out(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def _data(body: bytes, content_type: str) -> tuple[bytes, str]:
    """The member of the record that holds the body, and what it is."""
    try:
        value = orjson.loads(body)
        # orjson reads what is nested 1,024 deep and writes no more than 254: Python's readers give up between the two.
        if body.count(b"[") + body.count(b"{") > 254:
            orjson.dumps(value)
        # As it came, for its numbers and the order of its keys. A line break would end the record; in JSON it is never
        # within a text.
        return b'"data":' + body.replace(b"\n", b" ").replace(b"\r", b" "), "application/json"
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # also NaN and infinity, which Python takes for JSON
        pass
    try:
        return b'"data":' + orjson.dumps(body.decode()), "text/plain"
    except UnicodeDecodeError:
        return b'"data_base64":' + orjson.dumps(base64.b64encode(body).decode()), content_type


def new_id() -> str:
    """A UUID; not drawn from the system each time, as uuid4 does, since it keeps no secret and three make a request."""
    drawn = f"{random.getrandbits(128):032x}"
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-8{drawn[17:20]}-{drawn[20:]}"


@dataclass
class File:
    """A file that is open for appending.

    dirty: it is to be synchronised soon; journaled: when the journal is full; users: how many reasons there are to keep
    it open, the first being that lines are written to it.
    """

    path: str
    number: int
    dirty: bool = False
    journaled: bool = False
    users: int = 1

    def let_go(self) -> None:
        self.users -= 1
        if not self.users:
            os.close(self.number)


@dataclass
class _Group:
    """The lines of one collection in one turn of the loop, and how writing them went."""

    collected: Collected
    lines: list[bytes] = field(default_factory=list)
    failed: OSError | None = None


class Recorder:
    """Appends lines to their files, in groups, and has the disk take them.

    written: lines so far; failures: how often the system or the disk did not take what it was given.
    """

    def __init__(self, journal: Path | None = None) -> None:
        """journal: where the one of durable collections lies, or is made when there is one."""
        self.written = self.failures = 0
        self._journal_path = journal
        self._journal: Journal | None = None
        if journal and journal.exists():
            self._open_journal()
        self._journaled: list[File] = []
        self._blocks: list[tuple[str, int, bytes]] = []  # that the journal has not been given yet
        self._unsynced: list[Written] = []  # to be told when it has them, and the disk has it
        self._journaling = False
        self._files: dict[str, File] = {}  # by the collection's folder: the one of this hour
        self._entries: list[tuple[Sequence[Line], Written]] = []
        self._dirty: list[File] = []
        self._dirty_since = 0.0
        self._syncing: list[File] = []
        self._syncing_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._threads = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="sync")

    def add(self, lines: Sequence[Line], written: Written) -> None:
        """Have `lines` written in this turn of the loop, then call `written`: with None, or with what failed.

        Where one of them is durable, `written` is called when the disk has them.
        """
        if not self._entries:
            asyncio.get_running_loop().call_soon(self._flush)
        self._entries.append((lines, written))

    def lag(self) -> float:
        """For how many seconds the disk has lacked something; 0 if it has everything."""
        since = self._syncing_since if self._syncing else self._dirty_since if self._dirty else None
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    # -- to the operating system

    def _flush(self) -> None:
        entries, self._entries = self._entries, []
        groups: dict[str, _Group] = {}
        for lines, _ in entries:
            for collected, line in lines:
                group = groups.get(collected.folder)
                if group is None:
                    group = groups[collected.folder] = _Group(collected)
                group.lines.append(line)
        now = time.time()
        for group in groups.values():
            block = b"".join(group.lines)
            try:
                file = self._file(group.collected, now)
                self._append(file, block)
                if group.collected.durable:
                    self._keep_for_journal(file, block)
                else:
                    self._keep_for_sync(file)
                self.written += len(group.lines)
            except OSError as error:
                group.failed = error
                self.failures += 1
                self._forget(group.collected.folder)  # opened again, it is cut to its last whole line
        for lines, written in entries:
            failed = next(filter(None, (groups[collected.folder].failed for collected, _ in lines)), None)
            if failed is None and any(collected.durable for collected, _ in lines):
                self._unsynced.append(written)
            else:
                _tell((written,), failed)
        self._write_journal()

    def _file(self, collected: Collected, now: float) -> File:
        """The collection's file of this hour, open; a new one if it is another hour or somebody has deleted it."""
        path = collected.path(now)
        before = self._files.get(collected.folder)
        if before is None:
            latest = collected.latest()  # nothing more may come for it, and who reads it would find the torn line
            if latest and str(latest) != path:
                os.close(open_for_append(latest))
        else:
            if before.path == path and os.fstat(before.number).st_nlink:
                return before
            self._forget(collected.folder)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = self._files[collected.folder] = File(path, open_for_append(Path(path)))
        if collected.durable:
            _synchronise_folders(Path(path), Path(collected.folder))
        return file

    def keep_only(self, folders: Container[str]) -> None:
        """Close the files of collections that are not in `folders`: nothing more will come for them."""
        for folder in [folder for folder in self._files if folder not in folders]:
            self._forget(folder)

    def _forget(self, folder: str) -> None:
        if file := self._files.pop(folder, None):
            file.let_go()

    def _append(self, file: File, block: bytes) -> None:
        """Write the block whole or not at all."""
        written = 0
        try:
            while written < len(block):
                written += os.write(file.number, block[written:] if written else block)
        except OSError:
            if written:
                os.ftruncate(file.number, os.fstat(file.number).st_size - written)
            raise

    # -- to the disk, soon

    def _keep_for_sync(self, file: File) -> None:
        if file.dirty:
            return
        file.dirty = True
        file.users += 1
        self._dirty.append(file)
        if len(self._dirty) == 1:
            self._dirty_since = asyncio.get_running_loop().time()
        if not self._timer and not self._syncing:
            self._timer = asyncio.get_running_loop().call_later(SYNC_SECONDS, self._sync)

    def _sync(self) -> None:
        self._timer = None
        files, self._dirty = self._dirty, []
        self._syncing, self._syncing_since = files, self._dirty_since
        for file in files:
            file.dirty = False
        self._in_threads([[file.number for file in files]], self._synced)

    def _synced(self, failed: OSError | None) -> None:
        if failed:
            self._complain(failed)
        for file in self._syncing:
            file.let_go()
        self._syncing = []
        if self._dirty:
            self._timer = asyncio.get_running_loop().call_later(SYNC_SECONDS, self._sync)

    # -- to the disk, before an answer leaves

    def _keep_for_journal(self, file: File, block: bytes) -> None:
        self._blocks.append((file.path, os.lseek(file.number, 0, os.SEEK_CUR) - len(block), block))
        if not file.journaled:
            file.journaled = True
            file.users += 1
            self._journaled.append(file)

    def _write_journal(self) -> None:
        """Give the journal what waits for it, and the disk the journal; where that cannot be, the files themselves."""
        if self._journaling or not self._unsynced:
            return
        self._journaling = True
        blocks, self._blocks = self._blocks, []
        waiting, self._unsynced = self._unsynced, []
        if self._journal is None:
            self._open_journal()
        journal, full = self._journal, True
        if journal:
            with suppress(OSError):
                full = not journal.write(blocks)
        files, self._journaled = (self._journaled, []) if full else ([], self._journaled)
        for file in files:
            file.journaled = False

        def done(failed: OSError | None) -> None:
            self._journaling = False
            if failed:
                self._complain(failed)
            elif full and journal:
                journal.begin_anew()
            for file in files:
                file.let_go()
            _tell(waiting, failed)
            self._write_journal()

        # files side by side: the file system then writes its own journal once for all of them
        self._in_threads([[file.number] for file in files] if full or not journal else [[journal.number]], done)

    def _open_journal(self) -> None:
        path, self._journal_path = self._journal_path, None  # where it cannot be, it is not tried again
        if path:
            try:
                self._journal = Journal(path)
            except OSError as error:
                self._complain(error)

    def _in_threads(self, parts: Sequence[Sequence[int]], done: Written) -> None:
        """Have the disk take files, each part one after the other; then call `done`, in the loop."""
        loop = asyncio.get_running_loop()
        errors: list[OSError | None] = []
        counted = count(1)

        def run(part: Sequence[int]) -> None:
            errors.append(_synchronise(part))
            if next(counted) == len(parts):  # only the last of them wakes the loop
                loop.call_soon_threadsafe(done, next(filter(None, errors), None))

        for part in parts:
            self._threads.submit(run, part)

    def _complain(self, error: OSError) -> None:
        self.failures += 1
        say(f"the disk did not take records of the last moments: {error}")


def _tell(waiting: Iterable[Written], failed: OSError | None) -> None:
    """Tell everybody, whatever one of them does."""
    for written in waiting:
        try:
            written(failed)
        except Exception:
            say(traceback.format_exc())


def _synchronise(numbers: Sequence[int]) -> OSError | None:
    failed = None
    for number in numbers:
        try:
            to_disk(number)
        except OSError as error:
            failed = error
    return failed


def _synchronise_folders(path: Path, last: Path) -> None:
    """Have the disk know of a new file and the folders that were made for it, which POSIX does not do with the file."""
    if os.name == "nt":
        return
    for folder in path.parents:
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
        if folder == last.parent:
            return


def open_for_append(path: Path) -> int:
    """Open a file of lines for appending, made if it is not there; returns its descriptor. Raises OSError.

    It is cut to its last whole line: whoever wrote the rest died in the middle of it, and answered nobody. This is
    the only way to open such a file, because any of them may be torn, not only the latest: a clock can be set back.
    """
    number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    try:
        end = size = os.lseek(number, 0, os.SEEK_END)
        while end:
            start = max(end - 65_536, 0)
            os.lseek(number, start, os.SEEK_SET)
            newline = os.read(number, end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(number, end)
    except BaseException:
        os.close(number)
        raise
    return number
