"""A detector with a promise: have the digits changed, since when, in what, how sure is that, and is it over?

It plays bets (drift.detect.bets) against the digits being as those of the reference, with a new stake at every request,
so that it is ready for a change whenever that comes. While nothing changes the bets lose; when what they own passes a
threshold, that is an alarm. What is promised of it needs no assumption of the digits but that one follows another by
chance:

gamma      `Detector(reference, gamma=10_000)`: between false alarms there are at least so many requests, on average.
           A stake of 1 at every request; what is owned, less how many were staked, is a martingale (the e-detector
           of Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection",
           NEJSDS 2, 2024, with Shiryaev and Roberts' sum).
certified  `Detector(reference, certified=0.05)`: the chance that there is *ever* a false alarm is at most that, the
           luck of a finite reference included. Stakes that sum to 1 over all requests to come (Ville's inequality).

The state is of some hundred numbers, whatever has been seen; `state` and `Detector.restore` keep it over restarts.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from drift.detect.bets import CLASSES, SCORES, bets
from drift.detect.reference import Reference

GAMMA = 10_000
MOST = 1.2  # what one request counts for, at the most, when a change is dated: an odd digit before it is no part of it
CLEAR = math.log(1000)  # how much more likely it must have become that a change is over
ASSUMED = (1, 5)  # requests that look ordinary, of so many, assumed of a change that is new
MEMORY = 100  # requests over which the frequencies of the classes are learned
PRIOR = 20  # requests' worth of the reference's frequencies that they begin with
KEPT = 100  # changes that are remembered
REFERENCE_RISK = 0.2  # the part of `certified` that is for a reference that happens to mislead

# In dating a change, what these bets, on the hardly ever seen, must win of every request to be winning.
_HANDICAPPED, _HANDICAP = (*SCORES, "together"), 0.5
# What a detector's state is, beside its changes.
_ARRAYS = ("owned", "rise", "since", "counts", "ordinary", "recently")
_NUMBERS = ("requests", "alarms", "began", "calm", "looked", "lately", "fall")


@dataclass
class Change:
    """A stretch of requests, counted from 0, unlike those of the reference.

    first: where it began, as estimated. seen: where the alarm was. last: where it ended, as estimated, None while it
    has not. cleared: where that became sure. bet: the name of the bet that saw it. evidence: the logarithm of how
    many normal requests one would wait for the like (gamma), or of how many times too rare it is (certified).
    scores: the evidence of each bet alone, where there is any.
    """

    first: int
    seen: int
    bet: str
    evidence: float
    scores: dict[str, float]
    last: int | None = None
    cleared: int | None = None


class Detector:
    """Give `update` what an endpoint collected, in order; `changes` is what came of it, `standing` what still lasts.

    requests: how many it has been given. alarms: how many there have been; `changes` has the last KEPT.
    """

    def __init__(self, reference: Reference, gamma: float = GAMMA, certified: float | None = None) -> None:
        """gamma: wanted requests between false alarms. certified: the chance of ever a false alarm, in its place."""
        if certified is None and not 1 < gamma < math.inf:
            raise ValueError(f"gamma is {gamma!r}; it must be a number of requests above 1")
        if certified is not None and not 0 < certified < 1:
            raise ValueError(f"certified is {certified!r}; it must be a chance between 0 and 1")
        self.gamma, self.certified = gamma, certified
        self.bets = bets(reference, None if certified is None else REFERENCE_RISK * certified)
        self._names = self.bets.names
        self._weights = np.log(list(self.bets.weights.values()))
        self._classes = self._names.index("classes")
        self._handicap = np.array([_HANDICAP if name in _HANDICAPPED else 0.0 for name in self._names])
        self.normal = self.bets.classes / self.bets.classes.sum()
        # What share of normal digits each bet loses on: they look ordinary to it.
        lost = self.bets.logarithms(reference.columns) < 0
        self.usual = np.clip(lost.mean(axis=0), 0.05, 0.95)
        self.requests = 0
        self.alarms = 0
        self.changes: list[Change] = []
        self._begin()

    def _begin(self) -> None:
        """Nothing staked, nothing won: at the start, and after a change that is over."""
        self.began = self.requests
        self.owned = np.full(len(self._names), -np.inf)  # the logarithm of what each bet owns, its weight included
        self.rise = np.zeros(len(self._names))  # what each has won, MOST a request, since it last stood lowest
        self.since = np.full(len(self._names), self.requests)  # the first request after that
        self.counts = np.zeros(CLASSES)  # of classes, older ones counting less
        # Since the alarm: how many requests each bet took for ordinary, and of how many; and the same since `calm`.
        self.ordinary, self.looked = np.full(len(self._names), float(ASSUMED[0])), ASSUMED[1]
        self.recently, self.lately = np.zeros(len(self._names)), 0
        self.fall = 0.0  # the evidence that it is over, a logarithm, since it last was 0
        self.calm = self.requests  # the first request after that

    @property
    def standing(self) -> Change | None:
        """The change that has not ended."""
        return self.changes[-1] if self.changes and self.changes[-1].cleared is None else None

    @property
    def promise(self) -> dict[str, float]:
        """What it was made with: gamma, or certified."""
        return {"gamma": self.gamma} if self.certified is None else {"certified": self.certified}

    @property
    def threshold(self) -> float:
        """The logarithm of what must be owned for an alarm."""
        if self.certified is None:
            return math.log(self.gamma)
        # After every change that is over the game begins anew, with less to lose: 1/2 + 1/6 + 1/12 + ... = 1.
        number = self.alarms + 1
        return -math.log((1 - REFERENCE_RISK) * self.certified / (number * (number + 1)))

    def update(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Findings at n further requests, arrays (n,) by name as an endpoint collects them; their evidence, (n,).

        The evidence is the natural logarithm of what is owned after each request: above the `threshold` there is an
        alarm. Columns that are missing, and NaN, count neither for nor against, nor does what another model answered.
        """
        columns = self.bets.reference.comparable(columns)
        paid = self.bets.logarithms(columns)
        read = np.asarray(columns.get("prediction", np.full(len(paid), np.nan)), float)
        evidence = np.empty(len(paid))
        for index in range(len(paid)):
            evidence[index] = self._one(paid[index], read[index])
        return evidence

    def _one(self, paid: np.ndarray, read: float) -> float:
        if 0 <= read < CLASSES:
            paid[self._classes] = self._class(int(read))
        now = self.requests
        self.requests += 1
        change = self.standing
        if change is not None:
            return self._watch(change, paid, now)
        self.owned = np.logaddexp(self.owned, self._stake()) + paid
        self.rise += np.minimum(paid, MOST) - self._handicap
        lowest = self.rise <= 0
        self.rise[lowest] = 0.0
        self.since[lowest] = now + 1
        highest = float(self.owned.max())
        total = highest + math.log(float(np.exp(self.owned - highest).sum()))
        if total >= self.threshold:
            self._alarm(now, total)
        return total

    def _stake(self) -> np.ndarray:
        """The logarithm of what is newly staked on each bet for this request."""
        if self.certified is None:
            return self._weights
        t = self.requests - self.began  # from 1; the sum over all t is 1
        return self._weights + math.log(1 / math.log(t + math.e - 1) - 1 / math.log(t + math.e))

    def _class(self, read: int) -> float:
        """What the bet on the classes' frequencies pays: it expects them as they were of late."""
        expected = (self.counts[read] + PRIOR * self.normal[read]) / (self.counts.sum() + PRIOR)
        if self.standing is None:  # of a change it keeps what it learned, or it would soon find that normal
            self.counts *= 1 - 1 / MEMORY
            self.counts[read] += 1
        return math.log(expected / self.bets.classes[read])

    def _alarm(self, now: int, total: float) -> None:
        lead = int(self.owned.argmax())
        self.alarms += 1
        del self.changes[: -KEPT + 1]
        self.changes.append(
            Change(
                first=min(int(self.since[lead]), now),
                seen=now,
                bet=self._names[lead],
                evidence=total,
                scores=self._scores(),
            )
        )
        self.calm = now + 1

    def _watch(self, change: Change, paid: np.ndarray, now: int) -> float:
        """A request while a change lasts: more evidence, or the end of it."""
        self.owned += paid
        lead = int(self.owned.argmax())
        change.bet = self._names[lead]
        change.evidence = max(change.evidence, float(self.owned[lead]))
        # That it is over is tested by how many requests look ordinary to the bet that leads: as many as of normal
        # digits, or as few as of the change so far? It is the likelihood ratio of the two, begun anew when it falls
        # below 1 (CUSUM: Page, "Continuous inspection schemes", Biometrika 41, 1954).
        usual = self._usual(lead)
        during = min(float(self.ordinary[lead]) / self.looked, 0.9 * usual)
        ordinary = paid[lead] < 0
        self.fall += math.log(usual / during if ordinary else (1 - usual) / (1 - during))
        self.recently += paid < 0
        self.lately += 1
        if self.fall <= 0:
            self.fall, self.calm = 0.0, now + 1
            self.ordinary += self.recently
            self.looked += self.lately
            self.recently, self.lately = np.zeros(len(self._names)), 0
            change.scores = self._scores()
        evidence = float(self.owned[lead])
        if self.fall >= CLEAR:
            change.last, change.cleared = self.calm - 1, now
            self._begin()
        return evidence

    def _usual(self, bet: int) -> float:
        """What share of normal digits looks ordinary to a bet."""
        if bet != self._classes:
            return float(self.usual[bet])
        expected = (self.counts + PRIOR * self.normal) / (self.counts.sum() + PRIOR)
        return float(np.clip(self.normal[expected < self.bets.classes].sum(), 0.05, 0.95))

    def _scores(self) -> dict[str, float]:
        """The evidence of each bet alone: what it would own had all been staked on it."""
        alone = self.owned - self._weights
        return {name: round(float(value), 3) for name, value in zip(self._names, alone, strict=True) if value > 0}

    def state(self) -> dict[str, Any]:
        """All that it knows, for JSON."""
        return {
            "promise": self.promise,
            # JSON has no infinity, and nobody owns less than this.
            **{key: np.maximum(getattr(self, key), -1e9).tolist() for key in _ARRAYS},
            **{key: getattr(self, key) for key in _NUMBERS},
            "changes": [asdict(change) for change in self.changes],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave. Raises ValueError if it is not of a detector of the same bets and promise."""
        try:
            if state["promise"] != self.promise:
                raise ValueError(f"it is of a detector that promised {state['promise']}, not {self.promise}")
            if len(state["owned"]) != len(self._names):
                raise ValueError("it is of a detector that made other bets")
            arrays = {key: np.array(state[key], type(getattr(self, key).flat[0])) for key in _ARRAYS}
            numbers = {key: type(getattr(self, key))(state[key]) for key in _NUMBERS}
            changes = [Change(**change) for change in state["changes"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is not the state of a detector ({error!r})") from error
        self.changes = changes
        for key, value in {**arrays, **numbers}.items():
            setattr(self, key, value)
