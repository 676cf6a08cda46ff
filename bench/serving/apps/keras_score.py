"""The scoring script of the Keras model as a TensorFlow function, for Azure's inference server."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np


def init() -> None:
    global predict
    import keras
    import tensorflow as tf

    model = keras.models.load_model(Path(os.environ["AZUREML_MODEL_DIR"], "data", "model.keras"))
    predict = tf.function(
        lambda pixels: model(pixels, training=False), input_signature=[tf.TensorSpec((None, 784), tf.float32)]
    )
    predict(np.zeros((1, 784), np.float32))


def run(raw_data: str) -> dict[str, Any]:
    pixels = np.array(json.loads(raw_data)["input_data"], np.float32)
    probabilities = predict(pixels).numpy()
    return {"predictions": probabilities.argmax(axis=1).tolist(), "probabilities": probabilities.tolist()}
