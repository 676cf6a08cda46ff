"""Workspaces, by the real MLClient: found, listed, made, deleted, and made again."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from double import Double


def test_a_workspace_is_found(ml_client: Any, double: Double) -> None:
    workspace = ml_client.workspaces.get()
    assert workspace.name == double.workspace
    assert workspace.location == double.location
    assert [one.name for one in ml_client.workspaces.list()] == [double.workspace]
    assert [one.name for one in ml_client.workspaces.list(scope="subscription")] == [double.workspace]


def test_a_workspace_is_created_with_what_it_needs(ml_client: Any, double: Double) -> None:
    from azure.ai.ml.entities import Workspace

    made = ml_client.workspaces.begin_create(Workspace(name="mlw-second", location="westeurope")).result()
    assert made.name == "mlw-second"
    kinds = {one["type"] for one in double.store.resources.values()}
    assert {"Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults", "Microsoft.Insights/components"} <= kinds


def test_a_deleted_workspace_keeps_its_name(ml_client: Any, double: Double) -> None:
    """And the client cannot purge it any more, since it looks for it first."""
    from azure.ai.ml.entities import Workspace

    ml_client.workspaces.begin_delete(double.workspace, delete_dependent_resources=False).result()
    with pytest.raises(ResourceNotFoundError):
        ml_client.workspaces.get()
    with pytest.raises(HttpResponseError, match=r"Soft-deleted workspace exists\. Please purge or recover it\."):
        ml_client.workspaces.begin_create(Workspace(name=double.workspace, location=double.location)).result()
    with pytest.raises(ResourceNotFoundError):
        ml_client.workspaces.begin_delete(double.workspace, delete_dependent_resources=False, permanently_delete=True)


def test_a_permanently_deleted_workspace_can_be_made_again(ml_client: Any, double: Double) -> None:
    from azure.ai.ml.entities import Workspace

    name = double.workspace
    ml_client.workspaces.begin_delete(name, delete_dependent_resources=True, permanently_delete=True).result()
    assert ml_client.workspaces.begin_create(Workspace(name=name, location=double.location)).result().name == name


def test_delete_takes_the_other_resources_along_when_asked(ml_client: Any, double: Double) -> None:
    ml_client.workspaces.begin_delete(double.workspace, delete_dependent_resources=True).result()
    assert not double.store.resources
