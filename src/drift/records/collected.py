"""What an endpoint collected, read back: records on disk -> columns, one place for each request.

Azure lays records out as <endpoint>/<deployment>/<collection>/<yyyy>/<MM>/<dd>/<HH>/<instance>.jsonl (the dates as
deep as the deployment's rolling rate), each line a CloudEvent whose `data` are the rows of a data frame, or the body
of a request or answer:

    {"type": "azureml.inference.model_outputs", "time": "2025-01-01T08:51:30Z", "correlationid": "run-7",
     "xrequestid": "5f0c...", "data": [{"correlationid": "run-7", "prediction": 3, ...}], ...}

Any folder of that shape will do: the whole of modelDataCollector, or one endpoint's or deployment's part of it. A line
that cannot be read is left out and told of, never the end of it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from digits.data import ink
from digits.errors import DataError
from digits.network.lite import MODEL
from digits.serving import payload
from digits.shape import SIZE

INPUTS, OUTPUTS, REQUEST = "model_inputs", "model_outputs", "request"
_IDS = ("correlationid", "xrequestid", "clientrequestid")
NEEDED = ("prediction", "confidence", "anomaly_largest", *(f"probability_{digit}" for digit in range(10)))
_LABEL = {"id": str, "tick": int, "date": str, "source": str, "label": int, "weights": dict}

# What a detector looks at, beside the MODEL that answered.
FOLLOWED = (*ink.STATISTICS, "confidence", "distance", "prediction")
# A measurement is not as large, so what is counts as missing: its square would be infinite.
LARGEST = 1e15

Row = dict[str, Any]


@dataclass(frozen=True)
class Collected:
    """Labelled requests and what was collected of them, in the order of their ticks.

    columns: arrays (n,) by name: id, run, scenario, tick, date, source, label, deployment, model (the fingerprint of
    that which answered, "" where it is not told), and every column of model_inputs and model_outputs. A number that was
    not collected is NaN, a label that is not known -1, a source "".
    weights: (n, sources), and `sources` names them. images: uint8 (n, 28, 28), zeros where `seen` (n,) is False.
    problems: sentences on what is missing or could not be read.
    """

    columns: dict[str, np.ndarray]
    weights: np.ndarray
    sources: list[str]
    images: np.ndarray
    seen: np.ndarray
    problems: list[str]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @property
    def labelled(self) -> np.ndarray:
        """Of which requests it is known what they are: bool (n,)."""
        return self.columns["label"] >= 0


@dataclass(frozen=True)
class Labelled:
    """Images that were collected and that somebody has labelled, in the order of their ticks, or else of the file.

    images: uint8 (n, 28, 28), labels: uint8 (n,), ticks: int (n,), -1 where no line names one. times: when each was
    recorded, ISO 8601. problems: as in Collected.
    """

    ids: list[str]
    times: list[str]
    ticks: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    problems: list[str]


def read(folder: Path, labels: Path, endpoint: str | None = None, deployment: str | None = None) -> Collected:
    """Everything collected below `folder`, of one endpoint and deployment or all, for the requests that the file
    `labels` names.

    A request without a whole record of model_outputs is left out, and told of. Raises DataError if nothing remains.
    """
    problems: list[str] = []
    labelled = read_labels(labels, problems)
    wanted = {row["id"] for row in labelled}
    outputs = _by_id(records(folder, OUTPUTS, endpoint, problems, deployment=deployment), wanted)
    inputs = _by_id(records(folder, INPUTS, endpoint, problems, deployment=deployment), wanted)
    # The gateway records a request by its own id for it, which a row of model_outputs has beside the client's.
    known = wanted | {str(row.get("xrequestid")) for row in outputs.values()}
    requests = _by_id(records(folder, REQUEST, endpoint, problems, deployment=deployment), known)

    found = [row for row in labelled if row["id"] in outputs]
    lacks = {
        id: next((name for name in NEEDED if np.isnan(_number(row.get(name), name))), None)
        for id, row in outputs.items()
    }
    whole = [row for row in found if lacks[row["id"]] is None]
    where = named(endpoint, deployment)
    if not found:
        raise DataError(
            f"{folder}: holds no {OUTPUTS}{where} for the {len(labelled)} requests of {labels}; "
            "check that the deployment collects data, and that both are of the same run"
        )
    if not whole:
        raise DataError(
            f"{folder}: {OUTPUTS}{where} have no {lacks[found[0]['id']]}; "
            "they must be what digits.serving.score collects"
        )
    if missing := len(labelled) - len(whole):
        problems.append(f"{missing} of {len(labelled)} requests have no whole record in {OUTPUTS}")
    images, seen = _images(whole, outputs, requests)
    if not seen.all():
        problems.append(f"{int((~seen).sum())} of {len(whole)} requests have no image in {REQUEST}")
    sources = list(dict.fromkeys(name for row in whole for name in row["weights"]))
    weights = np.array([[float(row["weights"].get(name, 0)) for name in sources] for row in whole])
    return Collected(_columns(whole, inputs, outputs), weights, sources, images, seen, problems)


def named(endpoint: str | None, deployment: str | None) -> str:
    """Of which records a message speaks: " of endpoint digits" or the like, "" of all."""
    return "".join(f" of {k} {name}" for k, name in (("endpoint", endpoint), ("deployment", deployment)) if name)


def columns(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """What drift.records.follow read, as a detector takes it: arrays (n,) by name, NaN where a number is missing."""
    return _numbers(rows, FOLLOWED) | {MODEL: _models(rows)}


def assemble(
    rows: list[Row], numbers: Sequence[int], truths: Mapping[str, Row], folder: Path, problems: list[str]
) -> Collected:
    """What a Follower read, made ready to be looked at, as far as `truths` (id -> label) tell with what is true.

    numbers: of each request, its tick. Of a request with several images the label is of the first. Images are looked
    for below `folder`, in files that were written to since the first request. Raises DataError if nothing was read.
    """
    firsts = [truths.get(row["id"], {}) if _image(row) == 0 else {} for row in rows]
    labelled = [
        {
            "id": row["id"],
            "tick": number,
            "date": row["time"] if _is_date(row["time"]) else "1970-01-01T00:00:00+00:00",
            "source": str(truth.get("source", "")),
            "label": truth.get("label", -1),
            "run": "",
            "scenario": "",
            "image": _image(row),
        }
        for row, number, truth in zip(rows, numbers, firsts, strict=True)
    ]
    known = {row[key] for row in rows for key in ("id", "xrequestid")}
    since = _moment(rows[0]["time"]) if rows else 0.0
    requests = _by_id(records(folder, REQUEST, None, problems, since), known)
    images, seen = _images(labelled, {row["id"]: row for row in rows}, requests)
    sources = [name for name in dict.fromkeys(row["source"] for row in labelled) if name]
    columns = {name: np.array([row[name] for row in labelled]) for name in labelled[0] if name != "image"}
    columns["deployment"] = np.array([row["deployment"] for row in rows])
    columns[MODEL] = _models(rows)
    columns |= _numbers(rows, dict.fromkeys(key for row in rows for key in row), (*columns, *_IDS, "key", "time"))
    if np.isnan(columns.get("prediction", np.full(len(rows), np.nan))).all():
        raise DataError(f"{folder}: {OUTPUTS} have no prediction; they must be what digits.serving.score collects")
    weights = np.array([[float(row["source"] == name) for name in sources] for row in labelled])
    return Collected(columns, weights.reshape(len(rows), len(sources)), sources, images, seen, problems)


def _moment(time: str) -> float:
    """A record's time as seconds since 1970; 0 where it is not one."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0


