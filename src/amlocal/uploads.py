"""Local files that become part of an asset: copied into the workspace once per content, as Azure uploads them."""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amlocal.errors import UserError
from amlocal.workspace import Workspace, disk_errors


def keep(workspace: Workspace, path: Path) -> Path:
    """Copy a file or folder to `LocalUpload/<hash>/<name>` in the default datastore; returns the copy.

    What `.amlignore` or `.gitignore` in the folder name stays out, and so does the workspace itself. What lies in the
    workspace already stays where it is.
    """
    root = workspace.root.resolve()
    if path.resolve().is_relative_to(root):
        return path
    files = [(path, path.name)] if path.is_file() else list(_files(path, root))
    store = workspace.datastore() / "LocalUpload"
    workspace.create()
    with disk_errors(store):
        kept = store / _digest("file" if path.is_file() else "folder", files)
        if not kept.exists():
            store.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=store, prefix=".") as scratch:
                copy = Path(scratch, "copy")
                (copy if path.is_file() else copy / path.name).mkdir(parents=True)
                for source, target in files:
                    place = copy / target if path.is_file() else copy / path.name / target
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, place)
                try:
                    copy.rename(kept)
                except OSError:  # somebody else has just put the same content there
                    if not kept.exists():
                        raise
        # The same content may have come under another name before.
        return next(kept.iterdir())


def _files(folder: Path, root: Path) -> list[tuple[Path, str]]:
    from azure.ai.ml._utils._asset_utils import get_ignore_file, get_upload_files_from_folder

    found: Any = get_upload_files_from_folder(folder, ignore_file=get_ignore_file(folder))
    files = [(Path(source), Path(target).as_posix()) for source, target in found]
    files = [(source, target) for source, target in files if not source.resolve().is_relative_to(root)]
    if not files:
        raise UserError(f"{folder}: an empty folder; an asset needs at least one file")
    return sorted(files, key=lambda pair: pair[1])


def _digest(kind: str, files: Sequence[tuple[Path, str]]) -> str:
    digest = hashlib.sha256(kind.encode())
    for source, target in files:
        digest.update(target.encode() + b"\0")
        with source.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:32]
