"""`aml component`: register, change, archive, show and list components."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader
from knack.help_files import helps

from amlocal.cli.arguments import ignored
from amlocal.cli.asset_verbs import Kind

KIND = Kind(
    noun="component",
    title="component",
    home="components",
    columns="Type:type, DisplayName:display_name",
    updated="its description, display name and tags",
    listed="my-component",
    shared=False,  # as in az; `create --registry-name` puts one into a registry
)
show, list_all, archive, restore, update, _ = KIND.verbs()


def create(
    file: str,
    name: str | None = None,
    version: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
    registry_name: str | None = None,
) -> dict[str, Any]:
    return KIND.create(file, params_override, registry_name, name=name, version=version)


def commands(loader: CLICommandsLoader) -> None:
    KIND.commands(loader)


def arguments(loader: CLICommandsLoader) -> None:
    KIND.arguments(loader)
    with ArgumentsContext(loader, "component create") as c:
        ignored(c, "--skip-validation", value=False)


helps.update(KIND.texts())
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
