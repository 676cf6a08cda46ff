"""`aml --help` and `aml --version` answer at once, and every command explains itself."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amlocal.cli import main
from amlocal.cli.app import Aml, Commands

HEAVY = ("azure", "mlflow", "tensorflow", "keras", "numpy", "matplotlib", "sqlalchemy")


def all_commands() -> list[str]:
    cli = Aml()
    return sorted(Commands(cli_ctx=cli).load_command_table([]))


@pytest.mark.parametrize("command", all_commands())
def test_every_command_has_a_summary_and_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"aml {command} : " in out
    assert "Examples" in out and f"        aml {command}" in out
    assert not re.search(r"Defaults?[^.:]*\.\s+Default: ", out), "the default is said twice"


def test_additions_are_called_additions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in ("mlflow", "doctor", "down", "up", "exec", "quota", "completion"):
        assert "addition to `az ml`" in " ".join(out[out.index(f"{name} ") :].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["job", "create", "--help"], []])
def test_nothing_heavy_is_imported_to_help(arguments: list[str]) -> None:
    code = (
        "import json, sys; from amlocal.cli import main; main(sys.argv[1:]);"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert "Azure" in done.stdout or "azure-ai-ml" in done.stdout
    assert not set(json.loads(done.stderr)) & set(HEAVY)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_takes_less_than_a_third_of_a_second_of_work(flag: str) -> None:
    def seconds() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-m", "amlocal", flag], capture_output=True, check=True)
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        return spent or time.perf_counter()  # Windows does not tell of its children

    assert min(seconds() for _ in range(3)) < 0.3 or os.name == "nt"


@pytest.mark.parametrize(
    "words", ["amlocal job create --help", "amlocal.cli.az group --help", "amlocal.cli.az group list"]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(words: str, unbuffered: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", *words.split()]
    variables = {
        **os.environ,
        "PYTHONUNBUFFERED": unbuffered,
    }  # else it is the flush at the end that finds nobody there
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=variables)
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_it_leaves_no_trace(tmp_path: Path) -> None:
    """Looking creates neither a workspace nor a folder in the home."""
    variables = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    variables.pop("AMLOCAL_HOME", None)
    for arguments in (["--help"], ["job", "list"], ["doctor"]):
        subprocess.run(
            [sys.executable, "-m", "amlocal", *arguments], cwd=tmp_path, env=variables, capture_output=True, check=False
        )
    assert list(tmp_path.iterdir()) == []
