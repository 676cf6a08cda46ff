"""What `azure.ai.ml`, `azure.identity` and MLflow are to a Python program under `aml exec`."""

import functools
import re
from types import ModuleType
from typing import Any

LIFETIME_SECONDS = 24 * 3600


def patch(module: ModuleType) -> None:
    """Put the stand-ins into a module that has just been imported."""
    if module.__name__ == "azure.ai.ml":
        from amlocal.client import LocalMLClient

        module.MLClient = LocalMLClient  # type: ignore[attr-defined]
    elif module.__name__ == "mlflow.deployments.interface":
        module.get_deploy_client = deploying(module.get_deploy_client)  # type: ignore[attr-defined]
    elif module.__name__.startswith("mlflow."):
        module.StoreRegistry.get_store_builder = serve_workspace(module.StoreRegistry.get_store_builder)
    else:
        asynchronous = module.__name__.endswith(".aio")
        for name in module.__all__:
            credential = getattr(module, name)
            if name.endswith("Credential") and isinstance(credential, type):
                setattr(module, name, offline(credential, asynchronous))


def serve_workspace(find: Any) -> Any:
    """A StoreRegistry's `get_store_builder`, `find`, that opens the workspace of this folder for `azureml://...`.

    Its database is made as `aml` makes it.
    """
    from amlocal.core import mlflow_store, registries
    from amlocal.core.workspace import AZUREML, Workspace

    def get_store_builder(self: Any, store_uri: str) -> Any:
        named = re.fullmatch(rf"{AZUREML}.*/(workspaces|registries)/([^/?]+).*", store_uri)
        if named and named[1] == "registries":
            workspace: Workspace = registries.find(Workspace.find(), named[2])
        else:
            workspace = Workspace.find(name=named[2] if named else None)
        ours = workspace.tracking_uri
        if store_uri != ours and not store_uri.startswith(AZUREML):
            return find(self, store_uri)
        build = find(self, ours)

        @functools.wraps(build)  # MLflow looks at its parameters
        def builder(store_uri: str, **keywords: Any) -> Any:
            mlflow_store.make(workspace)
            store = build(store_uri=ours, **keywords)
            if hasattr(store, "create_model_version"):
                store.create_model_version = mlflow_store.registering(store, workspace)
            return store

        return builder

    return get_store_builder


def deploying(find: Any) -> Any:
    """MLflow's `get_deploy_client`, whose client deploys to the workspace where the target is a workspace."""

    @functools.wraps(find)
    def get_deploy_client(target_uri: str | None = None) -> Any:
        from amlocal.client import LocalMLClient
        from amlocal.core.workspace import AZUREML, Workspace

        uri = target_uri or ""
        named = re.search(r"/workspaces/([^/?]+)", uri) if uri.startswith(AZUREML) else None
        mine = [each for each in Workspace.find().every() if each.tracking_uri == uri]
        if not mine and not uri.startswith(AZUREML):
            return find(target_uri)
        from amlocal.exec.deployments import Deployments

        workspace = mine[0] if mine else Workspace.find(name=named[1] if named else None)
        return Deployments(uri, LocalMLClient(workspace=workspace.root))

    return get_deploy_client


def offline(credential: type, asynchronous: bool = False) -> type:
    """A credential of the same name and kind that asks nobody: it takes whatever it is given; its token is "local"."""

    def __init__(self: Any, *_: Any, **__: Any) -> None:
        """Whatever would have been asked, it is not."""

    def get_token(self: Any, *_: str, **__: Any) -> Any:
        from azure.core.credentials import AccessToken

        return AccessToken("local", _expiry())

    def get_token_info(self: Any, *_: str, **__: Any) -> Any:
        from azure.core.credentials import AccessTokenInfo

        return AccessTokenInfo("local", _expiry())

    def enter(self: Any) -> Any:
        return self

    def leave(self: Any, *_: Any) -> None:
        pass

    members: dict[str, Any] = {
        "get_token": get_token,
        "get_token_info": get_token_info,
        "close": leave,
    }
    if asynchronous:
        members = {name: _awaited(member) for name, member in members.items()}
        members |= {"__aenter__": _awaited(enter), "__aexit__": _awaited(leave)}
    else:
        members |= {"__enter__": enter, "__exit__": leave}
    members |= {"__init__": __init__, "__module__": credential.__module__, "__doc__": credential.__doc__}
    return type(credential.__name__, (credential,), members)


def _awaited(function: Any) -> Any:
    async def member(*arguments: Any, **keywords: Any) -> Any:
        return function(*arguments, **keywords)

    return member


def _expiry() -> int:
    import time

    return int(time.time()) + LIFETIME_SECONDS
