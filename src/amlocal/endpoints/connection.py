"""HTTP/1.1 for the gateway: one connection, parsed by httptools, its requests answered in their order.

It knows nothing of endpoints. What is wrong with a request as HTTP (malformed, too large) is answered here.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import cast

import httptools
import orjson

MAX_BODY = 10 * 1024 * 1024
MAX_HEADERS = 64 * 1024
# More than these many requests sent ahead on one connection stay with the operating system until some are answered.
MAX_AHEAD = 16
# What a client still sends after it was refused is read and dropped for this long, so that it gets to read the refusal.
LINGER_SECONDS = 10.0

Headers = list[tuple[bytes, bytes]]

REASONS = {status.value: status.phrase for status in HTTPStatus}


class Request:
    """A whole request. `respond` may be called at any later time, once."""

    __slots__ = ("_connection", "body", "headers", "keep_alive", "method", "refusal", "target")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.method = ""
        self.target = b""
        self.headers: Headers = []  # names in lower case
        self.body = b""
        self.keep_alive = True
        self.refusal: tuple[int, str] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first header of this name, which is given in lower case."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def respond(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        self._connection.answer(self, status, headers, body)

    def refuse(self, status: int, message: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answer with an error in JSON, as Azure's server words its own."""
        body = orjson.dumps({"message": message})
        self.respond(status, [(b"content-type", b"application/json"), *headers], body)


class Connection(asyncio.Protocol):
    """A client's connection: hands whole requests to `handle`, one at a time."""

    def __init__(self, handle: Callable[[Request], None], connections: set["Connection"]) -> None:
        self._handle = handle
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._begin()
        self._waiting: deque[Request] = deque()  # the first is being answered
        self._deaf = False  # what still comes is dropped
        self._paused = False
        self.last_active = asyncio.get_running_loop().time()

    def _begin(self) -> None:
        """Get ready for the next request."""
        self._request = Request(self)
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0

    @property
    def busy(self) -> bool:
        """Whether a request on it is being answered."""
        return bool(self._waiting)

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.last_active = asyncio.get_running_loop().time()
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # to another protocol: the request is answered as it stands, and that was all
        except httptools.HttpParserError as error:
            if not self._deaf:
                self._refuse_all(400, f"not a valid HTTP request: {error}")

    def eof_received(self) -> bool:
        return self.busy  # a client that has only closed its own side still gets its answers

    def close(self) -> None:
        self._transport.close()

    # -- httptools; nothing here may raise, the parser would take it for the client's fault

    def on_url(self, url: bytes) -> None:
        self._request.target += url
        self._count_headers(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers.append((name.lower(), value))
        self._count_headers(len(name) + len(value))

    def on_headers_complete(self) -> None:
        request = self._request
        request.method = self._parser.get_method().decode("latin-1")
        request.keep_alive = self._parser.should_keep_alive()
        length = request.header(b"content-length")
        if length is not None and length.isdigit() and int(length) > MAX_BODY:
            self._too_large()
        elif request.header(b"expect") == b"100-continue" and not self._waiting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._deaf:
            return
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY:
            self._too_large()

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        request = self._request
        request.body = b"".join(self._body)
        self._begin()
        self._waiting.append(request)
        if len(self._waiting) == 1:
            self._next()
        elif len(self._waiting) > MAX_AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    # -- answers

    def answer(self, request: Request, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Send the answer to the first request in line, then turn to the next."""
        self._waiting.popleft()
        last = not request.keep_alive or self._transport.is_closing()
        parts = [b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, "").encode())]
        parts += [b"%b: %b\r\n" % header for header in headers]
        if last:
            parts.append(b"connection: close\r\n")
        parts.append(b"content-length: %d\r\n\r\n" % len(body))
        if request.method != "HEAD":
            parts.append(body)
        self._transport.write(b"".join(parts))
        if last:
            self._leave()
        elif self._waiting:
            self._next()
        elif self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _next(self) -> None:
        request = self._waiting[0]
        if request.refusal:
            request.refuse(*request.refusal)
        else:
            self._handle(request)

    def _count_headers(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADERS:
            self._refuse_all(431, f"the request's line and headers are longer than {MAX_HEADERS:,} bytes")

    def _too_large(self) -> None:
        self._refuse_all(413, f"the request's body is longer than {MAX_BODY:,} bytes, the most an endpoint takes")

    def _refuse_all(self, status: int, message: str) -> None:
        """Refuse what is being received and hear no more; requests that came whole before it are answered first."""
        if self._deaf:
            return
        self._deaf = True
        request = self._request
        self._begin()
        request.keep_alive = False
        request.refusal = (status, message)
        self._waiting.append(request)
        if len(self._waiting) == 1:
            self._next()

    def _leave(self) -> None:
        """Close, after the client has had the time to read what it was told."""
        if not self._deaf:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)
