"""knack set up as `aml`: which nouns exist, how errors are told, which exit code is returned.

knack is the framework `az` itself is made with, so `--query`, `-o`, `--help` and the verbosity flags are az's own.
Nothing heavy may be imported here: `aml --help` must answer at once.
"""

import argparse
import codecs
import contextlib
import difflib
import json
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from knack.cli import CLI
from knack.commands import CLICommandsLoader
from knack.completion import CLICompletion
from knack.config import CLIConfig
from knack.events import EVENT_INVOKER_POST_PARSE_ARGS, EVENT_PARSER_GLOBAL_CREATE
from knack.help import CLIHelp
from knack.invocation import CommandInvoker
from knack.output import OutputProducer
from knack.parser import CLICommandParser
from knack.util import CLIError, CommandResultItem

from amlocal.cli import target, unemulated
from amlocal.cli.arguments import in_any_case, nothing_ignored

NOUNS = (
    "job",
    "model",
    "data",
    "environment",
    "component",
    "compute",
    "datastore",
    "online_endpoint",
    "online_endpoint_rollout",
    "online_deployment",
    "batch_endpoint",
    "batch_deployment",
    "workspace",
    "registry",
    "schedule",
    "quota",
    "mlflow",
    "doctor",
    "down",
    "exec",
    "validate",
    "completion",
)
INTERRUPTED = 130  # 128 + SIGINT, what a shell reports for Ctrl-C

# Flags every `az ml` command has. They name a workspace in Azure, and mean nothing to a folder on this disk.
PLACE = (
    (("--resource-group", "-g"), "_resource_group", "Name of resource group. Local target: accepted and ignored."),
    (
        ("--workspace-name", "-w"),
        "_workspace",
        "Name of the workspace. Local: one of this folder's; any if it has one.",
    ),
    (("--subscription",), "_subscription", "ID of subscription. Local target: accepted and ignored."),
    (("--change-reference",), "_change_reference", argparse.SUPPRESS),
)


class Settings(CLIConfig):
    """Defaults come from the environment (AML_CORE_OUTPUT=table); knack's own would create a folder in the home."""

    def __init__(self, config_dir: str, config_env_var_prefix: str) -> None:
        self.config_dir = config_dir
        self.config_path = os.path.join(config_dir, "config")  # noqa: PTH118 (knack's attribute is a string)
        self.defaults_section_name = "defaults"
        self.use_local_config = False
        self._env_var_format = f"{config_env_var_prefix}_{{section}}_{{option}}"
        self._config_file_chain: list[Any] = []

    def set_to_use_local_config(self, use_local_config: bool) -> None:
        """There are no files, local or other."""


