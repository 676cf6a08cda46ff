"""The jobs against Azure's MLflow server: each as its process would run on Azure, one after the other."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from double import Double
from forked import Forks

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "script": ROOT / "src" / "digits" / "serving" / "score.py",
    "no script": ROOT / "amlocal" / "src" / "amlocal" / "endpoints" / "worker" / "mlflow_score.py",
}

pytestmark = pytest.mark.timeout(600)


def python(forks: Forks, environment: dict[str, str], *arguments: str) -> str:
    """Run Python as a job on Azure is run: in `src`, with what Azure puts in the environment and nothing else."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "TEMP", "TMP") if name in os.environ}
    environment = kept | environment | {"AZUREML_CR_AZUREML_CONTEXT": "job"}
    done = subprocess.run(
        [*forks.command(), *arguments], cwd=ROOT / "src", env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass
class Pipelines:
    """Three pipeline runs: a poor model is registered first, a good one takes its place, the poor one is refused."""

    double: Double
    forks: Forks
    folder: Path
    verdicts: list[dict[str, Any]]
    logs: list[str]

    def data(self, run: str) -> Any:
        return self.double.mlflow.backend.tracking.get_run(run).data

    def job(self, run: str, name: str, **arguments: Path | str | float) -> str:
        given = [text for key, value in arguments.items() for text in ("--" + key.replace("_", "-"), str(value))]
        started = self.double.mlflow.start_run(run, parent="pipeline")
        return python(self.forks, started, "-m", f"digits.jobs.{name}", *given)

    def register(self, run: str, model: str, data: Path | None = None) -> None:
        out, data = self.folder / run, data or self.folder / "data"
        folders = {"data": data, "model": self.folder / model, "evaluation": self.folder / f"{model}-evaluation"}
        self.logs.append(self.job(run, "register", **folders, threshold=0.05, out=out))
        self.verdicts.append(json.loads((out / "verdict.json").read_text()))


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Pipelines]:
    from digits.data.sets import embedded

    folder = tmp_path_factory.mktemp("pipelines")
    train, test = embedded("mnist", "train"), embedded("mnist", "test")
    for name, step in (("mnist", 4), ("few", 25)):
        (folder / name).mkdir()
        np.savez(
            folder / name / "mnist.npz",
            x_train=train.images[::step],
            y_train=train.labels[::step],
            x_test=test.images[::2],
            y_test=test.labels[::2],
        )
    with Double(folder / "azure") as double:
        double.mlflow.page = 1
        pipelines = Pipelines(double, forks, folder, [], [])

        def model(name: str, data: str) -> None:
            prepared = folder / data.replace("mnist", "data")
            pipelines.job(f"{name}-prepare", "prepare", mnist=folder / data, out=prepared)
            pipelines.job(f"{name}-train", "train", data=prepared, schedule="baseline", model=folder / name)

        with ThreadPoolExecutor() as pool:
            list(pool.map(model, ("good", "poor"), ("mnist", "few")))
        prepared = folder / "data"

        def evaluate(name: str) -> None:
            out = folder / f"{name}-evaluation"
            pipelines.job(f"{name}-evaluate", "evaluate", data=prepared, model=folder / name, out=out)

        with ThreadPoolExecutor() as pool:
            list(pool.map(evaluate, ("good", "poor")))
        pipelines.register("first", "poor")
        pipelines.register("second", "good")
        double.mlflow.downloads = "asset"
        pipelines.register("third", "poor")
        yield pipelines
        assert double.unknown == [], "\n".join(map(str, double.unknown))


def test_parameters_curves_and_system_metrics_arrive(pipelines: Pipelines) -> None:
    data = pipelines.data("good-train")
    assert data.params["network"] == "default" and data.params["images"] == "830" and data.params["epochs"] == "5"
    curve = pipelines.double.mlflow.backend.tracking.get_metric_history("good-train", "val_accuracy")
    assert [point.step for point in curve] == [1, 2, 3, 4, 5]
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"} <= set(data.metrics)
    assert pipelines.data("good-evaluate").metrics["accuracy"] > pipelines.data("poor-evaluate").metrics["accuracy"]


def test_files_arrive_and_are_those_that_were_written(pipelines: Pipelines) -> None:
    double = pipelines.double
    model = pipelines.folder / "good"
    written = {f"model/{file.relative_to(model).as_posix()}": file for file in model.rglob("*") if file.is_file()}
    assert "model/MLmodel" in written
    assert double.mlflow.files("good-train") == set(written)
    for path, file in written.items():
        assert double.blobs.get("azureml", f"ExperimentRun/dcid.good-train/{path}") == file.read_bytes(), path
    assert {"evaluation/metrics.json", "evaluation/confusion.png"} <= double.mlflow.files("good-evaluate")
    assert double.mlflow.files("third") == {"verdict.json"}  # refused: no model


