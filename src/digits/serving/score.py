"""The scoring script: init() and run() behind Azure's inference server, on Azure and here.

It needs neither TensorFlow nor an installed package, answers {"predictions": [7], "probabilities": [[...]]}, and what
it cannot score with status 400 and a message. Where the deployment collects data it hands over, for every image, two
rows of Azure's collections: `model_inputs` (digits.data.ink's statistics, never the pixels) and `model_outputs`.
"""

import functools
import logging
import os
import sys
from pathlib import Path
from typing import Any

# The server loads this file by its path; where it lies in the uploaded code depends on the deployment.
if (_root := str(Path(__file__).resolve().parents[2])) not in sys.path:
    sys.path.append(_root)

import numpy as np

from digits.data import ink
from digits.errors import ModelError
from digits.network.lite import MODEL, Lite, find, fingerprint
from digits.serving import payload

# Azure puts requests that arrive together into one record with one correlation id, so rows carry their own: what the
# client sent as x-ms-client-request-id, and what the gateway calls the request, the key of its own collections.
IDS = ("correlationid", "xrequestid")
INPUTS = (IDS[0], *ink.STATISTICS)
ANOMALIES = ("anomaly_largest", "anomaly_smallest", "anomaly_sum")
OUTPUTS = (
    *IDS,
    MODEL,
    "prediction",
    "confidence",
    "distance",
    *ANOMALIES,
    *(f"probability_{digit}" for digit in range(10)),
)

UNSURE = 0.9  # anomaly_largest: no class is as probable as this
DIFFUSE = 0.01  # anomaly_smallest: even the least probable class is more probable than this
SUM_TOLERANCE = 1e-3  # anomaly_sum: the probabilities are no distribution

log = logging.getLogger("digits.serving.score")
model: Lite
answered_by = ""  # its fingerprint
collect: dict[str, Any] = {}  # collection -> its Collector; those that are not collected are not in it


def init() -> None:
    """Load the model below $AZUREML_MODEL_DIR and find out what the deployment collects. Raises ModelError."""
    global model, answered_by, collect
    folder = os.environ.get("AZUREML_MODEL_DIR")
    if not folder:
        raise ModelError("AZUREML_MODEL_DIR is not set; it must be a folder that holds a model")
    file = find(Path(folder))
    model, answered_by = Lite(file), fingerprint(file)
    model.probabilities(np.zeros((1, 784), np.float32))  # the first image takes longer, so not a user's
    collect = {name: collector for name in ("model_inputs", "model_outputs") if (collector := _collector(name))}


def run(raw_data: str, request_headers: dict[str, str] | None = None) -> Any:
    """The answer to a request's body: a dictionary, or a response with status 400."""
    try:
        pixels = payload.parse(raw_data)
    except payload.BadRequest as error:
        return _refusal(str(error))
    probabilities, distances = model.answers(pixels)
    predictions = probabilities.argmax(axis=1)
    if collect:
        try:
            _collect(pixels, probabilities, predictions, distances, request_headers or {})
        except Exception:  # what is collected must never cost an answer
            log.exception("a request was answered but not collected")
    return {"predictions": predictions.tolist(), "probabilities": probabilities.tolist()}


def anomalies(probabilities: np.ndarray) -> np.ndarray:
    """Which of probabilities (n, 10) are anomalous, and how: bool (n, 3), a column for each of ANOMALIES."""
    return np.column_stack(
        [
            probabilities.max(axis=1) < UNSURE,
            probabilities.min(axis=1) > DIFFUSE,
            np.abs(probabilities.sum(axis=1) - 1) > SUM_TOLERANCE,
        ]
    )


def _collect(
    pixels: np.ndarray,
    probabilities: np.ndarray,
    predictions: np.ndarray,
    distances: np.ndarray,
    headers: dict[str, str],
) -> None:
    from azureml.ai.monitoring.context import BasicCorrelationContext

    lower = {name.lower(): value for name, value in headers.items()}
    request = lower.get("x-request-id")
    context = BasicCorrelationContext(id=lower.get("x-ms-client-request-id") or request)
    id = context.get_id()
    if "model_inputs" in collect:
        collect["model_inputs"].collect(_frame(INPUTS, [id], ink.statistics(pixels)), context)
    if "model_outputs" in collect:
        rest = np.column_stack([probabilities.max(axis=1), distances, anomalies(probabilities), probabilities])
        # The prediction as a whole number, by which Azure's monitors know that it is a class.
        collect["model_outputs"].collect(_frame(OUTPUTS, [id, request or id, answered_by], predictions, rest), context)


def _frame(columns: tuple[str, ...], ids: list[str], *parts: np.ndarray) -> Any:
    """A data frame of one object block, named as such: pandas takes twenty times as long to look into its cells."""
    import pandas as pd

    cells = np.empty((len(parts[0]), len(columns)), object)
    cells[:, : len(ids)] = ids
    place = len(ids)
    for part in parts:
        wide = part.reshape(len(part), -1)
        cells[:, place : place + wide.shape[1]] = wide
        place += wide.shape[1]
    return pd.DataFrame(cells, columns=_index(columns), dtype=object)


@functools.cache
def _index(columns: tuple[str, ...]) -> Any:
    import pandas as pd

    return pd.Index(columns)


def _collector(name: str) -> Any:
    """The Collector of a collection, None where nothing is collected: not asked for, not configured, not installed."""
    complaints: list[Exception] = []
    ready = False

    def on_error(error: Exception) -> None:
        # Without this the Collector raises, in init() when it is not configured, in run() when its queue is full.
        if ready:
            log.warning("%s: not collected: %s", name, error)
        else:
            complaints.append(error)

    try:
        from azureml.ai.monitoring import Collector

        collector = Collector(name=name, on_error=on_error)
    except Exception as error:  # not installed, or a configuration it cannot read
        complaints.append(error)
    ready = True
    if complaints:
        log.warning("%s is not collected: %s", name, complaints[0])
        return None
    return collector


def _refusal(message: str) -> Any:
    # It gives azureml.contrib.services.aml_response, too, but only while it runs and not in every version.
    from azureml_inference_server_http.api.aml_response import AMLResponse

    return AMLResponse({"message": message}, 400, json_str=True)
