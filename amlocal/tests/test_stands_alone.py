"""`amlocal` is for anybody's repository: its sources and pages name nothing of the one it was written beside."""

import re
from pathlib import Path

import pytest

import amlocal

ROOT = Path(amlocal.__file__).parent
PROJECT = Path(__file__).parents[1]
# Not docs/conformance.md: it lists Microsoft's examples, and some of these are about MNIST.
PAGES = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", PROJECT / "conformance" / "README.md"]
PAGES += sorted(path for path in (PROJECT / "docs").glob("*.md") if path.name != "conformance.md")
WORDS = (
    r"\bdigits\b",  # the template's package, assets and tag
    r"mnist",
    r"\bmake [a-z]+(-[a-z]+)*`",  # a target of a Makefile
    r"\bproject=(?!my-)\w",
    r"\btensorflow[-\w]*\.yml",
)
# Where the word is English: the ten characters, and the places of a number.
ENGLISH = re.compile(r"letters, digits|loses its digits|significant digits", re.IGNORECASE)


def found(text: str) -> list[str]:
    """The lines that name what they should not."""
    lines = [ENGLISH.sub("", line) for line in text.splitlines()]
    return [line for line in lines if any(re.search(word, line, re.IGNORECASE) for word in WORDS)]


def sources() -> list[Path]:
    """All but the list of conda's packages, of which one is named so."""
    return [
        path for path in ROOT.rglob("*") if path.is_file() and path.suffix != ".pyc" and path.name != "conda_names.txt"
    ]


def test_there_are_sources() -> None:
    assert len(sources()) > 150


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_source_names_nothing_of_the_template(path: Path) -> None:
    assert found(path.read_text(encoding="utf-8", errors="replace")) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_a_page_names_nothing_of_the_template(path: Path) -> None:
    assert found(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "from digits import data",
        'DISTRIBUTION = "digits-on-azureml"',
        "text: aml quota check -f aml/endpoints/digits/blue.yml",
        "# measured on MNIST",
        "note('`make lint` checks it')",
        'tag: str = "project=digits"',
        'tag: str = "project=mine"',
        "environments/tensorflow-cpu.yml",
    ],
)
def test_each_word_is_found(line: str) -> None:
    assert found(line)


def test_english_is_not_found() -> None:
    assert not found("use letters, digits and -; to make a model; aml down --tag project=my-project")
