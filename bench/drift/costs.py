"""What our detector costs: time a request, memory over ten million ticks, and time a tick beside the peers'."""

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import psutil

from digits import ink
from drift import ours
from drift.world import World

AIM_REQUEST = 250.0  # microseconds, scores and detector
AIM_GROWTH = 1.0  # MB, over all ticks
REQUESTS, TICKS = 300, 20_000  # of a round


def request(world: World, rounds: int) -> list[dict[str, Any]]:
    """Microseconds a request: the statistics of the ink, the distance, the evidence, the sum; and all of them."""
    fitted = ours.fit(world.reference)
    update = ours.watch(fitted, gamma=ours.GAMMA)
    columns = [{name: values[[row]] for name, values in world.pool.items()} for row in world.clean[:REQUESTS]]
    embedding = [world.embedding[[row]] for row in world.clean[:REQUESTS]]
    evidence = [float(ours.evidence(fitted, each)[0]) for each in columns]
    parts: dict[str, Callable[[int], Any]] = {
        "statistics of the ink": lambda n: ink.statistics(world.images[n][None]),
        "distance": lambda n: world.eye.distance(embedding[n]),
        "evidence": lambda n: ours.evidence(fitted, columns[n]),
        "sum": lambda n: update(evidence[n]),
    }
    each: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            each[name].append(_microseconds(part, REQUESTS))
    each["a request, all of them"] = [sum(turn) for turn in zip(*each.values(), strict=True)]
    return [
        {"name": name, "value": statistics.median(turns), "min": min(turns), "max": max(turns), "unit": "µs"}
        | (
            {"aim": AIM_REQUEST, "holds": statistics.median(turns) < AIM_REQUEST}
            if name.startswith("a request")
            else {}
        )
        for name, turns in each.items()
    ]


def memory(world: World, ticks: int) -> dict[str, Any]:
    """Megabytes the process grew by in so many ticks, and what Python itself holds more after a tenth of them."""
    fitted = ours.fit(world.reference)
    update = ours.watch(fitted, gamma=ours.GAMMA)
    e = ours.evidence(fitted, {name: values[world.clean] for name, values in world.pool.items()}).tolist()

    def run(count: int) -> None:
        for begin in range(0, count, len(e)):
            for value in e[: count - begin]:
                update(value)

    run(len(e))
    process = psutil.Process()
    before = process.memory_info().rss
    run(ticks)
    growth = (process.memory_info().rss - before) / 1e6
    tracemalloc.start()
    run(len(e))
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

    Compared is what a peer compares: from the scores of a digit on, so not the ink nor the distance.
    """
    fitted = ours.fit(world.reference)
    update = ours.watch(fitted, gamma=ours.GAMMA)
    columns = [{name: values[[row]] for name, values in world.pool.items()} for row in world.clean[:REQUESTS]]
    times: dict[str, list[float]] = {}
    for turn in range(rounds):
        own = _microseconds(lambda n: update(float(ours.evidence(fitted, columns[n])[0])), REQUESTS)
        for row in ask():
            times.setdefault(row["name"], []).append(row["microseconds"] / own)
        print(f"round {turn + 1}: ours takes {own:.1f} µs a tick", file=sys.stderr)
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


def _microseconds(part: Callable[[int], Any], count: int) -> float:
    part(0)
    start = time.perf_counter()
    for number in range(count):
        part(number)
    return 1e6 * (time.perf_counter() - start) / count
