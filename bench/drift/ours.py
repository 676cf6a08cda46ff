"""The project's own detector as the bench asks it: the one file here that knows digits.drift.

Its parts are asked one by one: what it makes of a digit (`evidence`, which depends on no other digit), and what it adds
up (`watch`). So a million clean ticks cost no million fits, and the code that adds up is the code that is deployed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from drift.exchange import Columns
from drift.runs import Method, Option

try:
    from digits import drift as detector  # type: ignore[attr-defined,unused-ignore]
except ImportError:
    detector = None

NAME = "**digits.drift**"
GAMMA = 10_000  # ticks per false alarm that are asked for
ALPHA = 0.05  # P(ever a false alarm) that is asked for, certified


def there() -> bool:
    """Whether there is a detector to ask."""
    return detector is not None


def fit(reference: Columns) -> Any:
    """A detector that knows its reference: columns (n,) each."""
    return detector.fit(reference)


def evidence(fitted: Any, columns: Columns) -> np.ndarray:
    """An e-value (n,) for each of n digits: its mean is at most 1 if they are as those of the reference."""
    return np.asarray(fitted.evidence(columns), float)


def watch(fitted: Any, gamma: float | None = None, alpha: float | None = None) -> Callable[[float], bool]:
    """What takes an e-value a tick and says whether that is an alarm; after one it begins anew.

    gamma: ticks per false alarm at least; or alpha: the chance that there is ever one, at most.
    """
    update: Callable[[float], bool] = fitted.watch(gamma=gamma, alpha=alpha).update
    return update


def methods(reference: Columns, pool: Columns) -> list[Method]:
    """As it is deployed, with the threshold that the promise gives; and with one that is tuned as the peers' are."""
    e = evidence(fit(reference), pool)

    def paths(streams: np.ndarray) -> np.ndarray:
        # Shiryaev and Roberts: the sum over all ticks at which the change may have been of the evidence since.
        path = e[streams]
        for tick in range(1, path.shape[1]):
            path[:, tick] *= 1 + path[:, tick - 1]
        return path

    promised = Option(f"gamma={GAMMA:,}", paths, threshold=GAMMA)
    return [
        Method(f"{NAME}, as promised", [promised], tuned=False),
        Method(f"{NAME}, tuned", [Option("threshold found", paths)]),
    ]
