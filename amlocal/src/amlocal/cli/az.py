"""`az`, as `aml exec` lets a command find it: `az ml` is `aml`; the rest answers as a script or a workflow expects.

With `--target azure` that rest is none of our business: it goes to the next `az` on PATH, Azure's own. Locally
`az_answers` answers, and what it does not know goes to that `az` too, if there is one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from knack.arguments import ArgumentsContext
from knack.cli import CLI
from knack.commands import CLICommandsLoader, CommandGroup
from knack.events import EVENT_PARSER_GLOBAL_CREATE

from amlocal.cli import target
from amlocal.cli.app import Parser, Settings, error_line
from amlocal.cli.unemulated import command_of
from amlocal.core.errors import UserError
from amlocal.exec.az import COMMANDS
from amlocal.exec.paths import PYTHON, STAND_IN, without


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one `az` command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags, rest = target.split_leading(words)
    in_azure = os.environ.get(target.VARIABLE) == "azure"
    if rest[:1] == ["ml"] and not (in_azure and command_of(rest[1:])):
        from amlocal.cli.app import run

        return run([*flags, *rest[1:]])
    try:
        if in_azure:
            return hand_on(words, "is for the Azure CLI, which is not on PATH", "or leave out --target azure")
        if not answered(rest):
            return hand_on(words, "is not emulated here, and there is no Azure CLI on PATH", "if it is needed")
        return Az().invoke([*rest, *flags])
    except UserError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except SystemExit as leave:  # argparse: 0 after --help, 2 after a usage error
        return leave.code if isinstance(leave.code, int) else 1


def answered(words: list[str]) -> bool:
    """Whether the stand-in knows the command, or the group of commands, that these words begin with."""
    named = " ".join(takewhile(lambda word: not word.startswith("-"), words))
    return not named or any(
        f"{named} ".startswith(f"{command} ") or f"{command} ".startswith(f"{named} ") for command in COMMANDS
    )


def hand_on(words: list[str], problem: str, remedy: str) -> int:
    """Have the next `az` on PATH do it, as it would without `aml exec`; without one raise UserError saying so."""
    path = os.pathsep.join(without(STAND_IN, os.environ.get("PATH", os.defpath)))
    program = shutil.which("az", path=path)
    if program is None:
        command = " ".join(["az", *takewhile(lambda word: not word.startswith("-"), words[:3])])
        raise UserError(f"`{command}` {problem}; install it from https://aka.ms/installazurecli, {remedy}")
    # The Azure CLI is a Python program, which is not to find our MLClient.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(without(PYTHON, os.environ.get("PYTHONPATH", "")))}
    if os.name != "nt":
        os.execve(program, [program, *words], environment)  # noqa: S606 (no shell is wanted)
    return subprocess.call([program, *words], env=environment)


class Commands(CLICommandsLoader):
    def load_command_table(self, args: Sequence[str]) -> dict[str, Any]:
        for words, function in COMMANDS.items():
            noun, _, verb = words.rpartition(" ")
            with CommandGroup(self, noun, "amlocal.exec.az#{}") as commands:
                commands.command(verb, function.__name__)
        return super().load_command_table(args)

    def load_arguments(self, command: str) -> None:
        several = {"nargs": "+", "default": None}
        with ArgumentsContext(self, "") as c:
            c.argument("name", options_list=["--name", "-n"])
            c.argument("location", options_list=["--location", "-l"])
            c.argument("yes", options_list=["--yes", "-y"])
            c.argument("file", options_list=["--file", "-f"])
            c.argument("template_file", options_list=["--template-file", "-f"])
            c.argument("parameters", options_list=["--parameters", "-p"], action="extend", **several)
            c.argument("result_format", options_list=["--result-format", "-r"])
            c.argument("exclude_change_types", options_list=["--exclude-change-types", "-x"], **several)
            c.argument("username", options_list=["--username", "-u"])
            c.argument("password", options_list=["--password", "-p"])
            c.argument("tenant", options_list=["--tenant", "-t"])
            c.argument("identity", options_list=["--identity", "-i"])
            c.argument("defaults", options_list=["--defaults", "-d"], **several)
            c.argument("list_defaults", options_list=["--list-defaults", "-l"])
            c.argument("tags", **several)
            c.argument("namespace", options_list=["--namespace", "-n"])
        for noun in ("group create", "group show", "group exists", "group delete"):
            with ArgumentsContext(self, noun) as c:
                c.argument("name", options_list=["--name", "-n", "--resource-group", "-g"])
        with ArgumentsContext(self, "config get") as c:
            c.positional("key", nargs="?")
        with ArgumentsContext(self, "config set") as c:
            c.positional("key_value", nargs="+")
        with ArgumentsContext(self, "account") as c:
            c.argument("name", options_list=["--name", "-n"])
        super().load_arguments(command)


class Az(CLI):
    def __init__(self) -> None:
        super().__init__(
            cli_name="az",
            config_dir=os.path.expanduser("~/.aml"),  # noqa: PTH111 (never created, see Settings)
            config_env_var_prefix="AZURE",
            out_file=sys.stdout,
            config_cls=Settings,
            parser_cls=Parser,
            commands_loader_cls=Commands,
        )
        self.register_event(EVENT_PARSER_GLOBAL_CREATE, _add_subscription)

    def get_cli_version(self) -> str:
        return "azure-cli 2.0.0 (the stand-in of aml exec)"

    def exception_handler(self, ex: Exception) -> int:
        print(f"ERROR: {error_line(ex)}", file=sys.stderr)
        return 1


def _add_subscription(_: CLI, arg_group: Any, **__: Any) -> None:
    arg_group.add_argument("--subscription", "-s", dest="_subscription", help="Accepted and ignored: there is none.")


if __name__ == "__main__":
    sys.exit(main())
