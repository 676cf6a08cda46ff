"""A scenario played: which digit is sent at which tick, a block of ticks at a time, so that memory is never a matter.

Whatever the size of the blocks, a scenario gives the same simulation. Chance comes from a few streams of random
numbers, each with one purpose and read in the order of the ticks: one for the weights, and for each source one for the
order of its digits, one for their classes, one for each of its formulas and one for each of its effects.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from digits.data.sets import Digits
from digits.errors import DataError
from digits.shape import SIZE
from drift.traffic import effects
from drift.traffic.formulas import FormulaError, evaluate

BLOCK = 256  # ticks: some megabytes where effects are worked out
CLASSES = 10
_CHOICE, _CLASSES, _EFFECTS, _WORK = range(1, 5)  # a source's streams besides its order, which is 0


class ScenarioError(DataError):
    """A scenario that cannot be played; the message names file, field and remedy."""


@dataclass(frozen=True)
class Source:
    """Who writes, as formulas: how much, and what happens to it."""

    weight: str
    digits: str  # which of digits.data's sets
    effects: dict[str, str]  # drift.traffic.effects' names, in their order
    classes: dict[int, str]  # how often a class comes, relative to its share in the set


@dataclass(frozen=True)
class Scenario:
    """What a scenario file says, checked."""

    name: str
    description: str
    seed: int
    ticks: int
    start: datetime
    step: timedelta
    sources: dict[str, Source]
    file: Path

    @property
    def sets(self) -> list[str]:
        """The sets of digits it needs, by digits.data's names."""
        return list(dict.fromkeys(source.digits for source in self.sources.values()))

    def dates(self, first: int = 0, end: int | None = None) -> list[str]:
        """The simulated dates of the ticks from `first` to before `end` (default: all).

        2025-01-01, with the time where a step is not of whole days.
        """
        # By numpy: a million of datetime's own take longer than everything else of a simulation.
        ticks = np.arange(first, self.ticks if end is None else end)
        times = np.datetime64(self.start, "us") + ticks * np.timedelta64(self.step)
        whole_days = not self.step % timedelta(days=1) and self.start.time() == datetime.min.time()
        dates: list[str] = np.datetime_as_string(times.astype(f"datetime64[{'D' if whole_days else 'm'}]")).tolist()
        return dates


@dataclass(frozen=True)
class Simulation:
    """Some ticks of a scenario, or all of them: what is sent at each, in order."""

    dates: list[str]
    weights: np.ndarray  # (ticks, sources), none negative
    sources: list[str]  # of each tick, who writes
    labels: np.ndarray  # uint8 (ticks,)
    images: np.ndarray  # uint8 (ticks, 28, 28); float32 where a source of the scenario has the effect `unit`


def play(scenario: Scenario, digits: Mapping[str, Digits]) -> Simulation:
    """The whole simulation of a scenario at once; digits: the sets that it needs, by name."""
    blocks = list(stream(scenario, digits))
    return Simulation(
        scenario.dates(),
        np.concatenate([block.weights for block in blocks]),
        [name for block in blocks for name in block.sources],
        np.concatenate([block.labels for block in blocks]),
        np.concatenate([block.images for block in blocks]),
    )


def stream(scenario: Scenario, digits: Mapping[str, Digits], block: int = BLOCK) -> Iterator[Simulation]:
    """The simulation of a scenario, `block` ticks after the other. The same arguments give the same simulation.

    A source's digits come in an order of chance, and none comes twice before all have come; where the source has
    `classes`, all of its class. Raises ScenarioError where a formula cannot be worked out.
    """
    names = list(scenario.sources)
    writers = [_Writer(scenario, number, digits[source.digits]) for number, source in _numbered(scenario)]
    unit = any(effects.UNIT in source.effects for source in scenario.sources.values())
    for ticks, weights in _weights(scenario, block):
        served = weights.argmax(axis=1)
        images = np.empty((len(ticks), SIZE, SIZE), np.float32 if unit else np.uint8)
        labels = np.empty(len(ticks), np.uint8)
        for number, writer in enumerate(writers):
            if len(mine := np.flatnonzero(served == number)):
                images[mine], labels[mine] = writer.write(ticks[mine])
        dates = scenario.dates(int(ticks[0]), int(ticks[-1]) + 1)
        yield Simulation(dates, weights, [names[number] for number in served], labels, images)


def check(scenario: Scenario, block: int = 2**14) -> None:
    """Work out every formula for every tick, without digits. Raises ScenarioError where one cannot be."""
    writers = [_Formulas(scenario, number) for number, _ in _numbered(scenario)]
    for ticks, weights in _weights(scenario, block):
        served = weights.argmax(axis=1)
        for number, writer in enumerate(writers):
            if len(mine := ticks[served == number]):
                writer.numbers(mine)
                writer.classes(mine)


def _numbered(scenario: Scenario) -> Iterator[tuple[int, Source]]:
    return enumerate(scenario.sources.values())


