"""A sweep's run: trials of one command with other values each, the best one's outputs kept as its own."""

import math
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from amlocal.jobs.record import JobRecord
from amlocal.jobs.run.command import CommandRun
from amlocal.jobs.run.context import Context, Value
from amlocal.specs.plan import Step
from amlocal.specs.sampling import Search
from amlocal.specs.sweep import Sweep
from amlocal.specs.termination import Trial, policy

POLL_SECONDS = 0.5


@dataclass
class _Attempt:
    """One trial: the values it was given, its job, and what it reported of the primary metric."""

    number: int
    record: JobRecord
    metrics: list[float]


def run(context: Context, step: Step, record: JobRecord, values: dict[str, Value]) -> None:
    """Run a sweep, which takes no slot itself: its trials do."""
    SweepRun(context, step, record, values).run()


class SweepRun:
    """A sweep as the job `record`. values: the inputs that all trials share."""

    def __init__(self, context: Context, step: Step, record: JobRecord, values: dict[str, Value]) -> None:
        self.context, self.step, self.record, self.values = context, step, record, values
        self.sweep = Sweep(**step.settings)
        self.search = Search(self.sweep.space, self.sweep.algorithm, self.sweep.goal)
        self.policy = policy(self.sweep.termination, self.sweep.goal)
        self.attempts: list[_Attempt] = []

    def run(self) -> None:
        """To the end, whatever it is: the record tells."""
        progress = self.context.progress
        progress.open(self.record, self.context.parent(self.record))
        progress.status(self.record, "Running")
        self._say(f"{self.sweep.algorithm['type']} sampling, to {self.sweep.goal} {self.sweep.metric}")
        with ThreadPoolExecutor(max_workers=self._room()) as threads:
            try:
                ended = self._run_trials(threads)
            except BaseException:
                self.context.store.cancel(self.record)  # or the threads would be waited for to the end of their trials
                raise
        best = self._best()
        if not ended:
            self.record.error = self.record.error or "canceled"
            progress.end(self.record, "Canceled", self.context.store.folder(self.record.name))
            return
        if best is None:
            failed = next((each.record for each in self.attempts if each.record.status == "Failed"), None)
            self.record.error = (
                f"every trial failed; the first: {failed.error}"
                if failed and all(each.record.status != "Completed" for each in self.attempts)
                else f'no trial has logged a metric "{self.sweep.metric}", the objective\'s primary_metric'
            )
            progress.end(self.record, "Failed", self.context.store.folder(self.record.name))
            return
        score = self._score(best)
        self.record.properties |= {"best_child_run_id": best.record.name, "score": str(score)}
        self.record.outputs |= {name: out for name, out in best.record.outputs.items() if name != "artifacts"}
        self._say(f"Best trial: {best.record.name}, {self.sweep.metric} {score:g}")
        progress.end(self.record, "Completed", self.context.store.folder(self.record.name))

    def _run_trials(self, threads: ThreadPoolExecutor) -> bool:
        """Run trials until enough were run; False when the sweep was ended before."""
        running: dict[Future[None], _Attempt] = {}
        deadline = time.monotonic() + self.sweep.timeout if self.sweep.timeout else math.inf
        exhausted = False
        while True:
            stopped = self._stopped(deadline)
            while (
                not stopped and not exhausted and len(running) < self._room() and len(self.attempts) < self.sweep.total
            ):
                asked = self.search.ask()
                exhausted = asked is None
                if asked:
                    attempt = self._attempt(*asked)
                    running[threads.submit(self._run_trial, attempt, asked[1])] = attempt
            if not running:
                return not stopped
            done, _ = wait(running, POLL_SECONDS, FIRST_COMPLETED)
            for future in done:
                self._finish(running.pop(future), future)
            if self.policy.worse and running:
                self._end_early([each for each in running.values() if not self.context.store.canceled(each.record)])

    def _room(self) -> int:
        """How many trials run at a time: as many as asked for, but a core each."""
        return min(self.sweep.concurrent, os.cpu_count() or 1)

    def _stopped(self, deadline: float) -> bool:
        if time.monotonic() > deadline and not self.record.error:
            self.record.error = f"canceled: it ran longer than its limits.timeout of {self.sweep.timeout:.0f} s"
            self.context.store.cancel(self.record)
        return self.context.asked_to_end(self.record)

    def _attempt(self, number: int, values: dict[str, Any]) -> _Attempt:
        shown = ", ".join(f"{name}={value}" for name, value in values.items())
        spec = {key: value for key, value in self.record.spec.items() if key in ("environment", "compute", "inputs")}
        record = self.context.child(self.record, str(number), "command", f"{self.record.display_name}_{number}", spec)
        record.properties = {name: str(value) for name, value in values.items()}
        self._say(f"Trial {record.name}: {shown}")
        attempt = _Attempt(number, record, [])
        self.attempts.append(attempt)
        return attempt

    def _run_trial(self, attempt: _Attempt, values: dict[str, Any]) -> None:
        step = replace(self.step, type="command", settings={}, deterministic=False)
        sampled = {name: str(value) for name, value in values.items()}
        with self.context.slots:
            self.context.progress.open(attempt.record, self.record)
            self.context.progress.log_params(attempt.record, sampled)
            CommandRun(self.context, step, attempt.record, self.values, sampled).run()

    def _finish(self, attempt: _Attempt, future: Future[None]) -> None:
        error = future.exception()
        if error:
            self.context.progress.fail(attempt.record, error)
        attempt.metrics = self.context.progress.metric(attempt.record, self.sweep.metric)
        score = self._score(attempt)
        self.search.tell(attempt.number, score)
        shown = "no such metric" if score is None else f"{score:g}"
        self._say(f"Trial {attempt.record.name}: {attempt.record.status}, {self.sweep.metric}: {shown}")

    def _score(self, attempt: _Attempt) -> float | None:
        """A trial counts by what it reported last."""
        usable = [value for value in attempt.metrics if math.isfinite(value)]
        if not usable or attempt.record.status == "Failed":
            return None
        return usable[-1]

    def _best(self) -> _Attempt | None:
        scored = [(score, each) for each in self.attempts if (score := self._score(each)) is not None]
        if not scored:
            return None
        choose = min if self.sweep.goal == "minimize" else max
        return choose(scored, key=lambda pair: pair[0])[1]

    def _end_early(self, running: list[_Attempt]) -> None:
        """Cancel the trials that the policy gives up."""
        for attempt in running:
            attempt.metrics = self.context.progress.metric(attempt.record, self.sweep.metric)
        alive = {attempt.number for attempt in running}
        seen = {each.number: Trial(each.metrics, each.number in alive) for each in self.attempts}
        for number in self.policy.cancel(seen):
            attempt = next(each for each in running if each.number == number)
            attempt.record.properties["early_termination"] = "true"
            self._say(f"Trial {attempt.record.name}: ended early, {self.sweep.metric} is behind the others'")
            self.context.store.cancel(attempt.record)

    def _say(self, line: str) -> None:
        with self.context.store.log(self.record).open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")
