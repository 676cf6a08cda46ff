"""Third job: what the model gets right and wrong on the test set.

python -m digits.jobs.evaluate --data data --model model --out evaluation
python -m digits.jobs.evaluate --data data --new new --model model --out evaluation     # and on the new hand's test set
"""

import argparse
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from digits import command, output
from digits.data import splits
from digits.data.sets import Digits
from digits.network import lite

CONFUSION = "confusion.png"
NEW = "_new"  # what is of the new hand's test set has this in its name


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.jobs.evaluate", description="Test a model on digits it has not seen.")
    parser.add_argument("--data", type=Path, required=True, help="folder that digits.jobs.prepare wrote")
    parser.add_argument("--new", type=Path, help="folder that drift.gather wrote: a new hand to test on as well")
    parser.add_argument("--model", type=Path, required=True, help="folder that digits.jobs.train wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    return command.run(parser, lambda args: evaluate(args.data, args.model, args.out, args.new), argv)


def evaluate(data: Path, model: Path, out: Path, new: Path | None = None) -> None:
    """Write metrics.json, predictions.npz, confusion.png and mistakes.png to `out`, and log them to MLflow.

    With a folder `new`, also metrics_new.json and so on, of its test set. Raises DataError or ModelError if a folder
    is not what the earlier jobs write.
    """
    tests = {"": splits.read(data, "test")}
    if new is not None:
        tests[NEW] = splits.read(new, "test")
    scored = lite.Lite(model / lite.FILE)
    by = lite.fingerprint(model / lite.FILE)

    from digits.jobs import pictures, tracking

    with tracking.run("evaluate"), output.folder(out) as folder:
        import mlflow

        for of, test in tests.items():
            probabilities = scored.probabilities(test.images)
            measured = metrics(test.labels, probabilities)
            told = {**measured, "source": test.source}
            (folder / f"metrics{of}.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
            on = splits.fingerprint(test)
            np.savez_compressed(
                _predictions(folder, of), probabilities=probabilities, labels=test.labels, model=by, digits=on
            )
            pictures.save(
                pictures.confusion(np.array(measured["confusion"])), folder / CONFUSION.replace(".", f"{of}.")
            )
            pictures.save(pictures.mistakes(test.images, test.labels, probabilities), folder / f"mistakes{of}.png")
            mlflow.log_metrics({f"{name}{of}": measured[name] for name in ("accuracy", "correct", "wrong")})
            mlflow.log_metrics({f"accuracy{of}_{label}": share for label, share in measured["per_class"].items()})
            mlflow.set_tag(f"source.test{of}", test.source)
            right = f"{measured['correct']:,} of {measured['total']:,} right: {measured['accuracy']:.2%}"
            print(f"{right}, on {test.source}")
        mlflow.log_artifacts(str(folder), "evaluation")


def metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Counts and shares of labels (n,) and probabilities (n, 10), as JSON takes them.

    per_class: of the digits of a class, the share that was recognised; a class without digits is left out.
    confusion: counts, true digits by row, predicted by column.
    """
    matrix = confusion(labels, probabilities.argmax(axis=1))
    correct, total = int(np.trace(matrix)), len(labels)
    return {
        "accuracy": correct / total,
        "correct": correct,
        "wrong": total - correct,
        "total": total,
        "per_class": {str(k): float(row[k] / row.sum()) for k, row in enumerate(matrix) if row.sum()},
        "confusion": matrix.tolist(),
    }


def confusion(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Counts (10, 10) of labels and answers (n,), true digits by row, predicted by column."""
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (labels, answers), 1)
    return matrix


def read(folder: Path, model: Path, test: Digits, of: str = "") -> np.ndarray:
    """The probabilities (n, 10) that `evaluate` wrote of the folder `model` for the digits `test`.

    of: NEW for those of the new hand. Raises ModelError if there are none, or if they are of another model or another
    test set.
    """
    file = _predictions(folder, of)
    if not file.is_file():
        raise lite.ModelError(f"{file}: no such file; --evaluation must be a folder that digits.jobs.evaluate wrote")
    try:
        with np.load(file) as arrays:
            probabilities, on, by = arrays["probabilities"], str(arrays["digits"]), str(arrays["model"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise lite.ModelError(f"{file}: cannot be read ({error}); run digits.jobs.evaluate again") from error
    if by != lite.fingerprint(model / lite.FILE):
        raise lite.ModelError(f"{file}: made by another model than {model}; run digits.jobs.evaluate on it")
    if on != splits.fingerprint(test):
        raise lite.ModelError(
            f"{file}: made on another test set than {'--new' if of else '--data'} holds; run digits.jobs.evaluate on it"
        )
    return probabilities


def _predictions(folder: Path, of: str) -> Path:
    return folder / f"predictions{of}.npz"


if __name__ == "__main__":
    sys.exit(main())
