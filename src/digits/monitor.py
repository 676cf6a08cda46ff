"""What an endpoint's users sent, looked at afterwards: a verdict in words, a report, and MLflow runs.

    python -m digits.monitor --collected modelDataCollector --labels traffic/labels.jsonl --output monitoring

In MLflow there is one run for the simulation, with a value for every tick, and below it one for each request, with its
image: mark these, press Compare, and MLflow draws parallel coordinates and scatter plots of tick, prediction,
probability_class_0 to 9, and anomalous_pred_proba, which only those requests have that the model was unsure of. All of
it comes from the records; nothing was done within a request.
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digits import cli, collected, output, report, verdict
from digits.images import DataError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

REQUESTS = 300  # up to so many there is an MLflow run for each
BATCH = 1000  # metrics in one call, MLflow's limit
REPORT, VERDICT = "report.html", "verdict.json"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.monitor", description="Look at what an endpoint collected.")
    parser.add_argument("--collected", type=Path, required=True, metavar="DIR", help="folder the data is collected in")
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE", help="labels.jsonl of digits.traffic")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help=f"folder for {REPORT} and {VERDICT}")
    parser.add_argument("--endpoint", help="only this endpoint's data (default: whatever the ids are found in)")
    parser.add_argument(
        "--wait", type=float, default=10, metavar="S", help="seconds to wait for records on their way (default: 10)"
    )
    return cli.run(parser, lambda a: monitor(a.collected, a.labels, a.output, a.endpoint, a.wait), argv)


def monitor(folder: Path, labels: Path, out: Path, endpoint: str | None = None, wait: float = 0) -> verdict.Verdict:
    """Judge the requests that `labels` names by what was collected of them below `folder`.

    Writes report.html and verdict.json to `out`, logs to MLflow, and tells the verdict. Raises DataError.
    """
    seen = _read(folder, labels, endpoint, wait)
    found = verdict.judge(seen)

    from digits import tracking

    run = str(seen["run"][0])
    with tracking.run(run) as run_id, output.folder(out) as scratch:
        (scratch / REPORT).write_text(report.page(seen, found), encoding="utf-8")
        (scratch / VERDICT).write_text(json.dumps(summary(seen, found), indent=2) + "\n", encoding="utf-8")
        _log(run_id, seen, found, scratch)
    tell(seen, found)
    print(f"Report: {out / REPORT}")
    return found


def summary(seen: collected.Collected, found: verdict.Verdict) -> dict[str, Any]:
    """The verdict as JSON: what the page says, with ticks and dates in place of indices."""
    return {
        "run": str(seen["run"][0]),
        "ticks": len(seen),
        "drifted": bool(found.changes),
        "headline": found.headline,
        "advice": found.advice,
        "accuracy": found.accuracy,
        "accuracy_outside_changes": _or_none(found.calm_accuracy),
        "accuracy_in_changes": _or_none(found.changed_accuracy),
        "anomalies": int(report.unsure(seen).sum()),
        "changes": [
            asdict(change)
            | {key: int(seen["tick"][getattr(change, key)]) for key in ("first", "seen", "last")}
            | {f"{key}_date": str(seen["date"][getattr(change, key)]) for key in ("first", "seen", "last")}
            for change in found.changes
        ],
        "problems": seen.problems,
    }


def tell(seen: collected.Collected, found: verdict.Verdict) -> None:
    """Print the verdict as one would say it."""
    print(f"{found.headline}. {found.accuracy:.1%} of {len(seen)} digits were read right.")
    for change in found.changes:
        print(f"  {' '.join(report.describe(seen, change))}")
    print(found.advice)
    for problem in seen.problems:
        print(f"note: {problem}", file=sys.stderr)


def series(seen: collected.Collected) -> dict[str, np.ndarray]:
    """What is logged for every tick of a simulation: arrays (n,), NaN where there is nothing to log."""
    right = seen["prediction"] == seen["label"]
    table = {f"weight_{name}": seen.weights[:, k] for k, name in enumerate(seen.sources)}
    table |= {"confidence": seen["confidence"], "correct": right.astype(float)}
    table[f"accuracy_last_{report.ROLLING}"] = report.recent(right)
    table["anomalous_pred_proba"] = np.where(report.unsure(seen), seen["confidence"], np.nan)
    return table | {name: seen[name] for name in verdict.WATCHED if name in seen.columns and name not in table}


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def _read(folder: Path, labels: Path, endpoint: str | None, wait: float) -> collected.Collected:
    """What was collected; records may come some seconds after the answers, so an incomplete reading is repeated."""
    deadline = time.monotonic() + wait
    while True:
        try:
            seen = collected.read(folder, labels, endpoint)
        except DataError:
            if not labels.is_file() or time.monotonic() > deadline:
                raise
        else:
            if not seen.problems or time.monotonic() > deadline:
                return seen
        time.sleep(0.5)


def _log(run_id: str, seen: collected.Collected, found: verdict.Verdict, folder: Path) -> None:
    import mlflow
    from mlflow.entities import Metric

    client, now = mlflow.MlflowClient(), int(time.time() * 1000)
    metrics = [
        Metric(name, float(value), now, int(tick))
        for name, values in series(seen).items()
        for tick, value in zip(seen["tick"], values, strict=True)
        if not np.isnan(value)
    ]
    metrics += [Metric("accuracy", found.accuracy, now, 0), Metric("changes", len(found.changes), now, 0)]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[start : start + BATCH])
    client.set_tag(run_id, "verdict", f"{found.headline}. {found.advice}")
    client.log_artifacts(run_id, str(folder))
    if len(seen) > REQUESTS:
        print(
            f"{len(seen)} requests: no MLflow run for each of more than {REQUESTS}; the simulation's run has them all"
        )
        return
    parent = client.get_run(run_id).info
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        jobs = [(client, parent.experiment_id, run_id, seen, index, Path(scratch), now) for index in range(len(seen))]
        # A server far away is asked by several at once; a local store takes one after the other anyway.
        with ThreadPoolExecutor(8 if mlflow.get_tracking_uri().startswith(("http", "azureml")) else 1) as pool:
            for _ in pool.map(_log_request, *zip(*jobs, strict=True)):
                pass


def _log_request(
    client: "MlflowClient", experiment: str, parent: str, seen: collected.Collected, index: int, scratch: Path, now: int
) -> None:
    """One request as a run below `parent`: numbers to draw, words to filter by, and its image."""
    from mlflow.entities import Param
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
    from PIL import Image

    id = str(seen["id"][index])
    tags = {MLFLOW_PARENT_RUN_ID: parent} | {name: str(seen[name][index]) for name in ("date", "label")}
    run = client.create_run(experiment, tags=tags, run_name=id).info.run_id
    # The one parameter, for the comparison begins with an axis for each.
    client.log_batch(run, _request_metrics(seen, index, now), [Param("source", str(seen["source"][index]))])
    if seen.seen[index]:
        folder = scratch / str(index)
        folder.mkdir()
        Image.fromarray(seen.images[index]).save(folder / "data.png")
        client.log_artifact(run, str(folder / "data.png"))
    client.set_terminated(run)


def _request_metrics(seen: collected.Collected, index: int, now: int) -> list["Metric"]:
    from mlflow.entities import Metric

    values = {"tick": seen["tick"][index], "prediction": seen["prediction"][index]}
    values |= {f"probability_class_{digit}": seen[f"probability_{digit}"][index] for digit in range(10)}
    if report.unsure(seen)[index]:
        values["anomalous_pred_proba"] = seen["confidence"][index]
    return [Metric(name, float(value), now, int(seen["tick"][index])) for name, value in values.items()]


if __name__ == "__main__":
    sys.exit(main())
