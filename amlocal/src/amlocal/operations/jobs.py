"""`client.jobs`: start, look at, follow, change, cancel and fetch jobs."""

import logging
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.core.errors import NotFound, Problems, UserError
from amlocal.core.files import copy_into, disk_errors
from amlocal.core.mlflow_store import sqlite_file
from amlocal.core.names import ACTIVE, in_view, refuse_changes, texts, view_of
from amlocal.core.workspace import Workspace
from amlocal.jobs.record import RUN_ID, JobRecord, JobStore
from amlocal.operations import service
from amlocal.operations.common import Operations, Poller, created, entity, not_missing

FIELD = re.compile(r"[^:]+(?::\d+)?: ([\w.-]+): ")  # what a line about a spec begins with: the file, then the field
MLFLOW_ADDRESS = "http://127.0.0.1:5000"

# What of a job may change once it was submitted.
MUTABLE = ("description", "display_name", "experiment_name", "properties", "tags")
# What of a job azure-ai-ml's schema of files does not take.
NOT_IN_FILES = (
    *("creation_context", "error", "id", "parameters", "parent_job_name", "properties", "services", "status"),
    *("description", "tags"),  # set as they are
)


class JobOperations(Operations):
    """`client.jobs`"""

    takes = ("Job",)

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = JobStore(workspace)
        self._runner: Any = None

    def get_ready(self) -> None:
        """Begin what takes long before a job can start, while the caller still has something to do."""
        from amlocal.jobs.submit import get_ready

        self._runner = get_ready(self.workspace)

    def create_or_update(
        self,
        job: Any,
        *,
        description: str | None = None,
        compute: str | None = None,
        tags: dict[str, str] | None = None,
        experiment_name: str | None = None,
        skip_validation: bool = False,
        debug_step: str | None = None,
        debugger: str = "debugpy",
        **_: Any,
    ) -> Any:
        """Check and start a job; returns at once, with its name and status filled in.

        debug_step: the step whose program waits for a debugger ("": the only one); debugger: debugpy or pdb.

        One that `get` or this has returned is there already: its display name, description, tags and properties are
        brought up to date, and nothing runs again. Under another name, or none, it is submitted anew.
        """
        from amlocal.jobs.submit import submit

        asked = {"description": description, "compute": compute, "tags": tags, "experiment_name": experiment_name}
        for name, value in asked.items():
            if value is not None:
                setattr(job, name, value)
        if job.id and job.name and self._is_there(job.name):
            changed = {"display_name": job.display_name, "description": job.description, "tags": job.tags}
            return self.update(job.name, **{key: value for key, value in changed.items() if value is not None})
        runner, self._runner = self._runner, None
        record = submit(job, self.workspace, runner, debug_step, debugger)
        return self._entity(record)

    def _is_there(self, name: str) -> bool:
        try:
            self.store.read(name)
        except NotFound:
            return False
        return True

    def debug(self, name: str, step: str = "", debugger: str = "debugpy") -> Any:
        """Run a step of a job that has ended once more, alone, with its inputs, and wait there for a debugger.

        step: by default the only one, or the one that failed. Returns the new job at once. Raises UserError.
        """
        from amlocal.jobs.debug import again
        from amlocal.jobs.submit import start

        with not_missing():
            record, plan, notices = again(self.workspace, name, step, debugger)
        for notice in notices:
            logging.getLogger(__name__).warning("WARNING: %s", notice)
        runner, self._runner = self._runner, None
        return self._entity(start(record, plan, self.workspace, runner))

    def pdb_of(self, name: str) -> tuple[str, int, str] | None:
        """Where the pdb of a job or of a step of it listens: host, port and secret; None if there is none (yet)."""
        from amlocal.environments import debugger

        record = self.store.read(name)
        for each in (record, *self.store.steps(record)):
            folder = self.store.folder(each.name)
            if found := debugger.waiting(folder):
                return found.host, found.port, debugger.token(folder)
        return None

    def update(
        self,
        name: str,
        *,
        display_name: str | None = None,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        properties: dict[str, str] | None = None,
    ) -> Any:
        """Change what a job is called and how it is described; tags and properties are added to those it has."""
        with not_missing():
            now = self.describe(name)
        added = {
            "display_name": display_name or now["display_name"],
            "description": now["description"] if description is None else description,
            "tags": {**now["tags"], **(tags or {})},
            "properties": {**now["properties"], **(properties or {})},
        }
        self.revise(name, {**now, **added})
        return self.get(name)

    def validate(self, job: Any, *, raise_on_failure: bool = False, **_: Any) -> Any:
        """Everything that can be known to be wrong before anything runs, as azure-ai-ml's ValidationResult.

        What Azure may have, though this workspace has not, is among its warnings. Raises Problems if asked to.
        """
        from azure.ai.ml.entities._validation import MutableValidationResult

        from amlocal.jobs.check import checked_plan
        from amlocal.specs.placed import Faults

        faults, result = Faults(), MutableValidationResult()
        with faults.gathering():
            checked_plan(job, self.workspace)
        errors = [line for line in faults.each if not faults.is_note(line)]
        if errors and raise_on_failure:
            raise Problems(errors)
        for line in faults.each:
            field = FIELD.match(line)
            add = result.append_error if line in errors else result.append_warning
            add(field[1] if field else "*", line)
        return result

    def get(self, name: str) -> Any:
        with not_missing():
            return self._entity(self.store.get(name))

    def list(
        self,
        *,
        parent_job_name: str | None = None,
        max_results: int | None = None,
        list_view_type: Any = ACTIVE,
        **_: Any,
    ) -> Iterator[Any]:
        """Jobs, the newest first; a pipeline's steps only when `parent_job_name` asks for them."""
        for record in self._listed(parent_job_name, list_view_type)[:max_results]:
            yield self._entity(record)

    def archive(self, name: str) -> None:
        """Hide a job from `list`. Raises UserError while it runs."""
        self._archive(name, True)

    def restore(self, name: str) -> None:
        self._archive(name, False)

    def show_services(self, name: str, node_index: int = 0) -> dict[str, Any]:
        """What a job's spec would start beside it in Azure; nothing of it runs here."""
        from azure.ai.ml.entities import ServiceInstance

        with not_missing():
            told = self.services(name)
        return {service: ServiceInstance(**fields) for service, fields in told.items()}

    def services(self, name: str) -> dict[str, dict[str, Any]]:
        """As `show_services`, as plain dictionaries."""
        declared = self.store.read(name).spec.get("services") or {}
        return {
            service: {
                "endpoint": None,
                "error": "not emulated: services are started in Azure only",
                "port": (fields or {}).get("port"),
                "properties": {},
                "status": "NotStarted",
                "type": (fields or {}).get("type"),
            }
            for service, fields in declared.items()
        }

    def describe(self, name: str) -> dict[str, Any]:
        return self._describe(self.store.get(name))

    def describe_all(
        self,
        *,
        parent_job_name: str | None = None,
        max_results: int | None = None,
        list_view_type: Any = ACTIVE,
        **_: Any,
    ) -> Sequence[dict[str, Any]]:
        return [self._describe(record) for record in self._listed(parent_job_name, list_view_type)[:max_results]]

    def revise(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make a job read as `wanted`: display name, description, tags and the like. Returns it as `describe` does."""
        record = self.store.get(name)
        now = self._describe(record)
        changed = refuse_changes(f'job "{name}"', now, wanted, MUTABLE)
        if "tags" in changed:
            changed["tags"] = texts(changed["tags"])
        if "properties" in changed:
            given = changed["properties"] or {}
            if gone := now["properties"].keys() - given.keys() - record.properties.keys():
                raise UserError(f'job "{name}": properties.{min(gone)} is the job\'s own and cannot be removed')
            kept = {key: value for key, value in given.items() if now["properties"].get(key) != value}
            changed["properties"] = {key: v for key, v in record.properties.items() if key in given} | texts(kept)
        if changed:
            edited = self.store.edit(name, **changed)
            if edited.run_id:
                _publish(self.workspace, edited, set(record.tags) - set(edited.tags))
        return self.describe(name)

    def stream(self, name: str) -> None:
        """Print the job's log until it ends. Raises JobException when it did not complete."""
        from amlocal.jobs.stream import stream

        with not_missing():
            self.store.read(name)
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
        with not_missing():
            record = self.store.get(name)
        if not record.final:
            self.store.cancel(record)
            while not self.store.get(name).final or (not record.parent and self.store.runner(record)):
                time.sleep(0.05)
        return Poller(None)

    def download(
        self, name: str, *, download_path: Path | str = ".", output_name: str | None = None, all: bool = False
    ) -> None:
        """Copy the run's artifacts to `artifacts/`, and with `all` or `output_name` outputs to `named-outputs/`."""
        with not_missing():
            record = self.store.get(name)
        if not record.final:
            raise UserError(f'job "{name}" is {record.status}; its outputs can be downloaded when it has ended')
        if output_name == uris.DEFAULT_OUTPUT and output_name not in (record.spec.get("outputs") or {}):
            output_name = "artifacts"
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
        if not record.run_id:  # MLflow's page finds the run, which will have the job's name, once it is there
            named = sqlite_file(self.workspace.tracking_uri) and RUN_ID.fullmatch(record.name)
            return f"{base}/#/runs/{record.name}" if named else base
        return f"{base}/#/experiments/{record.experiment_id}/runs/{record.run_id}"

    def _listed(self, parent: str | None, list_view_type: Any) -> Sequence[JobRecord]:
        view = view_of(list_view_type)
        return [record for record in self.store.all(parent) if in_view(record.archived, view)]

    def _archive(self, name: str, archived: bool) -> None:
        with not_missing():
            record = self.store.get(name)
        if not record.final:
            raise UserError(f'job "{name}" is {record.status}; it can be archived when it has ended')
        self.store.edit(name, archived=archived)

    def _describe(self, record: JobRecord) -> dict[str, Any]:
        return {
            **service.job(self.workspace, record.name, record.spec),
            "creation_context": _context(record),
            "description": record.description,
            "display_name": record.display_name,
            "error": record.error,
            "experiment_name": record.experiment_name,
            "outputs": self._outputs(record),
            "parent_job_name": record.parent,
            "properties": {
                "StartTimeUtc": record.started,
                "EndTimeUtc": record.ended,
                "mlflow.run_id": record.run_id,
                "azureml.isreused": str(bool(record.reused_from)).lower(),
                "azureml.reusedjobname": record.reused_from,
                **record.properties,
            },
            "services": {
                **(record.spec.get("services") or {}),
                **self._services(record),
            },
            "status": record.status,
            "tags": record.tags,
            "type": record.type,
        }

    def _outputs(self, record: JobRecord) -> dict[str, Any]:
        declared = service.job(self.workspace, record.name, record.spec).get("outputs") or {}
        kinds = {name: value if isinstance(value, dict) else {} for name, value in declared.items()}
        written = {name: output for name, output in record.outputs.items() if name != "artifacts"}
        return {**kinds, **written}

    def _entity(self, record: JobRecord) -> Any:
        from azure.ai.ml.entities._job.job_service import JobService

        shown = self._describe(record)
        if record.parent:
            job = self._child(record)
        else:
            told = {key: value for key, value in shown.items() if key not in NOT_IN_FILES}
            job = entity("job", {**told, "services": record.spec.get("services")})
            # A command job's entity is a node of a pipeline, too, and lowers the name that it is given.
            setattr(job, "_name" if hasattr(job, "_name") else "name", record.name)
            job.description, job.tags = shown["description"], dict(shown["tags"])
        job._status, job._id = shown["status"], service.bare_id(shown)
        job.experiment_name, job.properties = shown["experiment_name"], shown["properties"]
        ours: dict[str, Any] = self._services(record)
        job.services = {
            **(getattr(job, "services", None) or {}),
            **{name: JobService(**fields) for name, fields in ours.items()},
        }
        job._creation_context = created(shown["creation_context"])
        return job

    def _child(self, record: JobRecord) -> Any:
        """A part of another job: azure-ai-ml's base job, as MLClient gives it for these, with its own type."""
        from azure.ai.ml.entities._job.base_job import _BaseJob

        compute = record.spec.get("compute")
        job = _BaseJob(
            name=record.name,
            display_name=record.display_name,
            description=record.description,
            tags=dict(record.tags),
            compute=compute if isinstance(compute, str) else None,
        )
        job._type = record.type
        return job

    def _services(self, record: JobRecord) -> dict[str, dict[str, str]]:
        addresses = {"Studio": self.web_view(record), "Tracking": self.workspace.shown_uri}
        return {name: {"endpoint": address, "type": name} for name, address in addresses.items()}


def _context(record: JobRecord) -> dict[str, str]:
    """Who has made a job, and when. The parts of a job come from Azure's run history, which has the last change too."""
    context = record.creation_context
    if not record.parent:
        return context
    changed = record.ended or record.started or context["created_at"]
    return context | {"last_modified_at": changed, "last_modified_by": context["created_by"]}


def _publish(workspace: Workspace, record: JobRecord, gone: set[str]) -> None:
    """Have the run in MLflow read like the job, as far as MLflow can be reached: the record is the truth."""
    from amlocal.core.mlflow_store import client

    tags = {**record.tags, "mlflow.runName": record.display_name}
    if record.description is not None:
        tags["mlflow.note.content"] = record.description
    try:
        store = client(workspace)
        for key, value in tags.items():
            store.set_tag(record.run_id, key, value)
        for key in gone:
            store.delete_tag(record.run_id, key)
    except Exception as error:  # MLflow lets through whatever its store raises
        logging.getLogger(__name__).warning("MLflow does not know of it: %s", str(error).splitlines()[0])
