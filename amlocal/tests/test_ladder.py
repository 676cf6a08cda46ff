"""The rooms of `amlocal` stand on a ladder, and an import never climbs it; also not inside a function."""

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

import amlocal

ROOT = Path(amlocal.__file__).parent
# From the bottom. Rooms on one rung do not import each other.
LADDER = (
    ("core",),
    ("assets",),
    ("specs",),
    ("environments",),
    ("jobs", "endpoints"),
    ("batch",),
    ("monitors",),
    ("schedules", "down", "validate"),
    ("operations",),
    ("client",),
    ("rollout", "exec", "azure"),
    ("cli",),
    ("__main__",),
)
RUNG = {room: number for number, rooms in enumerate(LADDER) for room in rooms}


def module_of(path: Path) -> str:
    """`amlocal.core.files` of its file, `amlocal.core` of the folder's `__init__.py`."""
    return ".".join(("amlocal", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


FILES = {module_of(path): path for path in ROOT.rglob("*.py")}


def imported(source: str, modules: Collection[str], module: str) -> Iterator[tuple[int, str]]:
    """The line and the module of every import, wherever it stands: in a function, under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: write the whole name of what is imported"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in modules or node.module in modules:
                    yield node.lineno, name if name in modules else str(node.module)


IMPORTS = {
    module: [(line, name) for line, name in imported(path.read_text("utf-8"), FILES, module) if name != module]
    for module, path in FILES.items()
}


def room(module: str) -> str:
    """`core` of `amlocal.core.files`; "" of the package itself."""
    return module.partition(".")[2].partition(".")[0]


def folder(module: str) -> str:
    """The folder of a module. A file beside the rooms, as `amlocal.client`, is a room of its own."""
    outer = module.rpartition(".")[0]
    return module if FILES[module].name == "__init__.py" or outer == "amlocal" else outer


def circle(edges: Mapping[str, Collection[str]]) -> list[str]:
    """A way along the edges that ends where it begins; empty if there is none."""
    over: set[str] = set()

    def walk(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in over:
            return []
        for other in sorted(edges.get(node, ())):
            if found := walk(other, [*way, node]):
                return found
        over.add(node)
        return []

    return next((found for node in sorted(edges) if (found := walk(node, []))), [])


def test_every_room_is_on_the_ladder() -> None:
    assert {room(module) for module in FILES} - {""} == set(RUNG)


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_an_import_never_climbs_the_ladder(module: str) -> None:
    own = room(module)
    climbs = [
        f"{FILES[module]}:{line}: imports {name}"
        for line, name in IMPORTS[module]
        if room(name) != own and (not own or RUNG.get(room(name), -1) >= RUNG[own])
    ]
    assert climbs == []


def test_no_circle_between_files() -> None:
    assert circle({module: {name for _, name in names} for module, names in IMPORTS.items()}) == []


def test_no_circle_between_folders() -> None:
    edges: dict[str, set[str]] = {}
    for module, names in IMPORTS.items():
        edges.setdefault(folder(module), set()).update({folder(name) for _, name in names} - {folder(module)})
    assert circle(edges) == []


def test_imports_are_seen_wherever_they_stand() -> None:
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from amlocal.cli import app
def late():
    import amlocal.client
    class Inner:
        from amlocal.core.files import write_text
"""
    assert [name for _, name in imported(source, FILES, "here")] == [
        "amlocal.cli.app",
        "amlocal.client",
        "amlocal.core.files",
    ]


def test_a_circle_is_found() -> None:
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []
