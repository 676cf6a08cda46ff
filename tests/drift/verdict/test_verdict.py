"""The verdict: what is said of the changes a detector found."""

import math

import numpy as np
import pytest

from digits.data import ink
from drift.detect.detector import Change
from drift.records.collected import Collected
from drift.verdict import accuracy, verdict, words

N = 100


def seen(source: list[str], wrong: slice = slice(0, 0), labelled: slice = slice(None)) -> Collected:
    label = np.arange(N) % 10
    prediction = label.copy().astype(float)
    prediction[wrong] = (prediction[wrong] + 1) % 10
    known = np.full(N, -1)
    known[labelled] = label[labelled]
    ink = np.where(np.array(source) == "mnist", 30.0, 50.0)
    columns = {"source": np.array(source), "label": known, "prediction": prediction, "ink": ink}
    blank = np.zeros((N, 28, 28), np.uint8)
    return Collected(columns, np.ones((N, 1)), ["mnist"], blank, np.ones(N, bool), [])


STAYED = ["mnist"] * 60 + ["devanagari"] * 40


def judge(stream: Collected, changes: list[Change]) -> verdict.Verdict:
    """Of all there were."""
    return verdict.judge(stream, changes, np.arange(N), N)


SCORES = {"together": 40.0, "shape": 30.0, "ink+": 12.0, "ink-": 4.0, "stroke+": 9.0, "width-": 1.0}


def change(first: int = 60, at: int = 62, last: int | None = None, **more: object) -> Change:
    return Change(first, at, "together", 40.0, SCORES, last, None if last is None else last + 5, **more)


def test_a_change_that_costs() -> None:
    said = judge(seen(STAYED, slice(60, 90)), [change()])
    assert said.headline == "Devanagari digits came and stayed" and said.standing
    assert "retrain now" in said.advice and said.calm_accuracy == 1 and said.changed_accuracy == 0.25
    (found,) = said.changes
    assert (found.first, found.seen, found.last, found.ended) == (60, 62, 99, False)
    assert found.source == "devanagari" and found.share == 1 and found.accuracy == 0.25
    assert found.words == ["written with more ink", "thicker"], "the clearest two, each once, and none that is unclear"
    assert found.what["ink"] == (30, 50) and next(iter(found.scores)) == "together" and found.scores["ink"] == 12


def test_a_change_that_costs_nothing() -> None:
    assert "nothing to do yet" in judge(seen(STAYED), [change()]).advice


def test_no_change() -> None:
    said = judge(seen(["mnist"] * N, slice(0, 2)), [])
    assert said.headline == "Nothing changed" and said.accuracy == 0.98 and not said.changes and not said.standing


def test_a_season_that_came_and_went_twice() -> None:
    source = ["mnist"] * 20 + ["japanese"] * 20 + ["mnist"] * 20 + ["japanese"] * 20 + ["mnist"] * 20
    said = judge(seen(source, slice(20, 25)), [change(20, 22, 39), change(60, 62, 79)])
    assert said.headline == "Japanese digits came and went twice" and not said.standing
    assert "Before they come again" in said.advice


def test_who_wrote_what_is_new_is_the_one_that_became_more() -> None:
    """Where a fifth of the digits are another hand's, most are still MNIST's."""
    source = ["mnist"] * 50 + (["mnist"] * 4 + ["writer"]) * 10
    (found,) = judge(seen(source), [change(50, 70)]).changes
    assert found.source == "writer" and found.share == pytest.approx(0.2)
    same = judge(seen(["mnist"] * N), [change(50, 70)])
    assert same.changes[0].source is None and same.headline == "The digits have changed"


def test_proportions_are_told_of_the_class() -> None:
    stream = seen(["mnist"] * N)
    stream["prediction"][60:] = np.where(np.arange(60, N) % 2, 3, stream["prediction"][60:])
    found = Change(60, 80, "classes", 10.0, {"classes": 10.0}, None, None)
    (told,) = judge(stream, [found]).changes
    assert told.words == ["more often a 3"]
    fading = seen(["mnist"] * N)
    fading["prediction"][60:] = np.where(fading["prediction"][60:] == 7, 1, fading["prediction"][60:])
    (told,) = judge(fading, [found]).changes
    assert told.words == ["hardly ever a 7"]


def test_without_labels_nobody_knows_what_it_cost() -> None:
    said = judge(seen([""] * N, labelled=slice(0, 0)), [change()])
    assert said.headline == "The digits have changed" and math.isnan(said.accuracy)
    assert "Nobody has said yet" in said.advice and said.changes[0].source is None
    some = judge(seen([""] * N, slice(60, 80), labelled=slice(50, 80)), [change()])
    assert some.changed_accuracy == 0 and some.calm_accuracy == 1 and "retrain now" in some.advice


def test_every_change_is_told_also_where_its_requests_are_not_at_hand() -> None:
    """Of many requests some are shown: the last, and of a change the first."""
    changes = [change(10, 12, 30), change(700, 702, 900), change(1020, 1022)]
    numbers = np.array([*range(700, 720), *range(980, 1060)])
    said = verdict.judge(seen(STAYED, slice(0, 5)), changes, numbers, 1060)
    found = [(c.first, c.seen, c.last, c.ended, c.numbers) for c in said.changes]
    assert found[0][:1] + found[0][2:] == (0, -1, True, (10, 12, 30)) and math.isnan(said.changes[0].accuracy)
    assert found[1:] == [(0, 2, 19, True, (700, 702, 900)), (60, 62, 99, False, (1020, 1022, None))]
    assert said.changes[0].words == ["written with more ink", "thicker"]
    assert said.changes[1].accuracy == 0.75 and said.calm_accuracy == 1
    calm = verdict.judge(seen(["mnist"] * N), [], numbers, 1060)
    assert calm.advice.startswith("All 1,060 requests look like the digits")


