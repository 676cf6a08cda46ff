"""Nulls, values of the wrong type, values out of bounds: the data quality metrics of Azure's monitors.

Follows data_quality_statistics/compute_data_quality_statistics.py and
data_quality_compute_metrics/compute_data_quality_metrics.py, with their order: nulls are counted first, then replaced
(numbers by the median, texts by the commonest), then types are checked, then bounds. What else is theirs: whether a
column is numbers or categories is asked of each side by itself, and only numbers and texts have bounds. Not followed: a
set of texts that holds a comma falls apart there, and not here.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from amlocal.monitors import features
from amlocal.monitors.tables import Column, Table

DECIMALS = 5  # to which the rates are rounded
WHOLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
TRUTHS = ("t", "true", "y", "yes", "1", "f", "false", "n", "no", "0")


@dataclass(frozen=True)
class Bounds:
    """What the reference says of a column: its type, and the range or the set of its values where it has one."""

    kind: str
    low: float | None = None
    high: float | None = None
    texts: frozenset[str] | None = None


def bounds(table: Table, names: list[str], overrides: dict[str, str]) -> dict[str, Bounds]:
    """What the reference `table` says of the columns called `names`."""
    found = {}
    for name in names:
        column = table.columns[name]
        there = column.values[column.present]
        numerical = features.kind(name, column, overrides) == "numerical"
        if numerical and column.kind in features.NUMBERS and len(there):
            found[name] = Bounds(column.kind, float(min(there)), float(max(there)))
        elif not numerical and column.kind == "string":
            found[name] = Bounds(column.kind, texts=frozenset(there))
        else:
            found[name] = Bounds(column.kind)
    return found


def rates(
    table: Table, names: list[str], known: dict[str, Bounds], overrides: dict[str, str]
) -> dict[str, dict[str, float]]:
    """By column, then metric: null_value_rate, data_type_error_rate and, of what has bounds, out_of_bounds_rate."""
    return {name: _rates(name, table.columns[name], known[name], overrides) for name in names}


def _rates(name: str, column: Column, known: Bounds, overrides: dict[str, str]) -> dict[str, float]:
    rows = len(column.values)
    numerical = features.kind(name, column, overrides) == "numerical"
    counted = {"null_value_rate": int((~column.present).sum())}
    values = _without_nulls(column, numerical)
    wrong = np.array([value is None or not castable(value, column.kind, known.kind) for value in values], bool)
    counted["data_type_error_rate"] = int(wrong.sum())
    values = values[~wrong]
    if known.low is not None and known.high is not None:
        if numerical and column.kind in features.NUMBERS:
            numbers = values.astype(np.float64)
            counted["out_of_bounds_rate"] = int(((numbers < known.low) | (numbers > known.high)).sum())
    elif known.texts is not None and column.kind == "string":
        counted["out_of_bounds_rate"] = sum(value not in known.texts for value in values)
    return {metric: round(count / rows, DECIMALS) for metric, count in counted.items()}


def _without_nulls(column: Column, numerical: bool) -> np.ndarray:
    """The values, nulls replaced where Azure replaces them; elsewhere they go on as wrong types, as there."""
    there = column.values[column.present]
    if len(there) == len(column.values) or not len(there):
        return column.values
    filled = column.values.copy()
    if numerical and column.kind in features.NUMBERS:
        filled[~column.present] = sorted(there)[(len(there) - 1) // 2]  # as Spark's approxQuantile: one of the values
    elif column.kind == "string":
        commonest, times = Counter(there).most_common(1)[0]
        if times > len(column.values) - len(there):  # else the commonest is the null itself
            filled[~column.present] = commonest
    return filled


def castable(value: Any, kind: str, wanted: str) -> bool:
    """Whether Spark's CAST makes a value of another type of this one, rather than a null."""
    if kind == wanted or wanted == "string" or kind != "string":
        return True  # numbers and truth values turn into one another
    text = value.strip()
    if wanted == "boolean":
        return text.lower() in TRUTHS
    if wanted == "long":  # one with a fraction is cut off, one with an exponent is none
        return WHOLE.fullmatch(text) is not None
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
