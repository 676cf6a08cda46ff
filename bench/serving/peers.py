"""The peers' environment, and the model in the form they serve."""

import subprocess
from pathlib import Path

import environments

from serving import onnx_model

PINS = Path(__file__).with_name("peers.txt")

cache = environments.cache


def python(folder: Path) -> Path:
    """The peers' Python in `folder`, which is filled if it is not, or not with what peers.txt says now."""
    return environments.python(folder / "peers", PINS)


def write_onnx(model: Path, interpreter: Path, folder: Path) -> Path:
    """The ONNX form of the Keras model in `model`, a folder that digits.jobs.train saved."""
    import keras

    onnx_model.write_layers(keras.models.load_model(model / "data" / "model.keras"), folder / "layers.npz")
    made = folder / "model.onnx"
    subprocess.run([str(interpreter), onnx_model.__file__, str(folder / "layers.npz"), str(made)], check=True)
    return made
