"""`aml validate` finds nothing in this repository's specs but what a fresh clone does not have."""

import json
import shutil
from pathlib import Path

from amlocal.cli import main

REPOSITORY = Path(__file__).parents[2]


def test_this_repository_s_own_specs_are_sound(capsys, monkeypatch, tmp_path):
    shutil.copytree(REPOSITORY / "aml", tmp_path / "aml")
    shutil.copytree(REPOSITORY / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    code = main(["validate", "aml", "-o", "json"])
    result = json.loads(capsys.readouterr().out)
    # what is downloaded, trained, collected or labelled is not there in a fresh clone
    missing = {"path", "inputs.images", "inputs.model", "inputs.collected", "inputs.labels"}
    assert {line.split(": ", 2)[1] for line in result.get("errors", [])} <= missing
    assert result["files"] >= 15 and code == (1 if result.get("errors") else 0)
