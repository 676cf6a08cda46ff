"""`client.batch_deployments`: MLClient's operations on the deployments of a batch endpoint."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amlocal.batch.plan import ModelPlan, PipelinePlan, resolve
from amlocal.batch.store import BatchDeployment, BatchStore
from amlocal.core.errors import NotFound, UserError
from amlocal.core.names import creation_context, texts
from amlocal.core.workspace import Workspace
from amlocal.endpoints.plan import check_name
from amlocal.endpoints.store import Endpoint
from amlocal.jobs.record import JobStore
from amlocal.operations import rest, service
from amlocal.operations.assets import SERVICE
from amlocal.operations.batch_endpoints import BatchEndpointOperations
from amlocal.operations.common import ENDPOINT_NAMES, Operations, Poller, missing
from amlocal.operations.components import ComponentOperations
from amlocal.specs.dictionary import dictionary
from amlocal.specs.placed import component_of

MOST_DEPLOYMENTS = 20


class BatchDeploymentOperations(Operations):
    """`client.batch_deployments`"""

    takes = ("BatchDeployment",)
    any_case = ENDPOINT_NAMES

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = BatchStore(workspace)

    def begin_create_or_update(self, deployment: Any, *, skip_script_validation: bool = False, **_: Any) -> Poller:
        """Create a deployment or replace it. Nothing runs: its environment is made when it is first invoked.

        deployment: a ModelBatchDeployment, BatchDeployment or PipelineComponentBatchDeployment. Raises Problems when it
        is not sound, ResourceNotFoundError when there is no such endpoint.
        """
        name = check_name("deployment", deployment.name)
        try:
            deployment.endpoint_name = check_name("endpoint", deployment.endpoint_name)
            endpoint = self.store.get(deployment.endpoint_name)
        except NotFound as error:
            raise missing(error) from error
        there = self.store.names(endpoint.name)
        if name not in there and len(there) >= MOST_DEPLOYMENTS:
            raise UserError(
                f"endpoint {endpoint.name}: it has {MOST_DEPLOYMENTS} deployments, the most that Azure allows"
            )
        if getattr(deployment, "component", None) or getattr(deployment, "job_definition", None):
            runs = self._pipeline(deployment)
            spec, plan = _pipeline_spec(deployment, runs), asdict(runs)
        else:
            scores = resolve(deployment, self.workspace, not skip_script_validation)
            spec, plan = _model_spec(deployment, scores), asdict(scores)
        context = self.store.deployment(name, endpoint.name).creation_context if name in there else creation_context()
        with self.workspace.lock(f"endpoint-{endpoint.name}"):
            self.store.get(endpoint.name)
            self.store.write(BatchDeployment(name, spec, plan, context), endpoint.name)
        return Poller(self.get(name, endpoint.name))

    def _pipeline(self, deployment: Any) -> PipelinePlan:
        """The pipeline component that a deployment runs, with its code kept. Raises UserError."""
        where = f"deployment {deployment.name}"
        settings = dict(deployment.settings or {})
        component = deployment.component
        try:
            if component is None:
                return PipelinePlan(self._component_of_job(str(deployment.job_definition)), settings)
            if isinstance(component, str):
                component = component_of(component, self.workspace)
        except UserError as error:
            field = "job_definition" if deployment.component is None else "component"
            raise UserError(f"{where}: {field}: {error}") from error
        if getattr(component, "type", None) != "pipeline":
            raise UserError(f"{where}: component: {component.name} is no pipeline component")
        made = _written(component)
        keeper = ComponentOperations(self.workspace)
        return PipelinePlan(keeper._with_files_kept(made, component, Path(component.base_path or ".")), settings)

    def _component_of_job(self, reference: str) -> dict[str, Any]:
        """A pipeline job as the component that it could have been made of."""
        name = reference.removeprefix("azureml:").rpartition("/")[2]
        record = JobStore(self.workspace).read(name)
        spec = record.spec
        if record.type != "pipeline":
            raise UserError(f'job "{name}" is no pipeline; it is a {record.type} job')
        component = spec.get("component")
        if isinstance(component, Mapping):
            return dict(component)
        if isinstance(component, str):
            return _written(component_of(component, self.workspace))
        inputs = {key: _declared(value) for key, value in (spec.get("inputs") or {}).items()}
        outputs = {key: {"type": each.get("type", "uri_folder")} for key, each in (spec.get("outputs") or {}).items()}
        return {"type": "pipeline", "name": name, "inputs": inputs, "outputs": outputs, "jobs": spec.get("jobs") or {}}

    def get(self, name: str, endpoint_name: str, **_: Any) -> Any:
        try:
            return rest.entity("batch deployment", self.describe(name, endpoint_name))
        except NotFound as error:
            raise missing(error) from error

    def list(self, endpoint_name: str, **_: Any) -> Iterator[Any]:
        try:
            told = self.describe_all(endpoint_name)
        except NotFound as error:
            raise missing(error) from error
        return iter([rest.entity("batch deployment", each) for each in told])

    def describe(self, name: str, endpoint_name: str) -> dict[str, Any]:
        return self._describe(self.store.deployment(name, endpoint_name), endpoint_name)

    def describe_all(self, endpoint_name: str) -> Sequence[dict[str, Any]]:
        return [self._describe(each, endpoint_name) for each in self.store.deployments(endpoint_name)]

    def begin_delete(self, name: str, endpoint_name: str, **_: Any) -> Poller:
        """Remove a deployment; its jobs stay, and what runs goes on. Raises UserError for the endpoint's default."""
        try:
            self.store.deployment(name, endpoint_name)
        except NotFound as error:
            raise missing(error) from error

        def apply(endpoint: Endpoint) -> None:
            if self.store.default(endpoint) == name and len(self.store.names(endpoint_name)) > 1:
                raise UserError(
                    f"deployment {name}: it is the default of {endpoint_name}; first make another one it:"
                    f" aml batch-endpoint update -n {endpoint_name} --set defaults.deployment_name=NAME"
                )
            if self.store.default(endpoint) == name:
                endpoint.spec["defaults"] = {"deployment_name": None}
            self.store.file(name, endpoint_name).unlink(missing_ok=True)

        self.store.endpoints.change(endpoint_name, apply)
        return Poller(None)

    def list_jobs(self, endpoint_name: str, *, name: str | None = None) -> Sequence[Any]:
        """The jobs of a deployment, or without a name of all the endpoint's, the newest first, as BatchJobs."""
        self._known(endpoint_name, name)
        return BatchEndpointOperations(self.workspace)._jobs(endpoint_name, name)

    def describe_jobs(self, endpoint_name: str, name: str | None = None) -> Sequence[dict[str, Any]]:
        """As `list_jobs`, as plain dictionaries."""
        self._known(endpoint_name, name)
        return BatchEndpointOperations(self.workspace).describe_jobs(endpoint_name, name)

    def _known(self, endpoint_name: str, name: str | None) -> None:
        if name:
            self.store.deployment(name, endpoint_name)

    def _describe(self, deployment: BatchDeployment, endpoint_name: str) -> dict[str, Any]:
        return {
            **deployment.spec,
            "creation_context": service.with_last_change(deployment.creation_context),
            "endpoint_name": endpoint_name,
            "id": self.workspace.id_of("batchEndpoints", endpoint_name, "deployments", deployment.name),
            "name": deployment.name,
            "provisioning_state": "Succeeded",
        }


