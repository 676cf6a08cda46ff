"""The script of the parallel component `score_batch` and of the batch endpoint `digits-batch`.

init() is called once in every process, run() for every mini batch.

A mini batch is a list of files, each with many images (`images` or the one array of an .npz or .npy, shape (n, 28, 28)
or (n, 784), 0..255; digits.data.shards writes such) or with one (a picture). For every image run() returns a line of
CSV: the file's name, the image's place in it from 0, the digit, and the model's confidence. Azure puts the lines of
all mini batches into one file, without a header.
"""

import argparse
import csv
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

# Azure imports this file by its path; where it lies in the uploaded code depends on the job.
if (_root := str(Path(__file__).resolve().parents[2])) not in sys.path:
    sys.path.append(_root)

import numpy as np

from digits.data.images import standardise, standardise_all
from digits.errors import DataError
from digits.network.lite import Lite, find

COLUMNS = ("file", "index", "digit", "confidence")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")

model: Lite


def init() -> None:
    """Load the model below --model, which a batch endpoint gives as AZUREML_MODEL_DIR. Raises ModelError."""
    global model
    parser = argparse.ArgumentParser(allow_abbrev=False)
    given = os.environ.get("AZUREML_MODEL_DIR")
    parser.add_argument("--model", default=given, required=not given)
    args, _ = parser.parse_known_args()  # Azure adds arguments of its own
    model = Lite(find(Path(args.model)))


def run(mini_batch: list[str]) -> list[str]:
    """A line of COLUMNS for every image of every file. Raises DataError for a file that holds no images.

    So a bad file fails its mini batch, and with the component's threshold of 0 the job: no table is quietly short.
    """
    return [line for path in mini_batch for line in _lines(Path(path))]


def _lines(path: Path) -> Iterator[str]:
    probabilities = model.probabilities(read(path))
    name = _quoted(path.name)
    best = zip(probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist(), strict=True)
    return (f"{name},{index},{digit},{confidence:.4f}" for index, (digit, confidence) in enumerate(best))


def read(path: Path) -> np.ndarray:
    """The images of a file, uint8 (n, 28, 28), white on black. Raises DataError naming the file."""
    if path.suffix.lower() in PICTURES:
        return _picture(path)[None]
    if path.suffix.lower() not in (".npz", ".npy"):
        raise DataError(
            f"{path.name}: no images; the folder to score may hold .npz, .npy and {', '.join(PICTURES)} only"
        )
    try:
        loaded = np.load(path, allow_pickle=False)
        if path.suffix.lower() == ".npz":
            with loaded:
                names = ["images"] if "images" in loaded.files else loaded.files
                if len(names) != 1:
                    raise DataError(f"{path.name}: holds {', '.join(names)}; expected `images`")
                loaded = loaded[names[0]]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path.name}: cannot be read ({str(error).splitlines()[0]}); get the file again") from error
    images, _ = standardise_all(loaded, np.zeros(len(loaded) if loaded.ndim else 0, np.uint8), path.name)
    return images


def _picture(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return standardise(image)
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path.name}: cannot be read ({error}); get the file again") from error


def _quoted(name: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([name])
    return text.getvalue()
