"""Do the `--query`s of public scripts give the same answer here as on what the real service answered?

    python conformance/queries.py RECORDINGS conformance/queries.tsv [--all]
    python conformance/queries.py RECORDINGS FOLDER ... [--all] [--write conformance/queries.tsv]

FOLDER: checkouts; every `az ml ... --query QUERY` of their shell scripts, workflows, notebooks and pages counts once,
whatever its spaces and quotes. queries.tsv: such a count, written before.
RECORDINGS: as of conformance/recordings.py. A query is tried on what `az ml` prints of each recorded answer of that
noun, and on what `aml` prints of the same thing made here. The answers are the same when they have the same structure,
and their values the same form; Azure's words must be the same. An object may say more here. A query that selects by
somebody's own names and finds nothing is asked again for the names in the answer. Exit code 1: one differs.
"""

import argparse
import contextlib
import logging
import re
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import jmespath
import recorded
from az_calls import SUFFIXES, text_of
from local_answers import Scratch
from recordings import WORDS, _made, differences, form, leaves, why_cloud, why_on_purpose

COMMAND = re.compile(r"\baz\s+ml\s+(?P<noun>[a-z][a-z-]*)\s+(?P<verb>[a-z][a-z-]*)(?P<rest>[^\n]*)")
VARIABLE = re.compile(r"\$\{\{.*?\}\}|\$\{[^}]*\}|\$\w+|\{\w+\}")
SELECTED = re.compile(r"(?P<before>(?P<key>[\w.\"]+)\s*==\s*)(?P<quote>['`])[^'`]*(?P=quote)")
PART = re.compile(r"(?P<before>(?:contains|starts_with|ends_with)\((?P<key>[\w.]+),\s*)(?P<quote>['`])[^'`]*(?P=quote)")
RENAMED = re.compile(r"(\w+)\s*:\s*([a-z][\w.]*)")
ONE = {"archive", "cancel", "create", "disable", "enable", "restore", "show", "start", "update"}
ASSETS = {"component": "components", "data": "data", "environment": "environments", "model": "models"}
ELSEWHERE = dict.fromkeys(("feature-set", "feature-store", "feature-store-entity", "index", "connection"), "Azure only")


@dataclass(frozen=True)
class Query:
    """noun, verb: of the command; versions: a list of one name's versions."""

    noun: str
    verb: str
    text: str
    versions: bool = False

    def __str__(self) -> str:
        return f"{self.noun} {self.verb}{' --name' if self.versions else ''} --query {self.text}"


def words(text: str) -> Iterator[str]:
    """The words of one command of a shell, up to its end; what is quoted is one word."""
    word, started, quote = "", False, ""
    for number, letter in enumerate(text):
        if quote:
            if letter == quote and text[number - 1] != "\\":
                quote = ""
            elif not (letter == "\\" and quote == '"' and text[number + 1 : number + 2] == "`"):  # the shell's own
                word += letter
        elif letter in "'\"":
            quote, started = letter, True
        elif letter in "|;)`>&<" and not (letter in ")`" and word.count("(") > word.count(")")):
            break
        elif letter.isspace():
            if started or word:
                yield word
            word, started = "", False
        else:
            word += letter
    if started or word:
        yield word


def counted(places: Sequence[Path]) -> dict[Query, tuple[int, set[str]]]:
    """For each query of these checkouts, or of an earlier count, how often it is used, and where."""
    found: dict[Query, tuple[int, set[str]]] = {}
    same: dict[str, Query] = {}

    def add(query: Query, count: int, sources: set[str]) -> None:
        query = same.setdefault(re.sub(r"[\s'\"`\\]", "", str(query)), query)
        before, where = found.get(query, (0, set()))
        found[query] = before + count, where | sources

    for place in places:
        if place.is_dir():
            for query, _ in queries(place):
                add(query, 1, {place.name.replace("+", "/", 1)})
            continue
        for line in place.read_text("utf-8").splitlines():
            if not line.startswith("#"):
                noun, verb, versions, text, count, sources = line.split("\t")
                add(Query(noun, verb, text, bool(versions)), int(count), set(sources.split()))
    return found


