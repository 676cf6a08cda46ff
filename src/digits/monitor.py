"""What an endpoint's users sent, looked at: have the digits changed, since when, in what? In words, a report, MLflow.

    python -m digits.monitor --collected modelDataCollector --model model --output monitoring
    python -m digits.monitor --collected modelDataCollector --model model --output monitoring --labels labels.jsonl
    python -m digits.monitor --collected modelDataCollector --model model --output monitoring --watch

It reads what the endpoint recorded, never the endpoint itself, and compares it with the digits the model was tested on
(digits.drift, whose promise `--gamma` or `--certified` states). Labels serve to say what a change cost; those of
digits.traffic also say which requests belong to a simulation, and when it pretends that they were sent. A change found
is no failure: the exit code is 0.

`--watch` follows the records while they grow, says what it finds when it finds it, and keeps what it knows in
state.json: it may be stopped, or killed, at any time, and goes on where it was.

In MLflow there is one run, with a value for every request, and below it, for a simulation, one run for each request,
with its image: mark these, press Compare, and MLflow draws parallel coordinates and scatter plots of tick, prediction,
probability_class_0 to 9, and anomalous_pred_proba, which only those requests have that the model was unsure of. All of
it comes from the records; nothing was done within a request.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digits import cli, collected, output, reference, report, verdict
from digits.bets import NAMES
from digits.drift import GAMMA, Detector
from digits.follow import Follower
from digits.images import DataError
from digits.look import Look, most_unlike
from digits.memory import Memory

REPORT, VERDICT = "report.html", "verdict.json"
FEW = 100  # digits of a hand, by which nothing can be said to be rarer than one in so many


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.monitor", description="Look at what an endpoint collected.")
    parser.add_argument("--collected", type=Path, required=True, metavar="DIR", help="folder the data is collected in")
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="the model that serves, as digits.train saved it"
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help="labels.jsonl, of digits.traffic or your own")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help=f"folder for {REPORT} and {VERDICT}")
    parser.add_argument("--endpoint", help="only this endpoint's data (default: whatever is found)")
    parser.add_argument("--deployment", help="only this deployment's data (default: all)")
    promise = parser.add_mutually_exclusive_group()
    promise.add_argument(
        "--gamma", type=float, default=GAMMA, metavar="N", help="requests between false alarms (default: %(default)s)"
    )
    promise.add_argument(
        "--certified", type=cli.fraction, metavar="P", help="in its place: the chance of ever a false alarm, as 0.05"
    )
    parser.add_argument("--watch", action="store_true", help="follow the records as they grow, until Ctrl-C")
    parser.add_argument("--model-name", default="digits", help="the model's in the registry (default: %(default)s)")
    parser.add_argument(
        "--wait", type=float, default=10, metavar="S", help="seconds to wait for records on their way (default: 10)"
    )
    return cli.run(parser, _main, argv)


def _main(args: argparse.Namespace) -> None:
    place = Place(args.collected, args.endpoint, args.deployment)
    promise = {"gamma": args.gamma} if args.certified is None else {"certified": args.certified}
    if args.watch:
        from digits import watch

        watch.watch(place, args.model, args.output, promise, args.labels, args.model_name)
    else:
        monitor(place, args.model, args.output, promise, args.labels, args.wait, args.model_name)


@dataclass(frozen=True)
class Place:
    """Which records: those below a folder, of one endpoint or all, of one deployment or all."""

    folder: Path
    endpoint: str | None = None
    deployment: str | None = None


def monitor(
    place: Place,
    model: Path,
    out: Path,
    promise: Mapping[str, float] | None = None,
    labels: Path | None = None,
    wait: float = 0,
    name: str = "digits",
) -> verdict.Verdict:
    """Look at what was collected, by the reference that the model folder has. Raises DataError.

    Writes report.html and verdict.json to `out`, logs to MLflow, and tells the verdict. promise: Detector's.
    """
    detector = new_detector(model, promise)
    problems: list[str] = []
    truths = labelled(labels, problems)
    simulated = bool(truths) and all(row["tick"] >= 0 for row in truths.values())
    if simulated and labels:
        seen = _read(place, labels, wait)
        look = looked(seen, detector, detector.update(seen.columns))
    else:
        memory = _follow(place, detector, truths, problems)
        look = look_back(place, detector, memory, truths, problems)
        seen = look.seen

    from digits import monitor_runs, tracking

    run = str(seen["run"][0]) or f"{place.endpoint or 'production'}-{str(seen['date'][-1])[:10]}"
    with tracking.run(run) as run_id, output.folder(out) as scratch:
        write(look, scratch)
        monitor_runs.log(run_id, look, scratch, with_requests=simulated)
        monitor_runs.tag_model(name, model, look)
    tell(look)
    print(f"Report: {out / REPORT}")
    return look.found


def labelled(labels: Path | None, problems: list[str]) -> dict[str, collected.Row]:
    """What is known of requests, by id. Raises DataError if the file holds nothing."""
    return {} if labels is None else {row["id"]: row for row in collected.truths(labels, problems)}


def new_detector(model: Path, promise: Mapping[str, float] | None) -> Detector:
    """A detector for a model's folder. Raises DataError for a promise that means nothing."""
    known = reference.read(model)
    try:
        return Detector(known, **(promise or {}))
    except ValueError as error:
        raise DataError(f"--{error}") from error


