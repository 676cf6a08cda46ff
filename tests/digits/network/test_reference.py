"""What is normal: what a model makes of digits, and the tables that are written beside it."""

from pathlib import Path

import numpy as np

from digits.data.sets import Digits, embedded
from digits.network import novelty, reference
from digits.network.lite import FILE, Lite


def test_the_distance_is_what_remains_of_the_features(trained: Path) -> None:
    """Inside LiteRT as outside: the features' length outside the directions of the most variance."""
    import keras

    model = keras.saving.load_model(trained / "data" / "model.keras")
    known = novelty.directions(model, embedded("mnist", "train").images[::4])
    images = embedded("devanagari", "test").images[:50]
    rows = novelty.features(model).predict_on_batch(images.reshape(50, -1).astype(np.float32))
    centred = rows - known.mean
    expected = np.linalg.norm(centred - centred @ known.kept @ known.kept.T, axis=1) ** 2
    np.testing.assert_allclose(np.asarray(novelty.distance(rows, known))[:, 0], expected, rtol=1e-3)
    np.testing.assert_allclose(known.kept.T @ known.kept, np.eye(known.kept.shape[1]), atol=1e-4)


def test_a_model_of_before_tells_no_distance(tmp_path: Path) -> None:
    from digits.network import model, package

    (tmp_path / FILE).write_bytes(package.convert(model.build("baseline")))
    probabilities, distances = Lite(tmp_path / FILE).answers(np.zeros((3, 784)))
    assert probabilities.shape == (3, 10) and np.isnan(distances).all()


def test_azure_reads_the_table(trained: Path) -> None:
    import yaml

    described = yaml.safe_load((trained / "reference" / "MLTable").read_text())
    [place] = described["paths"]
    assert (trained / "reference" / place["file"]).is_file()
    # A column of numbers without a point is a column of classes to Azure's monitors.
    header, first, *_ = (trained / "reference" / "reference.csv").read_text().splitlines()
    told = dict(zip(header.split(","), first.split(","), strict=True))
    assert told.pop("prediction").isdigit() and told.pop("hand") == "0"
    assert all("." in number for number in told.values())


def test_a_reference_needs_no_labels_of_its_digits(trained: Path) -> None:
    images = embedded("mnist", "test").images[:30]
    columns = reference.describe(Lite(trained / FILE), Digits(images, np.zeros(30, np.uint8), "unlabelled"))
    assert all(len(values) == 30 for values in columns.values())
