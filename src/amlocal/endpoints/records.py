"""Collected data on disk, as Azure's data collector writes it: JSON lines in CloudEvents' keys, a file per hour.

    <collection's folder>/<yyyy>/<MM>/<dd>/<HH>/<instance>.jsonl

The keys are those of
https://learn.microsoft.com/azure/machine-learning/how-to-collect-production-data#store-collected-data-in-blob-storage.
Lines are written in groups, one write a file and turn of the loop, and an answer leaves only after its lines were:
with the operating system, they survive the death of this process. It is the only one that writes to its files.
"""

import asyncio
import base64
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

# What a rolling_rate makes of the time; Azure's default is the hour.
FOLDERS = {"minute": "%Y/%m/%d/%H/%M", "hour": "%Y/%m/%d/%H", "day": "%Y/%m/%d"}

Line = tuple["Collected", bytes]
Written = Callable[[OSError | None], None]


class Collected:
    """One collection of one deployment: how its lines begin and where they go."""

    def __init__(
        self, folder: str, name: str, source: str, instance: str, rolling_rate: str, percentage: float = 100.0
    ) -> None:
        self.folder = folder
        self.percentage = percentage
        self._instance = instance
        self._rolling = FOLDERS[rolling_rate]
        self._source = orjson.dumps(source)
        self._type = orjson.dumps(f"azureml.inference.{name}")

    def path(self, now: float) -> Path:
        return Path(self.folder, time.strftime(self._rolling, time.gmtime(now)), f"{self._instance}.jsonl")

    def line(self, id: str, when: float, content_type: str, body: bytes, **more: Any) -> bytes:
        """A record as one line of JSON. `body` becomes `data`: as JSON if it is that, else as text, else in base64."""
        data, content_type = _data(body, content_type)
        start = orjson.dumps(
            {
                "datacontenttype": content_type,
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)),
                **more,
                "contentrange": f"bytes 0-{max(len(body) - 1, 0)}/{len(body)}",
            }
        )
        return b'{"specversion":"1.0","id":"%b","source":%b,"type":%b,%b,%b}\n' % (
            id.encode(),
            self._source,
            self._type,
            start[1:-1],
            data,
        )


def _data(body: bytes, content_type: str) -> tuple[bytes, str]:
    """The member of the record that holds the body, and what it is."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:  # NaN and infinity, which Python takes for JSON, too
        pass
    else:
        # As it came, for its numbers and the order of its keys; only a line break would end the record.
        written = body if b"\n" not in body and b"\r" not in body else orjson.dumps(value)
        return b'"data":' + written, "application/json"
    try:
        return b'"data":' + orjson.dumps(body.decode()), "text/plain"
    except UnicodeDecodeError:
        return b'"data_base64":' + orjson.dumps(base64.b64encode(body).decode()), content_type


class Recorder:
    """Appends lines to their files, in groups."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[Path, int]] = {}  # by the collection's folder: the file of this hour, open
        self._entries: list[tuple[Sequence[Line], Written]] = []

    def add(self, lines: Sequence[Line], written: Written) -> None:
        """Have `lines` written in this turn of the loop, then call `written`: with None, or with what failed."""
        if not self._entries:
            asyncio.get_running_loop().call_soon(self._flush)
        self._entries.append((lines, written))

    def _flush(self) -> None:
        entries, self._entries = self._entries, []
        groups: dict[str, tuple[Collected, list[bytes]]] = {}
        for lines, _ in entries:
            for collected, line in lines:
                groups.setdefault(collected.folder, (collected, []))[1].append(line)
        failed: OSError | None = None
        now = time.time()
        for collected, group in groups.values():
            try:
                self._append(self._file(collected, now), b"".join(group))
            except OSError as error:
                failed = error
        for _, written in entries:
            written(failed)

    def _file(self, collected: Collected, now: float) -> int:
        """The collection's file of this hour, open; a new one if it is another hour or somebody has deleted it."""
        path = collected.path(now)
        before, file = self._files.get(collected.folder, (None, -1))
        if before == path and os.fstat(file).st_nlink:
            return file
        if before:
            del self._files[collected.folder]
            os.close(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        _cut_torn_line(file)
        self._files[collected.folder] = (path, file)
        return file

    def _append(self, file: int, block: bytes) -> None:
        """Write the block whole or not at all."""
        size = os.fstat(file).st_size
        view = memoryview(block)
        try:
            while view:
                view = view[os.write(file, view) :]
        except OSError:
            os.ftruncate(file, size)
            raise


def _cut_torn_line(file: int) -> None:
    """Cut a file to its last whole line: who wrote the rest died in the middle of it, and answered nobody."""
    end = size = os.lseek(file, 0, os.SEEK_END)
    while end:
        start = max(end - 65_536, 0)
        os.lseek(file, start, os.SEEK_SET)
        newline = os.read(file, end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
