"""The test console in a real browser, before a real endpoint: in by the key, a request sent, strangers kept out."""

import dataclasses
import html
import http.client
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from thief import thief

from amlocal.cli import main
from amlocal.client import LocalMLClient
from amlocal.down import down, up
from amlocal.endpoints.gateway import console
from amlocal.endpoints.store import Deployment, Endpoint, ServingPlan
from amlocal.operations.common import entity

SCRIPT = """
import os, time

import numpy as np
from azureml_inference_server_http.api.aml_response import AMLResponse
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema

def init():
    pass

@input_schema("data", NumpyParameterType(np.array([[1.5, 2.0]])))
@input_schema("times", StandardPythonParameterType(3))
@input_schema("who", StandardPythonParameterType("Ada"))
@input_schema("shout", StandardPythonParameterType(True))
def run(data, times, who, shout):
    if who == "sleeper":
        time.sleep(1.8)  # longer than the endpoint waits, not so long that the process is killed
    if who == "nobody":
        return AMLResponse({"message": "who is nobody?"}, 400, json_str=True)
    said = f"{who} from {os.environ['WHO']}"
    return {"said": said.upper() if shout else said, "sum": float(data.sum()) * times}
"""

PAGE = """<!doctype html>
<title>Add &amp; shout</title>
<link rel="stylesheet" href="/console/base.css">
<style>p { color: rgb(1, 2, 3); }</style>
<p id="said">nothing</p>
<script src="/console/page.js"></script>
<script>
"use strict";
endpoint.watch(async ({ name, deployments }) => {
  const [first] = deployments, input = { data: [[1, 2]], times: 2, who: name, shout: false };
  const answer = await endpoint.score(input, first.name);
  document.getElementById("said").textContent = answer.text;
});
</script>
"""


class Served:
    def __init__(self, client: LocalMLClient) -> None:
        self.client = client
        endpoint = client.online_endpoints.store.get("trial")
        self.port, self.address = endpoint.port, endpoint.address

    @property
    def key(self) -> str:
        return self.client.online_endpoints.credentials("trial")["primaryKey"]

    def get(self, path: str, key: str = "", method: str = "GET", **headers: str) -> Any:
        """Status, headers and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if key:
            headers["authorization"] = f"Bearer {key}"
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        told = {name.lower(): value for name, value in response.getheaders()}
        return SimpleNamespace(status=response.status, headers=told, text=body.decode())

    def change(self, **fields: Any) -> None:
        endpoint = self.client.online_endpoints.get("trial")
        for name, value in fields.items():
            setattr(endpoint, name, value)
        self.client.online_endpoints.begin_create_or_update(endpoint, local=False)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("console")
    (folder / "code" / "pages").mkdir(parents=True)
    (folder / "code" / "score.py").write_text(SCRIPT)
    (folder / "code" / "pages" / "add.html").write_text(PAGE)
    client = LocalMLClient(folder / ".amlocal")
    try:
        client.online_endpoints.begin_create_or_update(
            entity("online-endpoint", {"name": "trial", "auth_mode": "key", "description": "Adds & shouts"})
        )
        for name in ("blue", "green"):
            deployment = {
                "name": name,
                "endpoint_name": "trial",
                "code_configuration": {"code": str(folder / "code"), "scoring_script": "score.py"},
                "environment": {"image": "python:3.11"},
                "environment_variables": {"WHO": name},
                "instance_type": "Standard_DS1_v2",
                "instance_count": 1,
                "request_settings": {"max_concurrent_requests_per_instance": 8, "request_timeout_ms": 1500},
            }
            client.online_deployments.begin_create_or_update(entity("online-deployment", deployment))
        served = Served(client)
        served.change(traffic={"blue": 90, "green": 10})
        yield served
    finally:
        down(client.workspace)


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complains of beside answers that were not 200; there must be nothing at the end."""
    return []


@pytest.fixture
def tab(chromium: Any, complaints: list[str]) -> Iterator[Any]:
    """A page of a fresh browser, 390 pixels wide."""
    context = chromium.new_context(viewport={"width": 390, "height": 800})
    tab = context.new_page()
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    yield tab
    context.close()
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []


