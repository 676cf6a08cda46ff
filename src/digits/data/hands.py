"""The table of hands: everything that the rest of the repository knows of one. To add a hand is to add an entry.

The synthetic digits are no data. They have the size, the ink and the shapes of the real hands, enough for a
demonstration to drift and for a test to be fast; whoever wants to know how a network does on real handwriting must
fetch the real sets (`python -m digits.data fetch`).
"""

from dataclasses import dataclass

import numpy as np

from digits.data import drawing
from digits.data.drawing import Style
from digits.errors import DataError

SYNTHETIC = "synthetic-"  # begins the name of a source in labels.jsonl whose digits nobody wrote


@dataclass(frozen=True)
class Hand:
    """A way of writing, and where its digits come from.

    name: as it is called on the command line, in scenarios and in files. title: as it stands in a sentence.
    style: how its digits are drawn where the full set is not at hand; None: real ones are embedded in a package.
    kaggle: the full set at Kaggle, "owner/dataset". url, sha256: the full set as one .npz, which is asked for first.
    """

    name: str
    title: str
    style: Style | None
    kaggle: str
    url: str = ""
    sha256: str = ""


DEVANAGARI = Style(
    glyphs=(
        "55,6 22,14 4,52 24,92 62,96 94,62 88,22 58,4 44,14",
        "76,20 50,2 14,12 8,40 38,52 70,36 78,10 | 77,8 82,30 84,62 90,100",
        "8,18 34,2 62,8 66,32 44,54 16,76 | 16,76 10,92 34,92 44,74 64,84 96,98",
        "8,14 38,2 64,10 58,30 34,40 | 34,40 62,46 64,66 36,76 12,70 | 36,76 58,78 94,100",
        "60,4 26,2 16,20 44,44 74,66 84,86 56,100 28,88 44,60 66,34 94,4",
        "8,8 10,36 32,48 56,40 70,8 | 72,2 64,44 40,80 14,96 6,82 26,72 56,80 94,98",
        "88,8 52,2 24,12 28,34 62,38 | 62,38 22,44 6,66 28,82 64,78 74,62 56,58 54,76 68,92 92,98",
        "10,2 5,46 20,88 58,98 92,78 90,46 66,36 46,54 56,76",
        "6,12 48,8 94,4 | 46,8 20,34 12,66 34,92 66,96 96,88",
        "84,24 78,4 48,2 20,12 20,34 50,42 78,46 62,64 32,74 6,84 | 6,84 40,90 66,97 98,98",
    ),
    fills=True,
    height=(25.1, 0.7),
    pen=(0.98, 0.32),
    soft=(0.8, 1.6),
    uneven=0.04,
    peak=(260, 5),
    slant=(-0.03, 0.14),
)

JAPANESE = Style(
    glyphs=(
        "46,0 14,22 4,60 24,98 50,92 64,50 54,10 36,2",
        "8,0 5,50 2,100",
        "2,20 20,2 46,6 48,28 30,58 0,98 | 0,98 30,92 66,94",
        "6,10 30,0 48,12 40,34 18,44 | 18,44 50,52 54,78 30,98 0,90",
        "40,0 24,32 0,66 | 0,66 36,64 72,60 | 50,26 46,60 42,100",
        "16,6 12,26 8,46 | 8,46 36,38 56,58 50,84 26,100 0,92 | 16,6 40,4 66,0",
        "34,0 12,36 2,74 18,98 42,92 48,68 28,56 6,74",
        "4,6 3,22 0,36 | 4,8 30,6 58,2 | 58,2 44,32 32,66 30,100",
        "52,14 34,0 12,12 20,36 44,60 52,84 30,100 8,88 14,62 38,40 52,14",
        "50,14 30,0 6,14 6,40 28,46 46,28 50,12 | 50,12 46,46 36,76 24,100",
    ),
    fills=False,
    height=(18.8, 3.8),
    pen=(0.32, 0.22),
    soft=(0.9, 1.4),
    uneven=0.4,
    peak=(262, 40),
    slant=(0.1, 0.16),
)

HANDS: dict[str, Hand] = {
    hand.name: hand
    for hand in (
        Hand(
            "mnist",
            "MNIST",
            style=None,
            kaggle="hojjatk/mnist-dataset",
            # What keras.datasets.mnist loads, and as it checks it; Keras itself would first import TensorFlow.
            url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
            sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        ),
        Hand("devanagari", "Devanagari", DEVANAGARI, kaggle="anurags397/hindi-mnist-data"),
        Hand("japanese", "Japanese", JAPANESE, kaggle="anwarzalek/japanese-handwritten-digits"),
    )
}


def synthesise(name: str, labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw digits in a hand: uint8 (n, 28, 28), white on black.

    labels: (n,) of 0..9. The same arguments give the same images. Raises DataError for a label that is none, and for a
    hand that is unknown or not drawn.
    """
    style = HANDS[name].style if name in HANDS else None
    if style is None:
        drawn = ", ".join(hand.name for hand in HANDS.values() if hand.style)
        raise DataError(f"no synthetic hand is called {name!r}; choose from {drawn}")
    labels = np.asarray(labels)
    if not np.isin(labels, np.arange(10)).all():
        raise DataError("synthetic digits need labels from 0 to 9")
    return drawing.draw(style, labels, seed)


def source_name(name: str, synthetic: bool) -> str:
    """What a source of digits is called in labels.jsonl: its own name, after "synthetic-" if nobody wrote them."""
    return f"{SYNTHETIC}{name}" if synthetic else name


def of_source(source: str) -> str:
    """The name without "synthetic-": "devanagari" for "synthetic-devanagari"."""
    return source.removeprefix(SYNTHETIC)


def source_title(source: str) -> str:
    """A source's name as it stands in a sentence: "MNIST", "synthetic Devanagari", or a scenario's "blurred"."""
    name = of_source(source)
    title = HANDS[name].title if name in HANDS else name
    return f"synthetic {title}" if source != name else title
