"""The batch endpoints of a workspace on disk. They lie among the online endpoints, with the same records and keys.

endpoints/<endpoint>/deployments/<name>.json    a deployment: all that its jobs are made of
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amlocal.core.errors import NotFound
from amlocal.core.files import write_json
from amlocal.core.records import read_record
from amlocal.core.workspace import Workspace
from amlocal.endpoints.store import BATCH, Endpoint, EndpointStore


@dataclass
class BatchDeployment:
    """A deployment. spec: flat, as `az ml` shows one; plan: a `ModelPlan` or `PipelinePlan` of batch.plan, as JSON."""

    name: str
    spec: dict[str, Any]
    plan: dict[str, Any]
    creation_context: dict[str, str]


class BatchStore:
    """The batch endpoints of a workspace, and their deployments."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.endpoints = EndpointStore(workspace, BATCH)

    def get(self, name: str) -> Endpoint:
        """Raises NotFound."""
        return self.endpoints.get(name)

    def default(self, endpoint: Endpoint) -> str | None:
        """The name of the deployment that is invoked where none is named."""
        name = (endpoint.spec.get("defaults") or {}).get("deployment_name")
        return str(name) if name else None

    def file(self, name: str, endpoint_name: str) -> Path:
        return self.endpoints.folder(endpoint_name) / "deployments" / f"{name}.json"

    def names(self, endpoint_name: str) -> list[str]:
        """The deployments of an endpoint by name. Raises NotFound for the endpoint."""
        self.get(endpoint_name)
        return sorted(path.stem for path in self.file("x", endpoint_name).parent.glob("*.json"))

    def deployment(self, name: str, endpoint_name: str) -> BatchDeployment:
        """Raises NotFound for the endpoint or the deployment."""
        there = self.names(endpoint_name)
        try:
            if name in there:  # a request's header may name any file
                return read_record(self.file(name, endpoint_name), BatchDeployment)
        except FileNotFoundError:  # deleted since
            there.remove(name)
        raise NotFound(
            f'batch endpoint "{endpoint_name}" has no deployment "{name}"; it has {", ".join(there) or "none"}'
        )

    def deployments(self, endpoint_name: str) -> Iterator[BatchDeployment]:
        for name in self.names(endpoint_name):
            yield self.deployment(name, endpoint_name)

    def write(self, deployment: BatchDeployment, endpoint_name: str) -> None:
        write_json(self.file(deployment.name, endpoint_name), asdict(deployment))
