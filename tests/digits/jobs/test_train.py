"""The second job: curves, system metrics and the model in MLflow, the model folder on disk."""

from pathlib import Path

import mlflow
import pytest

from digits.data import splits
from digits.jobs import train
from digits.network.lite import Lite


@pytest.fixture(scope="module")
def run(trained: Path, steps: dict[str, str]) -> mlflow.entities.Run:
    return mlflow.get_run(steps["train"])


def test_parameters_and_a_curve_per_epoch(run: mlflow.entities.Run) -> None:
    params = run.data.params
    assert params["network"] == "default" and params["seed"] == "0" and params["images"] == "830"
    assert params["epochs"] == "5" and params["batch"] == "64"
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        curve = mlflow.MlflowClient().get_metric_history(run.info.run_id, metric)
        assert [point.step for point in curve] == [1, 2, 3, 4, 5], metric


def test_system_metrics_are_logged(run: mlflow.entities.Run) -> None:
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"} <= run.data.metrics.keys()


def test_the_run_has_the_model_as_plain_artifacts(run: mlflow.entities.Run, trained: Path, artifacts) -> None:
    assert artifacts(run, "model") == {p.name for p in trained.iterdir()}
    assert run.info.status == "FINISHED"


def test_it_learned(prepared: Path, trained: Path) -> None:
    test = splits.read(prepared, "test")
    predicted = Lite(trained / "model.tflite").probabilities(test.images).argmax(axis=1)
    assert (predicted == test.labels).mean() > 0.8


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--data", "nowhere"], 1, "train.npz"),
        (["--data", "nowhere", "--network", "transformer"], 2, "transformer"),
        (["--data", "nowhere", "--schedule", "slow"], 2, "slow"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], code: int, told: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "model"
    try:
        assert train.main([*arguments, "--model", str(out)]) == code
    except SystemExit as error:  # argparse's way
        assert error.code == code
    assert told in capsys.readouterr().err.strip().splitlines()[-1]
    assert not out.exists()
