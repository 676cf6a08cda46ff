"""What scripts have told the `az` of `aml exec` in this folder, so that a later command reads it back.

`az.json` holds the defaults of `az configure`; `az-records.json` what a command has created: resource groups and
resources, applications and groups of the directory, role assignments, secrets. Nothing of it exists in Azure.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amlocal.core.errors import NotFound
from amlocal.core.files import read_json, write_json
from amlocal.core.workspace import DEFAULTS, NOBODY, Workspace

Record = dict[str, Any]
SECTIONS = ("groups", "resources", "directory", "roles", "secrets")


# ---- az configure --defaults -----------------------------------------------------------------------------------------


def defaults_file() -> Path:
    return _home().root / DEFAULTS


def _home() -> Workspace:
    """The first workspace of this folder: what `az` was told is kept once for all of them."""
    return Workspace(Workspace.here().home)


def told_defaults() -> dict[str, str]:
    """What `az configure --defaults` was told in this workspace, and what the environment says."""
    file = defaults_file()
    named = {"group": "AZURE_DEFAULTS_GROUP", "workspace": "AZURE_DEFAULTS_WORKSPACE"}
    asked = {name: os.environ[variable] for name, variable in named.items() if os.environ.get(variable)}
    return asked | (read_json(file) if file.exists() else {})


def known_defaults() -> dict[str, str]:
    """The same, and what is true of this workspace for what nobody has told."""
    return {"group": "local", "location": "local", "workspace": Workspace.here().name} | told_defaults()


def remember_defaults(told: dict[str, str]) -> None:
    """Keep defaults for the next command; an empty value forgets one, as in az."""
    with _home().lock("az"):
        file = defaults_file()
        kept = (read_json(file) if file.exists() else {}) | told
        write_json(file, {name: value for name, value in kept.items() if value})


# ---- what was created ------------------------------------------------------------------------------------------------


def read() -> dict[str, dict[str, Any]]:
    """Every section of the records, empty where nothing was created."""
    file = _home().root / "az-records.json"
    kept = read_json(file) if file.exists() else {}
    return {section: kept.get(section) or {} for section in SECTIONS}


@contextmanager
def changed() -> Iterator[dict[str, dict[str, Any]]]:
    """The records, to be changed and written when the block ends well."""
    home = _home()
    with home.lock("az"):
        kept = read()
        yield kept
        write_json(home.root / "az-records.json", kept)


def identifier(*parts: str) -> str:
    """A GUID that is the same whenever the same thing is named."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts).lower()))


# ---- groups and resources --------------------------------------------------------------------------------------------


def group_id(name: str) -> str:
    return f"/subscriptions/{NOBODY}/resourceGroups/{name}"


def resource_id(group: str, kind: str, name: str) -> str:
    return f"{group_id(group)}/providers/{kind}/{name}"


def group(name: str, location: str, tags: dict[str, str] | None = None) -> Record:
    return {
        "id": group_id(name),
        "location": location,
        "managedBy": None,
        "name": name,
        "properties": {"provisioningState": "Succeeded"},
        "tags": tags,
        "type": "Microsoft.Resources/resourceGroups",
    }


def groups() -> list[Record]:
    """The groups that were created here, and the one that `az configure` names; the workspace's if there is neither."""
    kept = read()["groups"]
    found = {name: each for name, each in kept.items() if each}
    default = known_defaults()
    name = default["group"].lower()
    if name not in kept and ("group" in told_defaults() or not found):
        found[name] = group(default["group"], default["location"])
    return list(found.values())


def find_group(name: str) -> Record:
    """A group by its name. One that nobody created here is taken to exist, as the one that `--resource-group` names is
    everywhere. Raises NotFound for one that was deleted."""
    kept = read()["groups"]
    if name.lower() in kept and kept[name.lower()] is None:
        raise NotFound(f"(ResourceGroupNotFound) Resource group '{name}' could not be found.")
    return kept.get(name.lower()) or group(name, known_defaults()["location"])


def standing(resource_group: str) -> list[Record]:
    """The resources that every workspace has, in whichever group somebody looks for them."""
    here = Workspace.here()
    location = known_defaults()["location"]
    kinds = [
        *(("Microsoft.MachineLearningServices/workspaces", each.name) for each in here.every() or [here]),
        ("Microsoft.Storage/storageAccounts", "local"),
        ("Microsoft.KeyVault/vaults", "local"),
        ("Microsoft.ContainerRegistry/registries", "local"),
        ("microsoft.insights/components", "local"),
    ]
    return [resource(kind, name, resource_group, location) for kind, name in kinds]


