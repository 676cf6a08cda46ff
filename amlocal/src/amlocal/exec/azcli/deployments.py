"""Deployments of templates: the files are looked for, nothing is provisioned."""

from functools import partial
from pathlib import Path

from amlocal.core.errors import NotFound, UserError
from amlocal.core.workspace import NOBODY
from amlocal.exec.azcli import records
from amlocal.exec.azcli.given import Given, Handler, existing
from amlocal.exec.azcli.notes import note, without_effect
from amlocal.exec.azcli.records import Record


def deployment_create(scope: str, given: Given) -> Record:
    template(given)
    note("nothing was provisioned: this machine is the workspace.")
    made = _deployment(scope, given)
    with records.changed() as kept:
        kept["resources"][made["id"].lower()] = made
    return made


def _deployment(scope: str, given: Given) -> Record:
    file = given.text("template_file")
    name = given.text("name") or (Path(file).stem if file else "main")
    group = given.required("resource_group") if scope == "group" else None
    place = records.group_id(group) if group else f"/subscriptions/{NOBODY}"
    return {
        "id": f"{place}/providers/Microsoft.Resources/deployments/{name}",
        "location": None if group else given.text("location"),
        "name": name,
        "properties": {"outputs": {}, "provisioningState": "Succeeded"},
        "resourceGroup": group or "",
        "type": "Microsoft.Resources/deployments",
    }


def deployment_what_if(scope: str, given: Given) -> Record | None:
    template(given)
    if given.switch("no_pretty_print"):
        return {"changes": [], "error": None, "status": "Succeeded"}
    print("Resource changes: no change.")
    return None


def deployment_validate(scope: str, given: Given) -> Record:
    template(given)
    return _deployment(scope, given)


def deployment_show(scope: str, given: Given) -> Record:
    wanted = _deployment(scope, given)
    return records.read()["resources"].get(wanted["id"].lower()) or _missing_deployment(wanted["name"])


def _missing_deployment(name: str) -> Record:
    raise NotFound(f"(DeploymentNotFound) Deployment '{name}' could not be found.")


def deployment_list(scope: str, given: Given) -> list[Record]:
    group = given.required("resource_group").lower() if scope == "group" else ""
    kept = records.read()["resources"].values()
    return [
        each
        for each in kept
        if each["type"] == "Microsoft.Resources/deployments" and each["resourceGroup"].lower() == group
    ]


def template(given: Given) -> None:
    """Look for the files a deployment names. Raises UserError."""
    file = given.text("template_file")
    files = [
        each.removeprefix("@") for each in given.texts("parameters") if "=" not in each and not each.startswith("{")
    ]
    remote = given.text("template_uri") or given.text("template_spec")
    if not (file or remote or any(each.endswith(".bicepparam") for each in files)):
        raise UserError("deployment: give a --template-file, or --parameters with a .bicepparam file")
    for each in filter(None, [file, *files]):
        if "://" not in each:
            existing(each)


def bicep_version(_: Given) -> None:
    print("Bicep CLI version 0.0.0 (local)")


def bicep(given: Given) -> None:
    file = given.required("file")
    existing(file)
    note(f"{file} was not compiled: there is no Bicep compiler here.")


COMMANDS: dict[str, Handler] = {
    "bicep install": partial(without_effect, "there is no Bicep compiler here."),
    "bicep upgrade": partial(without_effect, "there is no Bicep compiler here."),
    "bicep version": bicep_version,
    "bicep build": bicep,
    "bicep build-params": bicep,
    "bicep lint": bicep,
    **{
        f"deployment {scope} {verb}": partial(handler, scope)
        for scope in ("group", "sub")
        for verb, handler in {
            "create": deployment_create,
            "validate": deployment_validate,
            "what-if": deployment_what_if,
            "show": deployment_show,
            "list": deployment_list,
        }.items()
    },
}
