"""What a gateway's connections take from clients, over real sockets: well framed, in time, not too much."""

import asyncio
import errno
import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from amlocal.endpoints.gateway import connection
from amlocal.endpoints.gateway.connection import SMALL_BODY, Clients, Refusal, Request

try:
    from uvloop import new_event_loop
except ImportError:  # Windows has none
    from asyncio import new_event_loop


class Server:
    """Echoes bodies, with the request's method and target; in a thread of its own."""

    def __init__(self, most: int = 1000) -> None:
        self.clients = Clients(self.handle, most, self.admit)
        self.admitted: list[bytes] = []
        self.kept: list[Request] = []  # asked for at /keep, to be answered later
        self.handled = 0
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    def handle(self, request: Request) -> None:
        self.handled += 1
        if request.target == b"/keep":
            self.kept.append(request)
        elif request.target == b"/fail":
            raise RuntimeError("a fault of the gateway's own")
        elif request.target.startswith(b"/large"):
            request.respond(200, [], b"x" * int(request.target[6:]))
        else:
            names = b",".join(name for name, _ in request.headers)
            request.respond(200, [(b"x-names", names)], request.method.encode() + b" " + request.target + request.body)

    def admit(self, request: Request) -> Refusal | None:
        self.admitted.append(request.target)
        return (401, "who are you?", [(b"www-authenticate", b"Bearer")]) if request.target == b"/secret" else None

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._loop.create_server(self.clients.connect, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._loop.call_soon(self._look)
        self._ready.set()
        self._loop.run_forever()

    def _look(self) -> None:
        self.clients.look_after()
        self._loop.call_later(0.01, self._look)

    def __enter__(self) -> "Server":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def run(self, do: Callable[[], Any]) -> Any:
        """`do()` in the server's thread."""
        done: list[Any] = []
        finished = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (done.append(do()), finished.set()))
        assert finished.wait(10)
        return done[0]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, *parts: bytes) -> bytes:
        """What comes back for these bytes until the other side closes."""
        with self.connect() as client:
            try:
                for part in parts:
                    client.sendall(part)
            except ConnectionError:
                pass  # refused in the middle; what was said is there to read
            return read(client)


def read(client: socket.socket) -> bytes:
    came = b""
    while block := client.recv(65536):
        came += block
    return came


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        threading.Event().wait(0.01)
    return found


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


HEAD = b"POST /score HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

