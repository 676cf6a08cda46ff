#!/usr/bin/env python3
"""What this repository relies on and what ends soon, from infra/retirements.toml:

    retirements.py tell [--today 2028-01-01]     an issue for each that ends within half a year, once
    retirements.py page                          the table of docs/retirements.md

Only what a spec, a Bicep file, a workflow, a notebook, a command's help or a command in the documentation names is told
of. Needs the Python and, to tell, the `gh` of a GitHub runner; the network only through `gh`.
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from drift_issue import gh

ROOT = Path(__file__).parents[2]
LABEL = "retirement"
BEFORE = timedelta(days=183)  # half a year
SEARCHED = (
    *("aml/**/*.yml", "infra/**/*.bicep", "infra/**/*.bicepparam", ".github/workflows/*.yml", ".github/scripts/*.sh"),
    ".devcontainer/*.json",
    *(
        "README.md",
        "docs/*.md",
        "amlocal/README.md",
        "amlocal/docs/*.md",
        "notebooks/*.ipynb",
        "amlocal/src/amlocal/cli/**/*.py",
    ),
)
COMMENT = re.compile(r"(^|\s)(#|//).*")
COMMAND = re.compile(r"`((?:aml|az|export|--set) [^`]*)`")  # in a sentence


@dataclass(frozen=True)
class Entry:
    """Something relied on. `until`: the last day that is announced; None where no end is."""

    what: str
    names: str
    source: str
    looked_up: date
    then: str
    until: date | None = None

    @property
    def title(self) -> str:
        """Of the issue; another date makes another title, so that a date that moved is told again."""
        return f"{self.what}: the end is announced for {self.until}"

    def __contains__(self, text: str) -> bool:
        return re.search(rf"(?<!\w)(?:{self.names})(?!\w)", text, re.IGNORECASE) is not None


def entries(root: Path = ROOT) -> list[Entry]:
    content = tomllib.loads((root / "infra" / "retirements.toml").read_text(encoding="utf-8"))
    return [Entry(**entry) for entry in content["relied_on"]]


def lines(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Every line that may name something, without its comment, and where it stands; of a page only what is typed."""
    for pattern in SEARCHED:
        for file in sorted(root.glob(pattern)):
            text = file.read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(commands(text) if file.suffix == ".md" else text, 1):
                if bare := COMMENT.sub("", line):
                    yield f"{file.relative_to(root).as_posix()}:{number}", bare


def commands(page: Iterable[str]) -> Iterator[str]:
    """The lines of a page, those that are no code emptied of all but the commands in them."""
    fenced = False
    for line in page:
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        code = not fence and (fenced or line.startswith("    "))
        yield line if code else " ".join(COMMAND.findall(line))


def places(entry: Entry, root: Path = ROOT) -> list[str]:
    """Where it is named, as path:line."""
    return [place for place, text in lines(root) if text in entry]


def ending(today: date, root: Path = ROOT) -> list[tuple[Entry, list[str]]]:
    """What is named and has ended or ends within half a year, and where it is named; the earliest end first."""
    near = [entry for entry in entries(root) if entry.until and entry.until - BEFORE <= today]
    named = [(entry, places(entry, root)) for entry in near]
    return sorted((pair for pair in named if pair[1]), key=lambda pair: (pair[0].until, pair[0].what))


def body(entry: Entry, named: list[str]) -> str:
    """The issue."""
    return "\n".join(
        [
            f"**{entry.what}** can be used until **{entry.until}**, says {entry.source} (read on {entry.looked_up}).",
            "",
            entry.then,
            "",
            "It is named in",
            "",
            *(f"- `{place}`" for place in named),
            "",
            "If the date has moved, change it in `infra/retirements.toml` and close this issue.",
        ]
    )


def tell(today: date) -> list[str]:
    """Open the issues that are not there, open or closed; their titles."""
    near = ending(today)
    if not near:
        return []
    query = ["--label", LABEL, "--app", "github-actions", "--state", "all", "--limit", "1000", "--json", "title"]
    told = {issue["title"] for issue in json.loads(gh("issue", "list", *query))}
    made = []
    for entry, named in near:
        if entry.title in told:
            continue
        look = ["--description", "Something this repository relies on ends", "--color", "fbca04"]
        gh("label", "create", LABEL, "--force", *look)
        gh("issue", "create", "--title", entry.title, "--label", LABEL, "--body-file", "-", text=body(entry, named))
        made.append(entry.title)
    return made


def page(root: Path = ROOT) -> str:
    """The table: what is named first, then what only has been or might be; each the earliest end first."""
    head = ["what", "until", "named here", "read on", "what to do"]

    def row(entry: Entry) -> str:
        until = f"[{entry.until or 'no end announced'}]({entry.source})"
        named = "yes" if places(entry, root) else "no"
        return f"| {entry.what} | {until} | {named} | {entry.looked_up} | {entry.then} |"

    ordered = sorted(entries(root), key=lambda entry: (not places(entry, root), entry.until or date.max))
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *map(row, ordered)]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["tell", "page"])
    parser.add_argument("--today", type=date.fromisoformat, default=datetime.now(UTC).date())
    given = parser.parse_args()
    if given.verb == "page":
        print(page(), end="")
        return 0
    try:
        made = tell(given.today)
    except subprocess.CalledProcessError as error:
        print(f"::error title=Not told::{' '.join(error.cmd[:3])} failed; what it said is above")
        return 1
    print(
        "\n".join(f"Opened: {title}" for title in made) or "Nothing ends within half a year that is not told already."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
