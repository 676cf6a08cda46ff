"""Which columns of two tables are compared, and whether as numbers or as categories.

Follows shared_utilities/df_utils.py and model_monitor_feature_selector. Where a column is whole numbers on one side and
has decimals on the other, Azure leaves it out of drift without a word; here it is compared, and that is said.
"""

from dataclasses import dataclass

import numpy as np

from amlocal.core.errors import UserError
from amlocal.monitors.tables import Column, Table

NUMBERS = ("long", "double")
LARGEST = 1e150  # the squares of larger numbers, which a deviation needs, are beyond 64 bits
FEW = 0.05  # whole numbers with fewer different values per row than this are categories (df_utils.py: is_categorical)


@dataclass(frozen=True)
class Feature:
    """A column on both sides. kind: numerical or categorical, by the reference or as overridden."""

    name: str
    kind: str
    production: Column
    reference: Column


def names(production: Table, reference: Table, wanted: tuple[str, ...] | None, notices: list[str]) -> list[str]:
    """The columns that both sides have, or those of `wanted` that they have. Raises UserError when there are none."""
    common = [name for name in production.columns if name in reference.columns]
    if wanted is None:
        chosen = common
    else:
        chosen = [name for name in common if name in wanted]
        for name in wanted:
            if name not in common:
                sides = [
                    side
                    for side, table in (("production", production), ("reference", reference))
                    if name not in table.columns
                ]
                notices.append(f"{name}: not computed: the {' and the '.join(sides)} data have no such column")
    if not chosen:
        raise UserError(
            f"no feature is on both sides; production has {_told(production)}, the reference {_told(reference)}"
        )
    return chosen


def _told(table: Table) -> str:
    shown = list(table.columns)[:12]
    return ", ".join(shown) + ("" if len(shown) == len(table.columns) else ", ...")


def kind(name: str, column: Column, overrides: dict[str, str]) -> str:
    """numerical or categorical, as df_utils.py: is_categorical decides."""
    if name in overrides:
        return overrides[name]
    if column.kind == "long":
        few = len(set(column.values)) / len(column.values) < FEW if len(column.values) else False
        return "categorical" if few else "numerical"
    return "numerical" if column.kind == "double" else "categorical"


def for_drift(
    production: Table, reference: Table, chosen: list[str], overrides: dict[str, str], notices: list[str]
) -> list[Feature]:
    """The features of a drift signal, each of whole rows only: a row with a null in any of them is left out, as
    data_drift_compute_metrics/compute_data_drift.py does with `dropna`.
    """
    sides = [
        _whole_rows(table, chosen, side, notices)
        for table, side in ((production, "production"), (reference, "reference"))
    ]
    features = []
    for name in chosen:
        now, before = production.columns[name], reference.columns[name]
        as_kind = kind(name, before, overrides)
        if now.kind != before.kind:
            if {now.kind, before.kind} != set(NUMBERS):
                notices.append(
                    f"{name}: not computed: {now.kind} in production, {before.kind} in the reference (nor does Azure)"
                )
                continue
            notices.append(
                f"{name}: {now.kind} in production, {before.kind} in the reference: Azure would leave it out; write "
                "both with a decimal point, or both without"
            )
        elif as_kind == "numerical" and now.kind not in NUMBERS:
            notices.append(f"{name}: not computed: feature_type_override says numerical, its values are {now.kind}")
            continue
        if as_kind == "numerical" and any(abs(numbers(side)).max() > LARGEST for side in _at(sides, now, before)):
            notices.append(f"{name}: not computed: there are infinite numbers in it, or some beyond {LARGEST:g}")
            continue
        features.append(Feature(name, as_kind, *_at(sides, now, before)))
    return features


def _at(sides: list[np.ndarray], now: Column, before: Column) -> tuple[Column, Column]:
    """Both columns, of the rows that are whole."""
    return Column(now.values[sides[0]], now.kind), Column(before.values[sides[1]], before.kind)


def _whole_rows(table: Table, chosen: list[str], side: str, notices: list[str]) -> np.ndarray:
    present = np.logical_and.reduce([table.columns[name].present for name in chosen])
    if not present.any():
        empty = [name for name in chosen if not table.columns[name].present.any()]
        raise UserError(
            f"no row of the {side} data has a value in every feature"
            + (f"; {', '.join(empty)} never has one" if empty else "")
        )
    if lost := int((~present).sum()):
        notices.append(f"{lost} of {table.rows} rows of the {side} data have a null and are left out, as Azure does")
    return present


def categories(feature: Feature) -> tuple[list[str], list[str]]:
    """Both sides' values as names; numbers that are whole on one side are written alike on both."""
    mixed = feature.production.kind != feature.reference.kind

    def named(value: object) -> str:
        return str(int(value)) if mixed and isinstance(value, float) and value.is_integer() else str(value)

    return [named(value) for value in feature.production.values], [named(value) for value in feature.reference.values]


def numbers(column: Column) -> np.ndarray:
    """float64 (n,) of a numerical column without nulls."""
    return column.values.astype(np.float64)
