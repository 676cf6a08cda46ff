"""Scenario files: what one may say, how a bad one is refused, and what a formula is."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits.data.sets import Digits
from drift.traffic import scenario
from drift.traffic.effects import EFFECTS
from drift.traffic.formulas import FormulaError, evaluate
from drift.traffic.scenario import ScenarioError

DOC = Path(__file__).parents[3] / "docs" / "drift.md"
IMAGES = np.arange(20 * 784, dtype=np.uint32).reshape(20, 28, 28).astype(np.uint8)
HANDS = {name: Digits(IMAGES, np.arange(20, dtype=np.uint8) % 10, name) for name in ("mnist", "devanagari", "japanese")}


BAD = {
    "no source": ("seed: 1", "sources: name at least one"),
    "not a mapping": ("- a", "is not a scenario"),
    "not YAML": ("a: [", "is not YAML"),
    "an unknown field": ("sources: {mnist: 1}\nspeed: 3", "speed: is not a field"),
    "an unknown source": ("sources: {roman: 1}", "sources.roman: is not a source; choose from mnist"),
    "a source of a source": (
        "sources: {a: {weight: 1, digits: b}}",
        "sources.a.digits: 'b' is no set of digits",
    ),
    "no digits": ("sources: {a: {weight: 1}}", "sources.a.digits: is missing; choose from mnist"),
    "no weight of its own": ("sources: {mnist: {effects: {blur: 1}}}", "sources.mnist.weight: is missing; give it"),
    "another's name": (
        "sources: {mnist: {weight: 1, digits: japanese}}",
        "mnist.digits: are those of japanese",
    ),
    "a name that is none": ("sources: {a b: {weight: 1, digits: mnist}}", "sources.a b: is no name; use up to 30"),
    "a name with a meaning": ("sources: {synthetic-a: {weight: 1, digits: mnist}}", "sources.synthetic-a: is no name"),
    "a number for a name": ("sources: {1: {weight: 1, digits: mnist}}", "sources.1: is no name"),
    "an unknown field of a source": ("sources: {mnist: {wait: 1}}", "sources.mnist.wait: is not a field; a source has"),
    "a source twice": ("sources:\n  mnist: 1\n  mnist: 2", "line 3: is not YAML: mnist stands there twice"),
    "too many sources": (
        f"sources: {{{', '.join(f'a{k}: {{weight: 1, digits: mnist}}' for k in range(21))}}}",
        "sources: are 21; there may be 20",
    ),
    "no effects": (
        "sources: {mnist: {weight: 1, effects: blur}}",
        "effects: 'blur' is no list of effects",
    ),
    "an unknown effect": (
        "sources: {mnist: {weight: 1, effects: {fog: 1}}}",
        "fog: is not an effect; choose from",
    ),
    "too much of it": (
        "sources: {mnist: {weight: 1, effects: {blur: 11}}}",
        "effects.blur: is 11; it goes from 0 to 10",
    ),
    "too much of it later": (
        "sources: {mnist: {weight: 1, effects: {blur: t}}}",
        "sources.mnist.effects.blur: is 11 at tick 11; it goes from 0 to 10, standard deviation in pixels",
    ),
    "too much of it where nobody writes": (
        "sources: {mnist: 1, a: {weight: 0, digits: mnist, effects: {fade: -1}}}",
        "sources.a.effects.fade: is -1; it goes from 0 to 1",
    ),
    "half an inversion": (
        "sources: {mnist: {weight: 1, effects: {invert: 0.5}}}",
        "effects.invert: is 0.5 at tick 0; it is true or false",
    ),
    "no switch": (
        "sources: {mnist: {weight: 1, effects: {blur: true}}}",
        "needs a formula; it goes",
    ),
    "an effect after unit": (
        "sources: {mnist: {weight: 1, effects: {unit: true, blur: 1}}}",
        "sources.mnist.effects.unit: comes last",
    ),
    "an effect's formula": (
        "sources: {mnist: 1, a: {weight: 0, digits: mnist, effects: {blur: y}}}",
        "sources.a.effects.blur: 'y' is not allowed; use numbers",
    ),
    "no classes": ("sources: {mnist: {weight: 1, classes: [7]}}", "sources.mnist.classes: [7] is no list of classes"),
    "an eleventh class": (
        "sources: {mnist: {weight: 1, classes: {10: 1}}}",
        "classes.10: is no class; classes are 0",
    ),
    "a class by name": ("sources: {mnist: {weight: 1, classes: {seven: 1}}}", "mnist.classes.seven: is no class"),
    "a class's formula": ("sources: {mnist: {weight: 1, classes: {7: 1 -}}}", "classes.7: '1 -' is not a formula"),
    "no class at all": (
        f"sources: {{mnist: {{weight: 1, classes: {{{', '.join(f'{k}: 5 - t' for k in range(10))}}}}}}}",
        "sources.mnist.classes: no class of the digits is above 0 at tick 5; let one always be",
    ),
    "a text that is none": (
        "sources: {mnist: 1}\ndescription: [a]",
        "description: ['a'] is not a text; put",
    ),
    "no such date": ("sources: {mnist: 1}\nstart: 2025-13-01", "is not YAML that can be read: ValueError"),
    "a name of two lines": ('sources: {"a\\nb": 1}', "sources.a b: is not a source"),
    "an enormous number": (
        "sources: {mnist: 1}\nticks: 0x" + "f" * 9000,
        "ticks: a number of thousands of digits",
    ),
    "an enormous weight": ("sources: {mnist: '1" + "0" * 400 + "'}", "is not a formula"),
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
    with pytest.raises(ScenarioError, match=r"no scenario is called monsoon; choose blend, blur, external, .*seasonal"):
        scenario.read("monsoon")


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("1 + 2 * 3", 7),
        ("-(2 ** 3)", -8),
        ("sin(pi / 2)", 1),
        ("max(t, 1)", 1),
        ("between(t, 0, 1)", 1),
        ("since(t, 0) + since(t, 1)", 1),
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


FORMULAS = st.sampled_from(["1", "x", "rand", "1 - t", "1 / t", "9**9**9", "y", "", "(", "-1", "max(t)"]) | st.floats()
SCALARS = FORMULAS | st.text(max_size=6) | st.integers() | st.booleans() | st.none() | st.dates()
NAMES = st.sampled_from(["mnist", "japanese", "a", "blur", "unit", "invert", "thin", "slant", "salt", "7"]) | SCALARS
SOURCES = st.fixed_dictionaries(
    {},
    optional={
        "weight": FORMULAS,
        "digits": st.just("mnist") | SCALARS,
        "effects": st.dictionaries(NAMES, FORMULAS, max_size=3) | SCALARS,
        "classes": st.dictionaries(st.integers(-1, 10) | SCALARS, FORMULAS, max_size=3) | SCALARS,
        "more": SCALARS,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"sources": st.dictionaries(NAMES, SOURCES | FORMULAS | SCALARS, max_size=3) | SCALARS},
    optional={
        "description": SCALARS,
        "seed": st.integers(0, 9) | SCALARS,
        "ticks": st.integers(1, 30) | st.floats() | st.text(max_size=3),
        "start": st.dates() | st.datetimes() | SCALARS,
        "step": st.sampled_from(["1 day", "0.001 minutes", "9e9 weeks"]) | SCALARS,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENTS | st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner)))
def test_any_document_is_played_or_refused_in_one_line(tmp_path: Path, document: Any) -> None:
    file = tmp_path / "any.yml"
    file.write_text(yaml.safe_dump(document, allow_unicode=False), encoding="utf-8")
    try:
        simulation = scenario.play(scenario.read(file), HANDS)
    except ScenarioError as error:
        assert str(error).startswith(str(file)) and len(str(error).splitlines()) == 1
    else:
        assert simulation.images.min() >= 0 and simulation.images.max() <= 255


BOMB = "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 9))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "a: &a [*a]",
        "a0: &a0 [x]\n" + BOMB + "description: *a8\nsources: *a8",
        "a0: &a0 [x]\n" + BOMB,
        "sources: &s {mnist: *s}",
        "sources: {? [mnist] : 1}",
        "ticks: !!int ''",
        "seed: !!bool maybe",
        "start: !!timestamp soon",
        "start: 2025-01-01T00:00:00+99:99",
        "step: !!python/object/apply:os.getcwd []",
        "!!set {mnist}",
        "sources: {<<: 3}",
        "\0",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "%YAML 9.9\n---\na",
        "--- a\n--- b",
        "",
    ],
)
def test_hostile_yaml_does_no_harm(tmp_path: Path, text: str) -> None:
    file = tmp_path / "hostile.yml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ScenarioError) as raised:
        scenario.read(file)
    assert len(str(raised.value)) < 1000


def test_the_scenario_in_the_docs_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "mine.yml"
    file.write_text(example)
    simulation = scenario.play(scenario.read(file), HANDS)
    assert set(simulation.sources) == {"mnist", "japanese", "children"}
    assert set(simulation.sources[:300]) == {"mnist"}


def test_the_docs_tell_of_every_scenario_and_every_effect() -> None:
    scenarios, effects = DOC.read_text(encoding="utf-8").split("## A scenario of your own")
    assert sorted(re.findall(r"^\| `(\w+)` \|", scenarios, re.MULTILINE)) == scenario.names()
    rows = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \| (.*) \|$", effects, re.MULTILINE)
    assert {name for *names, _ in rows for name in names if name} == set(EFFECTS)
    for first, _, told in rows:
        if not EFFECTS[first].switch:
            assert told.endswith(f", {EFFECTS[first].low:g} to {EFFECTS[first].high:g}"), first
