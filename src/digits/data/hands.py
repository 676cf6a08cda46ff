"""Synthetic digits drawn as pen strokes: stand-ins for Devanagari and Japanese handwriting without the real sets.

They are no data. They have the size, the ink and the shapes of the real hands, enough for a demonstration to drift and
for a test to be fast; whoever wants to know how a network does on real handwriting must fetch the real sets.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from digits.errors import DataError
from digits.shape import SIZE

_POINTS = 96  # of the pen's path in a digit: less than a pixel apart, so that they draw a line
_BATCH = 128  # digits rendered at once


@dataclass(frozen=True)
class Hand:
    """A way of writing. Glyphs are strokes through points in percent of a square, x to the right and y down.

    Lengths are pixels of the 28x28 image; pairs are a mean and a standard deviation, or a lowest and a highest value.
    """

    glyphs: tuple[str, ...]  # for 0 to 9: points "x,y", strokes parted by "|"
    fills: bool  # the frame is filled both ways; otherwise a digit keeps its shape and varies in size
    height: tuple[float, float]  # mean, standard deviation
    pen: tuple[float, float]  # mean and standard deviation of the logarithm of the pen's width
    soft: tuple[float, float]  # over how many pixels ink fades out, from, to
    uneven: float  # how much the pressure varies over a digit, 0 to 1
    peak: tuple[float, float]  # mean and standard deviation of the brightest pixel, cut at 255
    slant: tuple[float, float]  # mean, standard deviation


_DEVANAGARI = Hand(
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

_JAPANESE = Hand(
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

_HANDS = {"devanagari": _DEVANAGARI, "japanese": _JAPANESE}


def synthesise(hand: str, labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw digits in a hand, "devanagari" or "japanese" (Arabic numerals): uint8 (n, 28, 28), white on black.

    labels: (n,) of 0..9. The same arguments give the same images. Raises DataError for an unknown hand or label.
    """
    if hand not in _HANDS:
        raise DataError(f"no synthetic hand is called {hand!r}; choose from {', '.join(_HANDS)}")
    labels = np.asarray(labels)
    if not np.isin(labels, np.arange(10)).all():
        raise DataError("synthetic digits need labels from 0 to 9")
    return draw(_HANDS[hand], labels, seed)


def draw(style: Hand, labels: np.ndarray, seed: int) -> np.ndarray:
    """The glyphs `labels` (n,) of 0..9 of any hand: uint8 (n, 28, 28). The same arguments give the same images."""
    random = np.random.default_rng(seed)
    images = np.empty((len(labels), SIZE, SIZE), np.uint8)
    for label in range(10):
        for batch in _batches(np.flatnonzero(labels == label)):
            width = np.exp(random.normal(*style.pen, len(batch)))
            paths = _place(_bend(_paths(style.glyphs[label], len(batch), random), style, random), width, style, random)
            images[batch] = _ink(paths, width, style, random)
    return images


def _batches(indices: np.ndarray) -> Iterator[np.ndarray]:
    return (indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH))


def _paths(glyph: str, n: int, random: np.random.Generator) -> np.ndarray:
    """n paths of the pen (n, _POINTS, 2) through a glyph's points, each of them moved a little."""
    strokes = [np.array([p.split(",") for p in stroke.split()], float) / 100 for stroke in glyph.split("|")]
    lengths = [np.cumsum([0, *np.hypot(*np.diff(stroke, axis=0).T)]) for stroke in strokes]
    whole = sum(length[-1] for length in lengths)
    pieces = []
    for stroke, length in zip(strokes, lengths, strict=True):
        along = np.linspace(0, length[-1], max(8, int(_POINTS * length[-1] / whole)))
        pieces.append(_spline(length, along) @ (stroke + random.normal(0, 0.018, (n, *stroke.shape))))
    return np.concatenate(pieces, axis=1)


