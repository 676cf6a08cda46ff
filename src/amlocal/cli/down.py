"""`aml down` and `aml up`, additions to `az ml`: stop all that runs of a workspace, and start its endpoints again."""

from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli.printing import note
from amlocal.cli.target import local_only
from amlocal.workspace import Workspace


def down(cmd: CLICommand) -> list[str]:
    local_only("down")
    from amlocal.endpoints.down import down as stop

    stopped = stop(Workspace.find())
    if not stopped:
        note(cmd.cli_ctx, "Nothing of this workspace was running.")
    return stopped


def up(cmd: CLICommand) -> list[str]:
    local_only("up")
    from amlocal.endpoints.down import up as start

    started = start(Workspace.find())
    if not started:
        note(cmd.cli_ctx, "This workspace has no endpoints; `aml online-endpoint create` makes one.")
    return started


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "", "amlocal.cli.down#{}") as group:
        group.command("down", "down")
        group.command("up", "up")


def arguments(loader: CLICommandsLoader) -> None:
    pass


helps["down"] = """
type: command
short-summary: Stop everything that runs of this workspace (an addition to `az ml`).
long-summary: >
  Its endpoints and what watches over them, and its running jobs, which are canceled. Prints what was stopped.
  Endpoints are not deleted: `aml up` starts them again, at the same addresses with the same keys.
examples:
  - name: Stop everything
    text: aml down
"""
helps["up"] = """
type: command
short-summary: Start the endpoints of this workspace, after `aml down` or a reboot (an addition to `az ml`).
examples:
  - name: Start them
    text: aml up
"""
