"""`${{...}}` and `$[[...]]`: what Azure ML puts into a command before bash sees it."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

EXPRESSION = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """One `${{...}}`: its dotted parts."""

    parts: tuple[str, ...]

    def __str__(self) -> str:
        return "${{" + ".".join(self.parts) + "}}"


def references(text: str) -> Iterator[Reference]:
    """Every `${{...}}` of `text`, in order."""
    for match in EXPRESSION.finditer(text):
        yield Reference(tuple(match.group(1).split(".")))


def whole(text: object) -> Reference | None:
    """The reference that `text` consists of, if it is one and nothing else."""
    if not isinstance(text, str):
        return None
    match = EXPRESSION.fullmatch(text.strip())
    return Reference(tuple(match.group(1).split("."))) if match else None


def render(command: str, value: Callable[[Reference], str | PurePath | None]) -> str:
    """`command` with every expression replaced.

    value: a reference's meaning. None drops the `$[[...]]` around it. A string goes in as it is, as on Azure; a path is
    quoted where bash would otherwise split it, since a laptop's paths, unlike a cluster's, have spaces in them.
    """

    def section(match: re.Match[str]) -> str:
        inner = match.group(1)
        return "" if any(value(reference) is None for reference in references(inner)) else inner

    command = OPTIONAL.sub(section, command)
    pieces: list[str] = []
    end = 0
    for match in EXPRESSION.finditer(command):
        pieces.append(command[end : match.start()])
        found = value(Reference(tuple(match.group(1).split("."))))
        if isinstance(found, PurePath):
            text = found.as_posix()
            pieces.append(text if _quoted("".join(pieces)) else shlex.quote(text))
        else:
            pieces.append("" if found is None else found)
        end = match.end()
    return "".join(pieces) + command[end:]


def words(text: str, value: Callable[[Reference], str | PurePath | None]) -> list[str]:
    """The words of a command line that no shell will read, every expression replaced; each stays within its word.

    Raises ValueError for quotation marks that are not closed.
    """
    text = OPTIONAL.sub(
        lambda match: "" if any(value(each) is None for each in references(match[1])) else match[1], text
    )
    found = list(references(text))
    numbers = iter(range(len(found)))
    split = shlex.split(EXPRESSION.sub(lambda _: f"\x00{next(numbers)}\x00", text))
    return [re.sub("\x00(\\d+)\x00", lambda match: str(value(found[int(match[1])]) or ""), word) for word in split]


def _quoted(before: str) -> bool:
    """Whether bash, having read `before`, is inside quotation marks."""
    quote = ""
    escaped = comment = False
    last = " "
    for character in before:
        if comment:
            comment = character != "\n"
        elif character == "#" and not quote and not escaped and last in " \t\n;&|(":
            comment = True
        elif escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        last = character
    return bool(quote)
