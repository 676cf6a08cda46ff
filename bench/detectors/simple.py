"""What needs no package: the rule of one anomaly, of some in a window, and BBSDs' tests of the softmax outputs."""

from collections.abc import Callable

import numpy as np

from digits.serving.score import UNSURE

from .exchange import Columns
from .ks import Windows
from .runs import Method, Option

COUNTS, SPANS = (2, 3, 4, 5, 6), (4, 6, 8, 10, 15, 20, 30)
WINDOWS = (8, 12, 16, 24)
SLOW = 300_000  # clean ticks for what sorts at every one


def methods(reference: Columns, pool: Columns) -> list[Method]:
    """They need no fitting but BBSDs, which needs the reference."""
    unsure = (pool["confidence"] < UNSURE).astype(np.int8)
    one = Option("confidence below 0.9, once", lambda streams: unsure[streams], threshold=1)
    some = [
        Option(f"{count} of {span} below 0.9", _counted(unsure, span), threshold=count)
        for span in SPANS
        for count in COUNTS
        if count <= span
    ]
    names = [f"probability_{label}" for label in range(10)]
    outputs = Windows([reference[name] for name in names], [pool[name] for name in names])
    names = [name for name in reference if name != "prediction" and not name.startswith("probability")]
    numeric = Windows([reference[name] for name in names], [pool[name] for name in names])
    return [
        Method("one anomaly (the original's rule)", [one], tuned=False),
        Method("k anomalies in m", some),
        Method("BBSDs, K-S on the softmax outputs", _windows(outputs), clean=SLOW),
        Method("the same on ink, confidence, distance", _windows(numeric), clean=SLOW),
    ]


def _counted(unsure: np.ndarray, span: int) -> Callable[[np.ndarray], np.ndarray]:
    def paths(streams: np.ndarray) -> np.ndarray:
        sums = np.cumsum(unsure[streams], axis=1, dtype=np.int32)
        sums[:, span:] -= sums[:, :-span].copy()
        return sums

    return paths


def _windows(columns: Windows) -> list[Option]:
    def option(size: int) -> Option:
        return Option(f"window of {size}", lambda streams: columns.sliding(streams, size))

    return [option(size) for size in WINDOWS]
