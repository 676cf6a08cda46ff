"""Write down the flags of the az commands that `aml exec` answers, from az's own reference.

    git clone https://github.com/MicrosoftDocs/azure-docs-cli ../azure-docs-cli
    python conformance/az_flags.py ../azure-docs-cli src/amlocal/exec/azcli/commands.txt

The file names the commands; a new one is a line with its name and a colon. Their flags are written anew.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

REFERENCE = "docs-ref-autogen/Latest-version/latest"
EVERYWHERE = {"--acquire-policy-token", "--change-reference"}


def reference(folder: Path, command: str) -> dict[str, Any]:
    """The entry of one command: in the page of its group, or, for `az login`, in the index."""
    group, _, _ = command.rpartition(" ")
    page = folder / REFERENCE / (f"{group.replace(' ', '/')}.yml" if group else "reference-index.yml")
    content = yaml.safe_load(page.read_text("utf-8"))
    for entry in content["directCommands"]:
        if entry["name"].partition(" (")[0] == f"az {command}":
            return dict(entry)
    raise SystemExit(f"az {command}: not in {page}")


def flag(parameter: dict[str, Any], required: bool) -> str:
    """`--name/-n!`: the names of one flag, `!` if it is required, `?` if it is a switch, which takes no value."""
    switch = str(parameter.get("defaultValue")) == "False" and not parameter.get("acceptedValues")
    return "/".join(parameter["name"].split()) + ("!" if required else "?" if switch else "")


def line(folder: Path, command: str) -> str:
    entry = reference(folder, command)
    flags = [flag(each, True) for each in entry.get("requiredParameters") or []]
    flags += [flag(each, False) for each in entry.get("optionalParameters") or []]
    return " ".join([f"{command}:", *(each for each in flags if each not in EVERYWHERE)])


if __name__ == "__main__":
    docs, table = map(Path, sys.argv[1:])
    lines = table.read_text("utf-8").splitlines()
    told = [each for each in lines if each.startswith("#")]
    names = sorted(each.partition(":")[0] for each in lines if each and not each.startswith("#"))
    table.write_text("\n".join([*told, *(line(docs, name) for name in names)]) + "\n", "utf-8")
