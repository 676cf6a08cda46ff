"""Scenarios: what the ones of the package do, what a file may say, and how a bad one is refused."""

from pathlib import Path

import numpy as np
import pytest

from digits import scenario
from digits.data import Digits
from digits.formulas import FormulaError, evaluate
from digits.scenario import ScenarioError

HANDS = {
    name: Digits(
        np.full((20, 28, 28), 10 * k, np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None],
        np.arange(20, dtype=np.uint8) % 10,
        name,
    )
    for k, name in enumerate(("mnist", "devanagari", "japanese"))
}


def played(name: str, **changes: object) -> scenario.Simulation:
    return scenario.play(scenario.read(name, **changes), HANDS)


def test_steady_is_mnist_alone() -> None:
    assert set(played("steady").sources) == {"mnist"}


def test_seasonal_comes_and_goes_twice() -> None:
    sources = np.array(played("seasonal").sources)
    foreign = np.flatnonzero(sources == "japanese")
    assert set(foreign) <= {*range(20, 40), *range(60, 80)}
    assert (sources[27:36] == "japanese").mean() > 0.8 and (sources[67:76] == "japanese").mean() > 0.8


def test_external_takes_over_and_stays() -> None:
    sources = np.array(played("external").sources)
    assert set(sources[:40]) == {"mnist"} and set(sources[75:]) == {"devanagari"}


@pytest.mark.parametrize("ticks", [1, 7, 1000])
def test_any_number_of_ticks(ticks: int) -> None:
    simulation = played("external", ticks=ticks)
    assert len(simulation.sources) == len(simulation.dates) == len(simulation.images) == ticks


@pytest.mark.parametrize(
    ("step", "last"),
    [
        ("1 day", "2025-01-03"),
        ("6 hours", "2025-01-01T12:00"),
        ("30 minutes", "2025-01-01T01:00"),
        ("2 weeks", "2025-01-29"),
    ],
)
def test_any_step_of_dates(step: str, last: str) -> None:
    assert scenario.read("steady", ticks=3, step=step).dates()[-1] == last


def test_the_same_seed_gives_the_same_simulation_and_another_another() -> None:
    one, same, other = played("seasonal"), played("seasonal"), played("seasonal", seed=99)
    assert one.sources == same.sources and (one.images == same.images).all() and (one.weights == same.weights).all()
    assert (one.images != other.images).any()


def test_no_digit_comes_twice_before_all_have_come() -> None:
    pixels = played("steady").images[:, 0, 0]
    assert len(set(pixels[:20])) == len(set(pixels[20:40])) == 20


def test_the_heaviest_source_is_served() -> None:
    simulation = played("seasonal")
    names = ["mnist", "japanese"]
    assert [names[k] for k in simulation.weights.argmax(axis=1)] == simulation.sources
    assert simulation.weights.min() >= 0


BAD = {
    "no source": ("seed: 1", "sources: name at least one"),
    "not a mapping": ("- a", "is not a scenario"),
    "not YAML": ("a: [", "is not YAML"),
    "an unknown field": ("sources: {mnist: 1}\nspeed: 3", "speed: is not a field"),
    "an unknown source": ("sources: {roman: 1}", "sources.roman: is not a source; choose from mnist"),
    "no formula": ("sources: {mnist: [1]}", "sources.mnist: needs a formula"),
    "not a formula": ("sources: {mnist: 1 +}", "sources.mnist: '1 +' is not a formula"),
    "a program": ("sources: {mnist: __import__('os').getcwd()}", "is not allowed; use numbers"),
    "an attribute": ("sources: {mnist: t.dtype}", "sources.mnist: 't.dtype' is not allowed"),
    "an unknown name": ("sources: {mnist: y}", "sources.mnist: 'y' is not allowed"),
    "a missing argument": ("sources: {mnist: 'max(t)'}", "max takes 2 arguments, not 1"),
    "a division by zero": ("sources: {mnist: 1 / t}", "sources.mnist: is not finite at tick 0"),
    "no weight": ("sources: {mnist: t - 5}", "no weight is above 0 at tick 0"),
    "no ticks": ("sources: {mnist: 1}\nticks: 0", "ticks: 0 is not a whole number from 1"),
    "half a tick": ("sources: {mnist: 1}\nticks: 1.5", "ticks: 1.5 is not a whole number"),
    "no seed": ("sources: {mnist: 1}\nseed: spring", "seed: 'spring' is not a whole number"),
    "no date": ("sources: {mnist: 1}\nstart: soon", "start: 'soon' is not a date such as"),
    "no step": ("sources: {mnist: 1}\nstep: 0 days", "step: '0 days' is not a length of time"),
    "beyond all dates": ("sources: {mnist: 1}\nstep: 90000 weeks", "past the year 9999"),
}


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
def test_a_bad_scenario_is_refused_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.yml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as raised:
        scenario.read(file)
    said = str(raised.value)
    assert said.startswith(str(file)) and told in said and "\n" not in said


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ScenarioError, match="no scenario is called monsoon; choose external, seasonal, steady"):
        scenario.read("monsoon")


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("1 + 2 * 3", 7),
        ("-(2 ** 3)", -8),
        ("sin(pi / 2)", 1),
        ("max(t, 1)", 1),
        ("between(t, 0, 1)", 1),
        ("1e1 / 4", 2.5),
    ],
)
def test_formulas(formula: str, value: float) -> None:
    assert evaluate(formula, {"t": np.zeros(3)}) == pytest.approx(np.full(3, value))


@pytest.mark.parametrize(
    "formula", ["9**9**9**9", "(" * 5000 + ")" * 5000, "-" * 2000 + "1", "True", "'a'", "t if t else t", "t @ t"]
)
def test_hostile_formulas_do_no_harm(formula: str) -> None:
    with pytest.raises(FormulaError):
        evaluate(formula, {"t": np.zeros(3)})
