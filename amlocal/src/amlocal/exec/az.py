"""What the stand-in for `az` answers where the target is local: as a script or a workflow's step expects.

There is nobody to sign in to and nothing to provision, so these commands change nothing but the defaults that
`az configure` is told; what they do not do they say on stderr. They take az's flags, fail where az would fail for a
reason that is to be seen here (a file that is not there), and return what az prints, so that `--query` and `-o` work.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.files import read_json, write_json
from amlocal.core.workspace import NOBODY, Workspace

NOT_SOON = "2099-12-31 23:59:59.000000"


def note(text: str) -> None:
    print(f"local target: {text}", file=sys.stderr)


# ---- who is signed in ------------------------------------------------------------------------------------------------


def account() -> dict[str, Any]:
    return {
        "environmentName": "AzureCloud",
        "id": NOBODY,
        "isDefault": True,
        "name": "local",
        "state": "Enabled",
        "tenantId": NOBODY,
        "user": {"name": "local", "type": "user"},
    }


def signed_in_user() -> dict[str, Any]:
    return {"displayName": "local", "id": NOBODY, "userPrincipalName": "local"}


def login(
    service_principal: bool = False,
    identity: bool = False,
    username: str | None = None,
    password: str | None = None,
    tenant: str | None = None,
    federated_token: str | None = None,
    allow_no_subscriptions: bool = False,
    use_device_code: bool = False,
) -> list[dict[str, Any]]:
    return [account()]


def logout(username: str | None = None) -> None:
    return None


def account_show(name: str | None = None) -> dict[str, Any]:
    return account()


def account_list(all: bool = False) -> list[dict[str, Any]]:
    return [account()]


def account_set(name: str | None = None) -> None:
    return None


def account_token(
    resource: str | None = None, resource_type: str | None = None, scope: str | None = None, tenant: str | None = None
) -> dict[str, Any]:
    return {
        "accessToken": "local",
        "expiresOn": NOT_SOON,
        "expires_on": 4102444799,
        "subscription": NOBODY,
        "tenant": NOBODY,
        "tokenType": "Bearer",
    }


def configure(defaults: list[str] | None = None, list_defaults: bool = False, scope: str = "global") -> Any:
    told = dict(pair.partition("=")[::2] for pair in defaults or [])
    for pair in defaults or []:
        if "=" not in pair:
            raise UserError(f"configure: --defaults {pair}: expected NAME=VALUE")
    if told:
        remember(told)
    return listed_defaults() if list_defaults else None


def config_get(key: str | None = None, local: bool = False) -> Any:
    if key is None:
        return {"defaults": listed_defaults()}
    section, _, name = key.partition(".")
    if section != "defaults":
        raise UserError(f"config get {key}: the stand-in keeps defaults.NAME only")
    found = [each for each in listed_defaults() if not name or each["name"] == name]
    if name and not found:
        raise UserError(f"config get {key}: it is not set; `az config set {key}=VALUE` sets it")
    return found[0] if name else found


def config_set(key_value: list[str], local: bool = False) -> None:
    for pair in key_value:
        if "=" not in pair:
            raise UserError(f"config set {pair}: expected SECTION.NAME=VALUE")
    remember(
        {
            key.removeprefix("defaults."): value
            for key, _, value in (pair.partition("=") for pair in key_value)
            if key.startswith("defaults.")
        }
    )


def defaults_file() -> Path:
    return Workspace.find().root / "az.json"


def known_defaults() -> dict[str, str]:
    """What `az configure --defaults` was last told in this workspace, and for the rest what is true of it."""
    file = defaults_file()
    told = read_json(file) if file.exists() else {}
    named = {"group": "AZURE_DEFAULTS_GROUP", "workspace": "AZURE_DEFAULTS_WORKSPACE"}
    asked = {name: os.environ[variable] for name, variable in named.items() if os.environ.get(variable)}
    return {"group": "local", "location": "local", "workspace": Workspace.find().name} | asked | told


def listed_defaults() -> list[dict[str, str]]:
    source = str(defaults_file())
    return [{"name": name, "source": source, "value": value} for name, value in known_defaults().items()]


def remember(told: dict[str, str]) -> None:
    """Keep defaults for the next command; an empty value forgets one, as in az."""
    workspace = Workspace.find()
    with workspace.lock("az"):
        file = defaults_file()
        kept = (read_json(file) if file.exists() else {}) | told
        write_json(file, {name: value for name, value in kept.items() if value})


def provider_register(namespace: str, wait: bool = False) -> None:
    return None


# ---- extensions and tools --------------------------------------------------------------------------------------------


def extension(name: str) -> dict[str, Any]:
    return {"name": name, "version": "2.0.0", "extensionType": "whl", "preview": False}


def extension_add(
    name: str | None = None,
    source: str | None = None,
    version: str | None = None,
    yes: bool = False,
    upgrade: bool = False,
    allow_preview: str | None = None,
) -> None:
    if not (name or source):
        raise UserError("extension add: --name is missing")


def extension_update(name: str, allow_preview: str | None = None) -> None:
    return None


def extension_show(name: str) -> dict[str, Any]:
    return extension(name)


def extension_list() -> list[dict[str, Any]]:
    return [extension("ml")]


def extension_remove(name: str) -> None:
    return None


def bicep_install(version: str | None = None) -> None:
    note("there is no Bicep compiler here.")


def bicep_version() -> None:
    print("Bicep CLI version 0.0.0 (local)")


def bicep_build(file: str, outfile: str | None = None, outdir: str | None = None, stdout: bool = False) -> None:
    existing(file)
    note(f"{file} was not compiled: there is no Bicep compiler here.")


def bicep_build_params(file: str, outfile: str | None = None, stdout: bool = False) -> None:
    bicep_build(file)


def bicep_lint(file: str, diagnostics_format: str | None = None) -> None:
    bicep_build(file)


def version() -> dict[str, Any]:
    return {"azure-cli": "2.0.0", "azure-cli-core": "2.0.0", "extensions": {"ml": "2.0.0"}}


# ---- what a subscription holds ---------------------------------------------------------------------------------------


def group(name: str, location: str = "local") -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{NOBODY}/resourceGroups/{name}",
        "location": location,
        "name": name,
        "properties": {"provisioningState": "Succeeded"},
        "type": "Microsoft.Resources/resourceGroups",
    }


def group_create(name: str, location: str, tags: list[str] | None = None) -> dict[str, Any]:
    return group(name, location)


def group_show(name: str | None = None) -> dict[str, Any]:
    known = known_defaults()
    return group(name or known["group"], known["location"])


def group_exists(name: str) -> bool:
    return True


def group_delete(name: str, yes: bool = False, no_wait: bool = False) -> None:
    note("no group was deleted: the workspace is a folder here, and `aml down` stops what runs of it.")


def deployment(name: str | None, location: str = "local") -> dict[str, Any]:
    name = name or "main"
    return {
        "id": f"/subscriptions/{NOBODY}/providers/Microsoft.Resources/deployments/{name}",
        "location": location,
        "name": name,
        "properties": {"outputs": {}, "provisioningState": "Succeeded"},
        "type": "Microsoft.Resources/deployments",
    }


def deployment_create(
    location: str,
    template_file: str | None = None,
    name: str | None = None,
    parameters: list[str] | None = None,
    no_prompt: str | None = None,
) -> dict[str, Any]:
    template(template_file, parameters)
    note("nothing was provisioned: this machine is the workspace.")
    return deployment(name, location)


def deployment_what_if(
    location: str,
    template_file: str | None = None,
    name: str | None = None,
    parameters: list[str] | None = None,
    result_format: str | None = None,
    exclude_change_types: list[str] | None = None,
    no_pretty_print: bool = False,
    no_prompt: str | None = None,
) -> dict[str, Any] | None:
    template(template_file, parameters)
    if no_pretty_print:
        return {"changes": [], "error": None, "status": "Succeeded"}
    print("Resource changes: no change.")
    return None


def deployment_show(name: str) -> dict[str, Any]:
    return deployment(name)


def template(file: str | None, parameters: list[str] | None) -> None:
    """Look for the files a deployment names. Raises UserError."""
    files = [each.removeprefix("@") for each in parameters or [] if "=" not in each and not each.startswith("{")]
    if not (file or any(each.endswith(".bicepparam") for each in files)):
        raise UserError("deployment: give a --template-file, or --parameters with a .bicepparam file")
    for each in filter(None, [file, *files]):
        existing(each)


def existing(file: str) -> None:
    if not Path(file).is_file():
        raise UserError(f"{file}: there is no such file")


COMMANDS: dict[str, Callable[..., Any]] = {
    "login": login,
    "logout": logout,
    "account show": account_show,
    "account list": account_list,
    "account set": account_set,
    "account get-access-token": account_token,
    "ad signed-in-user show": signed_in_user,
    "config get": config_get,
    "config set": config_set,
    "configure": configure,
    "provider register": provider_register,
    "extension add": extension_add,
    "extension update": extension_update,
    "extension show": extension_show,
    "extension list": extension_list,
    "extension remove": extension_remove,
    "bicep install": bicep_install,
    "bicep upgrade": bicep_install,
    "bicep version": bicep_version,
    "bicep build": bicep_build,
    "bicep build-params": bicep_build_params,
    "bicep lint": bicep_lint,
    "version": version,
    "group create": group_create,
    "group show": group_show,
    "group exists": group_exists,
    "group delete": group_delete,
    "deployment sub create": deployment_create,
    "deployment sub validate": deployment_create,
    "deployment sub what-if": deployment_what_if,
    "deployment sub show": deployment_show,
}
