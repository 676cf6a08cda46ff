"""Digits drawn as pen strokes, in any style."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from digits.shape import SIZE

_POINTS = 96  # of the pen's path in a digit: less than a pixel apart, so that they draw a line
_BATCH = 128  # digits rendered at once


@dataclass(frozen=True)
class Style:
    """How a hand writes. Glyphs are strokes through points in percent of a square, x to the right and y down.

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


def draw(style: Style, labels: np.ndarray, seed: int) -> np.ndarray:
    """The glyphs `labels` (n,) of 0..9 in a style: uint8 (n, 28, 28). The same arguments give the same images."""
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


def _bend(paths: np.ndarray, style: Style, random: np.random.Generator) -> np.ndarray:
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


def _place(paths: np.ndarray, width: np.ndarray, style: Style, random: np.random.Generator) -> np.ndarray:
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


def _ink(paths: np.ndarray, width: np.ndarray, style: Style, random: np.random.Generator) -> np.ndarray:
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
