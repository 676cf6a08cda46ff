"""Whether, when and how the digits changed, in words: every few ticks compared with the quiet ones at the beginning.

It looks at what an endpoint sees without knowing the truth: the statistics of the ink, and the model's confidence. Of
each it asks what share of the last WINDOW digits lies above, and what share below, those of the beginning; a change is
where nearly all of them lie on one side. Labels serve afterwards: to say whose digits these were, and what they cost.
"""

from dataclasses import dataclass

import numpy as np

from digits.collected import Collected

WINDOW = 8  # ticks
REFERENCE = 20  # ticks at the beginning that are taken for normal, or a third of all where that is less
FEWEST = 30  # ticks: with fewer there is no beginning to compare with
# Cliff's delta, from 0 (the same) to 1 (wholly apart). On MNIST digits alone 0.84 is reached in 3 of 100 runs of 100
# ticks; real Japanese digits reach it after 7 ticks, Devanagari ones that come little by little after 12.
ALARM = 0.84
WORSE = 0.02  # so much less accurate during a change is worth retraining
QUIET = 0.6  # an alarm ends below this, not at once below ALARM: it should not flicker

TITLES = {"mnist": "MNIST", "devanagari": "Devanagari", "japanese": "Japanese"}
SYNTHETIC = "synthetic-"  # how digits.traffic begins the name of a source that nobody wrote

# What is watched, and how a person says that it fell or rose.
WATCHED = {
    "ink": ("written with less ink", "written with more ink"),
    "width": ("narrower", "wider"),
    "height": ("shorter", "taller"),
    "stroke": ("thinner", "thicker"),
    "grey": ("bolder", "paler"),
    "confidence": ("harder to read", "easier to read"),
}


@dataclass(frozen=True)
class Change:
    """A stretch of ticks whose digits were unlike those of the beginning; positions are indices of the ticks."""

    first: int
    seen: int  # where it became certain
    last: int
    ended: bool
    what: dict[str, tuple[float, float]]  # of WATCHED what differs most: its mean at the beginning and in the stretch
    words: list[str]  # the same, as a person says it
    source: str  # who wrote most of it
    share: float  # of its digits, this source's
    accuracy: float  # in it


@dataclass(frozen=True)
class Verdict:
    """What a person should know: a headline, what follows from it, and the changes it speaks of."""

    headline: str
    advice: str
    changes: list[Change]
    accuracy: float
    calm_accuracy: float  # outside the changes; NaN if all is change
    changed_accuracy: float  # in the changes; NaN if there is none


def judge(collected: Collected) -> Verdict:
    """The verdict on the labelled ticks of a simulation."""
    names = [name for name in WATCHED if name in collected.columns]
    table = np.column_stack([collected[name] for name in names])
    right = collected["prediction"] == collected["label"]
    calm = np.ones(len(right), bool)
    beginning = slice(0, reference(len(table)))
    changes = []
    for first, seen, last, strength in stretches(above(table)):
        inside = slice(first, last + 1)
        calm[inside] = False
        most = [k for k in np.argsort(-np.abs(strength)) if abs(strength[k]) >= QUIET][:2]
        writers, counts = np.unique(collected["source"][inside], return_counts=True)
        changes.append(
            Change(
                first=first,
                seen=seen,
                last=last,
                ended=last < len(table) - WINDOW // 2,
                what={names[k]: (float(table[beginning, k].mean()), float(table[inside, k].mean())) for k in most},
                words=[WATCHED[names[k]][int(strength[k] > 0)] for k in most],
                source=str(writers[counts.argmax()]),
                share=float(counts.max() / counts.sum()),
                accuracy=float(right[inside].mean()),
            )
        )
    calm_accuracy, changed_accuracy = _mean(right[calm]), _mean(right[~calm])
    return Verdict(
        headline=_headline(changes, len(right)),
        advice=_advice(changes, calm_accuracy, changed_accuracy, len(right)),
        changes=changes,
        accuracy=_mean(right),
        calm_accuracy=calm_accuracy,
        changed_accuracy=changed_accuracy,
    )


