"""Reading what an endpoint collected: Azure's layout and keys, joined by request id, whatever is torn or missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits.errors import DataError
from digits.serving import score
from drift.records import collected

N = 6


def write(
    folder: Path, collection: str, records: list[dict[str, Any]], hour: str = "10", deployment: str = "blue"
) -> Path:
    file = folder / "digits" / deployment / collection / "2025" / "01" / "31" / hour / "f3a1.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)
    return file


def record(collection: str, id: str, data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": f"azureml.inference.{collection}",
        "datacontenttype": "application/json",
        "time": "2025-01-31T10:00:00Z",
        "data": data,
        "correlationid": id,
        "xrequestid": id,
    }


def output(tick: int, **more: Any) -> dict[str, Any]:
    row = dict.fromkeys(score.OUTPUTS, 0.1) | {"correlationid": f"run-{tick}", "xrequestid": f"gw-{tick}"}
    return row | {"prediction": tick % 10, "confidence": tick / 10, "anomaly_largest": 1} | more


def picture(tick: int) -> dict[str, Any]:
    return {"input_data": [[tick] * 784]}


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.jsonl"
    rows = [
        {"id": f"run-{tick}", "tick": tick, "date": f"2025-01-{tick + 1:02}", "source": "mnist", "label": tick,
         "weights": {"mnist": 0.5, "japanese": 0.1 * tick}, "status": 200}
        for tick in range(N)
    ]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Everything on record, in an order of its own."""
    folder = tmp_path / "modelDataCollector"
    for tick in (3, 0, 5, 1, 4, 2):
        hour = f"{10 + tick % 2}"
        write(folder, "model_outputs", [record("model_outputs", f"run-{tick}", [output(tick)])], hour)
        write(
            folder,
            "model_inputs",
            [record("model_inputs", f"run-{tick}", [{"correlationid": f"run-{tick}", "ink": tick}])],
        )
        write(folder, "request", [record("request", f"run-{tick}", picture(tick))])
    return folder


def test_everything_is_joined_in_the_order_of_the_ticks(folder: Path, labels: Path) -> None:
    seen = collected.read(folder, labels)
    assert len(seen) == N and not seen.problems and seen.pictured.all()
    assert seen["tick"].tolist() == seen["prediction"].tolist() == seen["ink"].tolist() == list(range(N))
    assert seen.images[:, 0, 0].tolist() == list(range(N)) and seen.images.dtype == np.uint8
    assert seen.sources == ["mnist", "japanese"] and seen.weights[4].tolist() == [0.5, 0.4]
    assert set(seen["run"]) == {"run"} and set(seen["deployment"]) == {"blue"}


@pytest.mark.parametrize("part", ["", "digits", "digits/blue"])
def test_any_part_of_the_folder_will_do(folder: Path, labels: Path, part: str) -> None:
    assert len(collected.read(folder / part, labels, "digits")) == N


def test_requests_that_azure_put_into_one_record_are_told_apart(tmp_path: Path, labels: Path) -> None:
    write(tmp_path / "c", "model_outputs", [record("model_outputs", "gw-0", [output(tick) for tick in range(N)])])
    assert collected.read(tmp_path / "c", labels)["prediction"].tolist() == list(range(N))


def test_a_request_on_record_under_the_gateways_id_is_found(tmp_path: Path, labels: Path) -> None:
    for tick in range(N):
        write(tmp_path / "c", "model_outputs", [record("model_outputs", f"run-{tick}", [output(tick)])])
        write(tmp_path / "c", "request", [record("request", f"gw-{tick}", json.dumps(picture(tick)))])
    assert collected.read(tmp_path / "c", labels).images[:, 0, 0].tolist() == list(range(N))


def test_a_torn_line_is_told_of_and_the_rest_is_read(folder: Path, labels: Path) -> None:
    file = write(folder, "model_outputs", [])
    file.write_bytes(file.read_bytes() + b'{"data": [{"predic')
    labels.write_text(labels.read_text() + '{"id": "run-')
    seen = collected.read(folder, labels)
    assert len(seen) == N
    assert [problem for problem in seen.problems if "1 line could not be read" in problem and str(file) in problem]
    assert [problem for problem in seen.problems if str(labels) in problem]


def test_what_is_missing_is_told(tmp_path: Path, labels: Path) -> None:
    for tick in (0, 1, 4):
        write(tmp_path / "c", "model_outputs", [record("model_outputs", f"run-{tick}", [output(tick)])])
    write(tmp_path / "c", "model_inputs", [record("model_inputs", "run-1", [{"ink": 7}])])
    write(tmp_path / "c", "request", [record("request", "run-0", picture(0)), record("request", "run-1", "no digit")])
    seen = collected.read(tmp_path / "c", labels)
    assert seen["tick"].tolist() == [0, 1, 4] and seen.pictured.tolist() == [True, False, False]
    assert np.isnan(seen["ink"][[0, 2]]).all() and seen["ink"][1] == 7
    assert seen.problems == [
        "3 of 6 requests have no whole record in model_outputs",
        "2 of 3 requests have no image in request",
    ]


