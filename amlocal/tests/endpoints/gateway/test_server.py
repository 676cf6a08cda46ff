"""A running endpoint as its clients see it: keys, traffic, limits, errors, records. One endpoint for the whole file."""

import base64
import http.client
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.down import down
from amlocal.endpoints.gateway.connection import MAX_BODY
from amlocal.endpoints.worker.instance import unix_sockets
from amlocal.operations.common import entity

SCRIPT = """
import json, os, time

from azureml_inference_server_http.api.aml_response import AMLResponse

def init():
    global collector
    from azureml.ai.monitoring import Collector
    collector = Collector(name="model_outputs")

def run(raw_data, request_headers):
    import pandas
    from azureml.ai.monitoring.context import BasicCorrelationContext
    asked = json.loads(raw_data)
    if "sleep" in asked:
        time.sleep(asked["sleep"])
    if "spin" in asked:
        while True: pass
    if "header" in asked:
        return AMLResponse("said", 200, {"X-Said": asked["header"]})
    if "status" in asked:
        return AMLResponse({"message": "as asked"}, asked["status"], json_str=True)
    if "collect" in asked:
        context = BasicCorrelationContext(id=request_headers["X-Ms-Client-Request-Id"])
        collector.collect(pandas.DataFrame([{"prediction": asked["collect"]}]), context)
    return {"who": os.environ["WHO"], "pid": os.getpid(), "headers": request_headers, "asked": asked}
"""


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """The endpoint of this file."""

    def __init__(self, client: LocalMLClient) -> None:
        self.client = client
        self.name = "digits"
        self.port = client.online_endpoints.store.get(self.name).port

    @property
    def key(self) -> str:
        return self.client.online_endpoints.credentials(self.name)["primaryKey"]

    def ask(
        self, body: Any = b"{}", method: str = "POST", path: str = "/score", key: str | None = None, **headers: str
    ) -> Answer:
        """One request on a connection of its own; header names are written with underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key if key is None else key}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with_body = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, with_body, sent)
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def raw(self, data: bytes) -> bytes:
        """What comes back for these bytes until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def traffic(self, **shares: int) -> None:
        endpoint = self.client.online_endpoints.get(self.name)
        endpoint.traffic = shares
        self.client.online_endpoints.begin_create_or_update(endpoint)

    def records(self, deployment: str, collection: str) -> list[dict[str, Any]]:
        folder = self.client.workspace.datastore() / "modelDataCollector" / self.name / deployment / collection
        return [json.loads(line) for path in sorted(folder.rglob("*.jsonl")) for line in path.open(encoding="utf-8")]


