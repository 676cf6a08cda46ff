"""Bets against the digits being normal: what each pays for a request, known from the reference alone.

A bet's *e-value* for a request is at least 0 and at most 1 on average while the digits are normal, so who plays gets
rich only when they are not (Shafer, "Testing by betting", JRSS A 184, 2021; Grünwald, de Heide and Koolen, "Safe
testing", JRSS B 86, 2024). Each is a function of where a score stands among the reference's, which needs no assumption
of how it is distributed: a p-value p = (1 + how many of n are as extreme) / (n + 1), and a calibrator e * p**(e - 1)
that pays for small ones (Vovk and Wang, "E-values: calibration, combination and applications", Ann. Stat. 49, 2021).

With a finite reference that would hold on average over references, and one in two would pay too much. So every p-value
is replaced by an upper confidence limit (Clopper and Pearson) of what it estimates: a modest one (CAUTION), rank by
rank, or, `certified`, one that holds for all ranks and bets at once but for a chance that is given (Bonferroni).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drift.detect.reference import Reference

CLASSES = 10
# Each is unusual where it is large: 1 - confidence, the network's distance, and the distance of the ink (Reference).
SCORES = ("confidence", "distance", "shape")
SHARP = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7)  # calibrators for what is hardly ever seen
MILD = (0.5,)  # ... for what is only seen more often than usual
SIDES = (0.3, 0.7)  # ... for a statistic that rises or falls
FEW = 0.15  # the share of what is owned that is staked on "together" where only some digits are unusual

_ON_STATISTICS = 0.16  # staked on the statistics, shared evenly
# The risk that a limit is too low where nothing is certified; with 500 digits nearly every reference holds.
CAUTION = 0.3
ENOUGH = 500  # of fewer digits a sample misleads more, and the risk is less
CLASS_CAUTION = 0.16  # the same for how often a class comes: one standard deviation
STEP = 1.3  # how far apart the ranks are that are certified; those between have the next one's limit


def weights(statistics: Sequence[str]) -> dict[str, float]:
    """The bets on a reference with these statistics, and what each begins with; the sum is 1.

    Half is on all being unusual at once, for a sudden change is what has to be seen at once; none of it was chosen by
    looking at Devanagari or Japanese digits.
    """
    return {
        **dict.fromkeys(SCORES, 0.15),
        "together": 0.15,  # the mean of the three
        "some": 0.06,  # the same for one digit among many
        **{f"{score}, mildly": 0.04 for score in SCORES},
        **{f"{name}{side}": _ON_STATISTICS / (2 * len(statistics)) for name in statistics for side in "-+"},
        "classes": 0.06,  # which digits are read how often; what it pays depends on those before (Detector)
    }


@dataclass(frozen=True)
class Bets:
    """The bets on a reference.

    weights: what each begins with, by its name. hands: of each hand that is normal, what is paid. classes: (10,) how
    often a class may come at most.
    """

    reference: Reference
    weights: Mapping[str, float]
    hands: "tuple[_Hand, ...]"
    classes: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the bets, in the order of the columns of `logarithms`."""
        return tuple(self.weights)

    def logarithms(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """The logarithm of what each of `names` pays for n requests, (n, bets), 0 in the column "classes".

        columns: arrays (n,) as the endpoint collected them. A score that is missing (no column, or NaN) pays 1. Where
        several hands are normal, the least that is paid for any: at most 1 on average, whoever writes how often.
        """
        values = scores(columns, self.reference)
        paid = self.hands[0].logarithms(values)
        for hand in self.hands[1:]:
            paid = np.minimum(paid, hand.logarithms(values))
        return paid


@dataclass(frozen=True)
class _Hand:
    """What is paid where one hand is normal.

    tails: the row of `scores` and the direction (1: large, -1: small) that each of `known` and of the ranks is of.
    known: (tails) the reference's values, sorted. paid: (SHARP, MILD or SIDES; rank) the logarithm of what is paid by
    rank, from 0, more extreme than all n of the reference, to n; and 0 for what is missing, at n + 1.
    """

    tails: "tuple[tuple[int, int], ...]"
    known: tuple[np.ndarray, ...]
    paid: np.ndarray

    def logarithms(self, values: np.ndarray) -> np.ndarray:
        """As Bets has it, of `scores` (scores, n)."""
        missing = self.paid.shape[1] - 1
        ranks = np.empty((len(self.tails), values.shape[1]), int)
        for tail, (score, sign) in enumerate(self.tails):
            known = self.known[tail]
            if sign > 0:
                ranks[tail] = len(known) - np.searchsorted(known, values[score], side="left")
            else:
                ranks[tail] = np.searchsorted(known, values[score], side="right")
            if len(known) == 0:
                ranks[tail] = missing
        ranks[np.isnan(values[[score for score, _ in self.tails]])] = missing
        count = len(SCORES)
        sharp, mild = self.paid[0][ranks[:count]], self.paid[1][ranks[:count]]
        heard = (ranks[:count] != missing).sum(axis=0)
        together = (np.exp(sharp).sum(axis=0) - (count - heard)) / np.maximum(heard, 1)
        together = np.where(heard > 0, together, 1.0)
        some = np.log(1 - FEW + FEW * together)
        nothing = np.zeros((1, len(some)))
        rows = (sharp, np.log(together)[None], some[None], mild, self.paid[2][ranks[count:]], nothing)
        return np.concatenate(rows).T


def _tails(statistics: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Which rows of `scores` are looked at in which direction: SCORES where large, the statistics either way.

    It is the order of `weights`.
    """
    rows = range(len(SCORES), len(SCORES) + len(statistics))
    return (*((row, 1) for row in range(len(SCORES))), *((row, side) for row in rows for side in (-1, 1)))


def scores(columns: Mapping[str, np.ndarray], reference: Reference) -> np.ndarray:
    """What is looked at of n requests: (rows, n), SCORES, unusual where large, and the statistics; NaN: missing."""
    columns = reference.comparable(columns)
    table = np.full((len(SCORES) + len(reference.statistics), len(next(iter(columns.values())))), np.nan)
    if "confidence" in columns:
        table[0] = 1 - columns["confidence"]
    if "distance" in columns:
        table[1] = columns["distance"]
    table[2] = reference.unlikeness(columns)
    for row, name in enumerate(reference.statistics, len(SCORES)):
        if name in columns:
            table[row] = columns[name]
    return table


def bets(reference: Reference, certified: float | None = None) -> Bets:
    """The bets on a reference; `certified`: the chance that they are too good for it, None if on average will do."""
    hands = reference.by_hand()
    made = [_hand(hand, None if certified is None else certified / len(hands)) for hand in hands]
    begins = weights(reference.statistics)
    return Bets(reference, begins, tuple(hand for hand, _ in made), np.max([classes for _, classes in made], axis=0))


def _hand(reference: Reference, certified: float | None) -> tuple[_Hand, np.ndarray]:
    """What is paid where one hand is normal, and how often a class may come at most."""
    n = len(reference)
    # A column that the reference lacks (a model of before) is full of NaN, and says nothing.
    known = [np.sort(values[~np.isnan(values)]) for values in scores(reference.columns, reference)]
    seen = np.bincount(reference.columns["prediction"].astype(int), minlength=CLASSES)
    if certified is None:
        limits = _limits(n, CAUTION * min(1.0, n / ENOUGH) ** 0.5, np.arange(n))
        classes = _most(seen, n, CLASS_CAUTION)
    else:
        risk = certified / (len(SCORES) + 2 * len(reference.statistics) + 1)
        grid = _grid(n)
        limits = _limits(n, risk / len(grid), grid)
        classes = _most(seen, n, risk / CLASSES)
    # A calibrator pays most below the smallest of n + 1 p-values, which never comes; these may pay that much more: what
    # is paid on average is 1 where they are as likely as can be.
    likeliest = limits if certified is not None else np.arange(1, n + 2) / (n + 1)
    chances = np.diff(likeliest, prepend=0.0)
    pays = [_calibrated(limits, powers) / (chances @ _calibrated(likeliest, powers)) for powers in (SHARP, MILD, SIDES)]
    paid = np.column_stack([np.log(pays), np.zeros(3)])
    tails = _tails(reference.statistics)
    return _Hand(tails, tuple(known[score] for score, _ in tails), paid), classes


def _calibrated(p: np.ndarray, powers: tuple[float, ...]) -> np.ndarray:
    """What the mean of the calibrators e * p**(e - 1) pays for p-values."""
    return np.mean([power * p ** (power - 1) for power in powers], axis=0)


def _grid(n: int) -> np.ndarray:
    """Ranks from 0 to n - 1, the farther apart the larger they are: some thirty limits have to hold, not 10,000."""
    ranks = [0]
    while (following := max(ranks[-1] + 1, int(ranks[-1] * STEP))) < n:
        ranks.append(following)
    return np.array(ranks)


def _limits(n: int, risk: float, grid: np.ndarray) -> np.ndarray:
    """Upper limits, by rank 0 to n, of how likely a value so extreme is; each of `grid` is too low with chance `risk`.

    What exceeds all but r of n values has a probability below the (r + 1)-th smallest of n uniform ones, which has a
    beta distribution. A rank that is not in the grid has the next one's limit.
    """
    from scipy.special import betaincinv

    limits = np.append(betaincinv(grid + 1, n - grid, 1 - risk), 1.0)
    return np.append(limits[np.searchsorted(grid, np.arange(n))], 1.0)


def _most(seen: np.ndarray, n: int, risk: float) -> np.ndarray:
    """Upper limits of how often classes come that came `seen` times in n, each too low with chance `risk`."""
    from scipy.special import betaincinv

    return np.where(seen < n, betaincinv(seen + 1, np.maximum(n - seen, 1), 1 - risk), 1.0)
