"""What README and docs say is there: links, files, and every command with its flags."""

import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import check_aml, commands, dead_links, links, unknown_flags

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "bench/README.md")), *DOCS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert dead_links(page) == []


def test_the_readme_lists_every_page():
    assert set(DOCS) <= {target for target, _ in links(README)}


@pytest.mark.parametrize("words", commands(PAGES, "aml ", "python -m digits.", "python -m drift."), ids=" ".join)
def test_commands_exist_with_their_flags(words, capsys):
    if words[0] == "aml":
        check_aml(words, capsys)
    else:
        base = [sys.executable, *words[1:3], *(word for word in words[3:4] if not word.startswith("-"))]
        done = subprocess.run([*base, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert unknown_flags(words, done.stdout) == []
    for word in words:
        if word.endswith(".yml") and "/" in word:  # job.yml and the like stand for a file of the reader's
            assert (ROOT / word).is_file(), word


@pytest.mark.skipif(sys.platform == "win32", reason="the page is for bash")
def test_the_way_to_a_workspace_is_a_script_that_runs(tmp_path):
    """What the first three steps tell to type, with the `az` that answers where there is no Azure; no look at quota."""
    steps = (ROOT / "docs" / "azure.md").read_text(encoding="utf-8").split("\n## ")[1:4]
    lines = [line.strip() for step in steps for line in step.splitlines() if line.startswith(("    az", "    export"))]
    assert len(lines) > 10 and any(line.startswith("az deployment sub create") for line in lines)
    script = tmp_path / "steps.sh"
    script.write_text("set -e\n" + "\n".join(lines) + '\n[ -n "$AZURE_PRINCIPAL_ID" ]\n', encoding="utf-8")
    command = [sys.executable, "-m", "amlocal", "exec", "--", "bash", str(script)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "nothing was provisioned" in ran.stderr
