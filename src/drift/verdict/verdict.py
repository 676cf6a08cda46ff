"""What the detector found, in words: what changed and since when, how sure that is, what it cost, what to do about it.

The detector (drift.detect) knows no labels. They serve here, where there are any: to say whose digits these were, and
how many of them were read right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digits.data import ink
from digits.data.hands import source_title
from drift.detect import detector
from drift.records.collected import Collected
from drift.verdict.accuracy import GOOD, LUCK, Share, WeakSpot, by_luck, weak_spot

CLEARLY = math.log(20)  # a statistic is named that alone is as rare as this, the two clearest at most

# What a person says of a statistic that fell or rose.
STATISTICS = {
    "ink": ("written with less ink", "written with more ink"),
    "width": ("narrower", "wider"),
    "height": ("shorter", "taller"),
    "stroke": ("thinner", "thicker"),
    "centre_x": ("further to the left", "further to the right"),
    "centre_y": ("higher up", "lower down"),
    "peak": ("fainter", "brighter"),
    "grey": ("bolder", "paler"),
}
# ... and of the other bets, where no statistic tells.
OTHERS = {
    "confidence": "harder to read",
    "distance": "unlike the training digits to the network",
    "shape": "drawn unlike any training digit",
    "together": "unlike the training digits",
    "some": "unlike the training digits, now and then",
    "classes": "in other proportions",
}
# What the evidence is of, for a table.
SCORES = {
    "shape": "how the ink lies: size, stroke, place, grey",
    "distance": "the network's features",
    "confidence": "the model's confidence",
    "classes": "which digits are read, and how often",
    "together": "all of it at once",
    "some": "some digits among many",
    **ink.STATISTICS,
}


@dataclass(frozen=True)
class DescribedChange:
    """A change that the detector found (drift.detect), in a person's terms.

    Positions are indices of the requests looked at. Where it has none among these, `last` is before `first`.
    """

    first: int  # as estimated
    seen: int  # where it became certain
    last: int  # as estimated; the last request of all while it lasts
    ended: bool
    score: str  # which bet saw it, of SCORES
    evidence: float  # the logarithm of how many normal requests one would wait for the like
    scores: dict[str, float]  # the same for each score alone
    what: dict[str, tuple[float, float]]  # of the statistics that moved: the mean outside all changes, and in this one
    words: list[str]  # the same, as a person says it
    source: str | None  # who wrote what was new in it, as far as labels tell
    share: float  # of its digits, this source's; NaN without
    accuracy: float  # in it; NaN where nothing is labelled
    labelled: int  # of its digits, how many are
    numbers: tuple[int, int, int | None]  # first, seen, last as the detector counts


@dataclass(frozen=True)
class Verdict:
    """What a person should know: a headline, what follows from it, and the changes it speaks of."""

    headline: str
    advice: str
    changes: list[DescribedChange]
    accuracy: float  # NaN where nothing is labelled, and so the next two
    calm_accuracy: float  # outside the changes
    changed_accuracy: float  # in the changes

    @property
    def standing(self) -> bool:
        """Whether the last change has not ended."""
        return bool(self.changes) and not self.changes[-1].ended


def judge(seen: Collected, changes: Sequence[detector.Change], numbers: np.ndarray, requests: int) -> Verdict:
    """The verdict on the changes that a detector found in `requests` requests, shown by some of them.

    numbers: (n,) which the detector gave to those that are `seen`, rising.
    """
    known = seen.labelled
    right = seen["prediction"] == seen["label"]
    calm = np.ones(len(seen), bool)
    stretches = [_stretch(change, numbers) for change in changes]
    for stretch in stretches:
        calm[stretch] = False
    found = [_change(seen, change, stretch, calm, numbers) for change, stretch in zip(changes, stretches, strict=True)]
    outside, inside = Share.counted(right[calm & known]), Share.counted(right[~calm & known])
    if found:
        headline, advice = _headline(found), _advice(found, outside, inside)
    else:
        weak = weak_spot(seen)
        headline, advice = _headline_unchanged(outside, weak), _advice_unchanged(outside, weak, requests)
    return Verdict(
        headline=headline,
        advice=advice,
        changes=found,
        accuracy=_mean(right[known]),
        calm_accuracy=outside.value,
        changed_accuracy=inside.value,
    )


def _stretch(change: detector.Change, numbers: np.ndarray) -> slice:
    """Where a change is among requests that the detector gave these numbers, rising."""
    start = int(np.searchsorted(numbers, change.first))
    stop = len(numbers) if change.last is None else int(np.searchsorted(numbers, change.last, side="right"))
    return slice(start, max(start, stop))


def _change(
    seen: Collected, change: detector.Change, stretch: slice, calm: np.ndarray, numbers: np.ndarray
) -> DescribedChange:
    moved = sorted(
        (name for name, value in change.scores.items() if name[:-1] in STATISTICS and value >= CLEARLY),
        key=lambda name: -change.scores[name],
    )
    # Of a statistic that both fell and rose, the clearer is told.
    moved = [name for place, name in enumerate(moved) if name[:-1] not in {other[:-1] for other in moved[:place]}][:2]
    words = [STATISTICS[name[:-1]][name[-1] == "+"] for name in moved]
    score = change.bet.partition(",")[0].rstrip("+-")
    if score == "classes":
        words = [*_proportions(seen, stretch, calm), *words][:2]
    known = seen.labelled[stretch]
    right = (seen["prediction"] == seen["label"])[stretch]
    source, share = _writer(seen, stretch, calm)
    return DescribedChange(
        first=stretch.start,
        seen=min(int(np.searchsorted(numbers, change.seen)), len(seen) - 1),
        last=stretch.stop - 1,
        ended=change.cleared is not None,
        score=score,
        evidence=change.evidence,
        scores=_by_score(change.scores),
        what={
            name[:-1]: (_mean(seen[name[:-1]][calm]), _mean(seen[name[:-1]][stretch]))
            for name in moved
            if name[:-1] in seen.columns
        },
        words=words or [OTHERS.get(score, "unlike the training digits")],
        source=source,
        share=share,
        accuracy=_mean(right[known]),
        labelled=int(known.sum()),
        numbers=(change.first, change.seen, change.last),
    )


def _by_score(evidence: dict[str, float]) -> dict[str, float]:
    """The evidence of each of SCORES, the best of its bets', the clearest first."""
    best: dict[str, float] = {}
    for name, value in evidence.items():
        score = name.partition(",")[0].rstrip("+-")
        best[score] = max(value, best.get(score, 0.0))
    return dict(sorted(best.items(), key=lambda item: -item[1]))


