"""What durable deployments have recorded last, in one file that is only ever written over.

To append to a file and to have the disk take it is a transaction of the file system, for each file; to write over a
part of one is a single write. So lines that must survive the power going are appended to their files, as all are, and
written in here as well, and it is this file that the disk is waited for. Once it is full the others are synchronised
and it begins anew. When the machine comes back, what the files lack is appended to them.

An entry is HEAD, the file's path, and the block that was appended to it.
"""

import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

SIZE = 32 * 2**20
# When this machine was started (seconds), which round of writing over it is; the lengths of path and block, where in
# the file the block begins, and the checksum of both.
HEAD = struct.Struct("!dQIIQI")
# Clocks that are set make the time of the start look like another by as much.
SAME_START_SECONDS = 60.0


def to_disk(number: int) -> None:
    """Return when the disk has what was written to the file. Raises OSError."""
    if sys.platform == "darwin":  # where fsync only reaches the disk's own memory
        import fcntl

        fcntl.fcntl(number, fcntl.F_FULLFSYNC)
    else:
        getattr(os, "fdatasync", os.fsync)(number)  # Windows has the other only


def _entry(started: float, turn: int, path: str, offset: int, block: bytes) -> bytes:
    name = os.fsencode(path)
    return HEAD.pack(started, turn, len(name), len(block), offset, zlib.crc32(block, zlib.crc32(name))) + name + block


class Journal:
    """The journal of one endpoint's gateway, the only one that writes to it."""

    def __init__(self, path: Path) -> None:
        """Open the journal, or make it; what an earlier gateway has written in it reaches the files. Raises OSError."""
        self._started = psutil.boot_time()
        self._turn = 0
        if path.exists():
            files = set()
            for started, turn, file, offset, block in _entries(path):
                self._turn = turn + 1
                files.add(file)
                if abs(started - self._started) > SAME_START_SECONDS:  # else the system has had it all the time
                    _restore(file, offset, block)
            for file in filter(Path.is_file, files):
                with file.open("r+b") as opened:
                    to_disk(opened.fileno())
        else:
            beside = path.with_name(f"{path.name}.new")
            beside.touch(0o600)
            with beside.open("wb") as made:
                made.write(bytes(SIZE))  # not a hole: to fill one would be a transaction again
                made.flush()
                to_disk(made.fileno())
            beside.replace(path)
        self.number = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        self._position = 0

    def write(self, blocks: list[tuple[str, int, bytes]]) -> bool:
        """Write down the blocks, each with its file and where it begins there; False if there is no room."""
        entries = b"".join(_entry(self._started, self._turn, *block) for block in blocks)
        if self._position + len(entries) > SIZE:
            return False
        os.lseek(self.number, self._position, os.SEEK_SET)
        self._position += len(entries)
        return os.write(self.number, entries) == len(entries)

    def begin_anew(self) -> None:
        """Forget what is in it: the disk has all the files."""
        self._turn += 1
        self._position = 0


def _entries(path: Path) -> Iterator[tuple[float, int, Path, int, bytes]]:
    """The whole entries of the last round."""
    content = memoryview(path.read_bytes())
    place, first = 0, None
    while place + HEAD.size <= len(content):
        started, turn, name_length, length, offset, checksum = HEAD.unpack_from(content, place)
        name = content[place + HEAD.size : place + HEAD.size + name_length]
        block = content[place + HEAD.size + name_length : place + HEAD.size + name_length + length]
        if not name_length or len(block) < length or zlib.crc32(block, zlib.crc32(name)) != checksum:
            return
        first = turn if first is None else first
        if turn != first:
            return  # of an earlier round
        yield started, turn, Path(os.fsdecode(bytes(name))), offset, bytes(block)
        place += HEAD.size + name_length + length


def _restore(path: Path, offset: int, block: bytes) -> None:
    """Put the block where it was, unless it is there; a file that somebody has deleted stays deleted.

    What lies there otherwise, the file system has made up, and everything behind it stands in the journal, too.
    """
    with suppress(FileNotFoundError), path.open("r+b") as file:
        file.seek(offset)
        if file.read(len(block)) != block:
            file.truncate(min(offset, file.seek(0, os.SEEK_END)))
            file.seek(0, os.SEEK_END)
            file.write(block)
