"""One request's way through a deployment: headers forwarded, worker asked, both sides recorded, then answered."""

import random
import re
import time

import orjson

from amlocal.endpoints.gateway.connection import REASONS, Request
from amlocal.endpoints.gateway.metrics import Counts
from amlocal.endpoints.gateway.pool import Pool
from amlocal.endpoints.records.recorder import Collected, Line, Recorder, new_id
from amlocal.endpoints.worker.instance import GUNICORN_ERROR, pack

# These speak of one connection, not of the request; the key is nobody's business but ours.
NOT_FORWARDED = {
    b"authorization",
    b"azureml-model-deployment",
    b"connection",
    b"content-length",
    b"expect",
    b"keep-alive",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
NOT_RETURNED = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "upgrade"}

# "This header is sanitized to only accept alphanumeric characters, hyphens and underscores, and is truncated to a
# maximum of 40 characters": how-to-troubleshoot-online-endpoints, on x-ms-client-request-id.
CLIENT_ID = re.compile(rb"[^A-Za-z0-9_-]")
CLIENT_ID_LENGTH = 40

YEAR_3000 = 32_503_680_000.0  # seconds; later than that no time is written on every system


class Target:
    """A deployment as requests see it: its workers, its collections, and what it has answered so far."""

    def __init__(self, name: str) -> None:
        self.pool = Pool(name)
        self.header = (b"azureml-model-deployment", name.encode())
        self.collections: dict[str, Collected] = {}
        self.counts = Counts()

    def collected(self, headers: dict[str, str], body: bytes) -> Line:
        """The record of what the Collector sends; azureml/ai/monitoring/worker/sender.py has its headers.

        Raises KeyError for a collection that is not enabled.
        """
        collection = self.collections[headers.get("ce-type", "").removeprefix("azureml.inference.")]
        try:
            when = float(headers.get("ce-time", ""))
        except ValueError:
            when = -1.0
        if not 0.0 <= when < YEAR_3000:  # nor is it a number, or it counts in milliseconds
            when = time.time()
        id = headers.get("ce-x-request-id", "")
        line = collection.line(
            headers.get("trace-id") or new_id(),
            when,
            headers.get("content-type") or headers.get("Content-Type", "application/json"),
            body,
            correlationid=id,
            xrequestid=id,
            modelversion=headers.get("ce-model-version", "default"),
            collectdatatype=headers.get("ce-collect-data-type", ""),
            agent=headers.get("ce-agent", ""),
        )
        return collection, line


class Exchange:
    """One request at one deployment: handed to a worker, recorded, answered; a mirrored one has nobody to answer."""

    __slots__ = ("began", "client_id", "id", "recorder", "reply_to", "request", "started", "target")

    def __init__(self, recorder: Recorder, target: Target, request: Request, reply_to: Request | None) -> None:
        self.recorder = recorder
        self.target = target
        self.request = request
        self.reply_to = reply_to

    def start(self) -> None:
        headers = []
        request_id = client_id = None
        for name, value in self.request.headers:
            if name in NOT_FORWARDED or b"_" in name:
                continue
            if name == b"x-request-id":
                request_id = value if request_id is None else b"%b,%b" % (request_id, value)  # as the server joins them
            elif name == b"x-ms-client-request-id":
                value = CLIENT_ID.sub(b"", value)[:CLIENT_ID_LENGTH]
                client_id = value if client_id is None else b"%b,%b" % (client_id, value)
            headers.append((name.decode("latin-1"), value.decode("latin-1")))
        if request_id is None:
            self.id = new_id()
            headers.append(("x-request-id", self.id))
        else:
            self.id = request_id.decode("latin-1")
        self.client_id = client_id.decode() if client_id else self.id
        self.started = time.time()
        self.began = time.perf_counter()
        head = orjson.dumps([self.request.method, self.request.target.decode("latin-1"), headers])
        self.target.pool.submit(pack(head, self.request.body), self._done, self._failed)

    def _done(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        try:
            kept = [
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in headers
                if name.lower() not in NOT_RETURNED
            ]
        except UnicodeEncodeError:  # no header can say that; gunicorn, in front of Azure's server, answers so
            status, kept, body = 500, [(b"content-type", b"text/html")], GUNICORN_ERROR
        if status != 200:
            reason = REASONS.get(status, "Unknown")
            kept.append((b"ms-azureml-model-error-statuscode", b"%d" % status))
            kept.append((b"ms-azureml-model-error-reason", reason.encode()))
            status = 424
        self._record(status, kept, body)

    def _failed(self, status: int, message: str) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"x-request-id", self.id.encode("latin-1")),
            (b"x-ms-client-request-id", self.client_id.encode("latin-1")),
        ]
        if status == 429:
            headers.append((b"retry-after", b"1"))
        self._record(status, headers, orjson.dumps({"message": message}))

    def _record(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Put question and answer on record, and only then answer."""
        headers.append(self.target.header)
        lines = self._lines(status, headers, body)

        def written(error: OSError | None) -> None:
            self.target.counts.add(507 if error else status, time.perf_counter() - self.began)
            if self.reply_to is None:
                return
            if error:
                self.reply_to.refuse(507, not_recorded(error), [self.target.header])
            else:
                self.reply_to.respond(status, headers, body)

        if lines:
            self.recorder.add(lines, written)
        else:
            written(None)

    def _lines(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> list[Line]:
        collections = self.target.collections
        if not self.request.target.startswith(b"/score"):
            return []  # somebody has read the swagger
        asked, answered = collections.get("request"), collections.get("response")
        drawn = random.random() * 100  # noqa: S311 (one draw for both, so that they can be joined)
        ids = {"correlationid": self.client_id, "xrequestid": self.id}
        lines: list[Line] = []
        if asked and drawn < asked.percentage:
            request = self.request
            line = asked.line(
                new_id(),
                self.started,
                (request.header(b"content-type") or b"").decode("latin-1"),
                request.body,
                path=request.target.decode("latin-1"),
                method=request.method,
                **ids,
            )
            lines.append((asked, line))
        if answered and drawn < answered.percentage:
            content_type = next((value for name, value in headers if name.lower() == b"content-type"), b"")
            line = answered.line(new_id(), time.time(), content_type.decode("latin-1"), body, statuscode=status, **ids)
            lines.append((answered, line))
        return lines


def not_recorded(error: OSError) -> str:
    """What a client is told whose answer cannot be recorded."""
    return (
        f"the request was answered but could not be put on record, so the answer is withheld: {error.strerror or error}"
    )
