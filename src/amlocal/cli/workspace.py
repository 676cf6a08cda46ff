"""`aml workspace`: show the workspace of the current folder."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target


def show(name: str | None = None) -> dict[str, Any]:
    workspaces = target.client().workspaces
    if hasattr(workspaces, "describe"):
        return workspaces.describe(name)
    return workspaces.get(name)._to_dict()


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "workspace", "amlocal.cli.workspace#{}") as group:
        group.command("show", "show")


def arguments(loader: CLICommandsLoader) -> None:
    with ArgumentsContext(loader, "workspace show") as c:
        c.argument("name", options_list=["--name", "-n"], help="Name of the workspace. Default: the current one.")


helps["workspace"] = """
type: group
short-summary: Manage Azure ML workspaces.
long-summary: A workspace is the folder `.amlocal` in the nearest parent folder that has one, else in the \
  current folder; the environment variable AMLOCAL_HOME names another.
"""
helps["workspace show"] = """
type: command
short-summary: Show details for a workspace.
examples:
  - name: Show the workspace the commands in this folder use
    text: aml workspace show
"""
