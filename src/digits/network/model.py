"""The networks: what a digit goes through between its 784 pixels and its ten probabilities.

Each takes float32 (n, 784) pixels, white on black, 0..255, and answers float32 (n, 10) probabilities. Reshaping and
scaling are layers of the network and every layer is Keras's own, so a saved model loads where this package is not.
Augmentation belongs to training (`digits.network.fit`), not to the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from digits.shape import CLASSES, PIXELS, SIZE

if TYPE_CHECKING:
    import keras

MEAN, DEVIATION = 33.32, 78.57  # of all pixels of MNIST's 60,000 training images


def build(name: str, seed: int = 0, width: int | None = None) -> keras.Model:
    """The untrained network `name`, its weights drawn from `seed`; None: of the network's own width.

    The width is the number of filters before the image is pooled; after that there are twice as many.
    Raises ValueError naming the known networks if there is none of that name.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}: choose one of {', '.join(NETWORKS)}")
    import keras

    inputs = keras.Input((PIXELS,), name="pixels")
    image = keras.layers.Reshape((SIZE, SIZE, 1))(inputs)
    # One generator for all layers: a shared integer seed would start layers of equal shape equal.
    weights = keras.initializers.GlorotUniform(seed=keras.random.SeedGenerator(seed))
    sized = {} if width is None else {"width": width}
    outputs = NETWORKS[name](image, weights, **sized)
    return keras.Model(inputs, outputs, name=name)


def baseline(image: keras.KerasTensor, weights: keras.Initializer, width: int = 32) -> keras.KerasTensor:
    """A well-known MNIST notebook's network, 601,258 parameters, kept as the yardstick.

    `axis=1` is the yardstick's own: with channels last it normalises the rows of the image, not its channels. So is the
    standardised input, without which the slow statistics of that normalisation never catch up on few images.
    """
    from keras import layers

    image = layers.Rescaling(1 / DEVIATION, offset=-MEAN / DEVIATION)(image)

    def conv(filters: int) -> keras.Layer:
        return layers.Conv2D(filters, 3, activation="relu", kernel_initializer=weights)

    x = conv(width)(image)
    x = layers.BatchNormalization(axis=1)(x)
    x = conv(width)(x)
    x = layers.MaxPooling2D()(x)
    x = layers.BatchNormalization(axis=1)(x)
    x = conv(2 * width)(x)
    x = layers.BatchNormalization(axis=1)(x)
    x = conv(2 * width)(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.BatchNormalization(axis=1)(x)
    x = layers.Dense(512, activation="relu", kernel_initializer=weights)(x)
    x = layers.BatchNormalization(axis=1)(x)
    return layers.Dense(CLASSES, activation="softmax", kernel_initializer=weights)(x)


def default(image: keras.KerasTensor, weights: keras.Initializer, width: int = 24) -> keras.KerasTensor:
    """Four convolutions and a dense layer, each made for the time it takes on a CPU.

    The first strides, for the baseline spends its time convolving at full resolution. Normalisation makes their biases
    superfluous; where images are pooled it comes after the pooling, on a quarter of the numbers.
    """
    from keras import layers

    image = layers.Rescaling(1 / 255)(image)

    def conv(x: keras.KerasTensor, filters: int, size: int = 3, **options: object) -> keras.KerasTensor:
        return layers.Conv2D(filters, size, use_bias=False, kernel_initializer=weights, **options)(x)

    def activate(x: keras.KerasTensor) -> keras.KerasTensor:
        # Keras's momentum, 0.99, needs hundreds of steps to forget its start; few images give few steps.
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    x = activate(conv(image, width, 5, strides=2, padding="same"))  # 14 x 14
    x = activate(layers.MaxPooling2D()(conv(x, width)))  # 6 x 6
    x = activate(conv(x, 2 * width, padding="same"))
    x = activate(conv(x, 2 * width))  # 4 x 4
    return layers.Dense(CLASSES, activation="softmax", kernel_initializer=weights)(layers.Flatten()(x))


NETWORKS: dict[str, Callable[..., keras.KerasTensor]] = {
    "baseline": baseline,
    "default": default,
}
