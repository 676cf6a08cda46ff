"""Local files that become part of an asset: copied into the workspace once per content, as Azure uploads them."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from amlocal.core.durable import make_folder, sync, sync_folder
from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors, files_below, hash_path, regular, walk
from amlocal.core.workspace import Workspace

CHEAP = 64 * 2**20  # bytes, up to which content that is there already is read again before it is believed

Files = Sequence[tuple[Path, str]]  # each with its place below the folder it is copied to


def keep(workspace: Workspace, path: Path) -> Path:
    """Copy a file or folder to `LocalUpload/<hash>/<name>` in the default datastore; returns the copy.

    What `.amlignore` or `.gitignore` in the folder name stays out, and so does the workspace itself. What lies in the
    workspace already stays where it is.
    """
    root = workspace.root.resolve()
    if path.resolve().is_relative_to(root):
        return path
    kind, files = ("folder", listed(path, root)) if path.is_dir() else ("file", [(regular(path), path.name)])
    if not files:
        raise UserError(f"{path}: an empty folder; an asset needs at least one file")
    store = workspace.datastore() / "LocalUpload"
    workspace.create()
    with disk_errors(store):
        kept = store / _digest(kind, files)
        for there in _content(kept):  # the same content may have come under another name before
            if _is_whole(there, kind, files):
                return there
        placed = files if kind == "file" else [(source, f"{path.name}/{target}") for source, target in files]
        with copied(placed, store) as copy:
            return next(_content(put(copy, kept)))


def listed(folder: Path, root: Path) -> Files:
    """The files of a folder by their names, but what `.amlignore` or `.gitignore` in it name, and the workspace `root`.

    As azure-ai-ml's get_upload_files_from_folder, which would go through the workspace, too.
    """
    from azure.ai.ml._utils._asset_utils import get_ignore_file, traverse_directory

    root, ignored = root.resolve(), get_ignore_file(folder)
    found: list[tuple[Path, str]] = []
    for place, folders, names in walk(folder):
        folders[:] = [name for name in folders if (place / name).resolve() != root]
        below = place.relative_to(folder).as_posix()
        # A link that leads nowhere is no file: it would be looked for where it leads to.
        there = [name for name in names if (place / name).exists()]
        files: Any = traverse_directory(str(place), there, prefix=below, ignore_file=ignored)
        found += [(regular(Path(source)), Path(target).as_posix()) for source, target in files]
        for name in set(names) - set(there):
            if not ignored.is_file_excluded((place.resolve() / name).as_posix()):
                regular(place / name)  # raises
    return sorted(found, key=lambda pair: pair[1])


@contextmanager
def copied(files: Files, store: Path) -> Iterator[Path]:
    """A folder in `store` with copies of the files, which is gone afterwards unless `put` has given it a name."""
    make_folder(store)
    with tempfile.TemporaryDirectory(dir=store, prefix=".") as scratch:
        copy = Path(scratch, "copy")
        copy.mkdir()
        for source, target in files:
            place = copy / target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)
        yield copy


def put(copy: Path, kept: Path) -> Path:
    """Rename a folder to where its content belongs, unless the same content is there; returns the place.

    What is there is believed only if it is whole: an earlier version of ours, or a disk, may have left it torn.
    """
    if kept.exists() and same(copy, kept):
        return kept
    sync(copy)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".") as torn:
        if kept.exists():
            kept.rename(Path(torn, "torn"))
        try:
            copy.rename(kept)
        except OSError:  # somebody else has just put it there
            if not kept.exists():
                raise
    sync_folder(kept.parent)
    return kept


def same(one: Path, other: Path) -> bool:
    """Whether two files or folders hold the same, as far as that is cheap: names and sizes, and of a few MiB all."""
    sizes = [
        {below: file.stat().st_size for file, below in (files_below(path) if path.is_dir() else [(path, ".")])}
        for path in (one, other)
        if path.exists()
    ]
    if len(sizes) < 2 or sizes[0] != sizes[1]:
        return False
    return sum(sizes[0].values()) > CHEAP or hash_path(one) == hash_path(other)


def holds(there: Path, source: Path) -> bool:
    """Whether what was kept still is what `source`, a file or folder, has; it may have more by now."""
    if not source.is_dir():
        return there.is_file() and same(there, source)
    if not there.is_dir():
        return False
    return all((there / below).is_file() and same(there / below, file) for file, below in files_below(source))


def _content(kept: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from kept.iterdir()


def _is_whole(there: Path, kind: str, files: Files) -> bool:
    """Whether what was kept is what was given, as `same` has it."""
    if (kind == "file") != there.is_file():
        return False
    kept = [(there, there.name)] if kind == "file" else [(there / target, target) for _, target in files]
    if not all(place.is_file() for place, _ in kept):
        return False
    pairs = [(place.stat().st_size, source.stat().st_size) for (place, _), (source, _) in zip(kept, files, strict=True)]
    if any(mine != given for mine, given in pairs):
        return False
    if sum(size for size, _ in pairs) > CHEAP:
        return True
    return all(_sum(place) == _sum(source) for (place, _), (source, _) in zip(kept, files, strict=True))


def _sum(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _digest(kind: str, files: Files) -> str:
    digest = hashlib.sha256(kind.encode())
    for source, target in files:
        digest.update(target.encode() + b"\0")
        digest.update(_sum(source))
    return digest.hexdigest()[:32]
