"""What is measured of requests for a person: which answers were unsure, and how many of late were right."""

import numpy as np

from drift.records.collected import Collected

ROLLING = 10  # digits over which accuracy is averaged
UNSURE = 0.9  # no class was as probable as this: the anomaly that digits.serving.score marks


def unsure(seen: Collected) -> np.ndarray:
    """Which requests had no class as probable as UNSURE: bool (n,)."""
    if "anomaly_largest" in seen.columns:
        return seen["anomaly_largest"] > 0
    return column(seen, "confidence") < UNSURE


def recent(right: np.ndarray) -> np.ndarray:
    """The share of right answers among the last ROLLING of each tick, or as many as there are: bool (n,) -> (n,)."""
    sums = np.cumsum([0, *right])
    start = np.maximum(np.arange(len(right)) - ROLLING + 1, 0)
    return (sums[1:] - sums[start]) / (np.arange(len(right)) - start + 1)


def column(seen: Collected, name: str) -> np.ndarray:
    """A column as it was collected, NaN where it was not."""
    return seen.columns.get(name, np.full(len(seen), np.nan))