def resource(
    kind: str,
    name: str,
    resource_group: str,
    location: str,
    tags: dict[str, str] | None = None,
    more: Record | None = None,
) -> Record:
    """A resource as az prints one: its place, what its kind has (see KINDS), and what was asked for (`more`)."""
    id = resource_id(resource_group, kind, name)
    shape = KINDS[kind](name, id) if kind in KINDS else {}
    place = {"id": id, "location": location, "name": name, "resourceGroup": resource_group, "type": kind}
    return {**place, "tags": tags or {}, **shape, **(more or {})}


def _storage(name: str, id: str) -> Record:
    kinds = ("blob", "dfs", "file", "queue", "table")
    return {
        "accessTier": "Hot",
        "enableHttpsTrafficOnly": True,
        "isHnsEnabled": False,
        "kind": "StorageV2",
        "primaryEndpoints": {kind: f"https://{name}.{kind}.core.windows.net/" for kind in kinds},
        "provisioningState": "Succeeded",
        "sku": {"name": "Standard_RAGRS", "tier": "Standard"},
        "statusOfPrimary": "available",
    }


def _vault(name: str, id: str) -> Record:
    return {
        "properties": {
            "accessPolicies": [],
            "enableRbacAuthorization": True,
            "enableSoftDelete": True,
            "provisioningState": "Succeeded",
            "sku": {"family": "A", "name": "standard"},
            "tenantId": NOBODY,
            "vaultUri": f"https://{name}.vault.azure.net/",
        }
    }


def _registry(name: str, id: str) -> Record:
    return {
        "adminUserEnabled": False,
        "loginServer": f"{name.lower()}.azurecr.io",
        "provisioningState": "Succeeded",
        "sku": {"name": "Basic", "tier": "Basic"},
    }


def _identity(name: str, id: str) -> Record:
    return {"clientId": identifier(id, "client"), "principalId": identifier(id, "principal"), "tenantId": NOBODY}


def _insights(name: str, id: str) -> Record:
    instrumentation = identifier(id, "instrumentation")
    return {
        "appId": identifier(id, "app"),
        "applicationId": name,
        "applicationType": "web",
        "connectionString": f"InstrumentationKey={instrumentation}",
        "instrumentationKey": instrumentation,
        "kind": "web",
        "provisioningState": "Succeeded",
    }


def _logs(name: str, id: str) -> Record:
    return {
        "customerId": identifier(id, "customer"),
        "provisioningState": "Succeeded",
        "retentionInDays": 30,
        "sku": {"name": "PerGB2018"},
    }


# What az prints of a kind beside its place, from https://learn.microsoft.com/rest/api.
KINDS: dict[str, Callable[[str, str], Record]] = {
    "Microsoft.ContainerRegistry/registries": _registry,
    "Microsoft.KeyVault/vaults": _vault,
    "Microsoft.ManagedIdentity/userAssignedIdentities": _identity,
    "Microsoft.OperationalInsights/workspaces": _logs,
    "Microsoft.Storage/storageAccounts": _storage,
    "microsoft.insights/components": _insights,
}


def resources(kind: str | None = None, resource_group: str | None = None) -> list[Record]:
    """The resources of a kind, of a group, or all: what was created, then what every workspace has."""
    found = [
        each
        for each in [*read()["resources"].values(), *standing(resource_group or known_defaults()["group"])]
        if (kind is None or each["type"].lower() == kind.lower())
        and (resource_group is None or each["resourceGroup"].lower() == resource_group.lower())
    ]
    return list({each["id"].lower(): each for each in reversed(found)}.values())[::-1]


def find_resource(
    kind: str | None = None, name: str | None = None, resource_group: str | None = None, id: str | None = None
) -> Record:
    """One resource by its id, or by its kind and name. Raises NotFound."""
    for each in resources(kind, resource_group):
        if (id is None or each["id"].lower() == id.lower()) and (name is None or each["name"].lower() == name.lower()):
            return each
    if id is not None:
        raise NotFound(f"(ResourceNotFound) The Resource '{id}' was not found.")
    where = resource_group or known_defaults()["group"]
    raise NotFound(f"(ResourceNotFound) The Resource '{kind}/{name}' under resource group '{where}' was not found.")
