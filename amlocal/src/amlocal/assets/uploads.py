"""Local files that become part of an asset: copied into the workspace once per content, as Azure uploads them."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors
from amlocal.core.workspace import Workspace

Files = Sequence[tuple[Path, str]]  # each with its place below the folder it is copied to


def keep(workspace: Workspace, path: Path) -> Path:
    """Copy a file or folder to `LocalUpload/<hash>/<name>` in the default datastore; returns the copy.

    What `.amlignore` or `.gitignore` in the folder name stays out, and so does the workspace itself. What lies in the
    workspace already stays where it is.
    """
    root = workspace.root.resolve()
    if path.resolve().is_relative_to(root):
        return path
    kind, files = ("file", [(path, path.name)]) if path.is_file() else ("folder", listed(path, root))
    if not files:
        raise UserError(f"{path}: an empty folder; an asset needs at least one file")
    store = workspace.datastore() / "LocalUpload"
    workspace.create()
    with disk_errors(store):
        kept = store / _digest(kind, files)
        if not kept.exists():
            placed = files if kind == "file" else [(source, f"{path.name}/{target}") for source, target in files]
            with copied(placed, store) as copy:
                put(copy, kept)
        # The same content may have come under another name before.
        return next(kept.iterdir())


def listed(folder: Path, root: Path) -> Files:
    """The files of a folder by their names, but what `.amlignore` or `.gitignore` in it name, and the workspace `root`.

    As azure-ai-ml's get_upload_files_from_folder, which would go through the workspace, too.
    """
    from azure.ai.ml._utils._asset_utils import get_ignore_file, traverse_directory

    root, ignored = root.resolve(), get_ignore_file(folder)
    found: list[tuple[Path, str]] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if Path(place, name).resolve() != root]
        below = Path(place).relative_to(folder).as_posix()
        files: Any = traverse_directory(place, names, prefix=below, ignore_file=ignored)
        found += [(Path(source), Path(target).as_posix()) for source, target in files]
    return sorted(found, key=lambda pair: pair[1])


@contextmanager
def copied(files: Files, store: Path) -> Iterator[Path]:
    """A folder in `store` with copies of the files, which is gone afterwards unless `put` has given it a name."""
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=".") as scratch:
        copy = Path(scratch, "copy")
        copy.mkdir()
        for source, target in files:
            place = copy / target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)
        yield copy


def put(copy: Path, kept: Path) -> Path:
    """Rename a folder to where its content belongs, unless the same content is there; returns the place."""
    if not kept.exists():
        try:
            copy.rename(kept)
        except OSError:  # somebody else has just put it there
            if not kept.exists():
                raise
    return kept


def _digest(kind: str, files: Files) -> str:
    digest = hashlib.sha256(kind.encode())
    for source, target in files:
        digest.update(target.encode() + b"\0")
        with source.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:32]
