"""What a person looks at: samples, the confusion matrix, the worst mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.shape import SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from digits.data.sets import Digits

COLUMNS = 10
WORST = 30  # mistakes shown
CAPTION = 16  # pixels above a mistake, for its two lines of text


def samples(digits: Digits) -> Figure:
    """The first ten digits of each class, a class a row."""
    sheet = np.zeros((10, SIZE, COLUMNS, SIZE), np.uint8)
    for label in range(10):
        for column, image in enumerate(digits.images[digits.labels == label][:COLUMNS]):
            sheet[label, :, column] = image
    figure, axis = _axes(6, 6.4)
    axis.imshow(sheet.reshape(10 * SIZE, COLUMNS * SIZE), cmap="gray", vmin=0, vmax=255)
    axis.set_title(digits.source, fontsize=9)
    axis.axis("off")
    return figure


def confusion(matrix: np.ndarray) -> Figure:
    """Counts (10, 10): true digits down, predicted across; coloured by what is wrong, so that mistakes stand out."""
    figure, axis = _axes(6.4, 5.8)
    _counts(axis, matrix)
    return figure


def before_and_after(before: np.ndarray, after: np.ndarray) -> Figure:
    """Two such matrices side by side, the champion's and the candidate's answers to the same digits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    for axis, matrix, who in zip(figure.subplots(1, 2), (before, after), ("champion", "candidate"), strict=True):
        _counts(axis, matrix, f"{who}: ")
    return figure


def _counts(axis: Axes, matrix: np.ndarray, title: str = "") -> None:
    wrong = np.where(np.eye(10, dtype=bool), 0, matrix)
    axis.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(1, wrong.max()) * 1.3)
    for true, predicted in np.ndindex(10, 10):
        if count := int(matrix[true, predicted]):
            axis.text(predicted, true, f"{count:,}", ha="center", va="center", fontsize=8)
    axis.set(xticks=range(10), yticks=range(10), xlabel="predicted", ylabel="true")
    axis.set_title(f"{title}{np.trace(matrix):,} of {matrix.sum():,} right")


def mistakes(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> Figure:
    """The wrong answers given with most confidence: images uint8 (n, 28, 28), labels (n,), probabilities (n, 10)."""
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST]
    rows = max(1, -(-len(worst) // COLUMNS))
    height = SIZE + CAPTION
    # One sheet and not thirty axes, which take seconds to lay out.
    sheet = np.full((rows, height, COLUMNS, SIZE), 255, np.uint8)
    figure, axis = _axes(COLUMNS * 0.9, rows * 1.4 + 0.5)
    for place, index in enumerate(worst):
        row, column = divmod(place, COLUMNS)
        sheet[row, CAPTION:, column] = images[index]
        told = f"{labels[index]} read as {predicted[index]}\n{confidence[index]:.0%} sure"
        axis.text((column + 0.5) * SIZE, row * height + CAPTION / 2, told, ha="center", va="center", fontsize=7)
    axis.imshow(sheet.reshape(rows * height, COLUMNS * SIZE), cmap="gray", vmin=0, vmax=255)
    axis.set_title(f"the worst {len(worst)} of {len(wrong):,} mistakes" if len(wrong) else "no mistakes")
    axis.axis("off")
    return figure


def save(figure: Figure, file: Path) -> None:
    """Write `figure` as PNG."""
    figure.savefig(file, dpi=110)


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    # Not pyplot: no display, no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
