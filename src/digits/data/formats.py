"""Digits in the files people keep them in, read into arrays: idx, npz, CSV, folders of pictures, and zips of these.

Nothing is ever unpacked to disk, and every reader bounds what it takes into memory, so an archive from the network can
be read as it is. Whatever is wrong with a file becomes one `DataError`, whose message is the line a user should see.
"""

import gzip
import io
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from digits.data.images import Arrays, standardise, standardise_all
from digits.errors import DataError

MAX_FILE = 1 << 29  # bytes of one file once unpacked; MNIST's training images as CSV are 110 MB
MAX_ARCHIVE = 1 << 31  # bytes of all files of one archive
MAX_PIXELS = 1 << 24  # pixels of one picture: a 4096 x 4096 scan

Parts = dict[str, Arrays]  # by "train", "validation" and "test", or "all" where the source does not say


# --- where the files are -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Files:
    """The files of a folder or archive: names relative to it, in sorted order, and how to read one."""

    root: Path
    names: list[str]
    raw: Callable[[str], bytes]

    def where(self, name: str) -> str:
        if self.root.is_dir():
            return str(self.root / name)
        return str(self.root) if self.root.name == name else f"{self.root}: {name}"

    def read(self, name: str) -> bytes:
        """The content of one file, unpacked if its name ends in .gz."""
        try:
            data = self.raw(name)
            if not name.lower().endswith(".gz"):
                return data
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(MAX_FILE + 1)
        except DataError:
            raise
        except (RuntimeError, NotImplementedError) as error:  # zipfile's words for encrypted or exotic members
            raise DataError(f"{self.where(name)}: cannot be unpacked ({error}); make an ordinary zip") from error
        except OSError as error:
            if error.errno is None:  # gzip's and bz2's way to say so
                raise DataError(f"{self.where(name)}: damaged or cut short ({error}); get the file again") from error
            raise DataError(f"{self.where(name)}: cannot be read ({error.strerror or error})") from error
        except Exception as error:  # what unpackers raise of damaged bytes is nowhere written down
            raise DataError(f"{self.where(name)}: damaged or cut short ({error}); get the file again") from error
        if len(data) > MAX_FILE:
            raise DataError(f"{self.where(name)}: unpacks to more than {MAX_FILE >> 20} MB; no set of digits does")
        return data


@contextmanager
def _files(path: Path) -> Iterator[_Files]:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; name where the digits are")
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        if not names:
            raise DataError(f"{path}: the folder is empty; name one that holds digits")
        yield _Files(path, _visible(names), lambda name: _small(path / name))
    elif path.suffix.lower() == ".zip":
        try:
            archive = zipfile.ZipFile(path)
        except Exception as error:  # what zipfile raises of damaged bytes is nowhere written down
            raise DataError(f"{path}: not a readable zip ({error}); get the file again") from error
        with archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for member in members:
                # We never unpack to disk, but an archive that tries to leave its folder is not one to trust.
                parts = PurePosixPath(member.filename.replace("\\", "/")).parts
                if ".." in parts or parts[:1] == ("/",) or re.match(r"[A-Za-z]:", member.filename):
                    raise DataError(f"{path}: {member.filename!r} points outside the archive; do not trust this file")
                if member.file_size > MAX_FILE:
                    raise DataError(f"{path}: {member.filename} unpacks to {member.file_size >> 20} MB; no digits do")
            if (total := sum(member.file_size for member in members)) > MAX_ARCHIVE:
                raise DataError(f"{path}: unpacks to {total >> 20} MB; no set of digits does")
            yield _Files(path, _visible(sorted(m.filename for m in members)), archive.read)
    else:
        yield _Files(path, [path.name], lambda name: _small(path))


def _small(path: Path) -> bytes:
    if (size := path.stat().st_size) > MAX_FILE:
        raise DataError(f"{path}: {size >> 20} MB; no set of digits is that large")
    return path.read_bytes()


def _visible(names: list[str]) -> list[str]:
    """Without what macOS and editors leave behind: __MACOSX/, ._x.png, .DS_Store."""
    return [n for n in names if not any(part.startswith((".", "__")) for part in PurePosixPath(n).parts)]


# --- the formats ---------------------------------------------------------------------------------------------------


def read(path: Path) -> Parts:
    """Every digit of a folder, archive or file: {"train": (images, labels), "test": ...} or {"all": ...}.

    The first format found in this order is taken:
    idx       `train-images-idx3-ubyte[.gz]`, `t10k-images-idx3-ubyte[.gz]` and their labels
    npz       `x_train, y_train, x_test, y_test`; or `images, labels` in a file named train, test or anything
    CSV       Kaggle's: `label` and then the pixels
    pictures  in folders `digit_3`, `03` or `3`, which may lie in Train/ and Test/
    Raises DataError for anything else.
    """
    with _files(Path(path)) as files:
        for reader in (_read_idx, _read_npz, _read_csv, _read_pictures):
            if parts := reader(files):
                return parts
        raise DataError(
            f"{path}: no digits here; expected idx files, an .npz, a CSV with a label column, "
            "or pictures in folders named digit_0 to digit_9"
        )


def _split(names: tuple[str, ...]) -> str:
    """What part of a set a file belongs to, told from its name or its folders', the nearest first."""
    for name in reversed(names):
        for split, pattern in (("train", "train"), ("test", "test|t10k"), ("validation", "valid")):
            if re.search(rf"(?:^|[^a-z])(?:{pattern})", name.lower()):
                return split
    return "all"


def _join(found: dict[str, list[Arrays]]) -> Parts:
    return {s: (np.concatenate([i for i, _ in a]), np.concatenate([b for _, b in a])) for s, a in found.items()}


