"""The gate's arithmetic: when a model may take the champion's place."""

from math import comb

import numpy as np
import pytest

from digits import gate


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
