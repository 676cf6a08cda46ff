"""An MLTable parsed, and read with pandas: its files, and the table they make.

Follows Microsoft's "CLI (v2) MLtable YAML schema". The `mltable` package, which needs .NET, is not needed. This file
imports nothing of its package: a job's workers load it by its path, in whatever Python the job runs in.
"""

import ast
import operator
import random
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

FILE = "MLTable"
PLACES = ("file", "folder", "pattern")
READERS = ("read_delimited", "read_parquet", "read_json_lines")
ENCODINGS = {
    "utf8": "utf-8",
    "utf8bom": "utf-8-sig",
    "iso88591": "iso-8859-1",
    "latin1": "latin-1",
    "ascii": "ascii",
    "utf16": "utf-16",
    "utf32": "utf-32",
    "windows1252": "cp1252",
}
HEADERS = ("all_files_same_headers", "all_files_different_headers", "from_first_file", "no_header")
TYPES = {"int": "Int64", "float": "float64", "string": "string", "boolean": "boolean", "datetime": "datetime"}


class MLTableError(ValueError):
    """An MLTable that cannot be read; its text is the one line for the user."""


@dataclass(frozen=True)
class MLTable:
    """An MLTable file, its paths resolved: what is needed to read it elsewhere, as plain JSON values."""

    folder: str
    files: list[str]
    transformations: list[list[Any]]  # [name, arguments] in order

    @property
    def tabular(self) -> bool:
        """Whether it makes a table; without a reader it is a list of files."""
        return any(name in READERS for name, _ in self.transformations)


def parse(path: Path) -> tuple[list[tuple[str, str]], list[Any]]:
    """What a file MLTable says: its `paths:`, each with its kind (file, folder, pattern), and its `transformations:`.

    Whether the paths are there, and whether the transformations are known, is not looked at. Raises MLTableError.
    """
    import yaml

    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise MLTableError(f"{path}{f':{mark.line + 1}' if mark else ''}: not valid YAML") from error
    entries = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise MLTableError(f"{path}: paths: required, a list of `- file: ...`, `- folder: ...` or `- pattern: ...`")
    places = []
    for entry in entries:
        kinds = [kind for kind in PLACES if isinstance(entry, dict) and kind in entry]
        if len(kinds) != 1:
            known = ", ".join(PLACES)
            has = ", ".join(kinds) or f"none of {known}"
            raise MLTableError(f"{path}: paths: {entry}: each is one of {known}; this has {has}")
        places.append((kinds[0], str(entry[kinds[0]])))
    return places, document.get("transformations") or []


def load(folder: Path) -> MLTable:
    """Read the MLTable file of a folder, and find its files on this machine. Raises MLTableError."""
    path = folder / FILE
    if not path.is_file():
        raise MLTableError(f"{folder}: holds no file named {FILE}; an input of type mltable needs one")
    places, transformations = parse(path)
    files = [file for kind, value in places for file in _files(folder, kind, value)]
    steps = [_step(path, step) for step in transformations]
    return MLTable(str(folder), list(dict.fromkeys(files)), steps)


def _files(folder: Path, kind: str, value: str) -> list[str]:
    if "://" in value:
        raise MLTableError(f"{folder / FILE}: {value} is not on this machine; download it and name the copy")
    if kind == "pattern":
        found = sorted(folder.glob(value.removeprefix("./")))
    else:
        place = folder / value
        if not place.exists():
            raise MLTableError(f"{folder / FILE}: {value} does not exist")
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
    return [str(file) for file in found if file.is_file() and file != folder / FILE]


def _step(path: Path, step: Any) -> list[Any]:
    if isinstance(step, str):
        step = {step: None}
    if not isinstance(step, dict) or len(step) != 1:
        raise MLTableError(f"{path}: transformation {step!r} is not one name with its arguments")
    name, arguments = next(iter(step.items()))
    if name not in READERS and name not in TRANSFORMATIONS:
        raise MLTableError(
            f"{path}: transformation {name} is not supported here; {', '.join((*READERS, *TRANSFORMATIONS))} are"
        )
    if name == "take_random_sample" and arguments.get("seed") is None:
        arguments = {
            **arguments,
            "seed": random.getrandbits(32),
        }  # drawn here, so that every reader draws the same rows
    return [name, arguments]


