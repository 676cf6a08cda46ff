"""Resource groups and resources of every kind: records of what a script created, and what every workspace has."""

import re
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from amlocal.core.errors import NotFound, UserError
from amlocal.core.workspace import NOBODY
from amlocal.exec.azcli import records
from amlocal.exec.azcli.given import Given, Handler, UsageError, nothing
from amlocal.exec.azcli.notes import note, without_effect
from amlocal.exec.azcli.records import Record

AUTOSCALE = "microsoft.insights/autoscalesettings"
WORKSPACES = "Microsoft.MachineLearningServices/workspaces"


# ---- resource groups


def group_create(given: Given) -> Record:
    name, tags = given.required("name"), given.tags()
    with records.changed() as kept:
        there = kept["groups"].get(name.lower()) or {}
        if there and there["location"] != given.text("location"):
            raise UserError(
                f"(InvalidResourceGroupLocation) Invalid resource group location '{given.text('location')}'."
                f" The Resource group '{name}' already exists in location '{there['location']}'."
            )
        made = records.group(name, given.required("location"), tags if tags is not None else there.get("tags"))
        kept["groups"][name.lower()] = made
    return made


def group_show(given: Given) -> Record:
    return records.find_group(given.required("name"))


def group_exists(given: Given) -> bool:
    try:
        records.find_group(given.required("name"))
    except NotFound:
        return False
    return True


def group_list(given: Given) -> list[Record]:
    name, _, value = (given.text("tag") or "").partition("=")
    return [
        each
        for each in records.groups()
        if not name or (name in (each["tags"] or {}) and value in ("", (each["tags"] or {})[name]))
    ]


def group_update(given: Given) -> Record:
    name, tags = given.required("name"), given.tags()
    found = records.find_group(name)
    if tags is not None:
        found = {**found, "tags": tags}
        with records.changed() as kept:
            kept["groups"][name.lower()] = found
    return found


def group_delete(given: Given) -> None:
    name = given.required("name")
    records.find_group(name)
    with records.changed() as kept:
        kept["groups"][name.lower()] = None
        for id, each in [*kept["resources"].items()]:
            if each["resourceGroup"].lower() == name.lower():
                _forget(kept, id)
    note(
        f"{name} and what was created in it are forgotten; the workspace is a folder here, which stays:"
        " `aml down` stops what runs of it, `aml workspace delete` removes it."
    )


# ---- resources of every kind


def resource_create(kind: str, name_key: str, given: Given) -> Record:
    """Keep a resource under its name; the same again is brought up to date, as in Azure."""
    name = given.required(name_key)
    group = given.required("resource_group")
    found = records.find_group(group)
    asked = {
        "kind": given.text("kind"),
        "sku": {"name": sku, "tier": sku.partition("_")[0]} if (sku := given.text("sku")) else None,
        "isHnsEnabled": True if given.switch("enable_hierarchical_namespace") or given.switch("hns") else None,
        "adminUserEnabled": True if given.switch("admin_enabled") else None,
    }
    if kind == "Microsoft.KeyVault/vaults":
        asked = {}
    location = given.text("location") or found["location"]
    shape = records.KINDS[kind](name, "") if kind in records.KINDS else {}
    more = {key: value for key, value in asked.items() if value is not None and key in shape}
    made = records.resource(kind, name, group, str(location), given.tags(), more)
    with records.changed() as kept:
        kept["resources"][made["id"].lower()] = made
    note(f"{name} is kept as a record; nothing is created in Azure.")
    return made


def resource_show(kind: str, name_key: str, given: Given) -> Any:
    if ids := given.texts("ids"):
        found = [records.find_resource(kind, id=id) for id in ids]
        return found if len(found) > 1 else found[0]
    return records.find_resource(kind, given.required(name_key), given.asked_group())


def resource_list(kind: str | None, given: Given) -> list[Record]:
    kind = given.text("resource_type") or kind
    name = given.text("name")
    found = records.resources(kind, given.asked_group())
    return [each for each in found if name is None or each["name"].lower() == name.lower()]


