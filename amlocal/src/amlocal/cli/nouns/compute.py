"""`aml compute`: register, change, show, list, start and stop compute targets."""

from pathlib import Path
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, ignored, no_wait, prices_file, shared
from amlocal.cli.printing import described, described_all, finished, note, plain, wait
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, changed, update_arguments
from amlocal.core.errors import UserError

COLUMNS = "[].{Name:name, Type:type, Size:size, MinInstances:min_instances, MaxInstances:max_instances}"


USAGE_COLUMNS = "[].{Name:name.localized_value, Used:current_value, Limit:limit}"


def create(
    cmd: CLICommand,
    file: str | None = None,
    name: str | None = None,
    type: str | None = None,
    size: str | None = None,
    tier: str | None = None,
    min_instances: int | None = None,
    max_instances: int | None = None,
    idle_time_before_scale_down: int | None = None,
    location: str | None = None,
    description: str | None = None,
    tags: dict[str, str] | None = None,
    identity_type: str | None = None,
    user_assigned_identities: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
    no_wait: bool = False,
    prices: str | None = None,
) -> dict[str, Any] | None:
    flags = given(
        name=name,
        type=type,
        size=size,
        tier=tier,
        min_instances=min_instances,
        max_instances=max_instances,
        idle_time_before_scale_down=idle_time_before_scale_down,
        location=location,
        description=description,
        tags=tags,
        identity=_identity(identity_type, user_assigned_identities),
    )
    client = target.client()
    compute = client.compute
    entity = load("compute", file, [*(params_override or []), *flags])
    if target.is_azure():
        from amlocal.azure.costs import tell_cluster

        if any(each.name == entity.name for each in compute.list()):
            # Azure would take it for another one, without the identity and the tags that the deployment gave it.
            raise UserError(f"compute {entity.name} exists already; change it with `az ml compute update`")
        tell_cluster(client, entity, Path(prices) if prices else None, lambda text: note(cmd.cli_ctx, text))
    return finished(compute, compute.begin_create_or_update(entity), no_wait)


def show(name: str) -> dict[str, Any]:
    return described(target.client().compute, name)


def list_all(max_results: int | None = None, type: str | None = None) -> list[dict[str, Any]]:
    targets = described_all(target.client().compute, None if type else max_results)
    return [one for one in targets if not type or str(one.get("type")).lower() == type][:max_results]


