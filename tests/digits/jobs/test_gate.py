"""The gate's arithmetic: when a model may take the champion's place."""

from math import comb

import numpy as np
import pytest

from digits.jobs import gate


def answers(total: int, wrong: int, start: int = 0) -> np.ndarray:
    """Which of `total` digits are right, when `wrong` of them from `start` on are not."""
    right = np.ones(total, bool)
    right[start : start + wrong] = False
    return right


@pytest.mark.parametrize(("right", "passed"), [(970, True), (969, False)])
def test_the_first_model_has_to_reach_the_threshold_exactly(right: int, passed: bool) -> None:
    verdict = gate.judge(answers(1000, 1000 - right), None, 0.97)
    assert verdict.passed is passed
    assert verdict.champion_accuracy is None
    assert "threshold of 97.00%" in verdict.reason


def test_worse_by_much_and_significantly_is_refused_with_both_numbers() -> None:
    verdict = gate.judge(answers(1000, 60), answers(1000, 15), 0.9)
    assert not verdict.passed
    assert "94.00%" in verdict.reason and "98.50%" in verdict.reason
    assert verdict.mcnemar_p is not None and verdict.mcnemar_p < 0.001


def test_worse_within_noise_passes() -> None:
    # Half a point worse on 1,000 digits, but they err on different ones: 25 against 20 discordant.
    verdict = gate.judge(answers(1000, 25), answers(1000, 20, start=500), 0.9)
    assert verdict.passed
    assert "not significantly worse" in verdict.reason


def test_significantly_but_hardly_worse_passes() -> None:
    # 20 of 10,000 is just the margin, and all on one side is as significant as it gets.
    champion, margin = answers(10_000, 0), answers(10_000, 20)
    assert gate.judge(margin, champion, 0.9).passed
    assert not gate.judge(answers(10_000, 21), champion, 0.9).passed


def test_better_than_the_champion_but_below_the_threshold_is_refused() -> None:
    verdict = gate.judge(answers(1000, 100), answers(1000, 200), 0.95)
    assert not verdict.passed
    assert "threshold" in verdict.reason


def test_the_same_model_again_passes() -> None:
    same = answers(1000, 15)
    verdict = gate.judge(same, same, 0.97)
    assert verdict.passed and verdict.mcnemar_p == 1.0


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 5), (0, 1), (9, 2), (3, 17), (120, 80)])
def test_mcnemar_is_the_mid_p_of_the_binomial(b: int, c: int) -> None:
    n, least = b + c, min(b, c)
    exact = sum(comb(n, k) for k in range(least + 1)) / 2**n
    assert gate.mcnemar(b, c) == pytest.approx(min(1.0, 2 * exact - comb(n, least) / 2**n) if n else 1.0)
    assert gate.mcnemar(b, c) == gate.mcnemar(c, b)


PASSED = gate.Verdict(True, "equal", 0.99, 0.99, 1.0)


def test_a_new_hand_must_be_read_significantly_better() -> None:
    verdict = gate.judge_new(PASSED, answers(60, 5), answers(60, 40))
    assert verdict.passed and verdict.accuracy_new == 55 / 60 and verdict.champion_accuracy_new == 20 / 60
    assert "better on the new hand: 91.67% against the champion's 33.33% of 60 held-out digits" in verdict.reason


@pytest.mark.parametrize(("wrong", "champion"), [(5, 5), (7, 5), (40, 5), (16, 20)])
def test_no_better_or_better_by_chance_on_the_new_hand_is_refused(wrong: int, champion: int) -> None:
    verdict = gate.judge_new(PASSED, answers(60, wrong), answers(60, champion))
    assert not verdict.passed and "not significantly better on the new hand" in verdict.reason
    assert "label more" in verdict.reason and verdict.accuracy == 0.99


def test_a_new_hand_does_not_make_good_what_the_old_one_lost() -> None:
    lost = gate.Verdict(False, "significantly worse: so much", 0.9, 0.99, 0.001)
    verdict = gate.judge_new(lost, answers(60, 0), answers(60, 40))
    assert not verdict.passed and verdict.reason.startswith("significantly worse")
    assert verdict.accuracy_new == 1.0


def test_labels_that_agree_with_the_champion_by_chance_only_are_not_believed() -> None:
    better = (answers(60, 0), answers(60, 60))
    refused = gate.judge_new(PASSED, *better, 0.4)
    assert not refused.passed and "look at some images and their labels" in refused.reason
    lost = gate.Verdict(False, "significantly worse: so much", 0.9, 0.99, 0.001)
    assert gate.judge_new(lost, *better, 0.4).reason == refused.reason  # the cause, and not what came of it
    assert gate.judge_new(PASSED, *better, 0.4, agreement=1).passed
    assert gate.judge_new(PASSED, *better, 0.09).passed


@pytest.mark.parametrize("share", [0.1, 0.2, 0.35])
def test_agreement_by_chance_is_what_shuffling_finds(share: float) -> None:
    rng = np.random.default_rng(0)
    answered = rng.choice(10, 100, p=[0.3, 0.2, 0.1, *([0.4 / 7] * 7)])
    labels = np.where(rng.random(100) < share, answered, rng.integers(0, 10, 100))
    seen = np.sum(labels == answered)
    shuffled = np.mean([np.sum(rng.permutation(labels) == answered) >= seen for _ in range(20_000)])
    assert gate.by_chance(labels, answered) == pytest.approx(shuffled, abs=0.015)


def test_labels_that_are_all_the_same_agree_by_chance() -> None:
    assert gate.by_chance(np.full(50, 3), np.arange(50) % 10) == 1
    assert gate.by_chance((np.arange(50) + 1) % 10, np.arange(50) % 10) > 0.9
    assert gate.by_chance(np.arange(50) % 10, np.arange(50) % 10) < 1e-6
