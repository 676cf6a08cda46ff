"""Writes content to the disk before the record that names it, so that a power cut cannot leave one without the other.

A rename is atomic, but after a power cut the new name may lead to an empty file: the content may still have been in
memory. Call `sync` on the content, then write the record (`files.write_text` syncs the file and its folder).
"""

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MANY = 16  # files, from which on one call for the whole file system costs less than one for each


def sync(*paths: Path) -> None:
    """Return when files, and folders with all that is in them, are on the disk, their names included."""
    files: list[Path] = []
    folders: list[Path] = []
    for path in paths:
        for place in _below(path):
            (folders if place.is_dir() else files).append(place)
    there = [path for path in paths if path.exists()]
    if len(files) > MANY and all(map(_sync_file_system, there)):
        return
    for file in files:
        _flush(file, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    for folder in reversed(folders):
        sync_folder(folder)
    for parent in {path.parent for path in there}:
        sync_folder(parent)
    if there:
        _empty_the_drive(there[0])


def publish(new: Path, place: Path) -> None:
    """Give finished content its name: the content is on the disk first, then the name, in place of what was there.

    new: a file or folder in the same file system. A folder that another process has published meanwhile is left.
    """
    sync(new)
    if new.is_dir():
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as aside:
            if place.exists():
                place.rename(Path(aside, "before"))
            try:
                new.rename(place)
            except OSError:
                if not place.exists():
                    raise
    else:
        new.replace(place)
    sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk. Windows writes them with the files."""
    if os.name != "nt":
        try:
            _flush(folder, os.O_RDONLY)
        except OSError as error:  # some network and shared file systems cannot do this for folders
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EIO):
                raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they are on the disk, too."""
    missing = [folder, *folder.parents]
    missing = missing[: next((n for n, each in enumerate(missing) if each.is_dir()), len(missing))]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def _below(path: Path) -> Iterator[Path]:
    """Regular files and folders at and below a path; links are not followed."""
    if path.is_symlink() or not path.exists():
        return
    if path.is_dir():
        yield path
        with suppress(PermissionError, FileNotFoundError):  # locked, or gone in this moment
            for entry in os.scandir(path):
                if entry.is_dir(follow_symlinks=False):
                    yield from _below(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
    elif path.is_file():
        yield path


def _flush(path: Path, how: int) -> None:
    try:
        descriptor = os.open(path, how)
    except (PermissionError, FileNotFoundError):  # mode 0000, locked by Windows, or gone in this moment
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _empty_the_drive(path: Path) -> None:
    """On macOS fsync(2) leaves what it writes in the drive's memory; one F_FULLFSYNC writes all of that."""
    if sys.platform == "darwin":
        import fcntl

        with suppress(OSError):  # not every file system there has it
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            finally:
                os.close(descriptor)


def _sync_file_system(folder: Path) -> bool:
    """Return when all that was written to the file system of `folder` is on the disk: syncfs(2), of Linux.

    False where that is not to be had.
    """
    if sys.platform != "linux":
        return False
    import ctypes

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return ctypes.CDLL(None).syncfs(descriptor) == 0
    except AttributeError:
        return False
    finally:
        os.close(descriptor)
