"""What is normal: digits that a model was not trained on but might have been, as an endpoint's records would have them.

`reference/` in a model's folder travels with it to wherever it serves:

    reference.csv     a row for each digit held out of the training: COLUMNS, and HAND, 0 for the first hand it learnt
    neighbours.csv    the ink statistics of training digits, with which a digit's nearest is found
    MLTable           by which Azure ML reads reference.csv, for its own monitors
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from digits import ink
from digits.data import Digits
from digits.images import DataError
from digits.lite import FILE, MODEL, Lite, fingerprint

FOLDER, TABLE, NEIGHBOURS = "reference", "reference.csv", "neighbours.csv"
ANSWERED = ("confidence", "distance", "prediction")  # what a model makes of a digit
COLUMNS = (*ink.STATISTICS, *ANSWERED)
HAND = "hand"
LARGEST = 10_000  # held-out digits that are kept: rarer things than one in so many are not promised about
NEAREST = 5_000  # training digits among which a digit's nearest is looked for: 15 microseconds
FEWEST = 20  # with fewer there is no saying what is rare

_MLTABLE = """\
# The reference of Azure ML's monitors: `az ml data create` with type mltable and this folder as path.
paths:
  - file: ./reference.csv
transformations:
  - read_delimited:
      delimiter: ","
      encoding: utf8
      header: all_files_same_headers
"""


@dataclass(frozen=True)
class Reference:
    """Columns float64 (n,) by name, of n held-out digits, and the neighbours' ink statistics (m, 8).

    hands: (n,) which of the hands that the model learnt wrote each; None: there is but one. Normal is what any of them
    writes, however often. model: the fingerprint of the model that it is of, "" where that is not known.
    """

    columns: Mapping[str, np.ndarray]
    neighbours: np.ndarray
    hands: np.ndarray | None = None
    model: str = ""

    def __len__(self) -> int:
        return len(self.columns["confidence"])

    def by_hand(self) -> "list[Reference]":
        """A reference for each hand alone."""
        if self.hands is None:
            return [self]
        parts = (self.hands == hand for hand in np.unique(self.hands))
        return [replace(self, columns={n: v[part] for n, v in self.columns.items()}, hands=None) for part in parts]

    def comparable(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The columns of requests with NaN for what another model than this made of them; ink is ink to every model."""
        other = self.foreign(columns)
        if not other.any():
            return columns
        return {n: np.where(other, np.nan, values) if n in ANSWERED else values for n, values in columns.items()}

    def foreign(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Which requests are known to have been answered by another model: bool (n,)."""
        answered_by = columns.get(MODEL)
        if answered_by is None or not self.model:
            return np.zeros(len(next(iter(columns.values()))), bool)
        return (answered_by != self.model) & (answered_by != "")

    def unlikeness(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """How far, (n,), the ink of digits is from that of the nearest training digit; NaN where a column is missing.

        Squared, every statistic measured in its deviation over the neighbours.
        """
        if not all(name in columns for name in ink.STATISTICS):
            return np.full(len(next(iter(columns.values()))), np.nan)
        scale, known = self._scaled
        rows = (np.column_stack([columns[name] for name in ink.STATISTICS]) / scale).astype(np.float32)
        # Digit by digit, so that the answer does not depend on which others are asked about with it.
        return np.array([((known - row[:, None]) ** 2).sum(axis=0).min() for row in rows], float)

    @cached_property
    def _scaled(self) -> tuple[np.ndarray, np.ndarray]:
        """The deviation of each statistic over the neighbours, and these measured in it, a statistic a row."""
        scale = self.neighbours.std(axis=0) + 1e-3  # the peak of clean digits hardly varies
        return scale, np.ascontiguousarray((self.neighbours / scale).T, np.float32)


def describe(model: Lite, digits: Digits) -> dict[str, np.ndarray]:
    """COLUMNS of digits, as the scoring script collects them."""
    probabilities, distances = model.answers(digits.images)
    statistics = ink.statistics(digits.images)
    columns = dict(zip(ink.STATISTICS, statistics.T.astype(float), strict=True))
    told = (probabilities.max(axis=1), distances, probabilities.argmax(axis=1))
    return columns | {name: values.astype(float) for name, values in zip(ANSWERED, told, strict=True)}


def write(folder: Path, model: Lite, training: Digits, *held: Digits) -> None:
    """Write the folder for a model: what it makes of digits held out, hand by hand, and the ink of those it learnt."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for hand, digits in enumerate(held):
        columns = describe(model, Digits(*_some(digits, LARGEST), digits.source))
        tables.append(np.column_stack([*(columns[name] for name in COLUMNS), np.full(len(columns["ink"]), hand)]))
    _write_table(folder / TABLE, (*COLUMNS, HAND), np.concatenate(tables))
    images, _ = _some(training, NEAREST)
    _write_table(folder / NEIGHBOURS, tuple(ink.STATISTICS), ink.statistics(images))
    (folder / "MLTable").write_text(_MLTABLE, encoding="utf-8")


def read(model: Path) -> Reference:
    """The reference of a model's folder, or of a folder above it. Raises DataError."""
    found = sorted(model.rglob(f"{FOLDER}/{TABLE}")) if model.is_dir() else []
    if len(found) != 1:
        said = f"{len(found)} references" if found else "no reference"
        raise DataError(f"{model}: holds {said} ({FOLDER}/{TABLE}); --model must be one model that digits.train saved")
    columns = _read_table(found[0], (*COLUMNS, HAND))
    hands = columns.pop(HAND)
    if not np.isin(columns["prediction"], range(10)).all():
        raise DataError(f"{found[0]}: has a prediction that is no digit; have digits.train write the model again")
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


def _some(digits: Digits, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most so many images and labels, evenly out of all, for digits may come sorted."""
    chosen = np.linspace(0, len(digits) - 1, min(most, len(digits))).astype(int)
    return digits.images[chosen], digits.labels[chosen]


def _write_table(file: Path, names: tuple[str, ...], table: np.ndarray) -> None:
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(names)
        # Whole numbers only where they mean classes: Azure's monitors go by how a column is written.
        whole = [name in ("prediction", HAND) for name in names]
        writer.writerows(
            [int(value) if is_whole else float(f"{value:.9g}") for value, is_whole in zip(row, whole, strict=True)]
            for row in table
        )


def _read_table(file: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            if missing := [name for name in names if name not in header]:
                raise DataError(f"{file}: has no column {missing[0]}; have digits.train write the model again")
            table = np.array([[float(cell) for cell in row] for row in rows], float).reshape(-1, len(header))
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: cannot be read ({error}); have digits.train write the model again") from error
    return {name: table[:, header.index(name)] for name in names}
