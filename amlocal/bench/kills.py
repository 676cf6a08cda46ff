"""What is left of a workspace in which processes are killed at random moments: `kill -9`, again and again.

    python bench/kills.py                    # 200 kills, about 12 minutes on two cores
    python bench/kills.py --kills 50 --seed 7

Three streams of work run at the same time in one workspace: pipelines, data assets and models being registered, jobs
being canceled and looked at. At random moments one of the processes that work for it (the `aml` itself, a runner, a
lifeline, a job's bash) is killed. At the end nothing may run any more, every job is Completed, Failed or Canceled,
every asset that `aml` lists is whole, and a new job completes. Prints what it found; exit code 1 when anything of it
is otherwise.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

AML = [sys.executable, "-m", "amlocal"]
MEAN_SECONDS = 3.0  # between two kills: some jobs must come to their end
FINAL = {"Completed", "Failed", "Canceled"}
PIPELINE = """
type: pipeline
jobs:
  one:
    type: command
    command: sleep 0.3; seq 1000 > ${{outputs.made}}/numbers.txt
    environment: {image: python}
    outputs: {made: {type: uri_folder}}
  two:
    type: command
    command: wc -l ${{inputs.made}}/numbers.txt
    environment: {image: python}
    inputs: {made: "${{parent.jobs.one.outputs.made}}"}
settings: {force_rerun: true}
"""
SWEEP = """
type: sweep
trial: {command: "echo ${{search_space.x}}; sleep 0.2", environment: {image: python}}
sampling_algorithm: random
search_space: {x: {type: uniform, min_value: 0, max_value: 1}}
objective: {goal: minimize, primary_metric: none}
limits: {max_total_trials: 3, max_concurrent_trials: 2}
"""


class Work:
    """A workspace, and the commands that go on in it until it is told to stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".amlocal"
        self.environment = {**os.environ, "AMLOCAL_HOME": str(self.home)}
        self.environment.pop("MLFLOW_TRACKING_URI", None)
        self.over = threading.Event()
        (folder / "pipeline.yml").write_text(PIPELINE)
        (folder / "sweep.yml").write_text(SWEEP)
        (folder / "files").mkdir()
        for number in range(20):
            (folder / "files" / f"{number}.txt").write_text(str(number) * 1000)

    def aml(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [*AML, *words]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def jobs(self) -> None:
        number = 0
        while not self.over.is_set():
            number += 1
            self.aml("job", "create", "-f", "sweep.yml" if number % 4 == 0 else "pipeline.yml")

    def assets(self) -> None:
        number = 0
        while not self.over.is_set():
            number += 1
            words = ("--type", "uri_folder", "-p", "files", "--description", f"the {number}th look")
            self.aml("data", "create", "-n", "files", *words)
            self.aml("model", "create", "-n", "model", "-p", "files")

    def looks(self) -> None:
        while not self.over.is_set():
            listed = self.aml("job", "list", "--query", "[?status=='Running'].name | [0]", "-o", "tsv")
            if listed.stdout.strip() and random.random() < 0.2:
                self.aml("job", "cancel", "-n", listed.stdout.strip())

    def processes(self) -> list[psutil.Process]:
        """All that works for this workspace."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("AMLOCAL_HOME") == str(self.home) and process.pid != os.getpid()
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


def main() -> int:
    """Kill, look, and say with the exit code whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Work(Path(folder))
        first = work.aml("job", "create", "-f", "pipeline.yml", "--stream")
        if first.returncode:
            raise SystemExit(f"kills.py: the first job failed: {first.stderr.strip()}")
        killed = kill_at_random(work, options.kills)
        figures, faults = look(work)
    figures = {"name": "kills", "kills": sum(killed.values()), "killed": dict(killed), **figures, "faults": faults}
    if options.json:
        print(json.dumps([figures], indent=2))
    else:
        for name, value in figures.items():
            if name not in ("name", "faults"):
                shown = (
                    ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
                )
                print(f"{name:22}{shown}")
        print("\n".join(f"FAULT: {fault}" for fault in faults) or "nothing was lost")
    return 1 if faults else 0


def kill_at_random(work: Work, kills: int) -> Counter[str]:
    """Kill `kills` processes at random moments while the streams of work go on; returns how many of each kind."""
    streams = [threading.Thread(target=stream) for stream in (work.jobs, work.assets, work.looks)]
    for stream in streams:
        stream.start()
    killed: Counter[str] = Counter()
    while sum(killed.values()) < kills:
        time.sleep(random.expovariate(1 / MEAN_SECONDS))
        there: dict[str, list[psutil.Process]] = {}
        for process in work.processes():
            with suppress(psutil.Error):
                there.setdefault(kind_of(process.cmdline()), []).append(process)
        if not there:
            continue
        kind = random.choice(sorted(there))  # or nearly all would be the `aml`s, which start all the time
        try:
            random.choice(there[kind]).kill()
        except psutil.Error:
            continue
        killed[kind] += 1
        if sum(killed.values()) % 20 == 0:
            print(f"{sum(killed.values())} of {kills} killed", file=sys.stderr, flush=True)
    work.over.set()
    for stream in streams:
        stream.join()
    return killed


def kind_of(command: list[str]) -> str:
    line = " ".join(command)
    if "amlocal.jobs.run.runner" in line:
        return "runner"
    if "lifeline.py" in line:
        return "lifeline"
    return "aml" if "-m amlocal" in line else "the job's own"


def look(work: Work) -> tuple[dict[str, Any], list[str]]:
    """Figures of what is there at the end, and what of it should not be."""
    faults = []
    deadline = time.monotonic() + 120
    while True:
        listed = work.aml("job", "list", "--all-results", "-o", "json")
        jobs = json.loads(listed.stdout) if listed.returncode == 0 else []
        open_jobs = [job["name"] for job in jobs if job["status"] not in FINAL]
        if listed.returncode == 0 and not open_jobs and not work.processes():
            break
        if time.monotonic() > deadline:
            faults.append(
                f"after two minutes: {listed.stderr.strip()} open jobs {open_jobs}, processes {work.processes()}"
            )
            break
        time.sleep(1)
    statuses = Counter(job["status"] for job in jobs)
    steps = Counter(
        step["status"]
        for path in (work.home / "jobs").glob("*/job.json")
        if (step := json.loads(path.read_text()))["parent"]
    )
    faults += [f"{count} steps are {status}" for status, count in steps.items() if status not in FINAL]
    whole = sorted(path.name for path in (work.folder / "files").iterdir())
    versions = {}
    for noun in ("data", "model"):
        listed = work.aml(noun, "list", "-n", "files" if noun == "data" else "model", "-o", "json")
        found = json.loads(listed.stdout) if listed.returncode == 0 else []
        versions[noun] = len(found)
        for asset in found:
            place = Path(asset["path"].removeprefix("file://"))
            inside = [path for path in place.rglob("*") if path.is_file()]
            if sorted(path.name for path in inside) != whole or any(path.stat().st_size == 0 for path in inside):
                faults.append(f"{noun} {asset['name']}:{asset['version']} is not whole")
    last = work.aml("job", "create", "-f", "pipeline.yml", "--stream")
    if last.returncode:
        faults.append(f"a new job does not complete: {last.stderr.strip()}")
    return {"jobs": dict(statuses), "steps": dict(steps), "assets": versions}, faults


if __name__ == "__main__":
    sys.exit(main())