def looked(
    seen: collected.Collected, detector: Detector, evidence: np.ndarray, numbers: np.ndarray | None = None
) -> Look:
    """What a person is shown of requests. numbers: (n,) the detector's of them, where they are not all it was given."""
    if numbers is None:
        numbers = np.arange(len(seen))
    others = sum(detector.bets.reference.foreign(seen.columns))
    if others:
        told = f"{others:,} of {len(seen):,} requests were answered by another model than --model"
        seen.problems.append(f"{told}: the detector looks at nothing but their ink")
    fewest = min(map(len, detector.bets.reference.by_hand()))
    if fewest < FEW:
        told = f"the reference knows one of its hands by {fewest} digits only"
        seen.problems.append(f"{told}: a change is noticed later, and a short one perhaps not")
    found = verdict.judge(seen, detector.changes, numbers, detector.requests)
    surprise = detector.bets.logarithms(seen.columns)[:, NAMES.index("together")]
    return Look(seen, found, evidence, surprise, detector, numbers)


def look_back(
    place: Place, detector: Detector, memory: Memory, truths: Mapping[str, collected.Row], problems: list[str]
) -> Look:
    """The same of what is remembered of the requests that were followed; truths: what is known of requests, by id."""
    numbers, rows, evidence = memory.recall()
    if missing := len(truths.keys() - {row["id"] for row in rows}):
        problems = [*problems, f"{missing:,} of {len(truths):,} labels are of no request that was looked at"]
    seen = collected.assemble(rows, numbers, truths, place.folder, problems)
    return replace(looked(seen, detector, evidence, np.array(numbers)), dates=memory.dates)


def write(look: Look, folder: Path) -> None:
    """report.html and verdict.json."""
    (folder / REPORT).write_text(report.page(look), encoding="utf-8")
    (folder / VERDICT).write_text(json.dumps(summary(look), indent=2) + "\n", encoding="utf-8")


def summary(look: Look) -> dict[str, Any]:
    """The verdict as JSON: what the page says, with ticks and dates in place of indices."""
    seen, found = look.seen, look.found
    return _finite(
        {
            "run": str(seen["run"][0]),
            "requests": look.requests,
            "promise": look.detector.promise,
            "reference": len(look.detector.bets.reference),
            "drifted": bool(found.changes),
            "standing": found.standing,
            "headline": found.headline,
            "advice": found.advice,
            "accuracy": found.accuracy,
            "accuracy_outside_changes": found.calm_accuracy,
            "accuracy_in_changes": found.changed_accuracy,
            "anomalies": int(report.unsure(seen).sum()),
            "changes": [
                asdict(change)
                | _when(look, change)
                | {
                    "evidence": math.exp(min(change.evidence, 700)),
                    "rarity": verdict.rarity(change.evidence, look.detector.certified is not None),
                }
                for change in found.changes
            ],
            "most_unlike": [str(seen["id"][index]) for index in most_unlike(look, report.UNLIKE)],
            "problems": seen.problems,
        }
    )


def _when(look: Look, change: verdict.Change) -> dict[str, Any]:
    """Ticks and dates of a change; of one that lasts, the last request is the last of all."""
    first, seen, last = change.numbers
    numbers = {"first": first, "seen": seen, "last": look.requests - 1 if last is None else last}
    when = {key: look.when(number) for key, number in numbers.items()}
    return {key: tick for key, (tick, _) in when.items()} | {f"{key}_date": date for key, (_, date) in when.items()}


def tell(look: Look) -> None:
    """Print the verdict as one would say it."""
    seen, found = look.seen, look.found
    known = int(seen.labelled.sum())
    right = f" {found.accuracy:.1%} of {known:,} digits were read right." if known else f" {look.requests:,} requests."
    print(f"{found.headline}.{right}")
    for change in found.changes:
        print(f"  {' '.join(report.describe(look, change))}")
    print(found.advice)
    for problem in seen.problems:
        print(f"note: {problem}", file=sys.stderr)


def _finite(value: Any) -> Any:
    """The same with null for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _follow(place: Place, detector: Detector, truths: Mapping[str, collected.Row], problems: list[str]) -> Memory:
    """All that was collected, given to the detector; what is remembered of it. Raises DataError."""
    follower, memory = Follower(place.folder, place.endpoint, place.deployment), Memory(truths)
    while rows := follower.read(patience=0):
        memory.add(rows, detector.update(collected.columns(rows)), detector)
    if not detector.requests:
        of = collected.named(place.endpoint, place.deployment)
        raise DataError(f"{place.folder}: holds no {collected.OUTPUTS}{of}; check that the deployment collects data")
    problems += follower.problems
    return memory


def _read(place: Place, labels: Path, wait: float) -> collected.Collected:
    """A simulation's requests; records may come some seconds after the answers, so what is incomplete is read again."""
    deadline = time.monotonic() + wait
    while True:
        try:
            seen = collected.read(place.folder, labels, place.endpoint, place.deployment)
        except DataError:
            if not labels.is_file() or time.monotonic() > deadline:
                raise
        else:
            if not seen.problems or time.monotonic() > deadline:
                return seen
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
