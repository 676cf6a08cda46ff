"""MLflow as the jobs use it: inside the run that Azure ML (or a local runner) opened, or in one of their own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAMPLING = 2  # seconds between samples of CPU, memory and network
TAG = 1000  # characters of a tag's value that Azure takes; MLflow itself takes more


@contextmanager
def run(job: str, system_metrics: bool = False) -> Iterator[str]:
    """An active MLflow run for `job`, its id yielded; it ends as failed if the block raises.

    A runner sets MLFLOW_TRACKING_URI and MLFLOW_RUN_ID, and this continues that run. Without them MLflow's defaults
    hold: a new run in ./mlflow.db. `system_metrics` also logs what the machine does meanwhile.
    """
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # a job's machine need not have git
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a log shows no moving bar
    import mlflow

    if system_metrics:
        mlflow.set_system_metrics_sampling_interval(SAMPLING)
        mlflow.set_system_metrics_samples_before_logging(1)
    name = None if os.environ.get("MLFLOW_RUN_ID") else job
    with mlflow.start_run(run_name=name, log_system_metrics=system_metrics) as active:
        yield active.info.run_id
