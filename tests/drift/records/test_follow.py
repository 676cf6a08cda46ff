"""Reading records while they grow: every request once, whole, in order, whatever the reader suffers."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from digits.errors import DataError
from drift.records import follow
from drift.records.follow import Follower


class Endpoint:
    """Writes records as a gateway does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def write(
        self,
        collection: str,
        number: int,
        rows: list[dict[str, Any]],
        hour: str = "10",
        to: str = "blue",
        id: str = "",
        instance: str = "f3a1",
    ) -> Path:
        file = self.folder / "digits" / to / collection / "2025" / "01" / "31" / hour / f"{instance}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        time = f"2025-01-31T{hour}:{number // 60:02}:{number % 60:02}Z"
        record = {"data": rows, "time": time, "correlationid": id or f"run-{number}", "xrequestid": f"gw-{number}"}
        with file.open("a") as lines:
            lines.write(json.dumps(record) + "\n")
        return file

    def ask(self, *numbers: int, **place: str) -> None:
        for number in numbers:
            self.write("model_inputs", number, [{"ink": number}], **place)
            self.write("model_outputs", number, [{"prediction": number % 10, "confidence": 0.9}], **place)


@pytest.fixture
def endpoint(tmp_path: Path) -> Endpoint:
    return Endpoint(tmp_path / "modelDataCollector")


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def test_what_is_new_is_read_once(endpoint: Endpoint) -> None:
    follower = Follower(endpoint.folder)
    assert follower.read() == []
    endpoint.ask(0, 1)
    rows = follower.read()
    assert ids(rows) == ["run-0", "run-1"] and rows[1]["ink"] == 1 and rows[1]["xrequestid"] == "gw-1"
    assert follower.read() == []
    endpoint.ask(2)
    endpoint.ask(3, hour="11")
    assert ids(follower.read()) == ["run-2", "run-3"]


def test_halves_wait_for_each_other(endpoint: Endpoint) -> None:
    follower = Follower(endpoint.folder)
    endpoint.write("model_outputs", 0, [{"prediction": 1}])
    endpoint.ask(1)
    assert follower.read() == [], "the first has no inputs yet, and nobody overtakes it"
    endpoint.write("model_inputs", 0, [{"ink": 5}])
    assert [row.get("ink") for row in follower.read()] == [5, 1]
    endpoint.write("model_inputs", 2, [{"ink": 7}])
    assert follower.read() == []
    endpoint.write("model_outputs", 2, [{"prediction": 1}])
    assert [row["ink"] for row in follower.read()] == [7]


def test_what_never_gets_its_other_half_is_taken_without(endpoint: Endpoint) -> None:
    endpoint.write("model_outputs", 0, [{"prediction": 1}])
    endpoint.ask(1)
    rows = Follower(endpoint.folder).read(patience=0)
    assert ids(rows) == ["run-0", "run-1"] and "ink" not in rows[0] and rows[1]["ink"] == 1


def test_only_what_has_waited_long_enough_is_taken_without(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(follow, "time", SimpleNamespace(monotonic=lambda: clock.now))
    endpoint.write("model_outputs", 0, [{"prediction": 1}])
    endpoint.ask(1)
    follower = Follower(endpoint.folder)
    assert follower.read(patience=5) == []
    clock.now += 6
    endpoint.write("model_outputs", 2, [{"prediction": 1}])
    assert [row.get("ink") for row in follower.read(patience=5)] == [None, 1], "the third came only just now"
    clock.now += 4
    again = Follower(endpoint.folder)
    again.restore(json.loads(json.dumps(follower.state())))
    clock.now += 4
    assert again.read(patience=5) == [], "who was away has not waited"
    endpoint.write("model_inputs", 2, [{"ink": 2}])
    assert [row["ink"] for row in again.read(patience=5)] == [2]


@pytest.mark.parametrize("lost", [{3}, set(range(0, 240, 30)), set(range(0, 240, 2))])
def test_inputs_that_are_lost_cost_no_other_request_its_own(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, lost: set[int]
) -> None:
    monkeypatch.setattr(follow, "EARLY", 40)
    for number in range(240):
        endpoint.write("model_outputs", number, [{"prediction": 1}])
        if number not in lost:
            endpoint.write("model_inputs", number, [{"ink": number}])
    assert without(endpoint) == lost


def test_outputs_that_are_lost_cost_no_other_request_its_inputs(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a share of them is collected: most inputs never find theirs."""
    monkeypatch.setattr(follow, "EARLY", 40)
    for number in range(400):
        endpoint.write("model_inputs", number, [{"ink": number}])
        if number % 5 == 0:
            endpoint.write("model_outputs", number, [{"prediction": 1}])
    assert without(endpoint) == set()


def test_inputs_that_come_late_are_found_however_many_later_ones_there_are(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "EARLY", 5)
    endpoint.write("model_outputs", 0, [{"prediction": 1}], to="green")
    endpoint.ask(1, 2)
    for number in range(3, 30):
        endpoint.write("model_inputs", number, [{"ink": number}])
    follower = Follower(endpoint.folder)
    assert follower.read(most=10) == []
    endpoint.write("model_inputs", 0, [{"ink": 0}], to="green")
    assert [row["ink"] for row in follower.read(most=10)] == [0, 1, 2]


def without(endpoint: Endpoint) -> set[int]:
    """Read a backlog; which requests were taken without their inputs. The others have their own."""
    follower, rows = Follower(endpoint.folder), []
    while part := follower.read(most=20, patience=0):
        rows += part
        assert len(follower.early) <= 40 + 20, "no more is kept, however many there are"
    numbers = [int(row["id"].removeprefix("run-")) for row in rows]
    assert numbers == sorted(set(numbers))
    assert all(row.get("ink") in (None, number) for number, row in zip(numbers, rows, strict=True))
    return {number for number, row in zip(numbers, rows, strict=True) if "ink" not in row}


def test_an_id_that_a_client_uses_again_gets_its_inputs_in_order(endpoint: Endpoint) -> None:
    for number in range(6):
        endpoint.ask(number, id="my-app")
    follower = Follower(endpoint.folder)
    assert [row.get("ink") for row in follower.read(most=2, patience=0)] == [0, 1]
    for number in (6, 7):
        endpoint.write("model_inputs", number, [{"ink": number}], id="my-app")
    again = Follower(endpoint.folder)
    again.restore(json.loads(json.dumps(follower.state())))
    assert [row.get("ink") for row in again.read(patience=0)] == [2, 3, 4, 5]
    endpoint.write("model_outputs", 6, [{"prediction": 1}], id="my-app")
    assert [row.get("ink") for row in again.read(patience=0)] == [6]


def test_a_line_that_is_being_written_waits(endpoint: Endpoint) -> None:
    follower = Follower(endpoint.folder)
    endpoint.ask(0, 1)
    file = endpoint.write("model_outputs", 2, [{"prediction": 2}])
    endpoint.write("model_inputs", 2, [{"ink": 2}])
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    assert ids(follower.read()) == ["run-0", "run-1"]
    file.write_bytes(whole)
    assert ids(follower.read()) == ["run-2"]


def test_several_images_of_one_request_are_that_many(endpoint: Endpoint) -> None:
    endpoint.write("model_inputs", 0, [{"ink": 1}, {"ink": 2}])
    endpoint.write("model_outputs", 0, [{"prediction": 1}, {"prediction": 2}])
    rows = Follower(endpoint.folder).read()
    assert [(row["ink"], row["prediction"]) for row in rows] == [(1, 1), (2, 2)]


def test_what_azure_put_into_one_record_is_told_apart(endpoint: Endpoint) -> None:
    rows = [{"correlationid": f"other-{k}", "xrequestid": f"x-{k}", "prediction": k} for k in range(3)]
    endpoint.write("model_outputs", 0, rows)
    endpoint.write("model_inputs", 0, [{"correlationid": f"other-{k}", "ink": k} for k in (2, 1, 0)])
    assert [(row["id"], row["ink"]) for row in Follower(endpoint.folder).read()] == [
        ("other-0", 0),
        ("other-1", 1),
        ("other-2", 2),
    ]


def test_a_spoilt_line_is_told_of_and_passed(endpoint: Endpoint) -> None:
    endpoint.ask(0)
    file = endpoint.folder / "digits" / "blue" / "model_outputs" / "2025" / "01" / "31" / "10" / "f3a1.jsonl"
    with file.open("a") as lines:
        lines.write("no json\n[1]\n{}\n" + "[" * 100_000 + "\n")
    endpoint.ask(1)
    follower = Follower(endpoint.folder)
    assert ids(follower.read()) == ["run-0", "run-1"] and len(follower.problems) == 4
    assert "a line could not be read" in follower.problems[0]


def test_a_spoilt_line_is_told_of_once(endpoint: Endpoint) -> None:
    """A line that was merely compared with another file's is not yet read."""
    endpoint.ask(*range(10))
    file = endpoint.write("model_outputs", 10, [{}], to="green")
    file.write_text("no json\n" * 3)
    follower = Follower(endpoint.folder)
    while follower.read(most=2):
        pass
    assert len(follower.problems) == 3


def test_only_what_is_asked_for(endpoint: Endpoint) -> None:
    endpoint.ask(0, to="blue")
    endpoint.ask(1, to="green")
    assert ids(Follower(endpoint.folder, deployment="green").read()) == ["run-1"]
    assert Follower(endpoint.folder, endpoint="other").read() == []
    with pytest.raises(DataError, match="no such folder; --collected"):
        Follower(endpoint.folder / "none").read()


def test_a_large_backlog_comes_in_parts(endpoint: Endpoint) -> None:
    endpoint.ask(*range(55))
    follower, parts = Follower(endpoint.folder), []
    while rows := follower.read(most=20):
        parts.append(ids(rows))
    assert [len(part) for part in parts] == [20, 20, 15]
    assert [id for part in parts for id in part] == [f"run-{number}" for number in range(55)]


@pytest.mark.parametrize("files", [({"to": "blue"}, {"to": "green"}), ({"instance": "a"}, {"instance": "b"})])
def test_a_backlog_of_several_files_comes_in_order_of_time(
    endpoint: Endpoint, files: tuple[dict[str, str], ...]
) -> None:
    """Of two deployments, of two instances; restored after every part, and a line that is being written waits."""
    for number in range(90):
        endpoint.ask(number, **files[number % 3 == 0])
    endpoint.ask(90, hour="11", **files[0])
    file = endpoint.write("model_outputs", 89, [{"prediction": 1}], id="torn", **files[1])
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    rows: list[dict[str, Any]] = []
    state = Follower(endpoint.folder).state()
    while True:
        follower = Follower(endpoint.folder)
        follower.restore(json.loads(json.dumps(state)))
        if not (part := follower.read(most=20)):
            break
        rows += part
        state = follower.state()
    assert ids(rows) == [f"run-{number}" for number in range(91)]
    assert [row["ink"] for row in rows] == list(range(91))
    file.write_bytes(whole)
    assert ids(follower.read(patience=0)) == ["torn"]


def test_it_goes_on_where_it_was_stopped(endpoint: Endpoint) -> None:
    """Restored from JSON after every reading, with halves waiting on both sides."""
    found, state = [], Follower(endpoint.folder).state()
    for number in range(30):
        endpoint.write("model_outputs", number, [{"prediction": 1}])
        if number >= 2:
            endpoint.write("model_inputs", number - 2, [{"ink": number - 2}])
        follower = Follower(endpoint.folder)
        follower.restore(json.loads(json.dumps(state)))
        found += follower.read()
        state = follower.state()
    assert [(row["id"], row["ink"]) for row in found] == [(f"run-{number}", number) for number in range(28)]


@pytest.mark.parametrize("state", [{}, {"offsets": 3, "waiting": [], "early": {}}, {"offsets": {"a": "b"}}])
def test_a_state_of_something_else_is_refused(endpoint: Endpoint, state: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="it is not"):
        Follower(endpoint.folder).restore(state)
