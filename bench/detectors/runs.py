"""How a method is held to one rate of false alarms, and how late it then is. NumPy only: the peers' Python runs it too.

A stream is a row of indices into a pool of digits; whatever a method makes of one digit it makes once, of the pool. A
method offers options (a setting each), and an option says for every tick how alarmed it is: an alarm is where that
reaches a threshold. `settle` finds the threshold on clean streams and picks the option that is fastest on tuning
streams; `examine` measures it on others. After a false alarm a method starts anew, with the next tick.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

NEVER = np.inf


@dataclass(frozen=True)
class Streams:
    """Streams of one kind: rows of digits, and where the first foreign one is."""

    digits: np.ndarray  # int32 (streams, ticks): indices into the pool
    first: np.ndarray  # int (streams,): the first foreign tick; ticks where there is none
    horizon: int = 0  # ticks after `first` in which an alarm counts; later it is missed


@dataclass
class Option:
    """One setting of a method.

    Either `paths`: (streams, ticks) of digits to float (streams, ticks), how alarmed at each tick when begun with the
    first; or `steps`: an iterator over the ticks of one stream, for what cannot be computed many at once.
    """

    setting: str
    paths: Callable[[np.ndarray], np.ndarray] | None = None
    steps: Callable[[np.ndarray], Iterator[float]] | None = None
    threshold: float | None = None  # None: to be found
    chunk: int = 1  # it looks only at whole chunks of so many ticks, and remembers nothing of the earlier ones


@dataclass
class Method:
    """A method by the name it has in the table, with the options to choose from."""

    name: str
    options: list[Option]
    tuned: bool = True  # held to the rate; otherwise it is what it is, and its rate is told
    only: tuple[str, ...] = ()  # the kinds of streams it can be asked about; none named: all
    note: str = ""
    clean: int = 1_000_000  # clean ticks to measure its rate with: fewer for the slow ones


def first_alarms(option: Option, streams: np.ndarray, threshold: float, start: np.ndarray) -> np.ndarray:
    """The first alarm at or after `start` (streams,) of an option begun there, -1 where there is none."""
    ticks = streams.shape[1]
    if option.paths is None:
        assert option.steps is not None
        found = np.full(len(streams), -1)
        for row, (stream, begin) in enumerate(zip(streams, start, strict=True)):
            for tick, alarmed in enumerate(option.steps(stream[begin:]), int(begin)):
                if alarmed >= threshold:
                    found[row] = tick
                    break
        return found
    longest = ticks - int(start.min())
    place = start[:, None] + np.arange(longest)
    path = option.paths(np.take_along_axis(streams, np.minimum(place, ticks - 1), axis=1))
    hit = (path >= threshold) & (place < ticks)
    return np.where(hit.any(axis=1), start + hit.argmax(axis=1), -1)


def false_alarms(option: Option, streams: np.ndarray, threshold: float) -> int:
    """Alarms in clean streams, the method begun anew after each."""
    start, rows, count = np.zeros(len(streams), int), np.arange(len(streams)), 0
    while len(rows):
        at = first_alarms(option, streams[rows], threshold, start[rows])
        count += int((at >= 0).sum())
        start[rows] = at + 1
        rows = rows[(at >= 0) & (at + 1 < streams.shape[1])]
    return count


def delays(option: Option, streams: Streams, threshold: float) -> np.ndarray:
    """Ticks from the first foreign one to the alarm (streams,), both counted: 1 at best, NEVER where it is missed."""
    # A method of chunks need not be asked about those that lie wholly before: it would remember nothing of them.
    start = streams.first // option.chunk * option.chunk if option.chunk > 1 else np.zeros(len(streams.first), int)
    late = np.full(len(start), NEVER)
    rows = np.arange(len(start))
    while len(rows):
        at = first_alarms(option, streams.digits[rows], threshold, start[rows])
        true = at >= streams.first[rows]
        late[rows[true]] = at[true] - streams.first[rows[true]] + 1
        early = (at >= 0) & ~true
        start[rows[early]] = at[early] + 1
        rows = rows[early]
    return np.where(late <= streams.horizon, late, NEVER)


def least_threshold(option: Option, streams: np.ndarray, rate: float) -> float:
    """The least threshold with at most `rate` first alarms a tick in clean streams.

    It is just above every value they have if no other holds them to that.
    """
    if option.paths is not None:
        path = option.paths(streams)
    else:
        assert option.steps is not None
        path = np.array([list(option.steps(stream)) for stream in streams])
    record = np.maximum.accumulate(path, axis=1)
    candidates = np.unique(record)
    candidates = candidates[np.isfinite(candidates)]
    low, high = 0, len(candidates)
    while low < high:
        middle = (low + high) // 2
        reached = record >= candidates[middle]
        alarmed = reached[:, -1]
        exposure = np.where(alarmed, reached.argmax(axis=1) + 1, path.shape[1]).sum()
        if alarmed.sum() <= rate * exposure:
            high = middle
        else:
            low = middle + 1
    return float(candidates[low] if low < len(candidates) else np.nextafter(candidates[-1], np.inf))


@dataclass(frozen=True)
class Trial:
    """What all methods are tried on."""

    clean: np.ndarray  # (streams, ticks): to find thresholds with
    control: np.ndarray  # (streams, ticks): to measure the rate they have
    tuning: dict[str, Streams]  # to choose between options
    tests: dict[str, Streams]  # what is reported
    rate: float  # false alarms a tick that are allowed


def settle(method: Method, trial: Trial) -> tuple[Option, float]:
    """The best option and its threshold: of those held to the rate the one with the least mean delay in tuning."""
    if not method.tuned:
        option = method.options[0]
        assert option.threshold is not None
        return option, option.threshold
    clean = cut(trial.clean, method.clean)
    found = []
    for number, option in enumerate(method.options):
        if option.threshold is None:
            threshold = least_threshold(option, clean, trial.rate)
        elif false_alarms(option, clean, option.threshold) <= trial.rate * clean.size:
            threshold = option.threshold
        else:
            continue
        if len(method.options) == 1:
            return option, threshold
        late = [
            np.minimum(delays(option, streams, threshold), streams.horizon).mean()
            for name, streams in trial.tuning.items()
            if not method.only or name in method.only
        ]
        found.append((sum(late), number, threshold))
    if not found:  # every option is louder than allowed: the quietest, never to alarm, stands for them
        return method.options[-1], NEVER
    _, number, threshold = min(found)
    return method.options[number], threshold


def examine(method: Method, trial: Trial) -> dict[str, Any]:
    """The figures of one method: its setting, its rate on clean streams, its delays on every kind of test streams."""
    started = time.perf_counter()
    option, threshold = settle(method, trial)
    control = cut(trial.control, method.clean)
    alarms = false_alarms(option, control, threshold)
    late = {
        name: delays(option, streams, threshold).tolist()
        for name, streams in trial.tests.items()
        if not method.only or name in method.only
    }
    return {
        "name": method.name,
        "setting": option.setting,
        "threshold": threshold,
        "tuned": method.tuned,
        "note": method.note,
        "false_alarms": alarms,
        "clean_ticks": int(control.size),
        "delays": late,
        "seconds": time.perf_counter() - started,
    }


def cut(streams: np.ndarray, ticks: int) -> np.ndarray:
    """As many of the streams as hold so many ticks, at least one."""
    return streams[: max(1, ticks // streams.shape[1])]
