"""The program of `server`: MLflow's own, which also registers a model's folder that lies on this machine.

MLflow refuses it where it is not a run's, since its clients may be anywhere. Ours are jobs on this machine; in Azure
their MLflow uploads such a folder.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow.server import handlers
from mlflow.server.fastapi_app import app

from amlocal.core import mlflow_store
from amlocal.core.workspace import Workspace
from amlocal.environments.server import WORKSPACE

__all__ = ["app"]


def registering(find: Callable[..., Any]) -> Callable[..., Any]:
    """What finds MLflow's store of models, which takes models as it does under `aml exec`."""

    @functools.wraps(find)
    def found(*arguments: Any) -> Any:
        store = find(*arguments)
        if not hasattr(store.create_model_version, "__wrapped__"):  # MLflow keeps one store for all requests
            workspace = Workspace(Path(os.environ[WORKSPACE]))
            store.create_model_version = mlflow_store.registering(store, workspace)
        return store

    return found


def but_for_models(check: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """MLflow's check of where a model comes from, which a model's folder on this machine passes."""

    @functools.wraps(check)
    def checked(source: str, owner: str) -> None:
        if not (source.startswith("file://") and mlflow_store.is_model(source)):
            check(source, owner)

    return checked


for name, changed in (
    ("_get_model_registry_store", registering),
    ("_validate_source_run", but_for_models),
    ("_validate_source_model", but_for_models),
):
    setattr(handlers, name, changed(getattr(handlers, name)))
