"""`aml schedule`: jobs and monitors by the clock; `run`, which starts what is due, is an addition to `az ml`."""

import sys
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, no_wait, shared
from amlocal.cli.printing import described, described_all, finished, note, plain, wait
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, changed, update_arguments
from amlocal.core.errors import UserError

COLUMNS = "[].{Name:name, Enabled:is_enabled, State:provisioning_state, Trigger:trigger.type, Next:next_run}"


def create(
    cmd: CLICommand,
    file: str,
    name: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    entity = load("schedule", file, [*(params_override or []), *given(name=name)])
    schedules = target.client().schedules
    made = finished(schedules, schedules.begin_create_or_update(entity), no_wait)
    if not target.is_azure():
        from amlocal.specs.triggers import ignored

        if said := ignored(entity._to_dict()["trigger"]):
            note(cmd.cli_ctx, f"{file}: {said}.")
        if made and "create_monitor" in made:
            from amlocal.specs.monitor import refused

            for signal in refused(made["create_monitor"], made["trigger"]):
                note(cmd.cli_ctx, f"{file}: {signal.name} ({signal.type}): {signal.reason}.")
        note(cmd.cli_ctx, "Nothing starts by itself here: have cron call `aml schedule run` in this folder.")
    return made


def show(name: str) -> dict[str, Any]:
    return described(target.client().schedules, name)


def list_all(
    max_results: int | None = None, include_disabled: bool = False, disabled_only: bool = False
) -> list[dict[str, Any]]:
    view = "DisabledOnly" if disabled_only else "All" if include_disabled else None
    return described_all(target.client().schedules, max_results, list_view_type=view)


def update(name: str, changes: Changes | None = None, no_wait: bool = False) -> dict[str, Any] | None:
    if target.is_azure() and changes and any(text.startswith("trigger") for _, (text, *_) in changes.each):
        raise UserError(f"schedule {name}: change the trigger in its file, and `aml schedule create` it again")
    told = changed(target.client().schedules, name, changes, update="begin_create_or_update")
    return None if no_wait else told


def enable(name: str, no_wait: bool = False) -> dict[str, Any] | None:
    schedules = target.client().schedules
    return finished(schedules, schedules.begin_enable(name), no_wait)


def disable(name: str, no_wait: bool = False) -> dict[str, Any] | None:
    schedules = target.client().schedules
    return finished(schedules, schedules.begin_disable(name), no_wait)


def delete(name: str, no_wait: bool = False) -> None:
    wait(target.client().schedules.begin_delete(name), no_wait)


def trigger(name: str) -> dict[str, Any]:
    return plain(target.client().schedules.trigger(name))


def run(cmd: CLICommand) -> list[dict[str, Any]]:
    target.local_only("schedule run")
    started = []
    for outcome in target.local().schedules.run():
        if outcome.job_name:
            started.append({"due": outcome.due, "job_name": outcome.job_name, "schedule": outcome.schedule})
        else:
            print(f"ERROR: {outcome.error}", file=sys.stderr)
            cmd.cli_ctx.invocation.data["exit_code"] = 1
    return started


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "schedule", "amlocal.cli.nouns.schedule#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("enable", "enable")
        group.command("disable", "disable")
        group.command("delete", "delete")
        group.command("trigger", "trigger")
        group.command("run", "run")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "schedule", "schedule", "schedules")
    with ArgumentsContext(loader, "schedule") as c:
        no_wait(c)
    update_arguments(loader, "schedule update")
    with ArgumentsContext(loader, "schedule list") as c:
        c.argument("include_disabled", help="List disabled schedules and enabled schedules.")
        c.argument("disabled_only", help="List disabled schedules only.")
    with ArgumentsContext(loader, "schedule delete") as c:
        c.extra(  # noqa: S610 (knack's, not Django's)
            "_yes", options_list=["--yes", "-y"], action="store_true", help="Accepted: nobody is asked."
        )


helps["schedule"] = """
type: group
short-summary: Manage Azure ML schedule resources.
long-summary: A schedule starts a job at given times. On this machine nothing runs while nobody looks; let cron, the
  task scheduler or a workflow call `aml schedule run`, which starts what has come due.
"""
helps["schedule create"] = """
type: command
short-summary: Create a schedule.
long-summary: The job is checked, and kept with its code as they are now; of a monitor, its definition is.
examples:
  - name: Create a schedule from a YAML specification file
    text: aml schedule create --file schedule.yml
  - name: Create a monitor; when it is due its signals are computed here
    text: aml schedule create --file aml/monitoring/drift.yml
"""
helps["schedule show"] = """
type: command
short-summary: Show details of a schedule.
examples:
  - name: Show when a schedule is due next
    text: aml schedule show --name my-schedule --query next_run -o tsv
"""
helps["schedule list"] = """
type: command
short-summary: List the schedules in a workspace.
examples:
  - name: List all the schedules in a workspace using --query argument to execute a JMESPath query.
    text: aml schedule list --query "[].{Name:name}" --output table
  - name: List the disabled ones, too
    text: aml schedule list --include-disabled -o table
"""
helps["schedule update"] = """
type: command
short-summary: Update a schedule.
examples:
  - name: Update existing tags or add new tags for a schedule
    text: aml schedule update --name my-schedule --set tags.key1=value1 tags.key2=value2
"""
helps["schedule enable"] = """
type: command
short-summary: Enable a schedule.
long-summary: It goes on from now; what came due meanwhile is not made up for.
examples:
  - name: Enable a schedule
    text: aml schedule enable --name my-schedule
"""
helps["schedule disable"] = """
type: command
short-summary: Disable a schedule to stop it from running.
examples:
  - name: Disable a schedule
    text: aml schedule disable --name my-schedule
"""
helps["schedule delete"] = """
type: command
short-summary: Delete a schedule. The schedule is to be disabled first.
examples:
  - name: Delete a schedule
    text: aml schedule delete --name my-schedule
"""
helps["schedule trigger"] = """
type: command
short-summary: Trigger a schedule once.
examples:
  - name: Start a schedule's job, or compute a monitor, now, whatever the time
    text: aml schedule trigger --name my-schedule
"""
helps["schedule run"] = """
type: command
short-summary: Start the jobs of the schedules that have come due (an addition to `az ml`).
long-summary: >
  Prints what was started. A schedule that came due several times since the last call runs once, for the latest time;
  called again, or twice at once, or killed half-way, it starts nothing twice.
examples:
  - name: Start what has come due and say nothing of it, as cron wants it
    text: aml schedule run --only-show-errors --output none
"""
