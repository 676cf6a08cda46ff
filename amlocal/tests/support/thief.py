"""Somebody else's program on an endpoint's port: it answers everything, and keeps what it was told."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[bytes], bytes]


def content(request: bytes) -> bytes:
    """200, and a body that would do for an answer of any kind."""
    body = b'{"predictions": [7], "proofs": ["00"], "name": "stolen", "deployments": []}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


def passed_on(port: int) -> Answer:
    """What the endpoint at another port answers to the same request."""

    def ask(request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            return b"".join(iter(lambda: connection.recv(65536), b""))

    return ask


@contextmanager
def thief(port: int = 0, answer: Answer = content, address: str = "127.0.0.1") -> Iterator[tuple[int, list[bytes]]]:
    """The port at which it listens, and what came, in pieces."""
    told: list[bytes] = []
    server = socket.create_server((address, port))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                told.append(data)
                connection.sendall(answer(data))

    def listen() -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield server.getsockname()[1], told
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
