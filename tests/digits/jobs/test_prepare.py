"""The first job: what it writes, that it says where the digits are from, and how it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from digits import output
from digits.data import splits
from digits.data.sets import Digits
from digits.errors import DataError
from digits.jobs import prepare


def test_it_writes_three_sets_and_what_they_are(prepared: Path, mnist: Path) -> None:
    about = json.loads((prepared / "about.json").read_text())
    assert about["counts"] == {"train": 830, "validation": 170, "test": 400}
    assert about["seed"] == 3
    source = about["sources"]["train"]
    assert f"from {mnist.name}" in source and str(mnist.parent) not in source  # a path would mean nothing elsewhere
    for name, count in about["counts"].items():
        with np.load(prepared / f"{name}.npz") as arrays:
            assert arrays["images"].shape == (count, 28, 28) and arrays["images"].dtype == np.uint8
            assert arrays["labels"].shape == (count,) and arrays["labels"].dtype == np.uint8


def test_its_run_has_counts_source_and_a_picture(prepared: Path, steps, artifacts) -> None:
    run = mlflow.get_run(steps["prepare"])
    assert run.info.run_name == "prepare step" and run.info.status == "FINISHED"
    assert run.data.params["train"] == "830"
    assert "MNIST" in run.data.tags["source.train"]
    assert artifacts(run) == {"about.json", "samples.png"}


def test_without_a_folder_it_takes_the_embedded_digits(tracking: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DIGITS_DATA", str(tmp_path / "nowhere"))  # a job's result depends on its inputs alone
    assert prepare.main(["--out", str(tmp_path / "data")]) == 0
    about = json.loads((tmp_path / "data" / "about.json").read_text())
    assert about["counts"] == {"train": 3330, "validation": 670, "test": 1000}
    assert "embedded" in about["sources"]["train"]


def test_without_a_runner_it_opens_a_run_of_its_own(tracking: str, mnist: Path, tmp_path: Path) -> None:
    assert prepare.main(["--mnist", str(mnist), "--seed", "77", "--out", str(tmp_path / "data")]) == 0
    mine = "params.seed = '77'"
    [run] = mlflow.search_runs(experiment_names=["tests"], filter_string=mine, output_format="list")
    assert run.info.run_name == "prepare" and run.data.params["test"] == "400"


def test_validation_is_stratified_reproducible_and_apart(prepared: Path) -> None:
    labels = np.repeat(np.arange(10, dtype=np.uint8), 30)
    images = np.arange(300, dtype=np.uint8).repeat(784).reshape(300, 28, 28)
    digits = Digits(images, labels, "made up")
    train, held = splits.hold_back(digits, 0.1, seed=5)
    assert np.bincount(held.labels).tolist() == [3] * 10 and len(train) == 270
    assert np.array_equal(splits.hold_back(digits, 0.1, seed=5)[1].images, held.images)
    assert not np.array_equal(splits.hold_back(digits, 0.1, seed=6)[1].images, held.images)


def test_a_folder_without_digits_is_one_clear_line_and_leaves_nothing(tracking: str, tmp_path: Path, capsys) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "out"
    assert prepare.main(["--mnist", str(empty), "--out", str(out)]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and str(empty) in error[0]
    assert not out.exists() or not list(out.iterdir())


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        prepare.main(["--mnist", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--debug"])


@pytest.mark.parametrize("damage", ["missing", "cut", "shape", "labels"])
def test_a_damaged_set_is_named(prepared: Path, tmp_path: Path, damage: str) -> None:
    (tmp_path / "about.json").write_bytes((prepared / "about.json").read_bytes())
    file = tmp_path / "test.npz"
    if damage == "cut":
        file.write_bytes((prepared / "test.npz").read_bytes()[:1000])
    if damage == "shape":
        np.savez(file, images=np.zeros((3, 8, 8), np.uint8), labels=np.zeros(3, np.uint8))
    if damage == "labels":
        np.savez(file, images=np.zeros((3, 28, 28), np.uint8), labels=np.full(3, 10, np.uint8))
    with pytest.raises(DataError, match=r"test\.npz.*digits\.jobs\.prepare"):
        splits.read(tmp_path, "test")


def test_output_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".writing-killed").mkdir(parents=True)
    (out / "a.txt").write_text("old")
    with pytest.raises(OSError, match="full"), output.folder(out) as folder:
        (folder / "a.txt").write_text("half")
        raise OSError("disk full")
    assert [p.name for p in out.iterdir()] == ["a.txt"] and (out / "a.txt").read_text() == "old"
    with output.folder(out) as folder:
        (folder / "a.txt").write_text("new")
        (folder / "sub").mkdir()
    assert sorted(p.name for p in out.iterdir()) == ["a.txt", "sub"] and (out / "a.txt").read_text() == "new"


@pytest.mark.parametrize("job", ["prepare", "train", "evaluate", "register"])
def test_help_is_instant(job: str) -> None:
    code = f"""
import sys
from digits.jobs import {job}
try:
    {job}.main(["--help"])
finally:
    print(sorted({{"tensorflow", "keras", "mlflow", "matplotlib", "scipy"}} & sys.modules.keys()), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.stdout.startswith(f"usage: digits.jobs.{job}")
    assert done.stderr.strip() == "[]"
