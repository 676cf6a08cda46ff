"""What `aml ... show` prints of a thing that is made as a recorded request made it, in a scratch workspace.

Nothing is started: a job becomes a record without a runner, a deployment a record without processes.
"""

import copy
import io
import re
from pathlib import Path
from typing import Any

import recorded
import yaml
from recorded import Place

from amlocal.assets.uris import DatastorePath, named
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.core.files import write_json

COMPONENT = {
    "type": "command",
    "command": "true",
    "environment": {"image": "stand-in"},
    "is_deterministic": True,
}


class Scratch:
    """A workspace to make recorded things in."""

    def __init__(self, root: Path) -> None:
        self.client = LocalMLClient(root / ".amlocal")
        self.workspace = self.client.workspace
        self.workspace.create()
        self.code = root / "code"
        self.code.mkdir(parents=True)
        for script in ("run.py", "main.py"):  # what recorded deployments score with, and what stands for it
            (self.code / script).write_text("def init(): ...\ndef run(batch): return batch\n", "utf-8")

    def show(self, place: Place, sent: dict[str, Any]) -> dict[str, Any]:
        """Make what `sent` describes and return what is printed of it. Raises what the making raises."""
        body = recorded.with_identity_of(place, copy.deepcopy(sent))
        make = getattr(self, "_" + re.sub(r"\W", "_", place.collection or "workspace"))
        return dict(recorded.without_nothing(make(place, body)))

    # -- what a request refers to

    def _with_stand_ins(self, value: Any, key: str = "") -> Any:
        """The body with everything that it refers to there: code as a folder, data as files."""
        if isinstance(value, dict):
            kind = str(value.get("jobInputType") or value.get("job_input_type") or value.get("dataType") or "")
            if isinstance(value.get("uri"), str) and "jobOutputType" not in value:
                self._provide(value["uri"], kind)
            return {name: self._with_stand_ins(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._with_stand_ins(inner, key) for inner in value]
        if key in ("codeId", "code") and isinstance(value, str):
            return str(self.code)
        if key == "environmentId" and isinstance(value, str):
            self._provide_environment(value)
        return value

    def _provide_environment(self, reference: str) -> None:
        from azure.ai.ml.entities import Environment

        found = named(reference if reference.startswith(("azureml:", "/")) else f"azureml:{reference}")
        if found and not found.name.lower().startswith("azureml-"):
            made = Environment(name=found.name, version=found.version or "1", image="stand-in")
            self.client.environments.create_or_update(made)

    def _provide(self, uri: str, kind: str) -> None:
        if found := DatastorePath.parse(uri):
            if found.store not in ("workspaceblobstore", "workspaceartifactstore"):
                (self.workspace.assets / "datastore" / found.store).mkdir(parents=True, exist_ok=True)
            place = found.place(self.workspace)
            if kind in ("uri_file", "custom_model") and place.suffix:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
            else:
                place.mkdir(parents=True, exist_ok=True)
                (place / ("MLmodel" if kind == "mlflow_model" else "MLTable" if kind == "mltable" else "a")).touch()
                if kind == "mltable":
                    (place / "MLTable").write_text("paths:\n  - file: ./a\n", "utf-8")
                    (place / "a").touch()
        elif asset := named(uri if uri.startswith("azureml:") else f"azureml:{uri}"):
            self._provide_asset(asset.name, asset.version or "1", kind)

    def _provide_asset(self, name: str, version: str, kind: str) -> None:
        from azure.ai.ml.entities import Data, Model

        path = "azureml://datastores/workspaceblobstore/paths/stand-in" + (".csv" if kind == "uri_file" else "")
        self._provide(path, kind)
        if kind.endswith("_model"):
            self.client.models.create_or_update(Model(name=name, version=version, path=path, type=kind))
        else:
            self.client.data.create_or_update(Data(name=name, version=version, path=path, type=kind or "uri_folder"))

    def _provide_components(self, jobs: dict[str, Any], inputs: dict[str, Any]) -> None:
        """A component for each that a pipeline's nodes name, with the inputs and outputs that the nodes give it."""
        from azure.ai.ml import load_component

        for node in jobs.values():
            reference = node.get("componentId")
            if not isinstance(reference, str) or not (found := named(reference)):
                continue
            spec = {**COMPONENT, "name": found.name, "version": found.version or "1"}
            spec["type"] = node.get("type") if node.get("type") == "command" else "command"
            spec["inputs"] = {
                name: {"type": _type(each, inputs), "optional": True}
                for name, each in (node.get("inputs") or {}).items()
            }
            spec["outputs"] = {name: {"type": "uri_folder"} for name in node.get("outputs") or {}}
            try:
                made = load_component(io.StringIO(yaml.safe_dump(spec)))
                self.client.components.create_or_update(made)
            except UserError:
                pass  # another node's, with other inputs

    # -- the kinds

    def _jobs(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        from amlocal.jobs.submit import prepare_job

        job = self._job_entity(body)
        job.name = place.name
        record, _ = prepare_job(job, self.workspace)
        record.name = place.name
        self.client.jobs.store.create(record)
        return dict(self.client.jobs.describe(place.name))

    def _job_entity(self, body: dict[str, Any]) -> Any:
        body = self._with_stand_ins(body)
        properties = body["properties"]
        if properties.get("jobs"):
            self._provide_components(properties["jobs"], properties.get("inputs") or {})
        job = recorded.entity("jobs", body)
        job._id = None
        job.services = None
        return job

    def _components_versions(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        return _created(self.client.components, recorded.entity("components/versions", self._with_stand_ins(body)))

    def _data_versions(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        return _created(self.client.data, recorded.entity("data/versions", body))

    def _models_versions(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        properties = body["properties"]
        self._provide(properties["modelUri"], properties.get("modelType") or "custom_model")
        made = recorded.entity("models/versions", body)
        made._id = None
        self.client.models.create_or_update(made)
        if properties.get("isArchived"):
            self.client.models.archive(made.name, made.version)
        return dict(self.client.models.describe(made.name, made.version))

    def _environments_versions(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        return _created(self.client.environments, recorded.entity("environments/versions", body))

    def _datastores(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        if not place.name.startswith("workspace"):
            self.client.datastores.create_or_update(recorded.entity("datastores", body))
        return dict(self.client.datastores.describe(place.name))

    def _computes(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        self.client.compute.begin_create_or_update(recorded.entity("computes", body))
        return dict(self.client.compute.describe(place.name))

    def _onlineEndpoints(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        from amlocal.core.names import creation_context
        from amlocal.endpoints.store import Endpoint
        from amlocal.operations.online_endpoints import _spec

        made = recorded.entity("onlineEndpoints", body)
        traffic = made.traffic or {}
        kept = Endpoint(place.name, 20000, "0", _spec(made, traffic, made.mirror_traffic or {}), creation_context())
        self.client.online_endpoints.store.create(kept)
        return dict(self.client.online_endpoints.describe(place.name))

    def _onlineEndpoints_deployments(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        from amlocal.endpoints.store import Deployment
        from amlocal.operations.online_deployments import _deployment_spec

        endpoint = place.names[-2]
        if not self.client.online_endpoints.store.record(endpoint).exists():
            self._onlineEndpoints(
                Place(place.path, "onlineEndpoints", place.names[:-1], False),
                {"id": place.path.rpartition("/deployments/")[0], "name": endpoint, "location": "x",
                 "properties": {"authMode": "Key"}},
            )  # fmt: skip
        made = recorded.entity("onlineEndpoints/deployments", self._with_stand_ins(body))
        made._id = None
        kept = Deployment(_deployment_spec(made), "Succeeded", [])
        self.client.online_deployments.store.change(
            endpoint, lambda record: record.deployments.update({place.name: kept})
        )
        return dict(self.client.online_deployments.describe(place.name, endpoint))

    def _batchEndpoints(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        from amlocal.core.names import creation_context
        from amlocal.endpoints.store import BATCH, Endpoint
        from amlocal.operations.batch_endpoints import _spec

        spec = _spec(recorded.entity("batchEndpoints", body))
        kept = Endpoint(place.name, 20000, "0", spec, creation_context(), kind=BATCH)
        self.client.batch_endpoints.store.endpoints.create(kept)
        return dict(self.client.batch_endpoints.describe(place.name))

    def _batchEndpoints_deployments(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        endpoint = place.names[-2]
        self._batchEndpoints(
            Place(place.path, "batchEndpoints", place.names[:-1], False),
            {"id": place.path.rpartition("/deployments/")[0], "name": endpoint, "location": "x",
             "properties": {"authMode": "AADToken"}},
        )  # fmt: skip
        made = recorded.entity("batchEndpoints/deployments", self._with_stand_ins(body))
        made._id = None
        model = named(f"azureml:{made.model}".replace("azureml:azureml:", "azureml:"))
        self._provide_asset(model.name, model.version or "1", "custom_model")
        self.client.batch_deployments.begin_create_or_update(made)
        return dict(self.client.batch_deployments.describe(place.name, endpoint))

    def _schedules(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        job = body["properties"]["action"].get("jobDefinition") or {}
        if job.get("sourceJobId"):
            self._pipeline_on_record(job["sourceJobId"].rpartition("/")[2])
        if job.get("jobs"):
            self._provide_components(job["jobs"], job.get("inputs") or {})
        made = recorded.entity("schedules", self._with_stand_ins(body))
        made._id = None
        made._name = made.name = place.name
        if job.get("sourceJobId"):
            made.create_job = f"azureml:{job['sourceJobId'].rpartition('/')[2]}"
        elif hasattr(made.create_job, "_id"):
            made.create_job._id = None
        # Past the check of its type: azure-ai-ml's tests schedule command jobs with private features.
        self.client.schedules.store.put(self.client.schedules._made(made), self.client.schedules.now())
        return dict(self.client.schedules.describe(place.name))

    def _pipeline_on_record(self, name: str) -> None:
        """A pipeline for a schedule to start."""
        from azure.ai.ml import load_job

        from amlocal.jobs.submit import prepare_job

        step = {"type": "command", "command": "true", "environment": {"image": "stand-in"}}
        spec = {
            "type": "pipeline",
            "name": name,
            "settings": {"default_compute": "azureml:cpu"},
            "jobs": {"step": step},
        }
        record, plan = prepare_job(load_job(io.StringIO(yaml.safe_dump(spec))), self.workspace)
        record.name = name
        self.client.jobs.store.create(record)
        write_json(self.client.jobs.store.folder(name) / "plan.json", plan.to_json())

    def _workspace(self, place: Place, body: dict[str, Any]) -> dict[str, Any]:
        self.client.workspaces.begin_create(recorded.entity("", body))
        return dict(self.client.workspaces.describe())


def _type(given: dict[str, Any], inputs: dict[str, Any]) -> str:
    """The type of a node's input, by what is bound to it."""
    bound = re.fullmatch(r"\$\{\{parent\.inputs\.(\w+)\}\}", str(given.get("value") or given.get("uri") or ""))
    source = inputs.get(bound[1], {}) if bound else given
    kind = str(source.get("jobInputType") or source.get("job_input_type") or "string")
    return "string" if kind == "literal" else kind


def _created(operations: Any, made: Any) -> dict[str, Any]:
    """A new version of an asset, as it is shown; the recorded id is that of another workspace's."""
    made._id = None
    found = operations.create_or_update(made)
    return dict(operations.describe(found.name, found.version))
