"""Files written whole or not at all, the errors of disks in one line, and the hash of a file or folder."""

import errno
import hashlib
import json
import os
import shutil
import stat
import subprocess
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
        named = error.filename2 or error.filename or path  # a copy that fails names its source first
        ours = any(Path(named).is_relative_to(place) for place in (path, path.parent))
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "the disk is full; free some space (`aml doctor` shows how much is left) and try again"
            raise UserError(f"{named if ours else path}: {remedy}") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "it cannot be written to; mend its permissions or set AMLOCAL_HOME to another folder"
            raise UserError(f"{named}: {remedy if ours else 'it cannot be read; mend its permissions'}") from error
        raise


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


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As os.walk with `followlinks`: each folder, the folders in it and the files in it, but ends in every case.

    A link to a folder that it lies in is left out. Folders that the caller takes out of the list are not entered.
    """
    above: dict[str, set[tuple[int, int]]] = {str(folder): {_identity(folder)}}
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        mine = above.pop(place)
        found = {name: _identity(Path(place, name)) for name in sorted(folders)}
        folders[:] = [name for name, identity in found.items() if identity not in mine]
        yield Path(place), folders, sorted(names)
        for name in folders:
            above[os.path.join(place, name)] = mine | {found[name]}  # noqa: PTH118 (as os.walk names it)


def _raise(error: OSError) -> None:
    """A folder that cannot be listed must not be taken for an empty one."""
    raise error


def _identity(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_dev, about.st_ino


def regular(path: Path) -> Path:
    """The path, if it is a file to read. Raises UserError for a pipe, a socket, a device, and a link to nothing."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if not path.is_symlink():
            raise
        why = "leads to itself" if error.errno == errno.ELOOP else f"leads to {path.readlink()}, which is not there"
        raise UserError(f"{path}: a link that {why}; mend or remove it, or name it in .amlignore") from error
    if stat.S_ISREG(mode):
        return path
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
    kind = next((name for is_one, name in kinds if is_one(mode)), "a device")
    raise UserError(f"{path}: {kind}, not a file whose content could be kept; remove it, or name it in .amlignore")


def files_below(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files in a folder, each with its place below it, in the order of their places. Raises UserError."""
    found = [regular(place / name) for place, _, names in walk(folder) for name in names]
    yield from sorted(
        ((file, file.relative_to(folder).as_posix()) for file in found), key=lambda pair: pair[1].split("/")
    )


def copy_into(source: Path, folder: Path) -> None:
    """Copy a folder's content, or a file, into `folder`, which is made if it is not there. Raises UserError."""
    folder.mkdir(parents=True, exist_ok=True)
    if not source.is_dir():
        shutil.copy2(regular(source), folder / source.name)
        return
    for place, folders, names in walk(source):
        below = folder / place.relative_to(source)
        for name in folders:
            (below / name).mkdir(exist_ok=True)
        for name in names:
            shutil.copy2(regular(place / name), below / name)


def relative(path: Path) -> Path:
    """The path as the user would type it: below the current folder without its prefix."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return Path(os.path.normpath(path))


def ignored_by_git(path: Path) -> bool:
    """Whether git is told to keep `path` out of the repository it lies in: it is made, not kept. False without git."""
    existing = next(parent for parent in path.parents if parent.is_dir())
    try:
        command = ["git", "check-ignore", "--quiet", str(path)]
        return subprocess.run(command, cwd=existing, capture_output=True).returncode == 0
    except OSError:
        return False


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A record's content. Raises UserError for a file that is no JSON or somebody else's, and FileNotFoundError."""
    check_file(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not a whole JSON file ({error}); delete it if nothing needs it") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: damaged: it holds no JSON object; delete it if nothing needs it")
    return value


def hash_path(path: Path) -> str:
    """sha256 over the names and contents of a file, or of everything in a folder. Raises UserError."""
    digest = hashlib.sha256()
    for file, below in files_below(path) if path.is_dir() else [(regular(path), ".")]:
        digest.update(below.encode() + b"\0")
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
