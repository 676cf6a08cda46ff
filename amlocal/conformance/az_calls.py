"""Count the `az` commands that stand in checkouts of public repositories, `az ml` apart: az_calls.tsv holds the result.

    python conformance/az_calls.py COMMANDS NAME=FOLDER ... > conformance/az_calls.tsv

COMMANDS: a file with the name of one az command a line (`storage blob upload`), so that prose ("az login and wait") and
what is no command are not counted. NAME=FOLDER: what the column `sources` calls a checkout, and where it is.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

SUFFIXES = {".azcli", ".bash", ".ipynb", ".md", ".ps1", ".py", ".sh", ".yaml", ".yml"}
CALL = re.compile(r"(?<![\w./-])az((?:[ \t]+[a-z][a-z0-9-]*)+)(?![\w-])")
LIST_CALL = re.compile(r"""["']az["']((?:\s*,\s*["'][a-z][a-z0-9-]*["'])+)""")  # subprocess.run(["az", "group", ...])


def text_of(path: Path) -> str:
    """What a file says, a notebook's cells without their outputs; lines that go on are joined."""
    text = path.read_text("utf-8", errors="replace")
    if path.suffix == ".ipynb":
        try:
            text = "\n".join("".join(cell.get("source", [])) for cell in json.loads(text).get("cells", []))
        except ValueError:
            return ""
    return re.sub(r"[\\`]\r?\n\s*", " ", text)


def calls(text: str, commands: Collection[str]) -> Iterator[str]:
    """The commands that a text calls: the longest name that the words after `az` begin with."""
    found = [match[1].split() for match in CALL.finditer(text)]
    found += [re.findall(r"[a-z][a-z0-9-]*", match[1]) for match in LIST_CALL.finditer(text)]
    for words in found:
        names = (" ".join(words[:count]) for count in range(len(words), 0, -1))
        if (name := next((name for name in names if name in commands), None)) and words[0] != "ml":
            yield name


def main(commands: Collection[str], checkouts: dict[str, Path]) -> None:
    count: Counter[str] = Counter()
    files: defaultdict[str, set[Path]] = defaultdict(set)
    sources: defaultdict[str, set[str]] = defaultdict(set)
    for source, folder in checkouts.items():
        for path in sorted(folder.rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and not path.is_symlink():
                for name in calls(text_of(path), commands):
                    count[name] += 1
                    files[name].add(path)
                    sources[name].add(source)
    for name, number in sorted(count.items(), key=lambda item: (-item[1], item[0])):
        print(name, number, len(files[name]), " ".join(sorted(sources[name], key=str.lower)), sep="\t")


if __name__ == "__main__":
    known = set(Path(sys.argv[1]).read_text("utf-8").splitlines())
    main(known, {name: Path(folder) for name, _, folder in (each.partition("=") for each in sys.argv[2:])})
