"""The flags that several nouns share, and what happens to the flags that mean something in Azure only."""

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommandsLoader

from amlocal.core.errors import UserError


def shared(loader: CLICommandsLoader, noun: str, title: str, plural: str) -> None:
    """Names and texts of the flags that read alike for every noun; a verb has those its function takes."""
    with ArgumentsContext(loader, noun) as c:
        c.argument(
            "file",
            options_list=["--file", "-f"],
            help=f"Local path to the YAML file containing the Azure ML {title} specification.",
        )
        c.argument("name", options_list=["--name", "-n"], help=f"Name of the {title}.")
        c.argument("version", options_list=["--version", "-v"], help=f"Version of the {title}.")
        c.argument("label", options_list=["--label", "-l"], help=f"Label of the {title}, for example latest.")
        c.argument("description", help=f"Description of the {title}.")
        c.argument(
            "params_override",
            options_list=["--set"],
            action=Override,
            nargs="+",
            metavar="PROPERTY=VALUE",
            help="Update an object by specifying a property path and value to set. "
            "Example: --set property1.property2=value. Takes several, separated by spaces.",
        )
        c.argument(
            "tags",
            action=Tags,
            nargs="*",
            metavar="KEY=VALUE",
            help="Space-separated key-value pairs for the tags of the object.",
        )
        c.argument(
            "max_results", options_list=["--max-results", "-r"], type=positive, help="Max number of results to return."
        )
        c.argument("include_archived", help=f"List archived {plural} and active {plural}.")
        c.argument("archived_only", help=f"List archived {plural} only.")
        c.argument(
            "download_path",
            options_list=["--download-path", "-p"],
            help="Path to download the files to. Default: the current folder.",
        )


# What is a text wherever it stands, unless somebody has called an input so.
TEXTS = ("name", "version", "description", "display_name")

# The flags that `ignored` accepts: {argparse's name: the flag}.
IGNORED: dict[str, str] = {}


def ignored(c: ArgumentsContext, *flags: str, value: bool = True) -> None:
    """Accept flags that mean nothing on this machine; `value` False for those that take none."""
    how: dict[str, Any] = {"nargs": "?", "const": ""} if value else {"action": "store_const", "const": ""}
    destination = "_" + flags[0].strip("-").replace("-", "_")  # the underscore keeps it from the verb's function
    IGNORED[destination] = flags[0]
    c.extra(  # noqa: S610 (knack's, not Django's)
        destination,
        options_list=list(flags),
        arg_group="Azure Only",
        help="Accepted and ignored: it has no meaning on this machine.",
        **how,
    )


def nothing_ignored(arguments: argparse.Namespace) -> None:
    """In Azure those flags do mean something: rather than do something else than asked, refuse. Raises UserError."""
    for destination, flag in IGNORED.items():
        if getattr(arguments, destination, None) is not None:
            raise UserError(f"{flag}: `aml --target azure` cannot hand it on; say it in the file, or use `az ml`")


def no_wait(c: ArgumentsContext) -> None:
    c.argument("no_wait", action="store_true", help="Do not wait for the long-running operation to finish.")


def prices_file(c: ArgumentsContext) -> None:
    c.argument(
        "prices",
        help="With --target azure: a saved answer of the Azure Retail Prices API, for the line that tells the cost. "
        "Default: ask it.",
    )


def refuse(reason: str) -> type[argparse.Action]:
    class Refused(argparse.Action):
        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
            parser.error(f"{option_string}: {reason}")

    return Refused


class Override(argparse.Action):
    """`--set a.b=1 c=d` -> [{"a.b": 1}, {"c": "d"}], azure-ai-ml's `params_override`; may be repeated."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        overrides = list(getattr(namespace, self.dest) or [])
        overrides += [
            {key: text if is_text(key) else scalar(text)} for key, text in pairs(parser, option_string, values)
        ]
        setattr(namespace, self.dest, overrides)


class Tags(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, dict(pairs(parser, option_string, values)))


def pairs(parser: Any, option: str | None, texts: Sequence[str]) -> list[tuple[str, str]]:
    """Split `key=value` texts; a usage error names the one that is not."""
    split = [text.partition("=") for text in texts]
    for text, (key, equals, _) in zip(texts, split, strict=True):
        if not key or not equals:
            parser.error(f"argument {option}: '{text}' is not of the form property=value")
    return [(key, value) for key, _, value in split]


def is_text(path: str) -> bool:
    """Whether the schema has a text here: a tag, a name, a version or a description, however much it looks a number."""
    *parents, last = re.split(r'[.\[\]"]+', path.rstrip(']"'))
    return "tags" in parents or (last in TEXTS and "inputs" not in parents)


def scalar(text: str) -> Any:
    """`--set inputs.lr=0.1` is the number that `lr: 0.1` is in the file.

    Only plain numbers and true or false: 007, 1.10, 1:30 or yes would be written otherwise afterwards, and stay texts.
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if str(value) == text and text not in ("nan", "inf", "-inf"):
            return value
    return text


def in_any_case(choices: Iterable[str]) -> Callable[[str], str]:
    """For argparse: a choice however it is written (low_priority, LowPriority, low-priority), as `az` takes it."""
    known = {_letters(choice): choice for choice in choices}
    return lambda text: known.get(_letters(text), text)


def _letters(text: str) -> str:
    return re.sub(r"[-_ ]", "", text).lower()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def given(**values: Any) -> list[dict[str, Any]]:
    """The flags that were given, as overrides of the specification."""
    return [{key: value} for key, value in values.items() if value is not None]
