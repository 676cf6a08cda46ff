"""The reference that lies beside a model (digits.network.reference), read back for the detector."""

import csv
from pathlib import Path

import numpy as np

from digits.data import ink
from digits.errors import DataError
from digits.network.lite import FILE, fingerprint
from digits.network.reference import COLUMNS, FOLDER, HAND, NEIGHBOURS, TABLE
from drift.detect.reference import Reference

FEWEST = 20  # with fewer there is no saying what is rare


def read(model: Path) -> Reference:
    """The reference of a model's folder, or of a folder above it. Raises DataError."""
    found = sorted(model.rglob(f"{FOLDER}/{TABLE}")) if model.is_dir() else []
    if len(found) != 1:
        said = f"{len(found)} references" if found else "no reference"
        raise DataError(
            f"{model}: holds {said} ({FOLDER}/{TABLE}); --model must be one model that digits.jobs.train saved"
        )
    columns = _read_table(found[0], (*COLUMNS, HAND))
    hands = columns.pop(HAND)
    if not np.isin(columns["prediction"], range(10)).all():
        raise DataError(f"{found[0]}: has a prediction that is no digit; have digits.jobs.train write the model again")
    neighbours = _read_table(found[0].with_name(NEIGHBOURS), tuple(ink.STATISTICS))
    files = sorted(model.rglob(FILE))
    known = Reference(
        columns,
        np.column_stack(list(neighbours.values())),
        hands if len(set(hands)) > 1 else None,
        fingerprint(files[0]) if len(files) == 1 else "",
    )
    if len(known) < FEWEST or not len(known.neighbours):
        raise DataError(f"{found[0]}: {len(known)} digits are too few to know what is normal; {FEWEST} is the least")
    return known


def _read_table(file: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            if missing := [name for name in names if name not in header]:
                raise DataError(f"{file}: has no column {missing[0]}; have digits.jobs.train write the model again")
            table = np.array([[float(cell) for cell in row] for row in rows], float).reshape(-1, len(header))
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: cannot be read ({error}); have digits.jobs.train write the model again") from error
    return {name: table[:, header.index(name)] for name in names}