def labelled(folder: Path, labels: Path) -> Labelled:
    """The images collected below `folder` that the file `labels` has an id and a label for; no more is asked of a line.

    A later line for the same id corrects an earlier one. Raises DataError if nothing remains.
    """
    problems: list[str] = []
    rows = truths(labels, problems)
    wanted = {row["id"] for row in rows}
    outputs = _by_id(records(folder, OUTPUTS, None, problems), wanted)
    known = wanted | {str(row.get("xrequestid")) for row in outputs.values()}
    requests = _by_id(records(folder, REQUEST, None, problems), known)
    images, seen = _images(rows, outputs, requests)
    if not seen.any():
        raise DataError(
            f"{folder}: holds no image in {REQUEST} for the {len(rows)} labels of {labels}; check that the deployment "
            f"collects {REQUEST}, and that both are of the same endpoint"
        )
    if not seen.all():
        problems.append(f"{int((~seen).sum())} of {len(rows)} labelled requests have no image in {REQUEST}")
    found = [row for row, there in zip(rows, seen, strict=True) if there]
    return Labelled(
        ids=[row["id"] for row in found],
        times=[str((outputs.get(row["id"]) or requests.get(row["id"]) or {}).get("time", "")) for row in found],
        ticks=np.array([row["tick"] for row in found]),
        images=images[seen],
        labels=np.array([row["label"] for row in found], np.uint8),
        problems=problems,
    )


