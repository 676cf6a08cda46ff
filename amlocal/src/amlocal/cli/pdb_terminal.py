"""This terminal as the terminal of a pdb that runs in a job's process."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

POLL_SECONDS = 0.1

Place = tuple[str, int, str]  # host, port and the secret that the process wants to hear


def serve(place: Callable[[], Place | None]) -> None:
    """Connect in the background to whatever waits there, one program after the other, as long as we live."""
    lines = _Lines()
    threading.Thread(target=_watch, args=(place, lines), daemon=True).start()


class _Lines:
    """What is typed, for the pdb that is connected at the time.

    Read without Python's buffer: a thread that waits in it would hold up our own exit.
    """

    def __init__(self) -> None:
        self.to: socket.socket | None = None
        self._started = False

    def send_to(self, connection: socket.socket) -> None:
        self.to = connection
        if not self._started:
            self._started = True
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while typed := os.read(sys.stdin.fileno(), 4096):
            with suppress(OSError):
                if self.to:
                    self.to.sendall(typed.replace(b"\r\n", b"\n"))
        if self.to:
            with suppress(OSError):
                self.to.shutdown(socket.SHUT_WR)  # nothing more is typed: pdb ends the program


def _watch(place: Callable[[], Place | None], lines: _Lines) -> None:
    served = None
    while True:
        waiting = place()
        if waiting and waiting != served:
            served = waiting
            with suppress(OSError):
                _talk(waiting, lines)
        time.sleep(POLL_SECONDS)


def _talk(place: Place, lines: _Lines) -> None:
    host, port, secret = place
    with socket.create_connection((host, port)) as connection:
        connection.sendall(f"{secret}\n".encode())
        lines.send_to(connection)
        while said := connection.recv(4096):
            sys.stdout.write(said.decode("utf-8", "replace"))
            sys.stdout.flush()
