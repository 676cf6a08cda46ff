"""Kolmogorov-Smirnov's distance between the last ticks of a stream and a reference, for many streams. NumPy only.

The p-value of ks_2samp falls as the distance grows and depends on nothing else but the two sample sizes, which a
detector does not change: a threshold on one is a threshold on the other.
"""

import numpy as np

_AT_ONCE = 20_000_000  # numbers sorted in one go


class Windows:
    """Some columns of a pool against the same columns of a reference."""

    def __init__(self, reference: list[np.ndarray], pool: list[np.ndarray]) -> None:
        """reference: (n,) each; pool: (N,) each."""
        self._columns = [_shares(np.sort(each), values) for each, values in zip(reference, pool, strict=True)]

    def sliding(self, streams: np.ndarray, window: int) -> np.ndarray:
        """The largest distance over the columns at every tick (streams, ticks); 0 until the window is full."""
        found = np.zeros(streams.shape)
        if streams.shape[1] < window:
            return found
        rows = max(1, _AT_ONCE // (streams.shape[1] * window))
        for begin in range(0, len(streams), rows):
            part = streams[begin : begin + rows]
            views = np.lib.stride_tricks.sliding_window_view(part, window, axis=1)
            found[begin : begin + rows, window - 1 :] = self._largest(views)
        return found

    def chunks(self, streams: np.ndarray, size: int) -> np.ndarray:
        """The same at the end of every whole chunk; 0 at the other ticks."""
        whole = streams.shape[1] // size
        found = np.zeros(streams.shape)
        cut = streams[:, : whole * size].reshape(len(streams), whole, size)
        found[:, size - 1 : whole * size : size] = self._largest(cut)
        return found

    def _largest(self, samples: np.ndarray) -> np.ndarray:
        return np.max([_distance(codes[samples], below, up_to) for codes, below, up_to in self._columns], axis=0)


def _shares(ordered: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(each value's place among the different ones; of each of those the share of `ordered` below, and up to it)"""
    different, codes = np.unique(values, return_inverse=True)
    below = np.searchsorted(ordered, different, side="left") / len(ordered)
    up_to = np.searchsorted(ordered, different, side="right") / len(ordered)
    return codes.astype(np.int32), below.astype(np.float32), up_to.astype(np.float32)


def _distance(codes: np.ndarray, below: np.ndarray, up_to: np.ndarray) -> np.ndarray:
    """The distance of samples (..., size) from the reference."""
    codes = np.sort(codes, axis=-1)
    size = codes.shape[-1]
    after = (np.arange(1, size + 1) / size).astype(np.float32)
    over = (after - up_to[codes]).max(axis=-1)  # the sample's distribution lies above
    under = (below[codes] - (after - np.float32(1 / size))).max(axis=-1)
    return np.maximum(over, under)
