"""The house's one rule: digits and amlocal meet only in the YAML; Azure is known to two files of digits."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
KNOW_AZURE = {"score.py", "collected.py"}


def imported(file: Path) -> set[str]:
    """Top-level names of the packages a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(("package", "forbidden"), [("src/digits", "amlocal"), ("amlocal/src/amlocal", "digits")])
def test_neither_package_imports_the_other(package: str, forbidden: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    assert [f for f in files if forbidden in imported(f)] == []


def test_digits_knows_azure_in_two_files_only() -> None:
    files = [f for f in (SOURCE / "digits").rglob("*.py") if f.name not in KNOW_AZURE]
    assert [f for f in files if imported(f) & {"azure", "azureml"}] == []
