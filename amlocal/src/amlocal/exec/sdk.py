"""What `azure.ai.ml`, `azure.identity` and MLflow are to a Python program under `aml exec`."""

import functools
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

LIFETIME_SECONDS = 24 * 3600


def patch(module: ModuleType) -> None:
    """Put the stand-ins into a module that has just been imported."""
    if module.__name__ == "azure.ai.ml":
        from amlocal.client import LocalMLClient

        module.MLClient = LocalMLClient  # type: ignore[attr-defined]
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
                store.create_model_version = registering(store, workspace)
            return store

        return builder

    return get_store_builder


def registering(store: Any, workspace: Any) -> Any:
    """The `create_model_version` of a store of MLflow's that creates the model's name, too, as Azure does.

    A local folder is copied into the workspace, as azureml-mlflow uploads it: it may be gone when the call returns.
    """
    create = store.create_model_version

    @functools.wraps(create)
    def create_model_version(name: str, source: str, *arguments: Any, **keywords: Any) -> Any:
        from mlflow.exceptions import MlflowException

        source = kept(source, workspace)
        with suppress(MlflowException):  # it is there; whatever else is wrong with it, `create` says, too
            store.create_registered_model(name)
        return create(name, source, *arguments, **keywords)

    return create_model_version


def kept(source: str, workspace: Any) -> str:
    """The address of a model's folder in the workspace; other addresses than those of folders on this machine stay.

    Raises ValueError in azureml-mlflow's words for what is no model.
    """
    if not source.startswith("file://") or not workspace.tracking_uri.startswith("sqlite:"):
        return source
    folder = Path(source.removeprefix("file://"))  # as azureml-mlflow reads it, relative paths too
    if not folder.exists():
        folder = Path(url2pathname(urlparse(source).path))
    if folder.is_relative_to(workspace.root):
        return source  # a run's, which keeps its files here
    if not (folder / "MLmodel").is_file():
        raise ValueError(
            "Model source must be a directory containing an mlflow MLmodel, as is produced by an mlflow save_model"
            f" function: {source}"
        )
    copy = workspace.artifacts / "LocalUpload" / uuid.uuid4().hex / folder.resolve().name
    shutil.copytree(folder, copy)
    return str(copy.as_uri())


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
