"""The verdict: changes found in numbers, and what is said of them."""

import numpy as np
import pytest

from digits import verdict
from digits.collected import Collected

N = 100


def numbers(change: slice | None = None, by: float = 0.0, seed: int = 0) -> np.ndarray:
    """Two statistics (100, 2) that vary as handwriting does, skewed; the second moves in a stretch."""
    table = np.random.default_rng(seed).gamma(4, 1, (N, 2))
    if change:
        table[change, 1] += by
    return table


def found(table: np.ndarray) -> list[tuple[int, int, int]]:
    return [stretch[:3] for stretch in verdict.stretches(verdict.above(table))]


def test_nothing_is_seen_where_nothing_changes() -> None:
    assert sum(bool(found(numbers(seed=seed))) for seed in range(60)) <= 3


def test_a_change_that_stays_is_seen_soon_and_dated_well() -> None:
    dated = []
    for seed in range(20):
        (first, seen, last), *_ = found(numbers(slice(60, None), 9, seed))
        assert 60 < seen <= 70 and last == N - 1
        dated.append(abs(first - 60))
    assert np.median(dated) <= 1 and max(dated) <= verdict.WINDOW


def test_a_change_that_comes_and_goes_is_seen_to_end() -> None:
    ended = []
    for seed in range(20):
        (_, seen, last), *_ = found(numbers(slice(30, 50), -9, seed))
        assert 30 < seen <= 40
        ended.append(abs(last - 49))
    assert np.median(ended) <= 1 and max(ended) <= verdict.WINDOW


def test_two_changes_do_not_overlap() -> None:
    table = numbers(slice(25, 38), 9)
    table[62:75, 1] += 9
    one, two = found(table)
    assert one[0] <= one[1] <= one[2] < two[0] <= two[1] <= two[2]


@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_too_few_ticks_are_no_change(n: int) -> None:
    assert found(numbers()[:n]) == []
    blank = seen(["mnist"] * n, slice(0, 0), numbers()[:n, 0])
    assert verdict.judge(blank).headline == "Too few ticks to tell"


def test_what_was_not_collected_raises_no_alarm() -> None:
    table = numbers()
    table[40:, 1] = np.nan
    assert found(table) == found(table[:, :1])


def seen(source: list[str], wrong: slice, ink: np.ndarray) -> Collected:
    label = np.arange(len(source)) % 10
    prediction = label.copy()
    prediction[wrong] = (prediction[wrong] + 1) % 10
    columns = {"source": np.array(source), "label": label, "prediction": prediction, "ink": ink}
    blank = np.zeros((len(source), 28, 28), np.uint8)
    return Collected(columns, np.ones((len(source), 1)), ["mnist"], blank, np.ones(len(source), bool), [])


def stay(wrong: slice) -> verdict.Verdict:
    source = ["mnist"] * 60 + ["devanagari"] * 40
    return verdict.judge(seen(source, wrong, numbers(slice(60, None), 12)[:, 1]))


def test_words_for_a_change_that_costs() -> None:
    said = stay(slice(60, 90))
    assert said.headline == "Devanagari digits came and stayed"
    assert "retrain now" in said.advice and said.calm_accuracy == 1 and said.changed_accuracy < 0.4
    (change,) = said.changes
    assert change.source == "devanagari" and change.words == ["written with more ink"] and not change.ended
    before, during = change.what["ink"]
    assert during > before + 8


def test_words_for_a_change_that_costs_nothing() -> None:
    assert "nothing to do yet" in stay(slice(0, 0)).advice


def test_words_for_no_change() -> None:
    said = verdict.judge(seen(["mnist"] * N, slice(0, 2), numbers()[:, 0]))
    assert said.headline == "Nothing changed" and said.accuracy == 0.98 and said.changes == []
