"""`mlflow.deployments.get_deploy_client()` under `aml exec`: online endpoints of the workspace, as by azureml-mlflow.

What is taken and returned is what azureml-mlflow takes and returns: configurations in files, REST bodies.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.deployments import BaseDeploymentClient
from mlflow.exceptions import MlflowException

from amlocal.client import LocalMLClient
from amlocal.core.documents import read_yaml
from amlocal.operations import rest
from amlocal.operations.common import not_missing

DEFAULT = {"auth_mode": "aml_token", "properties": {"azureml.mlflow_client_endpoint": "True"}}
NOT_TAKEN = ("model", "code_configuration", "environment", "endpoint_name")  # what MLflow itself says


class Deployments(BaseDeploymentClient):
    """MLflow's client for deployments on a workspace."""

    def __init__(self, target_uri: str, client: LocalMLClient) -> None:
        super().__init__(target_uri)
        self._client = client

    # ---- endpoints

    def create_endpoint(self, name: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        from azure.ai.ml.entities import ManagedOnlineEndpoint

        told = _file(config, "endpoint-config-file")
        told = {key: value for key, value in (told or DEFAULT).items() if key not in ("async", "identity", "location")}
        self._client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=name, **told)).result()
        return self.get_endpoint(name)

    def update_endpoint(self, endpoint: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        entity = self._client.online_endpoints.get(endpoint)
        told = _file(config, "endpoint-config-file")
        for key in ("traffic", "mirror_traffic", "tags"):
            if key in told:
                setattr(entity, key, told[key])
        self._client.online_endpoints.begin_create_or_update(entity).result()
        return self.get_endpoint(endpoint)

    def delete_endpoint(self, endpoint: str) -> None:
        self._client.online_endpoints.begin_delete(endpoint).result()

    def get_endpoint(self, endpoint: str) -> dict[str, Any]:
        with not_missing():
            return rest.body("online endpoint", self._client.online_endpoints.describe(endpoint))

    def list_endpoints(self) -> list[dict[str, Any]]:
        return [rest.body("online endpoint", shown) for shown in self._client.online_endpoints.describe_all()]

    # ---- deployments

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        if flavor not in (None, "python_function"):
            raise MlflowException(f"Unable to use {flavor} model flavor, AML currently only supports python_function.")
        told = self._deployment(config)
        if endpoint is None:
            if config is None or "deploy-config-file" not in config:
                raise MlflowException("aml exec: container instances are not emulated; give config or an endpoint")
            self.create_endpoint(name)
        self._deploy(name, endpoint or name, told | {"model": self._model(model_uri, name)})
        if endpoint is None:
            entity = self._client.online_endpoints.get(name)
            entity.traffic = {name: 100}
            self._client.online_endpoints.begin_create_or_update(entity).result()
        return self.get_deployment(name, endpoint)

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> None:
        before = self._client.online_deployments.get(name, endpoint or name)
        kept = {key: getattr(before, key) for key in ("instance_type", "instance_count", "model", "request_settings")}
        told = kept | self._deployment(config) | ({"model": self._model(model_uri, name)} if model_uri else {})
        self._deploy(name, endpoint or name, told)

    def delete_deployment(
        self, name: str, config: Mapping[str, Any] | None = None, endpoint: str | None = None, **options: Any
    ) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        place = endpoint or name
        try:
            entity = self._client.online_endpoints.get(place)
        except ResourceNotFoundError:
            return
        if name in (entity.traffic or {}):
            entity.traffic = {each: share for each, share in entity.traffic.items() if each != name}
            self._client.online_endpoints.begin_create_or_update(entity).result()
        self._client.online_deployments.begin_delete(name, place).result()
        if options.get("delete_empty_endpoint"):
            self.delete_endpoint(place)

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        with not_missing():
            return _deployment_body(self._client.online_deployments.describe(name, endpoint or name))

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        places = [endpoint] if endpoint else [each["name"] for each in self._client.online_endpoints.describe_all()]
        with not_missing():
            return [
                _deployment_body(shown) | ({} if endpoint else {"endpointName": place})
                for place in places
                for shown in self._client.online_deployments.describe_all(place)
            ]

    def predict(self, deployment_name: str | None = None, df: Any = None, endpoint: str | None = None) -> Any:
        import pandas
        from mlflow.pyfunc.scoring_server import _get_jsonable_obj

        place = endpoint or deployment_name
        if not place:
            raise MlflowException("Error, must provide one of deployment_name or endpoint")
        if isinstance(df, dict):
            asked: Any = {key: _get_jsonable_obj(value, pandas_orient="split") for key, value in df.items()}
        else:
            asked = _get_jsonable_obj(df, pandas_orient="split")
        deployment = deployment_name if endpoint else None
        with tempfile.TemporaryDirectory() as folder:
            request = Path(folder) / "request.json"
            request.write_text(json.dumps({"input_data": asked}), encoding="utf-8")
            answer = self._client.online_endpoints.invoke(place, request_file=str(request), deployment_name=deployment)
        return pandas.DataFrame(json.loads(answer))

    # ---- what is told

    def _deploy(self, name: str, endpoint: str, told: Mapping[str, Any]) -> None:
        from azure.ai.ml.entities import ManagedOnlineDeployment

        entity = ManagedOnlineDeployment(name=name, endpoint_name=endpoint, **told)
        self._client.online_deployments.begin_create_or_update(entity).result()

    def _deployment(self, config: Mapping[str, Any] | None) -> dict[str, Any]:
        told = _file(config, "deploy-config-file")
        if taken := [key for key in NOT_TAKEN if key in told]:
            raise MlflowException(f"{', '.join(taken)}: not used with MLflow deployments; remove it from the file")
        return {"instance_count": 1} | {key: value for key, value in told.items() if key not in ("async", "type")}

    def _model(self, uri: str, name: str) -> str:
        """`azureml:NAME:VERSION` of a model's address; what is a run's or a folder's is registered."""
        from mlflow import MlflowClient, register_model

        if not uri.startswith("models:/"):
            made = register_model(uri, f"{name}-model")
            return f"azureml:{made.name}:{made.version}"
        named, _, version = uri.removeprefix("models:/").partition("/")
        if not version.isdigit():
            version = MlflowClient().get_latest_versions(named, [version])[0].version
        return f"azureml:{named}:{version}"


def _deployment_body(shown: Mapping[str, Any]) -> dict[str, Any]:
    return rest.body("online deployment", shown) | {"flavor": "python_function"}


def _file(config: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """What the file says that a configuration names, YAML or JSON; nothing if it names none."""
    return dict(read_yaml(Path(config[name]))) if config and name in config else {}
