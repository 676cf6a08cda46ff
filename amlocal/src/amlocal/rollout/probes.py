"""What is asked during a rollout: requests from files or from what was recorded, sent to a deployment by its name.

`invoke` would ask Azure three other things first (the deployments, the endpoint, its keys), each slower than a model:
the time of an answer could not be told. So requests go where `invoke` sends them, over one connection that is kept.
"""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from amlocal.core.documents import json_of
from amlocal.core.errors import UserError
from amlocal.endpoints.proof import proven_adapter
from amlocal.endpoints.store import EndpointStore
from amlocal.rollout.compare import Answer

RECORDED = 200  # requests
TAIL_BYTES = 32 * 1024 * 1024  # of one file of records; they lie in the order of their time
MARK = "probe-"  # how the ids of probes begin, so that nobody takes them for what users ask: docs/rollout.md
CONNECT_SECONDS, ANSWER_SECONDS = 10, 200  # no deployment may take longer than 180 s
BUSY = (408, 429, 503)  # what the load can do to any deployment
SHOWN = 200  # characters of what went wrong


@dataclass(frozen=True)
class Request:
    """What to ask, and what it is called in messages."""

    name: str
    body: bytes


def from_files(paths: Sequence[str]) -> list[Request]:
    """The JSON requests in files, and in the *.json files of folders, each by a name of its own.

    Raises UserError naming the file.
    """
    found: dict[str, Request] = {}
    for path in map(Path, paths):
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise UserError(f"--request-file {path}: the folder holds no *.json file")
        for file in files:
            try:
                text = file.read_bytes()
            except OSError as error:
                raise UserError(f"--request-file {file}: cannot be read: {error.strerror}") from error
            content = json_of(text, f"--request-file {file}")
            name = str(file) if file.name in found else file.name
            found[name] = _request(name, content)
    return list(found.values())


def recorded(client: Any, endpoint: str, first: str | None) -> list[Request]:
    """The last requests that the deployments of a local endpoint recorded, those of `first` before others, each once.

    Empty if nothing was recorded, and for an endpoint in Azure.
    """
    workspace = getattr(client, "workspace", None)
    if workspace is None:
        return []
    deployments = EndpointStore(workspace).get(endpoint).deployments
    found: dict[bytes, Request] = {}
    for name in sorted(deployments, key=lambda name: name != first):
        collections = deployments[name].plans[-1].collections if deployments[name].plans else {}
        if "request" in collections:
            for request in _records(Path(collections["request"].folder)):
                found.setdefault(request.body, request)
                if len(found) == RECORDED:
                    return list(found.values())
    return list(found.values())


def _records(folder: Path) -> Iterator[Request]:
    """What users asked, the latest first."""
    for file in sorted(folder.rglob("*.jsonl"), reverse=True):  # their folders are named by the time
        for line in _lines_from_the_end(file):
            with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):  # it is no record
                record = json.loads(line)
                if not record["correlationid"].startswith(MARK) and record["datacontenttype"] == "application/json":
                    yield _request(f"request {record['xrequestid']}", record["data"])


def _request(name: str, content: Any) -> Request:
    return Request(name, json.dumps(content, ensure_ascii=False).encode())


def _lines_from_the_end(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        start = max(opened.seek(0, 2) - TAIL_BYTES, 0)
        opened.seek(start)
        lines = opened.read().split(b"\n")
    yield from reversed(lines[1:] if start else lines)


class Asker:
    """Sends requests to the deployments of one endpoint, with its key."""

    def __init__(self, client: Any, endpoint: str) -> None:
        import requests

        self._client = client
        self._endpoint = endpoint
        self._address = str(client.online_endpoints.get(endpoint).scoring_uri)
        self._session = requests.Session()
        # A proxy of the environment has no way to this machine.
        self._session.trust_env = urlsplit(self._address).hostname not in ("127.0.0.1", "localhost")
        self._key = ""
        self._renew_key()

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def ask(self, deployment: str, request: Request) -> Answer:
        """One request to the deployment of this name; whatever comes of it is an Answer."""
        answer, status = self._ask(deployment, request)
        if status == 401:  # a key that was regenerated, or a token that has run out
            self._renew_key()
            answer, status = self._ask(deployment, request)
        if status is None:  # a connection that broke tells nothing of a deployment; once more, on a new one
            answer, status = self._ask(deployment, request)
        return answer

    def _ask(self, deployment: str, request: Request) -> tuple[Answer, int | None]:
        """The answer and its status, None if there is none."""
        import requests

        headers = {
            "azureml-model-deployment": deployment,
            "Content-Type": "application/json",
            "x-ms-client-request-id": MARK + uuid.uuid4().hex[:24],
        }
        started = time.perf_counter()
        try:
            response = self._session.post(
                self._address,
                data=request.body,
                headers=headers,
                auth=self._authorize,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            return Answer(_milliseconds(started), None, f"no answer: {_cut(str(error))}"), None
        taken = _milliseconds(started)
        text = response.content.decode("utf-8", errors="replace")
        if response.status_code == 200:
            return Answer(taken, text), 200
        status = response.status_code
        return Answer(taken, None, f"{status} {_message(text)}".rstrip(), busy=status in BUSY), status

    def _authorize(self, request: Any) -> Any:
        """requests would otherwise put what a ~/.netrc has for this host in the place of our key."""
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _renew_key(self) -> None:
        """Take the current key or token, for which the endpoint must prove itself; over https its certificate does."""
        keys = self._client.online_endpoints.get_keys(self._endpoint)
        self._key = str(getattr(keys, "primary_key", None) or getattr(keys, "access_token", None) or "")
        if self._key:
            self._session.mount("http://", proven_adapter(self._key))


def _milliseconds(started: float) -> float:
    return 1000 * (time.perf_counter() - started)


def _message(text: str) -> str:
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        return _cut(str(json.loads(text)["message"]))
    return _cut(text)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."
