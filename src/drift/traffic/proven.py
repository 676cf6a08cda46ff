"""Over plain HTTP a key is sent only to an endpoint that has proved to know it.

Once an endpoint is down, another user of the machine can listen on its port. A local endpoint answers

    GET /challenge?nonce=NONCE                       200 {"proofs": ["HEX", ...]}
    GET /challenge?nonce=NONCE&token=HEADER.CLAIMS   for a token: all of it but the signature

and is itself if HMAC-SHA256(key, "amlocal\\nPORT\\nNONCE") is among the proofs ("Who may enter?" in amlocal's
docs/endpoints.md). Over https the certificate proves it.
"""

import hashlib
import hmac
import http.client
import json
import secrets
import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

ANSWER_SECONDS = 10.0
LONGEST_ANSWER = 4096  # bytes


class NotProven(OSError):
    """The listener did not prove that it knows the key; the key was not sent."""


def adapter(key: str) -> HTTPAdapter:
    """For a `requests` session: each connection over plain HTTP is proven before anything is sent over it."""

    class Connection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            try:
                _prove(self.sock, int(self.port or 80), key)
            except NotProven:
                self.close()
                raise

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class Adapter(HTTPAdapter):
        def send(self, *arguments: Any, **options: Any) -> Any:
            return super().send(*arguments, **options | {"proxies": {}})  # a proxy could not prove anything

        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options)
            self.poolmanager.pool_classes_by_scheme = {"http": Pool}

    return Adapter()


def _prove(connection: socket.socket, port: int, key: str) -> None:
    if connection.getpeername()[0] != "127.0.0.1":  # local endpoints listen there only
        raise NotProven(f"the program listening on port {port} is not at 127.0.0.1")
    nonce = secrets.token_urlsafe(24)
    unsigned = f"&token={key.rpartition('.')[0]}" if key.count(".") == 2 else ""
    patience = connection.gettimeout()
    connection.settimeout(ANSWER_SECONDS)
    try:
        question = f"GET /challenge?nonce={nonce}{unsigned} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        connection.sendall(question.encode())
        response = http.client.HTTPResponse(connection, method="GET")
        response.begin()
        given = list(json.loads(response.read(LONGEST_ANSWER))["proofs"]) if response.status == 200 else []
        response.close()
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        raise NotProven(f"the program listening on port {port} does not answer the challenge") from error
    finally:
        connection.settimeout(patience)
    wanted = hmac.new(key.encode(), f"amlocal\n{port}\n{nonce}".encode(), hashlib.sha256).hexdigest()
    if not any(isinstance(one, str) and hmac.compare_digest(one.encode(), wanted.encode()) for one in given):
        raise NotProven(f"the program listening on port {port} does not know this key")
