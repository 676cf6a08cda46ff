"""What a sweep tries: Azure's distributions and algorithms, and the mistakes that are caught before anything runs."""

import math
from itertools import pairwise
from statistics import mean, stdev
from typing import Any

import pytest

from amlocal.core.errors import UserError
from amlocal.specs.sampling import Search, problem


def draws(distribution: dict[str, Any], count: int = 200, **algorithm: Any) -> list[Any]:
    search = Search({"x": distribution}, {"type": "random", "seed": 7, **algorithm}, "maximize")
    asked = [search.ask() for _ in range(count)]
    return [trial[1]["x"] for trial in asked if trial]


def test_every_distribution_draws_within_its_documented_range() -> None:
    assert set(draws({"type": "choice", "values": ["a", 1, 2.5]})) == {"a", 1, 2.5}
    assert set(draws({"type": "randint", "upper": 4})) == {0, 1, 2, 3}
    assert all(2 <= x <= 3 for x in draws({"type": "uniform", "min_value": 2, "max_value": 3}))
    assert all(
        math.exp(-5) <= x <= math.exp(-1) for x in draws({"type": "loguniform", "min_value": -5, "max_value": -1})
    )
    assert set(draws({"type": "quniform", "min_value": 0, "max_value": 0.3, "q": 0.1})) == {0, 0.1, 0.2, 0.3}
    assert {x % 4 for x in draws({"type": "qloguniform", "min_value": 1, "max_value": 5, "q": 4})} == {0}
    normal = draws({"type": "normal", "mu": 10, "sigma": 2}, 500)
    assert mean(normal) == pytest.approx(10, abs=0.3)
    assert stdev(normal) == pytest.approx(2, abs=0.3)
    assert {x % 5 for x in draws({"type": "qnormal", "mu": 100, "sigma": 20, "q": 5})} == {0}
    lognormal = [math.log(x) for x in draws({"type": "lognormal", "mu": 1, "sigma": 0.5}, 500)]
    assert mean(lognormal) == pytest.approx(1, abs=0.1)
    assert all(isinstance(x, int) for x in draws({"type": "qlognormal", "mu": 3, "sigma": 1, "q": 2}))


def test_a_seed_repeats_the_search() -> None:
    space = {"type": "uniform", "min_value": 0, "max_value": 1}
    assert draws(space, seed=3) == draws(space, seed=3)
    assert draws(space, seed=3) != draws(space, seed=4)
    assert draws(space, rule="sobol", seed=3) == draws(space, rule="sobol", seed=3)


def test_sobol_covers_the_space_more_evenly_than_chance() -> None:
    space = {"type": "uniform", "min_value": 0, "max_value": 1}

    def emptiest(values: list[float]) -> float:
        edges = sorted([0.0, *values, 1.0])
        return max(b - a for a, b in pairwise(edges))

    assert emptiest(draws(space, 65, rule="sobol")) < emptiest(draws(space, 65))


def test_logbase_takes_the_place_of_e() -> None:
    values = draws({"type": "loguniform", "min_value": -3, "max_value": 0}, logbase=10)
    assert min(values) < math.exp(-3)
    assert min(values) >= 0.001


def test_a_grid_is_every_combination_once_and_then_nothing() -> None:
    space = {"a": {"type": "choice", "values": [1, 2]}, "b": {"type": "choice", "values": ["x", "y", {"deep": [1]}]}}
    search = Search(space, {"type": "grid"}, "minimize")
    asked = []
    while trial := search.ask():
        asked.append(trial)
        search.tell(trial[0], 0.5)
    assert [number for number, _ in asked] == list(range(6))
    assert [values for _, values in asked[:3]] == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 1, "b": {"deep": [1]}}]
    assert search.ask() is None


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_bayesian_learns_where_it_is_good(goal: str) -> None:
    space = {
        "x": {"type": "uniform", "min_value": 0, "max_value": 1},
        "kind": {"type": "choice", "values": ["poor", "good", "fair"]},
    }
    search = Search(space, {"type": "bayesian", "seed": 1}, goal)
    sign = 1 if goal == "maximize" else -1
    tried = []
    for turn in range(50):
        asked = search.ask()
        assert asked
        number, values = asked
        tried.append(values)
        score = -abs(values["x"] - 0.8) + (values["kind"] == "good")
        search.tell(number, None if turn % 10 == 9 else sign * score)
    late = tried[-15:]
    assert mean(abs(values["x"] - 0.8) for values in late) < 0.2
    assert sum(values["kind"] == "good" for values in late) > 5  # chance would be 5 of 15


def test_trials_may_run_and_end_in_any_order() -> None:
    search = Search({"x": {"type": "uniform", "min_value": 0, "max_value": 1}}, {"type": "bayesian"}, "maximize")
    asked = [search.ask() for _ in range(4)]
    numbers = [trial[0] for trial in asked if trial]
    assert numbers == [0, 1, 2, 3]
    for number, metric in zip((2, 0, 3, 1), (0.5, float("nan"), None, 0.1), strict=True):
        search.tell(number, metric)
    search.tell(2, 0.9)  # said twice, which changes nothing
    following = search.ask()
    assert following
    assert following[0] == 4


@pytest.mark.parametrize(
    ("algorithm", "distribution", "said"),
    [
        (
            "grid",
            {"type": "uniform", "min_value": 0, "max_value": 1},
            "x: grid sampling takes choice only, not uniform",
        ),
        ("bayesian", {"type": "normal", "mu": 0, "sigma": 1}, "takes choice, uniform, quniform only, not normal"),
        ("random", {"type": "gamma"}, 'type "gamma" is none of choice'),
        ("random", {"type": "uniform", "min_value": 1}, "uniform needs max_value"),
        ("random", {"type": "uniform", "min_value": 2, "max_value": 1}, "min_value 2 is greater than max_value 1"),
        ("random", {"type": "quniform", "min_value": 0, "max_value": 1, "q": 0}, "q is 0; it must be positive"),
        ("random", {"type": "choice", "values": []}, "at least one value"),
        ("random", {"type": "randint", "upper": 0}, "upper is 0"),
        ("random", {"type": "normal", "mu": "a", "sigma": 1}, "mu is 'a', not a number"),
        (
            "random",
            {"type": "choice", "values": [{"lr": {"type": "uniform", "min_value": 0, "max_value": 1}}]},
            "a conditional space",
        ),
        ("annealing", {"type": "choice", "values": [1]}, 'sampling_algorithm "annealing" is none of'),
    ],
)
def test_a_mistake_is_one_line_that_names_the_parameter(
    algorithm: str, distribution: dict[str, Any], said: str
) -> None:
    found = problem({"x": distribution}, {"type": algorithm})
    assert found
    assert said in found
    assert "\n" not in found
    with pytest.raises(UserError, match="search_space: "):
        Search({"x": distribution}, {"type": algorithm}, "maximize")
