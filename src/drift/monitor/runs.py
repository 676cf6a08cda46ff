"""What the monitor saw, as MLflow shows it: a run with a value for every request, runs below it, tags on the model."""

from __future__ import annotations

import math
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.data import ink
from digits.jobs import tracking
from digits.network import lite
from drift.records.collected import Collected
from drift.verdict import measures

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from drift.verdict.findings import Findings

REQUESTS = 300  # up to so many there is an MLflow run for each
BATCH = 1000  # metrics in one call, MLflow's limit


def log(run_id: str, findings: Findings, folder: Path) -> None:
    """The findings as the run `run_id`: metrics, tags, the files of `folder`."""
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

    client, now = mlflow.MlflowClient(), int(time.time() * 1000)
    seen, found = findings.seen, findings.verdict
    metrics = [
        Metric(name, float(value), now, int(tick))
        for name, values in series(findings).items()
        for tick, value in zip(seen["tick"], values, strict=True)
        if not np.isnan(value)
    ]
    metrics.append(Metric("changes", len(found.changes), now, 0))
    if not math.isnan(found.accuracy):
        metrics.append(Metric("accuracy", found.accuracy, now, 0))
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[start : start + BATCH])
    promise = [Param(name, str(value)) for name, value in findings.detector.promise.items()]
    tags = {"verdict": f"{found.headline}. {found.advice}"} | drift_tags(findings)
    size = Param("reference", str(len(findings.detector.bets.reference)))
    client.log_batch(run_id, params=[*promise, size], tags=[RunTag(*tag) for tag in tags.items()])
    client.log_artifacts(run_id, str(folder))


def log_requests(run_id: str, seen: Collected) -> list[str]:
    """A run below `run_id` for each request, if they are few; where each is looked at, none if they are not."""
    import mlflow

    client, now = mlflow.MlflowClient(), int(time.time() * 1000)
    if len(seen) > REQUESTS:
        print(
            f"{len(seen)} requests: no MLflow run for each of more than {REQUESTS}; the simulation's run has them all"
        )
        return []
    parent = client.get_run(run_id).info
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        jobs = [(client, parent.experiment_id, run_id, seen, index, Path(scratch), now) for index in range(len(seen))]
        # A server far away is asked by several at once; a local store takes one after the other anyway.
        with ThreadPoolExecutor(8 if mlflow.get_tracking_uri().startswith(("http", "azureml")) else 1) as pool:
            made = list(pool.map(_log_request, *zip(*jobs, strict=True)))
    return [tracking.address(parent.experiment_id, run) for run in made]


def series(findings: Findings) -> dict[str, np.ndarray]:
    """What is logged for every request: arrays (n,), NaN where there is nothing to log.

    evidence: its decimal logarithm, so that 4 is "once in 10,000 requests".
    """
    seen = findings.seen
    # MLflow takes these in a name, and a scenario's source may have others.
    names = [re.sub(r"[^\w .:/-]", "_", name, flags=re.ASCII) for name in seen.sources]
    table = {f"weight_{name}": seen.weights[:, k] for k, name in enumerate(names)}
    table |= {"evidence": findings.evidence / math.log(10), "surprise": findings.surprise / math.log(10)}
    table |= {name: seen[name] for name in ("confidence", "distance", *ink.STATISTICS) if name in seen.columns}
    table["anomalous_pred_proba"] = np.where(measures.unsure(seen), seen["confidence"], np.nan)
    if seen.labelled.all():
        right = seen["prediction"] == seen["label"]
        table |= {"correct": right.astype(float), f"accuracy_last_{measures.ROLLING}": measures.recent(right)}
    return table


def drift_tags(findings: Findings) -> dict[str, str]:
    """What a run, and a model version, is tagged with: whether there was a change, since when, in what."""
    if not findings.verdict.changes:
        return {"drift": "none"}
    last = findings.verdict.changes[-1]
    told = {"drift": "over" if last.ended else "standing", "drift.since": findings.when(last.numbers[0])[1]}
    return told | {"drift.score": last.score, "drift.words": ", ".join(last.words)}


def tag_model(name: str, model: Path, findings: Findings) -> None:
    """Tag the registered version of the model `name` that is this very model, if there is one."""
    import mlflow

    from digits.jobs import registry

    version = registry.version_of(name, lite.fingerprint(lite.find(model)))
    if version is None:
        return
    client = mlflow.MlflowClient()
    for key, value in drift_tags(findings).items():
        client.set_model_version_tag(name, version.version, key, value)


def _log_request(
    client: MlflowClient, experiment: str, parent: str, seen: Collected, index: int, scratch: Path, now: int
) -> str:
    """One request as a run below `parent`, its id: numbers to draw, words to filter by, and its image."""
    from mlflow.entities import Param
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
    from PIL import Image

    id = str(seen["id"][index])
    tags = {MLFLOW_PARENT_RUN_ID: parent} | {name: str(seen[name][index]) for name in ("date", "label")}
    run = client.create_run(experiment, tags=tags, run_name=id).info.run_id
    # The one parameter, for the comparison begins with an axis for each.
    client.log_batch(run, _request_metrics(seen, index, now), [Param("source", str(seen["source"][index]))])
    if seen.pictured[index]:
        folder = scratch / str(index)
        folder.mkdir()
        Image.fromarray(seen.images[index]).save(folder / "data.png")
        client.log_artifact(run, str(folder / "data.png"))
    client.set_terminated(run)
    return str(run)


def _request_metrics(seen: Collected, index: int, now: int) -> list[Metric]:
    from mlflow.entities import Metric

    values = {"tick": seen["tick"][index], "prediction": seen["prediction"][index]}
    values["probability"] = seen["confidence"][index]
    values |= {f"probability_class_{digit}": seen[f"probability_{digit}"][index] for digit in range(10)}
    if measures.unsure(seen)[index]:
        values["anomalous_pred_proba"] = seen["confidence"][index]
    return [Metric(name, float(value), now, int(seen["tick"][index])) for name, value in values.items()]
