"""`aml validate PATH...`: what is wrong with specs, found before anything runs. An addition to the verbs of `az ml`."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.looked import told


def run(cmd: CLICommand, paths: list[str], strict: bool = False) -> dict[str, Any]:
    target.local_only("validate")
    return told(cmd, paths, strict=strict)


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "", "amlocal.cli.nouns.validate#{}") as group:
        group.command("validate", "run")


def arguments(loader: CLICommandsLoader) -> None:
    with ArgumentsContext(loader, "validate") as c:
        c.positional("paths", nargs="+", metavar="PATH", help="Specification files, or folders full of them.")
        c.argument("strict", help="Fail for notes too: for what only the workspace in Azure, or a later day, can tell.")


helps["validate"] = """
type: command
short-summary: Find what is wrong with specifications before anything runs (an addition to `az ml`).
long-summary: >
  Jobs, components, environments, data, models, compute, datastores, endpoints, deployments and schedules: unknown and
  missing fields and inputs, literals of the wrong type or out of bounds, bindings that lead nowhere, cycles, files that
  are not there, environments and components that neither the workspace nor the files given define, malformed
  requirements. Fails if there is an error. What may be right in Azure, or later, is a note: a compute that no file
  defines, data and models that are not there yet, what is not emulated on this machine.
examples:
  - name: Look over a repository's specifications
    text: aml validate aml/
  - name: Fail for notes too
    text: aml validate aml/ --strict
"""
