"""The model's scoring form: LiteRT, some hundred times faster for one image than Keras, and without TensorFlow."""

import hashlib
from pathlib import Path

import numpy as np

from digits.errors import ModelError
from digits.shape import CLASSES, PIXELS

FILE = "model.tflite"
# The column of a record that tells which model answered, by its fingerprint: what one network makes of a digit cannot
# be compared with what another does.
MODEL = "model"
BATCH = 1000  # images at once: enough to be fast, little enough to be small


def find(folder: Path) -> Path:
    """The one model.tflite below `folder`, wherever in it. Raises ModelError if there is none, or several."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; it must hold one model that digits.jobs.train saved")
    found = sorted(folder.rglob(FILE))
    if len(found) != 1:
        said = f"{len(found)} files" if found else "no file"
        raise ModelError(f"{folder}: holds {said} called {FILE}; it must hold one model that digits.jobs.train saved")
    return found[0]


def fingerprint(file: Path) -> str:
    """What tells one model from another, whatever it is called: the SHA-256 of `file`."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Lite:
    """A network in LiteRT's form, loaded once and used by one thread."""

    def __init__(self, file: Path) -> None:
        """Load `file`. Raises ModelError if it is missing, damaged or does not take digits and give ten classes."""
        if not file.is_file():
            raise ModelError(f"{file}: no such file; a model that digits.jobs.train saved has one")
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(str(file))
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{file}: not a LiteRT model ({error})") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        shapes = [tuple(int(n) for n in tensor["shape_signature"]) for tensor in (*inputs, *outputs)]
        # By their widths, for the converter gives the outputs in an order of its own.
        given = {shape[-1]: tensor["index"] for shape, tensor in zip(shapes[1:], outputs, strict=True)}
        widths = [shape[1:] for shape in shapes[:1]] + sorted((shape[1:] for shape in shapes[1:]), reverse=True)
        right = widths in ([(PIXELS,), (CLASSES,)], [(PIXELS,), (CLASSES,), (1,)])
        if not right or inputs[0]["dtype"] != np.float32:
            raise ModelError(f"{file}: takes and gives {shapes}, not float32 (-1, {PIXELS}) and (-1, {CLASSES})")
        self._input, self._probabilities, self._distance = inputs[0]["index"], given[CLASSES], given.get(1)
        self._size = 0  # images the interpreter is laid out for

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probabilities float32 (n, 10) of images (n, 28, 28) or (n, 784), white on black, 0..255."""
        return self.answers(images)[0]

    def answers(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same, and how unlike the training digits each image is to the network, float32 (n,): see `novelty`.

        NaN where the model was made without that.
        """
        pixels = images.reshape(len(images), PIXELS)
        probabilities = np.empty((len(pixels), CLASSES), np.float32)
        distances = np.full(len(pixels), np.nan, np.float32)
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            inside = slice(start, start + len(part))
            self._batch(part.astype(np.float32, copy=False))
            probabilities[inside] = self._interpreter.get_tensor(self._probabilities)
            if self._distance is not None:
                distances[inside] = self._interpreter.get_tensor(self._distance)[:, 0]
        return probabilities, distances

    def _batch(self, pixels: np.ndarray) -> None:
        if len(pixels) != self._size:
            self._interpreter.resize_tensor_input(self._input, pixels.shape)
            self._interpreter.allocate_tensors()
            self._size = len(pixels)
        self._interpreter.set_tensor(self._input, pixels)
        self._interpreter.invoke()
