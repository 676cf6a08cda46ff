"""The monitor, on what digits.serving.score hands over for a whole simulation: verdict, files and MLflow runs."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import mlflow
import numpy as np
import pytest
from PIL import Image

from digits.data import sets
from digits.data.hands import HANDS
from digits.errors import DataError
from digits.serving import score
from drift.monitor import core, monitor, runs
from drift.records import collected
from drift.traffic import scenario

TICKS = 100


class Collector:
    """Writes what it is given where, and as, an endpoint on Azure has it."""

    def __init__(self, folder: Path, collection: str) -> None:
        self.collection = collection
        self.file = folder / "digits" / "blue" / collection / "2025" / "01" / "31" / "10" / "f3a1.jsonl"
        self.file.parent.mkdir(parents=True)

    def collect(self, frame: Any, context: Any) -> None:
        self.write(context.get_id(), json.loads(frame.to_json(orient="records")))

    def write(self, id: str, rows: Any) -> None:
        record = {"data": rows, "time": "2025-01-31T10:00:00Z", "correlationid": id, "xrequestid": id}
        with self.file.open("a") as lines:
            lines.write(json.dumps(record) + "\n")


Simulate = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="module")
def simulate(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """Plays a scenario through digits.serving.score; gives the folder of records, and labels.jsonl."""
    embedded = {name: sets.embedded(name, "test") for name in HANDS}

    def simulate(
        name: str, ticks: int = TICKS, run: str = "run", digits: dict[str, sets.Digits] = embedded
    ) -> tuple[Path, Path]:
        home = tmp_path_factory.mktemp(name)
        collectors = {c: Collector(home / "collected", c) for c in ("model_inputs", "model_outputs", "request")}
        plan = scenario.read(name, ticks=ticks)
        simulation = scenario.play(plan, digits)
        with pytest.MonkeyPatch.context() as patch, (home / "labels.jsonl").open("w") as labels:
            patch.setenv("AZUREML_MODEL_DIR", str(trained))
            score.init()
            patch.setattr(score, "collect", {c: collectors[c] for c in ("model_inputs", "model_outputs")})
            for tick, (source, image) in enumerate(zip(simulation.sources, simulation.images, strict=True)):
                body, id = {"input_data": [image.ravel().tolist()]}, f"{run}-{tick}"
                score.run(json.dumps(body), {"X-Ms-Client-Request-Id": id})
                collectors["request"].write(id, body)
                row = {"id": id, "tick": tick, "date": simulation.dates[tick], "source": source, "status": 200}
                weights = dict(zip(plan.sources, simulation.weights[tick], strict=True))
                labels.write(json.dumps(row | {"label": int(simulation.labels[tick]), "weights": weights}) + "\n")
        return home / "collected", home / "labels.jsonl"

    return simulate


@pytest.fixture(scope="module")
def external(simulate: Simulate) -> tuple[Path, Path]:
    return simulate("external", run="external-1")


@pytest.fixture(scope="module")
def monitored(
    external: tuple[Path, Path], trained: Path, tracking: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, str]:
    """The output folder, the parent run's id, and what was printed, of one monitoring."""
    import contextlib
    import io

    out, said = tmp_path_factory.mktemp("monitored"), io.StringIO()
    run = mlflow.MlflowClient().create_run(mlflow.get_experiment_by_name("tests").experiment_id).info.run_id
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setenv("MLFLOW_RUN_ID", run)
        folder, labels = external
        arguments = ["--collected", str(folder), "--model", str(trained), "--labels", str(labels)]
        assert monitor.main([*arguments, "--output", str(out)]) == 0
    return out, run, said.getvalue()


def children(run: str) -> list[mlflow.entities.Run]:
    experiment = mlflow.get_experiment_by_name("tests").experiment_id
    return mlflow.MlflowClient().search_runs([experiment], f"tags.mlflow.parentRunId = '{run}'", max_results=1000)


def test_it_says_what_happened_and_when(monitored: tuple[Path, str, str]) -> None:
    _, _, said = monitored
    assert (
        said.startswith("Devanagari digits came and stayed.")
        and "until the end" in said
        and "Certain from tick" in said
    )
    assert "retrain" in said and "report.html" in said


