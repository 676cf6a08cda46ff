"""What one look at the records and a watch over them share: the detector, the findings, and how they are told."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digits.errors import DataError
from drift.detect.detector import Detector
from drift.records import collected, reference
from drift.records.labels import truths as truths_of
from drift.records.memory import Memory
from drift.records.reader import Row
from drift.report import page
from drift.verdict import measures, verdict, words
from drift.verdict.findings import Findings, most_unlike

REPORT, VERDICT = "report.html", "verdict.json"
FEW = 100  # digits of a hand, by which nothing can be said to be rarer than one in so many


@dataclass(frozen=True)
class Place:
    """Which records: those below a folder, of one endpoint or all, of one deployment or all."""

    folder: Path
    endpoint: str | None = None
    deployment: str | None = None


def labelled(labels: Path | None, problems: list[str]) -> dict[str, Row]:
    """What is known of requests, by id. Raises DataError if the file holds nothing."""
    return {} if labels is None else {row["id"]: row for row in truths_of(labels, problems)}


def new_detector(model: Path, promise: Mapping[str, float] | None) -> Detector:
    """A detector for a model's folder. Raises DataError for a promise that means nothing."""
    known = reference.read(model)
    try:
        return Detector(known, **(promise or {}))
    except ValueError as error:
        raise DataError(f"--{error}") from error


def findings_of(
    seen: collected.Collected, detector: Detector, evidence: np.ndarray, numbers: np.ndarray | None = None
) -> Findings:
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
    surprise = detector.bets.logarithms(seen.columns)[:, detector.bets.names.index("together")]
    return Findings(seen, found, evidence, surprise, detector, numbers)


def remembered(
    place: Place, detector: Detector, memory: Memory, truths: Mapping[str, Row], problems: list[str]
) -> Findings:
    """The same of what is remembered of the requests that were followed; truths: what is known of requests, by id."""
    numbers, rows, evidence = memory.recall()
    if missing := len(truths.keys() - {row["id"] for row in rows}):
        problems = [*problems, f"{missing:,} of {len(truths):,} labels are of no request that was looked at"]
    seen = collected.assemble(rows, numbers, truths, place.folder, problems)
    return replace(findings_of(seen, detector, evidence, np.array(numbers)), dates=memory.dates)


def write(findings: Findings, folder: Path) -> None:
    """report.html and verdict.json."""
    (folder / REPORT).write_text(page.page(findings), encoding="utf-8")
    (folder / VERDICT).write_text(json.dumps(summary(findings), indent=2) + "\n", encoding="utf-8")


def summary(findings: Findings) -> dict[str, Any]:
    """The verdict as JSON: what the page says, with ticks and dates in place of indices."""
    seen, found = findings.seen, findings.verdict
    return _finite(
        {
            "run": str(seen["run"][0]),
            "requests": findings.requests,
            "promise": findings.detector.promise,
            "reference": len(findings.detector.bets.reference),
            "drifted": bool(found.changes),
            "standing": found.standing,
            "headline": found.headline,
            "advice": found.advice,
            "accuracy": found.accuracy,
            "accuracy_outside_changes": found.calm_accuracy,
            "accuracy_in_changes": found.changed_accuracy,
            "anomalies": int(measures.unsure(seen).sum()),
            "changes": [
                asdict(change)
                | _when(findings, change)
                | {
                    "evidence": math.exp(min(change.evidence, 700)),
                    "rarity": words.rarity(change.evidence, findings.detector.certified is not None),
                }
                for change in found.changes
            ],
            "most_unlike": [str(seen["id"][index]) for index in most_unlike(findings, page.UNLIKE)],
            "problems": seen.problems,
        }
    )


def _when(findings: Findings, change: verdict.DescribedChange) -> dict[str, Any]:
    """Ticks and dates of a change; of one that lasts, the last request is the last of all."""
    first, seen, last = change.numbers
    numbers = {"first": first, "seen": seen, "last": findings.requests - 1 if last is None else last}
    when = {key: findings.when(number) for key, number in numbers.items()}
    return {key: tick for key, (tick, _) in when.items()} | {f"{key}_date": date for key, (_, date) in when.items()}


def tell(findings: Findings) -> None:
    """Print the verdict as one would say it."""
    seen, found = findings.seen, findings.verdict
    known = int(seen.labelled.sum())
    right = (
        f" {found.accuracy:.1%} of {known:,} digits were read right." if known else f" {findings.requests:,} requests."
    )
    print(f"{found.headline}.{right}")
    for change in found.changes:
        print(f"  {' '.join(words.describe(findings, change))}")
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


def notice(change: verdict.DescribedChange) -> dict[str, Any]:
    """A change for a webhook: figures and words, nothing of what was sent. Requests count as in the detector."""
    first, seen, last = change.numbers
    positions = {"first": first, "seen": seen, "last": last}
    return {**positions, "ended": change.ended, "score": change.score, "words": change.words}
