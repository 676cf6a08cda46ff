"""What a sensor or a pen does to digits: images in, images out, each effect with one number for every image.

    changed = apply(images, {"slant": np.full(n, 0.4), "blur": sigmas}, randoms)

Effects come one after the other, in the order they are given, on grey levels of 0 to 255; between two of them nothing
is rounded. A number of 0 leaves an image as it is (for `size`, 1 does). Only numpy is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from digits.shape import SIZE

CENTRE = (SIZE - 1) / 2
UNIT = "unit"  # the one effect after which pixels are no grey levels any more, and so the last

Work = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Effect:
    """work: float32 images (n, 28, 28) of 0..255, a number for each (n,), and chance -> float32 images (n, 28, 28)."""

    low: float
    high: float
    told: str  # what the number is
    work: Work

    @property
    def switch(self) -> bool:
        """Whether the number is but 0 or 1, no or yes."""
        return not self.told


def apply(
    images: np.ndarray, numbers: Mapping[str, np.ndarray], randoms: Mapping[str, np.random.Generator]
) -> np.ndarray:
    """Images uint8 (n, 28, 28) after the effects named in `numbers`, each with its numbers (n,) and its own chance.

    uint8, or with UNIT among them float32. An effect draws equally much for every image, so that images that are
    given in several calls come out as in one.
    """
    if not numbers:
        return images
    changed = images.astype(np.float32)
    for name, number in numbers.items():
        changed = EFFECTS[name].work(changed, np.asarray(number, np.float32), randoms[name])
    return changed if UNIT in numbers else np.rint(changed).clip(0, 255).astype(np.uint8)


def _invert(images: np.ndarray, on: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.where(_each(on) > 0, 255 - images, images)


def _unit(images: np.ndarray, on: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.where(_each(on) > 0, images / 255, images)


def _fade(images: np.ndarray, share: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return images * (1 - _each(share))


def _noise(images: np.ndarray, deviation: np.ndarray, random: np.random.Generator) -> np.ndarray:
    noise = random.standard_normal(images.shape).astype(np.float32)
    return (images + noise * _each(deviation)).clip(0, 255)


def _salt(images: np.ndarray, share: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.where(random.random(images.shape) < _each(share), np.float32(255), images)


def _blur(images: np.ndarray, sigma: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Gaussian, black beyond the frame. One matrix, which is symmetric, does the columns and the rows."""
    place = np.arange(SIZE)
    offsets = np.arange(-2 * SIZE, 2 * SIZE + 1)
    narrow = np.maximum(_each(sigma), 1e-3)  # so narrow that only a pixel's own place counts
    whole = np.exp(-0.5 * (offsets / narrow[:, 0]) ** 2).sum(axis=1)
    kernel = np.exp(-0.5 * ((place[:, None] - place) / narrow) ** 2) / _each(whole)
    kernel = kernel.astype(np.float32)
    return kernel @ images @ kernel


def _slant(images: np.ndarray, slope: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _warp(images, xy=slope)


def _rotate(images: np.ndarray, degrees: np.ndarray, random: np.random.Generator) -> np.ndarray:
    angle = np.radians(degrees)
    return _warp(images, xx=np.cos(angle), xy=-np.sin(angle), yx=np.sin(angle), yy=np.cos(angle))


def _size(images: np.ndarray, factor: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _warp(images, xx=1 / factor, yy=1 / factor)


def _right(images: np.ndarray, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _warp(images, x=-pixels)


def _down(images: np.ndarray, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _warp(images, y=-pixels)


def _thicken(images: np.ndarray, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Grey-scale dilation: a pixel becomes as bright as its brightest neighbour, so many times.

    A fraction of a pixel is that much of the way to the next.
    """
    left = pixels
    while (left > 0).any():
        frame = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
        across = np.maximum(frame[:, 1:-1, :-2], frame[:, 1:-1, 2:])
        along = np.maximum(frame[:, :-2, 1:-1], frame[:, 2:, 1:-1])
        brightest = np.maximum(images, np.maximum(across, along))
        images = images + (brightest - images) * _each(left.clip(0, 1))
        left = left - 1
    return images


def _thin(images: np.ndarray, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return 255 - _thicken(255 - images, pixels, random)


def _warp(
    images: np.ndarray,
    xx: np.ndarray | float = 1,
    xy: np.ndarray | float = 0,
    yx: np.ndarray | float = 0,
    yy: np.ndarray | float = 1,
    x: np.ndarray | float = 0,
    y: np.ndarray | float = 0,
) -> np.ndarray:
    """Images whose every pixel, seen from the centre, comes from (xx x + xy y + x, yx x + yy y + y) of the old ones.

    Bilinear; black where that lies outside. Numbers are (n,).
    """
    places = np.arange(SIZE, dtype=np.float32) - np.float32(CENTRE)
    right, down = places[None, None, :], places[None, :, None]
    shape = images.shape
    source_x = np.broadcast_to(_each(xx) * right + _each(xy) * down + _each(x) + np.float32(CENTRE), shape)
    source_y = np.broadcast_to(_each(yx) * right + _each(yy) * down + _each(y) + np.float32(CENTRE), shape)
    source_x, source_y = source_x.clip(-1, SIZE), source_y.clip(-1, SIZE)  # one beyond the frame is black already
    left, top = np.floor(source_x), np.floor(source_y)
    across, along = source_x - left, source_y - top
    frame = np.pad(images, ((0, 0), (1, 2), (1, 2)))
    image = np.arange(len(images))[:, None, None]
    column, row = left.astype(np.intp) + 1, top.astype(np.intp) + 1
    upper = frame[image, row, column] * (1 - across) + frame[image, row, column + 1] * across
    lower = frame[image, row + 1, column] * (1 - across) + frame[image, row + 1, column + 1] * across
    return upper * (1 - along) + lower * along


def _each(number: np.ndarray | float) -> np.ndarray:
    """(n,) as (n, 1, 1), to stand beside images."""
    return np.asarray(number, np.float32).reshape(-1, 1, 1)


EFFECTS: dict[str, Effect] = {
    "invert": Effect(0, 1, "", _invert),
    UNIT: Effect(0, 1, "", _unit),
    "fade": Effect(0, 1, "share of the contrast that is lost", _fade),
    "blur": Effect(0, 10, "standard deviation in pixels", _blur),
    "noise": Effect(0, 255, "standard deviation in grey levels", _noise),
    "salt": Effect(0, 1, "share of the pixels that turn white", _salt),
    "slant": Effect(-2, 2, "pixels to the right for every pixel upwards", _slant),
    "rotate": Effect(-360, 360, "degrees counter-clockwise", _rotate),
    "size": Effect(0.1, 3, "times as large", _size),
    "right": Effect(-SIZE, SIZE, "pixels to the right", _right),
    "down": Effect(-SIZE, SIZE, "pixels downwards", _down),
    "thicken": Effect(0, 10, "pixels on either side of a stroke", _thicken),
    "thin": Effect(0, 10, "pixels from either side of a stroke", _thin),
}