class Parser(CLICommandParser):
    """argparse whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        command = self.prog
        if self.cli_ctx and self.cli_ctx.invocation and command == self.cli_ctx.name:
            # argparse leaves it to the root to complain of leftovers; the user wants the command's own help.
            command = f"{command} {self.cli_ctx.invocation.data['command_string'] or ''}".rstrip()
        print(f"ERROR: {message}{self._suggestion(message)} (see '{command} --help')", file=sys.stderr)
        sys.exit(2)

    def validation_error(self, message: str) -> NoReturn:
        self.error(message)

    def _suggestion(self, message: str) -> str:
        prefix = "unrecognized arguments: "
        if not message.startswith(prefix):
            return ""
        invocation = self.cli_ctx.invocation
        command = invocation.commands_loader.command_table.get(invocation.data["command_string"])
        flags = (
            [str(flag) for argument in command.arguments.values() for flag in argument.options_list] if command else []
        )
        if "--debug-step" in flags and "--debug" in sys.argv:  # which takes no value: it is az's, for its logs
            return "; did you mean --debug-step?"
        close = difflib.get_close_matches(message.removeprefix(prefix).split()[0], flags, n=1)
        return f"; did you mean {close[0]}?" if close else ""


class Commands(CLICommandsLoader):
    """The verbs and flags of the noun that is asked for; those of every noun where it is help that is asked for."""

    def load_command_table(self, args: Sequence[str]) -> dict[str, Any]:
        asked = args[0].replace("-", "_") if args else ""
        found = [noun for noun in NOUNS if asked and (noun == asked or noun.startswith(f"{asked}_"))]
        self._modules = [import_module(f"amlocal.cli.nouns.{noun}") for noun in found or NOUNS]
        for module in self._modules:
            module.commands(self)
        return super().load_command_table(args)

    def load_arguments(self, command: str) -> None:
        for module in self._modules:
            module.arguments(self)
        super().load_arguments(command)
        for one in self.command_table.values():
            for argument in one.arguments.values():
                settings = argument.type.settings
                if settings.get("choices") and "type" not in settings:
                    settings["type"] = in_any_case(settings["choices"])
                settings["help"] = _default_once(settings)
        if self.cli_ctx.data["completer_active"]:
            from amlocal.cli.completion import complete_names

            complete_names(self)


def _default_once(settings: dict[str, Any]) -> str | None:
    """The help of a flag; knack says what its default is, so a sentence that says it as well is left out."""
    text, default = settings.get("help"), settings.get("default")
    if not isinstance(text, str) or not default or default == argparse.SUPPRESS:
        return text
    return re.sub(r"\s*Defaults? (is|to|:)?\s*" + re.escape(str(default)) + r"\.?$", "", text).rstrip()


class Invoker(CommandInvoker):
    """Lets a command that has something to print fail all the same: it sets `data["exit_code"]`."""

    def execute(self, args: list[str]) -> CommandResultItem:
        result = super().execute(args)
        result.exit_code = self.data["exit_code"] or result.exit_code
        return result


class Help(CLIHelp):
    def __init__(self, cli_ctx: CLI) -> None:
        super().__init__(
            cli_ctx,
            welcome_message="aml: Azure Machine Learning without Azure.\n"
            "The verbs, flags and files of `az ml`, on this machine.",
        )

    def show_privacy_statement(self) -> None:
        """There is none; knack would note in a file that it was shown."""


class Completion(CLICompletion):
    """knack's, but for flags without a completer: argcomplete calls knack's with keywords, which it does not take."""

    def enable_autocomplete(self, parser: argparse.ArgumentParser) -> None:
        if self.cli_ctx.data["completer_active"]:
            from argcomplete import CompletionFinder
            from argcomplete.completers import ChoicesCompleter

            CompletionFinder()(
                parser,
                validator=lambda candidate, prefix: candidate.lower().startswith(prefix.lower()),
                default_completer=ChoicesCompleter({}),  # none: the shell offers files then
            )


class Aml(CLI):
    def __init__(self) -> None:
        super().__init__(
            cli_name="aml",
            config_dir=os.path.expanduser("~/.aml"),  # noqa: PTH111 (never created, see Settings)
            config_env_var_prefix="AML",
            out_file=sys.stdout,
            config_cls=Settings,
            invocation_cls=Invoker,
            parser_cls=Parser,
            commands_loader_cls=Commands,
            completion_cls=Completion,
            help_cls=Help,
        )
        self.register_event(EVENT_PARSER_GLOBAL_CREATE, _add_target_flags)
        self.register_event(EVENT_PARSER_GLOBAL_CREATE, _leave_output_unset)
        self.register_event(EVENT_INVOKER_POST_PARSE_ARGS, _note_whether_output_was_asked_for)
        self.register_event(EVENT_INVOKER_POST_PARSE_ARGS, _choose_target)
        self.debug = False

    def show_version(self) -> None:
        from amlocal.cli import about

        print(about.version_text(), file=self.out_file)

    def exception_handler(self, ex: Exception) -> int:
        """Tell an error in one line; the traceback is for --debug."""
        if isinstance(ex, BrokenPipeError):
            return 0  # `aml ... | head` has read all it wanted
        if self.debug:
            traceback.print_exception(ex)
        data = self.invocation.data if self.invocation else {}
        code = _code(ex) if data.get("output_asked_for") and data.get("output") == "json" else ""
        for one in getattr(ex, "each", None) or [ex]:
            print(f"ERROR: {code}{one if isinstance(one, str) else error_line(one)}", file=sys.stderr)
        return 1


def _code(error: BaseException) -> str:
    """Azure's code for what is missing here, which scripts that read JSON look for: `(UserError) `, else nothing."""
    from amlocal.core.errors import NotFound

    if not isinstance(error, NotFound) and not isinstance(error.__cause__, NotFound):
        return ""
    return "(ResourceNotFound) " if str(error).startswith("workspace ") else "(UserError) "


def error_line(error: BaseException) -> str:
    """One line for the user: the message of an error that was meant for them, else what broke and how to see more."""
    if "sqlite3.DatabaseError" in str(error):  # SQLAlchemy's, also inside one of MLflow's
        from amlocal.core.mlflow_store import damaged_database, sqlite_file

        why = str(error).partition("sqlite3.DatabaseError) ")[2].partition("\n")[0]
        workspace = target.workspace()
        return damaged_database(sqlite_file(workspace.tracking_uri) or workspace.database, why)
    if refused := _refused_by_azure(error):
        return refused
    message = getattr(error, "message", None)
    text = _in_one_line(message if isinstance(message, str) and message else str(error))
    if _meant_for_users(error) and text:
        return text
    return f"{type(error).__name__}: {text} (this is a fault in aml itself: --debug shows where)"


def _refused_by_azure(error: BaseException) -> str | None:
    """What the service says in an answer that refuses: its code, its message, and those of the details; no more.

    An answer without a body, as of a compute that is not there, names what was asked for. None for any other error.
    """
    from amlocal.azure.answer import refusal

    response = getattr(error, "response", None)
    if response is None or getattr(error, "status_code", None) is None:
        return None
    return refusal(response)


