"""What an endpoint collected as tables: columns, one place for each request; and images that somebody has labelled."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digits.data import ink
from digits.errors import DataError
from digits.network.lite import MODEL
from digits.serving import payload
from digits.shape import SIZE
from drift.records import reader
from drift.records.labels import is_date, seconds, simulated, truths
from drift.records.reader import INPUTS, NOT_COLUMNS, OUTPUTS, REQUEST, Row

NEEDED = ("prediction", "confidence", "anomaly_largest", *(f"probability_{digit}" for digit in range(10)))

# What a detector looks at, beside the MODEL that answered.
FOLLOWED = (*ink.STATISTICS, "confidence", "distance", "prediction")


@dataclass(frozen=True)
class Collected:
    """Labelled requests and what was collected of them, in the order of their ticks.

    columns: arrays (n,) by name: id, run, scenario, tick, date, source, label, deployment, model (the fingerprint of
    that which answered, "" where it is not told), and every column of model_inputs and model_outputs. A number that was
    not collected is NaN, a label that is not known -1, a source "".
    weights: (n, sources), and `sources` names them. images: uint8 (n, 28, 28), zeros where `pictured` (n,) is False.
    problems: sentences on what is missing or could not be read.
    """

    columns: dict[str, np.ndarray]
    weights: np.ndarray
    sources: list[str]
    images: np.ndarray
    pictured: np.ndarray
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
    labelled = simulated(labels, problems)
    wanted = {row["id"] for row in labelled}
    outputs = reader.by_id(reader.records(folder, OUTPUTS, endpoint, problems, deployment=deployment), wanted)
    inputs = reader.by_id(reader.records(folder, INPUTS, endpoint, problems, deployment=deployment), wanted)
    # The gateway records a request by its own id for it, which a row of model_outputs has beside the client's.
    known = wanted | {row["xrequestid"] for row in outputs.values()}
    requests = reader.by_id(reader.records(folder, REQUEST, endpoint, problems, deployment=deployment), known)

    found = [row for row in labelled if row["id"] in outputs]
    lacks = {
        id: next((name for name in NEEDED if np.isnan(reader.number(row.get(name), name))), None)
        for id, row in outputs.items()
    }
    whole = [row for row in found if lacks[row["id"]] is None]
    where = reader.named(endpoint, deployment)
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
            "date": row["time"] if is_date(row["time"]) else "1970-01-01T00:00:00+00:00",
            "source": str(truth.get("source", "")),
            "label": truth.get("label", -1),
            "run": "",
            "scenario": "",
            "image": _image(row),
        }
        for row, number, truth in zip(rows, numbers, firsts, strict=True)
    ]
    known = {row[key] for row in rows for key in ("id", "xrequestid")}
    since = seconds(rows[0]["time"]) if rows else 0.0
    requests = reader.by_id(reader.records(folder, REQUEST, None, problems, since), known)
    images, seen = _images(labelled, {row["id"]: row for row in rows}, requests)
    sources = [name for name in dict.fromkeys(row["source"] for row in labelled) if name]
    columns = {name: np.array([row[name] for row in labelled]) for name in labelled[0] if name != "image"}
    columns["deployment"] = np.array([row["deployment"] for row in rows])
    columns[MODEL] = _models(rows)
    columns |= _numbers(rows, dict.fromkeys(key for row in rows for key in row), (*columns, *NOT_COLUMNS))
    if np.isnan(columns.get("prediction", np.full(len(rows), np.nan))).all():
        raise DataError(f"{folder}: {OUTPUTS} have no prediction; they must be what digits.serving.score collects")
    weights = np.array([[float(row["source"] == name) for name in sources] for row in labelled])
    return Collected(columns, weights.reshape(len(rows), len(sources)), sources, images, seen, problems)


def labelled(folder: Path, labels: Path) -> Labelled:
    """The images collected below `folder` that the file `labels` has an id and a label for; no more is asked of a line.

    A later line for the same id corrects an earlier one. Raises DataError if nothing remains.
    """
    problems: list[str] = []
    rows = truths(labels, problems)
    wanted = {row["id"] for row in rows}
    outputs = reader.by_id(reader.records(folder, OUTPUTS, None, problems), wanted)
    known = wanted | {row["xrequestid"] for row in outputs.values()}
    requests = reader.by_id(reader.records(folder, REQUEST, None, problems), known)
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


def _columns(labelled: list[Row], inputs: dict[str, Row], outputs: dict[str, Row]) -> dict[str, np.ndarray]:
    names = ("id", "tick", "date", "source", "label", "run", "scenario")
    columns = {name: np.array([row[name] for row in labelled]) for name in names}
    columns["deployment"] = np.array([outputs[row["id"]]["deployment"] for row in labelled])
    columns[MODEL] = _models([outputs[row["id"]] for row in labelled])
    for table in (inputs, outputs):
        rows = [table.get(row["id"], {}) for row in labelled]
        columns |= _numbers(rows, dict.fromkeys(key for row in rows for key in row), (*columns, *NOT_COLUMNS))
    return columns


def _numbers(rows: Sequence[Row], names: Iterable[str], without: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """The columns `names` of rows, arrays (n,) of numbers, NaN where there is none."""
    return {
        name: np.array([reader.number(row.get(name), name) for row in rows]) for name in names if name not in without
    }


def _models(rows: Sequence[Row]) -> np.ndarray:
    return np.array([model if isinstance(model := row.get(MODEL), str) else "" for row in rows], object)


def _images(found: list[Row], outputs: dict[str, Row], requests: dict[str, Row]) -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((len(found), SIZE, SIZE), np.uint8)
    seen = np.zeros(len(found), bool)
    for place, row in enumerate(found):
        record = requests.get(row["id"]) or requests.get(outputs.get(row["id"], {}).get("xrequestid", ""))
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


def _image(row: Row) -> int:
    """Which image of its request a row of drift.records.follow's is, from 0."""
    return int(row["key"].rpartition(" ")[2])