REFUSED = {
    "the same length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 37\r\n\r\n{}",
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": HEAD + b"Content-Length: -2\r\n\r\n{}",
    "a hexadecimal length": HEAD + b"Content-Length: 0x2\r\n\r\n{}",
    "an empty length": HEAD + b"Content-Length: \r\n\r\n{}",
    "an endless length": HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}",
    "a space before the colon": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "no chunks": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    "compressed chunks": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks, then compressed": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunks twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks behind a vertical tab": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks of HTTP/1.0": b"POST /score HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "a folded Transfer-Encoding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"POST /score HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}",
    "one bare line feed": HEAD + b"X: a\nContent-Length: 2\r\n\r\n{}",
    "a bare carriage return": HEAD + b"X: a\rContent-Length: 2\r\n\r\n",
    "a NUL in a value": HEAD + b"X: a\0b\r\n\r\n",
    "a NUL in a name": HEAD + b"X\0: b\r\n\r\n",
    "a NUL in the path": b"GET /sc\0ore HTTP/1.1\r\nHost: x\r\n\r\n",
    "a byte above 127 in the path": b"GET /sc\xffore HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the path": b"GET /sc ore HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header without a name": HEAD + b": x\r\n\r\n",
    "a header without a colon": HEAD + b"x\r\n\r\n",
    "a space before the first header": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "no such version": b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
    "no such method": b"SCORE / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method in small letters": b"post / HTTP/1.1\r\nHost: x\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00",
    "another protocol": HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}",
    "a tunnel": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a chunk with a bare line feed": CHUNKED + b"\r\n2\n{}\r\n0\r\n\r\n",
    "a chunk's extension with one": CHUNKED + b"\r\n2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"\r\n2\r\n{}0\r\n\r\n",
    "a negative chunk": CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk of 0x2": CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a space after a chunk's size": CHUNKED + b"\r\n2 \r\n{}\r\n0\r\n\r\n",
    "an endless chunk": CHUNKED + b"\r\n" + b"f" * 17 + b"\r\n",
    "a length after the chunks": CHUNKED + b"\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a huge chunk extension": CHUNKED + b"\r\n2;a=" + b"b" * 400_000,
    "a chunk's size in a million digits": CHUNKED + b"\r\n" + b"0" * 1_000_000,
    "nothing but line breaks": b"\r\n" * 300_000,
    # the request's line
    "two spaces before the target": b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "two spaces before the version": b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab before the target": b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab before the version": b"GET /\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "a form feed before the target": b"GET\x0c/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space before the method": b" GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space behind the version": b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
    "a tab behind the version": b"GET / HTTP/1.1\t\r\nHost: x\r\n\r\n",
    "two carriage returns": b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n",
    "no version": b"GET /\r\nHost: x\r\n\r\n",
    "no version and no headers": b"GET /\r\n\r\n",
    "a space for the version": b"GET / \r\nHost: x\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "an empty target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a version": b"GET / HTTP/1\r\nHost: x\r\n\r\n",
    "a long version": b"GET / HTTP/1.10\r\nHost: x\r\n\r\n",
    "a version with a zero": b"GET / HTTP/01.1\r\nHost: x\r\n\r\n",
    "a version in small letters": b"GET / http/1.1\r\nHost: x\r\n\r\n",
    "RTSP": b"GET / RTSP/1.0\r\nHost: x\r\n\r\n",
    "RTSP's own method": b"SETUP / RTSP/1.0\r\nHost: x\r\n\r\n",
    "ICE": b"SOURCE / ICE/1.0\r\nHost: x\r\n\r\n",
    "a line feed before the line": b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a carriage return before the line": b"\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a line feed behind the line": b"GET / HTTP/1.1\nHost: x\r\n\r\n",
    "a line feed behind the headers": b"GET / HTTP/1.1\r\nHost: x\r\n\n",
    "a parenthesis in the method": b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
}
# What h11 takes of these: it lets pass what RFC 9112 lets a server pass (a bare line feed, a folded header), and leaves
# Host, methods, versions, Transfer-Encoding and Upgrade to whoever uses it.
LENIENT_IN_H11 = {
    "the same length twice",
    "a list of lengths",
    "length and chunks",
    "chunks and length",
    "chunks of HTTP/1.0",
    "a folded header",
    "a folded Transfer-Encoding",
    "bare line feeds",
    "one bare line feed",
    "no such version",
    "no such method",
    "a method in small letters",
    "the preface of HTTP/2",
    "another protocol",
    "a tunnel",
    "a space after a chunk's size",
    "a length after the chunks",
    "a line feed behind the line",
    "a line feed behind the headers",
}


def taken_by_h11(sent: bytes) -> bool:
    h11 = pytest.importorskip("h11")
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(sent)
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return False
    except h11.RemoteProtocolError:
        return False
    return True


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_refused_that_another_strict_reader_takes_but_what_is_named(name: str) -> None:
    assert taken_by_h11(REFUSED[name]) == (name in LENIENT_IN_H11)


@pytest.mark.parametrize(
    "first", ["GET /a HTTP/1.1", "GET /%20?b=c HTTP/1.1", "GET http://x/a HTTP/1.0", "GET  / HTTP/1.1"]
)
@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"Content-Length: 9\r\n\r\nGET  /  x",
        b"Transfer-Encoding: chunked\r\n\r\n9;a=b\r\nGET  /  x\r\n000\r\nA: b\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1\r\n\n\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 10_000])
def test_a_line_is_looked_at_wherever_it_stands(server: Server, first: str, body: bytes, step: int) -> None:
    """Behind empty lines, behind the body of another request, in pieces."""
    line = first.encode() + b"\r\nHost: x\r\nConnection: close\r\n\r\n"
    sent = b"POST /score HTTP/1.1\r\nHost: x\r\n" + body + b"\r\n\r\n" + line
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), step):
            client.sendall(sent[start : start + step])
        came = read(client)
    assert came.count(b"HTTP/1.1 200 ") == 2 - ("  " in first) and came.count(b"HTTP/1.1 400 ") == ("  " in first)


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
def test_what_two_readers_could_read_otherwise_is_refused_and_the_connection_closed(
    server: Server, sent: bytes
) -> None:
    came = server.raw(sent, NEXT)
    assert came.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))
    assert b"\r\nconnection: close\r\n" in came and came.count(b"HTTP/1.1 ") == 1
    assert server.handled == 0 and server.clients.held == 0


