"""What a monitor tells: lines in the log, files in the output, metrics and tags of the job's MLflow run."""

import math
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.files import write_json, write_text
from amlocal.monitors.compute import Measure, Outcome
from amlocal.specs.monitor import Refused

# The tag that Azure gives to the run that evaluates a signal (evaluate_metrics_threshold.py); here it is the job's.
BREACHED = "azureml_modelmonitor_threshold_breached"
LONGEST_TAG = 5000  # characters, of 8,000 that MLflow takes
BATCH = 500  # metrics that MLflow is given at once
HEADINGS = ("feature", "kind", "metric", "value", "threshold", "")


def lines(outcome: Outcome) -> Iterable[str]:
    """What is printed of a signal: its alerts, one line each, then what is to be said of how it was computed."""
    signal = outcome.signal
    features = len({measure.feature for measure in outcome.measures})
    yield (
        f"{signal.name} ({signal.type}): {outcome.rows} rows against {outcome.reference_rows}, {features} features, "
        f"{len(outcome.violations)} beyond a threshold"
    )
    for measure in outcome.violations:
        mark = "ALERT" if signal.alerts else "beyond its threshold (alert_enabled is off)"
        yield f"{mark}: {told(signal.name, measure)}, {outcome.rows} rows"
    for notice in outcome.notices:
        yield f"NOTE: {signal.name}: {notice}"


def told(signal: str, measure: Measure) -> str:
    value, threshold = number(measure.value), number(measure.threshold)
    return f"{signal}: {measure.feature}: {measure.metric} is {value}, threshold {threshold}"


def number(value: float) -> str:
    return f"{value:.4g}"


def table(measures: Sequence[Measure], rule: bool = False) -> list[str]:
    """The measures as aligned lines; with `rule` as a table of Markdown's."""
    rows = [
        HEADINGS,
        *(
            (
                measure.feature,
                measure.kind,
                measure.metric,
                number(measure.value),
                number(measure.threshold),
                "beyond" if measure.violated else "",
            )
            for measure in measures
        ),
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADINGS))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    if not rule:
        return ["  ".join(row).rstrip() for row in padded]
    padded.insert(1, ["-" * max(width, 3) for width in widths])
    return [f"| {' | '.join(row)} |" for row in padded]


def write(folder: Path, about: dict[str, Any], found: Sequence[Outcome], refused: Sequence[Refused]) -> None:
    """Into `folder`: monitor.json, everything; monitor.md, the same for people. about: monitor, time, windows."""
    folder.mkdir(parents=True, exist_ok=True)
    signals = [
        {
            "signal": one.signal.name,
            "type": one.signal.type,
            "rows": one.rows,
            "reference_rows": one.reference_rows,
            "alert_enabled": one.signal.alerts,
            "metrics": [
                {
                    "feature": measure.feature,
                    "data_type": measure.kind,
                    "metric": measure.metric,
                    "value": _finite(measure.value),
                    "threshold": _finite(measure.threshold),
                    "violated": measure.violated,
                }
                for measure in one.measures
            ],
            "notes": one.notices,
        }
        for one in found
    ]
    not_computed = [{"signal": one.name, "type": one.type, "reason": one.reason} for one in refused]
    write_json(folder / "monitor.json", {**about, "signals": signals, "not_computed": not_computed})
    page = [f"# {about['monitor']}, {about['time']}", ""]
    for one in found:
        page += [f"## {one.signal.name} ({one.signal.type})", ""]
        page += [f"{one.rows} rows against {one.reference_rows} of the reference.", ""]
        page += [*table(one.measures, rule=True), "", *(f"- {notice}" for notice in one.notices), ""]
    page += [f"- {one.name} ({one.type}): not computed: {one.reason}" for one in refused]
    write_text(folder / "monitor.md", "\n".join(page).rstrip() + "\n")


def metrics(found: Sequence[Outcome]) -> dict[str, float]:
    """As they are logged: <signal>/<feature>/<metric>, and for each signal its rows and how many are beyond."""
    logged: dict[str, float] = {}
    for one in found:
        name = _key(one.signal.name)
        for measure in one.measures:
            logged[f"{name}/{_key(measure.feature)}/{measure.metric}"] = measure.value
        logged[f"{name}/rows"] = one.rows
        logged[f"{name}/reference_rows"] = one.reference_rows
        logged[f"{name}/violations"] = len(one.violations)
    return logged


def tags(found: Sequence[Outcome]) -> dict[str, str]:
    """Azure's tag for alerts, when there are any."""
    alerts = [told(one.signal.name, measure) for one in found if one.signal.alerts for measure in one.violations]
    if not alerts:
        return {}
    text = "; ".join(alerts)
    return {BREACHED: text if len(text) <= LONGEST_TAG else text[:LONGEST_TAG] + " ..."}


def log(run_id: str, found: Sequence[Outcome]) -> None:
    """Into the MLflow run of the job, whose server the environment names. Raises UserError when that refuses."""
    from mlflow import MlflowClient, MlflowException
    from mlflow.entities import Metric, RunTag

    client, now = MlflowClient(), int(time.time() * 1000)
    each = [Metric(name, value, now, 0) for name, value in metrics(found).items()]
    try:
        for start in range(0, len(each), BATCH):
            client.log_batch(run_id, metrics=each[start : start + BATCH])
        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags(found).items()])
    except MlflowException as error:
        raise UserError(f"what was found is written, but not logged to MLflow: {str(error).splitlines()[0]}") from error


def _finite(value: float) -> float | None:
    """JSON knows neither infinity nor NaN."""
    return value if math.isfinite(value) else None


def _key(name: str) -> str:
    """A name as MLflow takes it in a metric's."""
    return re.sub(r"[^\w\-. :]", "_", name)
