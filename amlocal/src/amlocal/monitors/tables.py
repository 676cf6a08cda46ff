"""Tables of a monitor: read from collected records, csv, JSON lines, parquet or an MLTable, typed as Spark types them.

A collection lies as Azure lays it out, <...>/<yyyy>/<MM>/<dd>/<HH>/<instance>.jsonl, one CloudEvent a line, whose
`data` are the rows. Azure reads that with `spark.read.json` (model_data_collector_preprocessor/mdc_utils.py), so a
column is long where every number is written without a point, double where one is not, and string where anything else is
among them.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from amlocal.assets import mltable, mltable_reader
from amlocal.core.errors import UserError

Row = dict[str, Any]
Span = tuple[datetime, datetime]
SUFFIXES = (".csv", ".jsonl", ".json", ".parquet")
READ = ".csv, .parquet, JSON lines (.jsonl, .json)"


@dataclass(frozen=True)
class Column:
    """values: object array (n,) of Python's own, None where there is none. kind: long, double, boolean or string."""

    values: np.ndarray
    kind: str

    @property
    def present(self) -> np.ndarray:
        """bool (n,): where there is a value."""
        return np.array([value is not None for value in self.values], bool)


@dataclass(frozen=True)
class Table:
    """Columns of equal length, by name, and what there is to say about how they were read."""

    columns: dict[str, Column]
    rows: int
    notices: tuple[str, ...] = ()


def of_rows(rows: list[Row], notices: Iterable[str] = ()) -> Table:
    names = dict.fromkeys(name for row in rows for name in row)
    return Table({_writable(name): column(row.get(name) for row in rows) for name in names}, len(rows), tuple(notices))


def _writable(name: str) -> str:
    """JSON can name a column by half a character, such as "\\ud800", which nothing can print or write."""
    return name.encode(errors="backslashreplace").decode()


def column(values: Iterable[Any]) -> Column:
    """A column of plain values. NaN counts as none; what is neither number, text nor truth value is told as JSON."""
    plain = [_plain(value) for value in values]
    there = [value for value in plain if value is not None]
    if all(isinstance(value, bool) for value in there):
        kind = "boolean" if there else "string"
    elif any(isinstance(value, bool | str) for value in there):
        kind = "string"
        plain = [value if value is None or isinstance(value, str) else json.dumps(value) for value in plain]
    else:
        kind = "long" if all(isinstance(value, int) for value in there) else "double"
        if kind == "double":
            plain = [value if value is None else float(value) for value in plain]
    array = np.empty(len(plain), object)
    array[:] = plain
    return Column(array, kind)


def _plain(value: Any) -> Any:
    if hasattr(value, "item") and not isinstance(value, str):  # numpy's
        value = value.item()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(str(value))  # no long; infinite, where float(value) would raise
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, list | dict):
        return json.dumps(value)
    return str(value)


def read(place: Path, span: Span | None) -> Table:
    """What a file or folder holds. span: of a collection, the whole hours that this touches, as Azure takes them.

    Raises UserError naming the file and what is expected there.
    """
    if place.is_dir() and (place / mltable_reader.FILE).is_file():
        return _of_mltable(place)
    if place.is_dir():
        collected = [(file, period) for file in sorted(place.rglob("*.jsonl")) if (period := _period(place, file))]
        if collected:
            return _of_collection(place, collected, span)
        files = [file for file in sorted(place.iterdir()) if file.suffix.lower() in SUFFIXES]
    else:
        files = [place]
    notices = [f"{place}: its rows carry no time, so the window does not apply: all are read"] if span else []
    rows = [row for file in files for row in _of_file(file, notices)]
    if not rows:
        collected_in = "<yyyy>/<MM>/<dd>/<HH>/*.jsonl"
        told = f"{place}: holds no rows; a monitor reads an MLTable, {READ}, or collected data in {collected_in}"
        raise UserError("; ".join([told, *notices]))
    return of_rows(rows, notices)


def _of_mltable(folder: Path) -> Table:
    try:
        frame, _ = mltable_reader.read(mltable.load(folder))
    except mltable_reader.MLTableError as error:
        raise UserError(str(error)) from error
    if not len(frame):
        raise UserError(f"{folder}: this MLTable has no rows")
    return _of_frame(frame)


