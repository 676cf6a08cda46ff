"""A job's published view: its MLflow run. The only file of `jobs` that imports MLflow."""

from pathlib import Path
from urllib.parse import quote

from amlocal.core.mlflow_store import client
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import JobRecord

RUN_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}


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
