"""`aml component`: register, change, archive, show and list components."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import assets, target
from amlocal.cli.arguments import given, ignored, shared
from amlocal.cli.printing import described

COLUMNS = "[].{Name:name, Version:version || latest_version, Type:type, DisplayName:display_name}"


def create(
    file: str,
    name: str | None = None,
    version: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    flags = given(name=name, version=version)
    return assets.create(target.client().components, "component", file, params_override, flags)


def show(name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
    return described(target.client().components, name, version, label)


def list_all(
    name: str | None = None,
    max_results: int | None = None,
    include_archived: bool = False,
    archived_only: bool = False,
) -> list[dict[str, Any]]:
    return assets.list_all(target.client().components, name, max_results, include_archived, archived_only)


archive, restore, update = assets.verbs("component")


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "component", "amlocal.cli.nouns.component#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("archive", "archive")
        group.command("restore", "restore")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "component", "component", "components")
    assets.arguments(loader, "component", "component")
    with ArgumentsContext(loader, "component create") as c:
        ignored(c, "--skip-validation", value=False)


helps.update(assets.texts("component", "component", "its description, display name and tags"))
helps["component"] = """
type: group
short-summary: Manage Azure ML components.
long-summary: A component is a step that pipelines can share, with its inputs, outputs, environment and command.
"""
helps["component create"] = """
type: command
short-summary: Create a component.
examples:
  - name: Create a component from a YAML specification file
    text: aml component create --file my_component.yml
  - name: Create a component from a YAML specification file with specified version
    text: aml component create --file my_component.yml --version 1
"""
helps["component show"] = """
type: command
short-summary: Show details for a component.
examples:
  - name: Show detail for a component with the specified name and version
    text: aml component show --name my-component --version 1
"""
helps["component list"] = """
type: command
short-summary: List components in a workspace.
examples:
  - name: List all the components in a workspace
    text: aml component list -o table
  - name: List all the component versions for the specified name
    text: aml component list --name my-component
"""
