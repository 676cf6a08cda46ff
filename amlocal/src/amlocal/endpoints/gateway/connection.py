"""HTTP/1.1 for the gateway: connections parsed by httptools, the requests of each answered in their order.

It knows nothing of endpoints. What is wrong with a request as HTTP (malformed, too large, too slow) is answered here.
Framing is taken strictly, as RFC 9112 has it: where two readers could disagree about where a request ends, it is
refused and the connection closed.
"""

import asyncio
import os
import sys
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

import httptools
import orjson

from amlocal.endpoints.gateway.framing import BadLine, Framing
from amlocal.endpoints.logs import say

MAX_BODY = 10 * 1024 * 1024
MAX_HEADERS = 64 * 1024
# A header counts for this much beside its own length, so that there cannot be many thousands of empty ones.
HEADER_BYTES = 32
# The requests of all clients that are not answered yet: bodies, headers, and what we keep of each beside them.
MAX_HELD = 256 * 1024 * 1024
REQUEST_BYTES = 1024
# A body that is longer, or of no known length, is only taken from clients that may enter.
SMALL_BODY = 64 * 1024
# The framing of a chunked body may be this many times longer than the body itself, which is 1-byte chunks.
MAX_FRAMING = 8
# More than these many requests sent ahead on one connection stay with the operating system until some are answered.
MAX_AHEAD = 16

# A client has so long from a request's first byte to the end of its headers, and to the end of its body;
HEADERS_SECONDS = 10.0
REQUEST_SECONDS = 60.0
# between two requests;
IDLE_SECONDS = 75.0
# and to take an answer that waits for it: so long, and longer for one that is large. Reading a little renews nothing.
UNREAD_SECONDS = 30.0
SLOWEST = 64 * 1024  # bytes a second
# The answers that wait for all clients to read them. Beyond it who has kept one waiting for longest is dropped.
MAX_UNREAD = 64 * 1024 * 1024
STUCK_SECONDS = 2.0  # a client that reads is given this long, unless four times as much waits
UNREAD_STEP = 1024 * 1024  # bytes answered, after which that is looked at
# What a client still sends after it was refused is read and dropped for this long, so that it gets to read the refusal.
LINGER_SECONDS = 10.0

# Descriptors that are kept for files and workers; and how many macOS allows, whatever it says.
OTHER_FILES = 512
MACOS_FILES = 10_240

Headers = list[tuple[bytes, bytes]]
Refusal = tuple[int, str, Headers]  # status, message, and headers beside those that every refusal has

FRAMING = frozenset((b"content-length", b"expect", b"host", b"transfer-encoding"))
REASONS = {status.value: status.phrase for status in HTTPStatus}


class Request:
    """A whole request. `respond` may be called at any later time, once."""

    __slots__ = ("_connection", "body", "headers", "held", "keep_alive", "method", "refusal", "target")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.method = ""
        self.target = b""
        self.headers: Headers = []  # names in lower case
        self.body = b""
        self.held = 0  # bytes, of those that Clients counts
        self.keep_alive = True
        self.refusal: Refusal | None = None

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


class Clients:
    """All connections of a server, and what they take together.

    handle: answers a whole request. admit: why a request is refused before its body comes, None if it is not; it is
    asked where the body may be large.
    """

    def __init__(
        self,
        handle: Callable[[Request], None],
        most: int = sys.maxsize,
        admit: Callable[[Request], Refusal | None] = lambda request: None,
    ) -> None:
        self.handle = handle
        self.admit = admit
        self.most = most
        self.connections: set[Connection] = set()
        self.held = 0  # bytes
        self._answered = 0  # bytes, since it was last looked at how many of them nobody has read
        self.answers: Counter[int] = Counter()  # by status
        self.date = _date()  # the header

    def connect(self) -> "Connection":
        """A new connection's protocol."""
        return Connection(self)

    @property
    def unread(self) -> int:
        """Bytes of answers that no client has taken yet."""
        return sum(connection.unread for connection in self.connections)

    def count_unread(self, size: int) -> None:
        """Take note of an answer that its client has not taken at once; those that keep us waiting longest go."""
        self._answered += size
        if self._answered < UNREAD_STEP:
            return
        self._answered = 0
        unread = self.unread
        over = unread - MAX_UNREAD
        if over > 0:
            patience = STUCK_SECONDS if unread < 4 * MAX_UNREAD else 0.0
            latest = asyncio.get_running_loop().time() - patience
            stuck = [one for one in self.connections if one.unread and one.stuck_since <= latest]
            for connection in sorted(stuck, key=lambda one: one.stuck_since):
                over -= connection.unread
                connection.drop()
                if over <= 0:
                    break

    def look_after(self) -> None:
        """Part with clients that keep us waiting; to be called every second or so."""
        self.date = _date()
        now = asyncio.get_running_loop().time()
        for connection in list(self.connections):
            connection.look_after(now)