def test_a_request_that_was_not_answered_is_left_out(folder: Path, labels: Path) -> None:
    rows = [json.loads(line) for line in labels.read_text().splitlines()]
    rows[2]["status"] = 503
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen = collected.read(folder, labels)
    assert seen["tick"].tolist() == [0, 1, 3, 4, 5] and "not answered, 1 of 6" in seen.problems[0]


def test_nothing_to_read_is_one_clear_line(folder: Path, labels: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; --labels"):
        collected.read(folder, tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="no such folder; --collected"):
        collected.read(tmp_path / "none", labels)
    with pytest.raises(DataError, match="holds no model_outputs of endpoint other for the 6 requests"):
        collected.read(folder, labels, "other")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match="names no request that was answered"):
        collected.read(folder, tmp_path / "empty.jsonl")


def test_a_record_without_numbers_is_left_out(folder: Path, labels: Path) -> None:
    write(folder, "model_outputs", [record("model_outputs", "run-3", [output(3, confidence=None)])], hour="12")
    seen = collected.read(folder, labels)
    assert seen["tick"].tolist() == [0, 1, 2, 4, 5] and "1 of 6" in seen.problems[0]


def test_records_of_another_script_are_refused(tmp_path: Path, labels: Path) -> None:
    write(tmp_path / "c", "model_outputs", [record("model_outputs", "run-1", [{"prediction": 1}])])
    with pytest.raises(DataError, match=r"have no confidence; they must be what digits\.serving\.score collects"):
        collected.read(tmp_path / "c", labels)


def test_only_the_deployment_that_is_asked_for(folder: Path, labels: Path) -> None:
    """A rollout mirrors requests, so that two deployments answer the same one."""
    for tick in range(N):
        answer = record("model_outputs", f"run-{tick}", [output(tick, prediction=9)])
        write(folder, "model_outputs", [answer], deployment="green")
    assert collected.read(folder, labels, None, "blue")["prediction"].tolist() == list(range(N))
    assert set(collected.read(folder, labels, "digits", "green")["prediction"]) == {9}
    with pytest.raises(DataError, match="holds no model_outputs of deployment pink for the 6 requests"):
        collected.read(folder, labels, None, "pink")


def test_several_images_of_a_request_are_told_apart(tmp_path: Path) -> None:
    images = {"input_data": [[10 + k] * 784 for k in range(3)]}
    write(tmp_path, "request", [record("request", "run-0", images)])
    rows = [
        {"id": "run-0", "xrequestid": "", "key": f"run-0 {k}", "time": "", "deployment": "blue", "prediction": k}
        for k in range(4)
    ]
    seen = collected.assemble(rows, range(4), {"run-0": {"label": 7, "source": "mnist"}}, tmp_path, [])
    assert seen.images[:, 0, 0].tolist() == [10, 11, 12, 0] and seen.pictured.tolist() == [True] * 3 + [False]
    assert seen["label"].tolist() == [7, -1, -1, -1], "there is but one label for an id: the first image's"


@pytest.mark.parametrize("odd", [10**400, float("inf"), float("nan"), 1e300, "three", None, [3], -1, 12, 2.5])
def test_a_prediction_that_is_no_class_counts_as_none(odd: Any) -> None:
    assert np.isnan(collected.columns([{"prediction": odd}])["prediction"]).all()


def test_numbers_that_measure_nothing_count_as_missing() -> None:
    table = collected.columns([{"ink": 10**400, "distance": -1e300, "confidence": True, "model": 3}, {}])
    assert np.isnan(table["ink"]).all() and np.isnan(table["distance"]).all() and table["confidence"][0] == 1
    assert table["model"].tolist() == ["", ""]


def test_outputs_of_another_script_are_refused_without_labels_too(tmp_path: Path) -> None:
    rows = [{"id": "a", "xrequestid": "", "key": "a 0", "time": "", "deployment": "blue", "answer": 3}]
    with pytest.raises(DataError, match="model_outputs have no prediction"):
        collected.assemble(rows, [0], {}, tmp_path, [])


@pytest.mark.parametrize(
    "odd", [{"label": 12}, {"label": -1}, {"weights": {"mnist": "a"}}, {"weights": {"mnist": 1e999}}]
)
def test_odd_lines_of_a_simulation_are_counted_and_left_out(folder: Path, labels: Path, odd: dict[str, Any]) -> None:
    first = json.loads(labels.read_text().splitlines()[0])
    with labels.open("a") as lines:
        lines.writelines(json.dumps(first | odd) + "\n" for _ in range(300))
    seen = collected.read(folder, labels)
    assert len(seen) == N and len(seen.problems) == 1 and "300 without a right id" in seen.problems[0]


def test_a_later_line_of_a_simulation_corrects_an_earlier(folder: Path, labels: Path) -> None:
    first = json.loads(labels.read_text().splitlines()[0])
    with labels.open("a") as lines:
        lines.write(json.dumps(first | {"label": 9}) + "\n")
    seen = collected.read(folder, labels)
    assert len(seen) == N and seen["label"][0] == 9
