"""The digits of bench.detectors: a network trained once, and everything it is later asked about, as columns.

The columns are what an endpoint collects (the statistics of the ink, prediction, confidence, probabilities) and
`distance`, how unlike those of the training a digit is to the network. Beside them, for the oracle only, the embedding.
"""

import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from digits.data import ink, sets, splits
from digits.errors import DataError
from digits.network import fit, lite, model, novelty, package, reference

from . import glyphs
from .exchange import Columns

HELD_BACK = 1 / 6  # of the training digits: 10,000 of MNIST's
CHANGED = 3_000  # digits each change is made of
SOME, DIMENSIONS = 5_000, 64  # of the embedding: training digits it is made with, and numbers kept of each

# What happens to digits that were not: name -> a person's words. Both real hands come first.
FOREIGN = {
    "devanagari": "Devanagari",
    "japanese": "Japanese",
    "rotated": "turned by 25°",
    "thick": "thicker strokes",
    "thin": "thinner strokes",
    "salt": "2 % salt noise",
    "mirrored": "mirrored",
    "letters": "letters, drawn",
    "signs": "invented signs",
}
REAL = ("devanagari", "japanese")


@dataclass(frozen=True)
class World:
    """All digits of a run. `pool` holds those that streams are made of, one after the other."""

    reference: Columns
    neighbours: np.ndarray  # (m, 8), the ink of training digits, which our detector has with its reference
    pool: Columns
    reference_embedding: np.ndarray  # float32 (n, DIMENSIONS)
    embedding: np.ndarray  # the same of the pool
    clean: np.ndarray  # where in the pool MNIST's test digits are
    labels: np.ndarray  # of those
    images: np.ndarray  # of those, uint8 (n, 28, 28)
    known: dict[str, np.ndarray]  # of each of FOREIGN, half: what an oracle learns and methods are tuned with
    unseen: dict[str, np.ndarray]  # the other half: what they are tested with
    eye: "Eye"
    told: str  # where they come from


def make(folder: str | None, small: bool, cache: Path) -> World:
    """The world of the full sets in `folder`, or of the embedded digits. Raises DataError."""
    digits = {name: _load(name, folder, small) for name in ("train", "test", *REAL)}
    training, held = splits.hold_back(digits["train"], HELD_BACK, seed=0)
    seen = Eye(_network(training, "small" if small else "fast", cache), training, cache)
    test = digits["test"].images
    rng = np.random.default_rng(0)
    some = test[rng.permutation(len(test))[:CHANGED]]
    pictures = {"clean": test, **{name: digits[name].images for name in REAL}, **_changed(some, rng)}
    pictures["letters"] = _centred(glyphs.draw(glyphs.LETTERS, CHANGED, seed=1))
    pictures["signs"] = _centred(glyphs.draw(glyphs.SIGNS, CHANGED, seed=2))
    looked = {name: seen(images) for name, images in pictures.items()}
    parts, known, unseen, begin = {}, {}, {}, 0
    for name, images in pictures.items():
        parts[name] = begin + np.arange(len(images))
        begin += len(images)
        mixed = rng.permutation(parts[name])
        known[name], unseen[name] = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]
    columns, reference_embedding = seen(held.images)
    chosen = np.linspace(0, len(training) - 1, min(reference.NEAREST, len(training))).astype(int)
    accuracy = float((looked["clean"][0]["prediction"] == digits["test"].labels).mean())
    told = f"{len(held):,} digits held back for reference; {', '.join(each.source for each in digits.values())}"
    return World(
        reference=columns,
        neighbours=ink.statistics(training.images[chosen]),
        pool={name: np.concatenate([each[name] for each, _ in looked.values()]) for name in columns},
        reference_embedding=reference_embedding,
        embedding=np.concatenate([embedding for _, embedding in looked.values()]),
        clean=parts["clean"],
        labels=digits["test"].labels,
        images=test,
        known={name: known[name] for name in FOREIGN},
        unseen={name: unseen[name] for name in FOREIGN},
        eye=seen,
        told=f"the network is right about {accuracy:.2%} of the test digits; {told}",
    )


