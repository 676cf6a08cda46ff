"""The monitor while traffic runs: what is new every half second, a line when something changes, and what it knows kept.

state.json holds how far the records have been read and all that the detector knows, written in one go after every
reading. So whoever kills it loses nothing: it goes on where the state was, and reads what came after once.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from digits import collected, lite, monitor, output, report, verdict
from digits.drift import Detector
from digits.follow import Follower, Recent
from digits.images import DataError
from digits.look import Look

STATE = "state.json"
PAUSE = 0.5  # seconds between two looks
METRICS = 10.0  # seconds between two points in MLflow


def watch(
    place: monitor.Place,
    model: Path,
    out: Path,
    promise: Mapping[str, float],
    labels: Path | None = None,
    name: str = "digits",
    until: Callable[[Detector], bool] = lambda detector: False,
) -> Detector:
    """Follow the records of a place until Ctrl-C, or `until` says so; the detector as it then is. Raises DataError.

    Writes state.json, report.html and verdict.json to `out`, the latter at every change and at the end; the report
    shows the requests since the watch began, the last digits.monitor.RECENT of them.
    """
    detector = monitor.new_detector(model, promise)
    follower = Follower(place.folder, place.endpoint, place.deployment)
    fingerprint = lite.fingerprint(lite.find(model))
    recent = Recent(monitor.RECENT)
    _restore(out / STATE, detector, follower, recent, fingerprint)
    print(
        f"Watching {place.folder}: {detector.requests:,} requests so far, {_promised(detector)}. Ctrl-C ends it.",
        flush=True,
    )
    from digits import monitor_runs, tracking

    with tracking.run(f"watch-{place.endpoint or 'production'}") as run_id:
        import mlflow

        client, logged = mlflow.MlflowClient(), 0.0
        try:
            while not until(detector):
                rows = follower.read()
                if not rows:
                    time.sleep(PAUSE)
                    continue
                before = _known(detector)
                evidence = detector.update(collected.columns(rows))
                recent.add(rows, evidence, detector)
                out.mkdir(parents=True, exist_ok=True)
                _keep(out / STATE, detector, follower, recent, fingerprint)
                _show(detector, float(evidence[-1]))
                if time.monotonic() - logged >= METRICS:
                    logged = time.monotonic()
                    client.log_metric(run_id, "evidence", float(evidence[-1]) / math.log(10), step=detector.requests)
                if before != _known(detector):
                    look = _look(place, detector, recent, labels)
                    _tell(look, before, out)
                    tags = monitor_runs.drift_tags(look.found, look.seen)
                    for key, value in tags.items():
                        client.set_tag(run_id, key, value)
                    monitor_runs.tag_model(name, model, look.found, look.seen)
        except KeyboardInterrupt:
            print()
        if recent.requests:
            look = _look(place, detector, recent, labels)
            with output.folder(out) as scratch:
                monitor.write(look, scratch)
            client.log_artifact(run_id, str(out / monitor.REPORT))
            print(f"{look.found.headline}. Report: {out / monitor.REPORT}")
    return detector


def _look(place: monitor.Place, detector: Detector, recent: Recent, labels: Path | None) -> Look:
    truths = monitor.labelled(labels if labels and labels.is_file() else None)
    return monitor.look_back(place, detector, recent, truths, [])


def _known(detector: Detector) -> dict[int, bool]:
    """What is known of changes: by the request at which each was seen, whether it is over."""
    return {change.seen: change.cleared is not None for change in detector.changes}


def _tell(look: Look, before: Mapping[int, bool], out: Path) -> None:
    """Say what has changed since, and write the report on it."""
    clear = "\r\x1b[K" if sys.stdout.isatty() else ""
    for change in look.found.changes:
        was = before.get(change.numbers[1])
        if was != change.ended:
            what = "ALARM" if not change.ended else "ALARM, and ALL CLEAR" if was is None else "ALL CLEAR"
            print(f"{clear}{what}: {' '.join(report.describe(look, change))}", flush=True)
    with output.folder(out) as scratch:
        monitor.write(look, scratch)


def _show(detector: Detector, evidence: float) -> None:
    """One line that says how things are, where there is a terminal to say it on again and again."""
    if sys.stdout.isatty():
        state = "normal" if detector.standing is None else "CHANGED"
        line = f"{detector.requests:,} requests · {state} · {verdict.rarity(evidence, detector.certified is not None)}"
        print(f"\r\x1b[K{line[:110]}", end="", flush=True)


def _promised(detector: Detector) -> str:
    if detector.certified is not None:
        return f"a chance of at most {detector.certified:.0%} of ever a false alarm"
    return f"a false alarm at most once in {detector.gamma:,.0f} requests"


def _keep(file: Path, detector: Detector, follower: Follower, recent: Recent, fingerprint: str) -> None:
    state = {"model": fingerprint, "detector": detector.state(), "follower": follower.state(), "dates": recent.dates}
    scratch = file.with_name(f".{file.name}-{os.getpid()}")
    scratch.write_text(json.dumps(state), encoding="utf-8")
    scratch.replace(file)


def _restore(file: Path, detector: Detector, follower: Follower, recent: Recent, fingerprint: str) -> None:
    """Go on from a state that is there. Raises DataError if it is of something else."""
    if not file.is_file():
        return
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["model"] != fingerprint:
            raise ValueError("it is of another model")
        detector.restore(state["detector"])
        follower.restore(state["follower"])
        recent.dates = {int(number): str(date) for number, date in state["dates"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: cannot be gone on from ({error}); name another --output, or delete it") from error
