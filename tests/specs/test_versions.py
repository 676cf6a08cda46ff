"""Versions live once: pyproject.toml, the locks and the Conda files say the same."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from tests.specs.environments import installed

ROOT = Path(__file__).parents[2]
# Azure's engine of parallel jobs imports them. They cannot be installed with our numpy, so the project has neither.
ENGINE = {"azureml-core", "azureml-dataset-runtime"}
ENVIRONMENTS = sorted(ROOT.glob("aml/environments/*/conda.yml"))


def described(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def project() -> dict:
    return described(ROOT)


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def pip(conda: Path) -> list[str]:
    [listed] = [d["pip"] for d in yaml.safe_load(conda.read_text())["dependencies"] if isinstance(d, dict)]
    return listed


@pytest.mark.parametrize("conda", ENVIRONMENTS, ids=lambda p: p.parent.name)
def test_an_environment_asks_for_what_the_project_asks_for(conda: Path, project: dict) -> None:
    ours = requirements(project["dependencies"])
    for name, wanted in requirements(pip(conda)).items():
        if conda.parent.name == "batch" and name in ENGINE:
            assert str(wanted.specifier).startswith("==")
            continue
        assert str(wanted) == str(ours.get(name)), f"{conda.relative_to(ROOT)}: {name}"


@pytest.mark.parametrize("conda", ENVIRONMENTS, ids=lambda p: p.parent.name)
def test_an_environment_is_one_conda_can_create_as_it_is(conda: Path, project: dict) -> None:
    environment = yaml.safe_load(conda.read_text())
    assert environment["name"] == f"digits-{conda.parent.name}" and environment["channels"] == ["conda-forge"]
    assert environment["dependencies"][:2] == ["python=3.11", "pip"]
    assert SpecifierSet(project["requires-python"]).contains("3.11")


def test_scoring_carries_neither_tensorflow_nor_plotting() -> None:
    names = requirements(pip(ROOT / "aml/environments/scoring/conda.yml")).keys()
    assert not names & {"tensorflow", "tensorflow-cpu", "keras", "matplotlib", "mlflow"}


def test_both_projects_take_the_same_pythons(project: dict) -> None:
    assert project["requires-python"] == described(ROOT / "amlocal")["requires-python"] == ">=3.11,<3.14"


@pytest.mark.parametrize("folder", [ROOT, ROOT / "amlocal"], ids=["digits", "amlocal"])
@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_locks_meet_what_both_projects_ask_for(lock: str, folder: Path) -> None:
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", (ROOT / lock).read_text(), re.MULTILINE))
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    for name, wanted in requirements(described(folder)["dependencies"]).items():
        assert name in pinned and wanted.specifier.contains(pinned[name]), f"{lock}: {wanted}, not {pinned.get(name)}"


def test_what_the_scoring_code_imports_has_a_version_of_its_own() -> None:
    """A package that only comes with another has whatever version is the newest on the day the image is built."""
    conda = ROOT / "aml" / "environments" / "scoring" / "conda.yml"
    pinned = {name for name, wanted in requirements(pip(conda)).items() if str(wanted.specifier).startswith("==")}
    imported = set()
    for node in ast.walk(ast.parse((ROOT / "src/digits/serving/score.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    others = {module for module in imported - {"digits"} if module in installed()}
    assert {"numpy", "pandas"} <= others
    assert {module for module in others if not installed()[module] & pinned} == set()
