"""The folder that prepare writes and the other jobs read: train.npz, validation.npz, test.npz and about.json."""

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from digits.data.sets import Digits
from digits.errors import DataError
from digits.shape import SIZE

NAMES = ("train", "validation", "test")
ABOUT = "about.json"


def hold_back(digits: Digits, share: float, seed: int) -> tuple[Digits, Digits]:
    """`digits` in two: what to train on, and `share` of every class (at least one digit) to validate with."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(digits), bool)
    for label in np.unique(digits.labels):
        mine = rng.permutation(np.flatnonzero(digits.labels == label))
        held[mine[: max(1, round(share * len(mine)))]] = True
    return _part(digits, ~held), _part(digits, held)


def write(folder: Path, splits: dict[str, Digits], seed: int) -> None:
    """Each split as an npz of images uint8 (n, 28, 28) and labels uint8 (n,), and about.json beside them."""
    for name, digits in splits.items():
        np.savez_compressed(folder / f"{name}.npz", images=digits.images, labels=digits.labels)
    about = {
        "counts": {name: len(digits) for name, digits in splits.items()},
        "sources": {name: digits.source for name, digits in splits.items()},
        "synthetic": [name for name, digits in splits.items() if digits.synthetic],
        "seed": seed,
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read(folder: Path, name: str) -> Digits:
    """The split called `name` of a prepared folder. Raises DataError if it is not there or not whole."""
    file = folder / f"{name}.npz"
    if not file.is_file():
        raise DataError(f"{file}: no such file; --data must be a folder that digits.jobs.prepare wrote")
    try:
        with np.load(file) as arrays:
            images, labels = arrays["images"], arrays["labels"]
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        source, synthetic = str(about["sources"][name]), name in about.get("synthetic", [])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file}: cannot be read ({error}); run digits.jobs.prepare again") from error
    if (
        images.dtype != np.uint8
        or images.shape[1:] != (SIZE, SIZE)
        or labels.dtype != np.uint8
        or labels.shape != images.shape[:1]
        or not len(labels)
        or labels.max() > 9
    ):
        raise DataError(
            f"{file}: holds images {images.dtype} {images.shape} and labels {labels.dtype} {labels.shape}, "
            f"not uint8 (n, {SIZE}, {SIZE}) and uint8 (n,) from 0 to 9; run digits.jobs.prepare again"
        )
    return Digits(images, labels, source, synthetic)


def fingerprint(digits: Digits) -> str:
    """What tells one set from another with as many of each class: the SHA-256 of its images and labels."""
    return hashlib.sha256(digits.images.tobytes() + digits.labels.tobytes()).hexdigest()


def joined(first: Digits, second: Digits) -> Digits:
    """Both together."""
    return Digits(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        f"{first.source} and {second.source}",
        first.synthetic or second.synthetic,
    )


def mix(known: Digits, new: Digits, share: float) -> Digits:
    """`known` and `new` together, the new ones repeated until they are at least `share` of the whole."""
    wanted = max(len(new), round(len(known) * share / (1 - share)))
    places = np.resize(np.arange(len(new)), wanted)
    return joined(known, _part(new, places))


def _part(digits: Digits, chosen: np.ndarray) -> Digits:
    return replace(digits, images=digits.images[chosen], labels=digits.labels[chosen])
