"""One worker process of a parallel job, seen from the driver: started, asked, replaced when it hangs or dies."""

import json
import os
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psutil

from amlocal.assets.mltable_reader import MLTable
from amlocal.jobs.parallel.config import Config, Rules
from amlocal.jobs.parallel.mini_batches import MiniBatch

SCRIPT = Path(__file__).with_name("batch_worker.py")
SHUTDOWN_SECONDS = 30.0


class ScriptError(Exception):
    """The entry script cannot be started at all: the job ends."""


class BatchError(Exception):
    """One attempt at a mini batch failed; `lost`: and the worker with it."""

    def __init__(self, reason: str, lost: bool) -> None:
        super().__init__(reason)
        self.lost = lost


class Worker:
    """One worker process; `ready` when its init() is done."""

    def __init__(self, config: Config, rules: Rules, own: list[str], table: MLTable | None, processes: int) -> None:
        self._rules, self._timeout = rules, config.timeout
        self._process = subprocess.Popen(
            [config.python, str(SCRIPT)],
            cwd=config.code,
            env=_variables(processes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self._answers: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._send(
            entry_script=config.entry_script,
            arguments=own,
            table=asdict(table) if table else None,
            partition_keys=config.partition_keys,
            header=rules.header,
        )

    def ready(self) -> None:
        """Wait for init(). Raises ScriptError when the script cannot be started."""
        try:
            answer = self._answer(self._rules.start, "init()")
        except BatchError as error:
            raise ScriptError(str(error)) from error
        if answer["event"] == "failed":
            self.kill()
            raise ScriptError(f"the entry script could not be started\n{answer['traceback']}")

    def run(self, batch: MiniBatch) -> dict[str, Any]:
        """The answer to one mini batch: rows, count, header, seconds. Raises BatchError."""
        self._send(**asdict(batch))
        answer = self._answer(self._rules.overhead, "reading the mini batch")
        if answer["event"] == "running":
            answer = self._answer(self._timeout, "run()")
        if answer["event"] == "failed":
            raise BatchError(answer["traceback"], lost=False)
        return answer

    def end(self) -> None:
        """Let the script's shutdown() run, and wait for it."""
        self._send(stop=True)
        try:
            self._process.wait(SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"shutdown(): not done after {SHUTDOWN_SECONDS:.0f} s; the process is ended")
            self.kill()

    def kill(self) -> None:
        """End the process and what it has started."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            for process in (*root.children(recursive=True), root):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()

    def _send(self, **message: Any) -> None:
        assert self._process.stdin
        with suppress(OSError):  # it died; the answer that does not come will tell
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def _answer(self, seconds: float, doing: str) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=seconds)
        except Empty:
            self.kill()
            raise BatchError(f"{doing} took longer than {seconds:g} s; its process was ended", lost=True) from None
        if answer is None:
            code = self._process.wait()
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise BatchError(f"its process died in {doing} ({how})", lost=True)
        return answer


def _variables(processes: int) -> dict[str, str]:
    """The workers' environment: each library's own threads, times the workers, make the cores and no more."""
    threads = str(max(1, cores() // processes))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {**dict.fromkeys(names, threads), **os.environ}


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
