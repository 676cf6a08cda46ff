"""What a request costs where there is no gateway: the worker's own code called in this process, and run() alone.

python direct.py WORKER REQUEST     # in a deployment's environment; prints both, microseconds
"""

import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

TIMES = 2000


def median_us(call: Callable[[], object]) -> float:
    """The median time of a call in microseconds, after a quarter as many that do not count."""
    times = []
    for _ in range(TIMES + TIMES // 4):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times[TIMES // 4 :])


def main(worker_file: str, request_file: str) -> None:
    spec = importlib.util.spec_from_file_location("worker", worker_file)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    scorer = worker.Scorer(worker.load())
    body = Path(request_file).read_bytes()
    headers = [["content-type", "application/json"], ["x-request-id", "0" * 36]]
    run = scorer._app.azml_blueprint.user_script.get_run_function()
    text = body.decode()
    told = {
        "run": median_us(lambda: run(text)),
        "worker": median_us(lambda: scorer.answer(["POST", "/score", headers], body)),
    }
    print("COSTS " + json.dumps(told), file=sys.__stdout__)


if __name__ == "__main__":
    main(*sys.argv[1:])
