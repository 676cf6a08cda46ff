"""Files written whole or not at all, the errors of disks in one line, and the hash of a file or folder."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amlocal.core.durable import sync_folder
from amlocal.core.errors import UserError
from amlocal.core.trust import check_file


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write below `path` into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "the disk is full; free some space (`aml doctor` shows how much is left) and try again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "it cannot be written to; mend its permissions or set AMLOCAL_HOME to another folder"
        else:
            raise
        raise UserError(f"{error.filename or path}: {remedy}") from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside its place, flushed to disk, then renamed, and the new name flushed."""
    with disk_errors(path):
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            _replace(Path(beside), path)
            sync_folder(path.parent)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise


def _replace(beside: Path, path: Path) -> None:
    """Rename; on Windows, where a file that somebody is reading cannot be replaced, a moment later."""
    for _ in range(100 if os.name == "nt" else 0):
        try:
            beside.replace(path)
            return
        except PermissionError:
            time.sleep(0.02)
    beside.replace(path)


def copy_into(source: Path, folder: Path) -> None:
    """Copy a folder's content, or a file, into `folder`, which is made if it is not there."""
    if source.is_dir():
        shutil.copytree(source, folder, dirs_exist_ok=True)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, folder / source.name)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """A record's content. Raises UserError for a file that is no JSON or somebody else's, and FileNotFoundError."""
    check_file(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not a whole JSON file ({error}); delete it if nothing needs it") from error


def hash_path(path: Path) -> str:
    """sha256 over the names and contents of a file, or of everything in a folder."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    for file in files:
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
