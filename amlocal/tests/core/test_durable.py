"""Content is on the disk before the record that names it; what is reused by its hash is whole, or written again.

Real power cuts are in bench/power_cuts.py, which needs a file system of its own. Here the order of calls is looked at:
whatever was written since the last sync of it is taken away, as a power cut would, at the moment the record appears.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from amlocal.client import LocalMLClient
from amlocal.core import durable, files, mlflow_store
from amlocal.jobs.reuse import ReuseIndex
from amlocal.operations.common import entity


class Disk:
    """Knows which files and folders were flushed, and with which size."""

    def __init__(self) -> None:
        self.flushed: dict[int, int] = {}  # by inode: a file may have another name by now

    def flush(self, path: Path, how: int) -> None:
        about = path.stat()
        self.flushed[about.st_ino] = about.st_size

    def has(self, path: Path) -> bool:
        return path.stat().st_ino in self.flushed

    def unsafe(self, below: Path) -> list[str]:
        """Files below a folder that a power cut could empty, and folders whose names it could lose."""
        found = [path for path in (below, *below.rglob("*")) if not path.is_symlink()]
        files = [path for path in found if path.is_file()]
        bad = [path for path in files if self.flushed.get(path.stat().st_ino) != path.stat().st_size]
        return [str(path) for path in (*bad, *(path for path in found if path.is_dir() and not self.has(path)))]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(durable, "_flush", disk.flush)
    monkeypatch.setattr(durable, "_sync_file_system", lambda folder: False)  # so that each file is named
    yield disk


@pytest.fixture
def at_record(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], Path]], list[list[str]]]:
    """Look at some content whenever a record of this name is about to be written; what of it was unsafe then."""

    def watch(name: str, content: Callable[[], Path]) -> list[list[str]]:
        seen: list[list[str]] = []
        replace = files._replace

        def look(beside: Path, path: Path) -> None:
            if path.match(name):
                seen.append(disk.unsafe(content()))
            replace(beside, path)

        monkeypatch.setattr(files, "_replace", look)
        return seen

    return watch


def folder_of(path: Path, count: int = 3) -> Path:
    path.mkdir()
    for number in range(count):
        (path / f"{number}.txt").write_text("x" * 1000)
    return path


def test_data(client: LocalMLClient, tmp_path: Path, at_record: Any, disk: Disk) -> None:
    content = client.workspace.datastore() / "LocalUpload"
    seen = at_record("data/d/1.json", lambda: content)
    asset = {"name": "d", "version": "1", "type": "uri_folder", "path": str(folder_of(tmp_path / "f"))}
    client.data.create_or_update(entity("data", asset))
    assert seen == [[]] and len([path for path in content.rglob("*") if path.is_file()]) == 3
    assert disk.has(content), "its name, too"


def test_a_job_and_its_code(client: LocalMLClient, spec: Any, tmp_path: Path, at_record: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("amlocal.jobs.submit._start", lambda *_: None)
    folder_of(tmp_path / "code")
    seen = at_record("plan.json", lambda: client.workspace.root / "snapshots")
    from amlocal.specs import load

    client.jobs.create_or_update(load("job", spec("code: ./code\ncommand: ls\nenvironment: {image: a}\n")))
    assert seen == [[]]


def test_a_model(client: LocalMLClient, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    seen: list[list[str]] = []
    register = MlflowClient.create_model_version

    def look(self: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(disk.unsafe(client.workspace.root / "models"))
        return register(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_model_version", look)
    model = {"name": "m", "version": "1", "type": "custom_model", "path": str(folder_of(tmp_path / "f"))}
    disk.flushed.clear()
    client.models.create_or_update(entity("model", model))
    assert seen == [[]]
    assert disk.has(client.workspace.root), "SQLite's journal is gone for good"


def test_what_a_job_registers(client: LocalMLClient, tmp_path: Path, at_record: Any) -> None:
    from amlocal.assets.named_outputs import register_output

    made = folder_of(tmp_path / "made")
    seen = at_record("data/d/1.json", lambda: made)
    register_output(client.workspace, "d", "1", "uri_folder", made, "job", None)
    assert seen == [[]]


def test_a_record_and_its_name(client: LocalMLClient, disk: Disk) -> None:
    place = client.workspace.root / "a" / "b"
    durable.make_folder(place)
    files.write_json(place / "c.json", {})
    for folder in (place, place.parent, client.workspace.root):
        assert disk.has(folder)


# -- what is there already


@pytest.mark.parametrize("damage", ["empty", "shorter", "other", "gone"])
@pytest.mark.parametrize("kind", ["uri_file", "uri_folder"])
def test_data_that_a_power_cut_has_torn_is_written_again(
    client: LocalMLClient, tmp_path: Path, kind: str, damage: str
) -> None:
    source = folder_of(tmp_path / "f")
    given = source if kind == "uri_folder" else source / "1.txt"
    asset = {"name": "d", "version": "1", "type": kind, "path": str(given)}
    client.data.create_or_update(entity("data", asset))
    [kept] = (client.workspace.datastore() / "LocalUpload").rglob("1.txt")
    hurt(kept, damage)
    client.data.create_or_update(entity("data", asset))
    path = Path(client.data.describe("d", version="1")["path"])
    assert (path / "1.txt" if kind == "uri_folder" else path).read_text() == "x" * 1000


@pytest.mark.parametrize("damage", ["empty", "shorter", "other", "gone"])
@pytest.mark.parametrize("kind", ["uri_file", "uri_folder"])
@pytest.mark.parametrize("asks", ["another", "itself after another"])
def test_torn_data_is_whole_again_whoever_puts_the_same_content(
    client: LocalMLClient, tmp_path: Path, kind: str, damage: str, asks: str
) -> None:
    """It is kept once, by its hash, for all the assets that have it."""
    given = folder_of(tmp_path / "one"), folder_of(tmp_path / "two")
    paths = given if kind == "uri_folder" else (given[0] / "1.txt", given[1] / "1.txt")
    one, two = (
        {"name": name, "version": "1", "type": kind, "path": str(path)}
        for name, path in zip(("one", "two"), paths, strict=True)
    )

    def kept(name: str) -> Path:
        path = Path(client.data.describe(name, version="1")["path"])
        return path / "1.txt" if kind == "uri_folder" else path

    client.data.create_or_update(entity("data", one))
    hurt(kept("one"), damage)
    client.data.create_or_update(entity("data", two))
    if asks != "another":
        client.data.create_or_update(entity("data", one))
    assert kept("one").read_text() == kept("two").read_text() == "x" * 1000


def test_environment_after_its_context_was_torn(client: LocalMLClient, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text("FROM a")
    first, second = ({"name": name, "version": "1", "build": {"path": str(tmp_path / name)}} for name in ("one", "two"))
    client.environments.create_or_update(entity("environment", first))
    place = Path(client.environments.describe("one", version="1")["build"]["path"])
    (place / "Dockerfile").unlink()
    place.rmdir()
    client.environments.create_or_update(entity("environment", second))
    client.environments.create_or_update(entity("environment", first))
    for name in ("one", "two"):
        kept = Path(client.environments.describe(name, version="1")["build"]["path"])
        assert (kept / "Dockerfile").read_text() == "FROM a"


def test_what_is_changed_in_the_registry_is_on_the_disk_when_the_call_returns(
    client: LocalMLClient, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of MLflow's is called: also what nobody calls yet."""
    registry = mlflow_store.Registry(client.workspace)
    changes: list[Callable[[], Any]] = [
        lambda: registry.create_registered_model("m"),
        lambda: registry.create_model_version("m", "file:///x"),
        lambda: registry.set_model_version_tag("m", "1", "a", "b"),
        lambda: registry.delete_model_version_tag("m", "1", "a"),
        lambda: registry.update_model_version("m", "1", "text"),
        lambda: registry.set_registered_model_alias("m", "best", "1"),
        lambda: registry.delete_registered_model("m"),
    ]
    for change in changes:
        disk.flushed.clear()
        change()
        assert disk.has(client.workspace.root)
    disk.flushed.clear()
    assert list(registry.search_registered_models()) == [] and not disk.flushed


