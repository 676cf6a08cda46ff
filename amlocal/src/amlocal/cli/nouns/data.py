"""`aml data`: register, change, archive, show and list data assets."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import assets, target
from amlocal.cli.arguments import given, ignored, shared
from amlocal.cli.printing import described

COLUMNS = "[].{Name:name, Version:version || latest_version, Type:type, Path:path}"


def create(
    file: str | None = None,
    name: str | None = None,
    version: str | None = None,
    path: str | None = None,
    type: str | None = None,
    description: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    flags = given(name=name, version=version, path=path, type=type, description=description)
    return assets.create(target.client().data, "data", file, params_override, flags)


def show(name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
    return described(target.client().data, name, version, label)


def list_all(
    name: str | None = None,
    max_results: int | None = None,
    include_archived: bool = False,
    archived_only: bool = False,
) -> list[dict[str, Any]]:
    return assets.list_all(target.client().data, name, max_results, include_archived, archived_only)


archive, restore, update = assets.verbs("data")


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "data", "amlocal.cli.nouns.data#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("archive", "archive")
        group.command("restore", "restore")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "data", "data asset", "data assets")
    assets.arguments(loader, "data", "data asset")
    with ArgumentsContext(loader, "data create") as c:
        c.argument("description", options_list=["--description", "-d"])
        c.argument("path", options_list=["--path", "-p"], help="Path to the data asset, can be local or remote.")
        c.argument(
            "type",
            options_list=["--type", "-t"],
            choices=["mltable", "uri_file", "uri_folder"],
            help="Type of the data asset.",
        )
        ignored(c, "--datastore")
        ignored(c, "--no-wait", value=False)
        ignored(c, "--skip-validation", value=False)


helps.update(assets.texts("data", "data asset", "its description and tags"))
helps["data"] = """
type: group
short-summary: Manage Azure ML data assets.
long-summary: A data asset is a name and a version for a file or folder, so that jobs can say `azureml:<name>@latest`.
"""
helps["data create"] = """
type: command
short-summary: Create a data asset in a workspace.
examples:
  - name: Create a data asset from a YAML specification file
    text: aml data create --file data.yml
  - name: Create a data asset without using a YAML specification file
    text: aml data create --name my-data --version 1 --path ./my-data.csv --type uri_file
"""
helps["data show"] = """
type: command
short-summary: Shows details for a data asset in a workspace.
examples:
  - name: Show details for a data asset with the specified name and version
    text: aml data show --name my-data --version 1
  - name: Show details for a data asset with the specified name and label
    text: aml data show --name my-data --label latest
"""
helps["data list"] = """
type: command
short-summary: List data assets in a workspace.
examples:
  - name: List all the data assets in a workspace
    text: aml data list -o table
  - name: List all the data asset versions for the specified name
    text: aml data list --name my-data
"""
