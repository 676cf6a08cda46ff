"""Simulations: what the scenarios of the package do, that the same gives the same, and that memory is no matter."""

import hashlib
import tracemalloc
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from digits.data.sets import Digits
from drift.traffic import scenario
from drift.traffic.scenario import ScenarioError

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
        ("steady", {}, 2081883898),
        ("seasonal", {}, 2984214650),
        ("external", {}, 762417063),
        ("steady", {"ticks": 3001, "seed": 9, "step": "90 minutes"}, 4145301049),
        ("seasonal", {"ticks": 3001, "seed": 9, "step": "90 minutes"}, 3856304769),
        ("external", {"ticks": 3001, "seed": 9, "step": "90 minutes"}, 622235092),
    ],
)
def test_a_scenario_is_the_same_in_every_version(name: str, changes: dict[str, Any], expected: int) -> None:
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
    assert int(found.hexdigest()[:8], 16) == expected


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
        assert simulation.images.dtype == np.uint8 and simulation.images[fault].std(axis=(1, 2)).mean() > 0.5


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
    blocks = scenario.stream(scenario.read("external", ticks=1_000_000, step="1 minute"), HANDS)
    ticks = 0
    tracemalloc.start()  # not to the end, for it makes everything slow: what were kept of every tick shows by then
    try:
        while ticks < 100_000:
            ticks += len(next(blocks).dates)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3e6
    assert ticks + sum(len(block.dates) for block in blocks) == 1_000_000


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