def _spline(knots: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Weights (len(along), len(knots)) that turn a curve's points at the knots into its points in between.

    A cubic Hermite (Catmull-Rom) spline, its slopes by finite differences. It is linear in the points, so one set
    of weights serves all digits of a class. (scipy has splines too, at the price of a second's import.)
    """
    points = np.eye(len(knots))
    slopes = np.gradient(points, knots, axis=0)
    i = np.clip(np.searchsorted(knots, along, side="right") - 1, 0, len(knots) - 2)
    step = (knots[i + 1] - knots[i])[:, None]
    t = (along - knots[i])[:, None] / step
    ends = (1 + 2 * t) * (1 - t) ** 2 * points[i] + t**2 * (3 - 2 * t) * points[i + 1]
    return ends + step * (t * (1 - t) ** 2 * slopes[i] + t**2 * (t - 1) * slopes[i + 1])


def _bend(paths: np.ndarray, style: Hand, random: np.random.Generator) -> np.ndarray:
    """Slanted, turned, and displaced by two slow waves in random directions: the elastic distortion of a real hand."""
    n = len(paths)
    for _ in range(2):
        wave = random.uniform(-0.9, 0.9, (n, 2, 1)) * 2 * np.pi
        phase = random.uniform(0, 2 * np.pi, (n, 1, 1))
        push = random.normal(0, 0.032, (n, 1, 2))
        paths = paths + push * np.sin(paths @ wave + phase)
    slant, turn = random.normal(*style.slant, n), random.normal(0, 0.07, n)
    shear = np.stack([np.ones(n), np.zeros(n), -slant, np.ones(n)], axis=1).reshape(n, 2, 2)
    rotation = np.stack([np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)], axis=1).reshape(n, 2, 2)
    return paths @ shear @ rotation


def _place(paths: np.ndarray, width: np.ndarray, style: Hand, random: np.random.Generator) -> np.ndarray:
    """In pixels: scaled so that the ink, the pen's width included, is as tall as the hand writes, and centred."""
    n = len(paths)
    low, high = paths.min(axis=1), paths.max(axis=1)
    extent = np.maximum(high - low, 0.02)
    box = (random.normal(*style.height, (n, 2)).clip(8, SIZE - 2) - width[:, None]).clip(4)
    scale = box / extent
    if not style.fills:
        room = (SIZE - 3 - width) / extent[:, 0]
        scale[:, 0] = np.minimum(scale[:, 1] * np.exp(random.normal(0, 0.14, n)), room)
    centre = (SIZE - 1) / 2 + random.normal(0.1, 0.3, (n, 2))
    return (paths - ((low + high) / 2)[:, None]) * scale[:, None] + centre[:, None]


def _ink(paths: np.ndarray, width: np.ndarray, style: Hand, random: np.random.Generator) -> np.ndarray:
    """Grey values (n, 28, 28) from each pixel's distance to the nearest point of the path, under an uneven pressure."""
    n = len(paths)
    grid = np.arange(SIZE, dtype=np.float32)
    dx, dy = ((grid - paths[..., axis, None].astype(np.float32)) ** 2 for axis in (0, 1))  # (n, points, 28) each
    squared = np.full((n, SIZE, SIZE), np.inf, np.float32)
    for point in range(paths.shape[1]):  # one at a time stays in the processor's cache: four times as fast
        np.minimum(squared, dy[:, point, :, None] + dx[:, point, None, :], out=squared)
    distance = np.sqrt(squared)
    soft = random.uniform(*style.soft, (n, 1, 1))
    ink = ((width[:, None, None] / 2 - distance) / soft + 0.5).clip(0, 1)
    slope, phase = random.normal(0, 0.12, (n, 2, 1, 1)), random.uniform(0, 2 * np.pi, (n, 1, 1))
    ink = ink * (1 - style.uneven * (0.5 + 0.5 * np.sin(slope[:, 0] * grid + slope[:, 1] * grid[:, None] + phase)))
    ink = ink * random.normal(1, style.uneven / 4, ink.shape).clip(0.5, 1.5)
    peak = random.normal(*style.peak, (n, 1, 1)).clip(90, 255)
    return np.rint(ink / ink.max(axis=(1, 2), keepdims=True) * peak).astype(np.uint8)
