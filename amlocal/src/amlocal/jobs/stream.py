"""Follows a job's log until the job ends, printing what `az ml job stream` prints."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from amlocal.jobs.record import LOG, PIPELINE_LOG, JobRecord, JobStore

POLL_SECONDS = 0.1
RUN_SECONDS = 10.0  # how long the address of a run is waited for


class Tail:
    """What has been added to a file since the last look, in whole lines.

    A progress bar ends its pictures with a carriage return; of those only the newest is given, and only to a terminal.
    """

    def __init__(self, path: Path, prefix: str, out: TextIO) -> None:
        self.path, self.prefix, self.out = path, prefix, out
        self.position = 0
        self.rest = b""

    def pump(self, last: bool = False) -> None:
        """Print what is new; `last`: also a line that has no end."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.position)
                new = file.read()
        except FileNotFoundError:
            return
        self.position += len(new)
        *lines, self.rest = (self.rest + new).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            self._print(line, "\n")
        if last and self.rest:
            self._print(self.rest, "\n")
        elif new and b"\r" in self.rest and self.out.isatty():
            self._print(self.rest, "\r")

    def _print(self, line: bytes, end: str) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r").rsplit("\r", 1)[-1]
        clear = "\x1b[K" if self.out.isatty() else ""
        encoding = self.out.encoding or "utf-8"
        shown = f"{self.prefix}{text}{clear}{end}".encode(encoding, "replace").decode(encoding)
        self.out.write(shown)
        self.out.flush()


def _logs(store: JobStore, record: JobRecord) -> Iterator[tuple[Path, str]]:
    """Every log of a job, with what its lines stand behind."""
    if record.type == "pipeline":
        yield store.log(record), ""
        names = {record.name: ""}
        for step in store.steps(record):
            if step.parent in names:
                name = f"{names[step.parent]}.{step.step}".lstrip(".")
                if step.type != "sweep":  # which tells of its trials itself
                    names[step.name] = name
                yield from _own_logs(store, step, f"{name} | ")
    else:
        yield from _own_logs(store, record, "")


def _own_logs(store: JobStore, record: JobRecord, prefix: str) -> Iterator[tuple[Path, str]]:
    log = store.folder(record.name) / LOG
    yield log, prefix
    for path in log.parent.glob("std_log_process_*.txt"):
        yield path, f"{prefix}{path.stem.rpartition('_')[2]} | "


def stream(store: JobStore, name: str, web_view: Callable[[JobRecord], str], out: TextIO = sys.stdout) -> JobRecord:
    """Print the log of a job as it grows; returns the record of how it ended.

    A pipeline's own log has one line per step; between them stand the steps' logs, each line behind its step's name.
    The processes of a distributed job have a log each, and their lines stand behind their numbers.
    """
    record = store.opened(name, RUN_SECONDS)  # nothing is logged before
    print(f"RunId: {record.name}\nWeb View: {web_view(record)}\n", file=out, flush=True)
    log = PIPELINE_LOG if record.type == "pipeline" else LOG
    title = f"Streaming {log.as_posix()}"
    print(f"{title}\n{'=' * len(title)}\n", file=out, flush=True)
    tails: dict[Path, Tail] = {}
    while True:
        record = store.get(name)
        for path, prefix in _logs(store, record):
            if path not in tails:
                tails[path] = Tail(path, prefix, out)
        for tail in tails.values():
            tail.pump(last=record.final)
        if record.final:
            break
        time.sleep(POLL_SECONDS)
    print(f"\nExecution Summary\n=================\nRunId: {record.name}", file=out)
    print(f"Web View: {web_view(record)}", file=out, flush=True)
    return record
