"""The model folder: what is in it, and that its two forms agree."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from digits.data import splits
from digits.errors import ModelError
from digits.network import package
from digits.network.lite import Lite


@pytest.fixture(scope="module")
def pixels(prepared: Path) -> np.ndarray:
    return splits.read(prepared, "test").images.reshape(-1, 784).astype(np.float32)


def test_the_folder_holds_all_that_others_need(trained: Path) -> None:
    files = {p.relative_to(trained).as_posix() for p in trained.rglob("*") if p.is_file()}
    assert {
        "MLmodel",
        "conda.yaml",
        "python_env.yaml",
        "requirements.txt",
        "input_example.json",
        "summary.txt",
        "model.tflite",
        "data/model.keras",
    } <= files
    described = yaml.safe_load((trained / "MLmodel").read_text())
    assert '"dtype": "float32", "shape": [-1, 784]' in described["signature"]["inputs"]
    assert described["metadata"]["network"] == "default"
    assert f"{int(described['metadata']['parameters']):,}" in (trained / "summary.txt").read_text(encoding="utf-8")


def test_requirements_are_exact_and_no_more_than_loading_takes(trained: Path) -> None:
    lines = (trained / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in lines)
    names = {line.split("==")[0] for line in lines}
    assert names == {"ai-edge-litert", "keras", "mlflow", "numpy", "tensorflow", "tensorflow-cpu"}
    conda = yaml.safe_load((trained / "conda.yaml").read_text())["dependencies"]
    assert conda[0].startswith("python=3.11") and conda[-1]["pip"] == lines


def test_both_forms_give_the_same_probabilities(trained: Path, pixels: np.ndarray) -> None:
    import mlflow

    keras_form = mlflow.pyfunc.load_model(str(trained)).predict(pixels)
    lite_form = Lite(trained / "model.tflite").probabilities(pixels)
    assert keras_form.shape == lite_form.shape == (len(pixels), 10)
    np.testing.assert_allclose(keras_form, lite_form, atol=1e-5)
    np.testing.assert_allclose(lite_form.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 399])
def test_lite_takes_any_number_of_images_of_either_shape(trained: Path, pixels: np.ndarray, count: int) -> None:
    lite = Lite(trained / "model.tflite")
    everything = lite.probabilities(pixels)
    some = lite.probabilities(pixels[:count].reshape(-1, 28, 28).astype(np.uint8))
    np.testing.assert_allclose(some, everything[:count], atol=1e-6)


def test_a_conversion_that_changes_answers_is_not_saved(trained: Path, tmp_path: Path, monkeypatch, pixels) -> None:
    import keras

    model = keras.saving.load_model(trained / "data" / "model.keras")
    other = keras.models.clone_model(model)  # its weights drawn anew
    other_form = package.convert(other)
    monkeypatch.setattr(package, "convert", lambda model, known: other_form)
    with pytest.raises(ModelError, match="differ"):
        package.save(model, tmp_path / "model", pixels[:10].reshape(-1, 28, 28), {})


def test_what_is_no_model_of_digits_is_named(tmp_path: Path) -> None:
    import keras

    with pytest.raises(ModelError, match="no such file"):
        Lite(tmp_path / "none.tflite")
    (tmp_path / "damaged.tflite").write_bytes(b"no model" * 100)
    with pytest.raises(ModelError, match="not a LiteRT model"):
        Lite(tmp_path / "damaged.tflite")
    small = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, activation="softmax")])
    import tensorflow as tf

    (tmp_path / "small.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(small).convert())
    with pytest.raises(ModelError, match="784"):
        Lite(tmp_path / "small.tflite")
