"""What users write as YAML or JSON: each way not to be able to read it is one line, and soon."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from amlocal.cli import main
from amlocal.cli.updates import Changes
from amlocal.client import LocalMLClient
from amlocal.core import documents
from amlocal.core.errors import UserError
from amlocal.specs import load

NINE = ",".join
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{this}: &{this} [{','.join([f'*{before}'] * 9)}]\n" for before, this in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD = {
    "too deep": ("tags: {a: " + "[" * 3000 + "]" * 3000 + "}\n", "1: nested more than 100 levels deep"),
    "too deep in lines": ("".join(f"{' ' * n}a:\n" for n in range(2000)), "nested more than 100 levels deep"),
    "as deep as it goes": ("[" * 1_000_000, "nested more than 100 levels deep"),
    "too long": ("tags:\n" + "  a: 1 # b\n" * 400_000, "bytes; a YAML file may have 4,194,304"),
    "a bomb of aliases": (BOMB, "6: more than 250,000 values, its aliases followed"),
    "an alias in itself": ("tags: &a [1, *a]\n", r"1: \*a stands inside of what it names"),
    "an alias of nothing": ("tags: *a\n", "not valid YAML"),
    "a date that is none": ("tags: {a: 2025-13-41}\n", "not valid YAML: month must be in 1..12"),
    "a tag of Python's": ("tags: !!python/object:os.system {}\n", "1: not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2\n", "not valid YAML"),
    "torn": ("tags: {a: [\n", "not valid YAML"),
    "a tab": ("tags:\n\ta: 1\n", "2: not valid YAML: .*; indent with spaces, not with tabs"),
    "a tab after a colon": ("tags:\n  a:\tb\n", "2: not valid YAML: .*; write a space here, not a tab"),
    "a value in need of quotes": ("a: 1\ntags: @b\n", '2: not valid YAML: .*; put a value that begins with "@" in'),
    "a colon in a value": ("command: echo a: b\n", '1: not valid YAML: .*; put a value that has ": " in it in quot'),
    "an open quotation mark": ('a: "b\nc: d\ne: f\n', "1: not valid YAML: .*that is opened here is not closed"),
    "a merge conflict": ("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> b\n", "marks of a merge conflict; resolve it"),
}


@pytest.fixture(params=BAD)
def bad(request: pytest.FixtureRequest) -> tuple[str, str]:
    return BAD[request.param]


def refused(capsys: pytest.CaptureFixture[str], command: str) -> str:
    assert main(command.split()) == 1
    told = capsys.readouterr().err.strip()
    assert "\n" not in told and "fault in aml itself" not in told and len(told) < 400, told[:400]
    return told


@pytest.fixture
def here(bare_client: LocalMLClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AMLOCAL_HOME", str(bare_client.workspace.root))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_that_cannot_be_read_is_one_line(bad: tuple[str, str], tmp_path: Path) -> None:
    text, message = bad
    (tmp_path / "a.yml").write_text(text)
    with pytest.raises(UserError, match=rf"a\.yml.*{message}"):
        documents.read_yaml(tmp_path / "a.yml")


def test_too_many_values_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are allowed: to read a quarter of a million takes PyYAML half a minute on a busy machine."""
    monkeypatch.setattr(documents, "MOST_VALUES", 2_500)
    (tmp_path / "a.yml").write_text("tags: [" + "1, " * 2_600 + "1]\n")
    with pytest.raises(UserError, match=r"a\.yml:1: more than 2,500 values"):
        documents.read_yaml(tmp_path / "a.yml")


JOB = "command: ls\nenvironment: {image: a}\n"


@pytest.mark.parametrize(
    ("command", "file", "beside"),
    [
        ("job create -f x.yml", "x.yml", ""),
        ("validate x.yml", "x.yml", ""),
        ("data create -f x.yml", "x.yml", ""),
        ("job create -f job.yml", "x.yml", "command: ls\nenvironment: {image: a, conda_file: ./x.yml}\n"),
        ("job create -f job.yml", "x.yml", "type: pipeline\njobs: {a: {type: command, component: ./x.yml}}\n"),
        ("job create -f job.yml", "x.yml", "type: pipeline\njobs: {a: {type: command, component: 'file:x.yml'}}\n"),
        ("job create -f job.yml --set environment.conda_file=./x.yml", "x.yml", JOB),
        ("environment create -n e --image a --conda-file x.yml", "x.yml", ""),
        ("data create -n d -t mltable --path table", "table/MLTable", ""),
    ],
)
@pytest.mark.parametrize("kind", ["too deep", "too long", "a bomb of aliases"])
def test_wherever_it_is_named(here: Path, capsys: Any, command: str, file: str, beside: str, kind: str) -> None:
    (here / file).parent.mkdir(exist_ok=True)
    (here / file).write_text(BAD[kind][0])
    (here / "job.yml").write_text(beside)
    told = refused(capsys, command)
    assert file in told and BAD[kind][1].partition(": ")[2].split(",")[0] in told