def update(
    name: str,
    min_instances: int | None = None,
    max_instances: int | None = None,
    idle_time_before_scale_down: int | None = None,
    tags: dict[str, str] | None = None,
    identity_type: str | None = None,
    user_assigned_identities: str | None = None,
    changes: Changes | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    flags = given(
        min_instances=min_instances,
        max_instances=max_instances,
        idle_time_before_scale_down=idle_time_before_scale_down,
        tags=tags,
        identity=_identity(identity_type, user_assigned_identities),
    )
    told = changed(target.client().compute, name, changes, flags, "begin_update")
    return None if no_wait else told


def _identity(type: str | None, user_assigned: str | None) -> dict[str, Any] | None:
    """The `identity` of a spec for the two flags; None if neither is given. Raises UserError."""
    if type is None and user_assigned is None:
        return None
    if (type == "user_assigned") != bool(user_assigned):
        raise UserError("compute: --identity-type user_assigned and --user-assigned-identities go together")
    if not user_assigned:
        return {"type": type}
    return {"type": type, "user_assigned_identities": [{"resource_id": id.strip()} for id in user_assigned.split(",")]}


def start(name: str, no_wait: bool = False) -> None:
    wait(target.client().compute.begin_start(name), no_wait)


def stop(name: str, no_wait: bool = False) -> None:
    wait(target.client().compute.begin_stop(name), no_wait)


def restart(name: str, no_wait: bool = False) -> None:
    wait(target.client().compute.begin_restart(name), no_wait)


def list_nodes(name: str) -> list[dict[str, Any]]:
    compute = target.client().compute
    if hasattr(compute, "nodes"):  # without azure-ai-ml, which takes seconds
        return compute.nodes(name)
    return [plain(node) for node in compute.list_nodes(name)]


def list_sizes(location: str | None = None, type: str | None = None) -> list[dict[str, Any]]:
    compute = target.client().compute
    if hasattr(compute, "sizes"):
        return compute.sizes()
    return [plain(size) for size in compute.list_sizes(location=location, compute_type=type)]


def delete(name: str, no_wait: bool = False) -> None:
    wait(target.client().compute.begin_delete(name), no_wait)


def list_usage(location: str | None = None) -> list[dict[str, Any]]:
    return [usage(each) for each in target.client().compute.list_usage(location=location)]


def usage(entity: Any) -> dict[str, Any]:
    """What Azure answered: azure-ai-ml keeps it under Azure's names beside its own, which stay None."""
    answer = {key: value for key, value in vars(entity).items() if not key.startswith("_")}
    name = answer.get("name")
    named = name if isinstance(name, dict) else vars(name) if name is not None else {}
    used = answer.get("currentValue", answer.get("current_value"))
    return {
        "current_value": used,
        "id": answer.get("id"),
        "limit": answer.get("limit"),
        "name": {
            "localized_value": named.get("localizedValue", named.get("localized_value")),
            "value": named.get("value"),
        },
        "type": answer.get("type"),
        "unit": answer.get("unit"),
    }


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "compute", "amlocal.cli.nouns.compute#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("delete", "delete", confirmation="Are you sure you want to delete this compute target?")
        group.command("update", "update")
        group.command("start", "start")
        group.command("stop", "stop")
        group.command("restart", "restart")
        group.command("list-nodes", "list_nodes")
        group.command("list-sizes", "list_sizes")
        group.command("list-usage", "list_usage", table_transformer=USAGE_COLUMNS)


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "compute", "compute target", "compute targets")
    update_arguments(loader, "compute update")
    for verb in ("create", "update"):
        with ArgumentsContext(loader, f"compute {verb}") as c:
            c.argument("min_instances", type=int, help="The minimum number of nodes to use on the cluster. Default: 0.")
            c.argument("max_instances", type=int, help="The maximum number of nodes to use on the cluster. Default: 4.")
            c.argument(
                "idle_time_before_scale_down",
                options_list=["--idle-time-before-scale-down", "-d"],
                type=int,
                help="Node idle time in seconds before scaling down the cluster. Default: 120.",
            )
            c.argument(
                "identity_type",
                type=str.lower,
                choices=["system_assigned", "user_assigned"],
                help="The type of managed identity. Local target: it is kept and gives no rights.",
            )
            c.argument(
                "user_assigned_identities",
                options_list=["--user-assigned-identities", "-i"],
                help="ARM resource ids of the managed identities, with commas between them.",
            )
    with ArgumentsContext(loader, "compute create") as c:
        c.argument("name", help="Name of the compute target. Required if --file/-f is not provided.")
        c.argument(
            "type",
            options_list=["--type", "-t"],
            type=str.lower,
            choices=["amlcompute", "computeinstance"],
            help="The type of compute target. Required if --file/-f is not provided.",
        )
        c.argument("size", help="VM size to use for the compute target.")
        c.argument("tier", choices=["dedicated", "low_priority"], help="VM priority tier.")
        prices_file(c)
        for flags in (
            ("--admin-password",),
            ("--admin-username",),
            ("--enable-node-public-ip",),
            ("--ssh-key-value",),
            ("--ssh-public-access-enabled", "-p"),
            ("--subnet",),
            ("--user-object-id",),
            ("--user-tenant-id",),
            ("--vnet-name",),
        ):
            ignored(c, *flags)
    with ArgumentsContext(loader, "compute") as c:
        c.argument("location", options_list=["--location", "-l"], help="Location. Default: the workspace's.")
        no_wait(c)
    with ArgumentsContext(loader, "compute list-sizes") as c:
        c.argument("type", options_list=["--type", "-t"], help="The type of compute target.")
    with ArgumentsContext(loader, "compute list") as c:
        c.argument(
            "type",
            type=str.lower,
            choices=["amlcompute", "computeinstance", "kubernetes"],
            help="The type of compute target.",
        )


helps["compute"] = """
type: group
short-summary: Manage Azure ML compute resources.
long-summary: A compute target is remembered so that specifications can name it; every job runs on this machine.
"""
helps["compute create"] = """
type: command
short-summary: Create a compute target.
examples:
  - name: Create a compute target from a YAML specification file
    text: aml compute create --file compute.yml
  - name: Create an AmlCompute target using command options
    text: >
      aml compute create --name cpu-cluster --size Standard_D2as_v4
      --min-instances 0 --max-instances 1 --type AmlCompute
"""
helps["compute update"] = """
type: command
short-summary: Update a compute target.
examples:
  - name: Let a cluster have more nodes
    text: aml compute update --name cpu-cluster --max-instances 8
"""
for _verb in ("start", "stop", "restart"):
    helps[f"compute {_verb}"] = f"""
type: command
short-summary: {_verb.capitalize()} a ComputeInstance target.
long-summary: Here it changes what is remembered of its state.
examples:
  - name: {_verb.capitalize()} a compute instance
    text: aml compute {_verb} --name my-instance
"""
helps["compute list-nodes"] = """
type: command
short-summary: List node details for a compute target.
long-summary: There is one, this machine.
examples:
  - name: List the nodes
    text: aml compute list-nodes --name cpu-cluster
"""
helps["compute list-sizes"] = """
type: command
short-summary: List the VM sizes available.
long-summary: There is one, this machine; with --target azure it is Azure's answer.
examples:
  - name: List the sizes
    text: aml compute list-sizes -o table
"""
helps["compute delete"] = """
type: command
short-summary: Delete a compute target.
examples:
  - name: Delete a compute target without being asked
    text: aml compute delete --name cpu-cluster --yes
"""
helps["compute list-usage"] = """
type: command
short-summary: List the usage of the compute quota by VM family.
long-summary: On this machine there is one family, its cores; with --target azure it is Azure's answer.
examples:
  - name: What is used and what the limits are
    text: aml compute list-usage -o table
"""
helps["compute show"] = """
type: command
short-summary: Show details for a compute target.
examples:
  - name: Show details for a compute target
    text: aml compute show --name cpu-cluster
"""
helps["compute list"] = """
type: command
short-summary: List the compute targets in a workspace.
examples:
  - name: List the compute targets
    text: aml compute list -o table
"""
