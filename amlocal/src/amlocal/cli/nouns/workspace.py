"""`aml workspace`: create, change, show, list and delete workspaces."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, ignored, no_wait, shared
from amlocal.cli.printing import described, described_all, finished, wait
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, changed, update_arguments

COLUMNS = "[].{Name:name, ResourceGroup:resource_group, Location:location}"

# What a workspace in Azure is made of.
RESOURCES = (
    ("--allow-roleassignment-on-rg", "-r"),
    ("--application-insights", "-a"),
    ("--container-registry", "-c"),
    ("--image-build-compute", "-i"),
    ("--managed-network", "-m"),
    ("--primary-user-assigned-identity", "-p"),
    ("--public-network-access",),
    ("--system-datastores-auth-mode", "-d"),
    ("--update-dependent-resources", "-u"),
)
CREATE_ONLY = (
    ("--default-resource-group",),
    ("--enable-data-isolation", "-e"),
    ("--hub-id",),
    ("--key-vault", "-k"),
    ("--kind",),
    ("--provision-network-now",),
    ("--storage-account", "-s"),
)


def create(
    file: str | None = None,
    name: str | None = None,
    location: str | None = None,
    description: str | None = None,
    display_name: str | None = None,
    tags: dict[str, str] | None = None,
    params_override: list[dict[str, Any]] | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    flags = given(name=name, location=location, description=description, display_name=display_name, tags=tags)
    entity = load("workspace", file, [*(params_override or []), *flags])
    workspaces = target.client(workspace=entity.name).workspaces
    return finished(workspaces, workspaces.begin_create(entity), no_wait)


def show(name: str | None = None) -> dict[str, Any]:
    client = target.client(workspace=name)
    return described(client.workspaces, name or client.workspace_name)


def list_all(max_results: int | None = None) -> list[dict[str, Any]]:
    client = target.client(workspace=target.ANY)
    scope = None if client.resource_group_name else "subscription"
    return described_all(client.workspaces, max_results, scope=scope)


def update(
    name: str | None = None,
    file: str | None = None,
    description: str | None = None,
    display_name: str | None = None,
    changes: Changes | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    flags = given(description=description, display_name=display_name)
    if file:
        entity = load("workspace", file, [*(changes or Changes()).overrides(), *flags, *given(name=name)])
        workspaces = target.client(workspace=entity.name).workspaces
        return finished(workspaces, workspaces.begin_update(entity), no_wait)
    client = target.client(workspace=name)
    told = changed(client.workspaces, name or client.workspace_name, changes, flags, "begin_update")
    return None if no_wait else told


def sync_keys(name: str, no_wait: bool = False) -> None:
    wait(target.client(workspace=name).workspaces.begin_sync_keys(name), no_wait)


def delete(name: str, all_resources: bool = False, permanently_delete: bool = False, no_wait: bool = False) -> None:
    deletion = target.client(workspace=name).workspaces.begin_delete(
        name, delete_dependent_resources=all_resources, permanently_delete=permanently_delete
    )
    wait(deletion, no_wait)


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "workspace", "amlocal.cli.nouns.workspace#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("sync-keys", "sync_keys")
        group.command("delete", "delete", confirmation="Are you sure you want to delete this workspace?")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "workspace", "workspace", "workspaces")
    with ArgumentsContext(loader, "workspace") as c:
        no_wait(c)
    with ArgumentsContext(loader, "workspace show") as c:
        c.argument("name", options_list=["--name", "-n"], help="Name of the workspace. Default: the current one.")
    update_arguments(loader, "workspace update")
    with ArgumentsContext(loader, "workspace list") as c:
        ignored(c, "--filtered-kinds")
    for verb, flags in (("create", [*RESOURCES, *CREATE_ONLY]), ("update", [*RESOURCES, ("--network-acls",)])):
        with ArgumentsContext(loader, f"workspace {verb}") as c:
            c.argument("display_name", help="Display name of the workspace.")
            for names in flags:
                ignored(c, *names)
    with ArgumentsContext(loader, "workspace create") as c:
        c.argument("location", options_list=["--location", "-l"], help="The location of the workspace.")
    with ArgumentsContext(loader, "workspace delete") as c:
        c.argument("all_resources", help="Delete the resources which this workspace depends on, too.")
        c.argument(
            "permanently_delete",
            options_list=["--permanently-delete", "-p"],
            help="Workspaces are soft-deleted by default, and their names stay taken; this removes one for good.",
        )


helps["workspace"] = """
type: group
short-summary: Manage Azure ML workspaces.
long-summary: >
  The workspaces lie in the folder `.amlocal` in the nearest parent folder that has one, else in the
  current folder; the environment variable AMLOCAL_HOME names another. Where there are several, --workspace-name,
  AZUREML_ARM_WORKSPACE_NAME or AZURE_DEFAULTS_WORKSPACE choose one; without these it is the first.
"""
helps["workspace create"] = """
type: command
short-summary: Create a workspace.
long-summary: >
  Any command that writes something makes the first workspace of this folder. This one gives it a name;
  with another name it makes another workspace.
examples:
  - name: Create a workspace
    text: aml workspace create --name my-workspace
"""
helps["workspace show"] = """
type: command
short-summary: Show details for a workspace.
examples:
  - name: Show the workspace the commands in this folder use
    text: aml workspace show
"""
helps["workspace list"] = """
type: command
short-summary: List workspaces.
examples:
  - name: List the workspaces
    text: aml workspace list -o table
"""
helps["workspace update"] = """
type: command
short-summary: Update a workspace.
long-summary: What can be updated here is its description, display name and tags.
examples:
  - name: Describe the workspace of this folder
    text: aml workspace update --name my-workspace --description "Models of the north, trained here"
"""
helps["workspace sync-keys"] = """
type: command
short-summary: Sync keys for a workspace.
long-summary: Here there are none; with --target azure it is Azure's operation.
examples:
  - name: Sync the keys of a workspace
    text: aml workspace sync-keys --name my-workspace
"""
helps["workspace delete"] = """
type: command
short-summary: Delete a workspace.
long-summary: >
  Ends what runs in it and removes its files, with all jobs, models, endpoints and collected data. The
  other workspaces and the registries of the folder stay.
examples:
  - name: Delete a workspace without being asked
    text: aml workspace delete --name my-workspace --yes
"""
