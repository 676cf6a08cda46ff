"""`aml workspace`: create, show, list and delete workspaces."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, no_wait, shared
from amlocal.cli.printing import described, described_all, finished
from amlocal.cli.specs import load

COLUMNS = "[].{Name:name, ResourceGroup:resource_group, Location:location}"


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


def delete(name: str, all_resources: bool = False, permanently_delete: bool = False, no_wait: bool = False) -> None:
    deletion = target.client(workspace=name).workspaces.begin_delete(
        name, delete_dependent_resources=all_resources, permanently_delete=permanently_delete
    )
    if not no_wait:
        deletion.result()


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "workspace", "amlocal.cli.workspace#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("delete", "delete", confirmation="Are you sure you want to delete this workspace?")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "workspace", "workspace", "workspaces")
    with ArgumentsContext(loader, "workspace") as c:
        no_wait(c)
    with ArgumentsContext(loader, "workspace show") as c:
        c.argument("name", options_list=["--name", "-n"], help="Name of the workspace. Default: the current one.")
    with ArgumentsContext(loader, "workspace create") as c:
        c.argument("location", options_list=["--location", "-l"], help="The location of the workspace.")
        c.argument("display_name", help="Display name of the workspace.")
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
long-summary: A workspace is the folder `.amlocal` in the nearest parent folder that has one, else in the \
  current folder; the environment variable AMLOCAL_HOME names another.
"""
helps["workspace create"] = """
type: command
short-summary: Create a workspace.
long-summary: Any command that writes something makes the workspace of this folder; this one gives it a name, too.
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
helps["workspace delete"] = """
type: command
short-summary: Delete a workspace.
long-summary: Ends what runs in it and removes its folder with all jobs, models, endpoints and collected data.
examples:
  - name: Delete a workspace without being asked
    text: aml workspace delete --name my-workspace --yes
"""