@pytest.mark.parametrize("damage", ["empty", "shorter", "other", "gone"])
def test_code_that_a_power_cut_has_torn_is_written_again(client: LocalMLClient, tmp_path: Path, damage: str) -> None:
    from amlocal.assets.snapshots import snapshot

    code = folder_of(tmp_path / "code")
    kept = snapshot(client.workspace, code)
    hurt(kept / "1.txt", damage)
    assert (snapshot(client.workspace, code) / "1.txt").read_text() == "x" * 1000
    assert sorted(path.name for path in kept.parent.iterdir()) == [kept.name], "nothing is left beside it"


@pytest.mark.parametrize("damage", ["empty", "shorter", "other", "gone"])
@pytest.mark.parametrize("what", ["f", "f/1.txt"])
def test_a_model_that_a_power_cut_has_torn_is_written_again(
    client: LocalMLClient, tmp_path: Path, what: str, damage: str
) -> None:
    folder_of(tmp_path / "f")
    model = {"name": "m", "version": "1", "type": "custom_model", "path": str(tmp_path / what)}
    client.models.create_or_update(entity("model", model))
    [kept] = (client.workspace.root / "models").rglob("1.txt")
    hurt(kept, damage)
    client.models.create_or_update(entity("model", model))
    assert kept.read_text() == "x" * 1000


