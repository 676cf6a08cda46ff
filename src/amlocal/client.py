"""LocalMLClient: the operations of `azure.ai.ml.MLClient`, on a folder instead of a subscription.

    from amlocal.client import LocalMLClient
    client = LocalMLClient()                       # where a notebook had MLClient(...)
    job = client.jobs.create_or_update(load_job("aml/pipelines/training.yml"))
    client.jobs.stream(job.name)

The operations take and return azure-ai-ml's entities and raise its exceptions. Beside `get` and `list` each has
`describe` and `describe_all`, which give the same as plain dictionaries, as `az ml` prints them, and import nothing
heavy: the command line uses those.
"""

from pathlib import Path
from typing import Any

from amlocal.endpoints.operations import OnlineDeploymentOperations, OnlineEndpointOperations
from amlocal.operations.assets import AssetOperations
from amlocal.operations.compute import ComputeOperations
from amlocal.operations.jobs import JobOperations
from amlocal.operations.models import ModelOperations
from amlocal.operations.workspaces import WorkspaceOperations
from amlocal.workspace import Workspace


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
