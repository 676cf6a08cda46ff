"""/metrics as Prometheus reads it, and a deployment whose answers wait for the disk."""

import asyncio
import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from prometheus_client.parser import text_string_to_metric_families

from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.down import down
from amlocal.endpoints.gateway.metrics import BOUNDS, Counts, Deployed, Snapshot
from amlocal.endpoints.gateway.server import Gateway
from amlocal.operations.common import entity

SCRIPT = """
import json

def init(): pass

def run(raw_data):
    if json.loads(raw_data) == "fail": raise ValueError("as asked")
    return 1
"""


def samples(page: str) -> dict[tuple[str, ...], float]:
    """Every figure of a page by its name and the values of its labels but the endpoint's."""
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = [value for label, value in sorted(sample.labels.items()) if label != "endpoint"]
            found[sample.name.removeprefix("azureml_endpoint_"), *labels] = sample.value
    return found


def test_the_page_of_a_snapshot() -> None:
    counts = Counts()
    for status, seconds in ((200, BOUNDS[0]), (200, BOUNDS[0] * 1.01), (408, 1000.0)):
        counts.add(status, seconds)
    snapshot = Snapshot("digits", {"blue": Deployed(counts, 3, 2)}, Counter({200: 5, 401: 1}), 7, 11, 1, 0.25)
    page = samples(snapshot.page().decode())
    assert page["requests_total", "blue", "200"] == 2 and page["requests_total", "blue", "408"] == 1
    assert page["request_latency_seconds_bucket", "blue", str(BOUNDS[0])] == 1  # the bound itself is in it
    assert page["request_latency_seconds_bucket", "blue", str(BOUNDS[1])] == 2
    assert page["request_latency_seconds_bucket", "blue", str(BOUNDS[-1])] == 2
    assert page["request_latency_seconds_bucket", "blue", "+Inf"] == 3
    assert page["request_latency_seconds_count", "blue"] == 3
    assert page["request_latency_seconds_sum", "blue"] == pytest.approx(1000 + 2.01 * BOUNDS[0])
    assert page["requests_in_flight", "blue"] == 3 and page["instances_ready", "blue"] == 2
    assert page["answers_total", "200"] == 5 and page["answers_total", "401"] == 1
    assert page[("connections_active",)] == 7 and page[("record_lag_seconds",)] == 0.25
    assert page[("data_collection_events_total",)] == 11 and page[("data_collection_errors_total",)] == 1


def spec(folder: Path, **more: object) -> dict[str, object]:
    return {
        "name": "blue",
        "endpoint_name": "durable",
        "code_configuration": {"code": str(folder), "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
        "instance_type": "Standard_DS1_v2",
        "instance_count": 1,
        "request_settings": {"max_concurrent_requests_per_instance": 20},
        **more,
    }


COLLECT = {"data_collector": {"collections": {name: {"enabled": "true"} for name in ("request", "response")}}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMLClient]:
    folder = tmp_path_factory.mktemp("durable")
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(SCRIPT)
    client = LocalMLClient(folder / ".amlocal")
    try:
        client.online_endpoints.begin_create_or_update(entity("online-endpoint", {"name": "durable"}))
        durable = spec(folder / "code", properties={"durability": "fsync"}, **COLLECT)
        client.online_deployments.begin_create_or_update(entity("online-deployment", durable))
        endpoint = client.online_endpoints.get("durable")
        endpoint.traffic = {"blue": 100}
        client.online_endpoints.begin_create_or_update(endpoint)
        yield client
    finally:
        down(client.workspace)


def ask(client: LocalMLClient, path: str, body: bytes | None = None, key: str | None = None) -> tuple[int, str]:
    key = key or client.online_endpoints.credentials("durable")["primaryKey"]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    address = client.online_endpoints.store.get("durable").address
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(address + path, body, headers)) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_what_was_asked_is_counted_and_on_the_disk(client: LocalMLClient) -> None:
    assert ask(client, "/metrics", key="wrong")[0] == 401
    assert ask(client, "/metrics", b"{}")[0] == 405
    before = samples(ask(client, "/metrics")[1])
    statuses = [ask(client, "/score", body)[0] for body in (b"1", b"2", b'"fail"')]
    assert statuses == [200, 200, 424]
    assert ask(client, "/score", b"1", key="wrong")[0] == 401
    assert ask(client, "/swagger.json")[0] == 200
    status, text = ask(client, "/metrics")
    after = samples(text)

    def more(*name: str) -> float:
        return after[name] - before.get(name, 0)

    assert status == 200
    assert more("requests_total", "blue", "200") == 3 and more("requests_total", "blue", "424") == 1
    assert more("request_latency_seconds_count", "blue") == 4
    assert more("answers_total", "401") == 1
    assert more("data_collection_events_total") == 6  # the swagger is no prediction
    assert after[("record_lag_seconds",)] == 0  # nobody was answered before
    assert after["instances_ready", "blue"] == 1 and after["requests_in_flight", "blue"] == 0
    folder = client.workspace.datastore() / "modelDataCollector" / "durable" / "blue" / "request"
    records = [json.loads(line) for file in folder.rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert [record["data"] for record in records] == [1, 2, "fail"]


def test_a_page_that_cannot_be_written_is_a_500(
    client: LocalMLClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ImportError("prometheus_client is not there")

    monkeypatch.setattr("amlocal.endpoints.gateway.server.preload", fail)
    request = Mock(method="GET")

    async def measure() -> None:
        Gateway(client.workspace, "durable")._measure(request)
        while not request.refuse.called:
            await asyncio.sleep(0.001)

    asyncio.run(measure())
    request.refuse.assert_called_once_with(500, "the metrics cannot be written: prometheus_client is not there")
    assert "ImportError" in capsys.readouterr().out


def test_a_durability_that_cannot_be(client: LocalMLClient, tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCRIPT)
    for properties, more, said in (
        ({"durability": "disk"}, COLLECT, "properties.durability: disk is none of os, fsync"),
        ({"durability": "fsync"}, {}, "its data_collector collects nothing"),
    ):
        with pytest.raises(UserError, match=said):
            refused = entity("online-deployment", spec(tmp_path, properties=properties, **more))
            client.online_deployments.begin_create_or_update(refused)