def test_two_hands_that_came_once_each_did_not_come_twice() -> None:
    source = ["mnist"] * 20 + ["japanese"] * 20 + ["mnist"] * 20 + ["devanagari"] * 20 + ["mnist"] * 20
    said = judge(seen(source), [change(20, 22, 39), change(60, 62, 79)])
    assert said.headline == "Japanese digits and Devanagari digits came and went"


def test_what_is_read_well_with_nothing_to_compare_is_no_reason_to_retrain() -> None:
    said = judge(seen(STAYED, labelled=slice(60, None)), [change()])
    assert "retrain" not in said.advice and "Label some of the others" in said.advice


def test_of_other_proportions_without_predictions_no_class_is_named() -> None:
    stream = seen(["mnist"] * N)
    stream["prediction"][60:] = np.nan
    (told,) = judge(stream, [Change(60, 80, "classes", 10.0, {"classes": 10.0}, None, None)]).changes
    assert told.words == ["in other proportions"]


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (math.log(3), "every few requests"),
        (math.log(12_345), "once in 12,000 requests"),
        (math.log(2e7), "less than once in a million"),
        (5000, "less than once in a million requests"),
    ],
)
def test_evidence_in_words(evidence: float, told: str) -> None:
    assert told in words.rarity(evidence)


def test_of_several_hands_only_the_last_stays() -> None:
    source = ["mnist"] * 20 + ["children"] * 20 + ["mnist"] * 20 + ["synthetic-japanese"] * 40
    said = judge(seen(source), [change(20, 22, 39), change(60, 62)])
    assert said.headline == "Children digits came and went, synthetic Japanese digits came and stayed"


def test_a_calm_stream_that_is_read_badly_is_not_well() -> None:
    said = judge(seen(["mnist"] * N, slice(0, 30)), [])
    assert "read only 70% of them right" in said.advice and "nothing to do" not in said.advice


def test_every_statistic_of_the_ink_has_words_for_its_change() -> None:
    assert verdict.STATISTICS.keys() == ink.STATISTICS.keys()


def test_what_is_read_badly_is_told_though_nothing_changed() -> None:
    """A model that has learnt a hand finds it normal, and may read it badly all the same."""
    half = ["mnist"] * 50 + ["devanagari"] * 50
    said = judge(seen(half, slice(85, 100)), [])
    assert said.headline == "Nothing changed, but Devanagari digits are often misread"
    assert "of Devanagari digits it read 70% right (35 of 50), against 100% of the others" in said.advice
    assert "retrain" in said.advice and "nothing to do" not in said.advice

    doubtful = seen(half)
    doubtful["prediction"][[20, 51, 58, 66, 73, 87, 99]] = -1
    said = judge(doubtful, [])
    assert said.headline == "Nothing changed" and "nothing to do" not in said.advice
    assert (
        "93% of them right, but of Devanagari digits only 88% (44 of 50). That may be luck: label more" in said.advice
    )

    few = seen(half)
    few["prediction"][[55, 72, 93]] = -1
    said = judge(few, [])
    assert said.headline == "Nothing changed" and said.advice.endswith("97% of them right. There is nothing to do.")


def test_a_fall_in_accuracy_is_told_where_nobody_says_who_wrote() -> None:
    said = judge(seen([""] * N, slice(80, 90)), [])
    assert said.headline == "Nothing changed, but the last digits are often misread"
    assert "against 100% of the earlier ones" in said.advice and "retrain" in said.advice
    spread = seen([""] * N)
    spread["prediction"][[3, 22, 41, 63, 88]] = 9  # 3 of 10 of which are right all the same
    spread["label"][[3, 22, 41, 63, 88]] = 1
    assert judge(spread, []).headline == "Nothing changed" and "There is nothing to do" in judge(spread, []).advice


def test_a_difference_that_luck_makes_is_no_reason_to_retrain() -> None:
    stream = seen(STAYED, slice(60, 61), labelled=slice(40, 63))
    said = judge(stream, [change()])
    assert said.changed_accuracy == pytest.approx(2 / 3) and said.calm_accuracy == 1
    assert "Only 3 of them are labelled" in said.advice and "Label more" in said.advice


def test_as_bad_as_the_others_is_not_good() -> None:
    stream = seen(STAYED)
    stream["prediction"][::4] = -1
    said = judge(stream, [change()]).advice
    assert "The model read 75% of them right, against 75% of the others. That is no worse, but it is not good" in said


def test_without_labels_nobody_says_that_all_is_read_right() -> None:
    assert "only labels tell" in judge(seen([""] * N, labelled=slice(0, 0)), []).advice


def test_fishers_exact_test() -> None:
    """By the lady who tastes tea: 3 of 4 cups, or fewer, are right by luck 69 times of 70."""
    assert accuracy.by_luck(accuracy.Share(3, 4), accuracy.Share(1, 4)) == pytest.approx(69 / 70)
    assert accuracy.by_luck(accuracy.Share(0, 4), accuracy.Share(4, 4)) == pytest.approx(1 / 70)
    assert accuracy.by_luck(accuracy.Share(0, 0), accuracy.Share(4, 4)) == 1