def truths(file: Path, problems: list[str]) -> list[Row]:
    """The id, label, tick (-1: none) and source ("": none) of every answered line of `file`, by tick.

    Of an id the last line stands. Raises DataError if there is none.
    """
    if not file.is_file():
        raise DataError(f'{file}: no such file; --labels must have lines such as {{"id": "winter-7", "label": 3}}')
    rows: dict[str, Row] = {}
    useless = 0
    for row in _lines(file, problems):
        id, label, tick = row.get("id"), row.get("label"), row.get("tick", -1)
        # type() and not isinstance(), for to Python True is a number.
        if not isinstance(id, str) or type(label) is not int or not 0 <= label <= 9 or type(tick) is not int:
            useless += 1
        elif row.get("status", 200) == 200:
            rows[id] = {"id": id, "label": label, "tick": tick, "source": str(row.get("source", ""))}
    if useless:
        problems.append(f"{file}: {useless} without an id and a label from 0 to 9 left out")
    if not rows:
        raise DataError(f'{file}: has no label; its lines must be such as {{"id": "winter-7", "label": 3}}')
    return sorted(rows.values(), key=lambda row: row["tick"])


def _columns(labelled: list[Row], inputs: dict[str, Row], outputs: dict[str, Row]) -> dict[str, np.ndarray]:
    names = (*(name for name in _LABEL if name != "weights"), "run", "scenario")
    columns = {name: np.array([row[name] for row in labelled]) for name in names}
    columns["deployment"] = np.array([outputs[row["id"]]["deployment"] for row in labelled])
    columns[MODEL] = _models([outputs[row["id"]] for row in labelled])
    for table in (inputs, outputs):
        rows = [table.get(row["id"], {}) for row in labelled]
        columns |= _numbers(rows, dict.fromkeys(key for row in rows for key in row), (*columns, *_IDS, "time"))
    return columns


