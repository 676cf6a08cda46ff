"""The reference of a model, read back: what is normal, and what is wrong with a folder that does not say."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from digits.data import ink, splits
from digits.data.sets import embedded
from digits.errors import DataError
from digits.network import reference
from digits.network.lite import FILE, Lite
from drift.records.reference import read


def test_it_travels_with_the_model(trained: Path, prepared: Path) -> None:
    known = read(trained)
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


def test_other_hands_are_farther_away(trained: Path) -> None:
    known = read(trained)
    for hand in ("devanagari", "japanese"):
        columns = reference.describe(Lite(trained / FILE), embedded(hand, "test"))
        assert np.median(known.unlikeness(columns)) > 3 * np.median(known.unlikeness(known.columns)), hand
    devanagari = reference.describe(Lite(trained / FILE), embedded("devanagari", "test"))
    assert np.median(devanagari["distance"]) > 1.2 * np.median(known.columns["distance"])


def test_the_nearest_digit_of_the_training_is_at_no_distance(trained: Path, prepared: Path) -> None:
    known = read(trained)
    train = splits.read(prepared, "train")
    columns = dict(zip(ink.STATISTICS, ink.statistics(train.images[:20]).T.astype(float), strict=True))
    assert known.unlikeness(columns).max() < 1e-6
    assert np.isnan(known.unlikeness({"ink": np.zeros(3)})).all(), "without its columns there is no telling"
    one, many = ({k: v[:n] for k, v in columns.items()} for n in (1, 20))
    assert known.unlikeness(one)[0] == known.unlikeness(many)[0], "an answer depends on the digit alone"


def test_only_so_many_digits_are_kept(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "LARGEST", 30)
    monkeypatch.setattr(reference, "NEAREST", 40)
    digits = embedded("mnist", "test")
    reference.write(tmp_path / "model" / "reference", Lite(trained / FILE), digits, digits)
    known = read(tmp_path / "model")
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
        read(tmp_path)
