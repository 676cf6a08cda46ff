"""`aml schedule`: start jobs and monitors at given times; Azure's only, for nothing here runs while nobody looks."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, no_wait, shared
from amlocal.cli.printing import described, described_all, finished, plain
from amlocal.cli.specs import load
from amlocal.errors import UserError

COLUMNS = "[].{Name:name, Enabled:is_enabled, State:provisioning_state, Trigger:trigger.type}"


def create(
    file: str,
    name: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    schedules = operations()
    entity = load("schedule", file, [*(params_override or []), *given(name=name)])
    return finished(schedules, schedules.begin_create_or_update(entity), no_wait)


def show(name: str) -> dict[str, Any]:
    return described(operations(), name)


def list_all(max_results: int | None = None) -> list[dict[str, Any]]:
    return described_all(operations(), max_results)


def enable(name: str, no_wait: bool = False) -> dict[str, Any] | None:
    change = operations().begin_enable(name)
    return None if no_wait else plain(change.result())


def disable(name: str, no_wait: bool = False) -> dict[str, Any] | None:
    change = operations().begin_disable(name)
    return None if no_wait else plain(change.result())


def delete(name: str, no_wait: bool = False) -> None:
    deletion = operations().begin_delete(name)
    if not no_wait:
        deletion.result()


def operations() -> Any:
    """Azure's schedules. Raises UserError where there is no Azure."""
    if not target.is_azure():
        raise UserError(
            "schedules run in Azure only: leave it to cron or the task scheduler to call `aml job create -f FILE`, "
            "or add --target azure"
        )
    return target.client().schedules


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "schedule", "amlocal.cli.schedule#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("enable", "enable")
        group.command("disable", "disable")
        group.command("delete", "delete", confirmation="Are you sure you want to delete this schedule?")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "schedule", "schedule", "schedules")
    with ArgumentsContext(loader, "schedule") as c:
        no_wait(c)


helps["schedule"] = """
type: group
short-summary: Manage Azure ML schedule resources (with --target azure).
"""
helps["schedule create"] = """
type: command
short-summary: Create a schedule.
examples:
  - name: Create a schedule from a YAML specification file
    text: aml schedule create --file schedule.yml --target azure
"""
helps["schedule show"] = """
type: command
short-summary: Show details of a schedule.
examples:
  - name: Show details of a schedule
    text: aml schedule show --name my-schedule --target azure
"""
helps["schedule list"] = """
type: command
short-summary: List schedules in a workspace.
examples:
  - name: List the schedules
    text: aml schedule list --target azure -o table
"""
helps["schedule enable"] = """
type: command
short-summary: Enable a schedule.
examples:
  - name: Enable a schedule
    text: aml schedule enable --name my-schedule --target azure
"""
helps["schedule disable"] = """
type: command
short-summary: Disable a schedule to stop it from running.
examples:
  - name: Disable a schedule
    text: aml schedule disable --name my-schedule --target azure
"""
helps["schedule delete"] = """
type: command
short-summary: Delete a schedule. The schedule is to be disabled first.
examples:
  - name: Delete a schedule without being asked
    text: aml schedule delete --name my-schedule --yes --target azure
"""
