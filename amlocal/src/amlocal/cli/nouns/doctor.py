"""`aml doctor`: what is missing here, what is running, how to stop it. An addition to the verbs of `az ml`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.core.workspace import Workspace

if TYPE_CHECKING:
    from amlocal.cli.checks import Check


def doctor(cmd: CLICommand) -> dict[str, Any] | None:
    target.local_only("doctor")
    from amlocal.cli.checks import all_checks, running

    every = target.workspaces()
    workspace = target.workspace()
    checks = all_checks(workspace, [each for each in every if each.root != workspace.root])
    jobs = [each for one in every for each in running(one)]
    data = cmd.cli_ctx.invocation.data
    data["exit_code"] = 1 if any(check.status == "missing" for check in checks) else 0
    if data["output_asked_for"]:
        return {"workspace": str(workspace.root), "checks": [asdict(check) for check in checks], "running": jobs}
    print(report(workspace, checks, jobs))
    return None


def report(workspace: Workspace, checks: "list[Check]", jobs: list[dict[str, Any]]) -> str:
    """The findings as a person reads them."""
    marks = {"ok": "ok     ", "warning": "WARNING", "missing": "MISSING"}
    lines = [f"workspace {workspace.root}", ""]
    for check in checks:
        lines.append(f"{marks[check.status]}  {check.name:<14} {check.detail}")
        if check.remedy:
            lines.append(f"{'':<25}-> {check.remedy}")
    lines += ["", "running:" if jobs else "running: nothing"]
    lines += [f"  {job['name']}  {job['status']}, process {job['pid']}; stop it: {job['stop']}" for job in jobs]
    return "\n".join(lines)


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "", "amlocal.cli.nouns.doctor#{}") as group:
        group.command("doctor", "doctor", table_transformer="checks[].{Check:name, Status:status, Detail:detail}")


def arguments(loader: CLICommandsLoader) -> None:
    """It has none."""


helps["doctor"] = """
type: command
short-summary: Tell what is missing here, what is running and how to stop it (an addition to `az ml`).
long-summary: Fails if something is missing that jobs cannot do without.
examples:
  - name: Look at this machine and this workspace
    text: aml doctor
  - name: The same for a script
    text: aml doctor -o json --query "checks[?status!='ok']"
"""