def partitions(table: MLTable, keys: list[str]) -> list[tuple[dict[str, str], list[str]]]:
    """The files of a list grouped by what their paths say of `keys`, in the order of those values."""
    form = next((args for name, args in table.transformations if name == "extract_columns_from_partition_format"), None)
    if form is None:
        raise MLTableError(
            f"{Path(table.folder) / FILE}: partition_keys of files need extract_columns_from_partition_format"
        )
    pattern, _ = _partition_pattern(form)
    groups: dict[tuple[str, ...], list[str]] = {}
    for file in table.files:
        found = pattern.search(Path(file).as_posix())
        if not found:
            raise MLTableError(f"{file}: does not match the partition format {form}")
        missing = [key for key in keys if key not in found.groupdict()]
        if missing:
            raise MLTableError(
                f"{Path(table.folder) / FILE}: partition key {missing[0]} is not in its partition format"
            )
        groups.setdefault(tuple(found[key] for key in keys), []).append(file)
    return [(dict(zip(keys, values, strict=True)), files) for values, files in sorted(groups.items())]


def read(table: MLTable) -> tuple[Any, Any]:
    """The table (a pandas DataFrame, numbered from 0) and, for each row, the index in `files` it came from.

    Raises MLTableError naming the file or transformation.
    """
    import pandas as pd

    reading = [position for position, (name, _) in enumerate(table.transformations) if name in READERS]
    if len(reading) != 1:
        raise MLTableError(f"{Path(table.folder) / FILE}: needs exactly one of {', '.join(READERS)}")
    name, arguments = table.transformations[reading[0]]
    frames = _read_files(table.files, name, arguments or {})
    if not frames:
        raise MLTableError(f"{Path(table.folder) / FILE}: its paths hold no files")
    owners = pd.Series(range(len(frames)), dtype="int64").repeat([len(frame) for frame in frames])
    owners = owners.reset_index(drop=True)
    whole = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0].reset_index(drop=True)
    for name, arguments in table.transformations:
        if name in READERS:
            continue
        try:
            whole = TRANSFORMATIONS[name](whole, arguments, table.files, owners)
        except MLTableError:
            raise
        except Exception as error:
            where = f"{Path(table.folder) / FILE}: {name}"
            raise MLTableError(f"{where}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
        # What is left keeps its row numbers until here.
        owners = owners.loc[whole.index].reset_index(drop=True)
        whole = whole.reset_index(drop=True)
    return whole, owners.to_numpy()


def groups(frame: Any, keys: list[str]) -> list[tuple[dict[str, Any], Any]]:
    """The row numbers of each combination of the keys' values, by value; rows without one are left."""
    missing = [key for key in keys if key not in frame.columns]
    if missing:
        raise MLTableError(f"partition_keys: the table has no column {missing[0]}; it has {', '.join(frame.columns)}")
    return [
        (dict(zip(keys, (_plain(value) for value in values), strict=True)), rows)
        for values, rows in frame.groupby(keys, sort=True).indices.items()
        for values in [values if isinstance(values, tuple) else (values,)]
    ]


def _plain(value: Any) -> Any:
    """numpy's scalar as Python's."""
    return value.item() if hasattr(value, "item") else value


# --- the readers ----------------------------------------------------------------------------------------------------


def _read_files(files: list[str], reader: str, arguments: dict[str, Any]) -> list[Any]:
    frames: list[Any] = []
    for file in files:
        try:
            if reader == "read_delimited":
                frame = _read_delimited(file, arguments, frames)
            elif reader == "read_parquet":
                import pandas as pd

                frame = pd.read_parquet(file)
            else:
                frame = _read_json_lines(file, arguments)
        except MLTableError:
            raise
        except Exception as error:
            raise MLTableError(f"{file}: {reader}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
        frames.append(frame)
    if arguments.get("include_path_column"):
        for file, frame in zip(files, frames, strict=True):
            frame.insert(0, "Path", file)
    return frames


def _encoding(arguments: dict[str, Any]) -> str:
    name = str(arguments.get("encoding", "utf8"))
    if name not in ENCODINGS:
        raise MLTableError(f"encoding: {name} is none of {', '.join(ENCODINGS)}")
    return ENCODINGS[name]


def _read_delimited(file: str, arguments: dict[str, Any], earlier: list[Any]) -> Any:
    import pandas as pd

    header = str(arguments.get("header", HEADERS[0]))
    if header not in HEADERS:
        raise MLTableError(f"read_delimited.header: {header} is none of {', '.join(HEADERS)}")
    named = header.startswith("all_files") or (header == "from_first_file" and not earlier)
    options: dict[str, Any] = {
        "sep": arguments.get("delimiter", ","),
        "encoding": _encoding(arguments),
        "header": 0 if named else None,
        "keep_default_na": False,  # only an empty field is a null: "NA" is a text
        "na_values": [""],
        "dtype": None if arguments.get("infer_column_types", True) is not False else str,
    }
    frame = pd.read_csv(file, **options)
    if not named:
        columns = list(earlier[0].columns) if earlier else None
        frame.columns = columns or [f"Column{number}" for number in range(1, frame.shape[1] + 1)]
    if arguments.get("empty_as_string"):
        texts = frame.select_dtypes(include=["object", "string"]).columns
        frame[texts] = frame[texts].fillna("")
    return frame


def _read_json_lines(file: str, arguments: dict[str, Any]) -> Any:
    import json

    import pandas as pd

    rows = []
    for number, line in enumerate(Path(file).read_text(encoding=_encoding(arguments)).splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            if arguments.get("invalid_lines") != "drop":
                raise MLTableError(f"{file}:{number}: not JSON ({error}); invalid_lines: drop leaves it out") from error
    return pd.DataFrame(rows)


# --- the transformations: (frame, arguments, files, the file of each row) -> frame; its index says which rows are left


def _names(frame: Any, arguments: Any) -> list[Hashable]:
    names = [arguments] if isinstance(arguments, str) else list(arguments or [])
    for name in names:
        if name not in frame.columns:
            raise MLTableError(f"there is no column {name}; there are {', '.join(map(str, frame.columns))}")
    return names


def _drop_columns(frame: Any, arguments: Any, *_: Any) -> Any:
    return frame.drop(columns=_names(frame, arguments))


def _keep_columns(frame: Any, arguments: Any, *_: Any) -> Any:
    return frame[_names(frame, arguments)]


def _take(frame: Any, arguments: Any, *_: Any) -> Any:
    return frame.head(int(arguments))


def _skip(frame: Any, arguments: Any, *_: Any) -> Any:
    return frame.iloc[int(arguments) :]


def _take_random_sample(frame: Any, arguments: Any, *_: Any) -> Any:
    import numpy as np

    drawn = np.random.default_rng(arguments.get("seed")).random(len(frame))
    return frame[drawn < float(arguments["probability"])]


def _convert_column_types(frame: Any, arguments: Any, *_: Any) -> Any:
    frame = frame.copy()
    for conversion in arguments:
        for name in _names(frame, conversion["columns"]):
            frame[name] = _converted(frame[name], conversion["column_type"])
    return frame


def _converted(column: Any, kind: Any) -> Any:
    import pandas as pd

    kind, options = next(iter(kind.items())) if isinstance(kind, dict) else (kind, {})
    if kind not in TYPES:
        raise MLTableError(f"convert_column_types: {kind} is none of {', '.join(TYPES)}")
    if kind == "datetime":
        formats = options.get("formats") or [None]
        parsed = [pd.to_datetime(column, format=form, errors="coerce") for form in formats]
        return reduce(lambda one, other: one.fillna(other), parsed)
    if kind == "boolean":
        meanings: dict[bool, Any] = {
            True: options.get("true_values") or ["true", "1"],
            False: options.get("false_values"),
        }
        meanings[False] = meanings[False] or ["false", "0"]
        table = {str(text).lower(): meaning for meaning, texts in meanings.items() for text in texts}
        converted = column.astype(str).str.lower().map(table)
        wrong = column[converted.isna() & column.notna()]
        if options.get("mismatch_as") == "error" and len(wrong):
            raise MLTableError(f"convert_column_types: {wrong.iloc[0]!r} in {column.name} is neither true nor false")
        return converted.astype("boolean")
    if kind == "string":
        return column.astype("string")
    numbers = pd.to_numeric(column, errors="coerce")
    if kind == "int" and not numbers.isna().any():
        return numbers.astype("int64")
    return numbers.astype(TYPES[kind])


def _extract_columns(frame: Any, arguments: Any, files: list[str], owners: Any) -> Any:
    import pandas as pd

    pattern, dates = _partition_pattern(arguments)
    found = []
    for file in files:
        match = pattern.search(Path(file).as_posix())
        if not match:
            raise MLTableError(f"{file}: does not match the partition format {arguments}")
        found.append(
            {
                name: pd.to_datetime(value, format=dates[name]) if name in dates else value
                for name, value in match.groupdict().items()
            }
        )
    frame = frame.copy()
    for name in reversed(found[0] if found else {}):
        values = pd.Series([row[name] for row in found])
        column = values.iloc[owners.to_numpy()].set_axis(frame.index)
        frame = frame.drop(columns=[name], errors="ignore")
        frame.insert(int("Path" in frame.columns), name, column)
    return frame


def _partition_pattern(arguments: Any) -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern for the end of a path from a format as `{Store}/{day:yyyy/MM/dd}/{file}.csv`; its dates' formats."""
    form = arguments.get("partition_format") if isinstance(arguments, dict) else arguments
    if not form:
        raise MLTableError("extract_columns_from_partition_format: needs a partition_format")
    dates: dict[str, str] = {}
    pattern = ""
    for literal, name, date in re.findall(r"([^{}]*)(?:\{(\w+)(?::([^}]*))?\})?", str(form).removeprefix("./")):
        pattern += re.escape(literal)
        if date:
            for code, directive in (
                ("yyyy", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S")
            ):  # fmt: skip
                date = date.replace(code, directive)
            dates[name] = date
            pattern += f"(?P<{name}>{re.sub('%.', lambda d: '[0-9]{4}' if d[0] == '%Y' else '[0-9]{2}', date)})"
        elif name:
            pattern += f"(?P<{name}>[^/]+)"
    return re.compile(f"(?:^|/){pattern}$" if pattern.startswith("(") else f"{pattern}$"), dates


COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _filter(frame: Any, arguments: Any, *_: Any) -> Any:
    """Rows for which an expression as `col("a") > 32 and col("b") == "UK"` holds."""

    def value(node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~value(operand)
            case ast.BoolOp(op=op, values=values):
                return reduce(operator.and_ if isinstance(op, ast.And) else operator.or_, map(value, values))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
                return COMPARISONS[type(op)](value(left), value(right))
            case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str(name))], keywords=[]):
                return frame[_names(frame, name)[0]]
        raise MLTableError(f"filter: {ast.unparse(node)} is not supported; col(), comparisons, and, or, not are")

    return frame[value(ast.parse(str(arguments).strip(), mode="eval").body)]


TRANSFORMATIONS: dict[str, Callable[..., Any]] = {
    "keep_columns": _keep_columns,
    "drop_columns": _drop_columns,
    "take": _take,
    "skip": _skip,
    "take_random_sample": _take_random_sample,
    "convert_column_types": _convert_column_types,
    "extract_columns_from_partition_format": _extract_columns,
    "filter": _filter,
}
