"""The command that the peers' Python runs, and the call that has it run.

    python -m bench.detectors.worker measure EXCHANGE.npz ROWS.json river online_cp evidently
    python -m bench.detectors.worker cost EXCHANGE.npz ROWS.json river online_cp evidently

The packages are the methods of rivals.Peers.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
WARM, TICKS, CHUNKS = 50, 500, 3  # of the cost: ticks before, ticks or chunks measured


def ask(interpreter: Path, task: str, exchange: Path, packages: list[str]) -> list[dict[str, Any]]:
    """The rows that another Python makes of an exchange. Raises CalledProcessError."""
    rows = exchange.with_name(f"{task}-{packages[0]}.json")
    command = [str(interpreter), "-m", "bench.detectors.worker", task, str(exchange), str(rows), *packages]
    # One thread each, for the columns are short and the cores few.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    subprocess.run(command, cwd=ROOT, env={**os.environ, **threads}, check=True)
    found: list[dict[str, Any]] = json.loads(rows.read_text())
    return found


def main() -> None:
    from . import exchange, rivals, runs

    warnings.simplefilter("ignore")  # theirs, and nothing that a reader of a table could mend
    task, file, rows, *packages = sys.argv[1:]
    reference, pool, known, trial = exchange.read(Path(file))
    peers = rivals.Peers(reference, pool, known, quick=task == "measure")
    methods = [method for package in packages for method in getattr(peers, package)()]
    found = []
    for method in methods:
        if task == "cost":
            if method.options[0].steps is not None:  # the others are computed here, not by the package
                found.append(cost(method, trial.clean))
            continue
        found.append(runs.examine(method, trial))
        print(f"{method.name}: {found[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
        Path(rows).write_text(json.dumps(found))
    Path(rows).write_text(json.dumps(found))


def cost(method: Any, clean: np.ndarray) -> dict[str, Any]:
    """Microseconds a tick of a method's first option, without what it begins with."""
    option = method.options[0]
    ticks = TICKS if option.chunk == 1 else CHUNKS * option.chunk
    first = max(WARM, option.chunk)
    steps = option.steps(clean[0, : first + ticks])
    for _ in range(first):
        next(steps)
    start = time.process_time()
    for _ in steps:
        pass
    return {"name": method.name, "microseconds": 1e6 * (time.process_time() - start) / ticks}


if __name__ == "__main__":
    main()
