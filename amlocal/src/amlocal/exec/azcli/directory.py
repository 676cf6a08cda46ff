"""The directory (applications, service principals, groups), roles, and the secrets of a vault."""

import json
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from amlocal.core.errors import NotFound, UserError
from amlocal.core.workspace import NOBODY
from amlocal.exec.azcli import records
from amlocal.exec.azcli.given import Given, Handler, UsageError, existing, nothing
from amlocal.exec.azcli.notes import note, without_effect
from amlocal.exec.azcli.records import Record


def app_create(given: Given) -> Record:
    return _application(given.required("display_name"))


def _application(name: str) -> Record:
    id = records.identifier("application", name)
    made = {"appId": id, "displayName": name, "id": records.identifier("object", name), "kind": "app"}
    with records.changed() as kept:
        kept["directory"].setdefault(id, made)
    return _shown(made)


def _shown(each: Record) -> Record:
    return {key: value for key, value in each.items() if key not in ("kind", "principal")}


def _found(kind: str, id: str) -> Record:
    """An application or a group by any of its names. Raises NotFound."""
    for each in records.read()["directory"].values():
        ids = (each.get("appId"), each["id"], each["displayName"], records.identifier("principal", each["displayName"]))
        if each["kind"] == kind and id in ids:
            return dict(each)
    raise NotFound(f"Resource '{id}' does not exist or one of its queried reference-property objects are not present.")


def directory_show(kind: str, key: str, given: Given) -> Record:
    return _shown(_found(kind, given.required(key)))


def directory_list(kind: str, given: Given) -> list[Record]:
    name = given.text("display_name")
    everything = records.read()["directory"].values()
    return [
        _shown(each)
        for each in everything
        if each["kind"] == kind and (name is None or each["displayName"].startswith(name))
    ]


def directory_delete(kind: str, key: str, given: Given) -> None:
    found = _found(kind, given.required(key))
    with records.changed() as kept:
        kept["directory"].pop(found.get("appId") or found["id"])


def _principal(application: Record) -> Record:
    return {
        "appId": application["appId"],
        "displayName": application["displayName"],
        "id": records.identifier("principal", application["displayName"]),
        "servicePrincipalType": "Application",
    }


def principal_create(given: Given) -> Record:
    application = _found("app", given.required("id"))
    with records.changed() as kept:
        kept["directory"][application["appId"]]["principal"] = True
    return _principal(application)


def principal_show(given: Given) -> Record:
    application = _found("app", given.required("id"))
    if not application.get("principal"):
        raise NotFound(f"Service principal '{given.text('id')}' doesn't exist; see `az ad sp create --id`")
    return _principal(application)


def principal_list(given: Given) -> list[Record]:
    name = given.text("display_name") or ""
    applications = [each for each in records.read()["directory"].values() if each.get("principal")]
    return [_principal(each) for each in applications if each["displayName"].startswith(name)]


def principal_for_rbac(given: Given) -> Record:
    """A service principal with a password, which `az login` takes, and the role that is asked for."""
    name = given.text("name") or "azure-cli"
    application = _application(name)
    principal = principal_create(Given({"id": [application["appId"]]}))
    if role := given.text("role"):
        if not given.texts("scopes"):
            raise UsageError("ad sp create-for-rbac: --scopes is required with --role")
        for scope in given.texts("scopes"):
            _assign(role, scope, principal["id"], "ServicePrincipal")
    if given.switch("json_auth"):
        return {
            "clientId": principal["appId"],
            "clientSecret": "local",
            "subscriptionId": NOBODY,
            "tenantId": NOBODY,
            "resourceManagerEndpointUrl": "https://management.azure.com/",
        }
    return {"appId": principal["appId"], "displayName": name, "password": "local", "tenant": NOBODY}


def credential_reset(given: Given) -> Record:
    application = _found("app", given.required("id"))
    return {"appId": application["appId"], "password": "local", "tenant": NOBODY}


def federated_credential(given: Given) -> Record:
    application = _found("app", given.required("id"))
    text = given.required("parameters")
    told = _json("--parameters", Path(text[1:] if text.startswith("@") else text), text)
    for field in ("name", "issuer", "subject"):
        if not told.get(field):
            raise UserError(f"ad app federated-credential create: --parameters: {field} is missing")
    note("nobody signs in here: no credential is needed.")
    return {
        "audiences": ["api://AzureADTokenExchange"],
        **told,
        "id": records.identifier(application["id"], told["name"]),
    }


def _json(flag: str, file: Path, text: str) -> Record:
    """JSON from a flag's text or from the file that it names."""
    try:
        value = json.loads(
            file.read_text("utf-8") if text.startswith("@") or not text.lstrip().startswith("{") else text
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{flag}: neither JSON nor a file with JSON: {text[:60]} ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"{flag}: expected a JSON object")
    return value


def members_create(given: Given) -> Record:
    name = given.required("display_name")
    id = records.identifier("group", name)
    made: Record = {
        "displayName": name,
        "id": id,
        "mailNickname": given.text("mail_nickname"),
        "members": [],
        "kind": "group",
    }
    with records.changed() as kept:
        made = kept["directory"].setdefault(id, made)
    return _shown(made)


def member_add(given: Given) -> None:
    found, member = _found("group", given.required("group")), given.required("member_id")
    with records.changed() as kept:
        members = kept["directory"][found["id"]]["members"]
        if member not in members:
            members.append(member)


