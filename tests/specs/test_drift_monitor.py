"""aml/monitoring/drift.yml is quiet on clean digits and raises an alarm on others, as amlocal computes it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from azure.ai.ml.entities import Data

from amlocal.client import LocalMLClient
from amlocal.core.files import read_json
from amlocal.monitors import __main__ as monitoring
from amlocal.monitors import places
from amlocal.specs import load
from digits.data import ink, sets

DRIFT = Path(__file__).parents[2] / "aml" / "monitoring" / "drift.yml"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalMLClient:
    """A client on an empty workspace."""
    for name in ("AMLOCAL_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    client = LocalMLClient(tmp_path / ".amlocal")
    client.workspace.create()
    return client


def collect(client: LocalMLClient, rows: list[dict[str, Any]], name: str = "model_inputs") -> None:
    """As the endpoint's gateway does, at this hour."""
    hour = f"{datetime.now(UTC):%Y/%m/%d/%H}"
    folder = client.workspace.datastore() / "modelDataCollector" / "digits" / "blue" / name / hour
    folder.mkdir(parents=True)
    records = [{"type": f"azureml.inference.{name}", "data": [row]} for row in rows]
    (folder / "one.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def digits_of(hand: str, count: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What `blue` would collect of a hand's images, inputs and outputs; the nearest mean stands for its network."""
    known, shown = sets.embedded("mnist"), sets.embedded(hand)
    means = np.stack([known.images[known.labels == digit].reshape(-1, 784).mean(axis=0) for digit in range(10)])
    chosen = np.random.default_rng(seed).choice(len(shown.images), count, replace=False)
    images = shown.images[chosen]
    away = np.linalg.norm(images.reshape(-1, 1, 784) / 255 - means / 255, axis=2)
    shares = np.exp(-2 * away) / np.exp(-2 * away).sum(axis=1, keepdims=True)
    inputs = [
        {name: float(value) for name, value in zip(ink.STATISTICS, row, strict=True)} for row in ink.statistics(images)
    ]
    outputs = [
        {"prediction": int(digit), "confidence": float(sure), "distance": float(near)}
        for digit, sure, near in zip(away.argmin(axis=1), shares.max(axis=1), away.min(axis=1), strict=True)
    ]
    return inputs, outputs


@pytest.mark.parametrize("hand", ["mnist", "devanagari", "japanese"])
def test_our_own_monitor_is_quiet_on_clean_digits_and_not_on_others(
    client: LocalMLClient, tmp_path: Path, hand: str
) -> None:
    """aml/monitoring/drift.yml as it stands, on 600 rows."""
    reference = tmp_path / "reference"
    reference.mkdir()
    inputs, outputs = digits_of("mnist", 2000, seed=0)
    rows = [row | answer for row, answer in zip(inputs, outputs, strict=True)]
    pd.DataFrame(rows).to_csv(reference / "reference.csv", index=False)
    (reference / "MLTable").write_text(
        "paths:\n  - file: ./reference.csv\ntransformations:\n  - read_delimited: {delimiter: ',', encoding: utf8}\n"
    )
    client.data.create_or_update(Data(name="digits-reference", version="1", type="mltable", path=str(reference)))
    schedule = load("schedule", DRIFT)
    told = {
        "monitor": "digits-drift",
        "time": datetime.now(UTC).isoformat(),
        "definition": places.kept(schedule),
        "trigger": schedule._to_dict()["trigger"],
    }
    shown, answered = digits_of(hand, 600, seed=1)
    collect(client, shown)
    collect(client, answered, "model_outputs")
    assert monitoring.run(told, tmp_path / "out", client.workspace) == 0
    found = read_json(tmp_path / "out" / "monitor.json")["signals"]
    beyond = {(one["signal"], metric["feature"]) for one in found for metric in one["metrics"] if metric["violated"]}
    assert not [note for one in found for note in one["notes"]]
    assert [len(one["metrics"]) for one in found] == [8, 3, 24]
    assert {metric["feature"]: metric["data_type"] for metric in found[1]["metrics"]} == {
        "prediction": "categorical",
        "confidence": "numerical",
        "distance": "numerical",
    }
    if hand == "mnist":
        assert beyond == set()
    else:
        assert {("inputs", "ink"), ("inputs", "height"), ("predictions", "distance")} <= beyond
