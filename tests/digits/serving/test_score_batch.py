"""Batch scoring: what the entry script makes of the files it is given, and the files that suit it."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits.data import shards
from digits.data.sets import Digits, embedded
from digits.errors import DataError, ModelError
from digits.network.lite import FILE, Lite
from digits.serving import score_batch


@pytest.fixture(scope="module")
def some() -> Digits:
    found = embedded("mnist", "test")
    return Digits(found.images[::20], found.labels[::20], "a few")


@pytest.fixture(scope="module")
def ready(trained: Path) -> Path:
    """The entry script's init() done, as Azure calls it: arguments of its own stand among ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["score_batch.py", "--model", str(trained), "--azures", "own"])
        score_batch.init()
    return trained


def rows(lines: list[str]) -> list[list[str]]:
    return list(csv.reader(lines))


def test_every_image_of_every_file_is_a_line(ready: Path, some: Digits, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=some.images)
    np.save(tmp_path / "b, too.npy", some.images[:3].reshape(3, 784).astype(np.float32))
    found = rows(score_batch.run([str(tmp_path / "a.npz"), str(tmp_path / "b, too.npy")]))
    assert [row[:2] for row in found] == [
        *(["a.npz", str(index)] for index in range(len(some))),
        *(["b, too.npy", str(index)] for index in range(3)),
    ]
    expected = Lite(next(ready.rglob(FILE))).probabilities(some.images)
    assert [int(row[2]) for row in found[: len(some)]] == expected.argmax(axis=1).tolist()
    assert [float(row[3]) for row in found[: len(some)]] == pytest.approx(expected.max(axis=1), abs=1e-4)


def test_a_picture_is_one_image_seen_as_everywhere_else(ready: Path, some: Digits, tmp_path: Path) -> None:
    Image.fromarray(some.images[0]).save(tmp_path / "7.png")
    Image.fromarray(255 - some.images[0]).save(tmp_path / "ink on paper.png")
    found = rows(score_batch.run([str(tmp_path / "7.png"), str(tmp_path / "ink on paper.png")]))
    assert [row[1] for row in found] == ["0", "0"]
    assert found[0][2:] == found[1][2:]


def test_what_prepare_has_written_can_be_scored_as_it_is(ready: Path, some: Digits, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "test.npz", images=some.images, labels=some.labels)
    assert len(score_batch.run([str(tmp_path / "test.npz")])) == len(some)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("about.json", b"{}", "about.json: no images; the folder to score may hold"),
        ("cut.npz", b"PK\x03\x04", "cut.npz: cannot be read"),
        ("cut.png", b"\x89PNG", "cut.png: cannot be read"),
        ("empty.npy", b"", "empty.npy: cannot be read"),
    ],
)
def test_a_file_without_images_is_named(ready: Path, tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        score_batch.run([str(tmp_path / name)])


def test_arrays_that_are_no_images_are_refused(ready: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "number.npy", np.float32(3))
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    np.save(tmp_path / "shape.npy", np.zeros((2, 5), np.uint8))
    for name in ("number.npy", "two.npz", "shape.npy"):
        with pytest.raises(DataError, match=name):
            score_batch.run([str(tmp_path / name)])


def test_a_folder_without_a_model_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["score_batch.py", "--model", str(tmp_path / "none")])
    with pytest.raises(ModelError, match="none: no such folder"):
        score_batch.init()


def test_a_batch_endpoint_names_the_model_in_the_environment(monkeypatch: pytest.MonkeyPatch, trained: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["score_batch.py"])
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(trained))
    score_batch.init()
    monkeypatch.delenv("AZUREML_MODEL_DIR")
    with pytest.raises(SystemExit):
        score_batch.init()


def test_shards_hold_all_images_in_order(mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shards.main(["--digits", str(mnist), "--size", "600", "--out", str(tmp_path)]) == 0
    assert "1,400 images in 3 files" in capsys.readouterr().out
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["part-00000.npz", "part-00001.npz", "part-00002.npz"]
    assert [len(score_batch.read(file)) for file in files] == [600, 600, 200]


def test_shards_of_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shards.main(["--size", "0", "--out", str(tmp_path)]) == 1
    assert "--size: 0 images make no file" in capsys.readouterr().err
