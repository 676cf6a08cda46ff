"""What reads makes nothing: in a folder without a workspace the verbs that list answer, and leave no trace."""

import json
from pathlib import Path

import pytest

from amlocal.cli import main
from amlocal.cli.app import Aml, Commands

REQUIRED = {
    "online-deployment list": ["--endpoint-name", "e"],
    "batch-deployment list": ["--endpoint-name", "e"],
    "batch-endpoint list-jobs": ["--name", "e"],
    "batch-deployment list-jobs": ["--name", "d", "--endpoint-name", "e"],
    "compute list-nodes": ["--name", "c"],
}
READING = sorted(
    command for command in Commands(cli_ctx=Aml()).load_command_table([]) if command.split()[-1].startswith("list")
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AMLOCAL_HOME", raising=False)
    monkeypatch.delenv("AML_TARGET", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", [*READING, "job show -n x", "model show -n x -v 1", "data show -n x -v 1"])
def test_reading_makes_no_workspace(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([*command.split(), *REQUIRED.get(command, [])])
    assert code in (0, 1), capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_an_empty_list_of_jobs_says_what_to_do_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "list", "-o", "json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert err == (
        f"No job was submitted to {folder / '.amlocal'} yet: `aml job create -f FILE.yml --stream` submits one.\n"
    )
    assert main(["job", "list", "--only-show-errors"]) == 0
    assert capsys.readouterr().err == ""