def _of_frame(frame: Any) -> Table:
    """pandas makes floats of whole numbers among which one is missing; Spark does not, so nor do we."""
    columns = {}
    for name in frame.columns:
        series = frame[name]
        values = series.tolist()
        if series.dtype.kind == "f" and series.isna().any():
            there = series.dropna()
            if len(there) and (there % 1 == 0).all():
                values = [None if math.isnan(value) else int(value) for value in values]
        columns[_writable(str(name))] = column(values)
    return Table(columns, len(frame))


def _of_file(file: Path, notices: list[str]) -> Iterator[Row]:
    suffix = file.suffix.lower()
    if suffix in (".jsonl", ".json"):
        yield from _of_lines(file, notices)
        return
    if suffix not in SUFFIXES:
        raise UserError(f"{file}: a monitor reads {READ}, an MLTable, or a folder of collected data")
    try:
        if suffix == ".csv":
            frame = mltable_reader.read(
                mltable_reader.MLTable(str(file.parent), [str(file)], [["read_delimited", {}]])
            )[0]
        else:
            import pandas as pd

            frame = pd.read_parquet(file)
    except mltable_reader.MLTableError as error:
        raise UserError(str(error)) from error
    except (ImportError, OSError, ValueError) as error:
        raise UserError(f"{file}: not readable as parquet: {str(error).splitlines()[0]}") from error
    table = _of_frame(frame)
    for number in range(table.rows):
        yield {name: each.values[number] for name, each in table.columns.items()}


def _of_lines(file: Path, notices: list[str]) -> Iterator[Row]:
    """The rows of JSON lines: a line is one, or a collected record whose `data` are several."""
    torn = other = 0
    for line in _lines(file):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            torn += 1
        elif "data" not in record and "dataref" not in record:
            yield record
        elif isinstance(data := record.get("data"), list) and all(isinstance(row, dict) for row in data):
            yield from data
        else:
            other += 1
    if torn:
        notices.append(f"{file}: {torn} line{'s' * (torn > 1)} could not be read, and left out")
    if other:
        notices.append(f"{file}: {other} record{'s' * (other > 1)} whose data are no rows, left out")


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as lines:
            yield from lines
    except OSError as error:  # a folder of that name, a link to what is not there
        raise UserError(f"{file}: not readable: {error.strerror}") from error


# --- a collection


def _period(root: Path, file: Path) -> Span | None:
    """From when to when a file of a collection is, from the folders above it; None where those are no dates."""
    parts: list[int] = []
    for part in reversed(file.parent.relative_to(root.parent).parts):
        if not part.isdecimal():
            break
        parts.insert(0, int(part))
    if not 3 <= len(parts) <= 5:
        return None
    try:
        start = datetime(*parts[:3], *parts[3:], tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    return start, start + [timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)][len(parts) - 3]


def whole_hours(span: Span) -> Span:
    """The hours that a window touches: the first and the last are taken whole.

    Azure selects hourly folders (model_data_collector_preprocessor/mdc_preprocessor_helper.py: get_file_list); a window
    that ends with the hour does not touch the next.
    """
    start, end = span
    last = end - timedelta(seconds=1) if (end.minute, end.second) == (0, 0) else end
    hour = {"minute": 0, "second": 0, "microsecond": 0}
    return start.replace(**hour), last.replace(**hour) + timedelta(hours=1)  # type: ignore[arg-type]


def _of_collection(place: Path, files: list[tuple[Path, Span]], span: Span | None) -> Table:
    notices: list[str] = []
    rows: list[Row] = []
    start, end = whole_hours(span) if span else (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    for file, (begins, ends) in files:
        if begins < end and ends > start:
            rows += _of_lines(file, notices)
    if not rows:
        told = f" between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC" if span else ""
        first, last = files[0][1][0], files[-1][1][1]
        files_of = f"it has files from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
        raise UserError("; ".join([f"{place}: holds no rows{told}", files_of, *notices]))
    return of_rows(rows, notices)