_IDX = re.compile(r"(train|t10k|test)[-_.]?(images|labels)[-_.]?idx[13][-_.]ubyte(\.gz)?$", re.IGNORECASE)


def _read_idx(files: _Files) -> Parts:
    # Kaggle's copy holds every file twice, once in a folder of the same name: the shallowest is taken.
    found: dict[str, dict[str, str]] = {}
    for name in sorted(files.names, key=lambda n: (n.count("/"), n)):
        if match := _IDX.search(PurePosixPath(name).name):
            split, kind = _split((match[1],)), match[2].lower()
            found.setdefault(split, {}).setdefault(kind, name)
    parts = {}
    for split, kinds in found.items():
        for kind, other in (("images", "labels"), ("labels", "images")):
            if kind not in kinds:
                raise DataError(f"{files.where(kinds[other])}: its {kind} are missing; put the {kind} file beside it")
        images, labels = (
            _idx(files.read(kinds[k]), d, files.where(kinds[k])) for k, d in (("images", 3), ("labels", 1))
        )
        parts[split] = standardise_all(images, labels, files.where(kinds["images"]))
    return parts


def _idx(data: bytes, dimensions: int, where: str) -> np.ndarray:
    """LeCun's format: 0, 0, the type (8 is unsigned byte), how many dimensions, each as big-endian uint32, bytes."""
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{where}: not an idx file of {dimensions} dimension(s); get the file again")
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    promised = start + int(np.prod(shape, dtype=object))
    if len(data) != promised:
        raise DataError(f"{where}: {len(data):,} bytes where its header promises {promised:,}; get the file again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


_PAIRS = (("x_train", "y_train", "train"), ("x_test", "y_test", "test"), ("images", "labels", ""), ("x", "y", ""))


def _read_npz(files: _Files) -> Parts:
    found: dict[str, list[Arrays]] = {}
    for name in (n for n in files.names if n.lower().endswith(".npz")):
        where = files.where(name)
        arrays = _npz(files.read(name), where)
        pairs = [pair for pair in _PAIRS if pair[0] in arrays and pair[1] in arrays]
        if not pairs:
            raise DataError(f"{where}: holds {', '.join(arrays) or 'nothing'}; expected `images` and `labels`")
        for images, labels, split in pairs:
            part = standardise_all(arrays[images], arrays[labels], where)
            found.setdefault(split or _split((PurePosixPath(name).stem,)), []).append(part)
    return _join(found)


def _npz(data: bytes, where: str) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_FILE:
                raise DataError(f"{where}: unpacks to more than {MAX_FILE >> 20} MB; no set of digits does")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
    except DataError:
        raise
    except Exception as error:  # what numpy and zipfile raise of damaged bytes is nowhere written down
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{where}: not a readable .npz ({reason}); make or get the file again") from error


def _read_csv(files: _Files) -> Parts:
    found: dict[str, list[Arrays]] = {}
    unlabelled = None
    for name in (n for n in files.names if re.search(r"\.csv(\.gz)?$", n, re.IGNORECASE)):
        where = files.where(name)
        text = files.read(name)
        header = text[: text.find(b"\n")].decode("utf-8", "replace").strip("\ufeff\r ").lower().split(",")
        named = not header[0].strip().replace(".", "").isdigit()
        if named and header[0].strip('" ') != "label":
            unlabelled = where  # Kaggle's test.csv, the answers of its competition
            continue
        try:
            with warnings.catch_warnings(action="ignore"):  # of an empty table, which is an error below
                table = np.loadtxt(io.BytesIO(text), np.float32, delimiter=",", skiprows=int(named), ndmin=2)
        except Exception as error:
            raise DataError(f"{where}: not a table of numbers ({error})") from error
        part = standardise_all(table[:, 1:], table[:, 0], where)
        found.setdefault(_split((PurePosixPath(name).name,)), []).append(part)
    if unlabelled and not found:
        raise DataError(
            f"{unlabelled}: has no `label` column first; name a file with labels, such as Kaggle's train.csv"
        )
    return _join(found)


_PICTURES = {".png", ".jpg", ".jpeg", ".bmp"}
_CLASS = re.compile(r"(?:digit[-_]?)?(\d{1,3})$", re.IGNORECASE)


def _read_pictures(files: _Files) -> Parts:
    found: dict[str, tuple[list[np.ndarray], list[int]]] = {}
    for name in files.names:
        *folders, file = PurePosixPath(name).parts
        if PurePosixPath(file).suffix.lower() not in _PICTURES or not folders:
            continue
        if (match := _CLASS.match(folders[-1])) is None:
            continue
        if int(match[1]) > 9:
            raise DataError(f"{files.where(name)}: its folder says class {match[1]}; expected digit_0 to digit_9")
        images, labels = found.setdefault(_split(tuple(folders[:-1])), ([], []))
        images.append(_picture(files.read(name), files.where(name)))
        labels.append(int(match[1]))
    return {split: (np.stack(images), np.array(labels, np.uint8)) for split, (images, labels) in found.items()}


def _picture(data: bytes, where: str) -> np.ndarray:
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of large pictures, which are refused below
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "BMP"))
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{where}: {image.width}x{image.height} pixels; no digit needs more than 4096x4096")
            return standardise(image)
    except DataError as error:
        raise error if str(error).startswith(where) else DataError(f"{where}: {error}") from error
    except Exception as error:  # what Pillow raises of damaged bytes is nowhere written down
        raise DataError(f"{where}: not a readable picture; remove or replace it") from error
