"""Azure's management interface for what azure-ai-ml has no operation for, with its credential and its addresses."""

from typing import Any


def get(client: Any, path: str, version: str, **query: str) -> Any:
    """The answer to a GET as JSON. Raises azure-core's HttpResponseError."""
    return send(client, "GET", path, version, **query).json()


def send(client: Any, method: str, path: str, version: str, **query: str) -> Any:
    """One request. `client` is an MLClient: it knows who is signed in, and which cloud."""
    from azure.ai.ml._azure_environments import _get_base_url_from_metadata, _resource_to_scopes
    from azure.core.pipeline.policies import RetryPolicy
    from azure.core.rest import HttpRequest
    from azure.mgmt.core import ARMPipelineClient
    from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

    base = _get_base_url_from_metadata()
    policies = [ARMChallengeAuthenticationPolicy(client._credential, *_resource_to_scopes(base)), RetryPolicy()]
    request = HttpRequest(method, base.rstrip("/") + path, params={"api-version": version, **query})
    pipeline: Any = ARMPipelineClient(base_url=base, policies=policies)
    with pipeline:
        response = pipeline.send_request(request)
        response.raise_for_status()
        return response
