"""Python imports this by itself at its start, when its folder is on PYTHONPATH: *.localhost is this machine.

RFC 6761 says so, yet the C library resolves such names on some systems only.
"""

import socket
from typing import Any

resolve = socket.getaddrinfo


def resolve_localhost(host: Any, *arguments: Any, **keywords: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    return resolve("127.0.0.1" if name and name.endswith(".localhost") else host, *arguments, **keywords)


socket.getaddrinfo = resolve_localhost