def written(found: dict[Query, tuple[int, set[str]]]) -> str:
    """The count as `counted` reads it."""
    head = (
        "# The queries of `az ml ... --query` in public scripts: noun, verb, --name of a list, query, uses, sources.\n"
        f"# Counted {date.today().isoformat()} by queries.py; `index`: excerpts of a search index, without a name.\n"
    )
    lines = []
    for query, (count, where) in sorted(found.items(), key=lambda item: str(item[0])):
        name = "--name" if query.versions else ""
        lines.append("\t".join((query.noun, query.verb, name, query.text, str(count), " ".join(sorted(where)))))
    return head + "".join(f"{line}\n" for line in lines)


def queries(folder: Path) -> Iterator[tuple[Query, Path]]:
    """Every query of the files below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.suffix not in SUFFIXES or not path.is_file() or path.is_symlink():
            continue
        for match in COMMAND.finditer(text_of(path)):
            given = list(words(match["rest"].replace('\\"', '"') if path.suffix != ".sh" else match["rest"]))
            for number, word in enumerate(given):
                text = word[8:] if word.startswith("--query=") else given[number + 1 : number + 2] and given[number + 1]
                if text and (word == "--query" or word.startswith("--query=")):
                    named = match["verb"] == "list" and bool({"--name", "-n"} & set(given))
                    yield (
                        Query(match["noun"], match["verb"], " ".join(str(text).replace('\\"', '"').split()), named),
                        path,
                    )


class Answers:
    """For a noun and a verb, what `az ml` prints of a recorded answer and what `aml` prints of the same thing."""

    def __init__(self, recordings: Path) -> None:
        self.recordings = list(recorded.read(recordings))

    def pairs(self, query: Query) -> list[tuple[str, Any, Any]]:
        """[(kind, theirs, ours)]; empty when nothing of it is recorded."""
        if query.verb in ONE:
            return self._of(query.noun)
        if query.verb == "list":
            every = self._containers(query.noun) if query.noun in ASSETS and not query.versions else None
            return [(kind, [theirs], [ours]) for kind, theirs, ours in every or self._of(query.noun)]
        return [pair for call in CALLS.get((query.noun, query.verb), ()) for pair in self._calls(*call)]

    @cache  # noqa: B019 (one object, which lives as long as the process)
    def _of(self, noun: str) -> list[tuple[str, Any, Any]]:
        found = []
        for recording in self.recordings:
            for one, sent in recorded.resources(recording):
                place, kind = one.place, recorded.kind_of(one.place, one.body) or ""
                if place is None or noun != ("job" if kind.endswith(" job") else kind.replace(" ", "-")):
                    continue
                with contextlib.suppress(Exception), tempfile.TemporaryDirectory() as folder:
                    body = recorded.with_identity_of(place, one.body)
                    theirs = recorded.printed(place.collection, body)
                    without = noun.endswith("-endpoint") or noun == "compute"  # an address, or settings, at first
                    if without and theirs.get("provisioning_state") == "Creating":
                        continue
                    ours = _made(Path(folder), place, [sent, one.body])
                    if noun == "job":  # made here, not run: a query for one state asks both jobs in the same state
                        ours["status"] = theirs.get("status", ours["status"])
                    found.append((kind, theirs, ours))
        return found or self._registries() if noun == "registry" else found

    def _registries(self) -> list[tuple[str, Any, Any]]:
        """Every registry that a recording shows, and one of its name here."""
        from azure.ai.ml._restclient.arm_ml_service import models
        from azure.ai.ml.entities import Registry

        from amlocal.cli.printing import plain

        found = []
        for recording in self.recordings:
            for one in recording.exchanges:
                if one.method != "GET" or one.status != 200 or not re.search(r"/registries/[^/]+$", one.path):
                    continue
                theirs = Registry._from_rest_object(models.Registry._deserialize(one.body, []))
                with tempfile.TemporaryDirectory() as folder:
                    registries = Scratch(Path(folder)).client.registries
                    registries.begin_create(theirs)
                    ours = registries.describe(theirs.name)
                    found.append(("registry", recorded.without_nothing(plain(theirs)), recorded.without_nothing(ours)))
        return found

    @cache  # noqa: B019
    def _containers(self, noun: str) -> list[tuple[str, Any, Any]]:
        """A name with its versions, as `list` gives it."""
        collection = ASSETS[noun]
        bodies = [
            body
            for recording in self.recordings
            for one in recording.exchanges
            if one.status == 200 and one.place and one.place.collection == collection and isinstance(one.body, dict)
            for body in (one.body.get("value") or [one.body])
        ]
        for place, sent in self._versions(collection):
            with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Exception):  # a request without all of it
                scratch = Scratch(Path(folder))
                scratch.show(place, sent)
                ours = recorded.without_nothing(getattr(scratch.client, collection).describe_all()[0])
                every = [(noun, recorded.container(collection, body), ours) for body in bodies]
                return [each for each in every if each[1].get("type") == ours.get("type")]  # of the same kind of data
        return []

    def _versions(self, collection: str) -> Iterator[tuple[recorded.Place, Any]]:
        """Every version of a kind that was made, and with which request."""
        for recording in self.recordings:
            for one, sent in recorded.resources(recording):
                if one.place and one.place.collection == f"{collection}/versions":
                    yield one.place, sent

    def _calls(self, address: str, ours: str) -> list[tuple[str, Any, Any]]:
        """What is no resource: the recorded body of a POST, which is what `az ml` prints of it."""
        found = []
        for recording in self.recordings:
            for one in recording.exchanges:
                if one.method == "POST" and one.status < 300 and one.path.endswith(address) and one.body:
                    found.append((address.strip("/"), PRINTED[ours](one.body), OURS[ours]()))
        return found


def _flat(body: dict[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("id", "name", "type")} | {"status": body["properties"]["status"]}


def _invoked() -> dict[str, Any]:
    from amlocal.batch.invoke import DEPLOYMENT, ENDPOINT, described
    from amlocal.core.names import creation_context
    from amlocal.core.workspace import Workspace
    from amlocal.jobs.record import JobRecord

    record = JobRecord("batchjob-1", "pipeline", "batchjob-1", "e", {}, creation_context(), status="Preparing")
    record.properties |= {ENDPOINT: "e", DEPLOYMENT: "d"}
    return _flat(described(Workspace(Path(tempfile.gettempdir())), record, {}))


def _keys() -> dict[str, str]:
    from amlocal.endpoints.store import new_keys

    return new_keys()


def _token() -> dict[str, Any]:
    from amlocal.endpoints.gateway.auth import token

    return token("letters", "aml_token", "s" * 32)


CALLS = {  # what a recorded address ends with, and what is answered there
    ("batch-endpoint", "invoke"): [("/jobs", "invoke")],
    ("online-endpoint", "get-credentials"): [("/listKeys", "keys"), ("/token", "token")],
}
PRINTED = {"invoke": _flat, "keys": dict, "token": dict}
OURS = {"invoke": _invoked, "keys": _keys, "token": _token}


def empty(value: Any) -> bool:
    """Whether an answer says nothing."""
    if isinstance(value, dict):
        return all(map(empty, value.values()))
    return all(map(empty, value)) if isinstance(value, list) else value is None


@dataclass(frozen=True)
class Refused:
    """A query that JMESPath refuses on an answer."""

    why: str


def ask(text: str, body: Any) -> Any:
    try:
        return jmespath.search(VARIABLE.sub("x", text), body)
    except jmespath.exceptions.JMESPathError as error:
        return Refused(type(error).__name__)


def with_names_of(text: str, body: Any) -> str:
    """A query that selects by somebody's own names, which selects by those of an answer."""
    one = body[0] if isinstance(body, list) and body else body

    def own(match: re.Match[str]) -> str:
        found = jmespath.search(match["key"], one)
        return f"{match['before']}'{found}'" if isinstance(found, str) else match[0]

    return PART.sub(own, SELECTED.sub(own, text))


