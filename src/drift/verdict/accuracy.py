"""What labels tell: how many digits were read right, and whether fewer of some than of others is more than luck."""

import math
from dataclasses import dataclass

import numpy as np

from digits.data.hands import source_title
from drift.records.collected import Collected

GOOD = 0.9  # an accuracy that is not bad by itself
WORSE = 0.02  # a difference in accuracy as large as this is worth retraining
LUCK = 0.05  # ... unless luck alone makes it as often as this
FEWEST = 5  # labelled digits at the beginning or the end that are compared with the rest
SHUFFLES = 999  # orders that those are compared with


@dataclass(frozen=True)
class Share:
    """How many of some labelled digits were read right."""

    right: int
    of: int

    @classmethod
    def counted(cls, right: np.ndarray) -> "Share":
        """right: bool (n,), whether each labelled digit was read right."""
        return cls(int(right.sum()), len(right))

    @property
    def value(self) -> float:
        """From 0 to 1; NaN of no digits."""
        return self.right / self.of if self.of else math.nan

    def is_worse_than(self, other: "Share") -> bool:
        """Whether it is lower by more than WORSE; not so where either is of no digits."""
        return self.value < other.value - WORSE


@dataclass(frozen=True)
class WeakSpot:
    """Digits that the model reads worse than the others. what: "Devanagari digits", "the last 40 digits".

    late: it is the last digits, whoever wrote them. sure: it is more than luck.
    """

    what: str
    share: Share
    others: Share
    late: bool = False
    sure: bool = True


def by_luck(few: Share, others: Share) -> float:
    """How likely luck alone reads so few of some right, or fewer, if all are equally hard (Fisher's exact test)."""
    from scipy.stats import hypergeom  # imported by those who need it: it takes a second

    return float(hypergeom.cdf(few.right, few.of + others.of, few.right + others.right, few.of))


def weak_spot(seen: Collected) -> WeakSpot | None:
    """The hand that is read clearly worse than the others, else the last digits if they are, else a hand that is read
    worse and not well, be it by luck; None if there is none.
    """
    known = seen.labelled
    right, source = (seen["prediction"] == seen["label"])[known], seen["source"][known]
    names = [str(name) for name in np.unique(source) if name]
    found = []
    for name in names:
        share, others = Share.counted(right[source == name]), Share.counted(right[source != name])
        luck = by_luck(share, others)
        if share.is_worse_than(others):
            sure = luck < LUCK / len(names)
            found.append((luck, WeakSpot(f"{source_title(name)} digits", share, others, sure=sure)))
    worst = min(found, key=lambda each: each[0])[1] if found else None
    if worst is not None and worst.sure:
        return worst
    return _fall(right) or (worst if worst is not None and worst.share.value < GOOD else None)


def _fall(right: np.ndarray) -> WeakSpot | None:
    """The last digits, bool (n,) in their order, if they were read clearly worse than those before.

    Where the fall is largest is compared with where it is largest in other orders of the same digits (a permutation
    test), so that it does not matter that the place was chosen.
    """
    if len(right) < 2 * FEWEST or right.all() or not right.any():
        return None
    fall, start = _largest_fall(right)
    random = np.random.default_rng(0)
    larger = sum(_largest_fall(random.permutation(right))[0] >= fall for _ in range(SHUFFLES))
    late, early = Share.counted(right[start:]), Share.counted(right[:start])
    if not late.is_worse_than(early) or (larger + 1) / (SHUFFLES + 1) > LUCK:
        return None
    return WeakSpot(f"the last {late.of:,} digits", late, early, late=True)


def _largest_fall(right: np.ndarray) -> tuple[float, int]:
    """By how many standard errors the share of right answers falls at most, and from which digit on."""
    n = len(right)
    starts = np.arange(FEWEST, n - FEWEST + 1)
    before = np.cumsum(right)[starts - 1]
    fall = before / starts - (right.sum() - before) / (n - starts)
    scaled = fall / np.sqrt(1 / starts + 1 / (n - starts))
    best = int(scaled.argmax())
    return float(scaled[best]), int(starts[best])