def test_yaml_that_is_data_is_not_looked_at(here: Path, client: LocalMLClient) -> None:
    (here / "x.yml").write_text("a: !Ref b\n")
    (here / "job.yml").write_text(JOB + "inputs: {a: {type: uri_file, path: ./x.yml}}\n")
    assert load("job", here / "job.yml").inputs["a"].path


@pytest.mark.parametrize("name", ["x" * 5000, "file:" + "x" * 5000, "'a\0b'"])
def test_a_text_that_can_be_no_path_is_not_looked_for(here: Path, capsys: Any, name: str) -> None:
    (here / "job.yml").write_text(f"type: pipeline\njobs: {{a: {{type: command, component: {name}}}}}\n")
    assert main(["job", "create", "-f", "job.yml"]) == 1
    assert "fault in aml itself" not in capsys.readouterr().err


def test_what_is_deep_or_shared_within_reason_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("a: &a {b: [1]}\nc: *a\nd: {<<: *a, e: 1}\nf: " + "[" * 90 + "]" * 90)
    found = documents.read_yaml(tmp_path / "a.yml")
    assert found["c"] == {"b": [1]} and found["d"] == {"b": [1], "e": 1}


@pytest.mark.parametrize("text", ["{a:{b:1}}", "a: [b:{c}]", "%FOO x\n---\na: 1", "{a: {<<: {b: 1}}}", "\ufeffa: 1"])
def test_what_azure_ai_ml_reads_is_read_the_same(text: str, tmp_path: Path) -> None:
    """libyaml refuses some of these, and takes the tab that is refused above."""
    from azure.ai.ml._utils.utils import load_yaml

    (tmp_path / "a.yml").write_text(text, encoding="utf-8")
    assert documents.read_yaml(tmp_path / "a.yml") == load_yaml(tmp_path / "a.yml")
    assert documents.yaml_of(text, "--inputs") == load_yaml(tmp_path / "a.yml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("command: a\ncommand: b\n", ["2: command"]),
        ('command: a\n"command": b\n', ["2: command"]),
        ("tags:\n  x: 1\n  y: 2\n  x: 3\n", ["4: x"]),
        ("jobs:\n  - {a: 1, a: 2, a: 3}\n", ["2: a", "2: a"]),
        ("a: {x: 1}\nb: {x: 1}\nc: [a, a]\nd: d\n", []),
        ("a: &a {x: 1}\nb: {<<: *a, x: 2}\n", []),
        ("1: a\n'1': b\n", []),
        ("? [a]\n: 1\n? {b: 1}\n: b\nx: b\n", None),
    ],
)
def test_a_key_that_stands_twice_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, said: list[str] | None
) -> None:
    path = tmp_path / "a.yml"
    path.write_text(text)
    if said is None:  # keys that Python has none of
        with pytest.raises(UserError, match="not valid YAML"):
            documents.read_yaml(path)
        return
    with caplog.at_level(logging.WARNING):
        documents.read_yaml(path)
        documents.read_yaml(path)
    expected = [f"{path}:{each} stands there twice; the last one counts, as on Azure" for each in dict.fromkeys(said)]
    assert [record.getMessage().removeprefix("WARNING: ") for record in caplog.records] == expected


def test_the_last_of_two_counts_and_the_user_is_told(here: Path, client: LocalMLClient, capsys: Any) -> None:
    (here / "d.yml").write_text("name: d\nversion: 1\ntype: uri_file\npath: ./d.yml\ndescription: a\ndescription: b\n")
    assert main(["data", "create", "-f", "d.yml"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["description"] == "b"
    assert told.err == "WARNING: d.yml:6: description stands there twice; the last one counts, as on Azure\n"
    documents._warned.clear()
    assert main(["data", "create", "-f", "d.yml", "--only-show-errors"]) == 0
    assert capsys.readouterr().err == ""


DEEP = [f"[{'[' * depth}{']' * depth}]" for depth in (400, 995, 3_000, 100_000)]


@pytest.mark.parametrize("text", DEEP)
def test_deep_json_is_read_or_refused(text: str) -> None:
    for given in (text, text.encode()):
        try:
            json.dumps(documents.json_of(given, "r.json"))
        except UserError as error:
            assert str(error) == "r.json: JSON that is nested too deep to be read"


@pytest.mark.parametrize("text", DEEP)
@pytest.mark.parametrize("each", ["set", "add"])
def test_deep_json_in_a_flag_is_a_text_or_a_list(text: str, each: Any) -> None:
    changed = Changes([(each, [f"a={text}"] if each == "set" else ["a", text])]).applied({})
    assert changed["a"]


def test_json_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"r\.json: not JSON"):
        documents.json_of("{", "r.json")
    assert documents.json_of(b"\xef\xbb\xbf[1]", "r.json") == [1]
