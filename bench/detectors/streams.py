"""The streams methods are tried on: clean ones, sudden changes, two scenarios, and changes that are hard to see."""

from dataclasses import dataclass, replace

import numpy as np

from digits.data.sets import Digits
from drift.traffic import scenario, simulation

from .runs import Streams, Trial
from .world import FOREIGN, REAL, World

PREFIX = (50, 250)  # clean ticks before a sudden change: from, below
RUN_IN = 200  # clean ticks before a scenario
LONG = 5_000  # ticks of a clean stream
SUDDEN, HARD = 400, 1_000  # ticks in which a change should be seen
RATE = 1e-4  # false alarms a tick that are allowed
TUNING = 100  # streams of each kind to choose options with
OFTEN, WRITER = 0.5, 0.1  # how often a digit is a 1 after a shift of labels; how often the one writer in ten writes


@dataclass(frozen=True)
class Kind:
    """A kind of test streams: the column it has in the table, the table, and whose digits are foreign in it."""

    name: str
    title: str
    table: str  # "hands", "unseen" or "hard"
    foreign: str  # of FOREIGN; "" where no digit is foreign, only how often each comes


KINDS = (
    Kind("sudden-devanagari", "sudden Devanagari", "hands", "devanagari"),
    Kind("sudden-japanese", "sudden Japanese", "hands", "japanese"),
    Kind("seasonal-japanese", "seasonal Japanese", "hands", "japanese"),
    Kind("seasonal-devanagari", "seasonal Devanagari", "hands", "devanagari"),
    Kind("external-devanagari", "external Devanagari", "hands", "devanagari"),
    Kind("external-japanese", "external Japanese", "hands", "japanese"),
    *(Kind(f"sudden-{name}", title, "unseen", name) for name, title in FOREIGN.items() if name not in REAL),
    Kind("missing", "no more 1s", "hard", ""),
    Kind("shift", "half are 1s", "hard", ""),
    Kind("writer", "one in ten Devanagari", "hard", "devanagari"),
)


def trial(world: World, count: int, clean_ticks: int) -> Trial:
    """Everything methods are settled with and examined on; `count` streams of each kind."""
    rows = max(1, clean_ticks // LONG)
    return Trial(
        clean=_clean(world, rows, 1),
        control=_clean(world, rows, 2),
        tuning={
            f"sudden-{name}": sudden(world.clean, world.known[name], TUNING, SUDDEN, np.random.default_rng([3, number]))
            for number, name in enumerate(REAL)
        },
        tests={kind.name: _streams(kind, world, count, number) for number, kind in enumerate(KINDS)},
        rate=RATE,
    )


def _clean(world: World, rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(world.clean, (rows, LONG)).astype(np.int32)


def _streams(kind: Kind, world: World, count: int, number: int) -> Streams:
    rng = np.random.default_rng([4, number])
    if kind.table == "hard":
        return _hard(kind, world, count, rng)
    how, foreign = kind.name.split("-")
    if how == "sudden":
        return sudden(world.clean, world.unseen[foreign], count, SUDDEN, rng)
    return played(how, world.clean, world.unseen[foreign], count, rng)


def sudden(clean: np.ndarray, foreign: np.ndarray, count: int, horizon: int, rng: np.random.Generator) -> Streams:
    """Clean digits and, from a tick of chance on, nothing but foreign ones, none twice before all have come."""
    first = rng.integers(*PREFIX, count)
    digits = rng.choice(clean, (count, PREFIX[1] + horizon))
    for row, begin in zip(digits, first, strict=True):
        row[begin:] = np.resize(rng.permutation(foreign), len(row) - begin)
    return Streams(digits.astype(np.int32), first, horizon)


def played(name: str, clean: np.ndarray, foreign: np.ndarray, count: int, rng: np.random.Generator) -> Streams:
    """A scenario of drift.traffic.scenario after RUN_IN clean ticks, its chances drawn anew for every stream."""
    said = scenario.read(name)
    ticks = said.ticks
    nobody = Digits(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8), "")  # who writes is all that is asked
    sets = dict.fromkeys(said.sets, nobody)
    digits, first = rng.choice(clean, (count, RUN_IN + ticks)), np.empty(count, int)
    for row, seed in enumerate(rng.integers(2**32, size=count)):
        sources = simulation.play(replace(said, seed=int(seed)), sets).sources
        served = RUN_IN + np.flatnonzero([source != "mnist" for source in sources])
        first[row] = served[0]
        digits[row, served] = np.resize(rng.permutation(foreign), len(served))
    return Streams(digits.astype(np.int32), first, ticks)


def _hard(kind: Kind, world: World, count: int, rng: np.random.Generator) -> Streams:
    """From a tick of chance on: a class is missing, or half of all, or every tenth digit is another hand's."""
    ones, others = world.clean[world.labels == 1], world.clean[world.labels != 1]
    first = rng.integers(*PREFIX, count)
    shape = (count, PREFIX[1] + HARD)
    digits = rng.choice(world.clean, shape)
    if kind.name == "missing":
        changed = rng.choice(others, shape)
    elif kind.name == "shift":
        changed = np.where(rng.random(shape) < OFTEN, rng.choice(ones, shape), rng.choice(others, shape))
    else:
        foreign = rng.random(shape) < WRITER
        foreign[np.arange(count), first] = True  # so that the change begins where it is said to
        changed = np.where(foreign, rng.choice(world.unseen[kind.foreign], shape), rng.choice(world.clean, shape))
    digits = np.where(np.arange(shape[1]) < first[:, None], digits, changed)
    return Streams(digits.astype(np.int32), first, HARD)
