"""What an endpoint goes on collecting, read as it grows: every request once, in order, however often a reader stops.

A request is a row of `model_outputs` and the row of `model_inputs` that goes with it, which are written apart; the
first waits for the second a little, and is taken without it where that does not come. What has been read and what
waits is the reader's state, a few numbers a file: kept together with what was made of it, nothing is lost or read
twice, whenever it is killed.
"""

import heapq
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from digits.data import ink
from drift.records import reader
from drift.records.reader import INPUTS, OUTPUTS, Row

MOST = 5_000  # requests at once
PATIENCE = 5.0  # seconds that each row of model_outputs waits for its other half
# A request whose id begins like this is no user's: who asks an endpoint to test it, such as a rollout, says so by it
# (docs/rollout.md).
PROBES = "probe-"
EARLY = 10_000  # rows of model_inputs that are kept for outputs still to come


# A row of model_inputs: its key, time and columns.
_Half = tuple[str, str, Row]
# A line of a file: its time, the file by its path below the folder, where it ends, and its rows: None if spoilt.
_Line = tuple[str, str, int, list[Row] | None]


class Follower:
    """Give it a folder of records; `read` returns what is new. problems: what could not be read."""

    def __init__(self, folder: Path, endpoint: str | None = None, deployment: str | None = None) -> None:
        self.folder, self.endpoint, self.deployment = folder, endpoint, deployment
        self.offsets: dict[str, int] = {}  # of a file, by its path below the folder: how far it has been read
        self.waiting: list[tuple[Row, Row]] = []  # outputs and their inputs, {} until these come
        self.early: list[_Half] = []  # inputs whose outputs have not come, as they were read
        self.problems: list[str] = []
        self._since: list[float] = []  # when each of `waiting` was read

    def read(self, most: int = MOST, patience: float = PATIENCE) -> list[Row]:
        """At most so many further requests, in order: id, xrequestid, time, deployment and the collected columns.

        patience: seconds that each of them may have waited before it is taken without its inputs.
        Raises DataError if there is no such folder.
        """
        outputs = sorted(self._more(OUTPUTS, most - len(self.waiting)), key=lambda row: row["time"])
        self.waiting += [(row, {}) for row in outputs]
        self._since += [time.monotonic()] * len(outputs)
        if not self.waiting:
            return []
        lacking: dict[str, list[Row]] = defaultdict(list)
        for row, half in self.waiting:
            if not half:
                lacking[row["key"]].append(half)
        self.early = _pair(self.early, lacking)
        last = max(row["time"] for row, _ in self.waiting)
        # After the outputs: what was written before them is there by now.
        while lacking:
            inputs = self._more(INPUTS, most, None if self._later(last) < EARLY else last)
            if not inputs:
                break
            self.early += _pair(map(_half, inputs), lacking)
        self.early = self.early[-max(EARLY, self._later(last)) :]

        now = time.monotonic()
        ready = 0
        for (row, half), since in zip(self.waiting, self._since, strict=True):
            if not half and now - since < patience:
                break
            row.update(half)
            ready += 1
        rows = [row for row, _ in self.waiting[:ready]]
        self.waiting, self._since = self.waiting[ready:], self._since[ready:]
        return rows

    def state(self) -> dict[str, Any]:
        """All that it knows, for JSON."""
        return {"offsets": self.offsets, "waiting": self.waiting, "early": self.early}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; what waits, waits anew. Raises ValueError if it is something else."""
        try:
            offsets = {str(name): int(offset) for name, offset in state["offsets"].items()}
            waiting = [(dict(row), dict(half)) for row, half in state["waiting"]]
            early = [(str(key), str(when), dict(half)) for key, when, half in state["early"]]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"it is not what a reader of records knew ({error!r})") from error
        self.offsets, self.waiting, self.early = offsets, waiting, early
        self._since = [time.monotonic()] * len(waiting)

    def _later(self, last: str) -> int:
        """How many of `early` are as late as `last`, of those that wait: what was lost is not looked for without end.

        Older ones do not count: where outputs were lost, their inputs must not keep further ones from being read.
        """
        return sum(when >= last for _, when, _ in self.early)

    def _more(self, collection: str, most: int, before: str | None = None) -> list[Row]:
        """Some `most` further rows of a collection; of one date in order of time, whichever of its files has them.

        before: only what is older than that.
        """
        rows: list[Row] = []
        mine = reader.files(self.folder, collection, self.endpoint, self.deployment)
        for _, same in groupby(mine, lambda found: reader.dates(found[0])):
            lines = heapq.merge(*(self._lines(*found) for found in same), key=itemgetter(0))
            while len(rows) < most and (line := next(lines, None)):
                moment, name, end, more = line
                if before is not None and moment >= before:
                    break
                self.offsets[name] = end  # not of a line that was merely compared
                if more is None:
                    self.problems.append(f"{name}: a line could not be read and was left out")
                    del self.problems[20:]
                else:
                    rows += more
        return rows

    def _lines(self, file: Path, deployment: str) -> Iterator[_Line]:
        """The whole lines of a file that have not been read; a line that is being written waits."""
        name = file.relative_to(self.folder).as_posix()
        end = self.offsets.get(name, 0)
        if file.stat().st_size <= end:
            return
        for line in reader.lines(file, end, growing=True):
            record = line.object or {}
            rows = reader.rows(record, deployment)  # None of a line that cannot be read, too
            if rows is None:
                yield "", name, line.end, None
            else:
                yield str(record.get("time", "")), name, line.end, [row for row in rows if not _is_probe(row)]


def _is_probe(row: Row) -> bool:
    return row["id"].startswith(PROBES)


def _half(row: Row) -> _Half:
    return row["key"], row["time"], {name: row.get(name) for name in ink.STATISTICS}


def _pair(halves: Iterable[_Half], lacking: dict[str, list[Row]]) -> list[_Half]:
    """Give halves to what lacks them, by key; those that nothing lacks. Of an id that comes again, first to first."""
    rest = []
    for half in halves:
        if half[0] not in lacking:
            rest.append(half)
            continue
        lacking[half[0]].pop(0).update(half[2])
        if not lacking[half[0]]:
            del lacking[half[0]]
    return rest
