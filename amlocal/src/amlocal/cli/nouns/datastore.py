"""`aml datastore`: a folder in the workspace stands for each datastore."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, shared
from amlocal.cli.printing import created, described, described_all
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, changed, update_arguments
from amlocal.core.errors import UserError

COLUMNS = "[].{Name:name, Type:type, Account:account_name}"


def create(file: str, name: str | None = None, params_override: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    datastores = target.client().datastores
    entity = load("datastore", file, [*(params_override or []), *given(name=name)])
    return created(datastores, datastores.create_or_update(entity))


def show(name: str) -> dict[str, Any]:
    return described(target.client().datastores, name)


def list_all(max_results: int | None = None) -> list[dict[str, Any]]:
    return described_all(target.client().datastores, max_results)


def update(file: str | None = None, name: str | None = None, changes: Changes | None = None) -> dict[str, Any]:
    datastores = target.client().datastores
    if file:
        entity = load("datastore", file, [*(changes or Changes()).overrides(), *given(name=name)])
        described(datastores, entity.name)  # it must be there
        return created(datastores, datastores.create_or_update(entity))
    if not name:
        raise UserError("update: name the datastore with --name, or give a --file that does")
    return changed(datastores, name, changes)


def delete(name: str) -> None:
    target.client().datastores.delete(name)


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "datastore", "amlocal.cli.nouns.datastore#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("delete", "delete")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "datastore", "datastore", "datastores")
    update_arguments(loader, "datastore update")
    with ArgumentsContext(loader, "datastore show") as c:
        c.argument("name", options_list=["--name", "-n"], help="Name of the datastore.")


helps["datastore"] = """
type: group
short-summary: Manage Azure ML datastores.
long-summary: >
  What `azureml://datastores/NAME/paths/PATH` points at is `datastores/NAME/PATH` in the workspace: put files there, and
  jobs read them. The account that a datastore names is remembered for Azure, its credentials are not.
"""
helps["datastore create"] = """
type: command
short-summary: Create a datastore.
examples:
  - name: Create a datastore from a YAML specification file
    text: aml datastore create --file azure_blob.yml
"""
helps["datastore show"] = """
type: command
short-summary: Show details for a datastore.
examples:
  - name: Show the default datastore
    text: aml datastore show --name workspaceblobstore
"""
helps["datastore list"] = """
type: command
short-summary: List datastores in a workspace.
examples:
  - name: List the datastores
    text: aml datastore list -o table
"""
helps["datastore update"] = """
type: command
short-summary: Update a datastore.
examples:
  - name: Describe a datastore
    text: aml datastore update --name my-datastore --set description="Raw data"
"""
helps["datastore delete"] = """
type: command
short-summary: Delete a datastore.
long-summary: The files in the folder that stands for it stay, as those in an account do.
examples:
  - name: Delete a datastore
    text: aml datastore delete --name my-datastore
"""
