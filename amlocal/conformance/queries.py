"""Do the `--query`s of public scripts give the same answer here as on what the real service answered?

    python conformance/queries.py RECORDINGS FOLDER ... [--all]

FOLDER: checkouts; every `az ml ... --query QUERY` of their shell scripts, workflows, notebooks and pages counts once.
RECORDINGS: as of conformance/recordings.py. A query is tried on what `az ml` prints of each recorded answer of that
noun, and on what `aml` prints of the same thing made here. The answers are the same when they have the same structure,
and their values the same form; Azure's words must be the same. An object may say more here. Exit code 1: one differs.
"""

import argparse
import contextlib
import logging
import re
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import jmespath
import recorded
from az_calls import SUFFIXES, text_of
from local_answers import Scratch
from recordings import WORDS, _made, differences, form, leaves, why_cloud

COMMAND = re.compile(r"\baz\s+ml\s+(?P<noun>[a-z][a-z-]*)\s+(?P<verb>[a-z][a-z-]*)(?P<rest>[^\n]*)")
VARIABLE = re.compile(r"\$\{\{.*?\}\}|\$\{[^}]*\}|\$\w+|\{\w+\}")
COMPARED = re.compile(rf"(?P<key>[\w.]+)\s*==\s*(?P<quote>['\"`])(?:{VARIABLE.pattern})(?P=quote)")
ONE = {"archive", "cancel", "create", "disable", "enable", "restore", "show", "start", "update"}
ASSETS = {"component": "components", "data": "data", "environment": "environments", "model": "models"}
ELSEWHERE = {
    "registry": "registries exist in Azure only",
    **dict.fromkeys(("feature-set", "feature-store", "feature-store-entity", "index", "connection"), "Azure only"),
}


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
            else:
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
                    yield Query(match["noun"], match["verb"], str(text).strip().replace('\\"', '"'), named), path


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
                    if noun.endswith("-endpoint") and theirs["provisioning_state"] == "Creating":
                        continue  # it has no address yet
                    ours = _made(Path(folder), place, [sent, one.body])
                    if noun == "job":  # made here, not run: a query for one state asks both jobs in the same state
                        ours["status"] = theirs.get("status", ours["status"])
                    found.append((kind, theirs, ours))
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


def differs(query: Query, kind: str, theirs: Any, ours: Any) -> str | None:
    """How the answers to a query differ; None if they do not, or in what only a cloud has; "" if there are none."""
    answers = []
    for body in (theirs, ours):
        one = body[0] if isinstance(body, list) else body
        text = COMPARED.sub(
            lambda match, one=one: f"{match['key']}=='{jmespath.search(match['key'], one)}'", query.text
        )
        answers.append(jmespath.search(VARIABLE.sub("x", text), body))
    there, here = answers
    if empty(there) and empty(here):
        return ""
    one = theirs[0] if isinstance(theirs, list) else theirs
    for key, value in leaves(one):  # an answer, or part of one, that is no more than such a key
        if why_cloud(kind, key) and (value == there or key.startswith(f"{query.text}.")):
            return None
    return unlike(query.text if isinstance(there, str) else "", kind, there, here)


def unlike(key: str, kind: str, there: Any, here: Any) -> str | None:
    """How one answer differs from another: in a key that is missing, in a form, or in a word of Azure's."""
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        return next(filter(None, (unlike(key, kind, *both) for both in zip(there, here, strict=True))), None)
    if isinstance(there, dict) and isinstance(here, dict):
        said = (f"{name}: {how}" for name, how in differences(there, here) if how and not why_cloud(kind, name))
        return next(said, None)
    same = form(there) == form(here) and (there == here or not WORDS.search(key))
    return None if same else f"{str(there)[:60]!r} there, {str(here)[:60]!r} here"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--all", action="store_true", help="print every query, with what came of it")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    found: Counter[Query] = Counter()
    for folder in arguments.folders:
        found.update(query for query, _ in queries(folder))
    answers = Answers(arguments.recordings)
    told: defaultdict[str, list[str]] = defaultdict(list)
    for query in sorted(found, key=str):
        told[verdict(answers, query)].append(str(query))
    for said, each in sorted(told.items()):
        if arguments.all or said.startswith("DIFFERS"):
            print(f"{said}:", *each, sep="\n  ")
    equal, other = len(told["same answer"]), [said for said in told if said.startswith("DIFFERS")]
    wrong = sum(len(told[said]) for said in other)
    print(f"\n| {sum(found.values())} uses of distinct queries | {len(found)} |\n|---|---|")
    print(f"| tried | {equal + wrong} |\n| the same answer | {equal} |")
    for said, each in sorted(told.items()):
        if said.startswith("not tried"):
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
        try:
            said.append(differs(query, kind, theirs, ours))
        except jmespath.exceptions.JMESPathError as error:
            return f"not tried: refused by JMESPath on a recorded answer ({type(error).__name__})"
        if said[-1]:
            return f"DIFFERS ({kind}: {said[-1]})"
    return "same answer" if None in said else "not tried: no recorded answer has what it asks for"


if __name__ == "__main__":
    sys.exit(main())
