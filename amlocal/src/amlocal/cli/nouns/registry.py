"""`aml registry`: create, change, show, list and delete registries."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, no_wait, shared
from amlocal.cli.printing import described, described_all, finished
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, changed, update_arguments
from amlocal.core.errors import UserError

COLUMNS = "[].{Name:name, ResourceGroup:resource_group, Location:location}"
ACCESS = ("Enabled", "Disabled")


def create(
    file: str | None = None,
    name: str | None = None,
    display_name: str | None = None,
    public_network_access: str | None = None,
    tags: dict[str, str] | None = None,
    params_override: list[dict[str, Any]] | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    flags = given(name=name, public_network_access=public_network_access, tags=tags)
    if not file:  # which Azure takes from the resource group
        flags = [{"location": "local"}, {"replication_locations": [{"location": "local"}]}, *flags]
    entity = _loaded(file, [*flags, *(params_override or [])], display_name)
    registries = target.client(workspace=target.ANY).registries
    return finished(registries, registries.begin_create(entity), no_wait)


def _loaded(file: str | None, overrides: list[dict[str, Any]], display_name: str | None) -> Any:
    """The entity; the schema of its file has no display name."""
    entity = load("registry", file, overrides)
    if display_name is not None:
        entity.display_name = display_name
    return entity


def show(name: str) -> dict[str, Any]:
    return described(target.client(workspace=target.ANY).registries, name)


def list_all(max_results: int | None = None) -> list[dict[str, Any]]:
    return described_all(target.client(workspace=target.ANY).registries, max_results)


def update(
    name: str | None = None,
    file: str | None = None,
    display_name: str | None = None,
    public_network_access: str | None = None,
    tags: dict[str, str] | None = None,
    changes: Changes | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    flags = given(public_network_access=public_network_access, tags=tags)
    registries = target.client(workspace=target.ANY).registries
    if file:
        entity = _loaded(file, [*(changes or Changes()).overrides(), *flags, *given(name=name)], display_name)
        described(registries, entity.name)  # raises for one that is not there
        return finished(registries, registries.begin_create(entity), no_wait)
    if not name:
        raise UserError("registry update: give --name, or --file")
    told = changed(registries, name, changes, [*flags, *given(display_name=display_name)], "begin_create")
    return None if no_wait else told


def delete(name: str | None = None) -> None:
    if not name:
        raise UserError("registry delete: give --name")
    target.client(workspace=target.ANY).registries.begin_delete(name=name).result()


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "registry", "amlocal.cli.nouns.registry#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("delete", "delete")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "registry", "registry", "registries")
    update_arguments(loader, "registry update")
    for verb in ("create", "update"):
        with ArgumentsContext(loader, f"registry {verb}") as c:
            no_wait(c)
            c.argument("display_name", help="Display name of the registry.")
            c.argument("public_network_access", choices=ACCESS, help="Whether the registry is reachable from outside.")


helps["registry"] = """
type: group
short-summary: Manage Azure ML registries.
long-summary: >
  A registry holds models, data, environments and components for all workspaces of this folder, in
  `.amlocal/registries`. What is in it is named azureml://registries/NAME/models/my-model/versions/1.
"""
helps["registry create"] = """
type: command
short-summary: Create a registry.
examples:
  - name: Create a registry
    text: aml registry create --name my-registry
  - name: Create a registry from a YAML specification file
    text: aml registry create --file registry.yml
"""
helps["registry show"] = """
type: command
short-summary: Show details for a registry.
examples:
  - name: Show details for a registry
    text: aml registry show --name my-registry
"""
helps["registry list"] = """
type: command
short-summary: List all the registries of this folder.
examples:
  - name: List the registries
    text: aml registry list -o table
"""
helps["registry update"] = """
type: command
short-summary: Update a registry.
long-summary: What can be updated here is its description, display name, access and tags.
examples:
  - name: Give it another display name
    text: aml registry update --name my-registry --display-name "Models for everybody"
"""
helps["registry delete"] = """
type: command
short-summary: Delete a given registry.
long-summary: Removes its folder with everything in it, without a question.
examples:
  - name: Delete a registry
    text: aml registry delete --name my-registry
"""
