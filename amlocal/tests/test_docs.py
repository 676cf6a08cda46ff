"""What the pages say exists: links, which stay within this project, and every command with its flags."""

from pathlib import Path

import pytest
from doc_pages import check_aml, commands, dead_links, links

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
DOCS = sorted((PROJECT / "docs").glob("*.md"))
PAGES = [README, PROJECT / "CHANGELOG.md", PROJECT / "conformance" / "README.md", *DOCS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_links_lead_somewhere_in_this_project(page: Path) -> None:
    assert dead_links(page) == []
    assert [str(target) for target, _ in links(page) if not target.is_relative_to(PROJECT)] == []


def test_the_readme_lists_every_page() -> None:
    assert set(DOCS) <= {target for target, _ in links(README)}


@pytest.mark.parametrize("words", commands(PAGES, "aml "), ids=" ".join)
def test_commands_exist_with_their_flags(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    check_aml(words, capsys)
