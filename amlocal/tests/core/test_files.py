"""Folders with links in a circle, pipes and other things that are no files: an end, and one line that names them."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amlocal.assets.snapshots import snapshot
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.core.files import copy_into, disk_errors, hash_path, walk
from amlocal.operations.common import entity

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes and links are POSIX's")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two links to the folder itself, one up from deeper in, and one to a folder beside it, with a link back."""
    folder, beside = tmp_path / "f", tmp_path / "beside"
    (folder / "deep").mkdir(parents=True)
    beside.mkdir()
    for path in (folder / "a.txt", folder / "deep" / "b.txt", beside / "c.txt"):
        path.write_text(path.name)
    for link, to in (
        (folder / "again", folder),
        (folder / "once more", folder),
        (folder / "deep" / "up", folder),
        (folder / "beside", beside),
        (beside / "back", folder),
        (folder / "linked.txt", beside / "c.txt"),
    ):
        link.symlink_to(to)
    return folder


WHOLE = {"a.txt", "deep/b.txt", "beside/c.txt", "linked.txt"}


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def register(client: LocalMLClient, kind: str, path: Path) -> Path:
    """The content as it is kept."""
    if kind == "code":
        return snapshot(client.workspace, path)
    if kind == "data":
        spec = {"name": "x", "version": "1", "type": "uri_folder", "path": str(path)}
        client.data.create_or_update(entity("data", spec))
        return Path(client.data.describe("x", version="1")["path"])
    spec = {"name": "x", "version": "1", "type": "custom_model", "path": str(path)}
    client.models.create_or_update(entity("model", spec))
    return next((client.workspace.root / "models").glob("x/1/*"))


@pytest.mark.parametrize("kind", ["code", "data", "model"])
def test_a_circle_of_links_has_an_end(client: LocalMLClient, folder: Path, kind: str) -> None:
    assert files_in(register(client, kind, folder)) == WHOLE
    assert len(hash_path(folder)) == 64


def test_a_folder_that_is_linked_twice_is_there_twice(tmp_path: Path) -> None:
    """As azure-ai-ml's client sends it: only a circle is left out."""
    (tmp_path / "f" / "a").mkdir(parents=True)
    (tmp_path / "f" / "a" / "x").touch()
    (tmp_path / "f" / "b").symlink_to(tmp_path / "f" / "a")
    assert {place.name for place, _, _ in walk(tmp_path / "f")} == {"f", "a", "b"}
    copy_into(tmp_path / "f", tmp_path / "g")
    assert files_in(tmp_path / "g") == {"a/x", "b/x"}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listener(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def itself(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("kind", ["code", "data", "model"])
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (pipe, "odd: a named pipe, not a file"),
        (listener, "odd: a socket, not a file"),
        (dangling, "odd: a link that leads to nowhere, which is not there"),
        (itself, "odd: a link that leads to itself"),
    ],
)
def test_what_is_no_file_is_refused_by_name(
    client: LocalMLClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    make: Callable[[Path], Any],
    what: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.txt").touch()
    make(Path("f/odd"))
    with pytest.raises(UserError, match=f"{what}.*; .*remove it, or name it in .amlignore"):
        register(client, kind, tmp_path / "f")
    (tmp_path / "f" / ".amlignore").write_text("odd\n")
    if kind != "model":  # all of a model's folder is kept
        register(client, kind, tmp_path / "f")


@pytest.mark.parametrize("make", [pipe, listener])
def test_a_path_that_is_no_file_is_refused(
    client: LocalMLClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("odd"))
    for kind, spec in (("data", {"type": "uri_file"}), ("model", {"type": "custom_model"})):
        operations = client.data if kind == "data" else client.models
        with pytest.raises(Exception, match=r"odd: a (named pipe|socket), not a file"):
            operations.create_or_update(entity(kind, {"name": "x", "path": str(tmp_path / "odd"), **spec}))


@pytest.mark.parametrize(
    ("number", "names", "said"),
    [
        (errno.ENOSPC, ("source",), "target: the disk is full"),
        (errno.ENOSPC, ("source", "target/a"), "target/a: the disk is full"),
        (errno.EDQUOT, (), "target: the disk is full"),
        (errno.EACCES, ("source",), "source: it cannot be read"),
        (errno.EACCES, ("target/a",), "target/a: it cannot be written to"),
        (errno.EROFS, (), "target: it cannot be written to"),
    ],
)
def test_what_the_disk_refuses_is_said_of_what_it_refuses(
    tmp_path: Path, number: int, names: tuple[str, ...], said: str
) -> None:
    places = [str(tmp_path / "w" / name if name.startswith("target") else tmp_path / name) for name in names]
    error = OSError(number, "no", *([places[0]] if places else []), *([None, places[1]] if len(places) > 1 else []))
    with pytest.raises(UserError, match=f"{said}"), disk_errors(tmp_path / "w" / "target"):
        raise error
