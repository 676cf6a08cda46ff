"""Cuts a parallel job's input into mini batches: files by their number, tables by their size, either by keys.

Rules: "Use parallel jobs in pipelines" in Microsoft's documentation and, for what it leaves open, the troubleshooting
page of ParallelRunStep, the same engine: a mini batch of a table never crosses the border of a file.
"""

import re
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from amlocal.assets import mltable, mltable_reader
from amlocal.assets.mltable_reader import MLTable, MLTableError
from amlocal.core.errors import UserError

SIZE = re.compile(r"(\d+)\s*([kmg]?b)?", re.IGNORECASE)
UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
FILES = 1  # files of a mini batch where mini_batch_size says nothing
BYTES = 1 << 20  # likewise of a table


@dataclass(frozen=True)
class MiniBatch:
    """What one call of run() gets, as it is told to a worker."""

    index: int
    items: int  # files, or rows
    paths: list[str] | None = None  # files to hand over, or:
    rows: tuple[int, int] | None = None  # rows of the table, from and to, or:
    group: int | None = None  # the number of its group in the table
    partition: dict[str, Any] | None = None  # the values of the partition keys


@dataclass(frozen=True)
class Cut:
    """An input cut up."""

    batches: list[MiniBatch]
    table: MLTable | None  # what the workers read, where the batches are rows of it


def cut(path: Path, kind: str, size: str | None, keys: list[str]) -> Cut:
    """Cut an input of a type (uri_folder, uri_file, mltable). Keys win over size, as on Azure.

    size: a number of files; of a table bytes, with kb, mb or gb. Raises UserError naming the field or file.
    """
    try:
        if kind != "mltable":
            return Cut(_files(path, size, keys), None)
        table = mltable.load(path)
        if not table.tabular:
            parts = mltable_reader.partitions(table, keys) if keys else None
            return Cut(_partitioned(parts) if parts else _by_count(table.files, size), None)
        return Cut(_rows(table, size, keys), table)
    except MLTableError as error:
        raise UserError(str(error)) from error


def _files(path: Path, size: str | None, keys: list[str]) -> list[MiniBatch]:
    if not path.exists():
        raise UserError(f"{path}: the input does not exist")
    # A folder's order is its names', so that the same input makes the same mini batches.
    found = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    if not keys:
        return _by_count([str(file) for file in found], size)
    groups: dict[tuple[str, ...], list[str]] = {}
    for file in found:
        folders = file.relative_to(path).parts[:-1]
        if len(folders) < len(keys):
            raise UserError(f"{file}: partition_keys {', '.join(keys)} need a folder for each above every file")
        # Assumed: one level of folders for each key, in their order, named VALUE or KEY=VALUE.
        values = (folder.removeprefix(f"{key}=") for key, folder in zip(keys, folders, strict=False))
        groups.setdefault(tuple(values), []).append(str(file))
    return _partitioned([(dict(zip(keys, values, strict=True)), files) for values, files in sorted(groups.items())])


def _partitioned(parts: list[tuple[dict[str, str], list[str]]]) -> list[MiniBatch]:
    return [MiniBatch(i, len(files), paths=files, partition=keys) for i, (keys, files) in enumerate(parts)]


def _by_count(files: list[str], size: str | None) -> list[MiniBatch]:
    count, unit = _size(size) if size else (FILES, "")
    if unit:
        raise UserError(f"mini_batch_size: {size} is a size, and the input is files; give their number per mini batch")
    chunks = [files[start : start + count] for start in range(0, len(files), count)]
    return [MiniBatch(index, len(chunk), paths=chunk) for index, chunk in enumerate(chunks)]


def _rows(table: MLTable, size: str | None, keys: list[str]) -> list[MiniBatch]:
    frame, owners = mltable_reader.read(table)
    if keys:
        groups = mltable_reader.groups(frame, keys)
        return [MiniBatch(i, len(rows), group=i, partition=values) for i, (values, rows) in enumerate(groups)]
    count, unit = _size(size) if size else (BYTES, "")
    wanted = count * UNITS[unit]
    spans: list[tuple[int, int]] = []
    start = 0
    for owner, run in groupby(owners):
        length = sum(1 for _ in run)
        # By the file's size on disk, which is what Azure estimates by.
        pieces = min(length, max(1, -(-Path(table.files[owner]).stat().st_size // wanted)))
        edges = [start + length * piece // pieces for piece in range(pieces + 1)]
        spans += pairwise(edges)
        start += length
    return [MiniBatch(index, stop - start, rows=(start, stop)) for index, (start, stop) in enumerate(spans)]


def _size(text: str) -> tuple[int, str]:
    match = SIZE.fullmatch(str(text).strip())
    if not match or not int(match[1]):
        raise UserError(f'mini_batch_size: {text} is neither a positive number of files nor a size such as "10kb"')
    return int(match[1]), (match[2] or "").lower()
