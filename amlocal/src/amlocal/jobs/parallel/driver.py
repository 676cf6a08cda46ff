"""Azure's parallel job on one machine: `python parallel.py CONFIG.json`, in a job's folder and environment.

It cuts the input into mini batches, hands them to worker processes (batch_worker.py, in the job's Python) and puts what
they return together. CONFIG.json holds the fields of `parallel_config.Config`. Exit code 0; 1 when the entry script
does not start or a threshold of failures is passed, after which nothing is written to `append_row_to`.

The rules are those of "Use parallel jobs in pipelines" and of the parallel job's YAML reference in Microsoft's
documentation; where they say nothing, the comment says "assumed".
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from amlocal.core.errors import UserError
from amlocal.jobs.parallel.config import Config, Rules, split_arguments
from amlocal.jobs.parallel.mini_batches import MiniBatch, cut
from amlocal.jobs.parallel.worker import BatchError, ScriptError, Worker, cores
from amlocal.specs.parallel import has_script

ROWS_FILE = "parallel_run_step.txt"  # what Azure calls it in a folder
ALL_TOLD = 20  # failed tries that are told with their tracebacks; of the rest the last line
ALL_SHOWN = 200  # mini batches up to which each has its line in the log; beyond, one for every hundredth of them


class Rows:
    """The rows of all mini batches in the order of the batches, put where they belong when all are there."""

    def __init__(self, target: str | None) -> None:
        path = Path(target) if target else None
        self._path = path / ROWS_FILE if path and path.is_dir() else path
        self._part = self._path.with_name(self._path.name + ".part") if self._path else None
        self._file: IO[str] | None = None
        self._waiting: dict[int, tuple[str, str]] = {}
        self._next = 0
        self.count = 0

    def __enter__(self) -> "Rows":
        if self._part:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("w", encoding="utf-8", newline="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file and self._part:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def add(self, index: int, rows: str = "", header: str = "", count: int = 0) -> None:
        """The rows of a mini batch; a failed one has none."""
        self.count += count
        self._waiting[index] = (header, rows)
        while self._next in self._waiting:
            header, rows = self._waiting.pop(self._next)
            if self._file:
                self._file.write((header if self._file.tell() == 0 else "") + rows)
            self._next += 1

    def publish(self) -> Path | None:
        """Put the file in its place."""
        if not self._file or not self._part or not self._path:
            return None
        self._file.close()
        self._part.replace(self._path)
        return self._path


class Run:
    """One parallel job: every worker has a thread here, which takes the next mini batch when it is free."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._own, settings = split_arguments(config.arguments)
        self._rules = Rules.of(config, settings)
        if not has_script(Path(config.code), config.entry_script):
            raise UserError(f"entry_script: {config.entry_script} does not exist in the code folder")
        self._cut = cut(Path(config.input["path"]), config.input["type"], config.mini_batch_size, config.partition_keys)
        if not self._cut.batches:
            raise UserError(f"{config.input['path']}: the input holds nothing to process")
        self._left: Iterator[MiniBatch] = iter(self._cut.batches)
        self._processes = _process_count(config, len(self._cut.batches))
        self._lock = threading.Lock()
        self._workers: dict[int, Worker] = {}
        self._verdict: str | None = None  # why the job fails
        self._finished = self._failed = self._failed_items = self._told = 0

    def run(self) -> int:
        """To the end; the exit code."""
        began = time.perf_counter()
        total, items = len(self._cut.batches), sum(batch.items for batch in self._cut.batches)
        unit = "row" if self._cut.table else "file"
        print(f"{_count(items, unit)} in {_count(total, 'mini batch')}, {self._processes} at a time")
        with Rows(self._config.append_row_to) as self._rows:
            threads = [threading.Thread(target=self._serve, args=(slot,)) for slot in range(self._processes)]
            try:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            except BaseException:  # asked to end
                self._fail("asked to end")
                raise
            finally:
                for worker in list(self._workers.values()):
                    worker.kill()
            file = self._rows.publish() if not self._verdict else None
        seconds = time.perf_counter() - began
        print(
            f"{self._finished:,} of {_count(total, 'mini batch')} done in {seconds:.1f} s: "
            f"{self._finished - self._failed:,} completed, {self._failed:,} failed; "
            f"{_count(self._rows.count, 'row')} returned, {_count(self._failed_items, 'item')} failed"
        )
        if file:
            print(f"The rows are in {file}")
        if self._verdict:
            print(f"The parallel job failed: {self._verdict}", file=sys.stderr)
        return 1 if self._verdict else 0

    def _serve(self, slot: int) -> None:
        """One worker's life, or that of those who replace it."""
        try:
            while batch := self._take():
                self._finish(batch, *self._attempt(slot, batch))
            with self._lock:
                worker = self._workers.pop(slot, None)
            if worker:
                worker.end() if not self._verdict else worker.kill()
        except ScriptError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")

    def _take(self) -> MiniBatch | None:
        with self._lock:
            return None if self._verdict else next(self._left, None)

    def _attempt(self, slot: int, batch: MiniBatch) -> tuple[dict[str, Any] | None, int]:
        """The answer, None if every try failed, and how many tries there were."""
        tries = 1 + self._config.max_retries
        for attempt in range(1, tries + 1):
            try:
                return self._worker(slot).run(batch), attempt
            except BatchError as error:
                if error.lost:
                    with self._lock:
                        self._workers.pop(slot, None)
                if self._verdict:
                    break
                self._tell(f"{self._name(batch)} failed, try {attempt} of {tries}", str(error).rstrip())
        return None, tries

    def _worker(self, slot: int) -> Worker:
        """The slot's worker, a new one if it has none."""
        with self._lock:
            if slot in self._workers:
                return self._workers[slot]
            if self._verdict:
                raise BatchError("the job has failed", lost=False)
            # Known before it is ready: whoever ends the job must find it.
            worker = Worker(self._config, self._rules, self._own, self._cut.table, self._processes)
            self._workers[slot] = worker
        worker.ready()
        return worker

    def _tell(self, what: str, why: str) -> None:
        """Say that a try has failed; nobody reads a thousand tracebacks."""
        with self._lock:
            self._told += 1
            short = self._told > ALL_TOLD
        print(f"{what}: {why.splitlines()[-1] if short else why}", file=sys.stderr)

    def _finish(self, batch: MiniBatch, answer: dict[str, Any] | None, tries: int) -> None:
        """Count a mini batch, and see whether too much has failed."""
        rows = answer["count"] if answer else 0
        short = max(0, batch.items - rows)
        if answer and batch.partition is not None:
            # Assumed, from Azure's own sample, which returns nothing for 99 groups and allows 5 to fail: a group is
            # one piece of work, and what is returned of it is not counted against its rows.
            short = 0
        with self._lock:
            if self._verdict:
                return
            self._finished += 1
            self._failed += not answer or short > 0
            self._failed_items += short
            if answer:
                self._rows.add(batch.index, answer["rows"], answer["header"], rows)
            else:
                self._rows.add(batch.index)
            if self._shown(batch, short):
                took = f" in {answer['seconds']:.2f} s" if answer else f" FAILED after {tries} tries"
                print(f"{self._name(batch)}: {_count(batch.items, 'item')}, {_count(rows, 'row')}{took}")
            verdict = self._passed()
        if verdict:
            self._fail(verdict)

    def _passed(self) -> str | None:
        """The threshold that has been passed, in words."""
        rules, total = self._rules, len(self._cut.batches)
        if 0 <= rules.error_threshold < self._failed_items:
            return f"{self._failed_items} items failed, more than error_threshold {rules.error_threshold}"
        if 0 <= rules.mini_batch_error_threshold < self._failed:
            allowed = rules.mini_batch_error_threshold
            return f"{self._failed} mini batches failed, more than mini_batch_error_threshold {allowed}"
        if self._failed > total * rules.allowed_failed_percent / 100:
            share = f"{rules.allowed_failed_percent:g}"
            return f"{self._failed} of {total} mini batches failed, more than allowed_failed_percent {share}"
        return None

    def _fail(self, verdict: str) -> None:
        """End the job; whoever still works is ended too."""
        with self._lock:
            if self._verdict:
                return
            self._verdict = verdict
            workers = list(self._workers.values())
        for worker in workers:
            worker.kill()

    def _shown(self, batch: MiniBatch, short: int) -> bool:
        level, total = self._config.logging_level.upper(), len(self._cut.batches)
        if level == "DEBUG" or short:
            return True
        every = 1 if total <= ALL_SHOWN else total // 100
        return level == "INFO" and (self._finished % every == 0 or self._finished == total)

    def _name(self, batch: MiniBatch) -> str:
        of = f" {batch.partition}" if batch.partition else ""
        return f"mini batch {batch.index + 1} of {len(self._cut.batches)}{of}"


def _count(number: int, thing: str) -> str:
    plural = "" if number == 1 else "es" if thing.endswith("ch") else "s"
    return f"{number:,} {thing}{plural}"


def _process_count(config: Config, batches: int) -> int:
    most = cores()
    asked = config.concurrency or most
    if asked > most:
        print(f"{asked} processes are asked for, and this machine has {most} cores: {most} are taken")
    return max(1, min(asked, most, batches))


def main(path: str) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return Run(Config.from_json(json.loads(Path(path).read_text(encoding="utf-8")))).run()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