def test_the_gate_registers_moves_the_champion_and_refuses(pipelines: Pipelines) -> None:
    first, second, third = pipelines.verdicts
    assert first["registered"] and first["version"] == 1 and first["champion_version"] is None
    assert second["registered"] and second["version"] == 2 and second["champion_version"] == 1
    assert not third["registered"] and third["champion_version"] == 2
    assert "significantly worse" in third["reason"] and "version 2 stays champion" in pipelines.logs[2]
    assert pipelines.data("third").tags["verdict"] == "refused"
    versions = pipelines.double.mlflow.backend.registry.search_model_versions("name = 'digits'")
    assert {int(version.version): version.tags["champion"] for version in versions} == {1: "false", 2: "true"}
    champion = next(version for version in versions if int(version.version) == 2)
    assert champion.run_id == "second" and champion.tags["trained.network"] == "default"


def test_the_registered_model_is_a_model_of_the_workspace(pipelines: Pipelines) -> None:
    shown = pipelines.double.store.get(f"{pipelines.double.workspace_id}/models/digits/versions/2")
    assert shown["properties"]["modelType"] == "mlflow_model" and shown["properties"]["tags"]["champion"] == "true"
    assert shown["properties"]["modelUri"] == "azureml://artifacts/ExperimentRun/dcid.second/model"


def test_nothing_is_asked_that_azure_does_not_have(pipelines: Pipelines) -> None:
    calls = {one.path.partition("/api/2.0/mlflow/")[2] for one in pipelines.double.requests if "/mlflow/" in one.path}
    assert calls == {
        "model-versions/create",
        "model-versions/get-download-uri",
        "model-versions/search",
        "model-versions/set-tag",
        "model-versions/update",
        "registered-models/alias",  # which it does not have, and that is no harm
        "registered-models/create",
        "registered-models/get",
        "registered-models/update",
        "runs/get",
        "runs/log-batch",
        "runs/set-tag",
    }


def test_a_verdict_is_told_however_long_its_reason(pipelines: Pipelines) -> None:
    """The champion's files are gone, and azureml-mlflow's error names all that are there instead."""
    double, place = pipelines.double, ("ExperimentRun", "dcid.second")
    files = double.mlflow.artifacts[place]
    double.mlflow.artifacts[place] = {f"model/{number}-{'long' * 20}": "" for number in range(100)}
    try:
        pipelines.register("fourth", "poor")
    finally:
        double.mlflow.artifacts[place] = files
    verdict = pipelines.verdicts.pop()
    assert not verdict["registered"] and "cannot be compared with the champion" in verdict["reason"]
    assert len(pipelines.data("fourth").tags["reason"]) <= 1000


@pytest.fixture(scope="module")
def downloaded(pipelines: Pipelines) -> Path:
    """The champion's files, as a deployment gets them."""
    target = pipelines.folder / "downloaded"
    target.mkdir()
    code = "import mlflow, sys; print(mlflow.artifacts.download_artifacts('models:/digits/2', dst_path=sys.argv[1]))"
    told = python(pipelines.forks, pipelines.double.mlflow.start_run("download"), "-c", code, str(target))
    return Path(told.strip().splitlines()[-1])


def test_it_deploys_with_a_scoring_script_and_without(pipelines: Pipelines, downloaded: Path) -> None:
    from digits.data.sets import embedded

    test = embedded("mnist", "test")
    request = {"input_data": test.images[::20].reshape(50, 784).tolist()}
    with serving(SCRIPTS["script"], downloaded) as scripted, serving(SCRIPTS["no script"], downloaded) as plain:
        theirs, ours = (requests.post(url, json=request, timeout=120) for url in (plain, scripted))
    assert (theirs.status_code, ours.status_code) == (200, 200), (theirs.text, ours.text)
    probabilities = np.array(ours.json()["probabilities"])
    np.testing.assert_allclose(theirs.json(), probabilities, atol=1e-5)  # Azure's own answers with the output alone
    assert ours.json()["predictions"] == probabilities.argmax(axis=1).tolist()
    assert (probabilities.argmax(axis=1) == test.labels[::20]).mean() > 0.7


@contextmanager
def serving(script: Path, model: Path) -> Iterator[str]:
    """The address of Azure's inference server with a scoring script and a model folder, as in a deployment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "azureml_inference_server_http.amlserver", "--port", str(port)]
    command += ["--entry_script", str(script), "--model_dir", str(model)]
    log = model.parent / f"{script.stem}.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=model.parent, stdout=file, stderr=file)
        try:
            while process.poll() is None:  # however long a busy machine takes; the test has its limit
                try:
                    if requests.get(f"http://127.0.0.1:{port}/", timeout=30).status_code == 200:
                        break
                except requests.RequestException:  # not listening yet, or still loading the model
                    time.sleep(0.1)
            else:
                pytest.fail(log.read_text())  # it has ended
            yield f"http://127.0.0.1:{port}/score"
        finally:
            process.terminate()
            process.wait(30)
