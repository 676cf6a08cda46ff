"""The one rule by which records are read, at once and as they come: ids, rows and lines that cannot be read."""

import json
from pathlib import Path
from typing import Any

import pytest

from drift.records import reader
from drift.records.follow import Follower

OWN = {"correlationid": "own", "xrequestid": "gw-own"}


@pytest.mark.parametrize(
    ("record", "row", "id", "gateways"),
    [
        ({"correlationid": "c", "xrequestid": "x"}, {}, "c", "x"),
        ({"correlationid": "c", "xrequestid": "x"}, OWN, "own", "gw-own"),
        ({"xrequestid": "x"}, {}, "x", "x"),
        ({"xrequestid": "x"}, {"correlationid": "own"}, "own", "x"),
        ({}, {"xrequestid": "gw-own"}, "gw-own", "gw-own"),
        ({}, {}, "", ""),
    ],
)
def test_at_once_and_followed_a_request_has_the_same_id(
    record: dict[str, Any], row: dict[str, Any], id: str, gateways: str, tmp_path: Path
) -> None:
    file = tmp_path / "digits" / "blue" / "model_outputs" / "2025" / "01" / "31" / "10" / "f3a1.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(record | {"time": "2025-01-31T10:00:00Z", "data": [{**row, "prediction": 3}]}) + "\n")
    [followed] = Follower(tmp_path).read(patience=0)
    assert (followed["id"], followed["xrequestid"], followed["prediction"]) == (id, gateways, 3)
    found = reader.by_id(reader.records(tmp_path, "model_outputs", None, []), {"c", "own", "x", "gw-own"})
    assert set(found) == {name for name in (id, gateways) if name}
    assert all(row == followed for row in found.values())


TORN = b'{"a": 1}\n\n[1]\nno json\n\xff\n' + b"[" * 100_000 + b'\n{"b": 2}\n{"c": 3'


def test_lines_that_cannot_be_read_are_counted_and_the_last_may_still_be_written(tmp_path: Path) -> None:
    (file := tmp_path / "f3a1.jsonl").write_bytes(TORN)
    problems: list[str] = []
    assert list(reader.objects(file, problems)) == [{"a": 1}, {"b": 2}]
    assert problems == [f"{file}: 5 lines could not be read and were left out"]
    growing = list(reader.lines(file, growing=True))
    assert [line.object for line in growing] == [{"a": 1}, None, None, None, None, {"b": 2}]
    assert TORN[growing[-1].end :] == b'{"c": 3'
    file.write_bytes(TORN + b"}\n")
    assert [line.object for line in reader.lines(file, growing[-1].end, growing=True)] == [{"c": 3}]
