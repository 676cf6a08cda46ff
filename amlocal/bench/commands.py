"""How long `aml` keeps a person waiting: help, what is shown of a full workspace, a hello-world job, many tiny steps.

    python bench/commands.py                 # about 5 minutes on two cores; the machine should have nothing else to do
    python bench/commands.py --json
    python bench/commands.py --repeats 10 --jobs 1000 --steps 200

Every figure is the median of `--repeats` runs of the real command in a process of its own, with the shortest and the
longest; the workspace is a temporary one. `python -c pass` stands beside them: what any Python costs here.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

AML = [sys.executable, "-m", "amlocal"]
ENDPOINT = "name: letters\nauth_mode: key\n"
HELLO = "type: command\ncommand: echo hello\nenvironment: {image: python}\n"
STEP = "type: command\ncommand: 'true'\nenvironment: {image: python}\nis_deterministic: false\n"


@dataclass(frozen=True)
class Row:
    """seconds: one per run. limit: what the project wants, None if it is there to compare with."""

    name: str
    seconds: list[float]
    limit: float | None = None


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs in the workspace that is listed")
    parser.add_argument("--steps", type=int, default=200, help="steps of the pipeline")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, spent = measure(Path(folder), options.repeats, options.jobs, options.steps)
    if options.json:
        print(json.dumps([as_json(row) for row in rows], indent=2))
        return 0
    print(f"{'':44}{'median':>9}{'least':>9}{'most':>9}{'wanted':>9}")
    for row in rows:
        limit = f"{row.limit:.2f} s" if row.limit else ""
        low, middle, high = min(row.seconds), statistics.median(row.seconds), max(row.seconds)
        print(f"{row.name:44}{middle:7.2f} s{low:7.2f} s{high:7.2f} s{limit:>9}")
    print("\nWhere the time of a hello-world job goes, seconds since Enter (median):")
    for name, seconds in spent.items():
        print(f"  {seconds:5.2f}  {name}")
    print(f"\nMachine: {machine()}.")
    return 0


def measure(folder: Path, repeats: int, jobs: int, steps: int) -> tuple[list[Row], dict[str, float]]:
    """All rows, and where the time of a hello-world job goes."""
    (folder / "hello.yml").write_text(HELLO)
    (folder / "step.yml").write_text(STEP)
    (folder / "endpoint.yml").write_text(ENDPOINT)
    nodes = "".join(f"  s{number}: {{type: command, component: ./step.yml}}\n" for number in range(steps))
    (folder / "many.yml").write_text(f"type: pipeline\njobs:\n{nodes}")
    environment = {**os.environ, "AMLOCAL_HOME": str(folder / ".amlocal")}
    environment.pop("MLFLOW_TRACKING_URI", None)

    def run(*words: str) -> str:
        done = subprocess.run([*AML, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"commands.py: aml {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    run("job", "create", "-f", "hello.yml", "--stream")  # makes the store, compiles what is not compiled
    said("hello-world jobs")
    hello, parts = [], []
    for number in range(repeats):
        entered = time.time()
        run("job", "create", "-f", "hello.yml", "--name", f"hello{number}", "--stream")
        hello.append(time.time() - entered)
        parts.append(stages(folder / ".amlocal/jobs" / f"hello{number}", entered))
    said(f"a pipeline of {steps} steps")
    pipeline = timed(lambda: run("job", "create", "-f", "many.yml", "--stream"), 1)
    fill(folder / ".amlocal/jobs", "hello0", jobs)
    said("commands")
    run("online-endpoint", "create", "-f", "endpoint.yml")
    endpoint = timed(lambda: run("online-endpoint", "show", "-n", "letters"), repeats)
    run("online-endpoint", "delete", "-n", "letters", "--yes")
    cores = os.cpu_count() or 1
    rows = [
        Row("python -c pass", timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), repeats)),
        Row("aml --help", timed(lambda: run("--help"), repeats), 0.3),
        Row(f"aml job show, among {jobs} jobs", timed(lambda: run("job", "show", "-n", "hello0"), repeats), 0.5),
        Row(f"aml job list, {jobs} jobs", timed(lambda: run("job", "list", "--all-results"), repeats), 0.5),
        Row("aml online-endpoint show", endpoint, 0.5),
        Row("hello world, from Enter to Completed", hello, 3.0),
        Row(f"pipeline of {steps} steps on {cores} cores, a step", [each / steps for each in pipeline], 0.3),
    ]
    return rows, {name: statistics.median(part[name] for part in parts) for name in parts[0]}


def timed(call: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def stages(folder: Path, entered: float) -> dict[str, float]:
    """When a job came how far, in seconds after `entered`."""
    record = json.loads((folder / "job.json").read_text())

    def since(moment: str) -> float:
        return datetime.fromisoformat(moment).timestamp() - entered

    return {
        "azure-ai-ml imported, the spec read and checked": since(record["creation_context"]["created_at"]),
        "the runner, started at Enter, has its MLflow run": since(record["started"]),
        "the command has begun": (folder / "code").stat().st_ctime - entered,
        "Completed: its files are artifacts, its run is closed": since(record["ended"]),
    }


def fill(jobs: Path, pattern: str, count: int) -> None:
    """Copies of one job, as many as make `count`."""
    there = sum(1 for _ in jobs.iterdir())
    for number in range(there, count):
        shutil.copytree(jobs / pattern, jobs / f"copy{number}")
        path = jobs / f"copy{number}" / "job.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "name": f"copy{number}"}))


def said(what: str) -> None:
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


def as_json(row: Row) -> dict[str, object]:
    return {
        "name": row.name,
        "median_seconds": round(statistics.median(row.seconds), 3),
        "seconds": [round(each, 3) for each in row.seconds],
        "wanted_seconds": row.limit,
        "machine": machine(),
    }


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
