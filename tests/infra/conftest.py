"""The Bicep files, the checker that reads them, and copies of them to break."""

import shutil
from pathlib import Path

import pytest
from tests.infra.checker.catalogue import Catalogue, ToolMissing
from tests.infra.checker.files import Project

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    found = Catalogue.beside(ROOT / ".tools")
    try:
        found.resource("Microsoft.Resources/resourceGroups")
    except ToolMissing as missing:
        pytest.skip(str(missing))
    return found


@pytest.fixture
def check(catalogue):
    """Check files; the faults as `name:line: message`, the file by its name alone."""

    def run(*files: Path) -> list[str]:
        return [f"{fault.path.name}:{fault.line}: {fault.message}" for fault in Project(catalogue).check(files)]

    return run


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of infra/ that may be broken."""
    return shutil.copytree(ROOT / "infra", tmp_path / "infra")
