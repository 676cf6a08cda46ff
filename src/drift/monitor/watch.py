"""The monitor while traffic runs: what is new every half second, a line when something changes, and what it knows kept.

state.json holds how far the records have been read, all that the detector knows and what has been told of it, written
in one go after every reading. So whoever kills it loses nothing: it goes on where the state was, and reads what came
after once. A change that it was killed over is told when it goes on.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from digits import output
from digits.errors import DataError
from digits.jobs import tracking
from digits.network import lite
from drift.detect.detector import Detector
from drift.monitor import core, runs
from drift.monitor import webhook as webhooks
from drift.records import collected, reader
from drift.records.follow import Follower
from drift.records.memory import Memory
from drift.verdict import words
from drift.verdict.findings import Findings

STATE = "state.json"
PAUSE = 0.5  # seconds between two looks
METRICS = 10.0  # seconds between two points in MLflow


def watch(
    place: core.Place,
    model: Path,
    out: Path,
    promise: Mapping[str, float],
    labels: Path | None = None,
    name: str = "digits",
    until: Callable[[Detector], bool] = lambda detector: False,
    webhook: str | None = None,
) -> Detector:
    """Follow the records of a place until Ctrl-C, or `until` says so; the detector as it then is. Raises DataError.

    Writes state.json, report.html and verdict.json to `out`, the latter at every change and at the end; of what was
    before the watch began the report has no images. webhook: where each change and its end are posted, too.
    """
    detector = core.new_detector(model, promise)
    reader.files(place.folder, reader.OUTPUTS)  # if there is no such folder, that is better known at once
    state = _State(out / STATE, place, lite.fingerprint(lite.find(model)), detector)
    out.mkdir(parents=True, exist_ok=True)
    print(
        f"Watching {place.folder}: {detector.requests:,} requests so far, {_promised(detector)}. Ctrl-C ends it.",
        flush=True,
    )
    with tracking.run(f"watch-{place.endpoint or 'production'}") as run_id:
        import mlflow

        client, logged = mlflow.MlflowClient(), 0.0

        def tell() -> None:
            """Say what has changed since that was last said."""
            if state.told == _known(detector):
                return
            findings = _findings(place, state, labels)
            _tell(findings, state.told, out, webhook)
            for key, value in runs.drift_tags(findings).items():
                client.set_tag(run_id, key, value)
            runs.tag_model(name, model, findings)
            state.told = _known(detector)
            state.keep()

        try:
            tell()
            while not until(detector):
                rows = state.follower.read()
                if not rows:
                    time.sleep(PAUSE)
                    continue
                evidence = detector.update(collected.columns(rows))
                state.memory.add(rows, evidence, detector)
                state.keep()
                _show(detector, float(evidence[-1]))
                if time.monotonic() - logged >= METRICS:
                    logged = time.monotonic()
                    client.log_metric(run_id, "evidence", float(evidence[-1]) / math.log(10), step=detector.requests)
                tell()
        except KeyboardInterrupt:
            print()
        if state.memory:  # and not interrupted over the very first
            findings = _findings(place, state, labels)
            with output.folder(out) as scratch:
                core.write(findings, scratch)
            client.log_artifact(run_id, str(out / core.REPORT))
            print(f"{findings.verdict.headline}. Report: {out / core.REPORT}")
    return detector


class _State:
    """What a watch knows, as state.json has it. told: of the changes that were told, whether they were over."""

    def __init__(self, file: Path, place: core.Place, fingerprint: str, detector: Detector) -> None:
        """Go on from a file that is there, with a new detector. Raises DataError if it is of something else."""
        self.file, self.detector = file, detector
        self.follower, self.memory = Follower(place.folder, place.endpoint, place.deployment), Memory()
        self.told: dict[int, bool] = {}
        self.of = {
            "model": fingerprint,
            "folder": str(place.folder.resolve()),
            "endpoint": place.endpoint,
            "deployment": place.deployment,
        }
        if file.is_file():
            try:
                self._restore(json.loads(file.read_text(encoding="utf-8")))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{file}: cannot be gone on from ({error}); name another --output, or delete it"
                ) from error

    def _restore(self, state: Mapping[str, Any]) -> None:
        for what, value in self.of.items():
            if state["of"][what] != value:
                raise ValueError(f"it is of another {what}")
        self.detector.restore(state["detector"])
        self.follower.restore(state["follower"])
        self.memory.restore(state["memory"])
        self.told = {int(seen): bool(ended) for seen, ended in state["told"].items()}

    def keep(self) -> None:
        state = {
            "of": self.of,
            "detector": self.detector.state(),
            "follower": self.follower.state(),
            "memory": self.memory.state(),
            "told": self.told,
        }
        scratch = self.file.with_name(f".{self.file.name}-{os.getpid()}")
        scratch.write_text(json.dumps(state), encoding="utf-8")
        scratch.replace(self.file)


def _findings(place: core.Place, state: _State, labels: Path | None) -> Findings:
    problems = list(state.follower.problems)
    try:
        truths = core.labelled(labels, problems)
    except DataError:  # not there yet, or nothing in it
        truths = {}
    return core.remembered(place, state.detector, state.memory, truths, problems)


def _known(detector: Detector) -> dict[int, bool]:
    """What is known of changes: by the request at which each was seen, whether it is over."""
    return {change.seen: change.cleared is not None for change in detector.changes}


def _tell(findings: Findings, before: Mapping[int, bool], out: Path, url: str | None) -> None:
    """Say what has changed since, here and to a webhook, and write the report on it."""
    clear = "\r\x1b[K" if sys.stdout.isatty() else ""
    for change in findings.verdict.changes:
        was = before.get(change.numbers[1])
        if was != change.ended:
            what = "ALARM" if not change.ended else "ALARM, and ALL CLEAR" if was is None else "ALL CLEAR"
            text = f"{what}: {' '.join(words.describe(findings, change))}"
            print(f"{clear}{text}", flush=True)
            if url:
                webhooks.send(url, what.lower(), text, **core.notice(change))
    with output.folder(out) as scratch:
        core.write(findings, scratch)


def _show(detector: Detector, evidence: float) -> None:
    """One line that says how things are, where there is a terminal to say it on again and again."""
    if sys.stdout.isatty():
        state = "normal" if detector.standing is None else "CHANGED"
        line = f"{detector.requests:,} requests · {state} · {words.rarity(evidence, detector.certified is not None)}"
        print(f"\r\x1b[K{line[:110]}", end="", flush=True)


def _promised(detector: Detector) -> str:
    if detector.certified is not None:
        return f"a chance of at most {detector.certified:.3g} of ever a false alarm"
    return f"a false alarm at most once in {detector.gamma:,.10g} requests"
