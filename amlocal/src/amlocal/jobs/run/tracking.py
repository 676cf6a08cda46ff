"""A job's published view: its MLflow run. The only file of `jobs` that imports MLflow."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlparse
from urllib.request import url2pathname

from amlocal.core.mlflow_store import client, sqlite_file
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import RUN_ID, JobRecord

JOB_TAG = "azureml.jobName"
# By this tag MLflow 3 takes an experiment for one of trained models; else it may take it for a GenAI application.
KIND = {"mlflow.experimentKind": "custom_model_development"}
RUN_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}


class Tracking:
    """Writes jobs as MLflow runs."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.client = client(workspace)

    def start(self, record: JobRecord, parent: JobRecord | None) -> None:
        """Create the run of a job; sets its run and experiment ids and its `artifacts` output."""
        tags = {"mlflow.runName": record.display_name, JOB_TAG: record.name, **record.tags}
        if parent and parent.run_id:
            tags["mlflow.parentRunId"] = parent.run_id
        record.experiment_id = parent.experiment_id if parent else self.experiment(record.experiment_name)
        with self._next_run_id(record.name):
            run = self.client.create_run(record.experiment_id, tags=tags, run_name=record.display_name)
        record.run_id = run.info.run_id
        record.outputs["artifacts"] = {"type": "uri_folder", "path": self._local(run.info.artifact_uri)}

    def finish(self, record: JobRecord, folder: Path | None) -> None:
        """Close the run; `outputs/` and `logs/` of the working directory become its artifacts, and so do its logs.

        So do the models that the job has logged: MLflow 3 keeps them outside of the run.
        """
        assert record.run_id
        if folder:
            for name in ("outputs", "logs"):
                if any((folder / "code" / name).glob("*")):
                    self.client.log_artifacts(record.run_id, str(folder / "code" / name), name)
            for name in ("user_logs", "logs"):  # a pipeline's own log is in the second
                if (folder / name).is_dir():
                    self.client.log_artifacts(record.run_id, str(folder / name), name)
        self._publish_models(record)
        if record.reused_from:
            self.client.set_tag(record.run_id, "azureml.isreused", "true")
            self.client.set_tag(record.run_id, "azureml.reusedjobname", record.reused_from)
        self.client.set_terminated(record.run_id, RUN_STATUS[record.status])

    def experiment(self, name: str) -> str:
        """The id of an experiment, made when it is not there yet."""
        with self.workspace.lock("mlflow"):
            found = self.client.get_experiment_by_name(name)
            if found:
                for key, value in KIND.items():  # one that was made before, or by a program of the user's own
                    if key not in found.tags:
                        self.client.set_experiment_tag(found.experiment_id, key, value)
                return found.experiment_id
            local = self.workspace.tracking_uri.startswith("sqlite:")
            # a name may be anything; its folder must lie among the artifacts
            folder = quote(name, safe=" ").replace(".", "%2E") if name.startswith(".") else quote(name, safe=" ")
            place = (self.workspace.artifacts / folder).as_uri() if local else None
            return self.client.create_experiment(name, artifact_location=place, tags=KIND)

    @staticmethod
    def _local(uri: str) -> str:
        """A file: URI as a path; other stores stay URIs, which only MLflow can read."""
        return url2pathname(urlparse(uri).path) if uri.startswith("file:") else uri

    @contextmanager
    def _next_run_id(self, name: str) -> Iterator[None]:
        """Have MLflow give the run the job's name as its id, as in Azure: `runs:/JOB/model` is valid everywhere.

        MLflow has no parameter for it, and a server chooses by itself; there, and where a run has the name, the id is
        MLflow's own.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.store.tracking import sqlalchemy_store

        taken = True
        if sqlite_file(self.workspace.tracking_uri) and RUN_ID.fullmatch(name):
            try:
                self.client.get_run(name)
            except MlflowException:
                taken = False
        if taken:
            yield
            return
        module: Any = sqlalchemy_store
        real = module.uuid
        module.uuid = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=name))
        try:
            yield
        finally:
            module.uuid = real

    def _publish_models(self, record: JobRecord) -> None:
        """Put the models that the job's processes have logged among the artifacts of their runs, by their names.

        A model that was logged without a run is the job's own, as it is with MLflow 2. Of those with one name in one
        run the latest stays.
        """
        assert record.run_id and record.experiment_id
        places = {
            (model.source_run_id or record.run_id, model.name): model
            for model in sorted(self._logged_models(record), key=lambda model: model.creation_timestamp)
        }
        for (run_id, name), model in places.items():
            source = self._local(model.artifact_location)
            run = self._local(self.client.get_run(run_id).info.artifact_uri)
            if Path(source).is_dir() and "://" not in run:
                shutil.rmtree(Path(run, name), ignore_errors=True)
                shutil.copytree(source, Path(run, name), copy_function=_link)
            elif not Path(source).is_absolute():  # on a server
                self._copy_on_server(model.model_id, run_id, name)

    def _logged_models(self, record: JobRecord) -> Iterator[Any]:
        """The finished models of a job; none where a server is of before MLflow 3."""
        from mlflow.exceptions import MlflowException

        every = [experiment.experiment_id for experiment in self.client.search_experiments()]
        searches = (
            ([record.experiment_id], f"source_run_id = '{record.run_id}'"),
            (every, f"tags.`{JOB_TAG}` = '{record.name}'"),
        )
        with suppress(MlflowException):
            for experiments, wanted in searches:
                token = None
                while True:
                    page = self.client.search_logged_models(experiments, wanted, page_token=token)
                    yield from (model for model in page if model.status == "READY")
                    token = page.token
                    if not token:
                        break

    def _copy_on_server(self, model_id: str, run_id: str, name: str) -> None:
        import mlflow

        with tempfile.TemporaryDirectory() as scratch:
            mlflow.artifacts.download_artifacts(
                f"models:/{model_id}", dst_path=scratch, tracking_uri=self.workspace.tracking_uri
            )
            self.client.log_artifacts(run_id, scratch, name)


def context_tags(record: JobRecord) -> dict[str, str]:
    """The variable by which MLflow tags what a job's processes log: a model may be logged without a run."""
    return {"MLFLOW_RUN_CONTEXT": json.dumps({JOB_TAG: record.name})}


def _link(source: str, target: str) -> None:
    """The same file under another name: a model is large, and nobody writes into it."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
