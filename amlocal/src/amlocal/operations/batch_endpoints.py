"""`client.batch_endpoints`: MLClient's operations on the batch endpoints of a workspace."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlocal.batch.store import BatchStore
from amlocal.core.errors import NotFound, UserError
from amlocal.core.names import creation_context, texts
from amlocal.core.workspace import Workspace
from amlocal.endpoints import supervisor
from amlocal.endpoints.gateway.auth import AAD_TOKEN, KEY, MODES, token
from amlocal.endpoints.health import endpoint_health, wait_for_gateway
from amlocal.endpoints.plan import check_name
from amlocal.endpoints.store import BATCH, Endpoint
from amlocal.jobs.record import JobStore
from amlocal.operations import rest
from amlocal.operations.common import ENDPOINT_NAMES, Operations, Poller, missing
from amlocal.operations.online_endpoints import move_endpoint, port_of, remove_endpoint, taken

# What documentation calls some of the fields of a job, beside their own names.
SHORT = {
    "instance_count": "compute.instance_count",
    "max_retries": "retry_settings.max_retries",
    "timeout": "retry_settings.timeout",
}


class BatchEndpointOperations(Operations):
    """`client.batch_endpoints`"""

    takes = ("BatchEndpoint",)
    any_case = ENDPOINT_NAMES

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = BatchStore(workspace)
        self._runner: Any = None

    def get_ready(self) -> None:
        """Begin what takes long before a job can start, while the caller still has something to do."""
        from amlocal.jobs.submit import get_ready

        self._runner = get_ready(self.workspace)

    def begin_create_or_update(self, endpoint: Any, **_: Any) -> Poller:
        """Create an endpoint, or change all of it but its name; returns when it can be called."""
        name = check_name("endpoint", endpoint.name)
        spec = _spec(endpoint)
        if spec["auth_mode"] not in MODES:
            raise UserError(f"endpoint {name}: auth_mode: {endpoint.auth_mode} is none of {', '.join(MODES)}")
        try:
            before = self.store.get(name)
        except NotFound:
            self._create(endpoint, name, spec)
        else:
            self._update(endpoint, before, spec)
        return Poller(self.get(name))

    def _create(self, entity: Any, name: str, spec: dict[str, Any]) -> None:
        if default := spec["defaults"]["deployment_name"]:
            raise UserError(
                f'endpoint {name}: defaults.deployment_name: there is no deployment "{default}" yet; leave it out, and'
                " create the deployment with --set-default"
            )
        endpoints = self.store.endpoints
        with self.workspace.lock("endpoints"):
            if endpoints.record(name).exists():
                raise taken(self.workspace, name)
            endpoints.create(
                Endpoint(
                    name=name,
                    port=port_of(endpoints, entity, name, None),
                    instance=uuid.uuid4().hex,
                    spec=spec,
                    creation_context=creation_context(),
                    kind=BATCH,
                )
            )
        try:
            supervisor.ensure(self.workspace)
            wait_for_gateway(endpoints, name)
        except BaseException:  # or it would come to life once the machine has time for it, or at the next `aml up`
            self.begin_delete(name)
            raise

    def _update(self, entity: Any, before: Endpoint, spec: dict[str, Any]) -> None:
        if not entity.defaults:  # a file need not say which deployment is the default
            spec["defaults"] = {"deployment_name": self.store.default(before)}
        default = spec["defaults"]["deployment_name"]
        there = self.store.names(before.name)
        port = port_of(self.store.endpoints, entity, before.name, before.port)
        if default and default not in there:
            raise UserError(
                f'endpoint {before.name}: defaults.deployment_name: there is no deployment "{default}";'
                f" there is {', '.join(there) or 'none'}"
            )

        def apply(endpoint: Endpoint) -> None:
            if spec["auth_mode"] != endpoint.auth_mode:  # what was given out before does not open any more
                self.store.endpoints.renew_token_secret(endpoint.name)
            endpoint.spec, endpoint.port = spec, port

        self.store.endpoints.change(before.name, apply)
        move_endpoint(self.store.endpoints, before.name, before.port, port)

    def get(self, name: str, **_: Any) -> Any:
        try:
            return rest.entity("batch endpoint", self.describe(name))
        except NotFound as error:
            raise missing(error) from error

    def list(self, **_: Any) -> Iterator[Any]:
        for told in self.describe_all():
            yield rest.entity("batch endpoint", told)

    def describe(self, name: str) -> dict[str, Any]:
        return self._describe(self.store.get(name))

    def describe_all(self) -> Sequence[dict[str, Any]]:
        return [self._describe(endpoint) for endpoint in self.store.endpoints.all()]

    def begin_delete(self, name: str, **_: Any) -> Poller:
        """End and remove an endpoint with its deployments; its jobs stay, and what runs goes on."""
        try:
            endpoint = self.store.get(name)
        except NotFound as error:
            raise missing(error) from error
        remove_endpoint(self.store.endpoints, endpoint)
        return Poller(None)

    def credentials(self, name: str) -> dict[str, Any]:
        """What opens the endpoint: a new token, or its keys; in the form of `online-endpoint get-credentials`."""
        mode, endpoints = self.store.get(name).auth_mode, self.store.endpoints
        return endpoints.keys(name) if mode == KEY else token(name, mode, endpoints.token_secret(name))

    def invoke(
        self,
        endpoint_name: str,
        *,
        deployment_name: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Any:
        """Start the job of a deployment (by default the endpoint's default one); returns it as a BatchJob.

        inputs: azure-ai-ml's Input objects or literals by name; input: one Input, for a model deployment; outputs:
        Output objects; params_override, job_name, experiment_name: as in MLClient. Relative paths count from the
        current folder. Raises UserError, or ResourceNotFoundError.
        """
        from azure.ai.ml.entities._deployment.batch_job import BatchJob

        from amlocal.batch.invoke import described, invoke
        from amlocal.batch.request import read

        try:
            body = _body(inputs=inputs, **more)
            runner, self._runner = self._runner, None
            record = invoke(self.workspace, endpoint_name, deployment_name, read(body), runner)
        except NotFound as error:
            raise missing(error) from error
        return BatchJob._from_rest_object(described(self.workspace, record, {}))

    def list_jobs(self, endpoint_name: str) -> Sequence[Any]:
        """The jobs that invocations of the endpoint have started, the newest first, as BatchJobs."""
        return self._jobs(endpoint_name)

    def describe_jobs(self, endpoint_name: str, deployment_name: str | None = None) -> Sequence[dict[str, Any]]:
        """As `list_jobs`, of one deployment if it is named, as plain dictionaries."""
        from amlocal.batch.invoke import DEPLOYMENT, ENDPOINT, described

        self.store.get(endpoint_name)
        wanted = {ENDPOINT: endpoint_name, **({DEPLOYMENT: deployment_name} if deployment_name else {})}
        return [
            _flat(described(self.workspace, record, {}))
            for record in JobStore(self.workspace).all()
            if all(record.properties.get(key) == value for key, value in wanted.items())
        ]

    def _jobs(self, endpoint_name: str, deployment_name: str | None = None) -> Sequence[Any]:
        from azure.ai.ml.entities._deployment.batch_job import BatchJob

        try:
            return [BatchJob(**told) for told in self.describe_jobs(endpoint_name, deployment_name)]
        except NotFound as error:
            raise missing(error) from error

    def _describe(self, endpoint: Endpoint) -> dict[str, Any]:
        spec = endpoint.spec
        return {
            "auth_mode": endpoint.auth_mode,
            "creation_context": endpoint.creation_context,
            "defaults": {"deployment_name": self.store.default(endpoint)},
            "description": spec["description"],
            "health": endpoint_health(self.store.endpoints, endpoint),
            "id": self.workspace.id_of("batchEndpoints", endpoint.name),
            "location": "local",
            "name": endpoint.name,
            "properties": spec["properties"],
            "provisioning_state": "Succeeded",
            "scoring_uri": f"{endpoint.address}/jobs",
            "tags": spec["tags"],
        }


def _flat(told: dict[str, Any]) -> dict[str, Any]:
    """A job as azure-ai-ml's BatchJob and `az ml batch-endpoint invoke` show it."""
    return {key: told[key] for key in ("id", "name", "type")} | {"status": told["properties"]["status"]}


def _spec(entity: Any) -> dict[str, Any]:
    defaults = entity.defaults
    default = defaults.get("deployment_name") if isinstance(defaults, Mapping) else None
    default = default or getattr(defaults, "deployment_name", None)
    return {
        "auth_mode": str(entity.auth_mode or AAD_TOKEN).lower(),
        "defaults": {"deployment_name": default.lower() if default else None},
        "description": entity.description,
        "properties": {key: value for key, value in texts(entity.properties).items() if (key, value) != ("port", "0")},
        "tags": texts(entity.tags),
    }


def _body(
    inputs: Mapping[str, Any] | None = None,
    input: Any = None,
    outputs: Mapping[str, Any] | None = None,
    job_name: str | None = None,
    experiment_name: str | None = None,
    params_override: Sequence[Mapping[str, Any]] | None = None,
    **_: Any,
) -> dict[str, Any]:
    """The body that MLClient would send: made by azure-ai-ml's own schema of batch jobs. Raises UserError."""
    from azure.ai.ml import Input, Output
    from azure.ai.ml._schema._deployment.batch.batch_job import BatchJobSchema
    from azure.ai.ml.constants._common import BASE_PATH_CONTEXT_KEY, PARAMS_OVERRIDE_KEY

    from amlocal.operations.common import one_line

    overrides = [{SHORT.get(key, key): value for key, value in each.items()} for each in params_override or []]
    given = {"UriFile" if getattr(input, "type", "") == "uri_file" else "UriFolder": input} if input else inputs
    if given:
        overrides.append({"input_data": {name: _wire(name, each, Input) for name, each in given.items()}})
    if outputs:
        overrides.append({"output_data": {name: _wire(name, each, Output) for name, each in outputs.items()}})
    if job_name:
        overrides.append({"job_name": job_name})
    if experiment_name:
        overrides.append({"properties": {"experimentName": experiment_name}})
    context = {BASE_PATH_CONTEXT_KEY: Path(), PARAMS_OVERRIDE_KEY: overrides}
    try:
        body = dict(BatchJobSchema(context=context).load(data={}))
    except UserError:
        raise
    except Exception as error:  # marshmallow's
        raise UserError(f"invoke: {one_line(error)}") from error
    dataset = body.pop("_output_dataset", None)
    if dataset:
        body["outputDataset"] = {"datastoreId": dataset.get("datastore_id"), "path": dataset.get("path")}
    return {"properties": body}


LITERALS = ("string", "number", "integer", "boolean")


def _wire(name: str, value: Any, kind: type) -> dict[str, Any]:
    """An Input or Output as the API has it; a plain value is a literal."""
    types = {"uri_file": "UriFile", "uri_folder": "UriFolder", "mltable": "MLTable", "mlflow_model": "MLFlowModel"}
    types |= {"custom_model": "CustomModel", "triton_model": "TritonModel"}
    group = "Input" if kind.__name__ == "Input" else "Output"
    if not isinstance(value, kind):
        if group == "Output" or not isinstance(value, (str, int, float, bool)):
            raise UserError(f"{group.lower()}s.{name}: {value!r} is no {group} of azure-ai-ml")
        return {"jobInputType": "Literal", "value": value}
    path, of_type = getattr(value, "path", None), str(getattr(value, "type", None) or "uri_folder")
    if of_type in LITERALS:
        return {"jobInputType": "Literal", "value": getattr(value, "default", None)}
    if of_type not in types:
        raise UserError(f"{group.lower()}s.{name}: type: {of_type} is none of {', '.join((*types, *LITERALS))}")
    if group == "Input" and not path:
        raise UserError(f"inputs.{name}: path: it is empty; give a path, an address or azureml:NAME:VERSION")
    return {f"job{group}Type": types[of_type], "uri": str(path) if path else None}
