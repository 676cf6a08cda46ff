"""How the process of an endpoint, of any kind, listens on loopback and serves until it is ended."""

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.workspace import Workspace
from amlocal.endpoints import supervisor
from amlocal.endpoints.gateway.connection import Clients
from amlocal.endpoints.store import ONLINE, EndpointStore

WATCH_SECONDS = 1.0


class PortTaken(Exception):
    """Somebody else listens where this endpoint should."""


async def listen(clients: Clients, port: int, name: str, kind: str = ONLINE) -> asyncio.AbstractServer:
    """Listen at the endpoint's port. Raises PortTaken."""
    try:
        _refuse_listener(port)
        return await asyncio.get_running_loop().create_server(
            clients.connect,
            "127.0.0.1",
            port,
            backlog=1024,
            reuse_address=os.name != "nt",
            reuse_port=sys.platform == "linux",  # with the supervisor, which keeps it for us: see there
        )
    except OSError as error:
        raise PortTaken(
            f"port {port} on 127.0.0.1 cannot be used ({error.strerror or error}): another program"
            " listens there; stop it, or take another port:"
            f" aml {kind}-endpoint update -n {name} --set properties.port=0"
        ) from error


async def serve(clients: Clients, workspace: Workspace, refresh: Callable[[], None], stays: Callable[[], bool]) -> None:
    """Say that we are ready, and go on until the process is ended, or does not stay where it listens.

    The current folder is the endpoint's run folder. refresh: takes over what has changed on disk.
    """
    guardian, store = None, EndpointStore(workspace)
    Path("gateway.failed").unlink(missing_ok=True)
    Path("gateway.ready").touch()
    while stays():  # else the supervisor starts us anew, at the other port
        await asyncio.sleep(WATCH_SECONDS)
        clients.look_after()
        refresh()
        if not store.stop.exists():
            with contextlib.suppress(OSError, UserError):  # a full disk
                guardian = supervisor.revive(workspace, guardian)


def run(serving: Coroutine[Any, Any, None]) -> int:
    """Run an endpoint's process; the exit code. Why it cannot is left in the current folder, for its health."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        start: Callable[..., Any] = asyncio.run
    else:
        start = uvloop.run
    try:
        start(serving)
    except PortTaken as error:
        Path("gateway.failed").write_text(str(error), encoding="utf-8")
        return 1
    return 0


def _refuse_listener(port: int) -> None:
    """Raises OSError where somebody listens: sharing the port with the supervisor must not become sharing requests."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
