"""The detector: what it promises of false alarms, how soon it sees a change, when it began, and when it is over."""

import itertools
import json

import numpy as np
import pytest

from digits.data import ink
from drift.detect import bets
from drift.detect.detector import Detector
from drift.detect.reference import Reference

Columns = dict[str, np.ndarray]


def drawn(n: int, seed: int, **moved: float) -> Columns:
    """n requests of no network's: every column bell-shaped, all classes alike; `moved` adds to columns."""
    random = np.random.default_rng(seed)
    columns = {name: random.normal(10, 1, n) + moved.get(name, 0) for name in (*ink.STATISTICS, "distance")}
    columns["confidence"] = 1 - random.beta(1, 30, n) ** (1 / (1 + moved.get("doubt", 0)))
    return columns | {"prediction": random.integers(0, 10, n).astype(float)}


def known(n: int, seed: int = 1000) -> Reference:
    columns = drawn(n, seed)
    neighbours = drawn(500, seed + 1)
    return Reference(columns, np.column_stack([neighbours[name] for name in ink.STATISTICS]))


def joined(*parts: Columns) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def cut(columns: Columns, start: int, stop: int | None = None) -> Columns:
    return {name: values[start:stop] for name, values in columns.items()}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return known(2000)


# --- the promise ---


def test_the_weights_are_what_one_begins_with() -> None:
    assert sum(bets.weights(tuple(ink.STATISTICS)).values()) == pytest.approx(1)


@pytest.mark.parametrize("certified", [None, 0.01])
def test_while_nothing_changes_no_bet_wins(reference: Reference, certified: float | None) -> None:
    """On average over fresh requests a bet pays at most 1; certified, on this very reference."""
    paid = np.exp(bets.bets(reference, certified).logarithms(drawn(100_000, seed=7)))
    assert paid.mean(axis=0).max() <= (1.08 if certified is None else 1)
    assert paid.min() > 0


@pytest.mark.parametrize("n", [500, 5000])
def test_false_alarms_are_as_rare_as_promised(n: int) -> None:
    """gamma = 1,000: at most 30 in 30,000 requests, whatever the reference's size; the rate does not hang on luck."""
    detector = Detector(known(n), gamma=1000)
    detector.update(drawn(30_000, seed=3))
    assert detector.alarms <= 30


def test_certified_means_ever(reference: Reference) -> None:
    """With a chance of 20 % for a false alarm in a whole life, 60 lives see some dozen at the most."""
    alarmed = 0
    for life in range(60):
        detector = Detector(known(300, seed=life), certified=0.2)
        detector.update(drawn(800, seed=5000 + life))
        alarmed += detector.alarms > 0
    assert alarmed <= 18  # 12 expected if it were used up; more than 18 in 60 have a chance of 3 %


def test_a_promise_costs_patience(reference: Reference) -> None:
    stream = joined(drawn(100, seed=4), drawn(100, seed=5, ink=3))
    delays = []
    for promise in ({"gamma": 1000}, {"gamma": 1_000_000}, {"certified": 0.001}):
        detector = Detector(reference, **promise)
        detector.update(stream)
        delays.append(next(change.seen for change in detector.changes if change.seen >= 100) - 100)
    assert delays == sorted(delays) and delays[0] < delays[-1]


