"""Does a refusal name the field that was broken? Good specs, each broken in one known way.

    python conformance/fuzz_specs.py FOLDER...                       # 2,000 mutations of the specs below the folders
    python conformance/fuzz_specs.py FOLDER... --count 500 --seed 7  # fewer, others
    python conformance/fuzz_specs.py FOLDER... --show                # every message beside its mutation

Only specs that are accepted as they are get broken. A mutation knows its field; a message that names neither it, nor
what it stands in, nor a word of it, is nonsense, and so is one that comes from inside azure-ai-ml or Python. What
is accepted in spite of its mutation (Azure takes many unknown keys) is counted apart, as "noted" where a note names it.
The counts so far go to standard error; the last line is JSON. Exit code 1 if more than 1 % are nonsense.
"""

import argparse
import copy
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "src"))

from conformance.specs import specs  # noqa: E402

from amlocal.core.errors import UserError  # noqa: E402
from amlocal.core.workspace import Workspace  # noqa: E402
from amlocal.specs.load import read_document  # noqa: E402
from amlocal.specs.recognize import kind_of  # noqa: E402
from amlocal.validate import validate  # noqa: E402

ALLOWED = 0.01
EACH = 100  # how many mutations between two lines with the counts
# What no author of a file can make anything of.
NONSENSE = re.compile(
    r"object has no attribute|Traceback|NoneType|marshmallow|unhashable|positional argument|In order to specify"
    r"|<class |not subscriptable|fault in aml|Error: |\{'|Can't find|resolved absolute",
)

Place = tuple[Any, ...]


@dataclass(frozen=True)
class Mutation:
    """name: its kind. field: the keys to what it broke. also: other words by which a message may name it."""

    name: str
    field: Place
    document: Any
    also: tuple[str, ...] = ()