def _weights(scenario: Scenario, block: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ticks (n,), n at most `block`, and the weights (n, sources) at them, until there are no more."""
    random = _random(scenario.seed, 0)
    for first in range(0, scenario.ticks, block):
        ticks = np.arange(first, min(first + block, scenario.ticks))
        rand = random.random((len(ticks), len(scenario.sources)))
        columns = [
            _evaluate(scenario, f"sources.{name}", source.weight, ticks, rand[:, number])
            for number, (name, source) in enumerate(scenario.sources.items())
        ]
        weights = np.maximum(np.column_stack(columns), 0)
        if not (alive := weights.max(axis=1) > 0).all():
            tick = int(ticks[np.argmin(alive)])
            raise ScenarioError(f"{scenario.file}: sources: no weight is above 0 at tick {tick}; let one always be")
        yield ticks, weights


class _Formulas:
    """A source's formulas, worked out for the ticks at which it writes, which must be given in order."""

    def __init__(self, scenario: Scenario, number: int) -> None:
        self.scenario = scenario
        name, self.source = list(scenario.sources.items())[number]
        self.field = f"sources.{name}"
        stream = (scenario.seed, 1 + number)
        self.random_classes = {label: _random(*stream, _CLASSES, label) for label in self.source.classes}
        self.random_effects = {name: _random(*stream, _EFFECTS, k) for k, name in enumerate(self.source.effects)}

    def numbers(self, ticks: np.ndarray) -> dict[str, np.ndarray]:
        """Of every effect its numbers (n,). Raises ScenarioError where one is out of the effect's range."""
        found = {}
        for name, formula in self.source.effects.items():
            field = f"{self.field}.effects.{name}"
            rand = self.random_effects[name].random(len(ticks))
            found[name] = numbers = _evaluate(self.scenario, field, formula, ticks, rand)
            effect = effects.EFFECTS[name]
            wrong = (numbers < effect.low) | (numbers > effect.high)
            if effect.switch:
                wrong |= numbers != np.rint(numbers)
            if wrong.any():
                place = int(wrong.argmax())
                raise ScenarioError(
                    f"{self.scenario.file}: {field}: is {numbers[place]:g} at tick {ticks[place]}; {wanted(name)}"
                )
        return found

    def classes(self, ticks: np.ndarray) -> np.ndarray | None:
        """How often each class comes, relative to its share: (n, 10), none negative; None where it is always 1."""
        if not self.source.classes:
            return None
        table = np.ones((len(ticks), CLASSES))
        for label, formula in self.source.classes.items():
            rand = self.random_classes[label].random(len(ticks))
            often = _evaluate(self.scenario, f"{self.field}.classes.{label}", formula, ticks, rand)
            table[:, label] = np.maximum(often, 0)
        self._some(table, ticks)
        return table

    def _some(self, table: np.ndarray, ticks: np.ndarray) -> None:
        if not (alive := table.max(axis=1) > 0).all():
            raise ScenarioError(
                f"{self.scenario.file}: {self.field}.classes: no class of the digits is above 0 at tick "
                f"{ticks[np.argmin(alive)]}; let one always be"
            )


class _Writer(_Formulas):
    """A source with its digits: what it writes at the ticks that are its own, which must be given in order."""

    def __init__(self, scenario: Scenario, number: int, digits: Digits) -> None:
        super().__init__(scenario, number)
        self.digits = digits
        stream = (scenario.seed, 1 + number)
        self.order = _random(*stream).permutation(len(digits))
        self.random_choice = _random(*stream, _CHOICE)
        self.random_work = {name: _random(*stream, _WORK, k) for k, name in enumerate(self.source.effects)}
        labels = digits.labels[self.order]
        self.by_class = [self.order[labels == label] for label in range(CLASSES)]
        self.share = np.array([len(of_class) for of_class in self.by_class]) / len(digits)
        self.written = 0
        self.written_by_class = [0] * CLASSES

    def write(self, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, 28, 28) and labels uint8 (n,)."""
        chosen = self._chosen(ticks)
        images = effects.apply(self.digits.images[chosen], self.numbers(ticks), self.random_work)
        return images, self.digits.labels[chosen]

    def _chosen(self, ticks: np.ndarray) -> np.ndarray:
        often = self.classes(ticks)
        if often is None:
            places = np.arange(self.written, self.written + len(ticks)) % len(self.order)
            self.written += len(ticks)
            return self.order[places]
        often = often / often.max(axis=1, keepdims=True) * self.share  # of huge numbers the sum were none
        self._some(often, ticks)
        upto = np.cumsum(often, axis=1)
        drawn = self.random_choice.random((len(ticks), 1))
        labels = (drawn >= upto / upto[:, -1:]).sum(axis=1)  # the first class whose part of [0, 1) has the number
        chosen = np.empty(len(ticks), self.order.dtype)
        for label in np.unique(labels):
            mine, of_class, before = labels == label, self.by_class[label], self.written_by_class[label]
            self.written_by_class[label] += int(mine.sum())
            chosen[mine] = of_class[np.arange(before, self.written_by_class[label]) % len(of_class)]
        return chosen


def wanted(effect: str) -> str:
    """What an effect's number may be, as a remedy says it."""
    if (found := effects.EFFECTS[effect]).switch:
        return "it is true or false, or a formula that is 1 or 0"
    return f"it goes from {found.low:g} to {found.high:g}, {found.told}"


def _evaluate(scenario: Scenario, field: str, formula: str, ticks: np.ndarray, rand: np.ndarray) -> np.ndarray:
    t = ticks.astype(float)
    try:
        return evaluate(formula, {"t": t, "x": t / max(scenario.ticks - 1, 1), "rand": rand})
    except FormulaError as error:
        raise ScenarioError(f"{scenario.file}: {field}: {error}") from error


def _random(seed: int, *stream: int) -> np.random.Generator:
    # Streams of different lengths do not meet: of the longer ones no third number is 0.
    return np.random.default_rng([seed, *stream])
