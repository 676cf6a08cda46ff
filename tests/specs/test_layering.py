"""The house's rules: who imports whom, inside functions as well, and that nothing does so in a circle."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
KNOW_AZURE = {"score.py"}


def modules(*packages: str) -> dict[str, Path]:
    """The modules of packages by their dotted names."""
    files = [file for package in packages for file in (SOURCE / package).rglob("*.py")]
    return {".".join(file.relative_to(SOURCE).with_suffix("").parts): file for file in files}


def imported(file: Path) -> Iterator[str]:
    """What a file imports, wherever in it: modules, and what is taken from them."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle of a graph, [] if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("digits", {"amlocal", "drift"}), ("drift", {"amlocal"})],
)
def test_no_package_imports_what_is_above_or_beside_it(package: str, forbidden: set[str]) -> None:
    found = modules(package)
    assert found
    assert [
        name for name, file in found.items() if {each.partition(".")[0] for each in imported(file)} & forbidden
    ] == []


def test_the_detector_imports_neither_digits_nor_azure() -> None:
    tops = {each.partition(".")[0] for file in modules("drift/detect").values() for each in imported(file)}
    assert "numpy" in tops and not tops & {"digits", "azure", "azureml", "mlflow"}


def test_azure_is_known_to_the_scoring_script_only() -> None:
    files = [file for file in modules("digits", "drift").values() if file.name not in KNOW_AZURE]
    assert [file for file in files if {each.partition(".")[0] for each in imported(file)} & {"azure", "azureml"}] == []


def test_no_file_imports_in_a_circle() -> None:
    known = modules("digits", "drift")
    graph = {name: {each for each in imported(file) if each in known} - {name} for name, file in known.items()}
    assert len(graph) > 50 and circle(graph) == []


def test_no_folder_imports_in_a_circle() -> None:
    known = modules("digits", "drift")
    folder = {name: ".".join(name.split(".")[:2]) if name.count(".") > 1 else name for name in known}
    graph: dict[str, set[str]] = {}
    for name, file in known.items():
        others = {folder[each] for each in imported(file) if each in known}
        graph.setdefault(folder[name], set()).update(others - {folder[name]})
    assert circle(graph) == []
