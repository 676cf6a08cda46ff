"""Which trials end early: the examples of Microsoft's documentation, in numbers."""

from typing import Any

import pytest

from amlocal.core.errors import UserError
from amlocal.specs.termination import Trial, policy, problem


def trials(*metrics: list[float], ended: tuple[int, ...] = ()) -> dict[int, Trial]:
    return {number: Trial(values, number not in ended) for number, values in enumerate(metrics)}


def canceled(spec: dict[str, Any] | None, found: dict[int, Trial], goal: str = "maximize") -> set[int]:
    return policy(spec, goal).cancel(found)


def test_without_a_policy_nothing_ends() -> None:
    assert canceled(None, trials([0.9], [0.1])) == set()


def test_bandit_ends_what_is_below_the_best_by_more_than_the_factor() -> None:
    """The documentation's: best 0.8, slack_factor 0.2: what is below 0.8 / 1.2 ends."""
    spec = {"type": "bandit", "slack_factor": 0.2, "evaluation_interval": 10}
    found = trials([0.8] * 10, [0.66] * 10, [0.67] * 10, [0.1] * 9)
    assert canceled(spec, found) == {1}


def test_bandit_takes_the_best_a_trial_has_had() -> None:
    found = trials([0.8, 0.8], [0.79, 0.1])
    assert canceled({"type": "bandit", "slack_factor": 0.1}, found) == set()


def test_bandit_by_an_amount_and_when_less_is_better() -> None:
    found = trials([1.0], [1.4], [1.6])
    assert canceled({"type": "bandit", "slack_amount": 0.5}, found, "minimize") == {2}
    assert canceled({"type": "bandit", "slack_factor": 0.2}, found, "minimize") == {1, 2}


def test_the_leader_of_a_bandit_never_ends() -> None:
    for goal in ("minimize", "maximize"):
        for values in ([-1.0, -0.5, -2.0], [1.0, 0.5, 2.0]):
            leader = (min if goal == "minimize" else max)(range(3), key=lambda number, v=values: v[number])
            found = trials(*([value] for value in values))
            assert leader not in canceled({"type": "bandit", "slack_factor": 0.1}, found, goal)


def test_a_policy_waits_for_its_delay_and_its_interval() -> None:
    spec = {"type": "bandit", "slack_amount": 0.1, "evaluation_interval": 2, "delay_evaluation": 3}
    bad = [0.1] * 5
    good = [0.9] * 5
    for reports, expected in ((1, set()), (2, set()), (3, set()), (4, {1}), (5, set())):
        one = policy(spec, "maximize")
        if reports == 5:  # judged at 4 already, when it was still good
            one.cancel(trials(good[:4], good[:4]))
        assert one.cancel(trials(good[:reports], bad[:reports])) == expected, reports


def test_reports_that_come_together_are_each_judged() -> None:
    one = policy({"type": "bandit", "slack_amount": 0.1, "evaluation_interval": 4}, "maximize")
    assert one.cancel(trials([0.9] * 6, [0.1] * 6)) == {1}


def test_a_trial_is_compared_with_those_that_have_come_as_far() -> None:
    spec = {"type": "truncation_selection", "truncation_percentage": 50, "evaluation_interval": 2}
    assert canceled(spec, trials([0.5, 0.5], [0.9])) == set()
    assert canceled(spec, trials([0.5, 0.5], [0.9], ended=(1,))) == {0}


@pytest.mark.parametrize("kind", ["bandit", "median_stopping", "truncation_selection"])
def test_what_has_diverged_ends(kind: str) -> None:
    spec = {
        "type": kind,
        **{"bandit": {"slack_amount": 1}, "truncation_selection": {"truncation_percentage": 34}}.get(kind, {}),
    }
    assert canceled(spec, trials([0.5], [float("nan")], [0.6]), "minimize") == {1}


def test_only_running_trials_end_but_all_are_compared() -> None:
    spec = {"type": "bandit", "slack_amount": 0.1}
    assert canceled(spec, trials([0.9], [0.1], [0.2], ended=(0, 1))) == {2}


def test_median_stopping_compares_the_best_with_the_median_of_running_averages() -> None:
    spec = {"type": "median_stopping", "evaluation_interval": 1, "delay_evaluation": 3}
    found = trials([0.5, 0.6, 0.7], [0.4, 0.4, 0.4], [0.1, 0.2, 0.3])  # averages 0.6, 0.4, 0.2
    assert canceled(spec, found) == {2}
    assert canceled(spec, found, "minimize") == {0}


def test_truncation_ends_the_lowest_percentage() -> None:
    spec = {"type": "truncation_selection", "truncation_percentage": 40}
    found = trials([0.5], [0.4], [0.3], [0.2], [0.1])
    assert canceled(spec, found) == {3, 4}
    assert canceled({**spec, "truncation_percentage": 10}, found) == set()


def test_truncation_may_leave_finished_trials_out() -> None:
    found = trials([0.1], [0.2], [0.3], [0.4], ended=(0, 1))
    assert canceled({"type": "truncation_selection", "truncation_percentage": 50}, found) == set()
    spec = {"type": "truncation_selection", "truncation_percentage": 50, "exclude_finished_jobs": True}
    assert canceled(spec, found) == {2}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"type": "luck"}, 'type "luck" is none of bandit'),
        ({"type": "bandit"}, "one of slack_factor and slack_amount"),
        ({"type": "bandit", "slack_factor": 0.1, "slack_amount": 1}, "one of slack_factor and slack_amount"),
        ({"type": "truncation_selection", "truncation_percentage": 100}, "100 is not within 1..99"),
        ({"type": "median_stopping", "delay_evaluation": -1}, "delay_evaluation: -1 is negative"),
    ],
)
def test_a_mistake_is_one_line(spec: dict[str, Any], said: str) -> None:
    found = problem(spec)
    assert found
    assert said in found
    with pytest.raises(UserError, match="early_termination: "):
        policy(spec, "maximize")
