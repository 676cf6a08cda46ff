"""Compares what clients were answered with what the gateway has put on record."""

import json
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from endpoint_load import Load


class Records:
    """Reads what the gateway has put on record, further each time, and compares it with what clients know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.offsets: dict[Path, int] = {}
        self.seen: dict[str, Counter[str]] = {"request": Counter(), "response": Counter()}  # by the client's id
        self.answers: dict[str, tuple[str, int]] = {}  # the gateway's id and the status in `response`
        self.faults: list[str] = []
        self.lines = 0
        self.checked = 0  # of the load's good answers

    def read(self) -> "Records":
        """Take in the whole lines that have come since the last time."""
        for collection in self.seen:
            for path in sorted(self.folder.glob(f"*/{collection}/**/*.jsonl")):
                with path.open("rb") as file:
                    self._take(collection, path, file)
        return self

    def _take(self, collection: str, path: Path, file: BinaryIO) -> None:
        start = self.offsets.get(path, 0)
        file.seek(start)
        block = file.read()
        whole = block.rfind(b"\n") + 1
        self.offsets[path] = start + whole
        for line in block[:whole].splitlines():
            self._line(collection, self.seen[collection], line, path)

    def remove(self, larger: float) -> None:
        """Make room: remove files that are larger than this, and take in what was written to them until they went."""
        for collection in self.seen:
            for path in list(self.folder.glob(f"*/{collection}/**/*.jsonl")):
                if path.stat().st_size > larger:
                    with path.open("rb") as file:
                        path.unlink()
                        time.sleep(0.2)  # the gateway sees that it is gone when it writes the next time
                        self._take(collection, path, file)
                    del self.offsets[path]

    def _line(self, collection: str, seen: Counter[str], line: bytes, path: Path) -> None:
        self.lines += 1
        try:
            record = json.loads(line)
            id = record["correlationid"]
        except (ValueError, KeyError, TypeError) as error:
            self.faults.append(f"{path.name}: not a whole record ({error}): {line[:120]!r}")
            return
        seen[id] += 1
        if collection == "response":
            self.answers[id] = (record["xrequestid"], record["statuscode"])
        elif isinstance(record.get("data"), dict) and record["data"].get("id", id) != id:
            self.faults.append(f"{id}: the record holds another request: {line[-120:]!r}")

    def move(self, path: Path, to: Path) -> Path:
        """Have a file lie elsewhere; what has been read of it has been read."""
        to.parent.mkdir(parents=True)
        path.rename(to)
        with suppress(OSError):  # the folders of an hour that has not come yet
            for parent in path.parents:
                parent.rmdir()
        self.offsets[to] = self.offsets.pop(path, 0)
        return to

    def torn(self) -> list[str]:
        """Files that do not end with a whole line; only when nobody writes."""
        return [
            f"{path.name}: ends with a torn line"
            for path in self.folder.glob("*/re*/**/*.jsonl")
            if path.stat().st_size and not path.read_bytes().endswith(b"\n")
        ]

    def check(self, load: Load) -> list[str]:
        """What is wrong with what has been answered since the last time: a 200 that is not on record exactly once."""
        until = len(load.good)  # these are on record already, or never
        self.read()
        faults, self.faults = self.faults, []
        for id in load.good[self.checked : until]:
            outcome = load.outcomes[id]
            faults += [
                f"{id}: answered 200, {seen[id]} times in {name}" for name, seen in self.seen.items() if seen[id] != 1
            ]
            if self.answers.get(id, (outcome.request_id, 200)) != (outcome.request_id, 200):
                faults.append(f"{id}: answered 200 as {outcome.request_id}, on record as {self.answers[id]}")
        self.checked = until
        return faults

    def finish(self, load: Load) -> list[str]:
        """The same at the end, when nobody asks any more; and whatever is on record twice, or as half a line."""
        faults = self.check(load) + self.torn()
        for collection, seen in self.seen.items():
            faults += [f"{id}: {count} times in {collection}" for id, count in seen.items() if count > 1]
        return faults
