"""Data behind http(s): fetched when a job needs it, kept, asked for again, one line when it cannot be had."""

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml.entities import Data

from amlocal.assets import remote, uris
from amlocal.client import LocalMLClient
from amlocal.core.errors import NotFound, UserError


class Site:
    """A web server on loopback. files: {path: content}; asked: what was requested, with the answer's code."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, int]] = []
        self.agent: dict[str, str] = {}
        self.etags = True
        self.cut_after: int | None = None
        self.packs = False
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.agent = dict(self.headers)
                path = self.path.partition("?")[0]
                content = site.files.get(path)
                tag = f'"{hash(content)}"'
                if content is None or path.startswith("/secret"):
                    code = 404 if content is None else 403
                elif site.etags and self.headers.get("If-None-Match") == tag:
                    code = 304
                else:
                    code = 200
                site.asked.append((self.path, code))
                self.send_response(code)
                if code == 200 and content is not None and site.packs:
                    content = gzip.compress(content)
                    self.send_header("Content-Encoding", "gzip")
                if code == 200 and content is not None:
                    self.send_header("Content-Length", str(len(content)))
                    if site.etags:
                        self.send_header("ETag", tag)
                else:
                    self.send_header("Content-Length", "0")
                self.end_headers()
                if code == 200 and content is not None:
                    self.wfile.write(content[: site.cut_after])
                    self.close_connection = site.cut_after is not None

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    site = Site()
    yield site
    site.close()


def codes(site: Site) -> list[int]:
    return [code for _, code in site.asked]


def test_a_file_is_fetched_once_and_asked_for_again(client: LocalMLClient, site: Site, tmp_path: Path) -> None:
    site.files["/data/iris.csv"] = b"1,2\n"
    lines: list[str] = []
    url = f"{site.url}/data/iris.csv"
    got = remote.fetch(client.workspace, url, lines.append)
    assert (got.name, got.read_bytes()) == ("iris.csv", b"1,2\n")
    assert lines == [f"Fetching {url} (0.0 MiB)"]
    assert got.is_relative_to(client.workspace.root / "cache")
    assert uris.resolve(client.workspace, url, tmp_path, "uri_file") == got
    assert codes(site) == [200, 304]
    site.files["/data/iris.csv"] = b"3,4\n"
    assert remote.fetch(client.workspace, url).read_bytes() == b"3,4\n"
    assert codes(site) == [200, 304, 200]
    assert sorted(path.name for path in got.parent.iterdir()) == [".about.json", "iris.csv"], (
        "nothing is left beside it"
    )


def test_a_server_without_validators_is_asked_for_the_whole(client: LocalMLClient, site: Site) -> None:
    site.etags, site.files["/x.csv"] = False, b"1"
    for content in (b"1", b"2"):
        site.files["/x.csv"] = content
        assert remote.fetch(client.workspace, f"{site.url}/x.csv").read_bytes() == content


def test_packed_files_stay_packed(client: LocalMLClient, site: Site) -> None:
    site.files["/x.csv.gz"] = gzip.compress(b"1,2\n")
    got = remote.fetch(client.workspace, f"{site.url}/x.csv.gz")
    assert gzip.decompress(got.read_bytes()) == b"1,2\n"
    assert site.agent["Accept-Encoding"] == "identity"


def test_names_are_made_fit_for_a_disk(client: LocalMLClient, site: Site) -> None:
    site.files["/a%20b%3Ac.csv"] = b"1"
    assert remote.fetch(client.workspace, f"{site.url}/a%20b%3Ac.csv").name == "a b_c.csv"
    site.files["/"] = b"1"
    assert remote.fetch(client.workspace, f"{site.url}/?a=b").name == "data"
    for odd in ("/.about.json", "/a/..", "/a/%2e%2e", "/.x.csv.part"):
        site.files[odd] = b"1"
        assert remote.file_name(f"{site.url}{odd}") == "data"
    assert remote.fetch(client.workspace, f"{site.url}/.about.json").read_bytes() == b"1"
    site.files["/" + "x" * 300 + ".csv.gz"] = b"1"
    name = remote.fetch(client.workspace, f"{site.url}/{'x' * 300}.csv.gz").name
    assert len(name) == remote.LONGEST_NAME and name.endswith("xx.csv.gz")


def test_a_server_that_packs_all_the_same_is_understood(client: LocalMLClient, site: Site) -> None:
    site.packs, site.files["/x.csv"] = True, b"1,2\n" * 1000
    assert remote.fetch(client.workspace, f"{site.url}/x.csv").read_bytes() == b"1,2\n" * 1000


@pytest.mark.parametrize("url", ["http://[bad/x.csv", "http://host:99999/x.csv", "http://" + "a" * 70 + ".x/x.csv"])
def test_an_address_that_is_none_is_one_line(client: LocalMLClient, site: Site, url: str) -> None:
    with pytest.raises(UserError) as told:
        remote.fetch(client.workspace, url)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("who", ["TOKEN", "me:TOKEN", "me:T@TOKEN"])
def test_a_secret_in_an_address_is_not_shown(who: str) -> None:
    assert remote.shown(f"https://{who}@host/x@y.csv?sig=TOKEN") == "https://***@host/x@y.csv"
    assert remote.shown("wasbs://box@a.blob.core.windows.net/x") == "wasbs://box@a.blob.core.windows.net/x"


@pytest.mark.parametrize(
    ("path", "said"), [("/gone.csv", "answered 404 Not Found"), ("/secret.csv", "wants an account")]
)
def test_what_the_server_refuses_is_one_line(client: LocalMLClient, site: Site, path: str, said: str) -> None:
    site.files["/secret.csv"] = b"1"
    with pytest.raises(NotFound, match=said) as caught:
        remote.fetch(client.workspace, f"{site.url}{path}?sig=hidden", print)
    assert "\n" not in str(caught.value) and "hidden" not in str(caught.value)


def test_a_cut_connection_leaves_nothing(client: LocalMLClient, site: Site) -> None:
    site.files["/big.bin"], site.cut_after = b"x" * 100_000, 1000
    with pytest.raises(UserError, match="try again, or give a local path") as caught:
        remote.fetch(client.workspace, f"{site.url}/big.bin", print)
    assert "\n" not in str(caught.value)
    assert not [path for path in (client.workspace.root / "cache").rglob("*") if path.is_file()]
    site.cut_after = None
    assert remote.fetch(client.workspace, f"{site.url}/big.bin", print).stat().st_size == 100_000


def test_cut_in_the_middle_of_a_newer_one_the_older_one_is_kept(client: LocalMLClient, site: Site) -> None:
    site.files["/x.bin"] = b"old"
    got = remote.fetch(client.workspace, f"{site.url}/x.bin", print)
    site.files["/x.bin"], site.cut_after = b"new" * 10_000, 10
    with pytest.raises(UserError, match=r"x\.bin"):
        remote.fetch(client.workspace, f"{site.url}/x.bin", print)
    assert got.read_bytes() == b"old"


def test_without_a_network_what_was_fetched_serves(client: LocalMLClient, site: Site) -> None:
    site.files["/x.csv"] = b"1"
    got = remote.fetch(client.workspace, f"{site.url}/x.csv", print)
    site.close()
    lines: list[str] = []
    assert remote.fetch(client.workspace, f"{site.url}/x.csv", lines.append) == got
    assert "cannot be reached; the copy fetched before is used" in lines[0]
    with pytest.raises(UserError, match=r"y\.csv: not fetched: .*refused") as caught:
        remote.fetch(client.workspace, f"{site.url}/y.csv", print)
    assert "\n" not in str(caught.value)


def test_many_at_once_fetch_it_once(client: LocalMLClient, site: Site) -> None:
    site.files["/x.bin"] = b"x" * 3_000_000
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda _: remote.fetch(client.workspace, f"{site.url}/x.bin", print), range(8)))
    assert {path.stat().st_size for path in got} == {3_000_000}
    assert codes(site).count(200) == 1


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("wasbs://con@acc.blob.core.windows.net/a/b.csv", "https://acc.blob.core.windows.net/con/a/b.csv"),
        ("abfss://con@acc.dfs.core.windows.net/a/b.csv", "https://acc.blob.core.windows.net/con/a/b.csv"),
        ("wasbs://acc.blob.core.windows.net/con/a/b.csv", "https://acc.blob.core.windows.net/con/a/b.csv"),
        ("https://a.b/c.csv?d=e", "https://a.b/c.csv?d=e"),
    ],
)
def test_blobs_are_the_same_over_https(uri: str, url: str) -> None:
    assert remote.https_form(uri) == url


@pytest.mark.parametrize(
    ("uri", "kind", "said"),
    [
        ("wasbs://con@acc.blob.core.windows.net/a/", "uri_folder", "cannot be listed"),
        ("https://a.b/c/", "mltable", "cannot be listed"),
        ("https://a.b/c/", "uri_file", "not the address of one file"),
        ("https://a.b/*.csv", "uri_file", "not the address of one file"),
        ("wasbs://acc.blob.core.windows.net", "uri_file", "use wasbs://CONTAINER@ACCOUNT"),
        ("adl://acc.azuredatalakestore.net/x.csv", "uri_file", "retired"),
    ],
)
def test_what_https_cannot_give_is_known_before_anything_is_fetched(
    client: LocalMLClient, tmp_path: Path, uri: str, kind: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        uris.locate(client.workspace, uri, tmp_path, kind)


def test_locating_fetches_nothing(client: LocalMLClient, site: Site, tmp_path: Path) -> None:
    url = f"{site.url}/gone.csv"
    assert uris.locate(client.workspace, url, tmp_path, "uri_file") == url
    assert site.asked == []


def test_a_data_asset_keeps_its_address(client: LocalMLClient, site: Site, tmp_path: Path) -> None:
    url = f"{site.url}/x.csv"
    client.data.create_or_update(Data(name="x", version="1", path=url, type="uri_file"))
    assert client.data.describe("x")["path"] == url and site.asked == []
    site.files["/x.csv"] = b"1,2\n"
    assert uris.locate(client.workspace, "azureml:x:1", tmp_path, "uri_file") == url
    assert uris.resolve(client.workspace, "azureml:x:1", tmp_path, "uri_file").read_bytes() == b"1,2\n"
    client.data.create_or_update(Data(name="y", version="1", path="adl://a.b/c", type="uri_file"))
    with pytest.raises(UserError, match="retired"):
        uris.locate(client.workspace, "azureml:y:1", tmp_path, "uri_file")


def test_a_job_reads_it_and_a_literal_address_stays_one(client: LocalMLClient, site: Site, spec: Any, run: Any) -> None:
    site.files["/x.csv"] = b"7,8\n"
    record = run(
        spec(f"""
        command: cat '${{{{inputs.data}}}}' && echo '${{{{inputs.url}}}}'
        environment: {{image: a}}
        inputs:
          data: {{type: uri_file, path: "{site.url}/x.csv"}}
          url: {site.url}/never.csv
    """)
    )
    assert record.status == "Completed", record.error
    log = (client.jobs.store.folder(record.name) / "user_logs" / "std_log.txt").read_text()
    assert "7,8\n" in log and f"{site.url}/never.csv\n" in log
    assert [path for path, _ in site.asked] == ["/x.csv"]


def test_validating_fetches_nothing(client: LocalMLClient, site: Site, spec: Any) -> None:
    from amlocal.specs import load

    text = "command: cat ${{inputs.data}}\nenvironment: {image: a}\ninputs:\n  data: {type: uri_file, path: URL}\n"
    assert client.jobs.validate(load("job", spec(text.replace("URL", f'"{site.url}/x.csv"')))).passed
    assert site.asked == []
    assert not client.jobs.validate(load("job", spec(text.replace("URL", f'"{site.url}/x/"')))).passed