def _proportions(seen: Collected, stretch: slice, calm: np.ndarray) -> list[str]:
    """Which class comes far more often than outside the changes, or far less."""
    read = seen["prediction"]
    there, others = (part[~np.isnan(part)].astype(int) for part in (read[stretch], read[calm]))
    if not len(there) or not len(others):
        return [OTHERS["classes"]]
    now, before = (np.bincount(part, minlength=10) + 0.5 for part in (there, others))
    now, before = now / now.sum(), before / before.sum()
    ratio = now / before
    # What each class adds to how different the two are (Kullback and Leibler's divergence, to either side).
    gain, loss = now * np.log(ratio), -before * np.log(ratio)
    more, less = int(gain.argmax()), int(loss.argmax())
    if gain[more] >= loss[less]:
        return [f"more often a {more}"]
    return [f"hardly ever a {less}" if ratio[less] < 0.2 else f"less often a {less}"]


def _writer(seen: Collected, stretch: slice, calm: np.ndarray) -> tuple[str | None, float]:
    """The source that comes more often in a stretch than outside, the most so; and its share of the stretch."""
    writers = seen["source"]
    inside = writers[stretch]
    named = [str(name) for name in np.unique(inside) if name]
    if not named:
        return None, math.nan
    outside = writers[calm] if calm.any() else inside[:0]
    gain = {name: _mean(inside == name) - (_mean(outside == name) if len(outside) else 0) for name in named}
    most = max(gain, key=lambda name: gain[name])
    if len(outside) and gain[most] < 0.05:  # the same hands as ever
        return None, math.nan
    return most, _mean(inside == most)


