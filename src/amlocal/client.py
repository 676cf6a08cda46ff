"""LocalMLClient: the operations of `azure.ai.ml.MLClient`, on a folder instead of a subscription.

    from amlocal.client import LocalMLClient
    client = LocalMLClient()                       # where a notebook had MLClient(...)
    job = client.jobs.create_or_update(load_job("aml/pipelines/training.yml"))
    client.jobs.stream(job.name)

The operations take and return azure-ai-ml's entities and raise its exceptions. Beside `get` and `list` each has
`describe` and `describe_all`, which give the same as plain dictionaries, as `az ml` prints them, and import nothing
heavy: the command line uses those.
"""

import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from amlocal import uris
from amlocal.assets import Assets, Kind
from amlocal.endpoints.operations import OnlineDeploymentOperations, OnlineEndpointOperations
from amlocal.errors import NotFound, UserError
from amlocal.jobs.record import JobRecord, JobStore
from amlocal.workspace import Workspace, copy_into, disk_errors, write_json

# azure-ai-ml's ListViewType. Nothing can be archived here yet, so that the second is an empty list.
ACTIVE, ARCHIVED = "ActiveOnly", "ArchivedOnly"
MLFLOW_ADDRESS = "http://127.0.0.1:5000"


class LocalMLClient:
    """A workspace on this disk.

    workspace: the `.amlocal` folder; default: `AMLOCAL_HOME`, the nearest parent's, or one in the current folder.
    Subscription, resource group and the like are accepted and mean nothing here.
    """

    def __init__(self, workspace: Path | str | None = None, **_: Any) -> None:
        self.workspace = Workspace(Path(workspace).resolve()) if workspace else Workspace.find()
        self.workspace_name = self.workspace.name
        self.resource_group_name = "local"
        self.jobs = JobOperations(self.workspace)
        self.models = ModelOperations(self.workspace)
        self.data = AssetOperations(self.workspace, "data")
        self.environments = AssetOperations(self.workspace, "environment")
        self.components = AssetOperations(self.workspace, "component")
        self.compute = ComputeOperations(self.workspace, "compute")
        self.workspaces = WorkspaceOperations(self.workspace)
        self.online_endpoints = OnlineEndpointOperations(self.workspace)
        self.online_deployments = OnlineDeploymentOperations(self.workspace)


class Poller:
    """What Azure's long operations return; here the work is done when it is made."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def result(self, timeout: float | None = None) -> Any:
        return self._value

    def wait(self, timeout: float | None = None) -> None:
        pass

    def done(self) -> bool:
        return True

    def status(self) -> str:
        return "Succeeded"


class ValidationResult:
    """Whether a job is sound, and what is wrong with it: {field or file: message}."""

    def __init__(self, error_messages: dict[str, str]) -> None:
        self.error_messages = error_messages

    @property
    def passed(self) -> bool:
        return not self.error_messages


def missing(error: NotFound) -> Exception:
    """The exception that MLClient raises for a name that is not there."""
    from azure.core.exceptions import ResourceNotFoundError

    return ResourceNotFoundError(str(error))


def entity(kind: str, spec: dict[str, Any]) -> Any:
    """azure-ai-ml's entity of a spec that came from one."""
    from amlocal.specs.load import loader

    plain = {key: value for key, value in spec.items() if key not in ("creation_context", "id") and value is not None}
    return loader(kind)(io.StringIO(yaml.safe_dump(plain)))


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


