"""A working day in 20 minutes: an endpoint under load, jobs, a watch and strangers, all at once in one workspace.

    python bench/mixed.py                    # 20 minutes on two cores, some hundred MB of disk meanwhile
    python bench/mixed.py --minutes 2

The endpoint is aml/endpoints/digits with a model trained for it. Clients with the key ask it in bursts; strangers send
garbage, wrong keys, large bodies and half requests; `aml job create` runs one job after another, and every third is
canceled; `drift.monitor --watch` follows what is collected. Every ten seconds the memory and the descriptors of each
process are taken, and the sizes of all logs.

FAIL, exit code 1: a process was restarted or grew by more than 20 % (and 16 MiB) between the first and the last quarter
of the time, descriptors grew, a request with the key was not answered 200, a record is missing or one too many, the
watch did not read them all, a job is not what it should be, a log is longer than its bound, or something still runs
at the end.
"""

import argparse
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from serving import load
from serving.servers import Workspace

from amlocal.core import mlflow_store
from amlocal.core.processes import marked
from amlocal.down import down
from amlocal.endpoints.logs import EARLIER_BYTES, MOST_BYTES

SAMPLE_SECONDS = 10.0
BURST_SECONDS, REST_SECONDS, CLIENTS = 1, 4.0, 4
GROWTH, GROWTH_BYTES, MORE_DESCRIPTORS = 0.2, 16 * 2**20, 8
READ_SECONDS = 120.0  # by then the watch has read what there is, on a busy machine too
JOB = """
type: command
command: for i in 1 2 3 4 5; do echo line $i; sleep {pause}; done; echo done > ${{{{outputs.made}}}}/made.txt
environment: {{image: python}}
outputs: {{made: {{type: uri_folder}}}}
"""
NUMBER = re.compile(r"-\d+$")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as well")
    options = parser.parse_args()
    for name in ("AMLOCAL_HOME", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="mixed-", ignore_cleanup_errors=True) as scratch:
        day = Day(Path(scratch))
        try:
            day.prepare()
            day.run(60 * options.minutes)
        finally:
            day.end()
        day.judge()
        print(day.table())
        if options.json:
            print(json.dumps(day.figures()))
        for fault in day.faults:
            print(f"FAIL: {fault}")
        return bool(day.faults)