def places(document: Any, prefix: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every field of a document, and what it holds."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key != "$schema":
                yield (*prefix, key), value
                yield from places(value, (*prefix, key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from places(value, (*prefix, number))


def changed(document: Any, place: Place, change: Callable[[Any, Any], None]) -> Any:
    """A copy in which `change` was made to what holds `place`."""
    other = copy.deepcopy(document)
    holder = other
    for key in place[:-1]:
        holder = holder[key]
    change(holder, place[-1])
    return other


def typo(word: str, chance: random.Random) -> str:
    """A word with one slip of the finger: a letter left out, doubled or swapped with the next."""
    at = chance.randrange(max(len(word) - 1, 1))
    slips = (
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
    )
    return next((slip for slip in chance.sample(slips, 3) if slip not in ("", word)), f"{word}x")


def rename(holder: Any, key: Any, name: Any) -> None:
    items = list(holder.items())
    holder.clear()
    holder.update((name if old == key else old, value) for old, value in items)


def mutations(document: Any, chance: random.Random) -> Iterator[Mutation]:
    """Endless mutations of a document."""
    each = list(places(document))
    keyed = [(place, value) for place, value in each if isinstance(place[-1], str)]
    texts = [(place, value) for place, value in each if isinstance(value, str)]
    while keyed:
        kind = chance.choice(KINDS)
        place, value = chance.choice(texts if kind in TEXTUAL and texts else keyed)
        made = kind(document, place, value, chance)
        if made is not None and made.document != document:
            yield made


def misspell_key(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation:
    name = typo(place[-1], chance)
    other = changed(document, place, lambda holder, key: rename(holder, key, name))
    return Mutation("misspelt key", place, other, (name,))


def wrong_type(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation:
    new = chance.choice([17.5, True, ["a"], {"a": "b"}, "text"])
    return Mutation("wrong type", place, changed(document, place, lambda holder, key: holder.update({key: new})))


def removed(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation:
    return Mutation("removed", place, changed(document, place, lambda holder, key: holder.pop(key)))


def nested_too_deep(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation:
    other = changed(document, place, lambda holder, key: holder.update({key: {key: value}}))
    return Mutation("nested too deep", place, other)


def moved_out(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation | None:
    if len(place) < 2 or not isinstance(place[0], str) or place[-1] in document:
        return None
    other = changed(document, place, lambda holder, key: holder.pop(key))
    other[place[-1]] = value
    return Mutation("at the wrong level", place, other)


def listed(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation | None:
    if not isinstance(value, dict):
        return None
    new = [{key: one} for key, one in value.items()]
    return Mutation("list for mapping", place, changed(document, place, lambda holder, key: holder.update({key: new})))


def emptied(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation:
    return Mutation("empty", place, changed(document, place, lambda holder, key: holder.update({key: None})))


def put(document: Any, place: Place, new: Any) -> Any:
    def change(holder: Any, key: Any) -> None:
        holder[key] = new

    return changed(document, place, change)


def missing_file(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation | None:
    if not value.startswith((".", "file:")) and "/" not in value:
        return None
    if value.startswith(("azureml:", "http", "wasb", "abfs", "git+", "mcr.")) or "${{" in value or " " in value:
        return None
    return Mutation("missing file", place, put(document, place, f"{value}-gone"), (f"{value}-gone",))


def wrong_choice(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation | None:
    if place[-1] not in ("type", "mode", "goal", "auth_mode", "tier", "sampling_algorithm", "frequency", "size"):
        return None
    new = typo(value, chance)
    return Mutation("wrong choice", place, put(document, place, new), (new,))


def bad_reference(document: Any, place: Place, value: Any, chance: random.Random) -> Mutation | None:
    if match := re.search(r"\$\{\{\s*([\w.]+?)(\w)\s*\}\}", value):
        new = value[: match.start(2)] + "q" + value[match.start(2) :]
        return Mutation("bad binding", place, put(document, place, new), (f"{match[1]}q{match[2]}",))
    if value.startswith("azureml:") and "//" not in value:
        new = chance.choice([value.removeprefix("azureml:"), f"{value.partition('@')[0]}:1:2", "azureml:"])
        return Mutation("bad reference", place, put(document, place, new), (new,))
    return None


KINDS: tuple[Callable[..., Mutation | None], ...] = (
    misspell_key,
    misspell_key,
    wrong_type,
    wrong_type,
    removed,
    nested_too_deep,
    moved_out,
    listed,
    emptied,
    missing_file,
    wrong_choice,
    bad_reference,
)
TEXTUAL = (missing_file, wrong_choice, bad_reference)


def sense(mutation: Mutation, lines: Sequence[str]) -> str | None:
    """Why the messages are nonsense; None if each can be understood, and one names what was broken."""
    for line in lines:
        if NONSENSE.search(line):
            return "not in the words of the file"
    told = "\n".join(lines)
    names = [str(key) for key in mutation.field if isinstance(key, str)]
    words = [*names[-1:], *mutation.also, ".".join(map(str, mutation.field[:-1]))]
    if any(word and word in told for word in words):
        return None
    if len(names) == 1 and any(re.match(r"[^:]+(:\d+)?: ", line) for line in lines) and names[0] in told:
        return None
    return "names something else"


def dumped(document: Any) -> str:
    return yaml.safe_dump(document, sort_keys=False)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=2000, help="how many mutations (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default: 1)")
    parser.add_argument("--show", action="store_true", help="print every message beside its mutation")
    chosen = parser.parse_args(arguments)
    chance = random.Random(chosen.seed)  # noqa: S311 (the same mutations every time)
    counts, per_kind = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder, ".amlocal"))
        paths = list(specs(chosen.folders))
        if not paths:
            print("no spec below these folders", file=sys.stderr)
            return 1
        good: dict[Path, Iterator[Mutation]] = {}
        while sum(counts.values()) < chosen.count and paths:
            path = chance.choice(paths)
            document = read_document(path)
            if path not in good:
                if validate([path], workspace).errors:
                    paths.remove(path)
                    continue
                good[path] = mutations(document, chance)
            mutation = next(good[path], None)
            if mutation is None:
                paths.remove(path)
                continue
            kind = kind_of(document)
            beside = path.with_name(f".fuzz-{path.name}")  # its paths are relative to where it lies
            notes: list[str] = []
            try:
                beside.write_text(dumped(mutation.document), encoding="utf-8")
                report = validate([beside], workspace, kind)
                lines, notes = report.errors, report.notes
                problem = sense(mutation, lines) if lines else None
            except UserError as error:
                lines = [str(error)]
                problem = sense(mutation, lines)
            except Exception as error:
                lines, problem = [f"{type(error).__name__}: {error}"], "broke down"
            finally:
                beside.unlink(missing_ok=True)
            noted = bool(notes) and sense(mutation, notes) is None
            outcome = "nonsense" if problem else "clear" if lines else "noted" if noted else "accepted"
            counts[outcome] += 1
            if outcome == "nonsense":
                per_kind[mutation.name] += 1
            if (done := sum(counts.values())) % EACH == 0:
                print(f"{done} mutations: {json.dumps(counts)}", file=sys.stderr, flush=True)
            if problem or (chosen.show and lines):
                broken = ".".join(map(str, mutation.field))
                print(f"{outcome} ({problem or mutation.name}): {path}: {mutation.name} {broken}")
                for line in lines:
                    print(f"    {line}", flush=True)
    refused = counts["clear"] + counts["nonsense"]
    share = counts["nonsense"] / refused if refused else 0.0
    print(json.dumps({"mutations": sum(counts.values()), **counts, "share": round(share, 4), "nonsense_by": per_kind}))
    return 1 if share > ALLOWED else 0


if __name__ == "__main__":
    sys.exit(main())
