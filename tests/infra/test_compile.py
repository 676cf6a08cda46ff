"""`make lint` asks Bicep's own compiler where there is one; a stand-in says here what the compiler would say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.infra.conftest import ROOT

WARNS = 'case "$*" in *stores.bicep*) echo "stores.bicep(18,3) : Warning BCP037: no property" >&2 ;; esac'
FAILS = 'echo "main.bicep(1,1) : Error BCP018: expected" >&2; exit 1'
NEWS = 'echo "WARNING: A new Bicep release is available: v0.50.1." >&2'


@pytest.fixture
def compile(tmp_path):
    """Run the script with these programs, each a line of bash, and no others on PATH; what came of it."""

    def run(**programs: str) -> subprocess.CompletedProcess[str]:
        for name, does in programs.items():
            program = tmp_path / name
            program.write_text(f'#!/bin/bash\necho "{name} $*" >> "{tmp_path}/calls"\n{does}\n')
            program.chmod(0o755)
        command = [sys.executable, "-m", "tests.infra.compile"]
        environment = {**os.environ, "PATH": str(tmp_path)}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_every_file_is_compiled(compile, tmp_path):
    assert compile(bicep="").returncode == 0
    parameters = {f"bicep build-params {file} --stdout" for file in ROOT.glob("infra/*.bicepparam")}
    assert {f"bicep build {file} --stdout" for file in ROOT.rglob("infra/**/*.bicep")} | parameters == set(
        calls(tmp_path)
    )
    assert len(parameters) == 3


@pytest.mark.parametrize("says", [WARNS, FAILS])
@pytest.mark.parametrize("program", ["bicep", "az"])
def test_what_the_compiler_says_fails(compile, program, says):
    done = compile(**{program: f'[ "$2" = version ] && exit; {says}'})
    assert done.returncode == 1
    assert "BCP0" in done.stdout and "infra/modules/stores.bicep" in done.stdout


def test_news_of_az_is_no_fault(compile, tmp_path):
    assert compile(az=NEWS).returncode == 0
    assert f"az bicep build --file {ROOT / 'infra' / 'main.bicep'} --stdout" in calls(tmp_path)


def test_az_is_not_made_to_download_a_compiler(compile, tmp_path):
    done = compile(az="exit 1")
    assert done.returncode == 0 and "not compiled" in done.stdout
    assert calls(tmp_path) == ["az bicep version"]


def test_without_a_compiler_it_says_so(compile):
    done = compile()
    assert done.returncode == 0 and "not compiled" in done.stdout


def test_lint_asks_it():
    plan = subprocess.run(["make", "--dry-run", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-m tests.infra.checker" in plan and "-m tests.infra.compile" in plan
