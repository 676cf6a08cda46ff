"""`aml data`: register, change, archive, show and list data assets."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader
from knack.help_files import helps

from amlocal.cli.arguments import ignored
from amlocal.cli.asset_verbs import Kind

KIND = Kind(
    noun="data",
    title="data asset",
    home="data",
    columns="Type:type, Path:path",
    updated="its description and tags",
    listed="my-data",
)
show, list_all, archive, restore, update, share = KIND.verbs()


def create(
    file: str | None = None,
    name: str | None = None,
    version: str | None = None,
    path: str | None = None,
    type: str | None = None,
    description: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
    registry_name: str | None = None,
) -> dict[str, Any]:
    flags = {"name": name, "version": version, "path": path, "type": type, "description": description}
    return KIND.create(file, params_override, registry_name, **flags)


def commands(loader: CLICommandsLoader) -> None:
    KIND.commands(loader)


def arguments(loader: CLICommandsLoader) -> None:
    KIND.arguments(loader)
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


helps.update(KIND.texts())
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
