"""`az`, as `aml exec` lets a command find it: `az ml` is `aml`; the rest answers as a script or a workflow expects.

With `--target azure` that rest is none of our business: it goes to the next `az` on PATH, Azure's own. Locally
`amlocal.exec.azcli` answers, and what it does not know goes to that `az` too, if there is one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from knack.arguments import CLICommandArgument
from knack.cli import CLI
from knack.commands import CLICommand, CLICommandsLoader

from amlocal.cli import target
from amlocal.cli.app import Parser, Settings, error_line, exit_code
from amlocal.cli.unemulated import command_of
from amlocal.core.errors import NotFound, UserError
from amlocal.exec.azcli import facts
from amlocal.exec.azcli.facts import Flag
from amlocal.exec.azcli.given import Given, UsageError
from amlocal.exec.azcli.handlers import COMMANDS, TABLES
from amlocal.exec.azcli.records import known_defaults, told_defaults
from amlocal.exec.become import become
from amlocal.exec.paths import PYTHON, STAND_IN, without

INSTALL = "install the Azure CLI from https://aka.ms/installazurecli"


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
            return hand_on(
                words, "is for the Azure CLI, which is not on PATH", f"{INSTALL}, or leave out --target azure"
            )
        if not facts.is_answered(rest):
            return hand_on(words, *unanswered(rest))
    except UserError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return exit_code(lambda: Az().invoke([*rest, *flags]))


def unanswered(words: Sequence[str]) -> tuple[str, str]:
    """What is wrong with a command that is not answered, and what to do about it."""
    if meant := facts.misspelled(words):
        return "is no command of az", f"did you mean `az {meant}`?"
    return f"is not emulated here{facts.refusal(words)}", f"for the real thing, {INSTALL}"


def hand_on(words: list[str], problem: str, remedy: str) -> int:
    """Have the next `az` on PATH do it, as it would without `aml exec`; without one raise UserError saying so."""
    path = os.pathsep.join(without(STAND_IN, os.environ.get("PATH", os.defpath)))
    program = shutil.which("az", path=path)
    if program is None:
        command = " ".join(["az", *facts.words_of(target.split_leading(words)[1])[:4]])
        raise UserError(f"`{command}` {problem}; {remedy}")
    # The Azure CLI is a Python program, which is not to find our MLClient.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(without(PYTHON, os.environ.get("PYTHONPATH", "")))}
    if os.name != "nt":
        become(program, [program, *words], environment)
    return subprocess.call([program, *words], env=environment)


class Commands(CLICommandsLoader):
    """The commands of `facts`, with their flags; the handlers get what was given."""

    def load_command_table(self, args: Sequence[str]) -> dict[str, Any]:
        noun = next((word for word in args if not word.startswith("-")), "")  # those of other nouns cost time
        for name, flags in facts.flags().items():
            if noun not in ("", name.partition(" ")[0]):
                continue
            self._populate_command_group_table_with_subgroups(name.rpartition(" ")[0])
            self.command_table[name] = CLICommand(
                self.cli_ctx,
                name,
                partial(answer, name),
                table_transformer=TABLES.get(name),
                arguments_loader=partial(_arguments, flags),
            )
        return super().load_command_table(args)


SUBSCRIPTION = Flag(("--subscription",))  # every command has it; there is one


def _arguments(flags: Sequence[Flag]) -> list[tuple[str, CLICommandArgument]]:
    if not any("--subscription" in flag.names for flag in flags):
        flags = [*flags, SUBSCRIPTION]
    return [(flag.key, _argument(flag)) for flag in flags]


def _argument(flag: Flag) -> CLICommandArgument:
    """The flag for argparse: how many values a flag takes its handler knows, and says (see `Given`)."""
    how = {"action": "store_true"} if flag.switch else {"action": "extend", "nargs": "*"}
    argument = CLICommandArgument(flag.key, options_list=list(flag.names), default=None, **how)
    if flag.positional:
        argument.options_list = []
    return argument


def answer(name: str, arguments: dict[str, Any]) -> Any:
    """Have the handler of a command answer. The group and the location are `az configure`'s where none is given."""
    flags = {flag.key: flag for flag in facts.flags()[name]}
    told = {key: value for key, value in arguments.items() if value is not None}
    known = {"resource_group": known_defaults()["group"], "location": told_defaults().get("location")}
    if name.startswith("group "):
        known["name"] = known["resource_group"]
    given = Given(told, {key: [value] for key, value in known.items() if key in flags and value})
    missing = [flag for key, flag in flags.items() if flag.required and key not in given]
    if missing:
        raise UsageError(f"the following arguments are required: {', '.join('/'.join(flag.names) for flag in missing)}")
    return COMMANDS[name](given)


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

    def get_cli_version(self) -> str:
        return "azure-cli 2.0.0 (the stand-in of aml exec)"

    def exception_handler(self, ex: Exception) -> int:
        """One line, and az's exit code: 2 for a wrong command line, 3 for what is not there, else 1."""
        if isinstance(ex, BrokenPipeError):
            return 0  # `az ... | head` has read all it wanted
        print(f"ERROR: {error_line(ex)}", file=sys.stderr)
        return 2 if isinstance(ex, UsageError) else 3 if isinstance(ex, NotFound) else 1


if __name__ == "__main__":
    sys.exit(main())
