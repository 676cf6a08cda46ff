"""An endpoint that is hurt while 16 clients use it: what they saw, when it was back, and whether anything was lost.

    python bench/faults.py                                   # each fault 100 times, but two; an hour on two cores
    python bench/faults.py --times 10 --only kill-worker kill-gateway
    python bench/faults.py --list

Each scenario has an endpoint of its own, with keys and records on, and prints a line. PASS means, besides what the
scenario itself asks for: every request that was answered 200 is exactly once in `request` and exactly once in
`response`, by its id; every line is whole; every answer is the answer to its question; nobody waited for ever; no
process is left that nobody knows of. Exit code 1 when a scenario fails. The clients share the machine with the
endpoint.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from typing import Any

from endpoint_load import machine, quantiles, say, shown, tally
from fault_scenarios import SCENARIOS, Options, Result, Skipped


def told(value: Any) -> str:
    """A figure as a person reads it."""
    if isinstance(value, dict):
        return tally(Counter(value))
    if isinstance(value, list) and value and isinstance(value[0], float):
        return shown(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--times", type=int, default=100, help="how often each fault (default: 100); each line says how often it was"
    )
    parser.add_argument("--clients", type=int, default=16, help="connections that ask (default: 16)")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds a client waits between two requests")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="NAME", help="these scenarios alone")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{name:17}{scenario.__doc__}" for name, scenario in SCENARIOS.items()))
        return 0
    options = Options(given.times, given.clients, given.pause)
    rows = []
    for name in given.only or SCENARIOS:
        random.seed(given.seed)
        say(f"{name}: {SCENARIOS[name].__doc__}")
        start = time.perf_counter()
        try:
            result = SCENARIOS[name](options)
            verdict = "FAIL" if result.faults else "PASS"
        except Skipped as reason:
            result, verdict = Result({"skipped": str(reason)}), "SKIP"
        except Exception as error:  # a scenario that cannot go on is a failed one; the others are run
            result, verdict = Result(faults=[f"{type(error).__name__}: {error}"]), "FAIL"
        seconds = time.perf_counter() - start
        rows.append(
            {"name": name, "verdict": verdict, "rounds": result.rounds, "seconds": seconds}
            | {key: figures_of(value) for key, value in result.figures.items()}
            | {"faults": len(result.faults), "first_faults": result.faults[:20]}
        )
        if not given.json:
            figures = "; ".join(f"{key} {told(value)}" for key, value in result.figures.items())
            print(f"{verdict} {name:17}{result.rounds:4} times {seconds:5.0f} s  {figures}", flush=True)
            for fault in result.faults[:5]:
                print(f"     {fault}")
            if len(result.faults) > 5:
                print(f"     and {len(result.faults) - 5:,} more")
    if given.json:
        print(json.dumps([{**row, "machine": machine()} for row in rows], indent=2))
    else:
        print(f"{options.clients} clients. Machine: {machine()}; the clients share it.")
    return 1 if any(row["verdict"] == "FAIL" for row in rows) else 0


def figures_of(value: Any) -> Any:
    return quantiles(value) if isinstance(value, list) and value and isinstance(value[0], float) else value


if __name__ == "__main__":
    sys.exit(main())
