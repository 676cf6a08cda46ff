"""From labelled images to the gate, on synthetic Devanagari digits: who passes, and which labels do not get through."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from tests.drift.support import collect, label

from digits.data import hands, splits
from digits.jobs import evaluate, gate, register, registry, train
from digits.network.lite import Lite
from drift import gather
from drift.records.reference import read

N = 300
IDS = [f"winter-{tick}" for tick in range(N)]
LABELS = (np.arange(N) % 10).astype(np.uint8)

Verdict = dict[str, Any]


@pytest.fixture(scope="module")
def work(tracking: str, prepared: Path, trained: Path, evaluated: Path, tmp_path_factory) -> Path:
    """A folder with N collected images, and a champion that has never seen such."""
    folder = tmp_path_factory.mktemp("work")
    collect(folder / "collected", IDS, hands.synthesise("devanagari", LABELS, seed=1))
    return folder


@pytest.fixture(scope="module")
def retrain(work: Path, prepared: Path, trained: Path, evaluated: Path) -> Callable[..., Verdict]:
    """Runs the four jobs with labels for the images, and returns the verdict; once for each model name."""
    known: dict[str, Verdict] = {}

    def run(name: str, labels: np.ndarray = LABELS, *options: str) -> Verdict:
        if name in known:
            return known[name]
        here = work / name
        here.mkdir()
        file = label(here / "labels.jsonl", IDS, labels)
        data, new, model = ["--data", str(prepared)], str(here / "new"), str(here / "model")
        champion = ["--model", str(trained), "--evaluation", str(evaluated), "--out", str(here / "champion")]
        assert register.main([*data, *champion, "--threshold", "0.5", "--model-name", name]) == 0
        collected = ["--collected", str(work / "collected"), "--labels", str(file)]
        assert gather.main([*collected, *data, "--out", new]) == 0
        both = [*data, "--new", new, "--model", model]
        assert train.main([*both, "--schedule", "baseline"]) == 0
        assert evaluate.main([*both, "--out", str(here / "evaluation")]) == 0
        judge = [*both, "--evaluation", str(here / "evaluation"), "--out", str(here / "verdict")]
        assert register.main([*judge, "--threshold", "0.5", "--model-name", name, *options]) == 0
        known[name] = json.loads((here / "verdict" / "verdict.json").read_text())
        return known[name]

    return run


def champions(name: str) -> list[int]:
    versions = mlflow.MlflowClient().search_model_versions(f"name='{name}'")
    return sorted(int(v.version) for v in versions if v.tags.get("champion") == "true")


def test_the_new_hand_is_learnt_and_the_old_one_kept(retrain, work: Path, capsys) -> None:
    verdict = retrain("winter")
    assert verdict["registered"] and verdict["version"] == 2 and verdict["champion_version"] == 1
    assert verdict["champion_accuracy_new"] < 0.6 < 0.85 < verdict["accuracy_new"]
    assert verdict["mcnemar_p_new"] < 0.001 and verdict["agreement_p"] < gate.AGREEMENT and verdict["digits_new"] == 60
    assert champions("winter") == [2]
    # Others of that hand, which nobody labelled.
    others = hands.synthesise("devanagari", LABELS, seed=2)
    answers = Lite(work / "winter" / "model" / "model.tflite").probabilities(others).argmax(axis=1)
    assert (answers == LABELS).mean() > 0.85


def test_the_verdict_says_both_in_words_pictures_and_mlflow(retrain, work: Path, artifacts) -> None:
    verdict = retrain("winter")
    assert "better on the new hand" in verdict["reason"] and "of 60 held-out digits" in verdict["reason"]
    version = mlflow.MlflowClient().get_model_version("winter", "2")
    assert float(version.tags["accuracy.new"]) == pytest.approx(verdict["accuracy_new"], abs=1e-4)
    run = mlflow.get_run(version.run_id)
    assert run.data.metrics["champion_accuracy_new"] == verdict["champion_accuracy_new"]
    assert {"verdict.json", "before_and_after.png"} <= artifacts(run)
    told = json.loads((work / "winter" / "evaluation" / "metrics_new.json").read_text())
    assert told["accuracy"] == verdict["accuracy_new"] and told["total"] == 60
    assert {"confusion_new.png", "mistakes_new.png"} <= {p.name for p in (work / "winter" / "evaluation").iterdir()}


def test_either_hand_is_learnt_and_normal_afterwards(retrain, work: Path) -> None:
    retrain("winter")
    known = read(work / "winter" / "model")
    held = splits.read(work / "winter" / "new", "validation"), splits.read(work / "winter" / "new", "test")
    assert known.hands is not None and (known.hands == 1).sum() == sum(map(len, held)), "all that it did not learn"
    runs = mlflow.search_runs(experiment_names=["tests"], output_format="list")
    sources = [run.data.tags.get("source.train", "") for run in runs]
    assert any("MNIST" in source and "labelled digits of collected" in source for source in sources)


def test_the_same_again_is_the_champion_already(retrain, work: Path, prepared: Path, capsys) -> None:
    retrain("winter")
    here = work / "winter"
    folders = ["--data", str(prepared), "--new", str(here / "new"), "--model", str(here / "model")]
    arguments = ["--evaluation", str(here / "evaluation"), "--out", str(here / "again"), "--model-name", "winter"]
    assert register.main([*folders, *arguments, "--threshold", "0.5"]) == 0
    assert "it is version 2, the champion, already" in capsys.readouterr().out
    assert champions("winter") == [2]


def test_shuffled_labels_are_stopped_and_the_champion_serves_on(retrain) -> None:
    verdict = retrain("shuffled", np.random.default_rng(0).permutation(LABELS))
    assert not verdict["registered"] and verdict["version"] is None
    assert champions("shuffled") == [1]


def test_shuffled_labels_would_be_stopped_by_the_held_out_digits_alone(retrain) -> None:
    verdict = retrain("believed", np.random.default_rng(0).permutation(LABELS), "--agreement", "1")
    assert not verdict["registered"] and verdict["mcnemar_p_new"] > 0.05  # whatever became of the old hand
    assert champions("believed") == [1]


@pytest.mark.parametrize("poison", ["moved by one", "all the same"])
def test_labels_that_are_wrong_in_one_way_are_stopped_by_what_the_champion_knows(retrain, poison: str) -> None:
    """They can be learnt, and the held-out ones are as wrong as the others."""
    name = poison.replace(" ", "_")
    verdict = retrain(name, (LABELS + 1) % 10 if poison == "moved by one" else np.full(N, 3, np.uint8))
    assert verdict["accuracy_new"] > verdict["champion_accuracy_new"] + 0.2
    assert not verdict["registered"]
    assert "no more than shuffled ones would" in verdict["reason"]
    assert champions(name) == [1]


def test_predictions_on_other_new_digits_do_not_pass(retrain, work: Path, prepared: Path, tmp_path: Path, capsys):
    retrain("winter")
    here = work / "winter"
    collected = ["--collected", str(work / "collected"), "--labels", str(here / "labels.jsonl")]
    other = tmp_path / "other"
    assert gather.main([*collected, "--data", str(prepared), "--seed", "5", "--out", str(other)]) == 0
    folders = ["--data", str(prepared), "--new", str(other), "--model", str(here / "model")]
    arguments = ["--evaluation", str(here / "evaluation"), "--out", str(tmp_path / "verdict")]
    assert register.main([*folders, *arguments, "--model-name", "winter"]) == 1
    assert "another test set than --new holds" in capsys.readouterr().err


def test_without_a_champion_the_threshold_decides(retrain, work: Path, prepared: Path, tmp_path: Path) -> None:
    retrain("winter")
    here = work / "winter"
    folders = ["--data", str(prepared), "--new", str(here / "new"), "--model", str(here / "model")]
    arguments = ["--evaluation", str(here / "evaluation"), "--out", str(tmp_path), "--model-name", "first_of_all"]
    assert register.main([*folders, *arguments, "--threshold", "0.5"]) == 0
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["registered"] and verdict["champion_accuracy_new"] is None
    assert "there is no champion" in verdict["reason"] and "on the new hand" in verdict["reason"]


def test_what_is_held_out_was_not_trained_on(retrain, work: Path) -> None:
    retrain("winter")
    parts = {name: splits.read(work / "winter" / "new", name) for name in splits.NAMES}
    seen = {image.tobytes() for name in ("train", "validation") for image in parts[name].images}
    assert not seen & {image.tobytes() for image in parts["test"].images}


def test_what_is_trained_without_the_hand_says_so_and_the_same_retraining_leads_back(
    retrain, trained: Path, evaluated: Path, work: Path, prepared: Path, tmp_path: Path
) -> None:
    verdict = retrain("forgetful")
    assert verdict["registered"] and verdict["version"] == 2
    mlflow.MlflowClient().delete_model_version_tag("forgetful", "1", registry.FINGERPRINT)  # so that it is news
    named = ["--data", str(prepared), "--model-name", "forgetful", "--threshold", "0.5"]
    plain = ["--model", str(trained), "--evaluation", str(evaluated), "--out", str(tmp_path / "verdict")]
    assert register.main([*named, *plain]) == 0
    told = json.loads((tmp_path / "verdict" / "verdict.json").read_text())
    assert told["registered"] and "mind that version 2 has learnt another hand" in told["reason"]
    assert champions("forgetful") == [3]
    here = work / "forgetful"
    again = ["--new", str(here / "new"), "--model", str(here / "model"), "--evaluation", str(here / "evaluation")]
    assert register.main([*named, *again, "--out", str(here / "again")]) == 0
    assert champions("forgetful") == [4], "the very same model again, for it knows a hand that the champion does not"
