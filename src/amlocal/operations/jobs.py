"""`client.jobs`: start, look at, follow, cancel and fetch jobs."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amlocal import uris
from amlocal.errors import NotFound, UserError
from amlocal.jobs.record import JobRecord, JobStore
from amlocal.operations.common import ACTIVE, ARCHIVED, Poller, entity, missing
from amlocal.workspace import Workspace, copy_into, disk_errors

MLFLOW_ADDRESS = "http://127.0.0.1:5000"


class ValidationResult:
    """Whether a job is sound, and what is wrong with it: {field or file: message}."""

    def __init__(self, error_messages: dict[str, str]) -> None:
        self.error_messages = error_messages

    @property
    def passed(self) -> bool:
        return not self.error_messages


class JobOperations:
    """`client.jobs`"""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = JobStore(workspace)

    def create_or_update(self, job: Any, **_: Any) -> Any:
        """Check and start a command or pipeline job; returns at once, with the job's name and status filled in."""
        from amlocal.jobs.submit import submit

        return self._entity(submit(job, self.workspace))

    def validate(self, job: Any, **_: Any) -> ValidationResult:
        """Everything that can be known to be wrong before anything runs."""
        from amlocal.specs.plan import plan

        try:
            plan(job, self.workspace)
        except UserError as error:
            return ValidationResult({"job": str(error)})
        return ValidationResult({})

    def get(self, name: str) -> Any:
        try:
            return self._entity(self.store.get(name))
        except NotFound as error:
            raise missing(error) from error

    def list(self, *, parent_job_name: str | None = None, max_results: int | None = None, **_: Any) -> Iterator[Any]:
        """Jobs, the newest first; a pipeline's steps only when `parent_job_name` asks for them."""
        for record in self.store.all(parent_job_name)[:max_results]:
            yield self._entity(record)

    def describe(self, name: str) -> dict[str, Any]:
        return self._describe(self.store.get(name))

    def describe_all(
        self,
        *,
        parent_job_name: str | None = None,
        max_results: int | None = None,
        list_view_type: str = ACTIVE,
        **_: Any,
    ) -> Sequence[dict[str, Any]]:
        if list_view_type == ARCHIVED:
            return []
        return [self._describe(record) for record in self.store.all(parent_job_name)[:max_results]]

    def stream(self, name: str) -> None:
        """Print the job's log until it ends. Raises JobException when it did not complete."""
        from amlocal.jobs.stream import stream

        record = stream(self.store, name, self.web_view, sys.stdout)
        if record.status == "Failed":
            from azure.ai.ml.exceptions import ErrorCategory, ErrorTarget, JobException

            raise JobException(
                message=f"job {record.name} failed: {record.error}",
                no_personal_data_message="job failed",
                target=ErrorTarget.JOB,  # type: ignore[arg-type]
                error_category=ErrorCategory.USER_ERROR,  # type: ignore[arg-type]
            )

    def begin_cancel(self, name: str, **_: Any) -> Poller:
        """End a job and everything it runs; returns when it has ended. One that has ended already is left alone."""
        try:
            record = self.store.get(name)
        except NotFound as error:
            raise missing(error) from error
        if not record.final:
            self.store.cancel(record)
            while not self.store.get(name).final or (not record.parent and self.store.runner(record)):
                time.sleep(0.05)
        return Poller(None)

    def download(
        self, name: str, *, download_path: Path | str = ".", output_name: str | None = None, all: bool = False
    ) -> None:
        """Copy the run's artifacts to `artifacts/`, and with `all` or `output_name` outputs to `named-outputs/`."""
        record = self.store.get(name)
        if not record.final:
            raise UserError(f'job "{name}" is {record.status}; its outputs can be downloaded when it has ended')
        if output_name and output_name not in record.outputs:
            raise NotFound(f'job "{name}" has no output "{output_name}"; it has {", ".join(record.outputs) or "none"}')
        target = Path(download_path)
        wanted = [output_name] if output_name else list(record.outputs) if all else ["artifacts"]
        with disk_errors(target):
            for output in wanted:
                if output not in record.outputs:
                    continue  # a job that failed before it had a run has no artifacts
                source = uris.output_path(self.workspace, record.outputs[output]["path"])
                if source.exists():  # a job that failed may not have written its file
                    place = target / "artifacts" if output == "artifacts" else target / "named-outputs" / output
                    copy_into(source, place)

    def web_view(self, record: JobRecord) -> str:
        """The run's page in MLflow's UI: that of the server in use, or as `aml mlflow ui` serves it."""
        shown = self.workspace.shown_uri
        base = shown.rstrip("/") if shown.startswith(("http://", "https://")) else MLFLOW_ADDRESS
        if not record.run_id:
            return base
        return f"{base}/#/experiments/{record.experiment_id}/runs/{record.run_id}"

    def _describe(self, record: JobRecord) -> dict[str, Any]:
        return {
            **record.spec,
            "creation_context": record.creation_context,
            "display_name": record.display_name,
            "error": record.error,
            "experiment_name": record.experiment_name,
            "id": f"azureml:{record.name}",
            "name": record.name,
            "outputs": self._outputs(record),
            "parent_job_name": record.parent,
            "properties": {
                "StartTimeUtc": record.started,
                "EndTimeUtc": record.ended,
                "mlflow.run_id": record.run_id,
                "azureml.isreused": str(bool(record.reused_from)).lower(),
                "azureml.reusedjobname": record.reused_from,
            },
            "services": {
                "Studio": {"endpoint": self.web_view(record), "type": "Studio"},
                "Tracking": {"endpoint": self.workspace.shown_uri, "type": "Tracking"},
            },
            "status": record.status,
            "tags": record.tags,
            "type": record.type,
        }

    def _outputs(self, record: JobRecord) -> dict[str, Any]:
        declared = record.spec.get("outputs") or {}
        kinds = {name: value if isinstance(value, dict) else {} for name, value in declared.items()}
        written = {name: output for name, output in record.outputs.items() if name != "artifacts"}
        return {**kinds, **written}

    def _entity(self, record: JobRecord) -> Any:
        if record.parent:
            spec = {**record.spec.get("component", {}), **record.spec, "experiment_name": record.experiment_name}
            spec = {
                key: value for key, value in spec.items() if key not in ("component", "inputs", "outputs", "$schema")
            }
            spec["inputs"] = {}
        else:
            spec = record.spec
        job = entity("job", {**spec, "name": record.name, "display_name": record.display_name})
        job._status = record.status
        job._id = f"azureml:{record.name}"
        job.experiment_name = record.experiment_name
        return job
