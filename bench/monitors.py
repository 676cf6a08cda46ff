"""How often the drift metrics of Azure's monitors raise a false alarm on clean digits, and how far other hands are.

    python bench/monitors.py                          # the embedded digits, a minute
    python bench/monitors.py --data DIR --json        # all of MNIST

A window is n clean digits that the reference does not hold; it raises an alarm when one of the eight statistics of
digits.data.ink is beyond the threshold. Of the foreign digits the table says how many of the eight are, in windows of
500.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from amlocal.monitors import drift
from digits.data import ink, sets

METRICS = ("jensen_shannon_distance", "normalized_wasserstein_distance")
THRESHOLDS = (0.1, 0.2)  # Azure's default, and aml/monitoring/drift.yml's
ROWS = (20, 100, 200, 500, 1000, 2000)
FOREIGN_ROWS = 500


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("DIGITS_DATA"), help="folder of the full sets")
    parser.add_argument("--windows", type=int, default=100, help="clean windows of each size")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    rows, source = measure(options.data, options.windows)
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    names = [(metric, threshold) for metric in METRICS for threshold in THRESHOLDS]
    print(f"{'':28}" + "".join(f"{metric.split('_distance')[0]:>24} {threshold:g}" for metric, threshold in names))
    for row in rows:
        print(f"{row['name']:28}" + "".join(f"{row[f'{metric} > {t:g}']:>28}" for metric, t in names))
    print(f"\nClean digits: {source}. Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores.")
    return 0


def measure(place: Path | None, windows: int) -> tuple[list[dict[str, Any]], str]:
    """The rows of the table, and where the clean digits are from."""
    random = np.random.default_rng(0)
    clean = sets.load("mnist", place, "train") if place else sets.embedded("mnist")
    statistics = random.permutation(ink.statistics(clean.images).astype(float))
    held = min(10_000, len(statistics) // 2)
    reference, rest = statistics[:held], statistics[held:]
    rows = []
    for count in ROWS:
        found = [distances(reference, rest[random.choice(len(rest), count, replace=False)]) for _ in range(windows)]
        row: dict[str, Any] = {"name": f"clean, {count} rows: alarms"}
        for metric in METRICS:
            most = np.array([each[metric].max() for each in found])
            row |= {f"{metric} > {limit:g}": f"{(most > limit).mean():.0%}" for limit in THRESHOLDS}
        rows.append(row)
    for name in ("devanagari", "japanese"):
        foreign = ink.statistics((sets.load(name, place) if place else sets.embedded(name)).images).astype(float)
        each = distances(reference, foreign[random.choice(len(foreign), FOREIGN_ROWS, replace=False)])
        row = {"name": f"{name}: beyond, of 8"}
        for metric in METRICS:
            row |= {f"{metric} > {limit:g}": str(int((each[metric] > limit).sum())) for limit in THRESHOLDS}
        rows.append(row)
    return rows, clean.source


def distances(reference: np.ndarray, window: np.ndarray) -> dict[str, np.ndarray]:
    """By metric (8,): how far each statistic of the window is from the reference's."""
    columns = range(reference.shape[1])
    return {
        metric: np.array([drift.NUMERICAL[metric](reference[:, at], window[:, at]) for at in columns])
        for metric in METRICS
    }


if __name__ == "__main__":
    raise SystemExit(main())
