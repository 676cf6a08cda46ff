"""The third job: exact counts, pictures, and predictions that only their own model and test set may use."""

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from PIL import Image

from digits.data import splits
from digits.errors import ModelError
from digits.jobs import evaluate, pictures


def test_counts_are_exact(prepared: Path, evaluated: Path) -> None:
    told = json.loads((evaluated / "metrics.json").read_text())
    with np.load(evaluated / "predictions.npz") as arrays:
        probabilities, labels = arrays["probabilities"], arrays["labels"]
    assert probabilities.shape == (400, 10) and probabilities.dtype == np.float32
    correct = int((probabilities.argmax(axis=1) == labels).sum())
    assert (told["correct"], told["wrong"], told["total"]) == (correct, 400 - correct, 400)
    assert told["accuracy"] == correct / 400
    assert np.array(told["confusion"]).sum(axis=1).tolist() == [40] * 10
    assert told["per_class"]["7"] == told["confusion"][7][7] / 40


def test_metrics_and_pictures_are_in_mlflow(evaluated: Path, steps, artifacts) -> None:
    run = mlflow.get_run(steps["evaluate"])
    told = json.loads((evaluated / "metrics.json").read_text())
    assert run.data.metrics["accuracy"] == told["accuracy"] and run.data.metrics["correct"] == told["correct"]
    assert run.data.metrics["accuracy_7"] == told["per_class"]["7"]
    assert artifacts(run, "evaluation") == {"confusion.png", "mistakes.png", "metrics.json", "predictions.npz"}


@pytest.mark.parametrize("name", ["confusion.png", "mistakes.png"])
def test_pictures_show_something(evaluated: Path, name: str) -> None:
    with Image.open(evaluated / name) as image:
        grey = np.asarray(image.convert("L"))
    assert min(grey.shape) > 200 and grey.std() > 20


def test_mistakes_are_the_most_confident_first() -> None:
    probabilities = np.full((4, 10), 0.02)
    for row, (answer, sure) in enumerate([(1, 0.6), (2, 0.9), (3, 0.7), (4, 0.8)]):
        probabilities[row, answer] = sure
    figure = pictures.mistakes(np.zeros((4, 28, 28), np.uint8), np.array([1, 0, 0, 0]), probabilities)
    told = [text.get_text() for text in figure.axes[0].texts]
    assert told == ["0 read as 2\n90% sure", "0 read as 4\n80% sure", "0 read as 3\n70% sure"]


def test_a_model_without_mistakes_and_a_class_without_digits_are_drawn_too() -> None:
    labels = np.array([0, 1, 1], np.uint8)
    perfect = np.eye(10)[labels]
    measured = evaluate.metrics(labels, perfect)
    assert measured["accuracy"] == 1 and measured["per_class"] == {"0": 1.0, "1": 1.0}
    pictures.confusion(np.array(measured["confusion"]))
    assert "no mistakes" in pictures.mistakes(np.zeros((3, 28, 28), np.uint8), labels, perfect).axes[0].get_title()


def test_predictions_serve_only_their_own_model_and_test_set(prepared, trained, evaluated, tmp_path) -> None:
    test = splits.read(prepared, "test")
    assert evaluate.read(evaluated, trained, test).shape == (400, 10)
    with pytest.raises(ModelError, match="another test set"):
        evaluate.read(evaluated, trained, replace(test, images=test.images[::-1]))  # other images, the same labels
    (tmp_path / "model.tflite").write_bytes(b"another")
    with pytest.raises(ModelError, match="another model"):
        evaluate.read(evaluated, tmp_path, test)
    with pytest.raises(ModelError, match="no such file"):
        evaluate.read(tmp_path, trained, test)


def test_a_folder_that_is_no_model_is_told_in_one_line(prepared: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert evaluate.main(["--data", str(prepared), "--model", str(tmp_path), "--out", str(out)]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "model.tflite" in error[0]
    assert not out.exists()
