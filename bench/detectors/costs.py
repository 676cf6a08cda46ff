"""What our detector costs: time a request, memory over ten million ticks, and time a tick beside the peers'.

Time is the processor's, for whatever else runs must not count.
"""

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from digits.data import ink
from drift.detect.detector import Detector

from . import ours
from .exchange import Columns
from .world import World

AIM_REQUEST = 250.0  # microseconds, scores and detector
AIM_GROWTH = 1.0  # MB, over all ticks
REQUESTS = 300  # of a round
BLOCK = 1_000  # clean digits that come again and again


def request(world: World, rounds: int) -> list[dict[str, Any]]:
    """Microseconds a request: the statistics of the ink, the distance, the detector; and all of them."""
    detector, columns = _detector(world), _columns(world)
    images = world.images[:REQUESTS, None].astype(np.float32)
    each: dict[str, list[float]] = {"statistics of the ink": [], "distance, in the network": [], "detector": []}
    for _ in range(rounds):
        each["statistics of the ink"].append(_microseconds(lambda n: ink.statistics(images[n])))
        without = _microseconds(lambda n: world.eye.blind.answers(images[n]))
        each["distance, in the network"].append(_microseconds(lambda n: world.eye.lite.answers(images[n])) - without)
        each["detector"].append(_microseconds(lambda n: detector.update(columns[n])))
    each["a request, all of them"] = [sum(turn) for turn in zip(*each.values(), strict=True)]
    rows: list[dict[str, Any]] = [
        {"name": name, "value": statistics.median(turns), "min": min(turns), "max": max(turns), "unit": "µs"}
        for name, turns in each.items()
    ]
    rows[-1] |= {"aim": AIM_REQUEST, "holds": rows[-1]["value"] < AIM_REQUEST}
    return rows


def memory(world: World, ticks: int) -> dict[str, Any]:
    """Megabytes the process grew by in so many ticks, and what Python itself holds more after a hundredth of them."""
    detector = _detector(world)
    table = {name: values[world.clean[:BLOCK]] for name, values in world.pool.items()}

    def run(count: int) -> None:
        for _ in range(max(1, count // BLOCK)):
            detector.update(table)

    run(10 * BLOCK)
    process = psutil.Process()
    before = process.memory_info().rss
    run(ticks)
    growth = (process.memory_info().rss - before) / 1e6
    tracemalloc.start()
    run(BLOCK)
    held = tracemalloc.get_traced_memory()[0]
    run(ticks // 100)  # traced, a tick takes many times as long
    traced = (tracemalloc.get_traced_memory()[0] - held) / 1e6
    tracemalloc.stop()
    return {
        "name": f"memory, {ticks:,} ticks", "value": growth, "traced_mb": traced, "unit": "MB",
        "aim": AIM_GROWTH, "holds": growth < AIM_GROWTH and traced < AIM_GROWTH,
    }  # fmt: skip


def beside(world: World, ask: Callable[[], list[dict[str, Any]]], rounds: int) -> list[dict[str, Any]]:
    """How many times as long as ours a tick of each peer takes, round by round; `ask` has the peers measured once.

    Compared is what a peer does: from the scores of a digit on, so without the ink and the distance.
    """
    detector, columns = _detector(world), _columns(world)
    times: dict[str, list[float]] = {}
    for turn in range(rounds):
        rows = ask()
        own = _microseconds(lambda n: detector.update(columns[n]))
        for row in rows:
            times.setdefault(row["name"], []).append(row["microseconds"] / own)
        print(f"round {turn + 1}: ours takes {own:.1f} µs a tick", file=sys.stderr, flush=True)
    return [
        {"name": f"{name} / ours", "value": statistics.median(each), "min": min(each), "max": max(each), "unit": "×"}
        for name, each in times.items()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| cost | median (min..max) | aim | |", "|---|---:|---:|---|"]
    for row in rows:
        spread = f" ({row['min']:.3g}..{row['max']:.3g})" if "min" in row else ""
        aim = f"< {row['aim']:g}" if "aim" in row else ""
        told = {True: "holds", False: "**missed**", None: ""}[row.get("holds")]
        lines.append(f"| {row['name']} | {row['value']:.3g}{spread} {row['unit']} | {aim} | {told} |")
    return "\n".join(lines)


def _detector(world: World) -> Detector:
    return Detector(ours.known(world.reference, world.neighbours), gamma=ours.GAMMA)


def _columns(world: World) -> list[Columns]:
    return [{name: values[[row]] for name, values in world.pool.items()} for row in world.clean[:REQUESTS]]


def _microseconds(part: Callable[[int], Any]) -> float:
    part(0)
    start = time.process_time()
    for number in range(REQUESTS):
        part(number)
    return 1e6 * (time.process_time() - start) / REQUESTS
