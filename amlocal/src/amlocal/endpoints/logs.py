"""The logs of endpoints: kept from filling the disk, whatever a script prints, and read from their ends."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

# A log is cut when it is longer than this; of what it held, this last part stays, in another file beside it.
MOST_BYTES = 64 * 2**20
EARLIER_BYTES = 16 * 2**20
BLOCK = 2**16


def say(text: str) -> None:
    """Print a line of one's own. It lands in a log, and whoever says it must go on where the disk of that is full."""
    with suppress(OSError, ValueError):
        print(text, flush=True)


def earlier(log: Path) -> Path:
    """Where the last part of what was cut off a log lies."""
    return log.with_name(f"{log.stem}.1.log")


def keep_short(log: Path) -> None:
    """Begin a log anew once it is too long. Those that write to it append, and go on at its new end.

    What they write between the copy of the last part and the cut is lost.
    """
    with suppress(FileNotFoundError):  # deleted in this moment, or not there yet
        if log.stat().st_size <= MOST_BYTES:
            return
        try:
            _copy_end(log, earlier(log))
        except OSError:  # the disk is full already: then what is there must go, not grow
            earlier(log).unlink(missing_ok=True)
        os.truncate(log, 0)


def _copy_end(log: Path, target: Path) -> None:
    with log.open("rb") as source, target.open("wb") as copy:
        source.seek(-EARLIER_BYTES, os.SEEK_END)
        left = EARLIER_BYTES - len(source.readline(BLOCK))  # whole lines, if they are not enormous
        while left > 0 and (block := source.read(min(left, BLOCK))):  # not to the end: a writer may be faster than we
            copy.write(block)
            left -= len(block)
    shutil.copymode(log, target)


def tail(log: Path, lines: int) -> str:
    """The last `lines` lines of a log, across the place where it was cut."""
    parts: list[bytes] = []
    for path in (log, earlier(log)):
        if lines > 0:
            with suppress(FileNotFoundError):
                part = _last_lines(path, lines)
                parts.append(part)
                lines -= part.count(b"\n") + (part != b"" and not part.endswith(b"\n"))
    return b"".join(reversed(parts)).decode(errors="replace")


def _last_lines(path: Path, lines: int) -> bytes:
    blocks: list[bytes] = []
    found = 0
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END)
        while start and found <= lines:  # one more line break than lines, unless the file begins with the first of them
            size = min(BLOCK, start)
            start -= size
            file.seek(start)
            blocks.append(file.read(size))
            found += blocks[-1].count(b"\n")
    text = b"".join(reversed(blocks))
    return b"\n".join(text.split(b"\n")[-lines - text.endswith(b"\n") :])
