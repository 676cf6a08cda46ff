"""A raw connection on which a hostile case is played, and what comes back taken apart as strictly as can be."""

import asyncio
import re
import socket
import struct
from contextlib import suppress
from typing import Any

from hostile_cases import Case


class Broken(Exception):
    """What came is not a sequence of answers."""


STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]*")
FIELD = re.compile(rb"[!#-'*+.^`|~\w-]+: ?[\t -~\x80-\xff]*")


def answers(data: bytes, head: bool = False) -> tuple[list[tuple[int, dict[bytes, bytes], bytes]], bytes]:
    """The whole answers in `data`, and what is left. Raises Broken for bytes that no answer begins with.

    head: the answers have no bodies, whatever their Content-Length.
    """
    found = []
    while data:
        top, separator, rest = data.partition(b"\r\n\r\n")
        if not separator:
            if not b"HTTP/1.1 ".startswith(data[:9]):
                raise Broken(f"not an answer: {data[:80]!r}")
            return found, data
        first, *lines = top.split(b"\r\n")
        match = STATUS.fullmatch(first)
        if not match or not all(FIELD.fullmatch(line) for line in lines):
            raise Broken(f"not the head of an answer: {top[:200]!r}")
        status = int(match[1])
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if len(fields) != len({line.partition(b":")[0].lower() for line in lines}):
            raise Broken(f"a header twice: {top[:200]!r}")
        if status < 200:
            data = rest
            continue
        if not fields.get(b"content-length", b"").isdigit():
            raise Broken(f"no Content-Length: {top[:200]!r}")
        length = 0 if head else int(fields[b"content-length"])
        if len(rest) < length:
            return found, data
        found.append((status, fields, rest[:length]))
        data = rest[length:]
    return found, b""


class Line:
    """A raw connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.ended = False
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, port: int) -> "Line":
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    async def send(self, data: bytes) -> bool:
        """Send it all, if the other side takes it."""
        try:
            await self.loop.sock_sendall(self.connection, data)
        except OSError:
            return False
        return True

    async def more(self) -> None:
        try:
            data = await self.loop.sock_recv(self.connection, 1 << 16)
        except OSError:
            data = b""
        self.ended = self.ended or not data
        self.received += data

    async def play(self, case: Case) -> tuple[list[Any], bytes, bool]:
        """Send a case and read as it says: answers, the rest, and whether the other side has closed."""
        self.received.clear()
        head = b"HEAD" in case.sent()[:2000]
        sending = asyncio.ensure_future(self._send(case))
        try:
            if case.then in ("reset", "leave"):
                await sending
                self.abort(reset=case.then == "reset")
                return [], b"", True
            while True:
                got, left = answers(bytes(self.received), head)
                if case.then == "read" and len(got) >= case.least and not case.kind.startswith("100 MB"):
                    await sending  # what comes after it would be an answer too many
                    return got, left, self.ended
                if self.ended:
                    return got, left, True
                if case.kind.startswith("100 MB") and got:  # refused: nobody has to send the rest
                    return got, left, True
                await self.more()
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    async def _send(self, case: Case) -> None:
        for piece in case.pieces:
            if isinstance(piece, bytes):
                if not await self.send(piece):
                    return
            else:
                await asyncio.sleep(piece)
        if case.then == "half":
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)

    def abort(self, reset: bool = False) -> None:
        if reset:
            with suppress(OSError):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
