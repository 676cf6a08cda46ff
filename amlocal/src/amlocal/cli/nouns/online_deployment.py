"""`aml online-deployment`: put models behind online endpoints."""

from pathlib import Path
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, ignored, no_wait, positive, prices_file, shared
from amlocal.cli.endpoint_verbs import changed, update_deployment
from amlocal.cli.nouns.online_endpoint import everything_is_local, refuse_no_wait
from amlocal.cli.printing import described, described_all, note, wait
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, update_arguments
from amlocal.core.errors import UserError

COLUMNS = (
    "[].{Name:name, State:provisioning_state, Health:health.status, Instances:instance_count, Endpoint:endpoint_name}"
)
KIND = "online-deployment"

# What of a deployment can be set after it was made: everything but its name and what only its state tells.
FIELDS = (
    "name",
    "endpoint_name",
    "app_insights_enabled",
    "code_configuration",
    "data_collector",
    "description",
    "environment",
    "environment_variables",
    "instance_count",
    "instance_type",
    "liveness_probe",
    "model",
    "properties",
    "readiness_probe",
    "request_settings",
    "scale_settings",
    "tags",
)


def create(
    cmd: CLICommand,
    file: str,
    name: str | None = None,
    endpoint_name: str | None = None,
    all_traffic: bool = False,
    params_override: list[dict[str, Any]] | None = None,
    no_wait: bool = False,
    prices: str | None = None,
    vscode_debug: str = "false",
) -> dict[str, Any] | None:
    options = _debug_options(vscode_debug)
    overrides = [*(params_override or []), *given(name=name, endpoint_name=endpoint_name)]
    if target.is_auto():
        refuse_no_wait(no_wait)
        return _create_where_there_is_room(cmd, file, overrides, all_traffic, prices)
    client = target.client()
    if target.is_azure():
        _tell_cost(cmd, client, load(KIND, file, overrides), prices)
    return _create(cmd, client, file, overrides, all_traffic, no_wait, options)


def _debug_options(vscode_debug: str) -> dict[str, Any]:
    if vscode_debug == "false":
        return {}
    target.debugged_here("--vscode-debug")
    return {"vscode_debug": True}


def _tell_cost(cmd: CLICommand, azure: Any, entity: Any, prices: str | None) -> None:
    from amlocal.azure.costs import tell_deployment

    tell_deployment(azure, entity, Path(prices) if prices else None, lambda text: note(cmd.cli_ctx, text))


def _create_where_there_is_room(
    cmd: CLICommand, file: str, overrides: list[dict[str, Any]], all_traffic: bool, prices: str | None
) -> dict[str, Any] | None:
    from amlocal.azure import fallback

    azure, local = target.azure(), target.local()
    entity = load(KIND, file, overrides)
    _tell_cost(cmd, azure, entity, prices)

    def say(text: str) -> None:
        note(cmd.cli_ctx, text)

    def in_azure() -> dict[str, Any] | None:
        fallback.require_endpoint(azure, local, entity.endpoint_name)
        fallback.require_cores(azure, Path(file), overrides, say)
        return _create(cmd, azure, file, overrides, all_traffic)

    def here(_: str) -> dict[str, Any] | None:
        say(fallback.batch_instead(Path(file)))
        fallback.have_endpoint(local, entity.endpoint_name)
        model = fallback.bring_model(azure, local, entity.model, say)
        named = [] if model is entity.model else [{"model": model}]
        return _create(cmd, local, file, [*overrides, *named], all_traffic)

    return fallback.either(in_azure, here, say)


