"""Where the time of a request goes, as differences between settings that differ in one thing."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from serving import load
from serving.servers import APPS, BODY, COLLECTIONS, ROOT, workspace

# A setting, and what it has that the one before has not: the deployment that is asked.
STEPS = (
    ("refused", "client, kernel, HTTP read and written, key looked at (answered 401)"),
    ("constant", "a worker chosen, asked and heard; a run() that says the same each time"),
    ("unrecorded", "digits/serving/score.py: JSON read, LiteRT, JSON written"),
    ("recorded", "request and response on record, with the operating system"),
    ("synced", "the same, on the disk (durability: fsync)"),
    ("collected", "instead of that, model_inputs and model_outputs through the Collector"),
)
# What a step is compared with, if not with the one before it.
AGAINST = {"collected": "recorded"}


def measure(folder: Path, model: Path, seconds: int, rounds: int) -> list[dict[str, Any]]:
    """A row a step: microseconds a request at one client, and of processor time in gateway and worker."""
    samples: dict[str, list[tuple[float, float, float]]] = {name: [] for name, _ in STEPS}
    with workspace(folder, model) as made:
        made.deploy("constant", "constant.py", ())
        made.deploy("unrecorded", records=())
        made.deploy("recorded")
        made.deploy("synced", properties={"durability": "fsync"})
        made.deploy("collected", records=COLLECTIONS)
        processes = made.processes()
        for turn in range(rounds):
            for name, _ in STEPS[:: -1 if turn % 2 else 1]:
                known = name != "refused"
                request = made.request(name) if known else made.request(key="wrong")
                mine = [process for key, process in processes.items() if key.startswith(f"{name}-")]
                load.ask(request, 1, 1)
                before = _cpu(processes["gateway"]), sum(map(_cpu, mine))
                seen = load.ask(request, 1, seconds)
                after = _cpu(processes["gateway"]), sum(map(_cpu, mine))
                count = max(seen.answers, 1)
                spent = [1e6 * (late - early) / count for late, early in zip(after, before, strict=True)]
                samples[name].append((1e6 * seen.seconds / count, spent[0], spent[1]))
    medians = {name: [statistics.median(each) for each in zip(*all, strict=True)] for name, all in samples.items()}
    rows, previous = [], None
    for name, what in STEPS:
        base = medians[AGAINST.get(name, previous)] if previous else [0.0, 0.0, 0.0]
        keys = ("us", "gateway_cpu_us", "worker_cpu_us")
        row = {f"adds_{key}": now - then for key, now, then in zip(keys, medians[name], base, strict=True)}
        rows.append({"name": f"cost: {name}", "what": what, **row, "total_us": medians[name][0]})
        previous = name
    return [*rows, *_direct(folder, model)]


def _cpu(process: Any) -> float:
    return sum(process.cpu_times()[:2])


def _direct(folder: Path, model: Path) -> list[dict[str, Any]]:
    """run() and the worker's code around it, without a gateway."""
    request = folder / "request.json"
    request.write_text(BODY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", str(APPS / "direct.py"), _worker(), str(request)],
        env={
            **os.environ,
            "AML_APP_ROOT": str(ROOT / "src"),
            "AZUREML_ENTRY_SCRIPT": "digits/serving/score.py",
            "AZUREML_MODEL_DIR": str(model),
            "SCORING_TIMEOUT_MS": "5500",  # as a deployment's: an alarm is set for it
        },
        capture_output=True,
        text=True,
    )
    if "COSTS " not in done.stdout:
        raise SystemExit(f"serving.py: the worker cannot be called directly:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout.rpartition("COSTS ")[2].splitlines()[0])
    return [
        {
            "name": "cost: run()",
            "what": "run() of digits/serving/score.py alone, called in a process",
            "total_us": told["run"],
        },
        {"name": "cost: worker", "what": "the same with the worker's code around it", "total_us": told["worker"]},
    ]


def _worker() -> str:
    from amlocal.endpoints.worker import instance as worker

    return worker.__file__


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| where the time goes, 1 client | adds | CPU gateway | CPU worker | in all |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        added = [f"{row[key]:+.0f} µs" if key in row else "" for key in ADDS]
        lines.append(f"| {row['what']} | {' | '.join(added)} | {row['total_us']:.0f} µs |")
    return "\n".join(lines)


ADDS = ("adds_us", "adds_gateway_cpu_us", "adds_worker_cpu_us")
