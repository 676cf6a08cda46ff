"""Each environment has what the code that runs in it imports: read from the code, imports inside functions included."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.specs.environments import ROOT, distributions, lacks

SOURCE = ROOT / "src"
# A model is loaded by neither; it is only found and told from others. test_bare.py runs both without.
UNUSED = {"monitor": {"ai_edge_litert"}, "gather": {"ai_edge_litert"}}


def entry_points() -> Iterator[tuple[str, str, str]]:
    """Of each component and deployment: its name, the module it runs and its environment."""
    for spec in sorted((ROOT / "aml" / "components").glob("*.yml")):
        said = yaml.safe_load(spec.read_text())
        task = said.get("task", said)
        if "entry_script" in task:
            module = task["entry_script"].removesuffix(".py").replace("/", ".")
        else:
            module = task["command"].split()[2]
        yield spec.stem, module, Path(task["environment"]).parent.name
    for spec in sorted((ROOT / "aml" / "endpoints").rglob("*.yml")):
        if script := (said := yaml.safe_load(spec.read_text())).get("code_configuration", {}).get("scoring_script"):
            module = script.removesuffix(".py").replace("/", ".")
            yield spec.stem, module, Path(said["environment"]).parent.name


ENTRY_POINTS = {name: (module, environment) for name, module, environment in entry_points()}


def file_of(module: str, *, run: bool = False) -> Path | None:
    """The source of one of our modules; of a package its __init__, or what `python -m` runs."""
    place = SOURCE / module.replace(".", "/")
    for file in (place.with_suffix(".py"), place / ("__main__.py" if run else "__init__.py")):
        if file.is_file():
            return file
    return None


def imported(file: Path) -> Iterator[str]:
    """The modules a file imports, wherever in it but for type checkers."""
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def third_party(module: str) -> set[str]:
    """Top-level modules of others that running a module of ours imports, now or later."""
    found: set[str] = set()
    seen: set[Path] = set()
    waiting = [file_of(module, run=True)]
    while waiting:
        file = waiting.pop()
        if file is None or file in seen:
            continue
        seen.add(file)
        for name in imported(file):
            top = name.partition(".")[0]
            if top in ("digits", "drift"):
                waiting.append(file_of(name))
            elif top not in sys.stdlib_module_names:
                found.add(top)
    return found


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_environment_has_what_its_code_imports(name: str) -> None:
    module, environment = ENTRY_POINTS[name]
    assert file_of(module, run=True), f"{name} runs {module}, which is not there"
    assert "numpy" in third_party(module)
    needed = third_party(module) - UNUSED.get(name, set())
    assert [top for top in sorted(needed) if lacks(environment, top)] == []


@pytest.mark.parametrize("environment", ["monitoring", "scoring"])
def test_what_watches_and_what_serves_has_no_tensorflow(environment: str) -> None:
    assert not {name for name in distributions(environment) if re.search("tensorflow|keras", name)}
