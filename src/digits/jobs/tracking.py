"""MLflow as the jobs use it: inside the run that Azure ML (or a local runner) opened, or in one of their own."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

SAMPLING = 2  # seconds between samples of CPU, memory and network
TAG = 1000  # characters of a tag's value that Azure takes; MLflow itself takes more
# An experiment's tag by which MLflow 3 shows it among the trained models, and not as a GenAI application.
KIND = {"mlflow.experimentKind": "custom_model_development"}
PAGES = "http://127.0.0.1:5000"  # where MLflow's pages are, once somebody starts them for a store in a file


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
        if name:  # nobody has opened it for us
            mlflow.set_experiment_tags(KIND)
        yield active.info.run_id


def address(experiment: str, run: str) -> str:
    """Where a person looks at a run: in Azure's studio, on the pages of MLflow's server, or once these are started."""
    import mlflow

    uri = mlflow.get_tracking_uri()
    parts = urlsplit(uri)
    if parts.scheme == "azureml":
        workspace = re.search(
            r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/.*/workspaces/([^/?]+)", parts.path, re.IGNORECASE
        )
        if not workspace:
            return ""
        of = "/subscriptions/{}/resourcegroups/{}/workspaces/{}".format(*workspace.groups())
        return f"https://ml.azure.com/runs/{run}?wsid={of}"
    # The part before an @ may be a password.
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    pages = server if parts.scheme in ("http", "https") else PAGES
    return f"{pages}/#/experiments/{experiment}/runs/{run}"