@pytest.fixture
def enter(served: Served, tab: Any) -> Callable[[], Any]:
    """Opens the console with the key; the page is then where a request is written."""

    def enter() -> Any:
        tab.goto(f"{served.address}/console")
        tab.fill("#key", served.key)
        tab.keyboard.press("Enter")
        tab.locator("#bar").wait_for()
        if tab.locator("#tab-test").is_visible():
            tab.click("#tab-test")
        tab.locator("#field-who").wait_for()
        return tab

    return enter


# -- what the gateway gives to whom


def test_the_page_is_for_everybody_and_tells_nothing_but_the_name(served: Served) -> None:
    page = served.get("/console")
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store" and page.headers["x-content-type-options"] == "nosniff"
    assert "blue" not in page.text and served.key not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert not [name for name in page.headers if name.startswith("access-control")]
    for path in ("base.css", "console.css", "console.js", "client.js", "schema.js", "page.js"):
        assert served.get(f"/console/{path}").status == 200, path


def test_what_it_shows_of_the_endpoint_needs_the_key(served: Served) -> None:
    assert served.get("/console/about").status == served.get("/console/about", "wrong").status == 401
    told = json.loads(served.get("/console/about", served.key).text)
    assert told["name"] == "trial" and told["description"] == "Adds & shouts" and "tags" not in told
    assert [(one["name"], one["traffic"], one["runs"]) for one in told["deployments"]] == [
        ("blue", 90, True),
        ("green", 10, True),
    ]


def test_it_can_only_be_read(served: Served) -> None:
    for path in ("/console", "/console/console.js", "/console/model"):
        assert served.get(path, method="POST").status == 405
    head = served.get("/console", method="HEAD")
    assert head.status == 200 and head.text == "" and int(head.headers["content-length"]) > 1000


def test_who_looks_for_it_below_score_is_sent_to_it(served: Served) -> None:
    """`show` prints the address of /score, and some append to it."""
    for way in ("GET", "HEAD"):
        answer = served.get("/score/console", method=way)
        assert answer.status == 308 and answer.headers["location"] == "/console" and answer.text == ""
    assert served.get("/score/console", method="POST").status == 405
    for path in ("/score", "/score/console/", "/score/console/about", "/score/else"):
        assert served.get(path).status == 401, f"{path} is no way around the key"


