"""`make clean` removes what .gitignore names and what the pages' commands write, and nothing else."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from digits.data.hands import HANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("aml/**/*.yml")]
# Commands that write into a folder; a model is downloaded into a folder of its name.
WRITES = re.compile(r"(?:--out|--output|--download-path|-p) ((?:data|\w+/|downloaded|from-)[\w/-]*)")
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def ignored() -> list[str]:
    """A path for each pattern of .gitignore, and one in a folder where the pattern holds there, too."""
    found = []
    for line in (ROOT / ".gitignore").read_text().splitlines():
        pattern = line.replace("*.py[cod]", "module.pyc").replace("*", "_of_a_process")
        path = pattern.strip("/") + "/made" * pattern.endswith("/")
        if path == "data/made":  # in this folder are also files of one's own
            continue
        found += [path] if pattern.startswith("/") else [path, f"notebooks/{path}"]
    return found


def documented() -> list[str]:
    """Files in every folder that a command of the pages fills."""
    folders = {folder for page in PAGES for folder in WRITES.findall(page.read_text(encoding="utf-8"))}
    assert {"data", "data/batch", "downloaded", "from-azure", "traffic/autumn"} <= folders
    fetched = [f"data/{name}" for name in HANDS]  # digits.data fetch
    return [f"{folder}/digits/made" if folder == "data" else f"{folder}/made" for folder in [*folders, *fetched]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of the repository in a repository of their own."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.splitlines()):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def test_clean_removes_what_was_made_and_nothing_else(copy: Path) -> None:
    kept = {path for path in copy.rglob("*") if path.is_file()}
    own = [copy / "data" / "labels.jsonl", copy / "data" / "own" / "1.png", copy / ".git" / "dist"]
    made = [copy / path for path in [*ignored(), *documented()]]
    for path in [*made, *own]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    seen = subprocess.run(
        ["git", "check-ignore", *[str(path) for path in made]], cwd=copy, capture_output=True, text=True, check=True
    )
    assert set(seen.stdout.splitlines()) == {str(path) for path in made}, "git would add what a command made"
    subprocess.run(["make", "clean"], cwd=copy, check=True, capture_output=True)

    assert {path for path in copy.rglob("*") if path.is_file()} == {*kept, *own}


def test_clean_leaves_no_empty_folder_of_data(copy: Path) -> None:
    (copy / "data" / "mnist").mkdir(parents=True)
    subprocess.run(["make", "clean"], cwd=copy, check=True, capture_output=True)
    assert not (copy / "data").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a bash script")
def test_clean_stops_what_runs_in_every_workspace_here(copy: Path) -> None:
    """A notebook that runs in its own folder makes its workspace there."""
    for folder in (".", "notebooks"):
        (copy / folder / ".amlocal").mkdir()
    aml = copy / ".venv" / "bin" / "aml"
    aml.parent.mkdir(parents=True)
    aml.write_text('#!/bin/bash\necho "$AMLOCAL_HOME $*"\n')
    aml.chmod(0o755)
    said = subprocess.run(["make", "clean"], cwd=copy, check=True, capture_output=True, text=True).stdout
    assert {"./.amlocal down", "./notebooks/.amlocal down"} <= set(said.splitlines())
