"""Which trials of a sweep end early: Azure's three policies.

Rules: "Specify early termination policy" in Microsoft's "Hyperparameter tuning a model". Each report of the primary
metric is one interval. A policy is applied to a trial at every multiple of `evaluation_interval` that is at least
`delay_evaluation`, and compares what the trials had reported by that interval.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from amlocal.core.errors import UserError


@dataclass(frozen=True)
class Trial:
    """A trial as a policy sees it."""

    metrics: list[float]  # each report of the primary metric, in order; interval n is metrics[n - 1]
    running: bool


Trials = Mapping[int, Trial]


@dataclass
class Policy:
    """When a rule is applied, and to which trials.

    It remembers what it has judged: a trial is judged once at each interval, at the moment it is first seen there.
    """

    worse: Callable[[int, int, Trials], bool] | None  # (trial, interval, all trials) -> end it
    interval: int = 1
    delay: int = 0
    _judged: dict[int, int] = field(default_factory=dict)

    def cancel(self, trials: Trials) -> set[int]:
        """The running trials that should end now."""
        return {number for number, trial in trials.items() if trial.running and self._ends(number, trials)}

    def _ends(self, number: int, trials: Trials) -> bool:
        if self.worse is None:
            return False
        reports = len(trials[number].metrics)
        due = [
            at
            for at in range(self._judged.get(number, 0) + 1, reports + 1)
            if at % self.interval == 0 and at >= self.delay
        ]
        self._judged[number] = reports
        return any(self.worse(number, at, trials) for at in due)


def policy(spec: dict[str, Any] | None, goal: str) -> Policy:
    """The policy of a sweep's `early_termination`; without one no trial ends early.

    goal: "minimize" or "maximize". Raises UserError naming the field.
    """
    wrong = problem(spec)
    if wrong:
        raise UserError(f"early_termination: {wrong}")
    if not spec:
        return Policy(None)
    sign = 1 if goal.lower() == "maximize" else -1
    rule = {"bandit": _bandit, "median_stopping": _median_stopping, "truncation_selection": _truncation_selection}
    return Policy(
        rule[spec["type"]](spec, sign),
        # The SDK's default of 0 is no frequency; the service documents 1, every report.
        interval=spec.get("evaluation_interval") or 1,
        delay=spec.get("delay_evaluation") or 0,
    )


def problem(spec: dict[str, Any] | None) -> str | None:
    """What is wrong with a sweep's `early_termination`, in one line; None if nothing is."""
    if not spec:
        return None
    kind = spec.get("type")
    if kind not in ("bandit", "median_stopping", "truncation_selection"):
        return f'type "{kind}" is none of bandit, median_stopping, truncation_selection'
    for key in ("evaluation_interval", "delay_evaluation"):
        if (spec.get(key) or 0) < 0:
            return f"{key}: {spec[key]} is negative"
    if kind == "bandit":
        slacks = [key for key in ("slack_factor", "slack_amount") if spec.get(key)]
        if len(slacks) != 1:
            return "bandit needs one of slack_factor and slack_amount"
        if spec[slacks[0]] < 0:
            return f"{slacks[0]}: {spec[slacks[0]]} is negative"
    if kind == "truncation_selection" and not 1 <= (spec.get("truncation_percentage") or 0) <= 99:
        return f"truncation_percentage: {spec.get('truncation_percentage')} is not within 1..99"
    return None


# The rules below see every metric as one to be maximised (minimised ones with their sign turned).


def _bandit(spec: dict[str, Any], sign: int) -> Callable[[int, int, Trials], bool]:
    """Best so far worse than the best trial's best at that interval, less the slack."""
    factor, amount = spec.get("slack_factor") or 0.0, spec.get("slack_amount")

    def worse(number: int, at: int, trials: Trials) -> bool:
        bests = _bests(at, trials, sign)
        leader = max(bests.values())
        if amount:
            return bests[number] < leader - amount
        # Maximised: leader / (1 + factor). Minimised (assumed, the mirror): leader * (1 + factor). A sign that makes
        # the leader's own allowance stricter than the leader (a negative maximum) is taken the other way round.
        allowed = leader / (1 + factor) if leader >= 0 else leader * (1 + factor)
        return bests[number] < allowed

    return worse


def _median_stopping(_: dict[str, Any], sign: int) -> Callable[[int, int, Trials], bool]:
    """Best so far worse than the median of all trials' running averages over the intervals 1..at."""

    def worse(number: int, at: int, trials: Trials) -> bool:
        averages = map(mean, _reports(at, trials, sign).values())
        return _bests(at, trials, sign)[number] < median(averages)

    return worse


def _truncation_selection(spec: dict[str, Any], sign: int) -> Callable[[int, int, Trials], bool]:
    """In the lowest percentage of the trials' performance at that interval."""

    def worse(number: int, at: int, trials: Trials) -> bool:
        compared = {
            other: trial
            for other, trial in trials.items()
            if other == number or trial.running or not spec.get("exclude_finished_jobs")
        }
        bests = _bests(at, compared, sign)
        doomed = len(bests) * spec["truncation_percentage"] // 100
        return sum(best > bests[number] for best in bests.values()) >= len(bests) - doomed

    return worse


def _bests(at: int, trials: Trials, sign: int) -> dict[int, float]:
    """Each trial's best report within its first `at`."""
    return {number: max(values) for number, values in _reports(at, trials, sign).items()}


def _reports(at: int, trials: Trials, sign: int) -> dict[int, list[float]]:
    """The first `at` reports of every trial that has made so many; one that ended earlier stands with what it made.

    What is no number, as the loss of a network that has diverged, is the worst there is.
    """
    return {
        number: [sign * value if math.isfinite(value) else -math.inf for value in trial.metrics[:at]]
        for number, trial in trials.items()
        if trial.metrics and (len(trial.metrics) >= at or not trial.running)
    }
