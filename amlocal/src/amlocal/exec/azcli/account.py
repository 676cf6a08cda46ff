"""Who is signed in, what is configured, and which tools are there."""

from functools import partial
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.workspace import NOBODY
from amlocal.exec.azcli import records
from amlocal.exec.azcli.given import Given, Handler, UsageError, nothing
from amlocal.exec.azcli.notes import without_effect
from amlocal.exec.azcli.records import Record, known_defaults

NOT_SOON = "2099-12-31 23:59:59.000000"
CLOUD = {"isActive": True, "name": "AzureCloud", "profile": "latest"}
# https://learn.microsoft.com/azure/reliability/regions-list: where Azure Machine Learning is, by name as az writes it.
REGIONS = (
    "Australia East", "Australia Southeast", "Brazil South", "Canada Central", "Canada East", "Central India",
    "Central US", "East Asia", "East US", "East US 2", "France Central", "Germany West Central", "Italy North",
    "Japan East", "Japan West", "Korea Central", "North Central US", "North Europe", "Norway East", "Poland Central",
    "Qatar Central", "South Africa North", "South Central US", "South India", "Southeast Asia", "Spain Central",
    "Sweden Central", "Switzerland North", "UAE North", "UK South", "UK West", "West Central US", "West Europe",
    "West US", "West US 2", "West US 3",
)  # fmt: skip


def account(_: Given) -> Record:
    return {
        "environmentName": "AzureCloud",
        "homeTenantId": NOBODY,
        "id": NOBODY,
        "isDefault": True,
        "managedByTenants": [],
        "name": "local",
        "state": "Enabled",
        "tenantId": NOBODY,
        "user": {"name": "local", "type": "user"},
    }


def accounts(given: Given) -> list[Record]:
    return [account(given)]


def signed_in_user(_: Given) -> Record:
    return {"displayName": "local", "id": NOBODY, "objectId": NOBODY, "userPrincipalName": "local"}


def access_token(_: Given) -> Record:
    return {
        "accessToken": "local",
        "expiresOn": NOT_SOON,
        "expires_on": 4102444799,
        "subscription": NOBODY,
        "tenant": NOBODY,
        "tokenType": "Bearer",
    }


def locations(_: Given) -> list[Record]:
    return [
        {
            "displayName": region,
            "id": f"/subscriptions/{NOBODY}/locations/{region.replace(' ', '').lower()}",
            "metadata": {"regionType": "Physical"},
            "name": region.replace(" ", "").lower(),
            "regionalDisplayName": region,
        }
        for region in REGIONS
    ]


def cloud(_: Given) -> Record:
    return {**CLOUD, "endpoints": {"resourceManager": "https://management.azure.com/"}}


def configure(given: Given) -> Any:
    pairs = given.texts("defaults")
    for pair in pairs:
        if "=" not in pair:
            raise UserError(f"configure: --defaults {pair}: expected NAME=VALUE")
    if pairs:
        records.remember_defaults(dict(pair.partition("=")[::2] for pair in pairs))
    return listed_defaults() if given.switch("list_defaults") else None


def listed_defaults() -> list[dict[str, str]]:
    source = str(records.defaults_file())
    return [{"name": name, "source": source, "value": value} for name, value in known_defaults().items()]


def config_get(given: Given) -> Any:
    key = next(iter(given.texts("key")), None)
    if key is None:
        return {"defaults": listed_defaults()}
    section, _, name = key.partition(".")
    if section != "defaults":
        raise UserError(f"config get {key}: the stand-in keeps defaults.NAME only")
    found = [each for each in listed_defaults() if not name or each["name"] == name]
    if name and not found:
        raise UserError(f"config get {key}: it is not set; `az config set {key}=VALUE` sets it")
    return found[0] if name else found


def config_set(given: Given) -> None:
    pairs = [pair.partition("=") for pair in given.texts("key_value")]
    for key, equals, _ in pairs:
        if not equals:
            raise UserError(f"config set {key}: expected SECTION.NAME=VALUE")
    _remember_section({key: value for key, _, value in pairs})


def config_unset(given: Given) -> None:
    _remember_section(dict.fromkeys(given.texts("key"), ""))


def _remember_section(told: dict[str, str]) -> None:
    """Defaults are kept; other settings (`extension.use_dynamic_install`) are the Azure CLI's own business."""
    prefix = "defaults."
    records.remember_defaults(
        {key.removeprefix(prefix): value for key, value in told.items() if key.startswith(prefix)}
    )


def extension(name: str) -> Record:
    return {"extensionType": "whl", "name": name, "preview": False, "version": "2.0.0"}


def extension_add(given: Given) -> None:
    if not (given.text("name") or given.text("source")):
        raise UsageError("extension add: give --name or --source")


def version(_: Given) -> Record:
    return {"azure-cli": "2.0.0", "azure-cli-core": "2.0.0", "extensions": {"ml": "2.0.0"}}


def provider(given: Given) -> Record:
    name = given.required("namespace")
    return {
        "id": f"/subscriptions/{NOBODY}/providers/{name}",
        "namespace": name,
        "registrationState": "Registered",
        "resourceTypes": [],
    }


def providers(_: Given) -> list[Record]:
    kinds = {each["type"].partition("/")[0] for each in records.standing("local")}
    return [provider(Given({"namespace": [name]})) for name in sorted(kinds)]


def feature(given: Given) -> Record:
    namespace, name = given.required("namespace"), given.required("name")
    return {
        "id": f"/subscriptions/{NOBODY}/providers/Microsoft.Features/providers/{namespace}/features/{name}",
        "name": f"{namespace}/{name}",
        "properties": {"state": "Registered"},
        "type": "Microsoft.Features/providers/features",
    }


COMMANDS: dict[str, Handler] = {
    "login": accounts,
    "logout": nothing,
    "account clear": nothing,
    "account show": account,
    "account list": accounts,
    "account set": nothing,
    "account get-access-token": access_token,
    "account list-locations": locations,
    "ad signed-in-user show": signed_in_user,
    "cloud show": cloud,
    "cloud set": nothing,
    "config get": config_get,
    "config set": config_set,
    "config unset": config_unset,
    "configure": configure,
    "extension add": extension_add,
    "extension update": nothing,
    "extension show": lambda given: extension(given.required("name")),
    "extension list": lambda _: [extension("ml")],
    "extension remove": nothing,
    "feature register": feature,
    "feature show": feature,
    "provider register": nothing,
    "provider unregister": nothing,
    "provider show": provider,
    "provider list": providers,
    "upgrade": partial(without_effect, "there is no Azure CLI to upgrade here."),
    "version": version,
}