def deployment_spec(folder: Path, name: str, **more: Any) -> dict[str, Any]:
    collections = {each: {"enabled": "true"} for each in ("request", "response", "model_outputs")}
    return {
        "name": name,
        "endpoint_name": "digits",
        "code_configuration": {"code": str(folder), "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
        "environment_variables": {"WHO": name},
        "instance_type": "Standard_DS1_v2",
        "instance_count": 1,
        "request_settings": {"max_concurrent_requests_per_instance": 20, "request_timeout_ms": 1500},
        "data_collector": {"collections": collections},
        **more,
    }


@pytest.fixture(scope="module", params=["unix sockets", "loopback"])
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    """The endpoint, with gateway and workers meeting at either place."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "loopback":
            patch.setenv("AMLOCAL_NO_UNIX_SOCKETS", "1")
        elif not unix_sockets():
            pytest.skip("this system has none")
        yield from serve(folder)


def serve(folder: Path) -> Iterator[Served]:
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(SCRIPT)
    client = LocalMLClient(folder / "my work" / ".amlocal")
    try:
        client.online_endpoints.begin_create_or_update(
            entity("online-endpoint", {"name": "digits", "auth_mode": "key"})
        )
        for name in ("blue", "green"):
            spec = deployment_spec(folder / "code", name)
            client.online_deployments.begin_create_or_update(entity("online-deployment", spec))
        served = Served(client)
        served.traffic(blue=100)
        yield served
    finally:
        down(client.workspace)


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        threading.Event().wait(0.02)
    return found


# -- answers


def test_an_answer_carries_azures_headers(served: Served) -> None:
    answer = served.ask({"x": 1}, x_ms_client_request_id="run-1", x_request_id="my-own")
    assert answer.status == 200
    assert answer.json()["who"] == "blue" and answer.json()["asked"] == {"x": 1}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["azureml-model-deployment"] == "blue"
    assert answer.headers["x-ms-client-request-id"] == "run-1"
    assert answer.headers["x-request-id"] == "my-own"
    assert answer.headers["x-ms-run-function-failed"] == "False"
    assert float(answer.headers["x-ms-run-fn-exec-ms"]) >= 0


def test_an_id_that_is_sent_twice_is_the_same_on_record_and_in_the_answer(served: Served) -> None:
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\nConnection: close\r\n"
    ids = "".join(f"x-request-id: {each}\r\nx-ms-client-request-id: {each}\r\n" for each in ("twice-a", "twice-b"))
    came = served.raw(f"{head}Content-Type: application/json\r\n{ids}Content-Length: 2\r\n\r\n{{}}".encode())
    assert b"\r\nx-request-id: twice-a,twice-b\r\n" in came
    assert b"\r\nx-ms-client-request-id: twice-a,twice-b\r\n" in came
    (record,) = [each for each in served.records("blue", "response") if each["xrequestid"].startswith("twice")]
    assert record["xrequestid"] == record["correlationid"] == "twice-a,twice-b"


def test_the_script_never_sees_the_key(served: Served) -> None:
    said = served.ask(x_custom="kept").json()["headers"]
    assert said["X-Custom"] == "kept"
    assert not {"Authorization", "authorization"} & said.keys()


def test_a_client_request_id_is_kept_as_azure_keeps_it(served: Served) -> None:
    assert served.ask(x_ms_client_request_id="a b/ü" + "c" * 50).headers["x-ms-client-request-id"] == "ab" + "c" * 38


def test_health_and_swagger(served: Served) -> None:
    assert served.ask(b"", "GET", "/", key="").body == b"Healthy"
    assert served.ask(b"", "GET", "/swagger.json").json()["swagger"] == "2.0"
    assert served.ask(b"", "GET", "/swagger.json?version=3").json()["openapi"].startswith("3.")
    assert served.ask(b"", "GET", "/elsewhere").status == 404
    assert served.ask(b"", "GET", '/score?a=1&b="x"').json()["asked"] == {"a": 1, "b": "x"}


def test_one_connection_serves_many_requests_in_order(served: Served) -> None:
    head = (
        f"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\nContent-Type: application/json\r\n"
    )
    bodies = [json.dumps({"n": number}) for number in range(40)]
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n{body}" for body in bodies]
    requests[-1] = requests[-1].replace("Host: x", "Host: x\r\nConnection: close")
    came = served.raw("".join(requests).encode())  # all sent ahead
    assert came.count(b"HTTP/1.1 200 OK") == 40
    places = [came.index(b'"asked": {"n": %d}' % number) for number in range(40)]
    assert places == sorted(places)


def test_chunked_bodies_and_expectations(served: Served) -> None:
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {served.key}\r\n"
    chunked = served.raw(f'{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{"a":\r\n3\r\n 1}}\r\n0\r\n\r\n'.encode())
    assert b"200 OK" in chunked and b'"asked": {"a": 1}' in chunked
    expected = served.raw(f'{head}Expect: 100-continue\r\nContent-Length: 8\r\n\r\n{{"a": 1}}'.encode())
    assert expected.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


# -- who may enter


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic {key}", "{key}", "Bearer {key}x", "Bearer ü"]
)
def test_without_the_key_nobody_enters(served: Served, given: str) -> None:
    sent = given.replace("{key}", served.key).encode("latin-1")
    came = served.raw(
        b"POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: %b\r\nContent-Length: 2\r\n\r\n{}"
        % sent
    )
    assert came.startswith(b"HTTP/1.1 401 ")
    assert served.key.encode() not in came


def test_the_secondary_key_enters_and_regenerated_keys_lock_the_old_out(served: Served) -> None:
    operations = served.client.online_endpoints
    before = operations.credentials("digits")
    assert served.ask(key=before["secondaryKey"]).status == 200
    operations.begin_regenerate_keys("digits", key_type="secondary")
    assert eventually(lambda: served.ask(key=before["secondaryKey"]).status == 401)
    assert served.ask(key=operations.credentials("digits")["secondaryKey"]).status == 200
    assert served.ask(key=before["primaryKey"]).status == 200


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_secrets_are_their_owners_only(served: Served) -> None:
    folder = served.client.online_endpoints.store.folder("digits")
    assert (folder / "keys.json").stat().st_mode & 0o777 == 0o600
    assert (folder / "run" / "secret").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_no_key_in_any_log_or_command_line(served: Served) -> None:
    import psutil

    served.ask()
    secrets = [*served.client.online_endpoints.credentials("digits").values()]
    logs = [path.read_text() for path in served.client.workspace.root.glob("endpoints/**/*.log")]
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [text for text in (*logs, *commands) for secret in secrets if secret in text]


# -- traffic


@contextmanager
def sending(served: Served, **shares: int) -> Iterator[None]:
    served.traffic(**shares)
    try:
        yield
    finally:
        served.traffic(blue=100)


def test_traffic_is_split(served: Served) -> None:
    with sending(served, blue=70, green=30):
        who = Counter(served.ask().json()["who"] for _ in range(200))
    assert 100 < who["blue"] < 175 and who["blue"] + who["green"] == 200  # five standard deviations


def test_the_header_chooses_a_deployment(served: Served) -> None:
    assert served.ask(azureml_model_deployment="green").json()["who"] == "green"
    unknown = served.ask(azureml_model_deployment="red")
    assert unknown.status == 404 and 'has no deployment "red"' in unknown.json()["message"]


def test_without_traffic_nobody_is_served(served: Served) -> None:
    with sending(served):
        refused = served.ask()
        assert refused.status == 404 and "no deployment with traffic" in refused.json()["message"]
        assert served.ask(azureml_model_deployment="green").status == 200


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"blue": 90}, "blue=90 sums to 90; it must be 100"),
        ({"blue": 90, "green": 20}, "sums to 110"),
        ({"red": 100}, 'no deployment "red"; there is blue, green'),
        ({"blue": 150, "green": -50}, "150 is not a whole number from 0 to 100"),
    ],
)
def test_traffic_that_cannot_be_is_refused(served: Served, shares: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        served.traffic(**shares)
    assert served.ask().status == 200


def test_mirrored_traffic_is_answered_by_nobody_and_recorded(served: Served) -> None:
    endpoint = served.client.online_endpoints.get("digits")
    endpoint.traffic, endpoint.mirror_traffic = {"blue": 100}, {"green": 50}
    served.client.online_endpoints.begin_create_or_update(endpoint)
    try:
        before = len(served.records("green", "response"))
        who = Counter(served.ask({"mirror": True}).json()["who"] for _ in range(60))
        assert who == {"blue": 60}
        assert eventually(lambda: len(served.records("green", "response")) - before > 10)
    finally:
        endpoint.mirror_traffic = {}
        served.client.online_endpoints.begin_create_or_update(endpoint)


# -- what goes wrong


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_what_the_script_refuses_is_a_424(served: Served, status: int) -> None:
    answer = served.ask({"status": status})
    assert answer.status == 424
    assert answer.headers["ms-azureml-model-error-statuscode"] == str(status)
    assert answer.headers["ms-azureml-model-error-reason"]
    assert answer.json() == {"message": "as asked"}


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", "500"), (b"not JSON", "500"), (b"\xff\xfe", "400"), (b"[1, NaN", "500"), (b"[" * 100_000, "500")],
)
def test_bodies_that_break_the_script_do_not_break_the_endpoint(served: Served, body: bytes, status: str) -> None:
    answer = served.ask(body)
    assert answer.status == 424 and answer.headers["ms-azureml-model-error-statuscode"] == status
    assert answer.json()["message"]
    assert served.ask().status == 200


@pytest.mark.parametrize("said", ["5 – 6", "\ud800", "日本"])
def test_a_header_that_cannot_be_sent_is_a_failure_of_the_script(served: Served, said: str) -> None:
    answer = served.ask({"header": said})
    assert answer.status == 424 and answer.headers["ms-azureml-model-error-statuscode"] == "500"
    assert served.ask({"header": "ü"}).headers["x-said"] == "ü"


def test_fifty_megabytes_are_too_much(served: Served) -> None:
    answer = served.ask(b"x" * 50_000_000)
    assert answer.status == 413 and f"{MAX_BODY:,}" in answer.json()["message"]
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    authorization = b"Authorization: Bearer %b\r\n" % served.key.encode()
    sent = b"\r\n" + chunk * 12 + b"0\r\n\r\n"
    assert served.raw(head + authorization + sent).startswith(b"HTTP/1.1 413 ")
    assert served.raw(head + sent).startswith(b"HTTP/1.1 401 ")  # nor does anybody wait for the body
    assert served.ask().status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    ],
)
def test_what_is_not_http_is_refused(served: Served, sent: bytes, status: int) -> None:
    assert served.raw(sent).startswith(b"HTTP/1.1 %d " % status)


def test_a_slow_script_is_a_408_and_the_next_request_is_served(served: Served) -> None:
    answer = served.ask({"spin": 1})
    assert answer.status == 408 and "1500 ms" in answer.json()["message"]
    assert eventually(lambda: served.ask().status == 200)


def test_invoke_does_not_wait_for_ever(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "request.json").write_text('{"sleep": 0.3}')
    monkeypatch.setattr("amlocal.operations.online_endpoints.ANSWER_SECONDS", -1.4)  # of the deployment's own 1.5
    with pytest.raises(UserError, match="endpoint digits does not answer: "):
        served.client.online_endpoints.invoke("digits", request_file=str(tmp_path / "request.json"))
    assert served.ask().status == 200  # its worker is free again


def test_too_many_at_once_are_429(served: Served) -> None:
    statuses: Counter[int] = Counter()
    threads = [
        threading.Thread(target=lambda: statuses.update([served.ask({"sleep": 0.02}).status])) for _ in range(60)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses[200] >= 40  # twice the concurrency of the one instance
    assert set(statuses) <= {200, 429} and statuses[429] > 0


# -- records


def test_request_and_answer_are_on_record_when_the_answer_arrives(served: Served) -> None:
    answer = served.ask({"tick": 17}, x_ms_client_request_id="run-17")
    (asked,) = [each for each in served.records("blue", "request") if each["correlationid"] == "run-17"]
    (told,) = [each for each in served.records("blue", "response") if each["correlationid"] == "run-17"]
    assert asked["data"] == {"tick": 17} and asked["path"] == "/score" and asked["method"] == "POST"
    assert told["data"] == answer.json() and told["statuscode"] == 200
    assert asked["xrequestid"] == told["xrequestid"] == answer.headers["x-request-id"]
    assert asked["type"] == "azureml.inference.request" and asked["source"].endswith(
        "/onlineEndpoints/digits/deployments/blue"
    )


def test_errors_are_on_record_too_and_the_refused_are_not(served: Served) -> None:
    served.ask({"status": 400}, x_ms_client_request_id="run-18")
    served.ask({"n": 1}, key="wrong", x_ms_client_request_id="run-19")
    (told,) = [each for each in served.records("blue", "response") if each["correlationid"] == "run-18"]
    assert told["statuscode"] == 424
    assert not [each for each in served.records("blue", "request") if each["correlationid"] == "run-19"]


def test_what_the_collector_sends_lies_beside(served: Served) -> None:
    served.ask({"collect": 7}, x_ms_client_request_id="run-20")
    (record,) = eventually(
        lambda: [each for each in served.records("blue", "model_outputs") if each["correlationid"] == "run-20"]
    )
    assert record["data"] == [{"prediction": 7}]
    assert record["type"] == "azureml.inference.model_outputs" and record["modelversion"] == "default"
    assert record["collectdatatype"] == "pandas.core.frame.DataFrame" and record["agent"].startswith(
        "azureml-ai-monitoring/"
    )


@pytest.mark.parametrize("when", ["nan", "inf", "1e30", "-1", "1763812345678901234", "now", ""])
def test_a_record_with_an_odd_time_is_of_now(served: Served, when: str) -> None:
    secret = (served.client.online_endpoints.store.run("digits") / "secret").read_text()
    sent = "Basic " + base64.b64encode(f"blue:{secret}".encode()).decode()
    id = f"odd-{when}"
    headers = {"ce_type": "azureml.inference.model_outputs", "ce_time": when, "ce_x_request_id": id}
    assert served.ask(b"[]", path="/modeldata/log", Authorization=sent, **headers).status == 200
    (record,) = [each for each in served.records("blue", "model_outputs") if each["xrequestid"] == id]
    assert record["time"][:4] == time.strftime("%Y", time.gmtime())


def test_only_scripts_may_send_records(served: Served) -> None:
    for user in ("blue:wrong", "red:wrong", ""):
        sent = "Basic " + base64.b64encode(user.encode()).decode()
        assert served.ask(b"[]", path="/modeldata/log", Authorization=sent).status == 401
    assert served.ask(b"[]", path="/modeldata/log").status == 401  # the key is not for this
