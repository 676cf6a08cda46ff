"""Local files that become part of an asset: copied into the workspace once per content, as Azure uploads them."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from amlocal.core.durable import make_folder, publish
from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors, files_below, regular, walk
from amlocal.core.workspace import Workspace

CHEAP = 64 * 2**20  # bytes, up to which content that is there already is read again before it is believed

Files = Sequence[tuple[Path, str]]  # each with its place below the folder it is copied to


def keep(workspace: Workspace, path: Path, known: Any = None) -> Path:
    """Copy a file or folder to `LocalUpload/<hash>/<name>` in the default datastore; returns the copy.

    The same content may be there under other names, of assets that were made of it: one of these is returned, and if
    any is torn all are written again. known: the path on record of the asset that is registered again; it stays.
    What `.amlignore` or `.gitignore` in the folder name stays out, and so does the workspace itself. What lies in the
    workspace already stays where it is.
    """
    root = workspace.root.resolve()
    if path.resolve().is_relative_to(root):
        return path
    kind, files = ("folder", listed(path, workspace.home)) if path.is_dir() else ("file", [(regular(path), path.name)])
    if not files:
        raise UserError(f"{path}: an empty folder; an asset needs at least one file")
    store = workspace.datastore() / "LocalUpload"
    workspace.create()
    with disk_errors(store):
        kept = store / _digest(kind, files)
        there = [place.name for place in _content(kept)]
        own = Path(known).name if known and Path(known).parent == kept else there[0] if there else path.name
        names = dict.fromkeys((own, *there))
        placed = [
            (source, f"{name}/{target}" if kind == "folder" else name) for name in names for source, target in files
        ]
        if not _alike((kept / target, source) for source, target in placed):
            with copied(placed, store) as copy:
                put(copy, kept)
        return kept / own


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
    if not (kept.exists() and same(copy, kept)):
        publish(copy, kept)
    return kept


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, as far as that is cheap to tell (see `_alike`)."""
    files, others = dict(_below(one)), dict(_below(other))
    return files.keys() == others.keys() and _alike((file, others[below]) for below, file in files.items())


def holds(there: Path, source: Path) -> bool:
    """Whether what was kept still has the files of `source`, a file or folder; it may have more by now."""
    if not source.is_dir():
        return _alike([(there, source)])
    return _alike((there / below, file) for below, file in _below(source))


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((below, file) for file, below in files_below(folder))


def _alike(pairs: Iterable[tuple[Path, Path]]) -> bool:
    """Whether each first file has the size of the second and, up to `CHEAP` bytes in all, also its content."""
    pairs = list(pairs)
    sizes = [(one.stat().st_size, other.stat().st_size) for one, other in pairs if one.is_file()]
    if len(sizes) < len(pairs) or any(one != other for one, other in sizes):
        return False
    return sum(one for one, _ in sizes) > CHEAP or all(_sum(one) == _sum(other) for one, other in pairs)


def _content(kept: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from kept.iterdir()


def _sum(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _digest(kind: str, files: Files) -> str:
    digest = hashlib.sha256(kind.encode())
    for source, target in files:
        digest.update(target.encode() + b"\0")
        digest.update(_sum(source))
    return digest.hexdigest()[:32]