def test_other_versions_are_505(server: Server) -> None:
    assert server.raw(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 505 ")


def test_what_is_well_framed_is_taken(server: Server) -> None:
    close = b"Connection: close\r\n"
    assert server.raw(CHUNKED + close + b"\r\n2;a=b\r\n{}\r\n0\r\n\r\n").endswith(b"POST /score{}")
    assert server.raw(b"\r\n\r\n" + HEAD + close + b"Content-Length: 2\r\n\r\n{}").endswith(b"POST /score{}")
    assert server.raw(b"GET / HTTP/1.0\r\n\r\n").endswith(b"GET /")
    body = gzip.compress(b"any bytes")
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)  # each in a chunk of its own
    assert server.raw(CHUNKED + close + b"\r\n" + pieces + b"0\r\n\r\n").endswith(body)


def test_a_client_of_http_1_0_is_closed_and_not_told_to_continue(server: Server) -> None:
    head = b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    came = server.raw(head)
    assert came.startswith(b"HTTP/1.1 200 ") and b"\r\nconnection: close\r\n" in came and came.endswith(b"POST /{}")


def test_who_wants_another_protocol_is_told_how_to_ask_for_none(server: Server) -> None:
    assert b"curl --http1.1; Java: HttpClient.Version.HTTP_1_1" in server.raw(REFUSED["another protocol"])


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://me:80/a?b=c", b"/a?b=c"),
        (b"HTTPS://ME:80/", b"/"),
        (b"http://other/a", b"http://other/a"),
        (b"http://me:80", b"http://me:80"),
        (b"ftp://me:80/a", b"ftp://me:80/a"),
    ],
)
def test_a_target_may_be_a_whole_address_of_ours(server: Server, target: bytes, path: bytes) -> None:
    came = server.raw(b"GET %b HTTP/1.1\r\nHost: me:80\r\nConnection: close\r\n\r\n" % target)
    assert came.endswith(b"\r\n\r\nGET " + path)


def test_answers_are_dated_and_those_to_head_claim_no_length_that_nobody_knows(server: Server) -> None:
    close = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head = server.raw(b"HEAD /large0" + close)
    assert head.endswith(b"\r\n\r\n") and b"content-length" not in head
    assert b"\r\ncontent-length: 5\r\n" in server.raw(b"HEAD /large5" + close)
    assert b"\r\ncontent-length: 0\r\n" in server.raw(b"GET /large0" + close)
    date = parsedate_to_datetime(head.partition(b"\r\ndate: ")[2].partition(b"\r\n")[0].decode())
    assert abs(date.timestamp() - time.time()) < 10


def test_a_trailer_says_nothing(server: Server) -> None:
    came = server.raw(CHUNKED + b"Connection: close\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    assert b"x-names: host,transfer-encoding,connection\r\n" in came


def test_what_follows_the_last_request_is_not_looked_at(server: Server) -> None:
    came = server.raw(b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + NEXT)
    assert came.endswith(b"GET /last") and came.count(b"HTTP/1.1 ") == 1


def test_thousands_of_requests_sent_ahead_are_answered_in_their_order(server: Server) -> None:
    requests = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(5_000)]
    with server.connect() as client:
        client.sendall(b"GET /keep HTTP/1.1\r\nHost: x\r\n\r\n")
        sender = threading.Thread(target=lambda: (client.sendall(b"".join(requests)), client.shutdown(socket.SHUT_WR)))
        sender.start()
        eventually(lambda: server.kept)
        server.run(lambda: server.kept[0].respond(200, [], b"first"))
        came = read(client)
        sender.join()
    assert came.count(b"HTTP/1.1 200 ") == 5_001 and came.endswith(b"GET /4999")


