"""What the monitor remembers of the requests that it has followed, be they millions: enough to show and to judge."""

from collections import deque
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from drift.detect.detector import Detector
from drift.records.reader import Row

LAST = 2_000  # the last requests
OF_A_CHANGE = 200  # the first requests of every change


class Memory:
    """The last requests, the first of every change, and those that are labelled, each with its number and evidence.

    dates: of the first request of all, and of those at which a change began, was seen or ended, by their numbers.
    """

    def __init__(self, labelled: Container[str] = ()) -> None:
        """labelled: ids of requests that are kept however long ago they were."""
        self.dates: dict[int, str] = {}
        self._labelled = labelled
        self._last: deque[tuple[int, Row, float]] = deque(maxlen=LAST)
        self._kept: dict[int, tuple[int, Row, float]] = {}

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self._last)

    def add(self, rows: Sequence[Row], evidence: np.ndarray, detector: Detector) -> None:
        """Further requests, which the detector has just been given."""
        first = detector.requests - len(rows)
        new = [(first + place, row, float(evidence[place])) for place, row in enumerate(rows)]
        at_hand = [*self._last, *new]
        oldest = at_hand[0][0]
        dates = {0} if oldest == 0 else set()
        for change in detector.changes:
            start = change.first - oldest
            stop = start + OF_A_CHANGE if change.last is None else min(start + OF_A_CHANGE, change.last + 1 - oldest)
            self._kept |= {entry[0]: entry for entry in at_hand[max(0, start) : max(0, stop)]}
            dates |= {number for number in (change.first, change.seen, change.last) if number is not None}
        self._kept |= {entry[0]: entry for entry in new if entry[1]["id"] in self._labelled}
        for number in dates - self.dates.keys():
            # If that is forgotten, at least since the oldest that is not.
            self.dates[number] = at_hand[max(0, number - oldest)][1]["time"]
        if detector.alarms > len(detector.changes):  # the detector forgets, too
            since = detector.changes[0].first
            self.dates = {number: date for number, date in self.dates.items() if number in dates | {0}}
            kept = self._kept.items()
            self._kept = {n: entry for n, entry in kept if n >= since or entry[1]["id"] in self._labelled}
        self._last.extend(new)

    def recall(self) -> tuple[list[int], list[Row], np.ndarray]:
        """Numbers, rows and evidence (n,) of all that is remembered, in order."""
        known = self._kept | {entry[0]: entry for entry in self._last}
        entries = [known[number] for number in sorted(known)]
        return (
            [number for number, _, _ in entries],
            [row for _, row, _ in entries],
            np.array([e for _, _, e in entries]),
        )

    def state(self) -> dict[str, Any]:
        """What it needs to go on, for JSON: the dates, and the last request."""
        return {"dates": self.dates, "last": list(self._last)[-1:]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave. Raises ValueError if it is something else."""
        try:
            self.dates = {int(number): str(date) for number, date in state["dates"].items()}
            self._last.extend((int(number), dict(row), float(evidence)) for number, row, evidence in state["last"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is not what was remembered ({error!r})") from error