def _create(
    cmd: CLICommand,
    client: Any,
    file: str,
    overrides: list[dict[str, Any]],
    all_traffic: bool,
    no_wait: bool = False,
    options: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    deployments = client.online_deployments
    entity = load(KIND, file, overrides)
    for there in described_all(deployments, endpoint_name=entity.endpoint_name):
        if there["name"] == entity.name and there["provisioning_state"] != "Failed":
            raise UserError(
                f"deployment {entity.name} of endpoint {entity.endpoint_name} exists already;"
                " change it with `aml online-deployment update`"
            )
    note(cmd.cli_ctx, f"Creating deployment {entity.name} of endpoint {entity.endpoint_name} ...")
    creation = deployments.begin_create_or_update(entity, **(options or {}))
    if no_wait and not all_traffic:  # traffic can go to a deployment that is ready only
        return None
    creation.result()
    if all_traffic:
        endpoint = client.online_endpoints.get(entity.endpoint_name)
        endpoint.traffic = {entity.name: 100}
        client.online_endpoints.begin_create_or_update(endpoint).result()
    return described(deployments, entity.name, endpoint_name=entity.endpoint_name)


def show(name: str, endpoint_name: str) -> dict[str, Any]:
    return described(target.client().online_deployments, name, endpoint_name=endpoint_name)


def list_all(endpoint_name: str) -> list[dict[str, Any]]:
    return described_all(target.client().online_deployments, endpoint_name=endpoint_name)


def update(
    file: str | None = None,
    name: str | None = None,
    endpoint_name: str | None = None,
    changes: Changes | None = None,
    no_wait: bool = False,
    vscode_debug: str = "false",
) -> dict[str, Any] | None:
    return update_deployment(
        target.client().online_deployments,
        file,
        name,
        endpoint_name,
        changes,
        no_wait,
        read=lambda file, overrides: load(KIND, file, overrides),
        change=lambda now, changes: changed(KIND, now, changes, FIELDS),
        options=_debug_options(vscode_debug),
    )


def delete(name: str, endpoint_name: str, no_wait: bool = False) -> None:
    wait(target.client().online_deployments.begin_delete(name, endpoint_name), no_wait)


def get_logs(name: str, endpoint_name: str, lines: int = 5000, container: str = "inference-server") -> None:
    more = {"container_type": container} if target.is_azure() else {}  # here there is one log
    print(target.client().online_deployments.get_logs(name, endpoint_name, lines, **more), end="")


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "online-deployment", "amlocal.cli.nouns.online_deployment#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("delete", "delete", confirmation="Are you sure you want to delete this deployment?")
        group.command("get-logs", "get_logs")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "online-deployment", "deployment", "deployments")
    with ArgumentsContext(loader, "online-deployment") as c:
        c.argument("endpoint_name", options_list=["--endpoint-name", "-e"], help="Name of the online endpoint.")
    for verb in ("create", "show", "list", "update", "delete", "get-logs"):
        with ArgumentsContext(loader, f"online-deployment {verb}") as c:
            everything_is_local(c)
    with ArgumentsContext(loader, "online-deployment") as c:
        no_wait(c)
    for verb in ("create", "update"):
        with ArgumentsContext(loader, f"online-deployment {verb}") as c:
            ignored(c, "--skip-script-validation", value=False)
            ignored(c, "--local-enable-gpu")
            c.argument(
                "vscode_debug",
                nargs="?",
                const="true",
                choices=["true", "false"],
                help="The worker waits until an editor has attached, before it loads the scoring script; one instance, "
                "no timeouts. Local target only.",
            )
    for verb in ("create", "show", "update"):
        with ArgumentsContext(loader, f"online-deployment {verb}") as c:
            ignored(c, "--web", value=False)
    update_arguments(loader, "online-deployment update")
    with ArgumentsContext(loader, "online-deployment create") as c:
        c.argument(
            "all_traffic",
            action="store_true",
            help="Sets endpoint traffic 100% to this deployment after successful creation.",
        )
        prices_file(c)
        ignored(c, "--package-model", value=False)
    with ArgumentsContext(loader, "online-deployment get-logs") as c:
        c.argument("lines", options_list=["--lines", "-l"], type=positive, help="The maximum number of lines to tail.")
        c.argument(
            "container",
            options_list=["--container", "-c"],
            choices=["inference-server", "storage-initializer"],
            help="Whose log. Local target: there is one log.",
        )


helps["online-deployment"] = """
type: group
short-summary: Manage Azure ML online deployments.
long-summary: >
  A deployment is a model behind an endpoint: `instance_count` processes that run its scoring script as Azure's server
  does, in the deployment's environment.
"""
helps["online-deployment create"] = """
type: command
short-summary: Create a deployment. If the deployment already exists, it will fail.
long-summary: >
  Returns when it is ready to serve. To change an existing deployment use `aml online-deployment update`; one whose
  creation failed may be created again.
examples:
  - name: Create a deployment from a YAML specification file
    text: aml online-deployment create --file deployment.yaml
  - name: Create it and debug its scoring script
    text: aml online-deployment create --file deployment.yaml --all-traffic --vscode-debug
  - name: Create it and send it all traffic
    text: aml online-deployment create --file deployment.yaml --all-traffic
"""
helps["online-deployment show"] = """
type: command
short-summary: Show a deployment.
long-summary: "`health` is an addition to what `az ml` shows: how many instances are ready in this moment."
examples:
  - name: Show a deployment
    text: aml online-deployment show --name my-deployment --endpoint-name my-endpoint
"""
helps["online-deployment list"] = """
type: command
short-summary: List deployments.
examples:
  - name: List the deployments of an endpoint
    text: aml online-deployment list --endpoint-name my-endpoint -o table
"""
helps["online-deployment update"] = """
type: command
short-summary: Update a deployment.
long-summary: The deployment serves as it is until the new one is ready, and goes on serving if that fails.
examples:
  - name: Update a deployment from a YAML specification file
    text: aml online-deployment update --file deployment.yaml
  - name: Run two instances of it
    text: aml online-deployment update --name my-deployment --endpoint-name my-endpoint --set instance_count=2
"""
helps["online-deployment delete"] = """
type: command
short-summary: Delete a deployment.
examples:
  - name: Delete a deployment without being asked
    text: aml online-deployment delete --name my-deployment --endpoint-name my-endpoint --yes
"""
helps["online-deployment get-logs"] = """
type: command
short-summary: Get the logs for an online deployment.
examples:
  - name: Get the last 100 lines
    text: aml online-deployment get-logs --name my-deployment --endpoint-name my-endpoint --lines 100
"""
