"""Who writes which digit when: a small YAML file of formulas, and the simulation that comes of it.

    description: Japanese digits come and go twice.
    seed: 2                 # the same file gives the same digits in the same order
    ticks: 100              # one request each
    start: 2025-01-01       # the simulated date of tick 0 ...
    step: 1 day             # ... and how far it is to the next: minutes, hours, days or weeks
    sources:                # by digits.data's names: a weight for every tick; the heaviest source writes the digit
      mnist: 0.1 + 0.1 * rand
      japanese: 0.5 * sin(2 * pi * x)

A formula may use t, the tick from 0; x, which goes from 0 to 1 over the simulation; rand, a number in [0, 1) drawn for
each tick and source; pi; and the functions of digits.formulas. A negative weight counts as 0.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from digits.data import NAMES, Digits
from digits.formulas import FormulaError, evaluate
from digits.images import DataError

FOLDER = Path(__file__).with_name("scenarios")
MOST_TICKS = 1_000_000
_FIELDS = ("description", "seed", "ticks", "start", "step", "sources")


class ScenarioError(DataError):
    """A scenario that cannot be played; the message names file, field and remedy."""


@dataclass(frozen=True)
class Scenario:
    """What a scenario file says, checked; how heavy each source is when."""

    name: str
    description: str
    seed: int
    ticks: int
    start: datetime
    step: timedelta
    sources: dict[str, str]  # name -> formula
    file: Path

    def dates(self) -> list[str]:
        """The simulated date of each tick: 2025-01-01, with the time where a step is not of whole days."""
        times = [self.start + tick * self.step for tick in range(self.ticks)]
        if self.step % timedelta(days=1) or self.start.time() != datetime.min.time():
            return [time.isoformat(timespec="minutes") for time in times]
        return [time.date().isoformat() for time in times]

    def weights(self) -> np.ndarray:
        """Weights (ticks, sources), none negative. Raises ScenarioError where a formula cannot be worked out."""
        t = np.arange(self.ticks, dtype=float)
        rand = _random(self.seed, 0).random((self.ticks, len(self.sources)))
        columns = []
        for source, (name, formula) in enumerate(self.sources.items()):
            try:
                given = {"t": t, "x": t / max(self.ticks - 1, 1), "rand": rand[:, source]}
                columns.append(np.maximum(evaluate(formula, given), 0))
            except FormulaError as error:
                raise ScenarioError(f"{self.file}: sources.{name}: {error}") from error
        weights = np.column_stack(columns)
        if not (alive := weights.max(axis=1) > 0).all():
            tick = int(np.argmin(alive))
            raise ScenarioError(f"{self.file}: sources: no weight is above 0 at tick {tick}; let one always be")
        return weights


@dataclass(frozen=True)
class Simulation:
    """A scenario played: what is sent at each tick, in order."""

    dates: list[str]
    weights: np.ndarray  # (ticks, sources)
    sources: list[str]  # of each tick, who writes
    labels: np.ndarray  # uint8 (ticks,)
    images: np.ndarray  # uint8 (ticks, 28, 28)


def play(scenario: Scenario, digits: dict[str, Digits]) -> Simulation:
    """The simulation of a scenario with the digits of its sources. The same arguments give the same simulation.

    A source's digits come in an order of chance, and none comes twice before all have come.
    """
    weights = scenario.weights()
    served = weights.argmax(axis=1)
    images = np.empty((scenario.ticks, *next(iter(digits.values())).images.shape[1:]), np.uint8)
    labels = np.empty(scenario.ticks, np.uint8)
    for source, name in enumerate(scenario.sources):
        ticks = np.flatnonzero(served == source)
        order = _random(scenario.seed, 1 + source).permutation(len(digits[name]))
        chosen = np.resize(order, len(ticks))
        images[ticks], labels[ticks] = digits[name].images[chosen], digits[name].labels[chosen]
    names = list(scenario.sources)
    return Simulation(scenario.dates(), weights, [names[source] for source in served], labels, images)


def read(named: str | Path, **changes: Any) -> Scenario:
    """The scenario in a file, or the one of digits/scenarios of that name; `changes` replace fields of it.

    Raises ScenarioError.
    """
    import yaml

    file = Path(named)
    if file.suffix not in (".yml", ".yaml"):
        file = FOLDER / f"{named}.yml"
        if not file.is_file():
            raise ScenarioError(f"no scenario is called {named}; choose {', '.join(names())}, or name a .yml file")
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{file}: is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        raise ScenarioError(f"{file}{place}: is not YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(document, dict):
        raise ScenarioError(f"{file}: is not a scenario; it needs the fields {', '.join(_FIELDS)}")
    document.update({field: value for field, value in changes.items() if value is not None})
    scenario = _checked(document, file)
    scenario.weights()
    return scenario


def names() -> list[str]:
    """The scenarios that come with the package."""
    return sorted(file.stem for file in FOLDER.glob("*.yml"))


def _checked(document: dict[str, Any], file: Path) -> Scenario:
    unknown = [str(field) for field in document if field not in _FIELDS]
    if unknown:
        raise ScenarioError(f"{file}: {unknown[0]}: is not a field; a scenario has {', '.join(_FIELDS)}")
    sources = document.get("sources")
    if not isinstance(sources, dict) or not sources:
        raise ScenarioError(f"{file}: sources: name at least one of {', '.join(NAMES)}, with a formula for its weight")
    for name, formula in sources.items():
        if name not in NAMES:
            raise ScenarioError(f"{file}: sources.{name}: is not a source; choose from {', '.join(NAMES)}")
        if isinstance(formula, bool) or not isinstance(formula, str | int | float):
            raise ScenarioError(f"{file}: sources.{name}: needs a formula, such as 0.1 + 0.1 * rand")
    start, step = _start(document.get("start", "2025-01-01"), file), _step(document.get("step", "1 day"), file)
    ticks = _whole(document, "ticks", 100, 1, MOST_TICKS, file)
    try:
        _ = start + ticks * step
    except OverflowError as error:
        raise ScenarioError(f"{file}: step: {ticks} of them reach past the year 9999; use fewer or shorter") from error
    return Scenario(
        name=file.stem,
        description=str(document.get("description", "")),
        seed=_whole(document, "seed", 0, 0, 2**32 - 1, file),
        ticks=ticks,
        start=start,
        step=step,
        sources={name: str(formula) for name, formula in sources.items()},
        file=file,
    )


def _whole(document: dict[str, Any], field: str, default: int, least: int, most: int, file: Path) -> int:
    value = document.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ScenarioError(f"{file}: {field}: {value!r} is not a whole number from {least} to {most:,}")
    return value


def _start(value: Any, file: Path) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    try:
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError as error:
        raise ScenarioError(f"{file}: start: {value!r} is not a date such as 2025-01-01") from error


def _step(value: Any, file: Path) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(minute|hour|day|week)s?", str(value).strip())
    try:
        step = timedelta(**{f"{found[2]}s": float(found[1])}) if found else timedelta(0)
    except OverflowError:
        step = timedelta(0)
    if not step:
        raise ScenarioError(f"{file}: step: {value!r} is not a length of time such as 1 day, 6 hours or 30 minutes")
    return step


def _random(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, stream])