def hurt(file: Path, damage: str) -> None:
    if damage == "gone":
        file.unlink()
    elif damage == "other":
        file.write_text("y" * 1000)
    else:
        os.truncate(file, 0 if damage == "empty" else 500)


# -- the calls themselves


@pytest.mark.parametrize("count", [1, durable.MANY + 5])
def test_files_folders_and_odd_things_are_flushed(tmp_path: Path, count: int) -> None:
    folder = folder_of(tmp_path / "f", count)
    (folder / "a link").symlink_to("nowhere")
    (folder / "a locked one").touch(mode=0o000)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "a pipe")  # whoever opened it would wait for ever
    durable.sync(folder, tmp_path / "f" / "0.txt", tmp_path / "gone")


def test_what_lies_on_a_server_or_has_gone_is_not_synced(client: LocalMLClient, tmp_path: Path) -> None:
    durable.sync(Path("mlflow-artifacts:/0/abc/artifacts"), tmp_path / "gone" / "too")
    record = SimpleNamespace(name="j", outputs={"artifacts": {"path": "mlflow-artifacts:/0/abc/artifacts"}})
    ReuseIndex(client.jobs.store).add("key", record)  # type: ignore[arg-type]


def test_a_model_made_of_what_another_version_left_keeps_its_content(client: LocalMLClient, tmp_path: Path) -> None:
    """After the database was lost, its folder may be all that there is."""
    left = folder_of_parents(client.workspace.root / "models" / "m" / "1" / "mine")
    client.models.create_or_update(
        entity("model", {"name": "m", "version": "1", "type": "custom_model", "path": str(left)})
    )
    [kept] = (client.workspace.root / "models").rglob("1.txt")
    assert kept.read_text() == "x" * 1000


def test_what_a_model_has_gained_since_is_no_damage(client: LocalMLClient, tmp_path: Path) -> None:
    folder_of(tmp_path / "f")
    model = {"name": "m", "version": "1", "type": "custom_model", "path": str(tmp_path / "f")}
    client.models.create_or_update(entity("model", model))
    [kept] = (client.workspace.root / "models").rglob("1.txt")
    (kept.parent / "__pycache__").mkdir()
    (kept.parent / "__pycache__" / "a.pyc").touch()
    before = kept.stat().st_ino
    client.models.create_or_update(entity("model", model))
    assert kept.stat().st_ino == before


def folder_of_parents(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    return folder_of(path)