def resource_update(kind: str, name_key: str, given: Given) -> Record:
    found = resource_show(kind, name_key, given)
    if (tags := given.tags()) is not None:
        found = {**found, "tags": tags}
        with records.changed() as kept:
            kept["resources"][found["id"].lower()] = found
    note(f"{found['name']} is a record here; of its settings only tags are kept.")
    return found


def resource_delete(kind: str | None, name_key: str, given: Given) -> None:
    if ids := given.texts("ids"):
        found = [records.find_resource(kind, id=id) for id in ids]
    else:
        kind = given.text("resource_type") or kind
        found = [records.find_resource(kind, given.required(name_key), given.asked_group())]
    with records.changed() as kept:
        for each in found:
            if each["id"].lower() in kept["resources"]:
                _forget(kept, each["id"].lower())
            else:
                note(f"{each['name']} belongs to the workspace and stays; `aml workspace delete` removes all of it.")


def _forget(kept: dict[str, dict[str, Any]], id: str) -> None:
    """Forget a resource and what hangs on it."""
    gone = kept["resources"].pop(id)
    for section in ("roles", "secrets"):
        kept[section] = {key: each for key, each in kept[section].items() if not _hangs_on(each, key, gone)}


def _hangs_on(each: Record, key: str, resource: Record) -> bool:
    vault = resource["type"] == "Microsoft.KeyVault/vaults" and key.partition("/")[0] == resource["name"].lower()
    return vault or str(each.get("scope", "")).lower().startswith(resource["id"].lower())


def generic_show(given: Given) -> Any:
    """`az resource show`: as Azure's REST interface writes a resource, what its kind has below `properties`."""
    if ids := given.texts("ids"):
        found = [_arm(records.find_resource(id=id)) for id in ids]
        return found if len(found) > 1 else found[0]
    kind = given.required("resource_type")
    return _arm(records.find_resource(kind, given.required("name"), given.text("resource_group")))


def _arm(record: Record) -> Record:
    top = ("id", "kind", "location", "name", "resourceGroup", "sku", "tags", "type")
    properties = {key: value for key, value in record.items() if key not in (*top, "properties")}
    return {key: record.get(key) for key in top} | {"properties": properties | record.get("properties", {})}


def tag_list(given: Given) -> Record:
    found = _tagged(given.required("resource_id"))
    return {"id": found["id"], "properties": {"tags": found["tags"] or {}}, "type": "Microsoft.Resources/tags"}


def tag_update(given: Given) -> Record:
    found, told = _tagged(given.required("resource_id")), given.tags() or {}
    before = found["tags"] or {}
    operation = given.required("operation").lower()
    after = {
        "merge": before | told,
        "replace": told,
        "delete": {name: value for name, value in before.items() if told.get(name) not in (value, "")},
    }
    if operation not in after:
        raise UsageError(f"tag update: --operation {operation}: it is one of Merge, Replace, Delete")
    section = "groups" if found["type"] == "Microsoft.Resources/resourceGroups" else "resources"
    with records.changed() as kept:
        key = found["name"] if section == "groups" else found["id"]
        kept[section][key.lower()] = {**found, "tags": after[operation]}
    return tag_list(given)


def _tagged(id: str) -> Record:
    if match := re.fullmatch(r"/subscriptions/[^/]+/resourceGroups/([^/]+)", id, re.IGNORECASE):
        return records.find_group(match[1])
    return records.find_resource(id=id)


def autoscale_part(given: Given) -> None:
    """A profile or a rule of a setting that was created here."""
    found = records.find_resource(AUTOSCALE, given.required("autoscale_name"), given.asked_group())
    note(f"{found['name']} scales nothing: a deployment here has the instances that its spec asks for.")


# ---- az rest

NOUNS = {
    "codes": "job", "components": "component", "computes": "compute", "data": "data", "datastores": "datastore",
    "deployments": "online-deployment", "environments": "environment", "jobs": "job", "models": "model",
    "onlineEndpoints": "online-endpoint", "schedules": "schedule",
}  # fmt: skip