class Day:
    """One run: who works in the workspace, what was seen of it, and what is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.faults = folder, []
        self.over = threading.Event()
        self.answers, self.bad, self.jobs, self.strangers = 0, 0, Counter[str](), Counter[str]()
        self.samples: list[dict[str, tuple[int, int]]] = []  # resident bytes and descriptors by process
        self.logs: dict[str, int] = {}  # the greatest size of each
        self.pids: dict[str, set[int]] = {}
        self.watch: subprocess.Popen[str] | None = None

    @property
    def root(self) -> Path:
        return self.folder / ".amlocal"

    def prepare(self) -> None:
        """Train a model, deploy it, begin to watch."""
        say("training and deploying")
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{(self.folder / 'training.db').as_posix()}"}
        for words in (
            ["prepare", "--out", "data"],
            ["train", "--data", "data", "--schedule", "baseline", "--network", "baseline", "--model", "model"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", f"digits.jobs.{words[0]}", *words[1:]],
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(done.stderr)
        self.workspace = Workspace(self.folder, self.folder / "model")
        self.workspace.create()
        self.workspace.deploy("blue", records=("request", "response", "model_inputs", "model_outputs"))
        self.workspace.split(blue=100)
        mlflow_store.client(self.workspace.client.workspace)
        self.collected = self.workspace.client.workspace.datastore() / "modelDataCollector"
        command = [
            "drift.monitor",
            "--watch",
            "--collected",
            str(self.collected),
            "--model",
            str(self.folder / "model"),
        ]
        self.watch = subprocess.Popen(
            [sys.executable, "-m", *command, "--output", str(self.folder / "watched")],
            env={**os.environ, "MLFLOW_TRACKING_URI": self.workspace.client.workspace.tracking_uri},
            stdout=(self.folder / "watch.out").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + READ_SECONDS
        while "Watching" not in self._said() and self.watch.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)

    def run(self, seconds: float) -> None:
        workers = [self._customers, self._submit, *(lambda s=s: self._stranger(s) for s in STRANGERS)]
        threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in workers]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._sample()
            say(f"{left / 60:4.1f} minutes left, {self.answers:,} answers, {sum(self.jobs.values())} jobs")
            time.sleep(min(SAMPLE_SECONDS, left))
        self.over.set()
        for thread in threads:
            thread.join(60)
        deadline = time.monotonic() + READ_SECONDS
        while time.monotonic() < deadline and self.watch.poll() is None and self._watched() != self._recorded():
            time.sleep(2)
        self.read, self.records = self._watched(), self._recorded()

    def end(self) -> None:
        """End all that runs here."""
        if self.watch:
            self.watch.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.watch.wait(60)
            self.watch.kill()
        if self.root.exists():
            from amlocal.core.workspace import Workspace as Place

            down(Place(self.root))
            self.left = [process.pid for process in marked(self.root, "AMLOCAL_HOME")]

    # -- who works here

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")

    def _customers(self) -> None:
        while not self.over.wait(REST_SECONDS):
            seen = load.ask(self.workspace.request(), CLIENTS, BURST_SECONDS)
            self.answers += seen.answers
            self.bad += seen.errors

    def _submit(self) -> None:
        """One job after another; every third is canceled while it runs."""
        specs = {pause: self.folder / f"job-{pause}.yml" for pause in (0.1, 20)}
        for pause, spec in specs.items():
            spec.write_text(JOB.format(pause=pause))
        count = 0
        while not self.over.is_set():
            count += 1
            cancel = count % 3 == 0
            name = f"job{count}"
            self._aml("job", "create", "-f", str(specs[20 if cancel else 0.1]), "-n", name)
            if cancel:
                self._aml("job", "cancel", "-n", name)
            else:
                self._aml("job", "stream", "-n", name)
            deadline = time.monotonic() + 60
            expected = "Canceled" if cancel else "Completed"
            while (status := self._aml("job", "show", "-n", name, "--query", "status", "-o", "tsv")) != expected:
                if time.monotonic() > deadline:
                    self.faults.append(f"{name} is {status}, not {expected}")
                    break
            self.jobs[status] += 1

    def _aml(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "amlocal", *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            self.faults.append(f"aml {' '.join(words)}: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    def _stranger(self, kind: str) -> None:
        port = self.workspace.request().port
        while not self.over.wait(0.2):
            self.strangers[kind] += 1
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(STRANGERS[kind])
                if kind == "half a request":
                    self.over.wait(3)
                connection.recv(1 << 16)

    # -- what is seen

    def _sample(self) -> None:
        sample = {}
        processes = dict(self.workspace.processes())
        if self.watch and self.watch.poll() is None:
            processes["watch"] = psutil.Process(self.watch.pid)
        for name, process in processes.items():
            with suppress(psutil.Error):
                name = NUMBER.sub("", NUMBER.sub("", name))
                handles = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
                sample[name] = process.memory_info().rss, handles
                self.pids.setdefault(name, set()).add(process.pid)
        self.samples.append(sample)
        for log in self.root.rglob("*.log"):
            with suppress(OSError):
                key = "job's" if "jobs" in log.parts else log.name
                self.logs[key] = max(self.logs.get(key, 0), log.stat().st_size)

    def _recorded(self) -> int:
        """Requests on record."""
        return sum(
            file.read_bytes().count(b"\n") for file in self.collected.glob("digits/*/model_outputs/**/*.jsonl")
        ) or sum(file.read_bytes().count(b"\n") for file in self.collected.glob("digits/*/request/**/*.jsonl"))

    def _said(self) -> str:
        return (self.folder / "watch.out").read_text()[-300:]

    def _watched(self) -> int:
        with suppress(OSError, ValueError, KeyError):
            return json.loads((self.folder / "watched" / "state.json").read_text())["detector"]["requests"]
        return -1

    # -- what came of it

    def quarters(self, name: str) -> tuple[float, float, int, int]:
        """Median bytes of the first and the last quarter, and the most descriptors in each."""
        seen = [sample[name] for sample in self.samples if name in sample]
        part = max(len(seen) // 4, 1)
        # The first samples are from before the first requests.
        first, last = seen[part // 2 : part // 2 + part] or seen, seen[-part:]
        return (
            statistics.median(rss for rss, _ in first),
            statistics.median(rss for rss, _ in last),
            max(count for _, count in first),
            max(count for _, count in last),
        )

    def judge(self) -> None:
        for name, pids in self.pids.items():
            before, after, fds, fds_after = self.quarters(name)
            if len(pids) > 1:
                self.faults.append(f"{name} was restarted {len(pids) - 1} times")
            if after > before * (1 + GROWTH) and after - before > GROWTH_BYTES:
                self.faults.append(f"{name} grew from {before / 2**20:.0f} to {after / 2**20:.0f} MiB")
            if fds_after > fds + MORE_DESCRIPTORS:
                self.faults.append(f"{name} had {fds} descriptors and has {fds_after}")
        if self.bad:
            self.faults.append(f"{self.bad} requests with the key were not answered 200")
        if self.records < self.answers:
            self.faults.append(f"{self.answers:,} answers, {self.records:,} records")
        if self.read != self.records:
            self.faults.append(f"the watch has read {self.read:,} of {self.records:,} records: " + self._said())
        for log, size in self.logs.items():
            if size > MOST_BYTES + EARLIER_BYTES:
                self.faults.append(f"{log} has {size:,} bytes")
        if self.left:
            self.faults.append(f"processes {self.left} still run")

    def figures(self) -> dict[str, Any]:
        return {
            "minutes": len(self.samples) * SAMPLE_SECONDS / 60,
            "answers": self.answers,
            "records": self.records,
            "jobs": dict(self.jobs),
            "strangers": dict(self.strangers),
            "logs": self.logs,
            "processes": {name: self.quarters(name) for name in self.pids},
        }

    def table(self) -> str:
        rows = [f"{self.answers:,} answers, {self.records:,} records, {self.read:,} read by the watch"]
        rows.append("jobs: " + ", ".join(f"{count} {status}" for status, count in sorted(self.jobs.items())))
        rows.append("strangers: " + ", ".join(f"{count:,} {kind}" for kind, count in self.strangers.items()))
        rows.append("| process | MiB in the first quarter | in the last | descriptors | in the last |")
        rows.append("|---|---:|---:|---:|---:|")
        for name in sorted(self.pids):
            before, after, fds, fds_after = self.quarters(name)
            rows.append(f"| {name} | {before / 2**20:.0f} | {after / 2**20:.0f} | {fds} | {fds_after} |")
        rows.append("logs, the longest of each: " + ", ".join(f"{n} {s:,} bytes" for n, s in sorted(self.logs.items())))
        rows.append(f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}")
        return "\n".join(rows)


def _post(headers: str, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {size}\r\n\r\n".encode() + body


STRANGERS = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "a wrong key": _post("Authorization: Bearer nobody\r\n", b'{"input_data": []}'),
    "a large body": _post("Authorization: Bearer nobody\r\n", b"x" * 2_000_000),
    "half a request": _post("", b"half", 10_000),
}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
