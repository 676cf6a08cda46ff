"""How unlike the digits of the training an image is to the network itself: one number beside its probabilities.

What the last layer reads are the network's features of an image. Those of the training digits vary much in a few
directions and hardly in the others; a digit of another hand has something in those others. The *distance* is how much:
the squared length of what remains of the features, less their mean, when the directions of the most variance are taken
away. (Wang, Li, Feng and Zhang, "ViM: Out-of-distribution with virtual-logit matching", CVPR 2022, whose residual it
is, squared.) It is computed inside the LiteRT model, where the features are at hand and it costs next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from digits.shape import PIXELS

if TYPE_CHECKING:
    import keras

KEPT = 6  # of so many directions one is taken away: those that vary most among the training digits
IMAGES = 10_000  # training digits that this is measured on; more change nothing


@dataclass(frozen=True)
class Directions:
    """What the training digits' features are like: their mean (f,), and orthonormal directions (f, f // KEPT)."""

    mean: np.ndarray
    kept: np.ndarray


def features(model: keras.Model) -> keras.Model:
    """The network without its last layer: what that reads, float32 (n, f)."""
    import keras

    return keras.Model(model.inputs, model.layers[-1].input)


def directions(model: keras.Model, images: np.ndarray) -> Directions:
    """Those of a trained network, measured on training digits uint8 (n, 28, 28)."""
    seen = features(model)
    # Spread over all of them: digits may come sorted.
    chosen = images[np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int)]
    flat = chosen.reshape(len(chosen), PIXELS).astype(np.float32)
    table = np.concatenate([seen.predict_on_batch(flat[start : start + 1000]) for start in range(0, len(flat), 1000)])
    mean = table.mean(axis=0)
    centred = table - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)  # by ascending variance
    kept = vectors[:, -max(1, table.shape[1] // KEPT) :]
    return Directions(mean.astype(np.float32), kept.astype(np.float32))


def distance(rows: object, known: Directions) -> object:
    """The distance of features (n, f), a tensor: (n, 1), none negative."""
    import tensorflow as tf

    centred = rows - known.mean
    along = tf.linalg.matmul(centred, known.kept)
    rest = tf.reduce_sum(centred * centred, axis=1, keepdims=True) - tf.reduce_sum(along * along, axis=1, keepdims=True)
    return tf.maximum(rest, 0.0)
