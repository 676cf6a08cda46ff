"""LocalMLClient: the operations of `azure.ai.ml.MLClient`, on a folder instead of a subscription.

    from amlocal.client import LocalMLClient
    client = LocalMLClient()                       # where a notebook had MLClient(...) or MLClient.from_config(...)
    job = client.jobs.create_or_update(load_job("aml/pipelines/training.yml"))
    client.jobs.stream(job.name)

The operations take and return azure-ai-ml's entities and raise its exceptions. Beside `get` and `list` each has
`describe` and `describe_all`, which give the same as plain dictionaries, as `az ml` prints them, and import nothing
heavy: the command line uses those.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amlocal.core import registries
from amlocal.core.errors import NotEmulated, NotFound
from amlocal.core.files import read_json
from amlocal.core.names import CURATED_REGISTRY
from amlocal.core.workspace import NOBODY, Workspace
from amlocal.operations.common import missing, not_missing

if TYPE_CHECKING:
    from amlocal.operations.batch_deployments import BatchDeploymentOperations
    from amlocal.operations.batch_endpoints import BatchEndpointOperations
    from amlocal.operations.common import Poller
    from amlocal.operations.components import ComponentOperations
    from amlocal.operations.compute import ComputeOperations
    from amlocal.operations.data import DataOperations
    from amlocal.operations.datastores import DatastoreOperations
    from amlocal.operations.environments import CuratedEnvironmentOperations, EnvironmentOperations
    from amlocal.operations.jobs import JobOperations
    from amlocal.operations.models import ModelOperations
    from amlocal.operations.online_deployments import OnlineDeploymentOperations
    from amlocal.operations.online_endpoints import OnlineEndpointOperations
    from amlocal.operations.registries import RegistryOperations
    from amlocal.operations.schedules import ScheduleOperations
    from amlocal.operations.workspaces import WorkspaceOperations

# The operations, each in the file of its name. They are imported when they are asked for: a command uses those of one.
OPERATIONS = {
    "jobs": "JobOperations",
    "models": "ModelOperations",
    "data": "DataOperations",
    "environments": "EnvironmentOperations",
    "components": "ComponentOperations",
    "datastores": "DatastoreOperations",
    "compute": "ComputeOperations",
    "workspaces": "WorkspaceOperations",
    "online_endpoints": "OnlineEndpointOperations",
    "online_deployments": "OnlineDeploymentOperations",
    "batch_endpoints": "BatchEndpointOperations",
    "batch_deployments": "BatchDeploymentOperations",
    "schedules": "ScheduleOperations",
    "registries": "RegistryOperations",
}
# What MLClient has and a machine without Azure has no use for.
AZURE_ONLY = (
    "azure_openai_deployments",
    "capability_hosts",
    "connections",
    "deployment_templates",
    "evaluators",
    "feature_sets",
    "feature_store_entities",
    "feature_stores",
    "indexes",
    "marketplace_subscriptions",
    "serverless_endpoints",
    "workspace_outbound_rules",
)

# azure-ai-ml's entities and the operations that create them, as MLClient's own two methods choose.
AT_ONCE = {
    "Job": "jobs",
    "Model": "models",
    "Data": "data",
    "Environment": "environments",
    "Component": "components",
    "Datastore": "datastores",
}
LONG = {
    "Compute": "compute",
    "OnlineEndpoint": "online_endpoints",
    "OnlineDeployment": "online_deployments",
    "BatchEndpoint": "batch_endpoints",
    "BatchDeployment": "batch_deployments",
    "Schedule": "schedules",
}

# What exists in Azure only, by the entity that would be created.
ELSEWHERE = {
    "FeatureSet": "feature_sets",
    "FeatureStore": "feature_stores",
    "FeatureStoreEntity": "feature_store_entities",
    "Index": "indexes",
    "MarketplaceSubscription": "marketplace_subscriptions",
    "ServerlessEndpoint": "serverless_endpoints",
    "WorkspaceConnection": "connections",
}


class LocalMLClient:
    """A workspace on this disk.

    workspace_name: which of the folder's workspaces; where there is one only, any name is taken. Where there are
    several, a name that none has leaves `client.workspaces`, which can create it; everything else raises
    ResourceNotFoundError.
    registry_name: a registry of the folder; the client then has its models, data, environments and components. Of
    Azure's registry `azureml` it has the environments.
    credential, subscription_id, resource_group_name and whatever else MLClient takes: accepted, so that a program need
    not change; the properties give back what they were, and nobody asks who you are.
    workspace: the `.amlocal` folder, also as the first argument; default: `AMLOCAL_HOME`, the nearest parent's, or one
    in the current folder.
    """

    jobs: "JobOperations"
    models: "ModelOperations"
    data: "DataOperations"
    environments: "EnvironmentOperations | CuratedEnvironmentOperations"
    components: "ComponentOperations"
    datastores: "DatastoreOperations"
    compute: "ComputeOperations"
    workspaces: "WorkspaceOperations"
    online_endpoints: "OnlineEndpointOperations"
    online_deployments: "OnlineDeploymentOperations"
    batch_endpoints: "BatchEndpointOperations"
    batch_deployments: "BatchDeploymentOperations"
    schedules: "ScheduleOperations"
    registries: "RegistryOperations"

    def __init__(
        self,
        credential: Any = None,
        subscription_id: str | None = None,
        resource_group_name: str | None = None,
        workspace_name: str | None = None,
        registry_name: str | None = None,
        *,
        workspace: Path | str | None = None,
        **_: Any,
    ) -> None:
        if isinstance(credential, (str, Path)):
            credential, workspace = None, credential
        if registry_name:
            self._of_registry(registry_name, workspace, workspace_name)
            return
        self.subscription_id = subscription_id or NOBODY
        self.resource_group_name = resource_group_name or "local"
        if workspace:
            self.workspace = Workspace.at(Path(workspace))
        else:
            try:
                self.workspace = Workspace.find(name=workspace_name)
            except NotFound as error:  # of MLClient, too, the first call fails, and one may create the workspace
                self.workspaces = _operations("workspaces")(Workspace.here())
                self.workspace_name, self._missing = workspace_name, error
                return
        self.workspace_name = workspace_name or self.workspace.name

    def _of_registry(self, name: str, workspace: Path | str | None, workspace_name: str | None) -> None:
        """Make this the client of a registry: it has the four kinds of assets. Raises ResourceNotFoundError."""
        if name.lower() == CURATED_REGISTRY:
            self.registry_name = CURATED_REGISTRY
            from amlocal.operations.environments import CuratedEnvironmentOperations

            self.environments = CuratedEnvironmentOperations()
            return
        with not_missing():
            beside = Workspace.at(Path(workspace)) if workspace else Workspace.find(name=workspace_name)
            registry = registries.find(beside, name)
        self.registry_name = registry.name
        for kind in ("models", "data", "environments", "components"):
            setattr(self, kind, _operations(kind)(registry))
        self.registries = _operations("registries")(beside, registry.name)

    @classmethod
    def from_config(
        cls,
        credential: Any = None,
        *,
        path: Path | str | None = None,
        file_name: str | None = None,
        **kwargs: Any,
    ) -> "LocalMLClient":
        """The workspace of this folder; no config.json is needed, but one that is there may choose."""
        told = {"workspace_name": configured_name(path, file_name)} if Workspace.here().every()[1:] else {}
        return cls(credential, **{**told, **kwargs})

    def create_or_update(self, entity: Any, **kwargs: Any) -> Any:
        """Create a job, model, data asset, environment, component or datastore; returns it as it now stands."""
        return getattr(self, _home(entity, AT_ONCE)).create_or_update(entity, **kwargs)

    def begin_create_or_update(self, entity: Any, **kwargs: Any) -> "Poller":
        """Create a compute, an endpoint or deployment, a schedule, a workspace or a registry; `.result()` gives it."""
        from azure.ai.ml.entities import Registry
        from azure.ai.ml.entities import Workspace as AzureWorkspace

        if isinstance(entity, Registry):
            return self.registries.begin_create(entity, **kwargs)
        if isinstance(entity, AzureWorkspace):
            return self.workspaces.begin_create(entity, **kwargs)
        return getattr(self, _home(entity, LONG)).begin_create_or_update(entity, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and "_missing" in self.__dict__:
            raise missing(self._missing)
        registry = self.__dict__.get("registry_name")
        if not name.startswith("_") and registry == CURATED_REGISTRY:
            raise NotEmulated(
                f'client.{name}: of the registry "{CURATED_REGISTRY}", only the environments are known here'
            )
        if not name.startswith("_") and registry:
            raise NotEmulated(f'client.{name}: a registry has none; leave out registry_name="{registry}"')
        if name in OPERATIONS:
            made = _operations(name)(self.workspace)
            setattr(self, name, made)
            return made
        if name in AZURE_ONLY:
            raise NotEmulated(f"client.{name}: not emulated on this machine; it exists in Azure only")
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")

    def __repr__(self) -> str:
        if "registry_name" in self.__dict__:
            return f"LocalMLClient(registry_name={self.registry_name!r})"
        if "_missing" in self.__dict__:
            return f"LocalMLClient(workspace_name={self.workspace_name!r})"
        return f"LocalMLClient(workspace={str(self.workspace.root)!r})"


def _operations(name: str) -> Any:
    """The class of the operations that a client has by this name."""
    return getattr(import_module(f"amlocal.operations.{name}"), OPERATIONS[name])


def configured_name(path: Path | str | None, file_name: str | None) -> str | None:
    """The workspace's name in the nearest config.json, looked for as MLClient.from_config does. None: there is none."""
    start = Path(path or ".").resolve()
    files = [start] if start.is_file() else []
    for folder in (".azureml", "aml_config", "."):
        files += [each / folder / (file_name or "config.json") for each in (start, *start.parents)]
    for file in files:
        if file.is_file():
            name = read_json(file).get("workspace_name")
            return str(name) if name else None
    return None


def _home(entity: Any, homes: dict[str, str]) -> str:
    """The attribute whose operations create `entity`. Raises TypeError as MLClient does."""
    from azure.ai.ml import entities

    for kind, home in homes.items():
        if isinstance(entity, getattr(entities, kind)):
            return home
    for kind, home in ELSEWHERE.items():
        if isinstance(entity, getattr(entities, kind)):
            raise NotEmulated(
                f"client.{home}: a {type(entity).__name__} is not emulated on this machine; it exists in Azure only"
            )
    method = "create_or_update" if homes is AT_ONCE else "begin_create_or_update"
    raise TypeError(f"{method} takes a {', '.join(homes)}; this is a {type(entity).__name__}, which it does not create")
