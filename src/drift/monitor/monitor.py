"""What an endpoint's users sent, looked at: have the digits changed, since when, in what? In words, a report, MLflow.

    python -m drift.monitor --collected modelDataCollector --model model --output monitoring
    python -m drift.monitor --collected modelDataCollector --model model --output monitoring --labels labels.jsonl
    python -m drift.monitor --collected modelDataCollector --model model --output monitoring --watch

It reads what the endpoint recorded, never the endpoint itself, and compares it with the digits the model was tested on
(drift.detect, whose promise `--gamma` or `--certified` states). Labels serve to say what a change cost; those of
drift.traffic also say which requests belong to a simulation, and when it pretends that they were sent. A change found
is no failure: the exit code is 0.

`--webhook URL` has a change that stands posted there; with `--watch` each change and its end, once.

`--watch` follows the records while they grow, says what it finds when it finds it, and keeps what it knows in
state.json: it may be stopped, or killed, at any time, and goes on where it was.

In MLflow there is one run, with a value for every request, and below it, for a simulation, one run for each request,
with its image: mark these, press Compare, and MLflow draws parallel coordinates and scatter plots of tick, prediction,
probability, probability_class_0 to 9, and anomalous_pred_proba, which only those requests have that the model was
unsure of. All of it comes from the records; nothing was done within a request.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from digits import command, output
from digits.errors import DataError
from digits.jobs import tracking
from drift.detect.detector import GAMMA, Detector
from drift.monitor import core, runs, watch, webhook
from drift.records import collected, reader
from drift.records.follow import Follower
from drift.records.memory import Memory
from drift.verdict import verdict


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drift.monitor", description="Findings at what an endpoint collected.")
    parser.add_argument("--collected", type=Path, required=True, metavar="DIR", help="folder the data is collected in")
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="the model that serves, as digits.jobs.train saved it"
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help="labels.jsonl, of drift.traffic or your own")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help=f"folder for {core.REPORT} and {core.VERDICT}"
    )
    parser.add_argument("--endpoint", help="only this endpoint's data (default: whatever is found)")
    parser.add_argument("--deployment", help="only this deployment's data (default: all)")
    promise = parser.add_mutually_exclusive_group()
    promise.add_argument(
        "--gamma", type=float, default=GAMMA, metavar="N", help="requests between false alarms (default: %(default)s)"
    )
    promise.add_argument(
        "--certified",
        type=command.fraction,
        metavar="P",
        help="in its place: the chance of ever a false alarm, as 0.05",
    )
    parser.add_argument("--watch", action="store_true", help="follow the records as they grow, until Ctrl-C")
    parser.add_argument(
        "--webhook", type=webhook.address, metavar="URL", help="POST each change and its end there, as JSON with a text"
    )
    parser.add_argument("--model-name", default="digits", help="the model's in the registry (default: %(default)s)")
    parser.add_argument(
        "--wait", type=float, default=10, metavar="S", help="seconds to wait for records on their way (default: 10)"
    )
    return command.run(parser, _main, argv)


def _main(args: argparse.Namespace) -> None:
    place = core.Place(args.collected, args.endpoint, args.deployment)
    promise = {"gamma": args.gamma} if args.certified is None else {"certified": args.certified}
    if args.watch:
        watch.watch(place, args.model, args.output, promise, args.labels, args.model_name, webhook=args.webhook)
    else:
        seen = monitor(place, args.model, args.output, promise, args.labels, args.wait, args.model_name)
        if args.webhook and seen.standing:
            webhook.send(args.webhook, "alarm", f"{seen.headline}. {seen.advice}", **core.notice(seen.changes[-1]))


def monitor(
    place: core.Place,
    model: Path,
    out: Path,
    promise: Mapping[str, float] | None = None,
    labels: Path | None = None,
    wait: float = 0,
    name: str = "digits",
) -> verdict.Verdict:
    """Findings at what was collected, by the reference that the model folder has. Raises DataError.

    Writes report.html and verdict.json to `out`, logs to MLflow, and tells the verdict. promise: Detector's.
    """
    detector = core.new_detector(model, promise)
    problems: list[str] = []
    truths = core.labelled(labels, problems)
    simulated = bool(truths) and all(row["tick"] >= 0 for row in truths.values())
    if simulated and labels:
        seen = _read(place, labels, wait)
        findings = core.findings_of(seen, detector, detector.update(seen.columns))
    else:
        memory = _follow(place, detector, truths, problems)
        findings = core.remembered(place, detector, memory, truths, problems)
        seen = findings.seen

    run = str(seen["run"][0]) or f"{place.endpoint or 'production'}-{str(seen['date'][-1])[:10]}"
    with tracking.run(run) as run_id, output.folder(out) as scratch:
        if simulated:
            findings = replace(findings, addresses=runs.log_requests(run_id, seen))
        core.write(findings, scratch)
        runs.log(run_id, findings, scratch)
        runs.tag_model(name, model, findings)
    core.tell(findings)
    print(f"Report: {out / core.REPORT}")
    return findings.verdict


def _follow(place: core.Place, detector: Detector, truths: Mapping[str, reader.Row], problems: list[str]) -> Memory:
    """All that was collected, given to the detector; what is remembered of it. Raises DataError."""
    follower, memory = Follower(place.folder, place.endpoint, place.deployment), Memory(truths)
    while rows := follower.read(patience=0):
        memory.add(rows, detector.update(collected.columns(rows)), detector)
    if not detector.requests:
        of = reader.named(place.endpoint, place.deployment)
        raise DataError(f"{place.folder}: holds no {reader.OUTPUTS}{of}; check that the deployment collects data")
    problems += follower.problems
    return memory


def _read(place: core.Place, labels: Path, wait: float) -> collected.Collected:
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
