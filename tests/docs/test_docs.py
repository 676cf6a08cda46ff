"""What README and docs say is there: links, files, and every command with its flags."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from amlocal.cli import main as aml

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "amlocal" / "README.md"]
PAGES += [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "amlocal" / "docs").glob("*.md"))]


def commands() -> list[list[str]]:
    """Every `aml`, `az ml` and `python -m digits...` line of an indented or fenced block, without its comment.

    What is said of `az ml` must hold of `aml`.
    """
    found = []
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            text = line.strip().replace("az ml ", "aml ")
            block = line.startswith("    ") or line.startswith(("aml ", "az ml "))
            if block and text.startswith(("aml ", "python -m digits.")):
                words = shlex.split(text, comments=True)
                words = words[: words.index("--")] if "--" in words else words  # what follows is another command's
                if words not in found:
                    found.append(words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_exist_with_their_flags(words, capsys):
    if words[0] == "aml":
        verb = [word for word in words[1:4] if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
        verb = verb[: next((i for i, word in enumerate(words[1:]) if word.startswith("-")), len(verb))]
        code = aml([*verb, "--help"])
        told, wrong = capsys.readouterr()
    else:
        base = [sys.executable, *words[1:3], *(word for word in words[3:4] if not word.startswith("-"))]
        done = subprocess.run([*base, "--help"], capture_output=True, text=True, check=False)
        code, told, wrong = done.returncode, done.stdout, done.stderr
    assert code == 0, wrong
    for word in words[1:]:
        if word.startswith("-") and word != "-m":
            assert re.search(rf"(^|[\s,]){re.escape(word)}\b", told, re.MULTILINE), f"{word} is not in the help"
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