def _numbers(rows: Sequence[Row], names: Iterable[str], without: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """The columns `names` of rows, arrays (n,) of numbers, NaN where there is none."""
    return {name: np.array([_number(row.get(name), name) for row in rows]) for name in names if name not in without}


def _models(rows: Sequence[Row]) -> np.ndarray:
    return np.array([model if isinstance(model := row.get(MODEL), str) else "" for row in rows], object)


def read_labels(file: Path, problems: list[str]) -> list[Row]:
    """The lines of a labels.jsonl that drift.traffic wrote and an endpoint answered, by tick.

    Of an id the last line stands. Raises DataError if there are none.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file; --labels must be one that drift.traffic wrote")
    rows: dict[str, Row] = {}
    unanswered = useless = 0
    for row in _lines(file, problems):
        if not _is_simulated(row):
            useless += 1
        elif row.get("status", 200) != 200:
            unanswered += 1
        else:
            rows[row["id"]] = {"run": row["id"].rpartition("-")[0], "scenario": "", **row}
    if useless:
        problems.append(f"{file}: {useless} without a right {', '.join(_LABEL)} left out")
    if unanswered:
        problems.append(f"{file}: left out what was not answered, {unanswered} of {unanswered + len(rows)} requests")
    if not rows:
        raise DataError(f"{file}: names no request that was answered; --labels must be a file drift.traffic wrote")
    return sorted(rows.values(), key=lambda row: row["tick"])


def _is_simulated(row: Row) -> bool:
    """Whether a line has all that drift.traffic writes."""
    if not all(isinstance(row.get(name), kind) for name, kind in _LABEL.items()):
        return False
    weights = row["weights"].values()
    return _is_date(row["date"]) and 0 <= row["label"] <= 9 and not any(np.isnan(_number(w)) for w in weights)


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
    for file, of in files(folder, collection, endpoint):
        if deployment in (None, of) and file.stat().st_mtime >= since - 3600:
            for record in _lines(file, problems):
                yield {**record, "deployment": of}


def files(folder: Path, collection: str, endpoint: str | None = None) -> list[tuple[Path, str]]:
    """The files of a collection below `folder`, by the dates in their paths, with the deployment each is of.

    Raises DataError if there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; --collected must be one that an endpoint's data is collected in")
    found = []
    for file in folder.rglob("*.jsonl"):
        of_endpoint, deployment, of_collection = _place(file)
        if of_collection == collection and endpoint in (None, of_endpoint):
            dates = [part for part in file.parent.parts if part.isdigit()]
            found.append((dates, str(file), file, deployment))
    return [(file, deployment) for _, _, file, deployment in sorted(found)]


def _place(file: Path) -> tuple[str, str, str]:
    """Endpoint, deployment and collection of a file, from the folders above those that are dates."""
    parts = list(file.absolute().parent.parts)
    while parts and parts[-1].isdigit():
        parts.pop()
    endpoint, deployment, collection = (["", "", "", *parts])[-3:]
    return endpoint, deployment, collection


def _lines(file: Path, problems: list[str]) -> Iterator[Row]:
    """The JSON objects of a file's lines. A writer that was killed, or is writing still, leaves a torn last line."""
    torn = 0
    with file.open("rb") as lines:
        for line in lines:
            try:
                row = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError):  # which a line that is nested very deep causes
                row = False
            if isinstance(row, dict):
                yield row
            elif row is not None:
                torn += 1
    if torn:
        problems.append(
            f"{file}: {torn} line{'s' * (torn > 1)} could not be read and {'were' if torn > 1 else 'was'} left out"
        )


def _by_id(found: Iterable[Row], wanted: set[str]) -> dict[str, Row]:
    """The first row of each wanted request, by its id, or a whole record where `data` is not rows.

    A row's own id comes before its record's: on Azure a record may be of several requests. Where a request was
    collected twice, as when a run's name is used again, the later stands.
    """
    table: dict[str, Row] = {}
    for record in found:
        data = record.get("data")
        rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
        mine: dict[str, Row] = {}
        for row in rows or [{"data": data}]:
            whole = {**{key: record[key] for key in (*_IDS, "deployment", "time") if key in record}, **row}
            for key in _IDS:
                if isinstance(id := whole.get(key), str) and id in wanted:
                    mine.setdefault(id, whole)
        table |= mine
    return table


def _images(found: list[Row], outputs: dict[str, Row], requests: dict[str, Row]) -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((len(found), SIZE, SIZE), np.uint8)
    seen = np.zeros(len(found), bool)
    for place, row in enumerate(found):
        record = requests.get(row["id"]) or requests.get(str(outputs.get(row["id"], {}).get("xrequestid")))
        if record is None:
            continue
        try:
            body = record["data"]
            pixels = payload.parse(body) if isinstance(body, str) else payload.images(body)
        except payload.BadRequest:
            continue
        if (image := row.get("image", 0)) < len(pixels):
            images[place], seen[place] = np.rint(pixels[image]).reshape(SIZE, SIZE), True
    return images, seen


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _image(row: Row) -> int:
    """Which image of its request a row of drift.records.follow's is, from 0."""
    return int(row["key"].rpartition(" ")[2])


def _number(value: Any, name: str = "") -> float:
    """A measurement, NaN where it is none; a prediction is a class or none."""
    if not isinstance(value, int | float) or not abs(value) <= LARGEST:
        return np.nan
    if name == "prediction" and value not in range(10):
        return np.nan
    return float(value)
