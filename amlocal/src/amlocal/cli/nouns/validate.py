"""`aml validate PATH...`: what is wrong with specs, found before anything runs. An addition to the verbs of `az ml`."""

import sys
from pathlib import Path
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target


def run(cmd: CLICommand, paths: list[str]) -> dict[str, Any]:
    target.local_only("validate")
    from amlocal.core.workspace import Workspace
    from amlocal.validate import validate

    count, faults = validate([Path(path) for path in paths], Workspace.find())
    for line in faults:
        print(f"ERROR: {line}", file=sys.stderr)
    cmd.cli_ctx.invocation.data["exit_code"] = 1 if faults else 0
    result: dict[str, Any] = {"result": "Failed" if faults else "Succeeded", "files": count}
    return result | ({"errors": faults} if faults else {})


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "", "amlocal.cli.nouns.validate#{}") as group:
        group.command("validate", "run")


def arguments(loader: CLICommandsLoader) -> None:
    with ArgumentsContext(loader, "validate") as c:
        c.positional("paths", nargs="+", metavar="PATH", help="Specification files, or folders full of them.")


helps["validate"] = """
type: command
short-summary: Find what is wrong with specifications before anything runs (an addition to `az ml`).
long-summary: >
  Jobs, components, environments, data, compute, endpoints and deployments: unknown and missing fields and inputs,
  literals of the wrong type or out of bounds, bindings that lead nowhere, cycles, files that are not there, names that
  neither the workspace nor the files given define, malformed requirements. Fails if there is an error.
examples:
  - name: Look over a repository's specifications
    text: aml validate aml/
"""
