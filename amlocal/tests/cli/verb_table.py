"""docs/verbs.md out of the commands there are: `python -m tests.cli.verb_table` writes it anew."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from amlocal.cli import unemulated
from amlocal.cli.app import Aml, Commands
from amlocal.cli.arguments import IGNORED

PAGE = Path(__file__).parents[2] / "docs" / "verbs.md"
DOCUMENTED = Path(__file__).with_name("az_ml_commands.txt")
START, END = "<!-- table -->\n", "<!-- end of table -->\n"

# What `aml` does where Azure's documentation is silent.
ASSUMED = {
    "batch-deployment delete": "refused for the endpoint's default deployment while there are others",
    "batch-endpoint invoke": "`--job-name` is the job's name",
    "component create": "a version that exists with the same content is no error",
    "compute list-nodes": "one node, `idle`",
    "compute stop": "a cluster cannot be stopped",
    "data create": "`path` is where the copy lies, where Azure prints an `azureml://` address",
    "data list": "with `--archived-only`, names that have an archived version",
    "data show": "without version and label: the latest created",
    "datastore list": "the four that every workspace has come first",
    "job archive": "a job that runs is refused",
    "job list": "sorted by creation, the newest first",
    "job show-services": "the declared services, each `NotStarted`",
    "job update": "`display_name`, `description` and `experiment_name` too; the page of az names tags and properties",
    "model create": "the same content under the same version is no error",
    "online-endpoint show": "`health` is added",
    "schedule delete": "refused while the schedule is enabled",
}


def documented() -> dict[str, dict[str, bool]]:
    """{command: {flag: required}}, as az's reference has them; a flag's short form stands behind a slash."""
    found = {}
    for line in DOCUMENTED.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            command, _, flags = line.partition(":")
            found[command] = {flag.rstrip("*"): flag.endswith("*") for flag in flags.split()}
    return found


def table_of_commands() -> dict[str, Any]:
    """{command: knack's own, with its arguments loaded}"""
    cli = Aml()
    loader = Commands(cli_ctx=cli)
    cli.invocation = SimpleNamespace(data={})
    table = loader.load_command_table([])
    for name in table:
        cli.invocation.data["command_string"] = name
        loader.load_arguments(name)
    return dict(table)


def flags(command: Any) -> dict[str, tuple[str, bool]]:
    """{"--name/-n": (argparse's name, required)} of one command"""
    found = {}
    for destination, argument in command.arguments.items():
        settings = argument.type.settings
        options = [str(option) for option in settings.get("options_list") or ()]
        if options and destination != "cmd":
            long_first = sorted(options, key=lambda option: not option.startswith("--"))
            found["/".join(long_first)] = (destination, bool(settings.get("required")))
    return found


def render() -> str:
    lines = ["| | verb | flags | |", "|---|---|---|---|"]
    there, az = table_of_commands(), documented()
    by_noun: dict[str, list[str]] = {}
    for command in sorted({*there, *az}):
        by_noun.setdefault(command.rpartition(" ")[0], []).append(command)
    for noun, commands in by_noun.items():
        gone: dict[str, list[str]] = {}
        for command in commands:
            verb = command.rpartition(" ")[2]
            if command in there:
                lines.append(f"| {noun} | {verb} | {_shown(there[command])} | {_notes(command, az)} |")
            else:
                gone.setdefault(unemulated.what(command), []).append(verb)
        lines += [f"| {noun} | {', '.join(verbs)} | | not emulated: {what} |" for what, verbs in gone.items()]
    return "\n".join(line.replace("|  |", "| |") for line in lines) + "\n"


def _shown(command: Any) -> str:
    return " ".join(
        f"`{flag}`" + ("¹" if destination in IGNORED else "")
        for flag, (destination, _) in sorted(flags(command).items())
    )


def _notes(command: str, az: dict[str, Any]) -> str:
    notes = [f"assumed: {ASSUMED[command]}"] if command in ASSUMED else []
    return "; ".join([*notes, *([] if command in az else ["an addition to `az ml`"])])


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(before + START + render() + END + rest.partition(END)[2], encoding="utf-8")
