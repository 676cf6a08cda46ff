"""What an endpoint goes on collecting, read as it grows: every request once, in order, however often a reader stops.

A request is a row of `model_outputs` and the row of `model_inputs` that goes with it, which are written apart; the
first waits for the second a little, and is taken without it where that does not come. What has been read and what
waits is the reader's state, a few numbers a file: kept together with what was made of it, nothing is lost or read
twice, whenever it is killed.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from digits import ink
from digits.collected import INPUTS, OUTPUTS, Row, files

MOST = 5_000  # requests at once
PATIENCE = 5.0  # seconds that a row of model_outputs waits for its other half
PROBES = "aml-rollout-"  # how the ids begin of what a rollout asks again: no user's requests
EARLY = 10_000  # rows of model_inputs that are kept for outputs still to come


class Follower:
    """Give it a folder of records; `read` returns what is new. problems: what could not be read."""

    def __init__(self, folder: Path, endpoint: str | None = None, deployment: str | None = None) -> None:
        self.folder, self.endpoint, self.deployment = folder, endpoint, deployment
        self.offsets: dict[str, int] = {}  # of a file, by its path below the folder: how far it has been read
        self.waiting: list[Row] = []  # outputs whose inputs have not come
        self.early: dict[str, Row] = {}  # inputs whose outputs have not come
        self.problems: list[str] = []
        self._since = time.monotonic()  # the first of `waiting` waits since then

    def read(self, most: int = MOST, patience: float = PATIENCE) -> list[Row]:
        """At most so many further requests, in order: id, xrequestid, time, deployment and the collected columns.

        patience: seconds that the first of them may have waited before it is taken without its inputs.
        Raises DataError if there is no such folder.
        """
        if not self.waiting:
            self._since = time.monotonic()
        self.waiting += sorted(self._more(OUTPUTS, most - len(self.waiting)), key=lambda row: row["time"])
        # After the outputs: what was written before them is there by now.
        while not all(row["key"] in self.early for row in self.waiting):
            inputs = self._more(INPUTS, most)
            if not inputs:
                break
            self.early.update((row["key"], {name: row.get(name) for name in ink.STATISTICS}) for row in inputs)
        late = time.monotonic() - self._since >= patience
        ready = 0
        for row in self.waiting:
            found = self.early.pop(row["key"], None)
            if found is None and not late:
                break
            row.update(found or {})
            ready += 1
        rows, self.waiting = self.waiting[:ready], self.waiting[ready:]
        if rows:
            self._since = time.monotonic()
        for key in list(self.early)[: max(0, len(self.early) - EARLY)]:
            del self.early[key]
        return rows

    def state(self) -> dict[str, Any]:
        """All that it knows, for JSON."""
        return {"offsets": self.offsets, "waiting": self.waiting, "early": self.early}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave. Raises ValueError if it is something else."""
        try:
            offsets = {str(name): int(offset) for name, offset in state["offsets"].items()}
            waiting, early = [dict(row) for row in state["waiting"]], dict(state["early"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"it is not what a reader of records knew ({error!r})") from error
        self.offsets, self.waiting, self.early = offsets, waiting, early

    def _more(self, collection: str, most: int) -> list[Row]:
        """Some `most` further rows of a collection."""
        rows: list[Row] = []
        for file, deployment in files(self.folder, collection, self.endpoint):
            if self.deployment in (None, deployment):
                rows += self._rest(file, deployment, most - len(rows))
        return rows

    def _rest(self, file: Path, deployment: str, most: int) -> list[Row]:
        """Rows of the whole lines of a file that have not been read; a line that is being written waits."""
        name = file.relative_to(self.folder).as_posix()
        offset = self.offsets.get(name, 0)
        rows: list[Row] = []
        if most <= 0 or file.stat().st_size <= offset:
            return rows
        with file.open("rb") as source:
            source.seek(offset)
            while len(rows) < most and (line := source.readline()).endswith(b"\n"):
                offset += len(line)
                rows += self._rows(line, name, deployment)
        self.offsets[name] = offset
        return rows

    def _rows(self, line: bytes, name: str, deployment: str) -> list[Row]:
        try:
            record = json.loads(line)
            data = record["data"]
            rows = [row for row in data if isinstance(row, dict)]
        except (ValueError, RecursionError, KeyError, TypeError):
            self.problems.append(f"{name}: a line could not be read and was left out")
            del self.problems[20:]
            return []
        found: list[Row] = []
        for row in rows:
            id = str(row.get("correlationid") or record.get("correlationid") or record.get("xrequestid") or "")
            # Of a request with several images the first row of one collection goes with the first of the other.
            number = sum(other["id"] == id for other in found)
            if id.startswith(PROBES):
                continue
            about = {"id": id, "key": f"{id} {number}", "time": str(record.get("time", "")), "deployment": deployment}
            found.append({**row, **about, "xrequestid": str(row.get("xrequestid") or record.get("xrequestid") or "")})
        return found
