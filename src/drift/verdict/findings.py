"""What the monitor looked at and what came of it: what the report, MLflow and verdict.json are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from drift.detect.detector import Detector
from drift.records.collected import Collected
from drift.verdict.verdict import Verdict


@dataclass(frozen=True)
class Findings:
    """What was looked at and what came of it; all arrays are of the same requests.

    evidence: (n,) the natural logarithm of the detector's after each. surprise: (n,) how much each alone speaks
    against being normal. detector: with its promise and threshold. numbers: (n,) the detector's of these requests,
    rising, of many some. dates: when the first request of all was, and when changes began, were seen and ended, by the
    number of the request. addresses: (n,) where each request's MLflow run is looked at, none where that is not known.
    """

    seen: Collected
    verdict: Verdict
    evidence: np.ndarray
    surprise: np.ndarray
    detector: Detector
    numbers: np.ndarray
    dates: Mapping[int, str] = field(default_factory=dict)
    addresses: Sequence[str] = ()

    def when(self, number: int) -> tuple[int, str]:
        """Tick and date of a request by the detector's number."""
        place = min(int(np.searchsorted(self.numbers, number)), len(self.seen) - 1)
        if self.numbers[place] == number:
            return int(self.seen["tick"][place]), str(self.seen["date"][place])
        return number, self.dates.get(number, str(self.seen["date"][place]))

    @property
    def requests(self) -> int:
        """How many there were, of which these are all, or some."""
        return self.detector.requests


def most_unlike(findings: Findings, count: int) -> np.ndarray:
    """Indices of the requests in changes that are most unlike the reference, worst first: those worth labelling.

    As many of every change, as far as there are.
    """
    places: dict[int, int] = {}  # of each request its place among its change's, the worst being 0
    for change in findings.verdict.changes:
        inside = np.arange(change.first, change.last + 1)
        worst = inside[np.argsort(-findings.surprise[inside], kind="stable")]
        places |= {int(index): place for place, index in enumerate(worst[findings.surprise[worst] > 0])}
    chosen = sorted(places, key=lambda index: (places[index], -findings.surprise[index]))[:count]
    return np.array(sorted(chosen, key=lambda index: -findings.surprise[index]), int)
