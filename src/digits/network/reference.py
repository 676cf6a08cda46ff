"""What is normal: digits that a model was not trained on but might have been, as an endpoint's records would have them.

`reference/` in a model's folder travels with it to wherever it serves:

    reference.csv     a row for each digit held out of the training: COLUMNS, and HAND, 0 for the first hand it learnt
    neighbours.csv    the ink statistics of training digits, with which a digit's nearest is found
    MLTable           by which Azure ML reads reference.csv, for its own monitors

drift.records.reference reads it back.
"""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from digits.data import ink
from digits.data.sets import Digits
from digits.network.lite import Lite

FOLDER, TABLE, NEIGHBOURS = "reference", "reference.csv", "neighbours.csv"
ANSWERED = ("confidence", "distance", "prediction")  # what a model makes of a digit
COLUMNS = (*ink.STATISTICS, *ANSWERED)
HAND = "hand"
LARGEST = 10_000  # held-out digits that are kept: rarer things than one in so many are not promised about
NEAREST = 5_000  # training digits among which a digit's nearest is looked for: 15 microseconds

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
        columns = describe(model, _some(digits, LARGEST))
        tables.append(np.column_stack([*(columns[name] for name in COLUMNS), np.full(len(columns["ink"]), hand)]))
    _write_table(folder / TABLE, (*COLUMNS, HAND), np.concatenate(tables))
    images = _some(training, NEAREST).images
    _write_table(folder / NEIGHBOURS, tuple(ink.STATISTICS), ink.statistics(images))
    (folder / "MLTable").write_text(_MLTABLE, encoding="utf-8")


def _some(digits: Digits, most: int) -> Digits:
    """At most so many of them, evenly out of all, for digits may come sorted."""
    chosen = np.linspace(0, len(digits) - 1, min(most, len(digits))).astype(int)
    return replace(digits, images=digits.images[chosen], labels=digits.labels[chosen])


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
