"""Scenarios: what the ones of the package do, what a file may say, and how a bad one is refused."""

import hashlib
import re
import tracemalloc
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits import scenario
from digits.data import Digits
from digits.formulas import FormulaError, evaluate
from digits.scenario import ScenarioError

DOC = Path(__file__).parents[2] / "docs" / "drift.md"

HANDS = {
    name: Digits(
        np.full((20, 28, 28), 10 * k, np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None],
        np.arange(20, dtype=np.uint8) % 10,
        name,
    )
    for k, name in enumerate(("mnist", "devanagari", "japanese"))
}


def played(name: str | Path, **changes: object) -> scenario.Simulation:
    return scenario.play(scenario.read(name, **changes), HANDS)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a scenario's sources, and other fields, to a file of its own."""

    def write(sources: str, **more: object) -> Path:
        file = tmp_path / "mine.yml"
        file.write_text(yaml.safe_dump(more) * bool(more) + f"sources: {sources}\n")
        return file

    return write


def test_steady_is_mnist_alone() -> None:
    assert set(played("steady").sources) == {"mnist"}


def test_seasonal_comes_and_goes_twice() -> None:
    sources = np.array(played("seasonal").sources)
    foreign = np.flatnonzero(sources == "japanese")
    assert set(foreign) <= {*range(20, 40), *range(60, 80)}
    assert (sources[27:36] == "japanese").mean() > 0.8 and (sources[67:76] == "japanese").mean() > 0.8


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("steady", {}, "7c1706faa77082dd"),
        ("seasonal", {}, "b1df807a0f09416e"),
        ("external", {}, "2d718fa72ad5095b"),
        ("steady", {"ticks": 3001, "seed": 9, "step": "90 minutes"}, "f7144639b91a4459"),
        ("seasonal", {"ticks": 3001, "seed": 9, "step": "90 minutes"}, "e5da8a817bf40f3e"),
        ("external", {"ticks": 3001, "seed": 9, "step": "90 minutes"}, "25168dd452e2df93"),
    ],
)
def test_a_scenario_is_the_same_in_every_version(name: str, changes: dict[str, Any], expected: str) -> None:
    """As the first version of it, which held all ticks at once, played it."""
    digits = {}
    for k, (hand, n) in enumerate((("mnist", 300), ("devanagari", 70), ("japanese", 110))):
        i = np.arange(n * 784, dtype=np.int64)
        images = ((i * (31 + 2 * k) + i // 784 * 7) % 251).astype(np.uint8).reshape(n, 28, 28)
        digits[hand] = Digits(images, (np.arange(n) * 7 % 10).astype(np.uint8), hand)
    simulation = scenario.play(scenario.read(name, **changes), digits)
    found = hashlib.sha256("\n".join(simulation.dates).encode())
    found.update("\n".join(simulation.sources).encode())
    found.update(np.rint(simulation.weights * 1e9).astype("<i8").tobytes())
    found.update(simulation.labels.tobytes() + simulation.images.tobytes())
    assert found.hexdigest()[:16] == expected


def test_every_scenario_that_comes_along_says_what_happens() -> None:
    for name in scenario.names():
        plan = scenario.read(name)
        assert plan.description.endswith("."), name
        served = scenario.play(plan, HANDS).sources
        assert len(served) == plan.ticks and set(served) == set(plan.sources), name
        assert set(served[: plan.ticks // 4]) == {"mnist"} or name == "weekly", "there is a beginning to compare with"


def test_sudden_is_from_one_day_to_the_next() -> None:
    assert played("sudden").sources == ["mnist"] * 50 + ["devanagari"] * 50


def test_blend_comes_little_by_little() -> None:
    foreign = np.array(played("blend", ticks=10_000).sources) == "japanese"
    shares = foreign.reshape(5, -1).mean(axis=1)
    assert shares == pytest.approx([0, 0.075, 0.225, 0.375, 0.525], abs=0.03)


def test_writer_writes_fifteen_digits_of_a_hundred() -> None:
    mine = np.array(played("writer", ticks=10_000).sources) == "newcomer"
    assert not mine[:3000].any() and mine[3000:].mean() == pytest.approx(0.15, abs=0.01)


def test_weekly_comes_at_weekends() -> None:
    simulation = played("weekly")
    days = {name: set() for name in ("mnist", "japanese")}
    for day, source in zip(simulation.dates, simulation.sources, strict=True):
        days[source].add(date.fromisoformat(day).isoweekday())
    assert days == {"mnist": {1, 2, 3, 4, 5}, "japanese": {6, 7}}


def test_fading_loses_a_class() -> None:
    sevens = (played("fading", ticks=10_000).labels == 7).reshape(10, -1).mean(axis=1)
    assert sevens[0] == pytest.approx(0.1, abs=0.03) and sevens[5] == pytest.approx(0.035, abs=0.02)
    assert not sevens[8:].any()


def test_labels_shift() -> None:
    labels = played("labels", ticks=20_000).labels
    before, after = (np.bincount(half, minlength=10) / 10_000 for half in np.split(labels, 2))
    assert before == pytest.approx(np.full(10, 0.1), abs=0.015)
    assert after == pytest.approx(np.where(np.isin(np.arange(10), (1, 4, 9)), 3, 1) / 16, abs=0.015)


@pytest.mark.parametrize("name", ["inverted", "unit", "blur", "noise"])
def test_a_fault_leaves_the_labels_and_changes_the_images(name: str) -> None:
    simulation = played(name)
    fault = np.array(simulation.sources) != "mnist"
    numbers = simulation.images.max(axis=(1, 2))
    own = {int(image[0, 0]) for image in HANDS["mnist"].images}
    assert fault[50:].all() and not fault[:33].any()
    assert set(numbers[~fault].tolist()) <= own
    if name == "unit":
        assert simulation.images.dtype == np.float32 and numbers[fault].max() <= 19 / 255
    elif name == "inverted":
        assert numbers[fault].min() >= 255 - 19
    else:
        assert simulation.images.dtype == np.uint8 and (simulation.images[fault].std(axis=(1, 2))[1:] > 0).all()


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


EVERYTHING = """
  mnist: {weight: 0.4 + 0.1 * rand, classes: {7: 1 - x, 3: rand}}
  worn:
    weight: rand
    digits: japanese
    effects: {blur: x, noise: 20 * rand, salt: 0.02, rotate: 40 * (rand - 0.5), thicken: 1.5, unit: "since(x, 0.5)"}
    classes: {0: 0}
  devanagari: 0.9 * rand
"""


def test_the_size_of_the_blocks_changes_nothing(write: Any) -> None:
    plan = scenario.read(write(EVERYTHING, ticks=700, seed=3))
    whole = scenario.play(plan, HANDS)
    for block in (1, 13, 512, 10_000):
        parts = list(scenario.stream(plan, HANDS, block))
        assert max(len(part.dates) for part in parts) == min(block, 700)
        assert [day for part in parts for day in part.dates] == whole.dates
        assert [source for part in parts for source in part.sources] == whole.sources
        for name in ("weights", "labels", "images"):
            assert (np.concatenate([getattr(part, name) for part in parts]) == getattr(whole, name)).all(), name


def test_a_million_ticks_take_little_memory() -> None:
    plan = scenario.read("external", ticks=1_000_000, step="1 minute")
    tracemalloc.start()
    try:
        ticks = sum(len(block.dates) for block in scenario.stream(plan, HANDS))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ticks == 1_000_000 and peak < 8e6


def test_no_digit_comes_twice_before_all_have_come() -> None:
    pixels = played("steady").images[:, 0, 0]
    assert len(set(pixels[:20])) == len(set(pixels[20:40])) == 20


def test_no_digit_comes_twice_before_all_of_its_class_have_come(write: Any) -> None:
    simulation = played(write("{mnist: {weight: 1, classes: {4: 3}}}"))
    fours = simulation.images[simulation.labels == 4][:, 0, 0]
    assert len(fours) > 10 and all(fours[k] != fours[k + 1] for k in range(0, len(fours) - 1, 2))


def test_a_class_at_0_never_comes_and_an_enormous_one_alone(write: Any) -> None:
    assert not (played(write("{mnist: {weight: 1, classes: {7: 0, 2: -1}}}"), ticks=1000).labels % 5 == 2).any()
    assert (played(write("{mnist: {weight: 1, classes: {7: 1e308}}}")).labels == 7).all()


def test_classes_that_the_digits_do_not_have_are_refused(write: Any) -> None:
    few = {"mnist": Digits(HANDS["mnist"].images[:3], HANDS["mnist"].labels[:3], "three digits")}
    plan = scenario.read(write("{mnist: {weight: 1, classes: {0: 0, 1: 0, 2: 1 - t}}}"))
    with pytest.raises(ScenarioError, match=r"sources\.mnist\.classes: no class of the digits is above 0 at tick 1;"):
        scenario.play(plan, few)


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
    "a source of a source": (
        "sources: {a: {weight: 1, digits: b}}",
        "sources.a.digits: 'b' is no set of digits; choose",
    ),
    "no digits": ("sources: {a: {weight: 1}}", "sources.a.digits: is missing; choose from mnist"),
    "no weight of its own": ("sources: {mnist: {effects: {blur: 1}}}", "sources.mnist.weight: is missing; give it"),
    "another's name": (
        "sources: {mnist: {weight: 1, digits: japanese}}",
        "sources.mnist.digits: are those of japanese",
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
        "sources.mnist.effects: 'blur' is no list of effects",
    ),
    "an unknown effect": (
        "sources: {mnist: {weight: 1, effects: {fog: 1}}}",
        "effects.fog: is not an effect; choose from",
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
    "an effect that is no switch": (
        "sources: {mnist: {weight: 1, effects: {blur: true}}}",
        "blur: needs a formula; it goes",
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
        "mnist.classes.10: is no class; classes are 0",
    ),
    "a class by name": ("sources: {mnist: {weight: 1, classes: {seven: 1}}}", "mnist.classes.seven: is no class"),
    "a class's formula": ("sources: {mnist: {weight: 1, classes: {7: 1 -}}}", "classes.7: '1 -' is not a formula"),
    "no class at all": (
        f"sources: {{mnist: {{weight: 1, classes: {{{', '.join(f'{k}: 5 - t' for k in range(10))}}}}}}}",
        "sources.mnist.classes: no class of the digits is above 0 at tick 5; let one always be",
    ),
    "a text that is none": (
        "sources: {mnist: 1}\ndescription: [a]",
        "description: ['a'] is not a text; put it in quotes",
    ),
    "no such date": ("sources: {mnist: 1}\nstart: 2025-13-01", "is not YAML that can be read: ValueError"),
    "a name of two lines": ('sources: {"a\\nb": 1}', "sources.a b: is not a source"),
    "an enormous number": (
        "sources: {mnist: 1}\nticks: 0x" + "f" * 9000,
        "ticks: a number of thousands of digits is not",
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
    with pytest.raises(ScenarioError, match="no scenario is called monsoon; choose blend, blur, external, .*seasonal"):
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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENTS | st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner)))
def test_any_document_is_played_or_refused_in_one_line(tmp_path: Path, document: Any) -> None:
    file = tmp_path / "any.yml"
    file.write_text(yaml.safe_dump(document, allow_unicode=False), encoding="utf-8")
    try:
        simulation = played(file)
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
    simulation = played(file)
    assert set(simulation.sources) == set(scenario.read(file).sources) and len(simulation.sources) > 2


def test_the_docs_tell_of_every_scenario() -> None:
    told = re.findall(r"^\| `(\w+)` \|", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in told if name in scenario.names()] == told and sorted(told) == scenario.names()