def reference(n: int) -> int:
    """How many of n ticks are the beginning."""
    return min(REFERENCE, max(1, n // 3))


def above(table: np.ndarray) -> np.ndarray:
    """What share of the beginning's values each value (n, k) is above, ties counted half: 0 to 1, without NaN.

    Its mean over some ticks is the Mann-Whitney statistic, so nothing is assumed of how the values are distributed.
    """
    start = table[: reference(len(table))]
    with np.errstate(invalid="ignore"):
        shares = np.column_stack(
            [
                ((x[:, None] > s).mean(axis=1) + (x[:, None] >= s).mean(axis=1)) / 2
                for x, s in zip(table.T, start.T, strict=True)
            ]
        )
    return np.where(np.isnan(table), 0.5, shares)


def stretches(shares: np.ndarray) -> list[tuple[int, int, int, np.ndarray]]:
    """The changes in what `above` gives: first, seen and last tick, and Cliff's deltas (k,) between them.

    Cliff's delta: Cliff, "Dominance statistics", Psychological Bulletin 114 (1993); here 2 * shares - 1, averaged.
    """
    n, start = len(shares), reference(len(shares))
    deltas = 2 * shares - 1
    if n < FEWEST:
        return []
    sums = np.cumsum(np.vstack([np.zeros(deltas.shape[1]), deltas]), axis=0)
    moving = np.zeros(deltas.shape)
    moving[WINDOW - 1 :] = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
    moving[:start] = 0
    loudest = np.abs(moving).max(axis=1)
    found: list[tuple[int, int, int, np.ndarray]] = []
    seen = None
    free = start  # the first tick that belongs to no earlier change
    for tick in range(start, n):
        if seen is None and loudest[tick] >= ALARM:
            seen = tick
        if seen is not None and (loudest[tick] < QUIET or tick == n - 1):
            k = int(np.abs(moving[seen]).argmax())
            one = deltas[:, k] * np.sign(moving[seen, k]) - 0.5  # above 0: rather of the change than of the beginning
            back = max(free, seen - 2 * WINDOW)
            first = seen - int(np.cumsum(one[back : seen + 1][::-1]).argmax())
            last = seen + int(np.cumsum(one[seen : tick + 1]).argmax())
            found.append((first, seen, last, deltas[first : last + 1].mean(axis=0)))
            seen, free = None, last + 1
    return found


def _headline(changes: list[Change], ticks: int) -> str:
    if ticks < FEWEST:
        return "Too few ticks to tell"
    if not changes:
        return "Nothing changed"
    who = " and ".join(dict.fromkeys(f"{title(change.source)} digits" for change in changes))
    times = {1: "", 2: " twice"}.get(len(changes), f" {len(changes)} times")
    who = who[0].upper() + who[1:]
    if all(change.ended for change in changes):
        return f"{who} came and went{times}"
    return f"{who} came{times} and stayed" if len(changes) == 1 else f"{who} came{times}, and now they stay"


def _advice(changes: list[Change], calm: float, changed: float, ticks: int) -> str:
    if ticks < FEWEST:
        return f"A change shows when there are at least {FEWEST} ticks; these are {ticks}."
    if not changes:
        return f"All {ticks} ticks look like the beginning. There is nothing to do."
    if not changed < calm - WORSE:
        return "The model reads these digits as well as the others. There is nothing to do yet; keep watching."
    told = f"The model read {changed:.0%} of them right, against {calm:.0%} of the others."
    if changes[-1].ended:
        return f"{told} Before they come again, collect and label some of them, and retrain."
    return f"{told} Label some of what was collected, and retrain now."


def title(source: str) -> str:
    """A source's name as it stands in a sentence: "MNIST", "synthetic Devanagari", or a scenario's "blurred"."""
    synthetic, name = source.startswith(SYNTHETIC), hand(source)
    return ("synthetic " if synthetic else "") + TITLES.get(name, name)


def hand(source: str) -> str:
    """Whose digits a source's are or imitate: "devanagari" for "synthetic-devanagari"."""
    return source.removeprefix(SYNTHETIC)


def _mean(right: np.ndarray) -> float:
    return float(right.mean()) if len(right) else float("nan")
