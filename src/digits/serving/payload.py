"""What a scoring request may look like, and, of one that does not, what is wrong with it.

An image is 784 finite numbers, 0 to 255, white on black, row by row. A request is a JSON object with a list of images
under one of these names:

    {"input_data": [[...], ...]}                        Azure's form for MLflow models
    {"input_data": {"columns": [...], "index": [...], "data": [[...], ...]}}        the same as a data frame
    {"dataframe_split": {"columns": [...], "data": [[...], ...]}}                   MLflow's forms
    {"inputs": [[...], ...]}    {"instances": [[...], ...]}
"""

import json
from typing import Any, NoReturn

import numpy as np
import orjson

from digits.shape import PIXELS

NAMES = ("input_data", "dataframe_split", "inputs", "instances")
MAX_ROWS = 1000
MAX_CHARACTERS = 16 * 2**20  # room for MAX_ROWS images of numbers written with all their decimals


class BadRequest(ValueError):
    """A request that cannot be scored; the message names what is wrong with it."""


def parse(text: str) -> np.ndarray:
    """The images float32 (n, 784), n from 1 to MAX_ROWS, of a request's body. Raises BadRequest."""
    if len(text) > MAX_CHARACTERS:
        raise BadRequest(
            f"a body of {len(text) / 2**20:.0f} MiB is too large: at most {MAX_ROWS:,} images in "
            f"{MAX_CHARACTERS // 2**20} MiB"
        )
    if not text.strip():
        raise BadRequest('the body is empty; send {"input_data": [[784 numbers]]} with Content-Type: application/json')
    try:
        document = _loads(text)
    except BadRequest:
        raise
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise BadRequest(f"the body is not JSON: {error}") from None
    pixels = images(document)
    # JSON's true and false become 1 and 0 in silence; looking for the words costs next to nothing.
    if ("true" in text or "false" in text) and (place := _find(_rows(document), lambda v: isinstance(v, bool))):
        raise BadRequest(f"{place} is not a number")
    return pixels


def images(document: Any) -> np.ndarray:
    """The same of a body that is JSON already."""
    rows = _rows(document)
    if len(rows) > MAX_ROWS:
        raise BadRequest(f"{len(rows):,} images are too many: at most {MAX_ROWS:,} in one request")
    if (whole := _whole_numbers(rows)) is not None:
        return whole
    try:
        pixels = np.array(rows)
    except (ValueError, OverflowError):  # ragged rows
        _refuse(rows)
    # Text makes the whole array text, null makes it objects: the kind tells whether all are numbers.
    if pixels.ndim != 2 or pixels.shape[1] != PIXELS or pixels.dtype.kind not in "iuf":
        _refuse(rows)
    if not (pixels.min() >= 0 and pixels.max() <= 255):  # NaN fails, too
        place = _find(rows, lambda v: not 0 <= v <= 255)
        raise BadRequest(f"{place} is outside 0 to 255")
    return pixels.astype(np.float32)


def _whole_numbers(rows: list[Any]) -> np.ndarray | None:
    """The images if they are whole numbers from 0 to 255, which are bytes: a quarter of the time an array takes."""
    if not all(isinstance(row, list) and len(row) == PIXELS for row in rows):
        return None
    try:
        pixels = b"".join(map(bytes, rows))
    except (TypeError, ValueError):  # fractions, or something wrong
        return None
    return np.frombuffer(pixels, np.uint8).reshape(len(rows), PIXELS).astype(np.float32)


def _rows(document: Any) -> list[Any]:
    if not isinstance(document, dict):
        raise BadRequest(
            f'the body is a JSON {_kind(document)}, not an object such as {{"input_data": [[784 numbers]]}}'
        )
    given = [name for name in NAMES if name in document]
    if len(given) != 1:
        said = f"both {' and '.join(given)}" if given else f"none of {', '.join(NAMES)}"
        raise BadRequest(f'the body has {said}; send {{"input_data": [[784 numbers]]}}')
    (name,) = given
    rows = document[name]
    if isinstance(rows, dict) and name in ("input_data", "dataframe_split"):
        columns = rows.get("columns")
        if "data" not in rows:
            raise BadRequest(f"{name} has no data; a data frame is columns, index and data")
        if columns is not None and (not isinstance(columns, list) or len(columns) != PIXELS):
            said = f"{len(columns)} columns" if isinstance(columns, list) else f"columns that are a {_kind(columns)}"
            raise BadRequest(f"{name} has {said}, not {PIXELS}, one for each pixel")
        rows, name = rows["data"], f"{name}.data"
    if not isinstance(rows, list):
        raise BadRequest(f"{name} is a {_kind(rows)}, not a list of images of {PIXELS} numbers")
    if not rows:
        raise BadRequest(f"{name} is empty; send at least one image of {PIXELS} numbers")
    return rows


def _refuse(rows: list[Any]) -> NoReturn:
    """Raise the BadRequest that names the first thing wrong with these rows."""
    for i, row in enumerate(rows):
        if not isinstance(row, list):
            hint = "; put it in a list of its own: [[...]]" if len(rows) == PIXELS else ""
            raise BadRequest(f"image {i} is a {_kind(row)}, not a list of {PIXELS} numbers{hint}")
        if len(row) != PIXELS:
            raise BadRequest(f"image {i} has {len(row)} numbers, not {PIXELS} (28 × 28, row by row)")
    place = _find(rows, lambda v: not isinstance(v, int | float))
    if place:
        raise BadRequest(f"{place} is not a number")
    place = _find(rows, lambda v: not 0 <= v <= 255)  # an integer too large for an array
    raise BadRequest(f"{place} is outside 0 to 255")


def _find(rows: list[list[Any]], wrong: Any) -> str | None:
    """Where the first wrong value is, and what it is."""
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if wrong(value):
                shown = json.dumps(value)
                return f"image {i}, number {j}: {shown if len(shown) <= 40 else shown[:37] + '...'}"
    return None


def _kind(value: Any) -> str:
    kinds = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")


def _constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is not JSON, and no pixel; expected numbers from 0 to 255")


_decode = json.JSONDecoder(parse_constant=_constant).decode  # Python's own would take NaN and Infinity


def _loads(text: str) -> Any:
    """The JSON in `text`: by orjson, ten times as fast; what it does not take, Python's decoder takes or explains."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _decode(text)
