"""What every test relies on."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import pytest
from fixtures import (  # noqa: F401 (fixtures)
    _same_environment_afterwards,
    arrange,
    chromium,
    chromium_path,
    forks,
    pytest_addoption,
)
from tests.listener import Listener, listening


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A webhook that keeps what is posted to it."""
    with listening() as server:
        yield server


# --- what tests of the jobs share: an MLflow store of their own, and one small pipeline run ---


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow in a scratch folder, without what Azure's server lacks: whoever touches a logged model fails."""
    home = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{(home / 'mlflow.db').as_posix()}")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        patch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")
        from mlflow import MlflowClient
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        def missing(self: object, *args: object, **kwargs: object) -> None:
            raise AssertionError("Azure's tracking server has no /logged-models")

        for method in dir(SqlAlchemyStore):
            if "logged_model" in method and not method.startswith("_"):
                patch.setattr(SqlAlchemyStore, method, missing)
        MlflowClient().create_experiment("tests", artifact_location=(home / "artifacts").as_uri())
        yield os.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture(scope="session")
def artifacts() -> Callable[[Any, str], set[str]]:
    """Lists the files of a run's artifact folder; MLflow's own listing asks for logged models too."""

    def listed(run: Any, folder: str = "") -> set[str]:
        return {p.name for p in Path(url2pathname(urlparse(run.info.artifact_uri).path), folder).iterdir()}

    return listed


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 1,000 training and 400 test digits of the embedded ones, as a user might name it."""
    from digits.data.sets import embedded

    train, test = embedded("mnist", "train"), embedded("mnist", "test")
    folder = tmp_path_factory.mktemp("mnist")
    chosen, held = (
        np.concatenate([np.flatnonzero(digits.labels == label)[:count] for label in range(10)])
        for digits, count in ((train, 100), (test, 40))
    )
    np.savez(
        folder / "mnist.npz",
        x_train=train.images[chosen],
        y_train=train.labels[chosen],
        x_test=test.images[held],
        y_test=test.labels[held],
    )
    return folder


@pytest.fixture(scope="session")
def steps(tracking: str) -> dict[str, str]:
    """The run of each step of the small pipeline below, as a runner would open it."""
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("tests").experiment_id
    return {
        step: client.create_run(experiment, run_name=f"{step} step").info.run_id
        for step in ("prepare", "train", "evaluate")
    }


@pytest.fixture(scope="session")
def prepared(steps: dict[str, str], mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What prepare writes."""
    from digits.jobs import prepare

    out = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_RUN_ID", steps["prepare"])
        assert prepare.main(["--mnist", str(mnist), "--seed", "3", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def trained(steps: dict[str, str], prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What train writes: a decent model, made in seconds."""
    from digits.jobs import train

    out = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_RUN_ID", steps["train"])
        assert train.main(["--data", str(prepared), "--schedule", "baseline", "--model", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def evaluated(steps: dict[str, str], prepared: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What evaluate writes."""
    from digits.jobs import evaluate

    out = tmp_path_factory.mktemp("evaluation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_RUN_ID", steps["evaluate"])
        assert evaluate.main(["--data", str(prepared), "--model", str(trained), "--out", str(out)]) == 0
    return out


# The files that take more than two seconds, the longest first: they are begun first, and left out by --quick.
SLOW = (
    "test_notebooks.py",
    "test_demo.py",
    "test_run_train.py",
    "test_run_monitor.py",
    "test_retraining.py",
    "test_run_deploy.py",
    "test_run_promote.py",
    "test_mlflow_jobs.py",
    "test_bare.py",
    "test_run_teardown.py",
    "test_draw.py",
    "test_watch.py",
    "test_register.py",
    "test_checkov.py",
    "test_bicep_faults.py",
    "test_page.py",
    "test_secrets.py",
    "test_fit.py",
    "test_sets.py",
    "test_evaluate.py",
    "test_received.py",
    "test_detector.py",
    "test_model.py",
    "test_drift_issue.py",
    "test_monitor.py",
    "test_docs.py",
    "test_reuse.py",
    "test_scenario.py",
    "test_scripts.py",
    "test_run_infra.py",
    "test_reference.py",
    "test_prepare.py",
    "test_simulation.py",
    "test_package.py",
    "test_score.py",
    "test_deploy_back.py",
    "test_gather.py",
    "test_drift_monitor.py",
    "test_hands.py",
    "test_validate.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    arrange(config, items, SLOW)