def _load(name: str, folder: str | None, small: bool) -> sets.Digits:
    hand, split = (name, None) if name in REAL else ("mnist", name)
    if small:
        return sets.embedded(hand, split)
    digits = sets.load(hand, folder, split)
    if split == "train" and len(digits) < 50_000:
        raise DataError(f"{digits.source}: the full MNIST is needed; name it with --data, or use --small")
    if digits.synthetic:
        raise DataError(f"no real {hand} digits were found; name a folder with them with --data, or use --small")
    return digits


class Eye:
    """What is seen of images: the columns, and the embedding for the oracle."""

    def __init__(self, network: Any, training: sets.Digits, cache: Path) -> None:
        known = novelty.directions(network, training.images)
        self.lite = _lite(package.convert(network, known), cache)
        self.blind = _lite(package.convert(network), cache)  # the same without the distance, to know what that costs
        self._features = novelty.features(network)
        chosen = np.random.default_rng(0).permutation(len(training))[:SOME]
        rows = self._embedded(training.images[chosen])
        self._centre = rows.mean(axis=0)
        _, _, directions = np.linalg.svd(rows - self._centre, full_matrices=False)
        self._directions = directions[:DIMENSIONS].T

    def __call__(self, images: np.ndarray) -> tuple[Columns, np.ndarray]:
        """(columns, embedding float32 (n, DIMENSIONS)) of images uint8 (n, 28, 28)."""
        columns = reference.describe(self.lite, sets.Digits(images, np.zeros(len(images), np.uint8), ""))
        columns |= {f"probability_{label}": each for label, each in enumerate(self.lite.probabilities(images).T)}
        embedding = (self._embedded(images) - self._centre) @ self._directions
        return {name: values.astype(np.float32) for name, values in columns.items()}, embedding

    def _embedded(self, images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1)
        starts = range(0, len(flat), 1000)
        return np.concatenate(
            [self._features.predict_on_batch(flat[start : start + 1000].astype(np.float32)) for start in starts]
        )


def _lite(converted: bytes, cache: Path) -> lite.Lite:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        file = Path(folder) / lite.FILE
        file.write_bytes(converted)
        return lite.Lite(file)


def _network(training: sets.Digits, schedule: str, cache: Path) -> Any:
    """The default network fitted to the digits, from the cache if the same was fitted before."""
    import keras

    sources = (Path(fit.__file__), Path(model.__file__))
    content = [training.images.tobytes(), training.labels.tobytes(), schedule.encode(), keras.__version__.encode()]
    key = hashlib.sha256(b"".join([*content, *(file.read_bytes() for file in sources)])).hexdigest()[:16]
    kept = cache / f"drift-{key}.keras"
    if kept.is_file():
        return keras.models.load_model(kept)
    print(f"training the network on {training.source} (once) ...", file=sys.stderr, flush=True)
    network = model.build("default", 0, fit.SCHEDULES[schedule].width)
    network = fit.fit(network, fit.SCHEDULES[schedule], training, seed=0)
    cache.mkdir(parents=True, exist_ok=True)
    made = kept.with_suffix(f".{os.getpid()}.keras")
    network.save(made)
    made.replace(kept)
    return network


def _changed(images: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The same digits, each change done to all of them."""
    changed = {
        "rotated": ndimage.rotate(images, 25, axes=(2, 1), reshape=False, order=1),
        "thick": ndimage.grey_dilation(images, (1, 2, 2)),
        "thin": ndimage.grey_erosion(images, (1, 2, 2)),
        "mirrored": images[:, :, ::-1],
    }
    salted = np.where(rng.random(images.shape) < 0.02, 255, images).astype(np.uint8)
    return {**{name: _centred(each) for name, each in changed.items()}, "salt": salted}


def _centred(images: np.ndarray) -> np.ndarray:
    """Moved by whole pixels to where MNIST has its digits' centre of mass: else this alone would give them away."""
    grid = np.arange(28)
    total = np.maximum(images.sum(axis=(1, 2)), 1)
    down = np.rint(14 - images.sum(axis=2) @ grid / total).astype(int)
    right = np.rint(14 - images.sum(axis=1) @ grid / total).astype(int)
    return np.stack([np.roll(image, (y, x), (0, 1)) for image, y, x in zip(images, down, right, strict=True)])