def _model_spec(deployment: Any, plan: ModelPlan) -> dict[str, Any]:
    """A model deployment as `az ml` shows it: flat, whatever its file was like, with what the service fills in."""
    model, environment = deployment.model, deployment.environment
    spec = {
        **_common(deployment),
        "compute": f"azureml:{plan.compute}" if plan.compute else None,
        "environment_variables": plan.variables,
        **service.batch_settings(plan.settings),
    }
    if isinstance(model, str):
        spec["model"] = f"azureml:{model.removeprefix('azureml:')}"
    elif model is not None:
        spec["model"] = {"path": str(model.path), "type": model.type}
    if isinstance(environment, str):
        spec["environment"] = f"azureml:{environment.removeprefix('azureml:')}"
    elif environment is not None:
        spec["environment"] = deployment._to_dict()["environment"]
    if deployment.code_configuration:
        code = Path(deployment.base_path or ".", str(deployment.code_configuration.code)).resolve()
        script = str(deployment.code_configuration.scoring_script)
        spec["code_configuration"] = {"code": str(code), "scoring_script": script}
    return {key: value for key, value in spec.items() if value is not None}


def _pipeline_spec(deployment: Any, plan: PipelinePlan) -> dict[str, Any]:
    """A pipeline component deployment as `az ml` shows it: as the service keeps it, among its properties."""
    common, settings = _common(deployment), plan.settings
    common["properties"] |= {
        "deployment_configuration_type": "PipelineComponent",
        "componentDeployment.Settings.continue_on_step_failure": settings.get("continue_on_step_failure"),
        "default_datastore": settings.get("default_datastore"),
        "default_compute": settings.get("default_compute"),
    }
    return {key: value for key, value in common.items() if value is not None} | {"environment_variables": {}}


def _written(component: Any) -> dict[str, Any]:
    """A component as its author wrote it: with the id of a registered one azure-ai-ml takes no outputs from it."""
    return {key: value for key, value in dictionary(component).items() if key not in ("$schema", *SERVICE)}


def _common(deployment: Any) -> dict[str, Any]:
    return {
        "description": deployment.description,
        "properties": texts(deployment.properties),
        "tags": texts(deployment.tags),
    }


def _declared(value: Any) -> dict[str, Any]:
    """What a pipeline's input declares as a component's: a literal is the default of one."""
    if isinstance(value, Mapping) and value.get("path"):
        return {"type": value.get("type", "uri_folder")}
    literal = value.get("value", value.get("default")) if isinstance(value, Mapping) else value
    kinds = {bool: "boolean", int: "integer", float: "number"}
    return {"type": kinds.get(type(literal), "string"), "default": literal}
