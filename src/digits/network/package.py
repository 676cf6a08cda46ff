"""A trained network as the folder that is kept, registered and deployed: an MLflow model, with its LiteRT form beside.

MLmodel (signature, input example), data/model.keras, conda.yaml, python_env.yaml, requirements.txt, model.tflite and
summary.txt. It loads where this package is not: `mlflow.pyfunc.load_model(folder).predict(pixels)` gives (n, 10)
probabilities.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.network import lite, novelty
from digits.shape import CLASSES, PIXELS

if TYPE_CHECKING:
    import keras

    from digits.network.novelty import Directions

TOLERANCE = 1e-5  # between the two forms' probabilities


def save(
    model: keras.Model, folder: Path, examples: np.ndarray, about: dict[str, str], known: Directions | None = None
) -> None:
    """Write `model` to `folder`, which is made if need be.

    examples: images uint8 (n, 28, 28); the first becomes the model's input example, and all of them must be answered
    alike by both forms. about: facts to keep with the model (network, seed, ...), MLflow's metadata. known: what the
    training digits are like to the network; with it the LiteRT form tells distances, too.
    Raises ModelError if the LiteRT form answers differently.
    """
    import mlflow.keras
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    pixels = examples.reshape(len(examples), PIXELS).astype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, PIXELS))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, CLASSES))]),
    )
    folder.mkdir(parents=True, exist_ok=True)
    mlflow.keras.save_model(
        model,
        str(folder),
        signature=signature,
        input_example=pixels[:1],
        pip_requirements=requirements(),
        metadata=about,
    )
    (folder / lite.FILE).write_bytes(convert(model, known))
    difference = float(np.abs(lite.Lite(folder / lite.FILE).probabilities(pixels) - np.asarray(model(pixels))).max())
    if not difference <= TOLERANCE:
        raise lite.ModelError(
            f"{lite.FILE}: answers differ from the Keras model's by {difference:.2g}; both forms must agree"
        )
    (folder / "summary.txt").write_text(summary(model, about), encoding="utf-8")


def convert(model: keras.Model, known: Directions | None = None) -> bytes:
    """The LiteRT form of `model`, for any number of images at once: probabilities (n, 10), and distances (n, 1)."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    pixels = tf.TensorSpec((None, PIXELS), tf.float32)
    seen = novelty.features(model)

    def answers(x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        rows = seen(x, training=False)
        told = model.layers[-1](rows)
        return (told,) if known is None else (told, novelty.distance(rows, known))

    concrete = tf.function(answers).get_concrete_function(pixels)
    # Frozen first: from a function that still refers to variables the converter makes a file without the weights.
    frozen = convert_variables_to_constants_v2(concrete)
    converted: bytes = tf.lite.TFLiteConverter.from_concrete_functions([frozen], model).convert()
    return converted


def requirements() -> list[str]:
    """Exact pins of what it takes to load and score the model, in either form."""
    import tensorflow as tf  # asked itself, for the distribution is called differently on macOS

    pinned = [f"{name}=={version(name)}" for name in ("ai-edge-litert", "keras", "mlflow", "numpy")]
    return [
        *pinned,
        f"tensorflow-cpu=={tf.__version__} ; sys_platform != 'darwin'",
        f"tensorflow=={tf.__version__} ; sys_platform == 'darwin'",
    ]


def summary(model: keras.Model, about: dict[str, str]) -> str:
    """The layers of `model` and the facts kept with it, for a person to read."""
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=100)
    return "\n".join([*lines, "", *(f"{key}: {value}" for key, value in about.items()), ""])