def rest(given: Given) -> Any:
    """GET of a subscription, a group or a resource; what lies in an Azure ML workspace `az ml` shows."""
    method, uri = (given.text("method") or "get").lower(), given.required("uri")
    path = unquote(urlsplit(uri).path).rstrip("/").replace("{subscriptionId}", NOBODY)
    inside = re.search(rf"/providers/{WORKSPACES}/[^/]+/(.+)", path, re.IGNORECASE)
    if inside:
        noun = next((NOUNS[part] for part in reversed(inside[1].split("/")) if part in NOUNS), None)
        how = f"`az ml {noun} {'show' if method == 'get' else 'create'}`" if noun else "`az ml`"
        raise UserError(f"rest: {method.upper()} {path}: Azure ML's REST interface is not emulated here; use {how}")
    if urlsplit(uri).hostname not in (None, "management.azure.com") or method != "get":
        raise UserError(
            f"rest: {method.upper()} {uri.partition('?')[0]}: not emulated here: only GET of what lies below"
            " https://management.azure.com/subscriptions is answered"
        )
    if match := re.fullmatch(r"/subscriptions(/[^/]+)?(/resourcegroups(/[^/]+)?)?(/.*)?", path, re.IGNORECASE):
        subscription, groups, group, more = match.groups()
        if more and group and more.lower() == "/resources":
            return {"value": [_arm(each) for each in records.resources(resource_group=group[1:])]}
        if more:
            return _arm(records.find_resource(id=re.sub(r"^/subscriptions/[^/]+", f"/subscriptions/{NOBODY}", path)))
        if groups:
            return records.find_group(group[1:]) if group else {"value": records.groups()}
        told = {"displayName": "local", "id": f"/subscriptions/{NOBODY}", "state": "Enabled", "subscriptionId": NOBODY}
        return told if subscription else {"value": [told]}
    raise UserError(f"rest: GET {path}: not emulated here; below /subscriptions groups and resources are answered")


def _kind(noun: str, kind: str, *verbs: str, key: str = "name") -> dict[str, Handler]:
    """The verbs of a kind of resource that is kept as a record."""
    every: dict[str, Handler] = {
        "create": partial(resource_create, kind, key),
        "show": partial(resource_show, kind, key),
        "list": partial(resource_list, kind),
        "update": partial(resource_update, kind, key),
        "delete": partial(resource_delete, kind, key),
    }
    return {f"{noun} {verb}": every[verb] for verb in verbs}


COMMANDS: dict[str, Handler] = {
    "group create": group_create,
    "group show": group_show,
    "group exists": group_exists,
    "group list": group_list,
    "group update": group_update,
    "group delete": group_delete,
    "group wait": nothing,
    "resource list": partial(resource_list, None),
    "resource show": generic_show,
    "resource delete": partial(resource_delete, None, "name"),
    "rest": rest,
    "tag list": tag_list,
    "tag update": tag_update,
    **_kind("identity", "Microsoft.ManagedIdentity/userAssignedIdentities", "create", "show", "list", "delete"),
    **_kind("acr", "Microsoft.ContainerRegistry/registries", "create", "show", "list", "update", "delete"),
    **_kind("keyvault", "Microsoft.KeyVault/vaults", "create", "show", "list", "update", "delete"),
    **_kind("monitor app-insights component", "microsoft.insights/components", "create", "show", "delete", key="app"),
    **_kind(
        "monitor log-analytics workspace",
        "Microsoft.OperationalInsights/workspaces",
        "create",
        "show",
        "list",
        "delete",
    ),
    **_kind("monitor autoscale", AUTOSCALE, "create", "show", "list", "update", "delete"),
    "monitor autoscale profile create": autoscale_part,
    "monitor autoscale rule create": autoscale_part,
    **_kind("monitor action-group", "microsoft.insights/actionGroups", "create"),
    "monitor diagnostic-settings create": partial(
        without_effect, "logs are not exported here; `aml online-deployment get-logs` shows them."
    ),
    **_kind("monitor metrics alert", "microsoft.insights/metricAlerts", "create", "show", "update"),
    **_kind("storage account", "Microsoft.Storage/storageAccounts", "create", "show", "list", "update", "delete"),
}
