"""What amlocal declares that it needs, and what its wheel and its sdist contain."""

import ast
import stat
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1]
SOURCE = PROJECT / "src" / "amlocal"
DISTRIBUTIONS = {"jwt": "pyjwt", "yaml": "pyyaml"}  # where a module has another name than its distribution
# pip does without the first; models that read images bring the second; the third is a part of debugpy
OPTIONAL = {"uv", "PIL", "pydevd_file_utils"}


def modules() -> set[str]:
    """The modules that src/ imports, in functions too."""
    found: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module)
    own = sys.stdlib_module_names | {"amlocal"} | OPTIONAL
    return {name for name in found if name.partition(".")[0] not in own}


# The time zones, which zoneinfo reads; and the debugger, which the programs that are debugged import.
DATA = {"tzdata", "debugpy"}


@pytest.mark.skipif(not SOURCE.is_dir(), reason="runs beside the sources")
def test_it_declares_what_it_imports_and_nothing_else() -> None:
    described = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {Requirement(text).name for text in described["dependencies"]}
    used: set[str] = set()
    for module in modules():
        name = module.replace(".", "-").replace("_", "-")
        name = DISTRIBUTIONS.get(name.partition("-")[0], name)
        found = [each for each in declared if f"{name}-".startswith(f"{each}-")]
        assert found, f"src imports {module}; no dependency brings it"
        used.update(found)
    assert declared - DATA == used


def sources(folder: Path) -> set[str]:
    """The files of src/ that belong into a wheel."""
    kept = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder.parent).as_posix() for path in kept}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it as by a build front end."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run([*build, "-t", "sdist"], cwd=PROJECT, check=True, capture_output=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    [unpacked] = (folder / "unpacked").iterdir()
    subprocess.run([*build, "-t", "wheel"], cwd=unpacked, check=True, capture_output=True)
    return folder


@pytest.mark.skipif(not SOURCE.is_dir(), reason="runs beside the sources")
def test_the_wheel_contains_the_package_alone(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {info.filename: info.external_attr >> 16 for info in wheel.infolist()}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names.keys() - metadata == sources(SOURCE)
    assert {name.partition("/")[2] for name in metadata} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    runs = {name for name, mode in names.items() if mode & stat.S_IXUSR}
    assert runs == {f"amlocal/exec/standin/{name}" for name in ("az", "python", "python3")}
    for name in ("endpoints/gateway/pages/index.html", "exec/standin/az.cmd", "exec/standin/modules/sitecustomize.py"):
        assert f"amlocal/{name}" in names


def test_the_sdist_contains_the_sources_and_nothing_that_was_made(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    packed = {name for name in names if name.startswith("src/")}
    assert packed == {f"src/{name}" for name in sources(SOURCE)}
    others = {name.partition("/")[0] for name in names - packed}
    # hatchling adds the repository's .gitignore, by which the wheel is built, too
    assert others - {".gitignore"} == {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "PKG-INFO"}
