"""A job's published view: its MLflow run. The only file of `jobs` that imports MLflow."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from amlocal.jobs.record import JobRecord
from amlocal.workspace import Workspace

RUN_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}


def get_ready() -> None:
    """Import what MLflow imports when its first store is opened."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def client(workspace: Workspace) -> Any:
    """An MlflowClient on the workspace's store, or the user's own; an SQLite file is made on first use.

    Making it takes seconds of migrations, which two processes cannot do at once, and which must not be seen half-done:
    the file is made under another name, and renamed when it is whole.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.update(artifact_root(workspace))
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):  # what they say of making a database is no news to a user
        logging.getLogger(name).setLevel(logging.WARNING)

    database = _sqlite_file(workspace.tracking_uri)
    if database and not database.exists():
        with workspace.lock("mlflow"):
            if not database.exists():
                _make_store(database, workspace.artifacts)
    return MlflowClient(workspace.tracking_uri, workspace.tracking_uri)


def _sqlite_file(uri: str) -> Path | None:
    """The file that an address of SQLAlchemy's names; None for a server, and for a store in memory."""
    if not uri.startswith("sqlite:"):
        return None
    from sqlalchemy import make_url

    name = make_url(uri).database
    return Path(name) if name and not name.startswith((":", "file:")) else None


def _make_store(database: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    beside = database.with_name(f"{database.name}-new")
    beside.unlink(missing_ok=True)
    store = SqlAlchemyStore(f"sqlite:///{beside.as_posix()}", artifacts.as_uri())
    store.engine.dispose()  # Windows cannot rename what is open
    beside.replace(database)


def artifact_root(workspace: Workspace) -> dict[str, str]:
    """The variable by which MLflow keeps the files of experiments it makes itself in the workspace, not in ./mlruns."""
    local = workspace.tracking_uri.startswith("sqlite:")
    return {"_MLFLOW_SERVER_ARTIFACT_ROOT": workspace.artifacts.as_uri()} if local else {}


class Tracking:
    """Writes jobs as MLflow runs."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.client = client(workspace)

    def start(self, record: JobRecord, parent: JobRecord | None) -> None:
        """Create the run of a job; sets its run and experiment ids and its `artifacts` output."""
        tags = {"mlflow.runName": record.display_name, "azureml.jobName": record.name, **record.tags}
        if parent and parent.run_id:
            tags["mlflow.parentRunId"] = parent.run_id
        record.experiment_id = parent.experiment_id if parent else self.experiment(record.experiment_name)
        run = self.client.create_run(record.experiment_id, tags=tags, run_name=record.display_name)
        record.run_id = run.info.run_id
        record.outputs["artifacts"] = {"type": "uri_folder", "path": self._local(run.info.artifact_uri)}

    def finish(self, record: JobRecord, folder: Path | None) -> None:
        """Close the run; `outputs/` and `logs/` of the working directory become its artifacts, and so do its logs."""
        assert record.run_id
        if folder:
            for name in ("outputs", "logs"):
                if any((folder / "code" / name).glob("*")):
                    self.client.log_artifacts(record.run_id, str(folder / "code" / name), name)
            for name in ("user_logs", "logs"):  # a pipeline's own log is in the second
                if (folder / name).is_dir():
                    self.client.log_artifacts(record.run_id, str(folder / name), name)
        if record.reused_from:
            self.client.set_tag(record.run_id, "azureml.isreused", "true")
            self.client.set_tag(record.run_id, "azureml.reusedjobname", record.reused_from)
        self.client.set_terminated(record.run_id, RUN_STATUS[record.status])

    def experiment(self, name: str) -> str:
        """The id of an experiment, made when it is not there yet."""
        with self.workspace.lock("mlflow"):
            found = self.client.get_experiment_by_name(name)
            if found:
                return found.experiment_id
            local = self.workspace.tracking_uri.startswith("sqlite:")
            # a name may be anything; its folder must lie among the artifacts
            folder = quote(name, safe=" ").replace(".", "%2E") if name.startswith(".") else quote(name, safe=" ")
            place = (self.workspace.artifacts / folder).as_uri() if local else None
            return self.client.create_experiment(name, artifact_location=place)

    @staticmethod
    def _local(uri: str) -> str:
        """A file: URI as a path; other stores stay URIs, which only MLflow can read."""
        from urllib.parse import urlparse
        from urllib.request import url2pathname

        return url2pathname(urlparse(uri).path) if uri.startswith("file:") else uri


def close_runs(workspace: Workspace, run_ids: Iterable[str]) -> None:
    """Mark runs failed whose jobs died, as far as MLflow can be reached: the jobs' records are the truth."""
    ids = list(run_ids)
    if ids:
        try:
            store = client(workspace)
            logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # it would print the failure whole; we say it below
            for run_id in ids:
                store.set_terminated(run_id, "FAILED")
        except Exception as error:  # MLflow lets through whatever its store raises
            first = str(error).splitlines()[0]
            logging.getLogger(__name__).warning("MLflow does not know yet that the job died: %s", first)
