"""Refuses a workspace that another user owns or may write to, as git refuses such a repository.

A workspace holds plans, interpreters and scoring scripts that `aml` runs. If another user had put one into a parent
folder, they would run as this user. The owner and the write permissions are checked for the workspace's folder and two
levels below it, and the owner of each record when it is read. Windows has no owners and modes of this kind; nothing is
checked there.
"""

import functools
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from amlocal.core.errors import UserError

ALLOWED = "AMLOCAL_TRUSTED"  # folders, separated as in PATH, that somebody else may own or write to
OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check_workspace(root: Path) -> None:
    """Raises UserError for a workspace that is somebody else's, or that others may write to."""
    if not hasattr(os, "getuid") or not root.exists() or allowed(root):
        return
    _check_owner(root, root)
    mode = root.stat().st_mode
    if mode & OTHERS and _modes_mean_something(root):
        raise UserError(f"{root}: others may write to it (mode {_shown(mode)}), so aml does not use it; {_mend(root)}")
    within_reach = mode & (stat.S_IXGRP | stat.S_IXOTH)
    for path in _entries(root):
        mode = _check_owner(path, root)
        if mode & OTHERS and within_reach and not stat.S_ISLNK(mode) and _modes_mean_something(root):
            raise UserError(
                f"{path}: others may write to it (mode {_shown(mode)}), so aml does not use the workspace;"
                f" {_mend(root)}"
            )


def check_file(path: Path) -> None:
    """Raises UserError for a file of a workspace that somebody else owns, and which would be believed or run."""
    if hasattr(os, "getuid") and not allowed(*path.parents):
        _check_owner(path, path.parent)


def allowed(*folders: Path) -> bool:
    """Whether the user has said of one of the folders that it is in order, whoever owns it."""
    named = os.environ.get(ALLOWED)
    if not named:
        return False
    trusted = {Path(each).expanduser().resolve() for each in named.split(os.pathsep) if each}
    return not trusted.isdisjoint(folder.resolve() for folder in folders)


def _entries(root: Path) -> Iterator[Path]:
    """What lies in the folder, and in the folders in it."""
    for entry in os.scandir(root):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            with suppress(FileNotFoundError):  # gone in this moment
                for inner in os.scandir(entry.path):
                    yield Path(inner.path)


def _check_owner(path: Path, root: Path) -> int:
    """The mode of what belongs to this user, 0 if it is gone. Raises UserError for what belongs to another."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return 0
    owner = about.st_uid
    if owner not in _mine() and not (owner == 0 and path != root):  # root's files, as sudo leaves them, are no trick
        raise UserError(
            f"{path}: it belongs to {_name(owner)}, not to you, so aml does not use it; set AMLOCAL_HOME to a folder"
            f" of your own, or {ALLOWED}={root} if you trust {_name(owner)}"
        )
    return about.st_mode


def _mine() -> set[int]:
    mine = {os.getuid()}
    if os.getuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal():
        mine.add(int(os.environ["SUDO_UID"]))
    return mine


@functools.cache  # asked once in each process; a mark on the disk could be anybody's
def _modes_mean_something(root: Path) -> bool:
    """Whether a file that is made for its owner alone is so; on some mounts (drvfs, vfat) everything is everybody's."""
    try:
        with tempfile.NamedTemporaryFile(dir=root) as file:  # of mode 0600
            if not os.fstat(file.fileno()).st_mode & OTHERS:
                return True
    except OSError:
        return True
    logging.getLogger(__name__).warning(
        "WARNING: %s: the file system keeps no modes, so whoever else uses this machine may change what is in it", root
    )
    return False


def _shown(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"


def _mend(root: Path) -> str:
    return f"if you know what is in it: chmod 700 {root} (or {ALLOWED}={root})"


def _name(uid: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
