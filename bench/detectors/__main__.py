"""How late a change of the digits is seen: our detector, what a user would pick instead, and what is possible at best.

    python -m bench.detectors                        # $DIGITS_DATA or --data DIR: the full sets
    python -m bench.detectors --small                    # the embedded digits and a few hundred for reference
    python -m bench.detectors --only delays --packages river
    python -m bench.detectors --only promise cost        # our detector alone: what it promises, what it costs

delays: every method is held to one false alarm in 10,000 clean digits (one digit a tick), by a threshold found on clean
streams; what it then has is counted on others. Of its settings the one is kept that is fastest on streams of one half
of the foreign digits; told is the delay on streams of the other half. "-" is a change that most, or a tenth, of the
streams never told. promise: false alarms of our detector in millions of clean ticks, and in hundreds of clean splits.
cost: time a request, memory, and a tick beside the peers'. Exit code 1 when a promise or an aim is missed.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .. import environments
from . import costs, exchange, oracle, ours, promise, runs, simple, streams, worker, world
from .runs import Trial
from .world import World

DELAYS, PROMISE, COST = "delays", "promise", "cost"
PACKAGES = ("online_cp", "evidently", "river", "alibi")
PINS = Path(__file__).parent
TABLES = {
    "hands": "Real hands, in ticks since the first foreign digit, median/p90:",
    "unseen": "Sudden changes that no detector was made with:",
    "hard": "Changes of how often, not of how:",
}
FEWEST = 200  # streams of each kind

Row = dict[str, Any]


def delays(made: World, trial: Trial, file: Path, options: argparse.Namespace) -> list[Row]:
    """A row for each method, the quick ones first."""
    rows = []
    methods = simple.methods(made.reference, made.pool)
    known = ours.known(made.reference, made.neighbours)
    ours.check(known, made.pool, trial.control[:3, :1_000])
    methods += ours.methods(known, made.pool)
    for method in methods:
        rows.append(runs.examine(method, trial))
        say(f"{method.name}: {rows[-1]['seconds']:.0f} s")
    for interpreter, packages in interpreters(options):
        rows += worker.ask(interpreter, "measure", file, packages)
    rows += oracle.rows(made, trial)
    # Ours and the oracle last, where the eye compares them.
    rows.sort(key=lambda row: (row["name"] == oracle.NAME) * 2 + row["name"].startswith(ours.NAME))
    return [figures(row) for row in rows]


def interpreters(options: argparse.Namespace) -> list[tuple[Path, list[str]]]:
    """The Python that each of the packages runs in, made if need be."""
    found = []
    for name, pins in (("drift", "peers.txt"), ("drift-alibi", "alibi.txt")):
        packages = [package for package in options.packages if (package == "alibi") == (name == "drift-alibi")]
        if packages:
            found.append((environments.python(options.peers / name, PINS / pins), packages))
    return found


def figures(row: Row) -> Row:
    """What is printed of a row of `runs.examine`: medians and 90th percentiles instead of every delay."""
    low, high = promise.interval(row["false_alarms"], row["clean_ticks"])
    told = {}
    for kind, late in row["delays"].items():
        median, p90 = np.quantile(late, [0.5, 0.9], method="inverted_cdf")
        told[kind] = {
            "median": number(median),
            "p90": number(p90),
            "missed": float(np.isinf(late).mean()),
            "streams": len(late),
        }
    return {
        **row,
        "threshold": number(row["threshold"]),
        "per_10000": 1e4 * row["false_alarms"] / row["clean_ticks"],
        "per_10000_low": 1e4 * low,
        "per_10000_high": 1e4 * high,
        "delays": told,
    }


def number(value: float | None) -> float | None:
    """JSON knows no infinity."""
    return None if value is None or np.isinf(value) else float(value)


# -- what is printed


def tables(rows: list[Row]) -> str:
    parts = []
    for name, told in TABLES.items():
        kinds = [kind for kind in streams.KINDS if kind.table == name]
        lines = [
            f"| detector | false alarms in 10,000 (95 %) | {' | '.join(kind.title for kind in kinds)} |",
            f"|---|---:|{'---:|' * len(kinds)}",
        ]
        for row in rows:
            if cells := [cell(row["delays"].get(kind.name)) for kind in kinds]:
                if not any(cells):
                    continue
                rate = f"{row['per_10000']:.2g} ({row['per_10000_low']:.2g}..{row['per_10000_high']:.2g})"
                lines.append(f"| {row['name']} | {rate} | {' | '.join(cells)} |")
            if "lorden" in row:
                bounds = [f"{row['lorden'][kind.name]:.1f}" for kind in kinds]
                lines.append(f"| Lorden's bound, ln(10,000) / KL | | {' | '.join(bounds)} |")
        parts.append(f"{told}\n\n" + "\n".join(lines))
    settings = "\n".join(f"- {row['name']}: {row['setting']}{threshold(row)}" for row in rows)
    return "\n\n".join([*parts, f"Settings:\n\n{settings}"])


def cell(late: Row | None) -> str:
    if late is None:
        return ""
    return "/".join("-" if late[key] is None else f"{late[key]:.0f}" for key in ("median", "p90"))


def threshold(row: Row) -> str:
    return f", threshold {row['threshold']:.4g}" if row["tuned"] and row["threshold"] is not None else ""


def machine() -> str:
    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- the run


def run(options: argparse.Namespace, scratch: Path) -> tuple[str, list[Row], str]:
    """(where the digits come from, all rows, the tables)"""
    folder = str(options.data) if options.data else None
    made = world.make(folder, options.small, options.peers)
    say(made.told)
    trial = streams.trial(made, options.streams, options.clean)
    file = scratch / "exchange.npz"
    exchange.write(file, made.reference, made.pool, made.known, trial)
    rows, told = [], []
    if DELAYS in options.only:
        rows += delays(made, trial, file, options)
        told.append(tables(rows))
    if PROMISE in options.only:
        kept = [*promise.gamma(made, options.ticks), promise.certified(made, options.splits)]
        told.append(promise.table(kept))
        rows += kept
    if COST in options.only:
        paid = [*costs.request(made, options.rounds), costs.memory(made, options.memory)]
        peers = interpreters(options)

        def ask() -> list[Row]:
            return [row for each, packages in peers for row in worker.ask(each, "cost", file, packages)]

        paid += costs.beside(made, ask, options.rounds)
        told.append(costs.table(paid))
        rows += paid
    return made.told, rows, "\n\n".join(told)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.detectors", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="holds mnist, devanagari and japanese (default: $DIGITS_DATA)")
    parser.add_argument("--small", action="store_true", help="the embedded digits instead")
    parts = (DELAYS, PROMISE, COST)
    parser.add_argument(
        "--only", nargs="+", choices=parts, default=parts, metavar="PART", help=f"of {', '.join(parts)}"
    )
    parser.add_argument("--packages", nargs="*", choices=PACKAGES, default=PACKAGES, metavar="NAME", help=str(PACKAGES))
    parser.add_argument("--streams", type=int, default=FEWEST, help="of each kind (default: %(default)s)")
    parser.add_argument("--clean", type=int, default=1_000_000, help="clean ticks, fewer for the slow (%(default)s)")
    parser.add_argument("--ticks", type=int, default=3_000_000, help="clean ticks of a promise (%(default)s)")
    parser.add_argument("--splits", type=int, default=200, help="clean splits of a promise (%(default)s)")
    parser.add_argument("--memory", type=int, default=10_000_000, help="ticks that must not cost memory (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of the cost (%(default)s)")
    parser.add_argument(
        "--peers",
        type=Path,
        default=environments.cache(),
        help="holds the network and the peers' environments (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    if min(options.streams, options.clean, options.ticks, options.splits, options.memory, options.rounds) < 1:
        parser.error("--streams, --clean, --ticks, --splits, --memory and --rounds must be at least 1")
    return options


def main() -> int:
    options = parse()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    options.peers = options.peers.resolve()
    with tempfile.TemporaryDirectory(prefix="drift-", ignore_cleanup_errors=True) as scratch:
        try:
            told, rows, printed = run(options, Path(scratch))
        except world.DataError as error:
            print(f"bench.detectors: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            sys.exit("bench.detectors: interrupted")
    if options.json:
        print(json.dumps([{**row, "data": told, "machine": machine()} for row in rows], indent=2))
    else:
        print(f"{printed}\n\nDigits: {told}.\nMachine: {machine()}.")
    return 0 if all(row.get("holds", True) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
