"""Whatever clients send, an endpoint answers it clearly, ends it in time, and serves the next one. One for the file."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from amlocal.client import LocalMLClient
from amlocal.down import down
from amlocal.operations.common import entity

SCRIPT = """
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema

def init(): pass

@input_schema("input_data", NumpyParameterType(np.array([[1.0, 2.0, 3.0, 4.0]])))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(input_data):
    return input_data.sum(axis=1).tolist()
"""
LIMIT_SECONDS = 15
many = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

rows = st.lists(st.lists(st.floats(0, 255), min_size=4, max_size=4), min_size=1, max_size=4)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
lines = st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\r\n\r\n", b"HTTP/1.1", b"chunked", b"\xff"])
smuggling = [
    [b"Content-Length: %d", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
    [b"Content-Length: %d", b"Transfer-Encoding : chunked"],
    [b"Content-Length: %d", b"Transfer-Encoding: xchunked"],
    [b"Content-Length: %d", b"Transfer-Encoding: chunked, identity"],
    [b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"],
    [b"Content-Length: 0", b"Content-Length: %d"],
    [b"Content-Length: 5, %d"],
    [b"Content-Length: +5"],
    [b"Content-Length: 5 5"],
    [b"Content-Length : 5"],
    [b"Content-Length: 0x5"],
]


class Target:
    """The endpoint, and bytes to and from it."""

    def __init__(self, client: LocalMLClient) -> None:
        self.store = client.online_endpoints.store
        self.port = self.store.get("digits").port
        self.key = client.online_endpoints.credentials("digits")["primaryKey"]
        self.collected = client.workspace.datastore() / "modelDataCollector" / "digits"

    def request(self, body: bytes, *more: bytes, length: bool = True) -> bytes:
        """A sound request, with further headers."""
        head = [
            b"POST /score HTTP/1.1",
            b"Host: 127.0.0.1",
            b"Authorization: Bearer " + self.key.encode(),
            b"Content-Type: application/json",
        ]
        head += [b"Content-Length: %d" % len(body)] if length else []
        return b"\r\n".join([*head, *more, b"", body])

    def ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_SECONDS)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/score", body, headers)
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """Send these bytes and no more; what comes back until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_SECONDS) as connection:
            received = b""
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while more := connection.recv(65536):
                    received += more
            except ConnectionError:
                pass  # refused in the middle of what we said
            return received

    def serves(self) -> bool:
        return self.ask(b'{"input_data": [[1, 2, 3, 4]]}')[::2] == (200, b"[10.0]")

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for path in self.collected.rglob("*.jsonl") for line in path.open(encoding="utf-8")]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(SCRIPT)
    client = LocalMLClient(folder / ".amlocal")
    spec = {
        "name": "blue",
        "endpoint_name": "digits",
        "code_configuration": {"code": str(folder / "code"), "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
        "instance_type": "Standard_DS1_v2",
        "instance_count": 1,
        "request_settings": {"max_concurrent_requests_per_instance": 20},
        "data_collector": {"collections": {each: {"enabled": "true"} for each in ("request", "response")}},
    }
    try:
        made = client.online_endpoints.begin_create_or_update(
            entity("online-endpoint", {"name": "digits", "auth_mode": "key"})
        ).result()
        client.online_deployments.begin_create_or_update(entity("online-deployment", spec))
        made.traffic = {"blue": 100}
        client.online_endpoints.begin_create_or_update(made)
        yield Target(client)
    finally:
        down(client.workspace)


def statuses(received: bytes) -> list[int]:
    """The statuses of the answers in these bytes, which must be answers and nothing else."""
    found = []
    while received:
        head, separator, rest = received.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        assert separator and status, received[:200]
        if int(status[1]) >= 200:
            length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
            assert length and len(rest) >= int(length[1]), received[:200]
            found.append(int(status[1]))
            rest = rest[int(length[1]) :]
        received = rest
    return found


def test_what_the_swagger_asks_for_is_answered(target: Target) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=LIMIT_SECONDS)
    connection.request("GET", "/swagger.json", headers={"Authorization": f"Bearer {target.key}"})
    swagger = json.loads(connection.getresponse().read())
    connection.close()
    shape = swagger["definitions"]["ServiceInput"]["properties"]["input_data"]
    assert shape["items"]["items"]["type"] == "number"

    @many
    @given(rows)
    def ask(given_rows: list[list[float]]) -> None:
        status, _, answer = target.ask(json.dumps({"input_data": given_rows}).encode())
        assert status == 200
        assert json.loads(answer) == pytest.approx([sum(row) for row in given_rows])

    ask()


