"""Third job: what the model gets right and wrong on the test set.

python -m digits.evaluate --data data --model model --out evaluation
"""

import argparse
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from digits import cli, lite, output, splits

PREDICTIONS = "predictions.npz"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.evaluate", description="Test a model on digits it has not seen.")
    parser.add_argument("--data", type=Path, required=True, help="folder that digits.prepare wrote")
    parser.add_argument("--model", type=Path, required=True, help="folder that digits.train wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    return cli.run(parser, lambda args: evaluate(args.data, args.model, args.out), argv)


def evaluate(data: Path, model: Path, out: Path) -> None:
    """Write metrics.json, predictions.npz, confusion.png and mistakes.png to `out`, and log them to MLflow.

    Raises DataError or ModelError if a folder is not what the earlier jobs write.
    """
    test = splits.read(data, "test")
    probabilities = lite.Lite(model / lite.FILE).probabilities(test.images)
    measured = metrics(test.labels, probabilities)

    from digits import pictures, tracking

    with tracking.run("evaluate"), output.folder(out) as folder:
        import mlflow

        told = {**measured, "source": test.source}
        (folder / "metrics.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        by = lite.fingerprint(model / lite.FILE)
        np.savez_compressed(folder / PREDICTIONS, probabilities=probabilities, labels=test.labels, model=by)
        matrix = np.array(measured["confusion"])
        pictures.save(pictures.confusion(matrix), folder / "confusion.png")
        pictures.save(pictures.mistakes(test.images, test.labels, probabilities), folder / "mistakes.png")
        mlflow.log_metrics({name: measured[name] for name in ("accuracy", "correct", "wrong")})
        mlflow.log_metrics({f"accuracy_{label}": share for label, share in measured["per_class"].items()})
        mlflow.set_tag("source.test", test.source)
        mlflow.log_artifacts(str(folder), "evaluation")
    print(f"{measured['correct']:,} of {measured['total']:,} right: {measured['accuracy']:.2%}, on {test.source}")


def metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Counts and shares of labels (n,) and probabilities (n, 10), as JSON takes them.

    per_class: of the digits of a class, the share that was recognised; a class without digits is left out.
    confusion: counts, true digits by row, predicted by column.
    """
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
    correct, total = int(np.trace(confusion)), len(labels)
    return {
        "accuracy": correct / total,
        "correct": correct,
        "wrong": total - correct,
        "total": total,
        "per_class": {str(k): float(row[k] / row.sum()) for k, row in enumerate(confusion) if row.sum()},
        "confusion": confusion.tolist(),
    }


def read(folder: Path, model: Path, labels: np.ndarray) -> np.ndarray:
    """The probabilities (n, 10) that `evaluate` wrote of the folder `model` for the test digits with `labels` (n,).

    Raises ModelError if there are none, or if they are of another model or another test set.
    """
    file = folder / PREDICTIONS
    if not file.is_file():
        raise lite.ModelError(f"{file}: no such file; --evaluation must be a folder that digits.evaluate wrote")
    try:
        with np.load(file) as arrays:
            probabilities, tested, by = arrays["probabilities"], arrays["labels"], str(arrays["model"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise lite.ModelError(f"{file}: cannot be read ({error}); run digits.evaluate again") from error
    if by != lite.fingerprint(model / lite.FILE):
        raise lite.ModelError(f"{file}: made by another model than {model}; run digits.evaluate on it")
    if not np.array_equal(tested, labels):
        raise lite.ModelError(f"{file}: made on another test set than --data holds; run digits.evaluate on it")
    return probabilities


if __name__ == "__main__":
    sys.exit(main())