def test_the_key_page_shows_the_command_that_prints_the_key(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = re.search(r"<code>aml (.*?)</code>", served.get("/console").text)
    assert shown
    monkeypatch.setenv("AMLOCAL_HOME", str(served.client.workspace.root))
    assert main(shown[1].split()) == 0
    assert capsys.readouterr().out.strip() == served.key


def test_nothing_else_is_there(served: Served) -> None:
    for path in ("", "nothing", "index.html", "../gateway.py", "%2e%2e/console.py", "..%2f..%2fclient.py"):
        assert served.get(f"/console/{path}").status == 404, path


def test_a_browser_at_the_endpoints_address_is_shown_the_way(served: Served) -> None:
    page = served.get("/", accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.status == 200 and "Healthy" in page.text and 'href="/console"' in page.text
    assert served.get("/", accept="*/*").text == "Healthy"


# -- the model's own page: which file that is


def endpoint_with(folder: Path, tag: str | None, traffic: dict[str, int] | None = None) -> Endpoint:
    def plan(name: str) -> ServingPlan:
        return ServingPlan(1, "python", str(folder / name), "score.py", 1, 1, 1000, {}, {})

    deployments = {name: Deployment({}, "Succeeded", [plan(name)]) for name in ("blue", "green")}
    spec = {"tags": {"console": tag} if tag else {}, "traffic": traffic or {}, "mirror_traffic": {}}
    return Endpoint("trial", 1, "i", spec, {}, deployments)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name in ("blue", "green"):
        (tmp_path / name / "code" / "pages").mkdir(parents=True)
        (tmp_path / name / "code" / "pages" / "own.html").write_text(f"<title>{name}</title>")
        (tmp_path / name / "code" / "score.py").write_text("secret")
    (tmp_path / "outside.html").write_text("outside")
    return tmp_path


def test_it_comes_from_the_deployment_with_most_traffic_or_the_newest(code: Path) -> None:
    assert (
        console.model_page(endpoint_with(code, "pages/own.html", {"blue": 60, "green": 40})) == b"<title>blue</title>"
    )
    assert console.model_page(endpoint_with(code, "pages/own.html")) == b"<title>green</title>"
    assert console.model_page(endpoint_with(code, None)) is None


def test_it_cannot_be_a_file_outside_the_code(code: Path) -> None:
    outside = code / "outside.html"
    link = code / "green" / "code" / "link.html"
    link.symlink_to(outside)
    (code / "green" / "code" / "away").symlink_to(code)
    (code / "green" / "code" / "large.html").write_bytes(b" " * (console.LARGEST_PAGE + 1))
    for tag in (
        *("../../outside.html", "pages/../../../outside.html", str(outside), "link.html", "away/outside.html"),
        *("score.py", "pages", "large.html", "missing.html", "null\0.html", "x" * 5000, "."),
    ):
        assert console.model_page(endpoint_with(code, tag)) is None, tag


def test_it_may_run_what_it_brings_and_fetch_nothing() -> None:
    policy = console.model_policy(b"<style>p{}</style><script src='/console/page.js'></script><script>1\r\n2</script>")
    assert "sandbox allow-scripts;" in policy and "default-src 'none'" in policy and "unsafe" not in policy
    assert policy.count("'sha256-") == 2 and "connect-src" not in policy
    assert policy == console.model_policy(b"<style>p{}</style><script>1\n2</script>"), "browsers hash the newline alone"


def asked(path: bytes, endpoint: Endpoint, host: str = "") -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of the console's answer."""
    told: list[tuple[int, dict[bytes, bytes]]] = []
    request = SimpleNamespace(
        method="GET",
        header={b"host": (host or f"127.0.0.1:{endpoint.port}").encode()}.get,
        respond=lambda status, headers, body: told.append((status, dict(headers))),
        refuse=lambda status, reason, headers=(): told.append((status, dict(headers))),
    )
    if path == b"/":
        console.front(request, endpoint)  # type: ignore[arg-type]
    else:
        console.serve(request, path, endpoint)  # type: ignore[arg-type]
    return told[0]


def test_its_model_page_looks_up_no_names(code: Path) -> None:
    status, headers = asked(b"/console/model", endpoint_with(code, "pages/own.html"))
    assert status == 200 and headers[b"x-dns-prefetch-control"] == b"off"


@pytest.mark.parametrize("path", [b"/", b"/console", b"/console/model", b"/console/page.js"])
def test_without_a_key_only_this_machines_own_address_is_answered(code: Path, path: bytes) -> None:
    """Else a site whose name is made to mean 127.0.0.1 could read it, as a page of its own origin."""
    endpoint = endpoint_with(code, "pages/own.html")
    assert asked(path, endpoint, "rebound.example:1")[0] == 200, "with a key it tells nothing that is worth it"
    keyless = dataclasses.replace(endpoint, local=True)
    for host in ("127.0.0.1:1", "LocalHost:1", "[::1]:1"):
        assert asked(path, keyless, host)[0] == 200, host
    for host in ("rebound.example:1", "127.0.0.1.rebound.example:1", "127.0.0.1:2", "127.0.0.1"):
        assert asked(path, keyless, host)[0] == 403, host


# -- in a browser


@pytest.mark.browser
def test_a_wrong_key_is_told_and_the_right_one_lets_in(served: Served, tab: Any) -> None:
    tab.goto(f"{served.address}/console")
    tab.fill("#key", "guessed")
    tab.keyboard.press("Enter")
    tab.locator("#wrong:not(:empty)").wait_for()
    assert "not a key of this endpoint" in tab.inner_text("#wrong") and tab.locator("#test").is_hidden()
    assert tab.evaluate("document.activeElement.id") == "key"
    tab.fill("#key", f" {served.key} ")
    tab.keyboard.press("Enter")
    tab.locator("#test").wait_for()
    assert tab.locator("#deployment option").all_inner_texts() == [
        "by traffic rule (blue 90 %, green 10 %)",
        "blue (90 % of the traffic)",
        "green (10 % of the traffic)",
    ]
    tab.click("#leave")
    assert tab.locator("#test").is_hidden() and tab.input_value("#key") == ""


@pytest.mark.browser
def test_a_form_made_from_the_schema_is_sent_and_answered(served: Served, enter: Callable[[], Any]) -> None:
    tab = enter()
    assert [tab.input_value(f"#field-{name}") for name in ("data", "times", "who")] == ["[\n  [1.5, 2]\n]", "3", "Ada"]
    tab.select_option("#deployment", "green")
    tab.fill("#field-who", "Grace")
    tab.fill("#field-times", "2")
    tab.uncheck("#field-shout")
    tab.press("#field-times", "Control+Enter")
    tab.locator("#answer").wait_for()
    assert json.loads(tab.inner_text("#answer")) == {"said": "Grace from green", "sum": 7.0}
    assert tab.inner_text("#status").startswith("200 in ")
    facts = tab.inner_text("#facts")
    assert "green" in facts and "console-" in facts and "ms" in facts
    tab.fill("#field-times", "")  # emptied is left out
    tab.fill("#field-who", "")  # but no word is a word
    assert tab.locator("#form .bad").count() == 0
    assert json.loads(tab.input_value("#json")) == {"data": [[1.5, 2.0]], "who": "", "shout": False}
    tab.fill("#field-who", "Grace")
    tab.fill("#field-times", "two")
    tab.click("#send")
    assert "field" in tab.inner_text("#unsound") and tab.evaluate("document.activeElement.id") == "field-times"
    tab.locator("#view").get_by_text("JSON").click()
    assert json.loads(tab.input_value("#json"))["who"] == "Grace"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390, "it must not scroll sideways"


@pytest.mark.browser
def test_answers_that_are_none_are_explained(served: Served, enter: Callable[[], Any]) -> None:
    tab = enter()
    tab.locator("#view").get_by_text("JSON").click()

    def answered(text: str, why: str) -> str:
        tab.fill("#json", text)
        tab.click("#send")
        tab.locator("[role=status] #told", has_text=why).wait_for()  # heard as well as seen
        return tab.inner_text("[role=status] #status")

    ask = {"data": [[1, 2]], "times": 1, "who": "Ada", "shout": False}
    refused = "model itself answered 400 Bad Request: who is nobody?"
    assert answered(json.dumps({**ask, "who": "nobody"}), refused).startswith("424")
    assert answered(json.dumps({**ask, "who": "sleeper"}), "did not answer within request_timeout_ms").startswith("408")
    tab.fill("#json", "{")
    tab.click("#send")
    assert "no JSON" in tab.inner_text("#unsound")
    tab.route("**/score", lambda route: route.abort())
    assert answered(json.dumps(ask), "does not answer") == "no answer"
    tab.unroute("**/score")
    tab.evaluate("""document.getElementById("deployment").append(new Option("gone", "gone"))""")
    tab.select_option("#deployment", "gone")
    assert answered(json.dumps(ask), 'has no deployment "gone"').startswith("404")
    served.client.online_endpoints.begin_regenerate_keys("trial", key_type="primary")
    tab.click("#send")
    tab.locator("#wrong", has_text="no longer").wait_for()


@pytest.mark.browser
def test_all_of_it_by_keyboard(served: Served, tab: Any) -> None:
    tab.goto(f"{served.address}/console")
    tab.keyboard.insert_text(served.key)  # the field has the focus
    tab.keyboard.press("Enter")
    tab.locator("#field-who").wait_for()
    for _ in range(30):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "field-who":
            break
    tab.keyboard.press("Control+A")
    tab.keyboard.insert_text("Kay")
    tab.keyboard.press("Control+Enter")
    tab.locator("#answer", has_text="KAY FROM").wait_for()


@pytest.mark.browser
def test_the_key_is_nowhere_but_in_the_page(served: Served, enter: Callable[[], Any]) -> None:
    tab = enter()
    tab.click("#send")
    tab.locator("#answer").wait_for()
    key = served.key
    assert key not in tab.url and key not in tab.content() and not tab.context.cookies()
    assert tab.evaluate("localStorage.length + sessionStorage.length + (history.state ? 1 : 0)") == 0
    assert tab.evaluate("caches.keys().then(names => names.length)") == 0
    assert tab.evaluate("indexedDB.databases().then(them => them.length)") == 0
    tab.reload()
    tab.locator("#door").wait_for()
    assert tab.input_value("#key") == "" and tab.locator("#test").is_hidden()


@pytest.mark.browser
@pytest.mark.parametrize("mode", ["key", "aml_token"])
def test_who_has_taken_the_port_since_is_not_told_the_key(served: Served, tab: Any, mode: str) -> None:
    """The page was the endpoint's; who listens now is not."""
    served.change(auth_mode=mode)
    told = served.client.online_endpoints.credentials("trial")
    credential = told.get("primaryKey") or told["accessToken"]
    tab.goto(f"{served.address}/console")
    tab.fill("#key", credential)
    tab.keyboard.press("Enter")
    tab.locator("#field-who").wait_for()
    down(served.client.workspace)
    with thief(served.port) as (_, heard):
        tab.click("#send")
        tab.locator("#wrong:not(:empty)").wait_for()
    up(served.client.workspace)
    served.change(auth_mode="key")
    said = b"".join(heard)
    assert b"/challenge?nonce=" in said and credential.encode() not in said and b"POST" not in said


@pytest.mark.browser
def test_the_models_page_asks_by_the_console_and_has_neither_key_nor_network(
    served: Served, enter: Callable[[], Any], complaints: list[str], stranger: str
) -> None:
    served.change(tags={"console": "pages/add.html"})
    try:
        tab = enter()
        assert tab.inner_text("#tab-model") == "Add & shout"
        tab.keyboard.press("ArrowLeft")
        said = tab.frame_locator("iframe").locator("#said", has_text="trial from blue")
        said.wait_for()
        assert said.evaluate("e => getComputedStyle(e).color") == "rgb(1, 2, 3)", "its own style holds"
        frame = tab.frames[1]
        assert frame.evaluate("origin") == "null"
        assert frame.evaluate("try { parent.document; 'open' } catch { 'shut' }") == "shut"
        assert frame.evaluate("fetch('/console/about').then(() => 'open', () => 'shut')") == "shut"
        elsewhere = "new Promise(done => addEventListener('securitypolicyviolation', e => done(e.violatedDirective)))"
        assert frame.evaluate(f"{{ const seen = {elsewhere}; fetch('/score').catch(() => 0); seen }}") == "connect-src"
        assert complaints and all("Content Security Policy" in text for text in complaints)
        tab.keyboard.press("ArrowRight")
        assert json.loads(tab.input_value("#json"))["who"] == "trial", "what the page has sent is the sample"
        told = frame.evaluate("new Promise(done => endpoint.watch(done))")
        assert set(told) == {"name", "description", "deployments"}
        assert set(told["deployments"][0]) == {"name", "traffic", "mirror", "runs"}
        tab.keyboard.press("ArrowLeft")
        with tab.expect_response("**/score"):
            frame.evaluate("parent.postMessage({ id: 99, body: 'a page may say anything' }, '*')")
        tab.keyboard.press("ArrowRight")
        assert tab.locator("#json").is_visible() and tab.input_value("#json") == "a page may say anything"
        tab.context.new_page().goto(f"{served.address}/console/model", wait_until="commit")
        tab.context.pages[1].wait_for_url("**/console")
        frame.evaluate(f"location = '{stranger}'")
        said.wait_for(state="detached")
        assert not any(one.url.startswith(stranger) for one in tab.frames), "it cannot carry away what it was told"
        complaints.clear()
    finally:
        served.change(tags={})


@pytest.mark.browser
def test_on_an_endpoint_without_keys_there_is_no_door(served: Served, tab: Any) -> None:
    endpoint = served.client.online_endpoints.get("trial")
    served.client.online_endpoints.begin_create_or_update(endpoint, local=True)
    try:
        tab.goto(f"{served.address}/console")
        tab.locator("#field-who").wait_for()
        assert tab.locator("#door").is_hidden() and tab.locator("#leave").is_hidden()
        for path in ("/", "/console", "/console/about"):
            assert served.get(path, host="rebound.example", accept="text/html").status == 403, path
        tab.click("#send")
        tab.locator("#answer", has_text="ADA FROM").wait_for()
    finally:
        served.change()


@pytest.mark.browser
def test_a_swagger_that_a_script_brings_itself_is_understood(served: Served, tab: Any) -> None:
    point = {"type": "object", "properties": {"x": {"type": "number"}, "on": {"$ref": "#/components/schemas/On"}}}
    schemas = {
        "Point": point,
        "On": {"type": "string", "enum": ["left", "right"]},
        "Loop": {"$ref": "#/components/schemas/Loop"},
    }
    points = {"type": "array", "items": {"$ref": "#/components/schemas/Point"}}
    body = {"type": "object", "properties": {"points": points}}

    def told(schema: Any) -> Any:
        content = {"application/json": {"schema": schema}}
        paths = {"/api/score": {"post": {"requestBody": {"content": content}}}}
        script = "async swagger => { const it = await import('/console/schema.js'), schema = it.schemaOf(swagger);"
        script += " return [it.example(schema), it.fields(schema).map(one => one.kind)] }"
        return tab.evaluate(script, {"paths": paths, "components": {"schemas": schemas}})

    tab.goto(f"{served.address}/console")
    assert told(body) == [{"points": [{"x": 0, "on": "left"}]}, ["json"]]
    assert told({**body, "example": {"points": []}})[0] == {"points": []}
    assert told({"$ref": "#/components/schemas/Point"}) == [{"x": 0, "on": "left"}, ["number", "string"]]
    assert told({"$ref": "#/components/schemas/Loop"}) == [None, []]
    assert told({"$ref": "#/nowhere"}) == [None, []]
    assert tab.evaluate("import('/console/schema.js').then(it => it.fields(it.schemaOf({})))") == []


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of another site on this machine, which serves the HTML in its query."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = urllib.parse.unquote(urllib.parse.urlsplit(self.path).query).encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.browser
def test_a_page_of_another_origin_can_neither_read_nor_use_it(served: Served, chromium: Any, stranger: str) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    tab.goto(f"{stranger}/?{urllib.parse.quote('<title>stranger</title>')}")

    def tried(path: str, options: str) -> str:
        return tab.evaluate(
            f"fetch('{served.address}{path}', {options}).then(r => r.text()).then(text => 'read ' + text, () => 'shut')"
        )

    key = json.dumps({"authorization": f"Bearer {served.key}", "content-type": "application/json"})
    assert tried("/console", "{}") == "shut"
    assert tried("/console/page.js", "{}") == "shut"
    assert tried("/console/about", f"{{headers: {key}}}") == "shut", "even with the key"
    assert tried("/score", f"{{method: 'POST', headers: {key}, body: '{{}}'}}") == "shut"
    with context.expect_page() as opened:
        tab.evaluate(f"window.opened = open('{served.address}/console')")
    opened.value.locator("#key").wait_for()
    assert tab.evaluate("opened.closed"), "a window of its own, out of reach"
    served.change(tags={"console": "pages/add.html"})
    for path in ("/console", "/console/model"):
        frame = f'<iframe src="{served.address}{path}"></iframe>'
        tab.goto(f"{stranger}/?{urllib.parse.quote(frame)}", wait_until="load")
        assert tab.frames[1].url.startswith("chrome-error://"), path
    served.change(tags={})
    context.close()


def test_a_title_cannot_become_part_of_the_console(code: Path) -> None:
    hostile = '<title>"><script>alert(1)</script></title>'
    (code / "green" / "code" / "pages" / "own.html").write_text(hostile)
    answers: list[Any] = []
    request = SimpleNamespace(method="GET", respond=lambda *answer: answers.append(answer))
    console.serve(request, b"/console", endpoint_with(code, "pages/own.html"))  # type: ignore[arg-type]
    page = answers[0][2].decode()
    assert "<script>alert" not in page and html.escape('"><script>') in page
