"""What is normal, as arrays: what digits that a model was not trained on look like in an endpoint's records."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

# The columns that are a model's answer to a digit; every other column of a reference is a statistic of the digit.
ANSWERED = ("confidence", "distance", "prediction")
MODEL = "model"  # the column that names the model that answered, by its fingerprint


@dataclass(frozen=True)
class Reference:
    """Columns float64 (n,) by name, of n held-out digits, and the neighbours' statistics (m, len(statistics)).

    hands: (n,) which of the hands that the model learnt wrote each; None: there is but one. Normal is what any of them
    writes, however often. model: the fingerprint of the model that it is of, "" where that is not known.
    """

    columns: Mapping[str, np.ndarray]
    neighbours: np.ndarray
    hands: np.ndarray | None = None
    model: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError if the neighbours do not have the statistics that the columns have."""
        if self.neighbours.shape[1] != len(self.statistics):
            raise ValueError(
                f"the neighbours have {self.neighbours.shape[1]} columns, "
                f"not one for each of {', '.join(self.statistics)}"
            )

    def __len__(self) -> int:
        return len(self.columns["confidence"])

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names of the statistics, in the order of the neighbours' columns."""
        return tuple(name for name in self.columns if name not in ANSWERED)

    def by_hand(self) -> "list[Reference]":
        """A reference for each hand alone."""
        if self.hands is None:
            return [self]
        parts = (self.hands == hand for hand in np.unique(self.hands))
        return [replace(self, columns={n: v[part] for n, v in self.columns.items()}, hands=None) for part in parts]

    def comparable(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The columns of requests with NaN for what another model than this made of them.

        The statistics stay: they are the same to every model.
        """
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
        """How far, (n,), the statistics of digits are from the nearest neighbour's; NaN where a column is missing.

        Squared, every statistic measured in its deviation over the neighbours.
        """
        if not all(name in columns for name in self.statistics):
            return np.full(len(next(iter(columns.values()))), np.nan)
        scale, known = self._scaled
        rows = (np.column_stack([columns[name] for name in self.statistics]) / scale).astype(np.float32)
        # Digit by digit, so that the answer does not depend on which others are asked about with it.
        return np.array([((known - row[:, None]) ** 2).sum(axis=0).min() for row in rows], float)

    @cached_property
    def _scaled(self) -> tuple[np.ndarray, np.ndarray]:
        """The deviation of each statistic over the neighbours, and these measured in it, a statistic a row."""
        scale = self.neighbours.std(axis=0) + 1e-3  # the peak of clean digits hardly varies
        return scale, np.ascontiguousarray((self.neighbours / scale).T, np.float32)
