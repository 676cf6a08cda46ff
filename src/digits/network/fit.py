"""Training: schedules, and the one loop that follows any of them.

>>> from digits import data, fit, model
>>> network = fit.fit(model.build("default"), fit.SCHEDULES["small"], data.embedded("mnist", "train"))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from digits.errors import TrainingError
from digits.network import augment

if TYPE_CHECKING:
    import keras

    from digits.data.sets import Digits

OnEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    epochs          passes over the images
    batch           images a step
    learning_rate   the highest, where it varies
    optimiser       "adam", or "muon" for the convolutions (`digits.network.muon`)
    warm_up         share of the steps in which the rate climbs from 0 in a line, to fall to 0 after; None: constant
    shift           each image moves by up to so many whole pixels,
    rotation        turns by up to so many degrees,
    scale           and grows or shrinks by up to this share of its size (`digits.network.augment`)
    average         share of the steps, at the end, whose weights are averaged; 0: the last weights are kept
    width           of the network to build for it (`digits.network.model.build`); None: the network's own
    """

    epochs: int
    batch: int
    learning_rate: float
    optimiser: str = "adam"
    warm_up: float | None = None
    shift: int = 0
    rotation: float = 0.0
    scale: float = 0.0
    average: float = 0.0
    width: int | None = None

    def __post_init__(self) -> None:
        def check(field: str, right: bool, rule: str) -> None:
            if not right:
                raise ValueError(f"schedule: {field} is {getattr(self, field)!r}; it must be {rule}")

        check("epochs", self.epochs >= 1, "at least 1")
        check("batch", self.batch >= 1, "at least 1")
        check("learning_rate", 0 < self.learning_rate < math.inf, "above 0")
        check("warm_up", self.warm_up is None or 0 <= self.warm_up <= 1, "None or between 0 and 1")
        check("optimiser", self.optimiser in ("adam", "muon"), "adam or muon")
        check("shift", 0 <= self.shift < 28, "from 0 to 27 pixels")
        check("rotation", 0 <= self.rotation <= 180, "between 0 and 180 degrees")
        check("scale", 0 <= self.scale < 1, "at least 0 and below 1")
        check("average", 0 <= self.average <= 1, "between 0 and 1")
        check("width", self.width is None or self.width >= 1, "None or at least 1")

    @property
    def augments(self) -> bool:
        """Whether images are moved at all."""
        return bool(self.shift or self.rotation or self.scale)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step `step` of `steps`, counted from 0."""
        if self.warm_up is None:
            return self.learning_rate
        # Both ends lie half a step outside the line, so that no step is lost to a rate of 0.
        done = (step + 0.5) / steps
        if done < self.warm_up:
            return self.learning_rate * done / self.warm_up
        return self.learning_rate * (1 - done) / (1 - self.warm_up)


SCHEDULES: dict[str, Schedule] = {
    # The yardstick, as its authors trained it.
    "baseline": Schedule(epochs=5, batch=64, learning_rate=0.001),
    # 60,000 images in a fifth of the yardstick's time.
    "fast": Schedule(
        epochs=4, batch=256, learning_rate=0.01, optimiser="muon", warm_up=0.25,
        shift=2, rotation=10, scale=0.1, average=0.2,
    ),
    # 60,000 images, as good as it gets in the yardstick's time.
    "best": Schedule(
        epochs=16, batch=256, learning_rate=0.01, optimiser="muon", warm_up=0.25,
        shift=2, rotation=10, scale=0.1, average=0.2, width=32,
    ),
    # A few thousand images, which want more passes.
    "small": Schedule(
        epochs=30, batch=256, learning_rate=0.01, optimiser="muon", warm_up=0.25,
        shift=2, rotation=10, scale=0.1, average=0.2,
    ),
}  # fmt: skip

AVERAGE_EVERY = 10  # steps: neighbours differ too little to be worth the copying
STATISTICS = 8_000  # images on which batch normalisation is measured


def fit(
    model: keras.Model,
    schedule: Schedule,
    train: Digits,
    validation: Digits | None = None,
    seed: int = 0,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
) -> keras.Model:
    """Train `model` in place on `train` and return it, its weights averaged if the schedule says so.

    The same model, schedule, images and seed give the same weights on the same machine. After each epoch
    `on_epoch(epoch, metrics)` is called, epochs counted from 1: loss and accuracy are means over the epoch's
    (augmented) images, val_loss and val_accuracy are of `validation` if there is one, learning_rate is the epoch's
    last. `progress` shows a bar of steps on stderr.

    Raises TrainingError when the loss is no longer a finite number, or if there is nothing to train on.
    """
    if len(train) == 0:
        raise TrainingError("there are no images to train on")
    import tensorflow as tf
    from tqdm import tqdm

    rng = np.random.default_rng(seed)
    learner = _Learner(model, schedule, train)
    average = _Average(model)
    per_epoch = math.ceil(len(train) / schedule.batch)
    steps = schedule.epochs * per_epoch
    step = 0
    with tqdm(total=steps, unit="step", desc="training", disable=not progress, mininterval=1.0) as bar:
        for epoch in range(1, schedule.epochs + 1):
            loss_sum, right = 0.0, 0
            for chosen, maps in _batches(rng, len(train), schedule):
                rate = schedule.rate(step, steps)
                learner.optimiser.learning_rate = rate
                loss, hits = learner.step(tf.constant(chosen), tf.constant(maps))
                loss_sum += float(loss) * len(chosen)
                right += int(hits)
                if not math.isfinite(loss_sum):
                    raise TrainingError(
                        f"the loss became {float(loss)} at step {step + 1} of {steps} (epoch {epoch}): "
                        f"try a learning rate below {schedule.learning_rate:g}"
                    )
                step += 1
                if step > steps * (1 - schedule.average) and (steps - step) % AVERAGE_EVERY == 0:
                    average.add()
                bar.update()
            if step == steps and average.count:
                average.write()
                _measure_statistics(model, rng.permutation(train.images)[:STATISTICS])
            metrics = {"loss": loss_sum / len(train), "accuracy": right / len(train), "learning_rate": rate}
            if validation is not None:
                metrics["val_loss"], metrics["val_accuracy"] = score(model, validation)
            bar.set_description(f"epoch {epoch}/{schedule.epochs}", refresh=False)
            bar.set_postfix({name: f"{value:.4f}" for name, value in metrics.items()}, refresh=False)
            if on_epoch is not None:
                on_epoch(epoch, metrics)
    return model


def score(model: keras.Model, digits: Digits) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of `model` on `digits`."""
    probabilities = predict(model, digits.images)
    right = probabilities[np.arange(len(digits)), digits.labels]
    accuracy = float(np.mean(probabilities.argmax(axis=1) == digits.labels))
    return float(-np.log(np.maximum(right, 1e-7)).mean()), accuracy


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Probabilities float32 (n, 10) of uint8 (n, 28, 28) `images`."""
    flat = images.reshape(len(images), -1)
    parts = [flat[start : start + 1000].astype(np.float32) for start in range(0, len(flat), 1000)]
    return np.concatenate([model.predict_on_batch(part) for part in parts])


def _batches(rng: np.random.Generator, count: int, schedule: Schedule) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One epoch in a new order: the indices of each batch, and the maps that move its images (or none)."""
    order = rng.permutation(count).astype(np.int32)
    maps = augment.transforms(rng, count, schedule.shift, schedule.rotation, schedule.scale)
    for start in range(0, count, schedule.batch):
        yield order[start : start + schedule.batch], maps[start : start + schedule.batch]


