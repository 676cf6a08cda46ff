"""Clients that keep their connections and ask again as soon as they are answered: wrk's, or Python's own.

A Python client on the servers' cores would be the slowest part of the measurement, so wrk is used where there is one
(`apt install wrk`, `brew install wrk`).
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httptools

WRK = shutil.which("wrk")
NAME = "wrk" if WRK else "Python clients (no wrk here), which are slower than the fastest servers"

# wrk tells what it saw as one line: requests, microseconds, p50, p99, errors of the line and answers over 399.
SCRIPT = """
wrk.method = "POST"
wrk.body = [==[%s]==]
%s
done = function(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("SAW %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), broken, errors.status))
end
"""


@dataclass(frozen=True)
class Request:
    """What every client sends, again and again."""

    port: int
    path: str
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Load:
    """What the clients saw: answers of any status, a second and in ms, and how many were not 2xx or never came."""

    answers: int
    seconds: float
    p50: float
    p99: float
    errors: int

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return max(self.answers - self.errors, 0) / self.seconds


def ask(request: Request, clients: int, seconds: int) -> Load:
    """Let `clients` connections ask for this long."""
    return _wrk(request, clients, seconds) if WRK else _python(request, clients, seconds)


def _wrk(request: Request, clients: int, seconds: int) -> Load:
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in request.headers.items())
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        script.write_text(SCRIPT % (request.body, headers), encoding="utf-8")
        address = f"http://127.0.0.1:{request.port}{request.path}"
        # One thread: it asks more than any server here can answer, and the cores belong to the servers.
        command = [WRK, "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), address]
        said = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True).stdout
    answers, microseconds, p50, p99, broken, refused = map(int, said.rpartition("SAW ")[2].split())
    return Load(answers, microseconds / 1e6, p50 / 1000, p99 / 1000, broken + refused)


@dataclass
class _Seen:
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    over: bool = False


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, and is made anew when the server closes it."""

    def __init__(self, request: bytes, port: int, seen: _Seen) -> None:
        self.request, self.port, self.seen = request, port, seen
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.seen.over:
            return
        self.seen.errors += self.waiting
        loop = asyncio.get_running_loop()
        self.seen.task = loop.create_task(  # type: ignore[attr-defined]  # or it may be collected
            loop.create_connection(lambda: self, "127.0.0.1", self.port)
        )

    def ask(self) -> None:
        self.sent, self.waiting = time.perf_counter(), True
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.waiting = False
        self.seen.latencies.append(time.perf_counter() - self.sent)
        self.seen.errors += self.parser.get_status_code() >= 300
        if self.parser.should_keep_alive():
            self.ask()
        else:
            self.transport.close()


def _python(request: Request, clients: int, seconds: int) -> Load:
    run = asyncio.run
    if os.name != "nt":
        import uvloop

        run = uvloop.run
    start = time.perf_counter()
    seen = run(_ask(request, clients, seconds))
    took = time.perf_counter() - start
    times = sorted(seen.latencies) or [float("nan")]
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    return Load(len(seen.latencies), took, 1000 * statistics.median(times), 1000 * p99, seen.errors)


async def _ask(request: Request, clients: int, seconds: int) -> _Seen:
    body = request.body.encode()
    headers = {"Host": f"127.0.0.1:{request.port}", "Content-Length": str(len(body)), **request.headers}
    head = f"POST {request.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    whole = head.encode() + b"\r\n" + body
    seen, loop = _Seen(), asyncio.get_running_loop()
    connections = [_Client(whole, request.port, seen) for _ in range(clients)]
    for connection in connections:
        await loop.create_connection(lambda connection=connection: connection, "127.0.0.1", request.port)
    await asyncio.sleep(seconds)
    seen.over = True
    for connection in connections:
        connection.transport.abort()
    return seen