def answers(query: Query, theirs: Any, ours: Any) -> tuple[Any, Any]:
    """What the query says of the recorded answer, and of the local one."""
    there, here = (ask(query.text, body) for body in (theirs, ours))
    if empty(there) and empty(here):
        return tuple(ask(with_names_of(query.text, body), body) for body in (theirs, ours))
    return there, here


def differs(query: Query, kind: str, theirs: Any, ours: Any) -> str | None:
    """How the answers to a query differ; None if they do not, or in what only a cloud has; "" if both say nothing."""
    there, here = answers(query, theirs, ours)
    if empty(there) and empty(here):
        return ""
    one = theirs[0] if isinstance(theirs, list) else theirs
    for key, value in leaves(one):  # an answer, or part of one, that is no more than such a key
        if why_cloud(kind, key) and (value == there or key.startswith(f"{query.text}.")):
            return None
    names = dict(RENAMED.findall(query.text))
    return unlike(query.text if isinstance(there, str) else "", kind, _renamed(there, names), _renamed(here, names))


def _renamed(answer: Any, names: dict[str, str]) -> Any:
    """An answer with the names of keys that a query gave others."""
    if isinstance(answer, list):
        return [_renamed(each, names) for each in answer]
    return {names.get(key, key): value for key, value in answer.items()} if isinstance(answer, dict) else answer