class AssetOperations:
    """`client.data`, `client.environments` and `client.components`"""

    def __init__(self, workspace: Workspace, kind: Kind) -> None:
        self.workspace, self.kind = workspace, kind
        self.assets = Assets(workspace, kind)

    def create_or_update(self, item: Any, **_: Any) -> Any:
        spec = item._to_dict()
        spec.pop("$schema", None)
        if self.kind == "data":
            spec["path"] = str(uris.resolve(self.workspace, str(item.path), Path(item.base_path or "."), item.type))
        elif self.kind == "component":
            if not hasattr(item, "command"):
                raise UserError(f'component "{item.name}": type {item.type} is not run here yet; command is')
            if spec.get("code"):
                from amlocal.jobs.snapshot import snapshot

                spec["code"] = str(snapshot(self.workspace, Path(spec["code"])))
        return entity(self.kind, self.assets.create(spec))

    def get(self, name: str, version: str | None = None, label: str | None = None) -> Any:
        try:
            return entity(self.kind, self.assets.get(name, version, label))
        except NotFound as error:
            raise missing(error) from error

    def list(self, name: str | None = None, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all(name=name):
            yield entity(self.kind, spec)

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        return self.assets.get(name, version, label)

    def describe_all(self, name: str | None = None, list_view_type: str = ACTIVE, **_: Any) -> Sequence[dict[str, Any]]:
        """The latest version of everything, or every version of `name`; the latest first."""
        if list_view_type == ARCHIVED:
            return []
        return list(self.assets.versions(name) if name else self.assets.latest())


class ComputeOperations(AssetOperations):
    """`client.compute`: kept so that specs and scripts mean the same; every job runs on this machine."""

    def begin_create_or_update(self, item: Any, **_: Any) -> Poller:
        spec = item._to_dict()
        spec.pop("$schema", None)
        self.assets.create({**spec, "provisioning_state": "Succeeded", "location": "local"})
        return Poller(self.get(item.name))

    def begin_delete(self, name: str, **_: Any) -> Poller:
        try:
            self.assets.delete(name)
        except NotFound as error:
            raise missing(error) from error
        return Poller(None)

    def list_usage(self, **_: Any) -> Iterator[Any]:
        """How many of this machine's cores there are; nothing here counts who uses them."""
        from types import SimpleNamespace  # azure-ai-ml's Usage is abstract: only its own answers become one

        name = SimpleNamespace(value="cores", localized_value="Cores of this machine")
        yield SimpleNamespace(id="local", limit=os.cpu_count(), current_value=0, unit="Count", name=name, type=None)

    def get(self, name: str, version: str | None = None, label: str | None = None) -> Any:
        try:
            spec = self.assets.get(name)
        except NotFound as error:
            raise missing(error) from error
        return entity(self.kind, {key: value for key, value in spec.items() if key != "provisioning_state"})


class ModelOperations:
    """`client.models`: MLflow's registry"""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def create_or_update(self, model: Any, **_: Any) -> Any:
        from amlocal import models

        run_id = None
        match = uris.JOB_OUTPUT.fullmatch(str(model.path))
        if match:
            run_id = JobStore(self.workspace).read(match["job"]).run_id
        source = uris.resolve(self.workspace, str(model.path), Path(model.base_path or "."), model.type)
        spec = {
            "name": model.name,
            "version": model.version,
            "type": model.type,
            "tags": model.tags,
            "description": model.description,
        }
        if not model.name:
            raise UserError("model: name is required; give it in the file or with --name")
        return self._entity(models.create(self.workspace, spec, source, run_id))

    def get(self, name: str, version: str | None = None, label: str | None = None) -> Any:
        try:
            return self._entity(self.describe(name, version, label))
        except NotFound as error:
            raise missing(error) from error

    def list(self, name: str | None = None, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all(name):
            yield self._entity(spec)

    def describe(self, name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
        from amlocal import models

        return models.describe(self.workspace, models.get(self.workspace, name, version, label))

    def describe_all(self, name: str | None = None, list_view_type: str = ACTIVE, **_: Any) -> Sequence[dict[str, Any]]:
        """The latest version of every model, or every version of `name`, the highest first."""
        from amlocal import models

        if list_view_type == ARCHIVED:
            return []
        if name:
            found = models.versions(self.workspace, name)
        else:
            every = (models.versions(self.workspace, each) for each in models.names(self.workspace))
            found = [versions[0] for versions in every if versions]
        return [models.describe(self.workspace, item) for item in found]

    def download(
        self, name: str, version: str | None = None, download_path: Path | str = ".", label: str | None = None
    ) -> None:
        """Copy a model to `download_path/<name>/`."""
        from amlocal import models

        try:
            source = models.local_path(self.workspace, name, version, label)
        except NotFound as error:
            raise missing(error) from error
        place = Path(download_path) / name
        with disk_errors(place):
            copy_into(source, place)

    def _entity(self, spec: dict[str, Any]) -> Any:
        from azure.ai.ml.entities import Model

        model = Model(
            name=spec["name"],
            version=spec["version"],
            path=spec["path"],
            type=spec["type"],
            description=spec["description"],
            tags=spec["tags"],
        )
        model._id = spec["id"]
        return model


class WorkspaceOperations:
    """`client.workspaces`"""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def describe(self, name: str | None = None) -> dict[str, Any]:
        """Raises NotFound for the name of another one."""
        if name and name != self.workspace.name:
            raise NotFound(f'workspace "{name}" is not the one of this folder, which is "{self.workspace.name}"')
        return {
            "display_name": self.workspace.name,
            "location": "local",
            "mlflow_tracking_uri": self.workspace.tracking_uri,
            "name": self.workspace.name,
            "path": str(self.workspace.root),
            "resource_group": "local",
            "tags": {},
        }

    def get(self, name: str | None = None, **_: Any) -> Any:
        from azure.ai.ml.entities import Workspace as AzureWorkspace

        self.describe(name)
        uri = self.workspace.tracking_uri
        return AzureWorkspace(
            name=self.workspace.name, location="local", resource_group="local", mlflow_tracking_uri=uri
        )

    def list(self, **_: Any) -> Iterator[Any]:
        for spec in self.describe_all():
            yield self.get(spec["name"])

    def describe_all(self, **_: Any) -> Sequence[dict[str, Any]]:
        """The one of this folder, if something was ever written to it."""
        return [self.describe()] if self.workspace.root.is_dir() else []

    def begin_create(self, workspace: Any, **_: Any) -> Poller:
        """Make the workspace of this folder, or give it the name."""
        self.workspace.create()
        if workspace.name:
            write_json(self.workspace.root / "workspace.json", {"name": workspace.name})
        return Poller(self.get())

    def begin_delete(self, name: str, **_: Any) -> Poller:
        """End everything that runs in the workspace and remove its folder: jobs, models, endpoints, collected data."""
        import shutil

        from amlocal.endpoints.down import down

        self.describe(name)
        down(self.workspace)
        with disk_errors(self.workspace.root):
            shutil.rmtree(self.workspace.root)
        return Poller(None)