class _Learner:
    """One step of learning, compiled; holds the images as tensors so that a step is handed indices only."""

    def __init__(self, model: keras.Model, schedule: Schedule, train: Digits) -> None:
        import keras
        import tensorflow as tf

        from digits.network.muon import Muon

        images = tf.constant(train.images.reshape(len(train), -1))
        labels = tf.constant(train.labels.astype(np.int32))
        make = {"adam": keras.optimizers.Adam, "muon": Muon}[schedule.optimiser]
        self.optimiser = make(schedule.learning_rate)
        self.optimiser.build(model.trainable_variables)

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 8), tf.float32)])
        def step(chosen: Any, maps: Any) -> Any:
            pixels = tf.cast(tf.gather(images, chosen), tf.float32)
            if schedule.augments:
                pixels = augment.apply(pixels, maps)
            label = tf.gather(labels, chosen)
            with tf.GradientTape() as tape:
                answer = model(pixels, training=True)
                loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(label, answer))
            weights = model.trainable_variables
            self.optimiser.apply(tape.gradient(loss, weights), weights)
            hits = tf.reduce_sum(tf.cast(tf.argmax(answer, 1, tf.int32) == label, tf.int32))
            return loss, hits

        self.step = step


class _Average:
    """A running mean of a model's weights."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.count = 0
        self.mean: list[np.ndarray] = []

    def add(self) -> None:
        """Let the present weights take part."""
        weights = self.model.get_weights()
        self.count += 1
        self.mean = [m + (w - m) / self.count for m, w in zip(self.mean or weights, weights, strict=True)]

    def write(self) -> None:
        """Give the model the mean."""
        self.model.set_weights(self.mean)


def _measure_statistics(model: keras.Model, images: np.ndarray) -> None:
    """Measure anew, on `images` in random order, what batch normalisation keeps.

    Averaged weights give other activations than any of the weights averaged, so the statistics kept while training
    are none of theirs (Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018).
    """
    import keras
    import tensorflow as tf

    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    pixels = images.reshape(len(images), -1).astype(np.float32)
    for number, batch in enumerate(np.array_split(pixels, math.ceil(len(pixels) / 500)), start=1):
        for layer in norms:
            layer.momentum = 1 - 1 / number  # so that all batches count alike
        model(tf.constant(batch), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
