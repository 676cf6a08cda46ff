"""The project's own detector as the bench asks it: the one file here that knows drift.detect.detector.

Millions of ticks one by one would take an hour, so many streams are played at once by a few lines of NumPy that add up
what drift.detect.bets pays as the detector does; `check` holds them against the detector itself.
"""

from collections.abc import Callable

import numpy as np

from drift.detect import bets
from drift.detect.detector import MEMORY, PRIOR, Detector
from drift.detect.reference import Reference

from .exchange import Columns
from .runs import Method, Option

NAME = "**drift.detect**"
GAMMA = 10_000  # ticks between false alarms that are promised
CERTIFIED = 0.05  # the chance of ever a false alarm that is promised
TOLERANCE = 1e-6  # between the logarithms of what both own
_MOST = 1e250  # what one may own: it is an alarm long before


def known(columns: Columns, neighbours: np.ndarray) -> Reference:
    """The reference as the detector takes it."""
    return Reference({name: values.astype(float) for name, values in columns.items()}, neighbours)


def paths(reference: Reference, pool: Columns) -> Callable[[np.ndarray], np.ndarray]:
    """The logarithm of what is owned at every tick of streams, as Detector(reference, gamma=...) has it."""
    made = bets.bets(reference)
    paid = np.exp(made.logarithms(pool))
    read = pool["prediction"].astype(int)
    weights, classes = np.array(list(made.weights.values())), made.names.index("classes")
    normal = made.classes / made.classes.sum()

    def play(streams: np.ndarray) -> np.ndarray:
        rows = np.arange(len(streams))
        owned, counts = np.zeros((len(rows), len(weights))), np.zeros((len(rows), bets.CLASSES))
        evidence = np.empty(streams.shape)
        for tick in range(streams.shape[1]):
            digits = streams[:, tick]
            pays, label = paid[digits], read[digits]
            expected = (counts[rows, label] + PRIOR * normal[label]) / (counts.sum(axis=1) + PRIOR)
            pays[:, classes] = expected / made.classes[label]
            counts *= 1 - 1 / MEMORY
            counts[rows, label] += 1
            owned = np.minimum((owned + weights) * pays, _MOST)
            evidence[:, tick] = owned.sum(axis=1)
        return np.log(evidence)

    return play


def check(reference: Reference, pool: Columns, streams: np.ndarray) -> None:
    """Raise SystemExit if the detector has other evidence than `paths` up to its first alarm."""
    for stream, expected in zip(streams, paths(reference, pool)(streams), strict=True):
        detector = Detector(reference, gamma=GAMMA)
        told = detector.update({name: values[stream] for name, values in pool.items()})
        until = detector.changes[0].seen + 1 if detector.changes else len(stream)
        if not np.abs(told - expected)[:until].max() <= TOLERANCE:
            raise SystemExit(
                "detectors.ours: drift.detect.detector adds up otherwise than this bench; make them the same again"
            )


def methods(reference: Reference, pool: Columns) -> list[Method]:
    """As it is deployed, with the threshold that the promise gives; and with one that is tuned as the peers' are."""
    play = paths(reference, pool)
    promised = Option(f"gamma={GAMMA:,}", play, threshold=float(np.log(GAMMA)))
    return [
        Method(f"{NAME}, as promised", [promised], tuned=False),
        Method(f"{NAME}, tuned", [Option("threshold found", play)]),
    ]


def certified(reference: Reference, columns: Columns) -> bool:
    """Whether a detector that is certified has an alarm in a stream of such columns."""
    detector = Detector(reference, certified=CERTIFIED)
    count = len(columns["confidence"])
    for begin in range(0, count, 500):
        detector.update({name: values[begin : begin + 500] for name, values in columns.items()})
        if detector.alarms:
            return True
    return False
