"""The records that an endpoint's data collector writes, read by one rule: at once, or as they come.

Azure lays records out as <endpoint>/<deployment>/<collection>/<yyyy>/<MM>/<dd>/<HH>/<instance>.jsonl (the dates as
deep as the deployment's rolling rate), each line a CloudEvent whose `data` are the rows of a data frame, or the body
of a request or answer:

    {"type": "azureml.inference.model_outputs", "time": "2025-01-01T08:51:30Z", "correlationid": "run-7",
     "xrequestid": "5f0c...", "data": [{"correlationid": "run-7", "prediction": 3, ...}], ...}

Any folder of that shape will do: the whole of modelDataCollector, or one endpoint's or deployment's part of it.

A line that is no JSON object cannot be read: it is left out and reported. A last line without its end is still being
written to whoever follows a file, and is left out and reported like any other where it is read at once.

A request is called what its client called it (correlationid), or else what the gateway did (xrequestid). A row's own
ids come before its record's: Azure may put several requests into one record.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from digits.errors import DataError

INPUTS, OUTPUTS, REQUEST = "model_inputs", "model_outputs", "request"
# What a row has beside the columns that were collected.
NOT_COLUMNS = ("id", "key", "time", "deployment", "correlationid", "xrequestid")
# A measurement is not as large, so what is counts as missing: its square would be infinite.
LARGEST = 1e15

Row = dict[str, Any]


class Line(NamedTuple):
    """A line of a file: where it ends, in bytes, and the JSON object in it; None: it cannot be read."""

    end: int
    object: Row | None


def lines(file: Path, start: int = 0, *, growing: bool = False) -> Iterator[Line]:
    """The lines of a file from the byte `start` on, empty ones left out.

    growing: a last line without its end is left for later.
    """
    end = start
    with file.open("rb") as source:
        source.seek(start)
        for text in source:
            if growing and not text.endswith(b"\n"):
                return
            end += len(text)
            if not text.strip():
                continue
            try:
                found = json.loads(text.decode())  # of bytes, json would look for UTF-16 first
            except (ValueError, RecursionError):  # RecursionError: a line that is nested very deep
                found = None
            yield Line(end, found if isinstance(found, dict) else None)


def objects(file: Path, problems: list[str]) -> Iterator[Row]:
    """The JSON objects of a file's lines, all at once; how many lines could not be read goes to `problems`."""
    unreadable = 0
    for line in lines(file):
        if line.object is None:
            unreadable += 1
        else:
            yield line.object
    if unreadable:
        were = "lines could not be read and were" if unreadable > 1 else "line could not be read and was"
        problems.append(f"{file}: {unreadable} {were} left out")


def rows(record: Row, deployment: str) -> list[Row] | None:
    """The rows of a record of `model_inputs` or `model_outputs`; None where it has none, and so cannot be read.

    To its columns a row gets `id`, `xrequestid` (the gateway's id, "" where none is known), `time`, `deployment` and
    `key`: the id, a space, and which of the id's rows in this record it is.
    """
    data = record.get("data")
    if not isinstance(data, list):
        return None
    found: list[Row] = []
    for row in data:
        if isinstance(row, dict):
            identified = _identified(row, record, deployment)
            # Of a request with several images the first row of one collection goes with the first of the other.
            number = sum(other["id"] == identified["id"] for other in found) if found else 0
            identified["key"] = f"{identified['id']} {number}"
            found.append(identified)
    return found


def _identified(row: Row, record: Row, deployment: str) -> Row:
    gateways = str(row.get("xrequestid") or record.get("xrequestid") or "")
    clients = str(row.get("correlationid") or record.get("correlationid") or "")
    return {
        **row,
        "id": clients or gateways,
        "xrequestid": gateways,
        "time": str(record.get("time", "")),
        "deployment": deployment,
    }


def records(
    folder: Path,
    collection: str,
    endpoint: str | None,
    problems: list[str],
    since: float = 0.0,
    deployment: str | None = None,
) -> Iterator[Row]:
    """Every record of a collection below `folder`, of one deployment or all, with the deployment it is of.

    since: files that nobody has written to since then (seconds since 1970, an hour before) are left out.
    """
    for file, of in files(folder, collection, endpoint, deployment):
        if file.stat().st_mtime >= since - 3600:
            for record in objects(file, problems):
                yield {**record, "deployment": of}


def by_id(found: Iterable[Row], wanted: set[str]) -> dict[str, Row]:
    """The first row of each wanted request, by its id or the gateway's; of a body, which is no rows, `data` has it.

    Where a request was collected twice, as when a run's name is used again, the later stands.
    """
    table: dict[str, Row] = {}
    for record in found:
        mine: dict[str, Row] = {}
        deployment = record["deployment"]
        for row in rows(record, deployment) or [_identified({"data": record.get("data")}, record, deployment)]:
            for id in (row["id"], row["xrequestid"]):
                if id and id in wanted:
                    mine.setdefault(id, row)
        table |= mine
    return table


def files(
    folder: Path, collection: str, endpoint: str | None = None, deployment: str | None = None
) -> list[tuple[Path, str]]:
    """The files of a collection below `folder`, by the dates in their paths, with the deployment each is of.

    Raises DataError if there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; --collected must be one that an endpoint's data is collected in")
    found = []
    for file in folder.rglob("*.jsonl"):
        of_endpoint, of_deployment, of_collection = _place(file)
        if of_collection == collection and endpoint in (None, of_endpoint) and deployment in (None, of_deployment):
            found.append((dates(file), str(file), file, of_deployment))
    return [(file, of) for _, _, file, of in sorted(found)]


def dates(file: Path) -> list[str]:
    """The parts of a file's path that are dates."""
    return [part for part in file.parent.parts if part.isdigit()]


def _place(file: Path) -> tuple[str, str, str]:
    """Endpoint, deployment and collection of a file, from the folders above those that are dates."""
    parts = list(file.absolute().parent.parts)
    while parts and parts[-1].isdigit():
        parts.pop()
    endpoint, deployment, collection = (["", "", "", *parts])[-3:]
    return endpoint, deployment, collection


def named(endpoint: str | None, deployment: str | None) -> str:
    """Of which records a message speaks: " of endpoint digits" or the like, "" of all."""
    return "".join(f" of {k} {name}" for k, name in (("endpoint", endpoint), ("deployment", deployment)) if name)


def number(value: Any, name: str = "") -> float:
    """A measurement, NaN where it is none; a prediction is a class or none."""
    if not isinstance(value, int | float) or not abs(value) <= LARGEST:
        return np.nan
    if name == "prediction" and value not in range(10):
        return np.nan
    return float(value)