def _in_one_line(message: str) -> str:
    """Without what Azure says twice (`(Code) Text`, then `Code: Code` and `Message: Text`) and its wrapped lines."""
    if "failed to retrieve a token from the included credentials" in message:
        reason = re.search(r"AADSTS\d+: [^.\n]*", message)
        said = f" ({reason[0]})" if reason else ""
        return f"not signed in to Azure{said}: run `az login`; --debug shows what else was tried"
    if message.startswith("Exception : "):  # azure-ai-ml's, of a job that failed: Azure's answer as JSON
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return " ".join(json.loads(message.removeprefix("Exception : "))["error"]["message"].split())
    if message.lstrip().startswith("{") and '"errors"' in message:  # azure-ai-ml's report of a specification
        from amlocal.operations.common import one_line

        return one_line(ValueError(message))
    lines = [" ".join(line.split()) for line in message.splitlines()]
    said = lines[0] if lines else ""
    return " ".join(
        line
        for number, line in enumerate(lines)
        if line and not (number and line.startswith(("Code: ", "Message: ")) and line.partition(": ")[2] in said)
    )


def _meant_for_users(error: BaseException) -> bool:
    from amlocal.core.errors import UserError

    # azure-ai-ml's and azure-core's errors by where they come from: importing them would take seconds.
    return isinstance(error, (UserError, CLIError, OSError)) or any(
        cls.__module__.startswith(("azure.", "marshmallow.", "mlflow.")) for cls in type(error).__mro__
    )


def _add_target_flags(_: CLI, arg_group: Any, **__: Any) -> None:
    arg_group.add_argument(
        "--target",
        dest="_target",
        type=in_any_case(target.TARGETS),
        choices=target.TARGETS,
        help="Where the workspace is: this folder, Azure, or auto: Azure, and this folder if there is no quota. "
        f"Default: {target.VARIABLE}, else local.",
    )
    for flags, destination, text in PLACE:
        arg_group.add_argument(*flags, dest=destination, help=text)
    arg_group.add_argument(
        "--acquire-policy-token", dest="_acquire_policy_token", action="store_true", help=argparse.SUPPRESS
    )


def _choose_target(_: CLI, args: argparse.Namespace, **__: Any) -> None:
    target.choose(args._target, args._subscription, args._resource_group, args._workspace)
    if target.is_azure() or target.is_auto():
        nothing_ignored(args)


def _leave_output_unset(cli: CLI, arg_group: Any, **_: Any) -> None:
    for action in arg_group._group_actions:
        if action.dest == OutputProducer.ARG_DEST:
            action.help = f"Output format. Default: {action.default}."
            cli.data["default_output"], action.default = action.default, None


def _note_whether_output_was_asked_for(cli: CLI, **_: Any) -> None:
    data = cli.invocation.data
    data["output_asked_for"] = data["output"] is not None or bool(data["query_active"])
    data["output"] = data["output"] or cli.data["default_output"]


def _escape_as_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; see `amlocal.cli.main`."""
    arguments = target.leading(sys.argv[1:] if arguments is None else arguments)
    if command := unemulated.command_of(arguments):
        print(f"ERROR: {unemulated.answer(command)}", file=sys.stderr)
        return 1
    # Where stdout is not UTF-8 (Windows: cp1252), what it cannot hold is printed as JSON escapes: still valid JSON.
    codecs.register_error("aml-json", _escape_as_json)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="aml-json")
    cli = Aml()
    cli.debug = "--debug" in arguments
    cli.only_show_errors = cli.only_show_errors or "--only-show-errors" in arguments
    # knack shows what its own loggers say only. The last resort is a handler that prints warnings to stderr.
    shown = [] if cli.only_show_errors or cli.debug else [logging.lastResort]  # with --debug knack shows all
    logging.getLogger("amlocal").handlers = [handler for handler in shown if handler]
    if not cli.debug:
        warnings.simplefilter("ignore")  # azure-ai-ml's and MLflow's, addressed to their developers
    return exit_code(lambda: _invoked(cli, arguments))


def _invoked(cli: CLI, arguments: Sequence[str]) -> Any:
    code = cli.invoke(arguments)
    return INTERRUPTED if cli.result and isinstance(cli.result.error, KeyboardInterrupt) else code


def exit_code(command: Callable[[], Any]) -> int:
    """Run a command and write what it has printed; its exit code. A reader that has gone away (`| head`) is fine."""
    try:
        try:
            code = command()
        except SystemExit as leave:  # argparse: 0 after --help, 2 after a usage error
            code = leave.code
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = 0
        # Python flushes stdout once more on exit and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code if isinstance(code, int) else 1