@pytest.mark.parametrize("promise", [{"gamma": 1}, {"gamma": float("nan")}, {"certified": 0}, {"certified": 1}])
def test_a_promise_that_means_nothing_is_refused(reference: Reference, promise: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Detector(reference, **promise)


# --- what it sees ---

CHANGES = {
    "all at once": ({"ink": 4, "stroke": 4, "distance": 4}, 4),
    "the network alone": ({"distance": 5}, 5),
    "one statistic, clearly": ({"width": 4}, 6),
    "one statistic, a little": ({"stroke": 1}, 60),
    "doubt": ({"doubt": 6}, 60),
}


@pytest.mark.parametrize(("moved", "within"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen_soon_and_its_beginning_is_known(reference: Reference, moved, within: int) -> None:
    delays, errors = [], []
    for seed in range(9):
        detector = Detector(reference)
        detector.update(joined(drawn(200, seed), drawn(200, 100 + seed, **moved)))
        (change, *_) = (change for change in detector.changes if change.seen >= 200)
        delays.append(change.seen - 199)
        errors.append(abs(change.first - 200))
    assert np.median(delays) <= within
    assert np.median(errors) <= max(2, within / 4)


@pytest.mark.parametrize(("column", "amount", "bet"), [("stroke", -2, "stroke-"), ("height", 2, "height+")])
def test_it_says_what_moved(reference: Reference, column: str, amount: float, bet: str) -> None:
    detector = Detector(reference)
    detector.update(joined(drawn(200, 1), drawn(60, 2, **{column: amount})))
    (change,) = detector.changes
    statistics = {name: value for name, value in change.scores.items() if name[:-1] in ink.STATISTICS}
    assert max(statistics, key=lambda name: statistics[name]) == bet


def test_classes_in_other_proportions_are_seen_though_every_digit_is_normal(reference: Reference) -> None:
    stream = joined(drawn(300, 1), drawn(400, 2))
    later = slice(300, None)
    stream["prediction"][later] = np.where(stream["prediction"][later] < 4, 7, stream["prediction"][later])
    detector = Detector(reference)
    detector.update(stream)
    (change,) = detector.changes
    assert change.bet == "classes" and 290 <= change.first <= change.seen < 400


def test_a_season_is_over_when_it_is_over(reference: Reference) -> None:
    season = {"ink": 4, "stroke": 4}
    parts = [drawn(100, 1), drawn(30, 2, **season), drawn(50, 3), drawn(30, 4, **season), drawn(60, 5)]
    detector = Detector(reference)
    detector.update(joined(*parts))
    first, second = detector.changes
    assert detector.standing is None
    for change, start, end in ((first, 100, 129), (second, 180, 209)):
        assert abs(change.first - start) <= 2 and change.seen - start <= 4
        assert abs(change.last - end) <= 1 and change.cleared - end <= 16


def test_what_stays_stands(reference: Reference) -> None:
    detector = Detector(reference)
    evidence = detector.update(joined(drawn(100, 1), drawn(1000, 2, ink=4, distance=4)))
    assert detector.standing is detector.changes[-1] and len(detector.changes) == 1
    assert np.isfinite(evidence).all() and evidence[-1] > 1000, "no number overflows"
    assert (evidence[:100] < detector.threshold).all()


def test_several_hands_are_normal_however_often_each_writes() -> None:
    """A model that learnt another hand: neither is a change, alone or together; a third is."""
    hands = drawn(2000, 1000), drawn(400, 1001, ink=6, stroke=4, distance=5)
    neighbours = joined(drawn(300, 1002), drawn(300, 1003, ink=6, stroke=4, distance=5))
    both = Reference(
        joined(*hands),
        np.column_stack([neighbours[name] for name in ink.STATISTICS]),
        np.repeat([0, 1], [2000, 400]),
    )
    second = {"ink": 6, "stroke": 4, "distance": 5}
    detector = Detector(both)
    for seed in range(3):
        detector.update(joined(drawn(500, seed), drawn(500, 10 + seed, **second), drawn(200, 20 + seed)))
    assert detector.alarms == 0
    detector.update(drawn(60, 30, ink=-6, distance=9))
    assert detector.alarms == 1 and detector.changes[0].seen < 3600 + 15
    alone = Detector(known(2000))
    alone.update(drawn(60, 10, **second))
    assert alone.alarms == 1, "which who knows only the first hand takes for a change"


def test_of_a_hand_of_which_little_is_known_the_promise_holds_too() -> None:
    """gamma = 1,000 over six small samples: at most 24 alarms in 24,000 requests of that hand alone."""
    second, alarms = {"ink": 6, "stroke": 4}, 0
    for seed in range(6):
        table = joined(drawn(600, seed), drawn(22, 100 + seed, **second))
        neighbours = joined(drawn(300, 200 + seed), drawn(20, 300 + seed, **second))
        few = Reference(
            table, np.column_stack([neighbours[name] for name in ink.STATISTICS]), np.repeat([0, 1], [600, 22])
        )
        detector = Detector(few, gamma=1000)
        detector.update(drawn(4000, 400 + seed, **second))
        alarms += detector.alarms
    assert alarms <= 24


def test_missing_columns_say_nothing(reference: Reference) -> None:
    only = {"confidence": drawn(500, 1)["confidence"]}
    detector = Detector(reference)
    detector.update(only)
    assert detector.alarms == 0 and detector.requests == 500
    stream = joined(drawn(100, 1), drawn(50, 2, distance=6))
    stream["distance"][:100] = np.nan
    stream["ink"][:] = np.nan
    detector = Detector(reference)
    detector.update(stream)
    assert [change.bet for change in detector.changes] in (["distance"], ["together"])


# --- what it keeps ---


def test_it_goes_on_where_it_was(reference: Reference) -> None:
    """Whether it is given all at once, one by one, or stops and is restored from JSON at any moment."""
    season = {"ink": 4}
    stream = joined(drawn(120, 1), drawn(20, 2, **season), drawn(40, 3), drawn(20, 4, **season))
    whole = Detector(reference, certified=0.05)
    expected = whole.update(stream)
    pieces = Detector(reference, certified=0.05)
    found = []
    cuts = [0, 1, 2, 50, 121, 122, 123, 124, 125, 139, 140, 145, 150, 199, 200]
    for start, stop in itertools.pairwise(cuts):
        kept = json.loads(json.dumps(pieces.state()))
        pieces = Detector(reference, certified=0.05)
        pieces.restore(kept)
        found.append(pieces.update(cut(stream, start, stop)))
    np.testing.assert_array_equal(np.concatenate(found), expected)
    assert pieces.changes == whole.changes and len(whole.changes) == 2


def test_its_state_does_not_grow(reference: Reference) -> None:
    detector = Detector(reference)
    sizes = []
    for seed in range(3):
        detector.update(drawn(2000, seed))
        detector.changes.clear()
        sizes.append(len(json.dumps(detector.state())))
    assert max(sizes) < 3000


def test_of_very_many_changes_the_last_are_kept(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drift.detect.detector.KEPT", 3)
    detector = Detector(reference)
    for seed in range(5):
        detector.update(joined(drawn(60, seed), drawn(15, 50 + seed, ink=5)))
    detector.update(drawn(60, 99))
    assert detector.alarms == 5 and len(detector.changes) == 3 and detector.changes[-1].first > 300


@pytest.mark.parametrize(
    "spoilt",
    [{}, {"promise": {"gamma": 5}}, {"owned": [0.0]}, {"changes": [{"nonsense": 1}]}, {"requests": None}],
    ids=["nothing", "another promise", "other bets", "no changes", "no number"],
)
def test_a_state_of_something_else_is_refused(reference: Reference, spoilt: dict) -> None:
    detector = Detector(reference)
    with pytest.raises(ValueError, match="it is"):
        detector.restore({**detector.state(), **spoilt} if spoilt else {})
    assert detector.requests == 0


def test_a_gamma_without_end_is_refused(reference: Reference) -> None:
    with pytest.raises(ValueError, match="gamma is inf"):
        Detector(reference, gamma=float("inf"))
