"""What requests really were: the lines of a file that a person or drift.traffic wrote, by the requests' ids."""

from datetime import datetime
from pathlib import Path

import numpy as np

from digits.errors import DataError
from drift.records import reader
from drift.records.reader import Row

_SIMULATED = {"id": str, "tick": int, "date": str, "source": str, "label": int, "weights": dict}


def truths(file: Path, problems: list[str]) -> list[Row]:
    """The id, label, tick (-1: none) and source ("": none) of every answered line of `file`, by tick.

    Of an id the last line stands. Raises DataError if there is none.
    """
    if not file.is_file():
        raise DataError(f'{file}: no such file; --labels must have lines such as {{"id": "winter-7", "label": 3}}')
    rows: dict[str, Row] = {}
    useless = 0
    for row in reader.objects(file, problems):
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


def simulated(file: Path, problems: list[str]) -> list[Row]:
    """The lines of a labels.jsonl that drift.traffic wrote and an endpoint answered, by tick.

    Of an id the last line stands. Raises DataError if there are none.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file; --labels must be one that drift.traffic wrote")
    rows: dict[str, Row] = {}
    unanswered = useless = 0
    for row in reader.objects(file, problems):
        if not _is_simulated(row):
            useless += 1
        elif row.get("status", 200) != 200:
            unanswered += 1
        else:
            rows[row["id"]] = {"run": row["id"].rpartition("-")[0], "scenario": "", **row}
    if useless:
        problems.append(f"{file}: {useless} without a right {', '.join(_SIMULATED)} left out")
    if unanswered:
        problems.append(f"{file}: left out what was not answered, {unanswered} of {unanswered + len(rows)} requests")
    if not rows:
        raise DataError(f"{file}: names no request that was answered; --labels must be a file drift.traffic wrote")
    return sorted(rows.values(), key=lambda row: row["tick"])


def _is_simulated(row: Row) -> bool:
    """Whether a line has all that drift.traffic writes."""
    if not all(isinstance(row.get(name), kind) for name, kind in _SIMULATED.items()):
        return False
    weights = row["weights"].values()
    return is_date(row["date"]) and 0 <= row["label"] <= 9 and not any(np.isnan(reader.number(w)) for w in weights)


def is_date(text: str) -> bool:
    """Whether a text is a date, with or without a time, as ISO 8601 has it."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def seconds(time: str) -> float:
    """A record's time as seconds since 1970; 0 where it is not one."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0
