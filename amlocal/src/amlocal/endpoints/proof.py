"""A challenge that an endpoint answers before a client sends it a key.

After `aml down`, or when a gateway has just crashed, any user of the machine can listen on the endpoint's port. So a
client that holds a key or a token first asks:

    GET /challenge?nonce=NONCE                       NONCE: 16 to 128 of A-Z a-z 0-9 - _, new each time
    GET /challenge?nonce=NONCE&token=HEADER.CLAIMS   where tokens open: the token without its last part, the signature
    200 {"proofs": ["HEX", ...]}                     one for each credential that opens

and sends its credential over the same connection if HMAC-SHA256(credential, "amlocal\nPORT\nNONCE") is among the
proofs, PORT being that of the address it has connected to, which must be 127.0.0.1. The port is in there so that a
listener on another port cannot pass the question on to the endpoint.
"""

import hashlib
import hmac
import http.client
import json
import re
import secrets
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

PATH = b"/challenge"
ADDRESS = "127.0.0.1"  # where endpoints listen, and nowhere else
NONCE = re.compile("[A-Za-z0-9_-]{16,128}")
ANSWER_SECONDS = 10.0
LONGEST_ANSWER = 4096  # bytes


class NotProven(OSError):
    """The listener did not prove that it is the endpoint; nothing secret was sent."""


def proof(credential: str, port: int, nonce: str) -> str:
    """The answer that only someone who knows `credential` can give a client connected to `port`."""
    return hmac.new(credential.encode(), f"amlocal\n{port}\n{nonce}".encode(), hashlib.sha256).hexdigest()


def proofs(query: bytes, port: int, keys: Iterable[str], secret: str) -> list[str] | None:
    """An endpoint's answer to a challenge; None if `query` is none.

    keys: those that open. secret: what tokens are signed with, where tokens open; "" where they do not.
    """
    asked = parse_qs(query.decode("latin-1"))
    nonce = asked.get("nonce", [""])[0]
    unsigned = asked.get("token", [""])[0]
    if not NONCE.fullmatch(nonce):
        return None
    credentials = list(keys)
    if secret and unsigned:
        credentials.append(_signed(unsigned, secret))
    return [proof(credential, port, nonce) for credential in credentials]


def _signed(unsigned: str, secret: str) -> str:
    """The token whose first two parts these are, as `auth.token` would make it (RFC 7515)."""
    from jwt.utils import base64url_encode

    signature = hmac.new(secret.encode(), unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64url_encode(signature).decode()}"


def prove(connection: socket.socket, port: int, credential: str) -> None:
    """Ask the other end of a connection to prove that it knows `credential`. Raises NotProven."""
    if connection.getpeername()[0] != ADDRESS:  # someone else may listen on the same port of another address
        raise NotProven(_refusal(port))
    nonce = secrets.token_urlsafe(24)
    target = f"{PATH.decode()}?nonce={nonce}"
    if credential.count(".") == 2:  # a token
        target += f"&token={credential.rpartition('.')[0]}"
    patience = connection.gettimeout()
    connection.settimeout(ANSWER_SECONDS)
    try:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection, method="GET")
        response.begin()
        given = list(json.loads(response.read(LONGEST_ANSWER))["proofs"]) if response.status == 200 else []
        response.close()
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        raise NotProven(_refusal(port)) from error
    finally:
        connection.settimeout(patience)
    wanted = proof(credential, port, nonce)
    if not any(isinstance(one, str) and hmac.compare_digest(one.encode(), wanted.encode()) for one in given):
        raise NotProven(_refusal(port))


def _refusal(port: int) -> str:
    return f"the program listening on port {port} did not prove that it is this endpoint, so the key was not sent"


class _Proving:
    """What `http.client`'s connection and urllib3's, which is made of it, do more: prove each connection they open."""

    credential: str
    sock: Any
    port: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        try:
            prove(self.sock, int(self.port or 80), self.credential)
        except NotProven:
            self.close()  # type: ignore[attr-defined]
            raise


class ProvenConnection(_Proving, http.client.HTTPConnection):
    """A connection on which the endpoint has proved its identity. Each reconnection proves it again."""

    def __init__(self, host: str, port: int, credential: str, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self.credential = credential


def proven_adapter(credential: str) -> Any:
    """An adapter for a `requests` session: `prove` runs on every new plain-HTTP connection."""
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection
    from urllib3.connectionpool import HTTPConnectionPool

    class Connection(_Proving, HTTPConnection):
        pass

    Connection.credential = credential

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class Adapter(HTTPAdapter):
        def send(self, *arguments: Any, **options: Any) -> Any:
            return super().send(*arguments, **options | {"proxies": {}})  # a proxy could not prove anything

        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options)
            self.poolmanager.pool_classes_by_scheme = {**self.poolmanager.pool_classes_by_scheme, "http": Pool}

    return Adapter()
