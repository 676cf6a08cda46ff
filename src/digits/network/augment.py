"""Images a little moved, turned and stretched, so that a network sees more hands than were scanned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorflow as tf

CENTRE = (28 - 1) / 2


def transforms(
    rng: np.random.Generator, count: int, shift: int = 0, rotation: float = 0, scale: float = 0
) -> NDArray[np.float32]:
    """`count` random affine maps, float32 (count, 8), each from a pixel of the result to its source.

    Uniform and independent: whole pixels of -shift..shift in either direction, -rotation..rotation degrees,
    and a factor of 1 - scale..1 + scale for width and height each. Rotation and scale are about the centre.
    The eight numbers are those of `tf.raw_ops.ImageProjectiveTransformV3`: x' = a0 x + a1 y + a2,
    y' = a3 x + a4 y + a5, over a denominator that is 1 here.
    """
    angle = np.radians(rng.uniform(-rotation, rotation, count))
    width, height = rng.uniform(1 - scale, 1 + scale, (2, count))
    # Whole pixels, for a fraction of one would blur every image, and blurred digits are not what is asked later.
    right, down = rng.integers(-shift, shift, (2, count), endpoint=True)
    a0, a1 = np.cos(angle) / width, -np.sin(angle) / width
    a3, a4 = np.sin(angle) / height, np.cos(angle) / height
    x, y = CENTRE + right, CENTRE + down
    a2, a5 = CENTRE - a0 * x - a1 * y, CENTRE - a3 * x - a4 * y
    zero = np.zeros(count)
    return np.stack([a0, a1, a2, a3, a4, a5, zero, zero], axis=1).astype(np.float32)


def apply(images: tf.Tensor, maps: Any) -> tf.Tensor:
    """float32 (n, 784) `images` through `maps` (n, 8), bilinear, black where the source lies outside."""
    import tensorflow as tf

    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.reshape(images, (-1, 28, 28, 1)),
        transforms=maps,
        output_shape=(28, 28),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.reshape(moved, (-1, 28 * 28))
