"""What can be seen of a digit without a network: how much ink, how large, how thick, where.

A hand differs from another in these long before a classifier is unsure of itself, and they are small enough to be
collected with every request.
"""

import numpy as np

from digits.shape import SIZE

# name -> what it is, in a person's words. drift.verdict.verdict.STATISTICS says how each reads when it falls and rises.
STATISTICS = {
    "ink": "mean brightness, 0 to 255",
    "width": "width of the ink in pixels",
    "height": "height of the ink in pixels",
    "stroke": "thickness of the stroke in pixels",
    "centre_x": "the ink's centre from the left, in pixels",
    "centre_y": "the ink's centre from the top, in pixels",
    "peak": "the brightest pixel, 0 to 255",
    "grey": "share of the ink that is neither dark nor bright",
}
INK = 64  # from this brightness on a pixel is ink: above the halo that resizing leaves around a stroke
BRIGHT = 224

_PLACE = np.arange(SIZE, dtype=np.float32)
_SHIFTED = _PLACE + 1


def statistics(images: np.ndarray) -> np.ndarray:
    """float32 (n, len(STATISTICS)) of images (n, 28, 28) or (n, 784), white on black, 0..255.

    The stroke is twice the inked area by its outline's length, exact for a long line. An image without ink has zeros.
    """
    grey = images.reshape(-1, SIZE, SIZE).astype(np.float32, copy=False)
    inked: np.ndarray = grey >= INK
    down, across = grey.sum(axis=2), grey.sum(axis=1)  # brightness by row, by column
    total = down.sum(axis=1)
    whole = np.maximum(total, 1)
    area = inked.sum(axis=(1, 2))
    # Every change between ink and none along a row or a column is a piece of outline; the frame's edge is not.
    outline = (inked[:, 1:] != inked[:, :-1]).sum(axis=(1, 2)) + (inked[:, :, 1:] != inked[:, :, :-1]).sum(axis=(1, 2))
    table = np.empty((len(grey), len(STATISTICS)), np.float32)
    table[:, 0] = total / SIZE**2
    table[:, 1] = _extent(np.any(inked, axis=1))
    table[:, 2] = _extent(np.any(inked, axis=2))
    table[:, 3] = 2 * area / np.maximum(outline, 1)
    table[:, 4] = across @ _PLACE / whole
    table[:, 5] = down @ _PLACE / whole
    table[:, 6] = grey.max(axis=(1, 2))
    table[:, 7] = (inked & (grey < BRIGHT)).sum(axis=(1, 2)) / np.maximum(area, 1)
    return table


def _extent(inked: np.ndarray) -> np.ndarray:
    """From the first to the last inked place, both counted: bool (n, 28) -> (n,). None inked: 0."""
    return (inked * _SHIFTED).max(axis=1) - inked.argmax(axis=1)