class Connection(asyncio.Protocol):
    """A client's connection: its whole requests are handled, one at a time."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._parser = httptools.HttpRequestParser(self)
        self._framing = Framing()
        self._transport: asyncio.Transport
        self._waiting: deque[Request] = deque()
        self._asked = False  # the first of them is being answered
        self._working = False
        self._deaf = False  # what still comes is dropped
        self._refused = False
        self._ended = False  # the client will send no more
        self._paused = False  # it has sent so far ahead that we do not read
        self._stuffed = False  # it does not read
        self._lost = False
        self._dropped = False
        self.stuck_since = 0.0  # when answers began to wait for the client to read them; 0: none waits
        self._stuck = 0  # bytes of answers since then, read or not
        self._left = 0.0  # when we had said all we had to say
        self._since = 0.0  # when the request that is being received began
        self.last_active = asyncio.get_running_loop().time()
        self._begin()

    def _begin(self) -> None:
        """Get ready for the next request."""
        self._request = Request(self)
        self._in_body = False
        self._received = 0
        self._header_bytes = 0
        self._body: bytes | bytearray = b""

    @property
    def busy(self) -> bool:
        """Whether a request on it is being answered."""
        return bool(self._waiting)

    @property
    def unread(self) -> int:
        """Bytes of answers that the client has not taken."""
        return 0 if self._lost or self._dropped else self._transport.get_write_buffer_size()

    def drop(self) -> None:
        """Part with the client at once; what it has not read is forgotten."""
        self._dropped = True
        self._transport.abort()

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._clients.connections.add(self)
        if len(self._clients.connections) > self._clients.most:
            self._deaf = True
            self._request.keep_alive = False
            self._waiting.append(self._request)
            self._request.refuse(503, f"the endpoint has {self._clients.most:,} connections, the most it can keep")

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.connections.discard(self)
        self._lost = True
        self._clients.held -= len(self._body)
        self._body = b""
        while len(self._waiting) > self._asked:  # who asked for these is gone
            self._clients.held -= self._waiting.pop().held

    def data_received(self, data: bytes) -> None:
        self.last_active = asyncio.get_running_loop().time()
        if self._deaf:
            return
        if not self._since:
            self._since = self.last_active
        self._received += len(data)
        try:
            start, size, view = 0, len(data), memoryview(data)
            while start < size and not self._deaf:
                end = self._framing.next_end(data, start)
                self._parser.feed_data(view[start:end])
                start = end
        except BadLine:
            self._refuse_all(400, "not a valid HTTP request: its first line is not METHOD TARGET HTTP/1.1")
        except httptools.HttpParserUpgrade:
            self._no_other_protocol()
        except httptools.HttpParserError as error:
            self._refuse_all(400, f"not a valid HTTP request: {error}")
        else:
            if self._received > MAX_HEADERS * 4 + MAX_FRAMING * len(self._body):
                self._refuse_all(400, "not a valid HTTP request: its framing is many times longer than its body")

    def eof_received(self) -> bool:
        self._ended = True
        return self.busy  # a client that has only closed its own side still gets its answers

    def pause_writing(self) -> None:
        self._stuffed = True

    def resume_writing(self) -> None:
        self._stuffed = False
        self._work()

    def look_after(self, now: float) -> None:
        """Part with the client if it has kept us waiting too long."""
        if not self.unread:
            self.stuck_since = 0.0
        if self.stuck_since:
            if now - self.stuck_since > UNREAD_SECONDS + self._stuck / SLOWEST:
                self.drop()
        elif self._left:
            if now - self._left > LINGER_SECONDS:
                self._transport.abort()
        elif self._waiting:
            return
        elif self._since:
            patience, what = (REQUEST_SECONDS, "body") if self._in_body else (HEADERS_SECONDS, "headers")
            if now - self._since > patience:
                self._refuse_all(408, f"the request's {what} did not come within {patience:g} seconds")
        elif now - self.last_active > IDLE_SECONDS:
            self._transport.close()

    # -- httptools; nothing here may raise, the parser would take it for the client's fault

    def on_message_begin(self) -> None:
        self._since = self.last_active

    def on_url(self, url: bytes) -> None:
        self._request.target += url
        self._count_headers(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_headers(len(name) + len(value) + HEADER_BYTES)
        if not self._in_body:  # what follows a chunked body is dropped: nobody has looked at it
            self._request.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_body = True
        request = self._request
        request.method = self._parser.get_method().decode("latin-1")
        version = self._parser.get_http_version()
        request.keep_alive = self._parser.should_keep_alive() and version == "1.1"
        hosts, host, length, expects, chunked = 0, b"", b"", False, False
        for name, value in request.headers:
            if name not in FRAMING:
                continue
            if name == b"host":
                hosts += 1
                host = value
            elif name == b"content-length":
                length = value
            elif name == b"expect":
                expects = value.lower() == b"100-continue" and version == "1.1"
            elif value.lower() != b"chunked" or version == "1.0":  # Transfer-Encoding
                self._refuse_all(400, "the only Transfer-Encoding that is understood is chunked, with HTTP/1.1")
                return
            else:
                chunked = True
        self._framing.body(None if chunked else int(length or 0))
        if not request.target.startswith(b"/"):
            request.target = _path(request.target, host)
        if version not in ("1.1", "1.0"):
            self._refuse_all(505, "this server speaks HTTP/1.1")
        elif hosts > 1 or (hosts == 0 and version == "1.1"):
            self._refuse_all(400, "not a valid HTTP request: it must have one header Host")
        elif self._parser.should_upgrade():  # the parser would take no body of it
            self._no_other_protocol()
        elif len(length) > 18 or (length and int(length) > MAX_BODY):
            self._too_large()
        elif (chunked or expects or (length and int(length) > SMALL_BODY)) and (
            refusal := self._clients.admit(request)
        ):
            self._refuse_all(*refusal)
        elif expects and not self._waiting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._deaf:
            return
        if self._body:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)  # not a list: of many small pieces one would be huge
            self._body += body
        else:
            self._body = body
        self._clients.held += len(body)
        if len(self._body) > MAX_BODY:
            self._too_large()
        elif self._clients.held > MAX_HELD:
            self._too_many()

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        request, beside = self._request, self._header_bytes + REQUEST_BYTES
        if self._clients.held + beside > MAX_HELD:
            self._too_many()
            return
        request.body = bytes(self._body)
        request.held = len(request.body) + beside
        self._clients.held += beside
        self._since = 0.0
        self._deaf = not request.keep_alive
        self._begin()
        self._waiting.append(request)
        self._work()
        if len(self._waiting) > MAX_AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    # -- answers

    def answer(self, request: Request, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Send the answer to the first request in line, then turn to the next."""
        parts = [b"HTTP/1.1 %d %b\r\n%b" % (status, REASONS.get(status, "").encode(), self._clients.date)]
        parts += [b"%b: %b\r\n" % header for header in headers]
        self._waiting.popleft()
        self._asked = False
        self._clients.held -= request.held
        self._clients.answers[status] += 1
        if self._lost:
            return
        last = not request.keep_alive or (self._ended and not self._waiting) or self._transport.is_closing()
        if last:
            parts.append(b"connection: close\r\n")
        if request.method != "HEAD":
            parts += (b"content-length: %d\r\n\r\n" % len(body), body)
        else:  # the length is that of what GET would give, which only who has built that knows
            parts.append(b"content-length: %d\r\n\r\n" % len(body) if body else b"\r\n")
        self._send(b"".join(parts))
        if last:
            self._leave()
        elif self._waiting:
            self._work()
        else:
            if self._since:  # the next one could not come while we were busy
                self._since = asyncio.get_running_loop().time()
            if self._paused:
                self._paused = False
                self._transport.resume_reading()

    def _send(self, data: bytes) -> None:
        """Write, and take note of when it cannot all go at once."""
        if not self.unread:
            self.stuck_since, self._stuck = 0.0, 0
        self._transport.write(data)
        if self.unread:
            self.stuck_since = self.stuck_since or asyncio.get_running_loop().time()
            self._stuck += len(data)
            self._clients.count_unread(len(data))

    def _work(self) -> None:
        """Have the requests in line handled, one after the other; a client that does not read has to wait."""
        if self._working:
            return
        self._working = True  # what is answered at once is answered in this loop
        try:
            while self._waiting and not self._asked and not self._stuffed and not self._left:
                self._asked = True
                request = self._waiting[0]
                if request.refusal:
                    request.refuse(*request.refusal)
                    continue
                try:
                    self._clients.handle(request)
                except Exception:
                    say(traceback.format_exc())
                    if self._asked and self._waiting[0] is request:
                        request.refuse(500, "the gateway failed at this request; its log says why")
        finally:
            self._working = False

    def _count_headers(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADERS:
            self._refuse_all(431, f"the request's line and headers are longer than {MAX_HEADERS:,} bytes")

    def _too_large(self) -> None:
        self._refuse_all(413, f"the request's body is longer than {MAX_BODY:,} bytes, the most an endpoint takes")

    def _too_many(self) -> None:
        self._refuse_all(503, f"the requests in flight take more than {MAX_HELD:,} bytes together; try again")

    def _no_other_protocol(self) -> None:
        self._refuse_all(
            400,
            "this server does not change to another protocol: leave out the header Upgrade"
            " (curl --http1.1; Java: HttpClient.Version.HTTP_1_1)",
        )

    def _refuse_all(self, status: int, message: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Refuse what is being received and hear no more; requests that came whole before it are answered first."""
        if self._deaf:
            return
        self._deaf = self._refused = True
        request = self._request
        self._clients.held -= len(self._body)
        self._begin()
        request.keep_alive = False
        request.refusal = (status, message, list(headers))
        self._waiting.append(request)
        self._work()

    def _leave(self) -> None:
        """Close, after the client has had the time to read what it was told."""
        self._left = asyncio.get_running_loop().time()
        if self._refused and not self._ended and self._transport.can_write_eof():
            if self._paused:
                self._paused = False
                self._transport.resume_reading()  # and dropping, or the client would never come to read
            self._transport.write_eof()
        else:
            self._transport.close()


def _date() -> bytes:
    return b"date: %b\r\n" % formatdate(usegmt=True).encode()


def _path(target: bytes, host: bytes) -> bytes:
    """The path of a target that is a whole address, as proxies are sent it; another host's is left as it is."""
    scheme, _, rest = target.partition(b"://")
    authority, slash, path = rest.partition(b"/")
    ours = scheme.lower() in (b"http", b"https") and authority.lower() == host.lower()
    return slash + path if ours and slash else target


def most_connections() -> int:
    """How many connections this process can keep, after it has been allowed as many files as it may be."""
    if os.name == "nt":
        return sys.maxsize
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, MACOS_FILES):
        if soft != wanted:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            except (ValueError, OSError):
                continue
        break
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(soft - OTHER_FILES, soft // 2)
