"""A small Azure CLI that speaks to the double: what this repository's workflows ask besides `az ml`.

It stands where the real `az` stands on a runner, behind the stand-in of `aml exec --target azure`. Every command it
does not know ends with exit code 2, so that a workflow cannot lean on one that nobody has tried.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

import jmespath
import requests
from knack.output import format_tsv
from knack.util import CommandResultItem

URL = os.environ.get("AZURE_AUTHORITY_HOST", "").rstrip("/")
SUBSCRIPTION = f"/subscriptions/{os.environ.get('AZURE_SUBSCRIPTION_ID')}"
DEPLOYMENTS = f"{SUBSCRIPTION}/providers/Microsoft.Resources/deployments"


def token(arguments):
    form = f"client_id={os.environ['AZURE_CLIENT_ID']}&grant_type=client_credentials&resource={arguments.resource}"
    answer = requests.post(f"{URL}/{os.environ['AZURE_TENANT_ID']}/oauth2/token", data=form, timeout=30).json()
    return {
        "accessToken": answer["access_token"],
        "expires_on": int(time.time()) + answer["expires_in"],
        "expiresOn": "2099-01-01 00:00:00.000000",
        "tokenType": "Bearer",
    }


def arm(method, path, body=None, version="2025-04-01", **query):
    """One request to ARM and, if it takes longer, its end. Exits with what Azure says against it."""
    answer = ask(method, f"{URL}{path}", json=body, params={"api-version": version, **query})
    operation = answer.headers.get("Azure-AsyncOperation") or answer.headers.get("Location")
    state = {}
    while operation:
        again = ask("GET", operation)
        state = again.json() if again.content else {}
        if again.status_code != 202 and state.get("status") not in ("Running", "InProgress", "Accepted"):
            break
    if state.get("status") == "Failed":
        sys.exit(f"ERROR: {json.dumps(state['error'])}")
    return answer.json() if answer.content else None


def ask(method, url, **rest):
    answer = requests.request(
        method,
        url,
        timeout=30,
        headers={"Authorization": "Bearer " + token(argparse.Namespace(resource=URL))["accessToken"]},
        **rest,
    )
    if not answer.ok:
        error = answer.json()["error"]
        sys.exit(f"ERROR: ({error['code']}) {error['message']}")
    return answer


def parameters(file):
    """The part of a .bicepparam file that the environment decides, which is all that the double looks at."""
    found = re.findall(
        r"^param (\w+) = .*?readEnvironmentVariable\('(\w+)', '([^']*)'\)", file.read_text(), re.MULTILINE
    )
    return {name: {"value": os.environ.get(variable, default)} for name, variable, default in found}


def deployment(arguments):
    given = parameters(Path(arguments.parameters))
    return {"location": arguments.location, "properties": {"mode": "Incremental", "parameters": given}}


def deploy(arguments):
    arm("PUT", f"{DEPLOYMENTS}/{arguments.name}", deployment(arguments))
    return arm("GET", f"{DEPLOYMENTS}/{arguments.name}")


def what_if(arguments):
    changes = arm("POST", f"{DEPLOYMENTS}/{arguments.name}/whatIf", deployment(arguments))["properties"]["changes"]
    print("Resource and property changes are indicated with these symbols:\n  + Create\n")
    print(f"The deployment will update the following scope:\n\nScope: {SUBSCRIPTION}\n")
    for change in changes:
        if change["changeType"] not in arguments.exclude_change_types:
            print(f"  + {change['resourceId']}")
    print(f'      properties.tenantId: "{os.environ.get("TENANT")}"')  # as the real one, of a vault


def metrics(arguments):
    query = {"metricnames": arguments.metrics, "aggregation": arguments.aggregation, "timespan": arguments.offset}
    return arm(
        "GET", f"{arguments.resource}/providers/Microsoft.Insights/metrics", interval=arguments.interval, **query
    )


def purge(arguments):
    vaults = f"{SUBSCRIPTION}/providers/Microsoft.KeyVault"
    arm("POST", f"{vaults}/locations/{os.environ['AZURE_DEFAULTS_LOCATION']}/deletedVaults/{arguments.name}/purge")


def log_workspaces(arguments):
    return (
        f"{SUBSCRIPTION}/resourceGroups/{arguments.resource_group}/providers/Microsoft.OperationalInsights/workspaces"
    )


def delete_logs(arguments):
    arm("DELETE", f"{log_workspaces(arguments)}/{arguments.workspace_name}", force=str(arguments.force).lower())


# command: (what it does, the flags it takes; a flag ending in ! has no value, in + has several)
COMMANDS = {
    "login": (lambda _: [], "service-principal! username tenant federated-token"),
    "extension add": (lambda _: None, "name yes! only-show-errors!"),
    "account get-access-token": (token, "resource scope tenant"),
    "deployment sub create": (deploy, "name location parameters"),
    "deployment sub what-if": (what_if, "name location parameters exclude-change-types+"),
    "group delete": (lambda given: arm("DELETE", f"{SUBSCRIPTION}/resourceGroups/{given.name}"), "name yes!"),
    "monitor metrics list": (metrics, "resource metrics aggregation offset interval"),
    "monitor log-analytics workspace list": (
        lambda given: arm("GET", log_workspaces(given))["value"],
        "resource-group",
    ),
    "monitor log-analytics workspace delete": (delete_logs, "workspace-name resource-group force! yes!"),
    "keyvault purge": (purge, "name"),
    "bicep build": (lambda _: None, "file stdout!"),
    "bicep lint": (lambda _: None, "file"),
    "bicep build-params": (lambda _: None, "file stdout!"),
}


def main(words):
    command = next((known for known in COMMANDS if words[: known.count(" ") + 1] == known.split()), None)
    if command is None:
        sys.exit(f"ERROR: az {' '.join(words)}: not in the fake")
    function, flags = COMMANDS[command]
    parser = argparse.ArgumentParser(prog=f"az {command}", allow_abbrev=False)
    for flag in flags.split():
        how = {"action": "store_true"} if flag[-1] == "!" else {"nargs": "+" if flag[-1] == "+" else None}
        parser.add_argument(f"--{flag.rstrip('!+')}", **how)
    parser.add_argument("--query")
    parser.add_argument("--output", "-o", default="json")
    arguments = parser.parse_args(words[len(command.split()) :])
    result = function(arguments)
    if arguments.query:
        result = jmespath.search(arguments.query, result)
    if arguments.output == "tsv":
        print(format_tsv(CommandResultItem(result)), end="")
    elif arguments.output == "json" and result is not None:
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