def member_check(given: Given) -> dict[str, bool]:
    return {"value": given.required("member_id") in _found("group", given.required("group"))["members"]}


def member_list(given: Given) -> list[Record]:
    found = _found("group", given.required("group"))
    return [{"displayName": id, "id": id, "userPrincipalName": id} for id in found["members"]]


# ---- roles and secrets


def role_create(given: Given) -> Record:
    assignee = given.text("assignee_object_id") or given.text("assignee")
    if not assignee:
        raise UsageError("role assignment create: give --assignee or --assignee-object-id")
    note("roles are kept as records: every command runs as you.")
    return _assign(
        given.required("role"),
        given.required("scope"),
        assignee,
        given.text("assignee_principal_type") or "ServicePrincipal",
    )


def _assign(role: str, scope: str, assignee: str, kind: str) -> Record:
    name = records.identifier(scope, role, assignee)
    made = {
        "id": f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{name}",
        "name": name,
        "principalId": assignee,
        "principalType": kind,
        "roleDefinitionId": f"/subscriptions/{NOBODY}/providers/Microsoft.Authorization/roleDefinitions/"
        + records.identifier("role", role),
        "roleDefinitionName": role,
        "scope": scope,
        "type": "Microsoft.Authorization/roleAssignments",
    }
    with records.changed() as kept:
        kept["roles"][made["id"]] = made
    return made


def role_list(given: Given) -> list[Record]:
    """The assignments that the flags choose."""
    assignee = given.text("assignee_object_id") or given.text("assignee")
    role, ids = given.text("role"), given.texts("ids")
    scope = given.text("scope") or (records.group_id(group) if (group := given.asked_group()) else None)
    return [
        each
        for each in records.read()["roles"].values()
        if assignee in (None, each["principalId"])
        and role in (None, each["roleDefinitionName"])
        and (not ids or each["id"] in ids)
        and (scope is None or each["scope"].lower() == scope.lower())
    ]


def role_delete(given: Given) -> None:
    for each in role_list(given):
        with records.changed() as kept:
            kept["roles"].pop(each["id"])


def secret_set(given: Given) -> Record:
    vault, name = _vault(given), given.required("name")
    value = given.text("value")
    if value is None and (file := given.text("file")):
        existing(file)
        value = Path(file).read_text("utf-8")
    if value is None:
        raise UsageError("keyvault secret set: give --value or --file")
    edition = records.identifier(vault, name, value).replace("-", "")
    made = {
        "attributes": {"enabled": True},
        "contentType": given.text("description"),
        "id": f"https://{vault}.vault.azure.net/secrets/{name}/{edition}",
        "name": name,
        "tags": given.tags() or {},
        "value": value,
    }
    with records.changed() as kept:
        kept["secrets"][f"{vault}/{name}".lower()] = made
    note(f"{name} is kept in {records.defaults_file().parent / 'az-records.json'}, which only you can read.")
    return made


def _vault(given: Given) -> str:
    """The vault that a command names. Raises NotFound for one that was not created here."""
    name = given.required("vault_name")
    return str(records.find_resource("Microsoft.KeyVault/vaults", name)["name"])


def _secret(given: Given) -> tuple[str, Record]:
    if id := given.text("id"):
        name = "/".join(urlsplit(id).path.split("/")[2:3])
        key = f"{(urlsplit(id).hostname or '').partition('.')[0]}/{name}".lower()
    else:
        name = given.required("name")
        key = f"{_vault(given)}/{name}".lower()
    found = records.read()["secrets"].get(key)
    if found is None:
        raise NotFound(f"(SecretNotFound) A secret with (name/id) {name} was not found in this key vault.")
    return key, found


def secret_show(given: Given) -> Record:
    return _secret(given)[1]


def secret_list(given: Given) -> list[Record]:
    vault = _vault(given).lower()
    found = [each for key, each in records.read()["secrets"].items() if key.partition("/")[0] == vault]
    return [{key: value for key, value in each.items() if key != "value"} for each in found]


def secret_delete(given: Given) -> Record:
    key, found = _secret(given)
    with records.changed() as kept:
        kept["secrets"].pop(key)
    return {key: value for key, value in found.items() if key != "value"}


COMMANDS: dict[str, Handler] = {
    "ad app create": app_create,
    "ad app show": partial(directory_show, "app", "id"),
    "ad app list": partial(directory_list, "app"),
    "ad app delete": partial(directory_delete, "app", "id"),
    "ad app federated-credential create": federated_credential,
    "ad group create": members_create,
    "ad group show": partial(directory_show, "group", "group"),
    "ad group list": partial(directory_list, "group"),
    "ad group delete": partial(directory_delete, "group", "group"),
    "ad group member add": member_add,
    "ad group member check": member_check,
    "ad group member list": member_list,
    "ad sp create": principal_create,
    "ad sp create-for-rbac": principal_for_rbac,
    "ad sp credential reset": credential_reset,
    "ad sp show": principal_show,
    "ad sp list": principal_list,
    "ad sp delete": partial(directory_delete, "app", "id"),
    "role assignment create": role_create,
    "role assignment list": role_list,
    "role assignment delete": role_delete,
    "keyvault purge": nothing,
    "keyvault set-policy": partial(without_effect, "access policies have no effect: every command runs as you."),
    "keyvault secret set": secret_set,
    "keyvault secret show": secret_show,
    "keyvault secret list": secret_list,
    "keyvault secret delete": secret_delete,
}
