"""The socket side: TLS on 127.0.0.1, a request in, the handler that its route names, a response out."""

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .certificate import SERVICES


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    service: str  # "" (ARM and the workspace's own services), "blob", "inference", ...
    host: str
    path: str  # decoded
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    content: bytes
    time: float = field(default_factory=time.time)

    @cached_property
    def body(self) -> Any:
        """The content as JSON; None when there is none or it is something else."""
        try:
            return json.loads(self.content) if self.content else None
        except ValueError:
            return None

    @property
    def account(self) -> str:
        """The first label of the host: a storage account, an endpoint."""
        return self.host.partition(".")[0]

    @property
    def base(self) -> str:
        """`https://host:port`, as the client spelt it."""
        return f"https://{self.headers.get('host', self.host)}"

    def summary(self) -> dict[str, Any]:
        """What a reader wants to see of it, without its headers (they hold a token)."""
        seen = {"method": self.method, "host": self.host, "path": self.path, "query": dict(self.query)}
        return seen | {"body": self.body if self.body is not None else self.content[:2000].decode(errors="replace")}

    def __str__(self) -> str:
        return f"{self.method} {self.host}{self.path} {dict(self.query)}"


@dataclass(frozen=True)
class Response:
    """What a handler answers with; `body` is sent as it is when it is bytes or text, else as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> tuple[bytes, str]:
        if self.body is None:
            return b"", ""
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), "text/plain; charset=utf-8"
        return json.dumps(self.body).encode(), "application/json; charset=utf-8"


class Refusal(Exception):
    """Raised by a handler to answer with an error in ARM's form."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.response = Response(status, {"error": {"code": code, "message": message} | more}, headers or {})


def ml_refusal(
    status: int, message: str, *inner: str, code: str = "UserError", details: list[Any] | None = None
) -> Refusal:
    """As the machine learning service refuses: `code` is general, what it is about is the innermost of `inner`."""
    nested: Any = None
    for each in reversed(inner):
        nested = {"code": each, "innerError": nested}
    more: list[dict[str, Any]] = [
        {"type": "ComponentName", "info": {"value": "managementfrontend"}},
        {"type": "Correlation", "info": {"value": {"operation": "9518a5120e841c6a", "request": "2632b07b9427daef"}}},
        {"type": "Environment", "info": {"value": "westeurope"}},
        {"type": "Location", "info": {"value": "westeurope"}},
        {"type": "Time", "info": {"value": "2026-03-27T04:05:02.5035826+00:00"}},
    ]
    if nested:
        more.append({"type": "InnerError", "info": {"value": nested}})
    if details:
        more.append({"type": "MessageFormat", "info": {"value": message}})
    return Refusal(status, code, message, details=details or [], additionalInfo=more)


class Cut(Exception):
    """Raised by a handler to close the connection without an answer."""


class Unknown(Exception):
    """Raised by a handler whose route fits a request that it does not know after all."""


Handler = Callable[..., Any]


@dataclass(frozen=True)
class Route:
    method: str
    service: str
    pattern: re.Pattern[str]
    handler: Handler


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """`/a/{name}/{rest*}` as an expression: one segment, any number of them. Case does not count, as in ARM."""
    parts = re.split(r"(\{\w+\*?\})", pattern)
    expression = "".join(
        (f"(?P<{part[1:-2]}>.*)" if part.endswith("*}") else f"(?P<{part[1:-1]}>[^/]+)")
        if part.startswith("{")
        else re.escape(part)
        for part in parts
    )
    return re.compile(expression + "/?", re.IGNORECASE)


def service_of(host: str) -> str:
    return next((service for service, suffix in SERVICES.items() if host.endswith("." + suffix)), "")


class Web:
    """Routes and the server that follows them. The latest route that fits is taken: a test may put its own in front."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.unknown: list[Request] = []
        self.routes: list[Route] = []
        self.port = 0
        self._server: _Server | None = None

    def route(self, method: str, pattern: str, service: str = "") -> Callable[[Handler], Handler]:
        """Decorator: `handler(request, **placeholders)` answers these requests.

        It returns a `Response`, or what is to be sent as JSON with status 200; or raises `Refusal` or `Cut`.
        """

        def add(handler: Handler) -> Handler:
            self.routes.insert(0, Route(method, service, compile_pattern(pattern), handler))
            return handler

        return add

    def handle(self, request: Request) -> Response:
        if not request.path.startswith("/double/"):
            self.requests.append(request)
        try:
            for route in self.routes:
                if route.method == request.method and route.service == request.service:
                    match = route.pattern.fullmatch(request.path)
                    if match:
                        answer = route.handler(request, **match.groupdict())
                        return answer if isinstance(answer, Response) else Response(200, answer)
            raise Unknown
        except Refusal as refusal:
            return refusal.response
        except Unknown:
            self.unknown.append(request)
            return Refusal(501, "NotImplemented", f"the double has no route for {request}").response

    def listen(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = _Server(self, context)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="double", daemon=True).start()

    def close(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, web: Web, context: ssl.SSLContext) -> None:
        self.web, self.context = web, context
        super().__init__(("127.0.0.1", 0), _Connection)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a client slow to shake hands holds up nobody else."""
        request.settimeout(60)
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self.context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except (OSError, ssl.SSLError):
            pass  # the client went away, which is its right

    def server_bind(self) -> None:
        """Without http.server's look-up of this machine's name, which can take seconds."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    wbufsize = -1  # headers and body leave in one piece

    def answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        content = self.read_content(headers)
        url = urlsplit(self.path)
        host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
        request = Request(
            self.command,
            service_of(host),
            host,
            unquote(url.path),
            dict(parse_qsl(url.query, keep_blank_values=True)),
            headers,
            content,
        )
        try:
            response = self.server.web.handle(request)
        except Cut:
            self.close_connection = True
            return
        except Exception as error:
            self.server.web.unknown.append(request)
            response = Refusal(500, "DoubleFailed", f"{type(error).__name__}: {error}").response
        body, kind = response.content()
        self.send_response(response.status)
        for name, value in {"Content-Type": kind, "x-ms-request-id": "double", **response.headers}.items():
            if value and name.lower() != "content-length":
                self.send_header(name, value)
        length = response.headers.get("Content-Length") if self.command == "HEAD" else None
        if response.status != 204:
            self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and response.status not in (204, 304):
            self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

    def read_content(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def log_message(self, format: str, *arguments: Any) -> None:
        pass