def test_a_client_that_closes_its_own_side_gets_its_answers(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /keep HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\nGET /half")
        client.shutdown(socket.SHUT_WR)
        eventually(lambda: server.kept)
        server.run(lambda: server.kept[0].respond(200, [], b"first"))
        came = read(client)  # to the end: the connection is closed after the last
    assert b"first" in came and came.endswith(b"GET /next") and came.count(b"HTTP/1.1 ") == 2


def test_a_client_that_goes_leaves_nothing(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /keep HTTP/1.1\r\nHost: x\r\n\r\n" + HEAD + b"Content-Length: 9\r\n\r\n{")
        eventually(lambda: server.kept)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it does not say goodbye
    eventually(lambda: not server.clients.connections)
    server.run(lambda: server.kept[0].respond(200, [], b"too late"))
    assert server.clients.held == 0


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (b"GE", "headers"),
        (HEAD, "headers"),
        (HEAD + b"Content-Length: 9\r\n\r\n{", "body"),
        (CHUNKED + b"\r\n", "body"),
    ],
)
def test_who_is_too_slow_is_told_so(server: Server, monkeypatch: pytest.MonkeyPatch, sent: bytes, what: str) -> None:
    monkeypatch.setattr(connection, f"{'HEADERS' if what == 'headers' else 'REQUEST'}_SECONDS", 0.1)
    came = server.raw(sent)
    assert came.startswith(b"HTTP/1.1 408 ") and f"the request's {what} did not come".encode() in came
    assert b"\r\nconnection: close\r\n" in came


def test_drop_by_drop_is_too_slow_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEADERS_SECONDS", 0.2)
    with server.connect() as client:
        came = b""
        client.settimeout(0.01)
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        while not came:
            client.sendall(b"x")
            try:
                came = client.recv(65536)
            except TimeoutError:
                continue
    assert came.startswith(b"HTTP/1.1 408 ")


def test_who_sends_nothing_is_dropped_and_who_waits_for_an_answer_is_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(connection, "HEADERS_SECONDS", 0.1)
    with server.connect() as waiting, server.connect() as idle:
        waiting.sendall(b"GET /keep HTTP/1.1\r\nHost: x\r\n\r\nGET /ne")
        assert read(idle) == b""
        eventually(lambda: server.kept)
        server.run(lambda: server.kept[0].respond(200, [], b"at last"))
        waiting.sendall(b"xt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read(waiting).endswith(b"GET /next")


def test_a_client_that_never_reads_is_not_answered_without_end_and_dropped(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "UNREAD_SECONDS", 0.3)
    with server.connect() as client:
        client.sendall(b"GET /large1000000 HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        eventually(lambda: server.handled)
        eventually(lambda: not server.clients.connections)
    assert 0 < server.handled < 30  # what fits into the system's buffers, and one more


def test_a_client_that_reads_slowly_gets_all(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "UNREAD_SECONDS", 0.3)
    with server.connect() as client:
        client.sendall(b"GET /large30000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        size, pause = 0, threading.Event()
        while block := client.recv(2_000_000):
            size += len(block)
            pause.wait(0.05)  # 30 times, longer together than the endpoint's patience
    assert size > 30_000_000


def test_reading_a_little_now_and_then_renews_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "UNREAD_SECONDS", 0.3)
    monkeypatch.setattr(connection, "SLOWEST", 100_000_000)
    with server.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /large30000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        start, pause = time.monotonic(), threading.Event()
        while server.clients.connections or not server.handled:
            assert time.monotonic() - start < 20
            client.recv(2048)
            pause.wait(0.02)
        assert time.monotonic() - start < 5


def test_answers_that_nobody_reads_have_a_limit_together(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients that have kept an answer waiting for longest go; one that reads is answered all the while."""
    monkeypatch.setattr(connection, "MAX_UNREAD", 40_000_000)
    monkeypatch.setattr(connection, "STUCK_SECONDS", 0.0)
    clients, most = [], 0
    try:
        for _ in range(30):
            clients.append(server.connect())
            clients[-1].sendall(b"GET /large10000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: server.handled == len(clients))
            most = max(most, server.run(lambda: server.clients.unread))
            assert server.raw(b"GET /fine HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").endswith(b"GET /fine")
            server.handled -= 1
        assert most <= 40_000_000
        eventually(lambda: len(server.clients.connections) < 15)
    finally:
        for client in clients:
            client.close()


def test_clients_that_read_are_not_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many large answers at once are more than the limit for a moment."""
    monkeypatch.setattr(connection, "MAX_UNREAD", 20_000_000)
    clients = [server.connect() for _ in range(7)]
    for client in clients:
        client.sendall(b"GET /large9000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    eventually(lambda: server.handled == len(clients))
    assert server.run(lambda: server.clients.unread) > 20_000_000
    for client in clients:
        with client:
            assert len(read(client)) > 9_000_000


def test_bodies_in_flight_have_a_limit_together(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_HELD", 3_000_000)
    body = b"POST /keep HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    with server.connect() as one, server.connect() as two:
        one.sendall(body)
        two.sendall(body)
        eventually(lambda: len(server.kept) == 2)
        came = server.raw(body.replace(b"1000000", b"2000000") + b"x" * 1_000_000)
        assert came.startswith(b"HTTP/1.1 503 ") and b"3,000,000 bytes together" in came
        for request in server.kept:
            server.run(lambda request=request: request.respond(200, [], b"done"))
        assert server.clients.held == 0
    assert server.raw(body.replace(b"/keep", b"/echo").replace(b"Host: x", b"Host: x\r\nConnection: close")).startswith(
        b"HTTP/1.1 200 "
    )


def test_headers_and_the_number_of_requests_count_for_the_limit_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_HELD", 100_000)
    keep = b"GET /keep HTTP/1.1\r\nHost: x\r\n"
    large = keep + b"X: " + b"x" * 60_000 + b"\r\n\r\n"
    with server.connect() as client:
        client.sendall(large)
        eventually(lambda: server.kept)
        assert server.raw(large).startswith(b"HTTP/1.1 503 ")
        server.run(lambda: server.kept.pop().respond(200, [], b"done"))
    with server.connect() as client:
        client.sendall(keep + b"\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000)
        eventually(lambda: server.kept)
        server.run(lambda: server.kept.pop().respond(200, [], b"done"))
        client.shutdown(socket.SHUT_WR)
        came = read(client)
    assert came.count(b"HTTP/1.1 200 ") < 100 and b"100,000 bytes together" in came
    assert server.clients.held == 0


def test_who_may_not_enter_is_told_so_before_a_large_body_comes(server: Server) -> None:
    head = b"POST /secret HTTP/1.1\r\nHost: x\r\n"
    for more in (
        b"Content-Length: %d\r\n" % (SMALL_BODY + 1),
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\nContent-Length: 2\r\n",
    ):
        came = server.raw(head + more + b"\r\n")  # no byte of the body
        assert came.startswith(b"HTTP/1.1 401 ") and b"\r\nwww-authenticate: Bearer\r\n" in came
        assert b"\r\nconnection: close\r\n" in came
    assert server.handled == 0 and len(server.admitted) == 3
    body = b"x" * (SMALL_BODY + 1)
    close = b"Connection: close\r\n"
    assert server.raw(HEAD + close + b"Content-Length: %d\r\n\r\n" % len(body) + body).endswith(body)
    assert server.raw(HEAD + close + b"Content-Length: 2\r\n\r\n{}").endswith(b"{}")
    assert server.admitted[3:] == [b"/score"]  # nobody is asked of small ones


def test_who_was_refused_far_ahead_gets_to_read_that(server: Server) -> None:
    ahead = b"GET /keep HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20
    with server.connect() as client:
        client.sendall(ahead + b"nonsense\r\n\r\n")
        eventually(lambda: server.kept)
        sender = threading.Thread(target=lambda: client.sendall(b"x" * 30_000_000))  # more than the system keeps
        sender.start()
        server.run(lambda: server.kept[0].respond(200, [], b"first"))
        sender.join(5)
        assert not sender.is_alive()
        client.shutdown(socket.SHUT_WR)
        came = read(client)
    assert came.count(b"HTTP/1.1 200 ") == 21 and came.count(b"HTTP/1.1 400 ") == 1


def test_more_connections_than_it_can_keep_are_told_so() -> None:
    with Server(most=2) as server:
        with server.connect(), server.connect():
            eventually(lambda: len(server.clients.connections) == 2)
            came = server.raw()
            assert came.startswith(b"HTTP/1.1 503 ") and b"2 connections, the most it can keep" in came
        eventually(lambda: not server.clients.connections)
        assert server.raw(b"GET / HTTP/1.0\r\n\r\n").endswith(b"GET /")


def test_a_fault_of_ours_is_a_500_and_the_next_request_is_served(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    came = server.raw(b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\n\r\n")
    assert came.startswith(b"HTTP/1.1 500 ") and came.endswith(b"GET /")
    assert "a fault of the gateway's own" in capfd.readouterr().out


def test_a_fault_that_cannot_be_said_does_not_end_the_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def write(self, _: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        flush = write

    monkeypatch.setattr("sys.stdout", Full())
    came = server.raw(b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\n\r\n")
    assert came.startswith(b"HTTP/1.1 500 ") and came.endswith(b"GET /")
