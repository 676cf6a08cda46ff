"""The scoring script of MLflow models that are deployed without one, writing what Azure's writes.

Every file is predicted by itself. A line of the result is `row,prediction,file_name` for tables (CSV, parquet) and
`prediction,file_name` for images (https://learn.microsoft.com/azure/machine-learning/how-to-mlflow-batch).
It runs in the model's own environment and imports nothing of this package.
"""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

TABLES, IMAGES = (".csv", ".parquet", ".pqt"), (".png", ".jpg", ".jpeg", ".tiff", ".bmp", ".gif")
READ = ("boolean", "integer", "long", "float", "double", "string")  # the types of MLflow that a cell of a CSV file has

model: Any
schema: Any


def init() -> None:
    global model, schema
    import mlflow

    found = sorted(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("MLmodel"))
    model = mlflow.pyfunc.load_model(str(found[0].parent))
    schema = model.metadata.get_input_schema()


def run(mini_batch: list[str]) -> list[str]:
    return [line for file in mini_batch for line in lines(Path(file))]


def lines(file: Path) -> list[str]:
    """What is written of one file. Raises RuntimeError naming it."""
    kind = file.suffix.lower()
    if kind not in TABLES + IMAGES:
        raise RuntimeError(f"Error processing input file: '{file}'. File type '{kind.strip('.')}' is not supported")
    try:
        data = table(file) if kind in TABLES else image(file)
        predictions = plain(model.predict(data))
    except Exception as error:
        raise RuntimeError(f"Error processing input file: '{file}'. Exception: {error}") from error
    if kind in IMAGES:
        whole = predictions[0] if isinstance(predictions, list) and len(predictions) == 1 else predictions
        return [line(whole, file.name)]
    return [line(row, prediction, file.name) for row, prediction in enumerate(predictions)]


def table(file: Path) -> Any:
    """A data frame. As Azure reads it, a CSV file has the types of the model's signature, where that has column types.

    https://learn.microsoft.com/azure/machine-learning/how-to-mlflow-batch#signature-enforcement-for-mlflow-models
    """
    import pandas as pd

    if file.suffix.lower() != ".csv":
        return pd.read_parquet(file)
    types = {}
    if schema is not None and not schema.is_tensor_spec() and schema.has_input_names():
        named = zip(schema.input_names(), schema.input_types(), strict=True)
        types = {name: kind.to_pandas() for name, kind in named if getattr(kind, "name", "") in READ}
        types |= {name: str for name, kind in types.items() if kind is object or kind == "object"}
    return pd.read_csv(file, dtype=types)


def image(file: Path) -> Any:
    """An array, with the type and shape of the model's signature where it has a tensor; else of uint8."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(Image.open(file))
    if schema is None or not schema.is_tensor_spec():
        return pixels.astype(np.uint8)[np.newaxis]
    tensor = schema.inputs[0]
    pixels = pixels.astype(tensor.type)
    if len(tensor.shape) == pixels.ndim + 1 and sum(size < 0 for size in tensor.shape) > 1:
        pixels = pixels[np.newaxis]  # several sizes are open, and the image has them
    else:
        pixels = pixels.reshape(tensor.shape)
    return {tensor.name: pixels} if tensor.name else pixels


def plain(predictions: Any) -> Any:
    """Predictions as a list: of records where they have several columns."""
    if hasattr(predictions, "columns"):
        if len(predictions.columns) == 1:
            return predictions.iloc[:, 0].tolist()
        return predictions.to_dict(orient="records")
    if isinstance(predictions, dict):
        predictions = next(iter(predictions.values())) if len(predictions) == 1 else predictions
    return predictions.tolist() if hasattr(predictions, "tolist") else predictions


def line(*cells: Any) -> str:
    """The cells as a line of CSV; what is no plain value is JSON."""
    text = io.StringIO()
    told = [json.dumps(cell, default=str) if isinstance(cell, list | dict) else cell for cell in cells]
    csv.writer(text, lineterminator="").writerow(told)
    return text.getvalue()