def unlike(key: str, kind: str, there: Any, here: Any) -> str | None:
    """How one answer differs from another: in a key that is missing, in a form, or in a word of Azure's."""
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        return next(filter(None, (unlike(key, kind, *both) for both in zip(there, here, strict=True))), None)
    if isinstance(here, dict) and there in (None, {}):
        return None  # more here
    if isinstance(there, dict) and isinstance(here, dict):
        return next(
            (
                f"{name}: {how}"
                for name, how in differences(there, here)
                if how and not why_cloud(kind, name) and not why_on_purpose(kind, name, how)
            ),
            None,
        )
    if Refused in (type(there), type(here)):
        return None if there == here else f"{there} there, {here} here"
    same = form(there) == form(here) and (there == here or not WORDS.search(key))
    return None if same else f"{str(there)[:60]!r} there, {str(here)[:60]!r} here"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--all", action="store_true", help="print every query, with what came of it")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the count here")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    found = counted(arguments.folders)
    if arguments.write:
        arguments.write.write_text(written(found), "utf-8")
    answers = Answers(arguments.recordings)
    told: defaultdict[str, list[str]] = defaultdict(list)
    for query in sorted(found, key=str):
        told[verdict(answers, query)].append(str(query))
    for said, each in sorted(told.items()):
        if arguments.all or said.startswith("DIFFERS"):
            print(f"{said}:", *each, sep="\n  ")
    equal = sum(len(each) for said, each in told.items() if said.startswith("same"))
    wrong = sum(len(each) for said, each in told.items() if said.startswith("DIFFERS"))
    print(f"\n| {sum(count for count, _ in found.values())} uses of distinct queries | {len(found)} |\n|---|---|")
    print(f"| tried | {equal + wrong} |\n| the same answer | {equal} |")
    for said, each in sorted(told.items()):
        if said.startswith(("not tried", "same answer: ")):
            print(f"| {said} | {len(each)} |")
    return int(wrong > 0)


def verdict(answers: Answers, query: Query) -> str:
    """`same answer`, `not tried: ...` or `DIFFERS ...`."""
    if query.noun in ELSEWHERE:
        return f"not tried: {query.noun}: {ELSEWHERE[query.noun]}"
    try:
        jmespath.compile(VARIABLE.sub("x", query.text))
    except jmespath.exceptions.JMESPathError:
        return "not tried: no query of JMESPath's (a part of one, or a variable's)"
    pairs = answers.pairs(query)
    if not pairs:
        return f"not tried: no answer to {query.noun} {query.verb} is recorded"
    said: list[str | None] = []
    for kind, theirs, ours in pairs:
        said.append(differs(query, kind, theirs, ours))
        if said[-1]:
            return f"DIFFERS ({kind}: {said[-1]})"
    if None in said:
        return "same answer"
    return "same answer: nothing, on no recorded answer and on none here"


if __name__ == "__main__":
    sys.exit(main())