def test_files(monitored: tuple[Path, str, str]) -> None:
    out, _, _ = monitored
    assert {file.name for file in out.iterdir()} == {"report.html", "verdict.json"}
    said = json.loads((out / "verdict.json").read_text())
    assert said["drifted"] and said["standing"] and said["run"] == "external-1" and said["requests"] == TICKS
    assert said["promise"] == {"gamma": 10000} and said["reference"] == 170
    (change,) = said["changes"]
    assert change["source"] == "devanagari" and 45 <= change["first"] <= change["seen"] <= 62 and change["last"] == 99
    assert change["evidence"] > 10_000 and "once in" in change["rarity"]
    assert all(int(id.rpartition("-")[2]) >= change["first"] for id in said["most_unlike"]) and said["most_unlike"]
    assert change["first_date"] == f"{np.datetime64('2025-01-01') + change['first']}"


def test_the_simulation_is_a_run_with_a_value_for_every_tick(monitored: tuple[Path, str, str]) -> None:
    _, run, _ = monitored
    client = mlflow.MlflowClient()
    for name in ("weight_mnist", "weight_devanagari", "confidence", "correct", "accuracy_last_10", "ink"):
        assert [point.step for point in client.get_metric_history(run, name)] == list(range(TICKS)), name
    assert "Devanagari digits came and stayed" in client.get_run(run).data.tags["verdict"]
    evidence = [point.value for point in client.get_metric_history(run, "evidence")]
    assert len(evidence) == TICKS and max(evidence[:45]) < 4 < max(evidence), "4 is once in 10,000 requests"


def test_run_and_model_are_tagged_with_the_drift(
    monitored: tuple[Path, str, str], external: tuple[Path, Path], trained: Path
) -> None:
    _, run, _ = monitored
    client = mlflow.MlflowClient()
    tags = client.get_run(run).data.tags
    assert tags["drift"] == "standing" and tags["drift.since"].startswith("2025-0") and tags["drift.words"]
    assert client.get_run(run).data.params["gamma"] == "10000"
    # Only the version that is this very model.
    from digits.jobs import registry
    from digits.network import lite
    from drift.monitor.runs import tag_model

    client.create_registered_model("watched")
    mine, other = (client.create_model_version("watched", source="nowhere", run_id=run) for _ in range(2))
    mark = lite.fingerprint(trained / lite.FILE)
    client.set_model_version_tag("watched", mine.version, registry.FINGERPRINT, mark)
    seen = collected.read(*external)
    detector = core.new_detector(trained, None)
    findings = core.findings_of(seen, detector, detector.update(seen.columns))
    tag_model("watched", trained, findings)
    assert client.get_model_version("watched", mine.version).tags["drift"] == "standing"
    assert "drift" not in client.get_model_version("watched", other.version).tags


def test_every_request_is_a_run_below_it(monitored: tuple[Path, str, str], external: tuple[Path, Path]) -> None:
    _, run, _ = monitored
    seen = collected.read(*external)
    runs = {child.info.run_name: child for child in children(run)}
    assert runs.keys() == {f"external-1-{tick}" for tick in range(TICKS)}
    for tick in range(TICKS):
        child = runs[f"external-1-{tick}"]
        metrics = child.data.metrics
        assert child.info.status == "FINISHED"
        assert (metrics["tick"], metrics["prediction"]) == (tick, seen["prediction"][tick])
        assert metrics["probability"] == pytest.approx(seen["confidence"][tick])
        assert metrics["probability_class_7"] == pytest.approx(seen["probability_7"][tick])
        assert child.data.params == {"source": seen["source"][tick]}
        assert child.data.tags["label"] == str(seen["label"][tick])
        if seen["confidence"][tick] < 0.9:
            assert metrics["anomalous_pred_proba"] == pytest.approx(seen["confidence"][tick])
        else:
            assert "anomalous_pred_proba" not in metrics
    file = Path(url2pathname(urlparse(runs["external-1-60"].info.artifact_uri).path), "data.png")
    assert (np.asarray(Image.open(file)) == seen.images[60]).all() and seen.images[60].any()