@many
@given(
    anything
    | st.fixed_dictionaries({"input_data": anything})
    | st.fixed_dictionaries({"input_data": rows, "x": anything})
)
@example({"input_data": [[float("nan"), float("inf"), 10**400, 1e308]]})
@example({"input_data": [[{}]] * 50})
def test_json_beside_the_swagger_is_the_scripts_to_refuse(target: Target, value: Any) -> None:
    status, headers, _ = target.ask(json.dumps(value).encode())
    assert status == 200 or (status == 424 and headers["ms-azureml-model-error-statuscode"] in ("400", "500"))


@many
@given(st.binary(max_size=300))
def test_bodies_that_are_no_json_are_answered(target: Target, body: bytes) -> None:
    status, headers, _ = target.ask(body)
    # Azure's server answers 500 itself when a script with @input_schema is sent what is not UTF-8.
    assert status == 424 and headers["ms-azureml-model-error-statuscode"] in ("400", "500")


@many
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), lines | st.binary(max_size=9)), min_size=1, max_size=5))
def test_a_request_with_other_bytes_in_it_is_answered_or_refused(
    target: Target, changes: list[tuple[float, int, bytes]]
) -> None:
    data = target.request(b'{"input_data": [[1, 2, 3, 4]]}')
    for place, dropped, put in changes:
        at = int(place * len(data))
        data = data[:at] + put + data[at + dropped :]
    answered = statuses(target.raw(data))
    assert len(answered) <= 1 + data.count(b"HTTP/1.1")
    assert all(status < 500 or status in (501, 505) for status in answered)


@many
@given(st.binary(max_size=500))
def test_noise_is_parted_with(target: Target, data: bytes) -> None:
    assert set(statuses(target.raw(data))) <= {400, 408, 431, 505}


@pytest.mark.parametrize("headers", smuggling)
def test_nothing_is_smuggled_in_a_body(target: Target, headers: list[bytes]) -> None:
    hidden = target.request(b'{"input_data": [[0, 0, 0, 0]]}', b"x-ms-client-request-id: smuggled")
    body = b"0\r\n\r\n" + hidden
    lengths = [header.replace(b"%d", b"%d" % len(body)) for header in headers]
    assert statuses(target.raw(target.request(body, *lengths, length=False))) == [400]
    assert not [record for record in target.records() if record["correlationid"] == "smuggled"]


@pytest.mark.parametrize("depth", [100, 995, 1010, 1024, 2000, 100_000])
def test_deep_json_is_answered_and_its_record_can_be_read(target: Target, depth: int) -> None:
    before = len(target.records())
    status, headers, _ = target.ask(b"[" * depth + b"1" + b"]" * depth)
    assert status == 424 and headers["ms-azureml-model-error-statuscode"] in ("400", "500")
    assert len(target.records()) == before + 2


def test_a_hundred_requests_at_once_on_one_connection_are_all_answered(target: Target) -> None:
    assert statuses(target.raw(target.request(b'{"input_data": [[1, 2, 3, 4]]}') * 100)) == [200] * 100


def test_after_all_that_it_serves(target: Target) -> None:
    assert target.serves()
    process = json.loads((target.store.run("digits") / "blue-1-0.json").read_text())
    assert process["restarts"] == 0
