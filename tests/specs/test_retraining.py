"""The whole way: `training.yml` makes a champion, `retraining.yml` teaches it a new hand, with the same runner."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.drift.support import collect, drift, label

from amlocal.client import LocalMLClient
from amlocal.jobs.stream import stream
from amlocal.specs import load
from digits.data import hands
from digits.data.sets import embedded

PIPELINES = Path(__file__).parents[2] / "aml" / "pipelines"
N = 200
IDS = [f"winter-{tick}" for tick in range(N)]
LABELS = (np.arange(N) % 10).astype(np.uint8)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalMLClient:
    for name in ("AMLOCAL_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "DIGITS_DATA"):
        monkeypatch.delenv(name, raising=False)
    client = LocalMLClient(tmp_path / "my work" / ".amlocal")
    client.workspace.create()
    return client


def run(client: LocalMLClient, pipeline: str, settings: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Path]]:
    """The verdict, the log as a person sees it, and the outputs of a job with no threshold to speak of."""
    settings = {"inputs.threshold": 0.5, **settings}
    job = client.jobs.create_or_update(load("job", PIPELINES / pipeline, [{key: settings[key]} for key in settings]))
    log = io.StringIO()
    stream(client.jobs.store, job.name, client.jobs.web_view, log)
    done = client.jobs.describe(job.name)
    assert done["status"] == "Completed", log.getvalue()
    outputs = {name: Path(output["path"]) for name, output in done["outputs"].items()}
    verdict = json.loads((outputs["verdict"] / "verdict.json").read_text(encoding="utf-8"))
    return verdict, log.getvalue(), outputs


@pytest.mark.timeout(600)
def test_a_new_hand_from_collected_and_labelled_images_to_a_new_champion(client: LocalMLClient, tmp_path: Path) -> None:
    train, test = embedded("mnist", "train"), embedded("mnist", "test")
    mnist = tmp_path / "mnist"
    mnist.mkdir()
    # So few to test with that a digit more or less is no significant loss.
    arrays = {f"x_{name}": digits.images[::4] for name, digits in (("train", train), ("test", test))}
    arrays |= {f"y_{name}": digits.labels[::4] for name, digits in (("train", train), ("test", test))}
    np.savez(mnist / "mnist.npz", **arrays)
    prepared = {"jobs.prepare.inputs.mnist.path": str(mnist)}
    verdict, _, _ = run(client, "training.yml", prepared)
    assert verdict["registered"] and "accuracy_new" not in verdict

    collect(client.workspace.datastore() / "modelDataCollector", IDS, hands.synthesise("devanagari", LABELS, seed=1))
    labels = label(tmp_path / "labels.jsonl", IDS, LABELS)
    change = drift(tmp_path / "monitoring", "winter", (20, N - 1))
    given = {**prepared, "inputs.labels.path": str(labels), "jobs.gather.inputs.drift.path": str(change)}
    verdict, log, outputs = run(client, "retraining.yml", given)
    assert "_prepare: Completed (reused from " in log
    assert verdict["registered"], verdict["reason"]
    assert verdict["version"] == 2 and verdict["champion_version"] == 1
    assert verdict["accuracy_new"] > verdict["champion_accuracy_new"] + 0.3
    about = json.loads((outputs["new"] / "about.json").read_text(encoding="utf-8"))
    assert sum(about["counts"].values()) == N - 20
    assert client.models.get("digits", label="latest").version == "2"
