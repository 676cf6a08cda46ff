"""What is normal: written beside the model, read back, and what spoils it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from digits import ink, novelty, reference, splits
from digits.data import Digits, embedded
from digits.images import DataError
from digits.lite import FILE, Lite


def test_it_travels_with_the_model(trained: Path, prepared: Path) -> None:
    known = reference.read(trained)
    held = splits.read(prepared, "validation")
    assert len(known) == len(held)
    # What the endpoint will collect of these digits, to the last digit of float32.
    model = Lite(trained / FILE)
    probabilities, distances = model.answers(held.images)
    np.testing.assert_allclose(known.columns["confidence"], probabilities.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(known.columns["distance"], distances, rtol=1e-6)
    np.testing.assert_allclose(known.columns["stroke"], ink.statistics(held.images)[:, 3], rtol=1e-6)
    assert set(known.columns) == set(reference.COLUMNS)
    assert len(known.neighbours) == len(splits.read(prepared, "train"))


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


def test_other_hands_are_farther_away(trained: Path) -> None:
    known = reference.read(trained)
    for hand in ("devanagari", "japanese"):
        columns = reference.describe(Lite(trained / FILE), embedded(hand, "test"))
        assert np.median(known.unlikeness(columns)) > 3 * np.median(known.unlikeness(known.columns)), hand
    devanagari = reference.describe(Lite(trained / FILE), embedded("devanagari", "test"))
    assert np.median(devanagari["distance"]) > 1.2 * np.median(known.columns["distance"])


def test_the_nearest_digit_of_the_training_is_at_no_distance(trained: Path, prepared: Path) -> None:
    known = reference.read(trained)
    train = splits.read(prepared, "train")
    columns = dict(zip(ink.STATISTICS, ink.statistics(train.images[:20]).T.astype(float), strict=True))
    assert known.unlikeness(columns).max() < 1e-6
    assert np.isnan(known.unlikeness({"ink": np.zeros(3)})).all(), "without its columns there is no telling"
    one, many = ({k: v[:n] for k, v in columns.items()} for n in (1, 20))
    assert known.unlikeness(one)[0] == known.unlikeness(many)[0], "an answer depends on the digit alone"


def test_a_model_of_before_tells_no_distance(tmp_path: Path) -> None:
    from digits import model, package

    (tmp_path / FILE).write_bytes(package.convert(model.build("baseline")))
    probabilities, distances = Lite(tmp_path / FILE).answers(np.zeros((3, 784)))
    assert probabilities.shape == (3, 10) and np.isnan(distances).all()


def test_only_so_many_digits_are_kept(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "LARGEST", 30)
    monkeypatch.setattr(reference, "NEAREST", 40)
    digits = embedded("mnist", "test")
    reference.write(tmp_path / "model" / "reference", Lite(trained / FILE), digits, digits)
    known = reference.read(tmp_path / "model")
    assert len(known) == 30 and len(known.neighbours) == 40
    assert len(np.unique(known.columns["prediction"])) == 10, "evenly out of all, sorted as they are"


HEADER = ",".join([*reference.COLUMNS, reference.HAND]) + "\n"


def spoilt(folder: Path, file: str, text: str) -> None:
    (folder / "reference" / file).write_text(text)


SPOILS = {
    "gone": (lambda f: shutil.rmtree(f / "reference"), "no reference"),
    "twice": (lambda f: shutil.copytree(f / "reference", f / "other" / "reference"), "2 references"),
    "no numbers": (
        lambda f: spoilt(f, "reference.csv", HEADER + "a," * 11 + "b\n"),
        "read",
    ),
    "empty": (lambda f: spoilt(f, "reference.csv", ""), "no column ink"),
    "no digit": (
        lambda f: spoilt(f, "reference.csv", HEADER + ("1," * 10 + "nan,0\n") * 30),
        "a prediction that is no digit",
    ),
    "too few": (lambda f: spoilt(f, "reference.csv", HEADER), "0 digits are too few"),
    "ragged": (lambda f: spoilt(f, "neighbours.csv", ",".join(ink.STATISTICS) + "\n1,2\n"), "neighbours.csv"),
}


@pytest.mark.parametrize(("spoil", "told"), SPOILS.values(), ids=SPOILS)
def test_what_is_wrong_with_it_is_told(trained: Path, tmp_path: Path, spoil, told: str) -> None:
    shutil.copytree(trained / "reference", tmp_path / "reference")
    spoil(tmp_path)
    with pytest.raises(DataError, match=told):
        reference.read(tmp_path)


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
