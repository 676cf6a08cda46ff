"""What tests of documentation read from Markdown pages: links, headings, and the commands that a page shows."""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from amlocal.cli import main as aml

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SUBSTITUTION = re.compile(r"\$\((aml [^()|]+)")  # in a shell's `$(...)`
INLINE = re.compile(r"`(aml [a-z][^`]*)`")


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The file that each relative link leads to, and the anchor behind `#` ("" where there is none)."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            name, _, anchor = target.partition("#")
            yield (page.parent / name).resolve() if name else page.resolve(), anchor


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: the page's headings, in GitHub's spelling."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """The links of a page whose file or heading does not exist."""
    return [
        f"{target}#{anchor}".rstrip("#")
        for target, anchor in links(page)
        if not target.exists() or (anchor and anchor not in anchors(target))
    ]


def commands(pages: Iterable[Path], *programs: str) -> list[list[str]]:
    """The words of every command that begins with one of `programs`, each command once, without its comment.

    `aml ` also stands for `az ml `, and its commands are found wherever a page has them: in indented and fenced blocks,
    in `$(...)` and in code within a sentence. Words behind ` -- `, another program's, are left out.
    """
    found: dict[str, list[str]] = {}
    for page in pages:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ").replace("az ml ", "aml ")
        lines = [line.strip() for line in text.splitlines() if line.startswith(("    ", *programs))]
        shown = [line for line in lines if line.startswith(programs)]
        if "aml " in programs:
            shown += [*SUBSTITUTION.findall(text), *INLINE.findall(" ".join(text.split()))]
        for line in shown:
            words = shlex.split(line, comments=True)
            words = words[: words.index("--")] if "--" in words else words
            found.setdefault(" ".join(words), words)
    return list(found.values())


def unknown_flags(words: list[str], help_text: str) -> list[str]:
    """The flags of a command that its help does not name."""
    flags = (word for word in words[1:] if word.startswith("-") and word != "-m")
    return [flag for flag in flags if not re.search(rf"(^|[\s,]){re.escape(flag)}\b", help_text, re.MULTILINE)]


def check_aml(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Assert that `aml` has the verb of a command, and the verb its flags."""
    flags = (number for number, word in enumerate(words) if word.startswith("-"))
    verb = [word for word in words[1 : min(4, *flags, len(words))] if re.fullmatch(r"[a-z-]+", word)]
    code = aml([*verb, "--help"])
    help_text, errors = capsys.readouterr()
    assert code == 0, errors
    assert unknown_flags(words, help_text) == []
