"""Whether our detector keeps what it promises: false alarms counted in many clean ticks, and in many clean splits."""

import sys
from typing import Any

import numpy as np
from scipy.stats import beta

from . import ours, runs
from .exchange import Columns
from .runs import Option
from .world import World

FEW, DRAWS = 670, 5  # digits of a small reference, and how many of those are drawn
STREAMS = 500  # played at once
CHECKED, CHECKED_TICKS = 3, 1_000  # of which streams and ticks the detector itself is asked about


def interval(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval for a share of which `count` in `of` were seen (Biometrika 26, 1934)."""
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, of - count)) if count < of else 1.0
    return low, high


def gamma(world: World, ticks: int) -> list[dict[str, Any]]:
    """False alarms in so many clean ticks: with the whole reference, and with DRAWS small ones."""
    rng = np.random.default_rng(5)
    whole = len(world.reference["confidence"])
    rows = []
    for size, draws in ((whole, 1), (FEW, DRAWS)) if whole > 2 * FEW else ((whole, 1),):
        counts = []
        length = max(1, ticks // draws // STREAMS)
        for _ in range(draws):
            chosen = rng.permutation(whole)[:size]
            reference = ours.known(_rows(world.reference, chosen), world.neighbours)
            streams = rng.choice(world.clean, (STREAMS, length))
            ours.check(reference, world.pool, streams[:CHECKED, :CHECKED_TICKS])
            option = Option("", ours.paths(reference, world.pool))
            counts.append(runs.false_alarms(option, streams, float(np.log(ours.GAMMA))))
            print(f"reference of {size:,}: {counts[-1]} alarms in {STREAMS * length:,} ticks", file=sys.stderr)
        rows.append(
            _row(f"gamma, reference of {size:,}", sum(counts), draws * STREAMS * length, 1 / ours.GAMMA, counts)
        )
    return rows


def certified(world: World, splits: int) -> dict[str, Any]:
    """Of so many splits of all clean digits in a reference and a stream: those with ever an alarm."""
    rng = np.random.default_rng(6)
    clean = {name: np.concatenate([values, world.pool[name][world.clean]]) for name, values in world.reference.items()}
    half, count = len(world.reference["confidence"]), len(clean["confidence"])
    ever = 0
    for number in range(splits):
        mixed = rng.permutation(count)
        reference = ours.known(_rows(clean, mixed[:half]), world.neighbours)
        ever += ours.certified(reference, _rows(clean, mixed[half:]))
        if (number + 1) % 20 == 0:
            print(f"{number + 1} splits: {ever} with an alarm", file=sys.stderr, flush=True)
    return _row(f"certified, {half:,} + {count - half:,} digits", ever, splits, ours.CERTIFIED, [])


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| promise | false alarms | of | share, 95 % interval | promised at most | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        told = "holds" if row["holds"] else "**broken**"
        share = f"{row['share']:.3g} ({row['low']:.3g}..{row['high']:.3g})"
        lines.append(f"| {row['name']} | {row['count']} | {row['of']:,} | {share} | {row['promised']:g} | {told} |")
    return "\n".join(lines)


def _row(name: str, count: int, of: int, promised: float, each: list[int]) -> dict[str, Any]:
    low, high = interval(count, of)
    # Broken is what the interval rules out: a share that happens to lie a little above proves nothing.
    return {
        "name": name, "count": count, "of": of, "share": count / of, "low": low, "high": high,
        "promised": promised, "holds": low <= promised, "each": each,
    }  # fmt: skip


def _rows(columns: Columns, chosen: np.ndarray) -> Columns:
    return {name: values[chosen] for name, values in columns.items()}