def test_of_very_many_requests_there_are_no_runs(
    external: tuple[Path, Path],
    trained: Path,
    tracking: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(runs, "REQUESTS", TICKS - 1)
    run = mlflow.MlflowClient().create_run(mlflow.get_experiment_by_name("tests").experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    folder, labels = external
    monitor.monitor(core.Place(folder), trained, tmp_path, labels=labels)
    assert children(run) == [] and "no MLflow run for each" in capsys.readouterr().out


def test_the_same_scenario_gives_the_same_records(external: tuple[Path, Path], simulate: Simulate) -> None:
    first, again = collected.read(*external), collected.read(*simulate("external", run="external-2"))
    assert (first.images == again.images).all() and (first.weights == again.weights).all()
    for name, values in first.columns.items():
        if name not in ("id", "run"):
            assert (values == again[name]).all(), name


@pytest.fixture(scope="module")
def headline(simulate: Simulate, trained: Path) -> Callable[..., str]:
    """What is said of a scenario."""

    def headline(name: str, **options: Any) -> str:
        seen = collected.read(*simulate(name, **options))
        detector = core.new_detector(trained, None)
        return core.findings_of(seen, detector, detector.update(seen.columns)).verdict.headline

    return headline


def test_steady_traffic_raises_no_alarm(headline: Callable[..., str]) -> None:
    assert headline("steady") == "Nothing changed"


def test_a_season_is_seen_twice(headline: Callable[..., str]) -> None:
    assert headline("seasonal") == "Japanese digits came and went twice"


def test_a_broken_camera_is_seen(headline: Callable[..., str]) -> None:
    assert headline("inverted") == "Inverted digits came and stayed"


@pytest.mark.skipif("DIGITS_DATA" not in os.environ, reason="needs the full sets; DIGITS_DATA names their folder")
def test_real_hands_are_seen(headline: Callable[..., str]) -> None:
    digits = {name: sets.load(name, split="test") for name in HANDS}
    assert headline("seasonal", digits=digits) == "Japanese digits came and went twice"
    assert headline("external", digits=digits) == "Devanagari digits came and stayed"
    assert headline("steady", digits=digits) == "Nothing changed"


def test_without_labels_it_looks_at_all_there_is(
    external: tuple[Path, Path], trained: Path, tracking: str, tmp_path: Path
) -> None:
    folder, labels = external
    found = monitor.monitor(core.Place(folder, "digits"), trained, tmp_path / "all")
    said = json.loads((tmp_path / "all" / "verdict.json").read_text())
    assert said["headline"] == "The digits have changed" and said["accuracy"] is None and said["requests"] == TICKS
    assert "Label some" in found.advice
    # What people label later need no ticks, and may be few.
    few = tmp_path / "few.jsonl"
    rows = [json.loads(line) for line in labels.read_text().splitlines()]
    few.write_text("".join(json.dumps({"id": r["id"], "label": r["label"]}) + "\n" for r in rows[::5]))
    found = monitor.monitor(core.Place(folder), trained, tmp_path / "few", labels=few)
    assert found.changed_accuracy < found.calm_accuracy
    assert (tmp_path / "few" / "report.html").is_file()


@pytest.mark.parametrize(
    ("promise", "told"), [({"gamma": 0.5}, "--gamma is 0.5"), ({"certified": 1.0}, "--certified is 1.0")]
)
def test_a_promise_that_means_nothing_is_told(trained: Path, promise: dict[str, float], told: str) -> None:
    with pytest.raises(DataError, match=told):
        core.new_detector(trained, promise)


def test_records_on_their_way_are_waited_for(
    external: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, labels = external
    late = tmp_path / "collected"
    late.mkdir()
    monkeypatch.setattr(
        time, "sleep", lambda seconds: (late / "digits").exists() or (folder / "digits").rename(late / "digits")
    )
    try:
        assert len(monitor._read(core.Place(late), labels, wait=60)) == TICKS
    finally:
        (late / "digits").rename(folder / "digits")


def test_a_mistake_is_one_line_and_leaves_nothing(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--collected",
        str(tmp_path),
        "--model",
        str(trained),
        "--labels",
        str(tmp_path / "labels.jsonl"),
        "--output",
        str(tmp_path / "out"),
    ]
    assert monitor.main(arguments) == 1
    said = capsys.readouterr().err
    assert "labels.jsonl: no such file" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