def _headline_unchanged(read: Share, weak: WeakSpot | None) -> str:
    if weak is not None and weak.sure and weak.share.value < GOOD:
        return f"Nothing changed, but {'the last digits' if weak.late else weak.what} are often misread"
    return "Nothing changed, but many digits are misread" if read.value < GOOD else "Nothing changed"


def _headline(changes: list[DescribedChange]) -> str:
    sources = {change.source for change in changes}
    known = dict.fromkeys(change.source for change in changes if change.source)
    named = [f"{source_title(source)} digits" for source in known]
    times = {1: "", 2: " twice"}.get(len(changes), f" {len(changes)} times")
    if len(named) > 1:  # it is not told which came how often
        times = ""
    ended = changes[-1].ended
    if None in sources:
        if len(changes) == 1 and not ended:
            return "The digits have changed"
        return f"The digits changed{times}, then went back to normal" if ended else f"The digits changed{times}"
    if not ended and len(named) > 1:
        stay = f"{source_title(changes[-1].source or '')} digits"
        named.remove(stay)
        return _sentence(f"{' and '.join(named)} came and went, {stay} came and stayed")
    who = _sentence(" and ".join(named))
    if ended:
        return f"{who} came and went{times}"
    return f"{who} came{times} and stayed" if len(changes) == 1 else f"{who} came{times}, and now they stay"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _advice(changes: list[DescribedChange], others: Share, inside: Share) -> str:
    """What to do about changes. others: of the labelled digits outside them. inside: of those in them."""
    ended = changes[-1].ended
    if not inside.of:
        told = "Nobody has said yet what these digits are, so what the change costs is not known."
        return f"{told} Label some of them" + (", before they come again." if ended else ", then retrain.")
    told = f"The model read {inside.value:.0%} of them right"
    if not others.of:
        if inside.value >= GOOD:
            return f"{told}. Label some of the others, too, to know whether that is worse than before."
        told = f"{told}."
    else:
        told = f"{told}, against {others.value:.0%} of the others."
        if not inside.is_worse_than(others):
            if inside.value < GOOD:
                return f"{told} That is no worse, but it is not good: look at the mistakes, label more, and retrain."
            return f"{told} It reads these digits as well as the others. There is nothing to do yet; keep watching."
        if by_luck(inside, others) > LUCK:
            labelled = "Only one of them is labelled" if inside.of == 1 else f"Only {inside.of:,} of them are labelled"
            return f"{told} {labelled}, and the difference may be luck. Label more, to know whether to retrain."
    if ended:
        return f"{told} Before they come again, collect and label some of them, and retrain."
    return f"{told} Label some of what was collected, and retrain now."


def _advice_unchanged(read: Share, weak: WeakSpot | None, requests: int) -> str:
    """What to do where nothing changed. read: of all labelled digits."""
    all_of_them = "The one request looks" if requests == 1 else f"All {requests:,} requests look"
    told = f"{all_of_them} like the digits the model was tested on."
    if not read.of:
        return f"{told} There is nothing to do. How many were read right, only labels tell."
    if weak is None:
        if read.value < GOOD:
            return f"{told} Yet it read only {read.value:.0%} of them right: look at its mistakes, and label more."
        return f"{told} It read {read.value:.0%} of them right. There is nothing to do."
    if not weak.sure:
        few = f"of {weak.what} only {weak.share.value:.0%} ({weak.share.right:,} of {weak.share.of:,})"
        return (
            f"{told} It read {read.value:.0%} of them right, but {few}. That may be luck: label more of them to know."
        )
    told = (
        f"{told} Yet of {weak.what} it read {weak.share.value:.0%} right ({weak.share.right:,} of {weak.share.of:,}), "
        f"against {weak.others.value:.0%} of the {'earlier ones' if weak.late else 'others'}."
    )
    if weak.share.value >= GOOD:
        return f"{told} That is good enough to go on; more of them to learn from would help."
    if weak.late:
        return f"{told} Look at the mistakes, label more of what comes now, and retrain."
    return f"{told} It knows that hand, but not well: collect and label more of it, and retrain."


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(values.mean()) if len(values) else math.nan
