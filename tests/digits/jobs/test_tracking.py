"""MLflow as the jobs use it: what kind an experiment is, and where a person looks at a run."""

import mlflow
import pytest

from digits.jobs import tracking as jobs_tracking


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("sqlite:///mlflow.db", "http://127.0.0.1:5000/#/experiments/7/runs/abc"),
        ("https://someone:secret@mlflow.example/team/", "https://mlflow.example/team/#/experiments/7/runs/abc"),
        (
            "azureml://eastus.api.azureml.ms/mlflow/v2.0/subscriptions/s-1/resourceGroups/rg"
            "/providers/Microsoft.MachineLearningServices/workspaces/ws",
            "https://ml.azure.com/runs/abc?wsid=/subscriptions/s-1/resourcegroups/rg/workspaces/ws",
        ),
        ("azureml://nowhere", ""),
    ],
)
def test_where_a_run_is_looked_at(server: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: server)
    assert jobs_tracking.address("7", "abc") == shown


def test_an_experiment_of_our_own_is_one_of_trained_models(tracking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's pages would take it for a GenAI application."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of-its-own")
    with jobs_tracking.run("alone"):
        pass
    assert mlflow.get_experiment_by_name("of-its-own").tags["mlflow.experimentKind"] == "custom_model_development"
