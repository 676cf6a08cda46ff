"""`aml down` and `aml up`, additions to `az ml`: stop all that runs of this folder, and start its endpoints again."""

import sys

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.printing import note
from amlocal.core.errors import UserError
from amlocal.core.workspace import Workspace


def down(cmd: CLICommand, tag: str | None = None, yes: bool = False) -> list[str]:
    if target.is_azure():
        return _down_in_azure(cmd, tag, yes)
    target.local_only("down")
    from amlocal.down import down as stop

    every = target.workspaces()
    stopped = [f"{each}{_of(one, every)}" for one in every for each in stop(one)]
    if not stopped:
        note(cmd.cli_ctx, "Nothing of this folder was running.")
    return stopped


def _down_in_azure(cmd: CLICommand, tag: str | None, yes: bool) -> list[str]:
    from knack.prompting import NoTTYException, prompt_y_n

    from amlocal.azure.down import running, stop

    key, _, value = (tag or "").partition("=")
    if not key or not value:
        raise UserError("--tag KEY=VALUE is required with --target azure; only what carries this tag is stopped")
    azure = target.client()
    found = running(azure, key, value)
    for each in found:
        print(f"{each}  ({each.detail})", file=sys.stderr)  # also with --only-show-errors: it is what is asked about
    if not found:
        note(cmd.cli_ctx, f"Nothing in workspace {azure.workspace_name} that is tagged {tag} runs or waits.")
        return []
    try:
        question = "Delete these endpoints with their deployments, cancel these jobs, let these clusters shrink?"
        agreed = yes or prompt_y_n(question, default="n")
    except NoTTYException:
        raise UserError("nobody is there to be asked whether all of this may go; add --yes") from None
    if not agreed:
        return []
    stop(azure, found)
    return [str(each) for each in found]


def _of(workspace: Workspace, every: list[Workspace]) -> str:
    """Which workspace something is of, where there are several."""
    return f" of workspace {workspace.name}" if len(every) > 1 else ""


def up(cmd: CLICommand) -> list[str]:
    target.local_only("up")
    from amlocal.down import up as start

    every = target.workspaces()
    started = [f"{each}{_of(one, every)}" for one in every for each in start(one)]
    if not started:
        note(cmd.cli_ctx, "There are no endpoints; `aml online-endpoint create` makes one.")
    return started


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "", "amlocal.cli.nouns.down#{}") as group:
        group.command("down", "down")
        group.command("up", "up")


def arguments(loader: CLICommandsLoader) -> None:
    with ArgumentsContext(loader, "down") as c:
        c.argument("tag", help="With --target azure: what carries this tag is stopped, as KEY=VALUE. Required there.")
        c.argument("yes", options_list=["--yes", "-y"], help="With --target azure: do not ask.")


helps["down"] = """
type: command
short-summary: Stop everything that runs of the workspaces of this folder (an addition to `az ml`).
long-summary: >
  Their endpoints and what watches over them, and their running jobs, which are canceled. Prints what was stopped.
  With --workspace-name, those of this workspace alone.
  Endpoints are not deleted: `aml up` starts them again, at the same addresses with the same keys.
  With --target azure, where an endpoint is paid for as long as it exists: what carries the tag is listed
  and, after a question, its endpoints are deleted, its jobs canceled, and its clusters may shrink to nothing.
examples:
  - name: Stop everything
    text: aml down
  - name: Stop what is paid for in Azure
    text: aml down --target azure --tag project=my-project
"""
helps["up"] = """
type: command
short-summary: Start the endpoints of this folder, after `aml down` or a reboot (an addition to `az ml`).
examples:
  - name: Start them
    text: aml up
"""
