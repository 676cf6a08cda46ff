"""The gateway's side of the workers: a queue of requests for each deployment, and a line to each of its workers."""

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import signal
import traceback
from collections import deque
from collections.abc import Callable
from typing import cast

import orjson

from amlocal.endpoints.logs import say
from amlocal.endpoints.worker.instance import LENGTHS, pack, proof

# A worker that has one request to work on and the next at hand never waits for us.
AHEAD = 2
# How long a script may go on after its time is up before its process is killed. The inference server's own alarm ends
# what is written in Python sooner than that.
GRACE_SECONDS = 1.0
# No worker introduces itself with more bytes than this.
MAX_HELLO = 4096

LEAVE = pack(b"null")
WELCOME = pack(b"[]")

# The worker's status, headers and body; or the status to give and why in plain words.
Done = Callable[[int, list[tuple[str, str]], bytes], None]
Failed = Callable[[int, str], None]
# A deployment, and the headers and body of what its Collector sends.
Collect = Callable[[str, dict[str, str], bytes], None]


class Call:
    """A request on its way to a worker and back; exactly one of `done` and `failed` is called."""

    __slots__ = ("done", "failed", "message", "over", "timeout", "timer")

    def __init__(self, message: bytes, timeout: float, done: Done, failed: Failed) -> None:
        self.message = message
        self.timeout = timeout  # seconds
        self.done = done
        self.failed = failed
        self.over = False
        self.timer: asyncio.TimerHandle


class Pool:
    """The requests of one deployment and the workers that answer them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.revisions: set[int] = set()
        self.limit = 0
        self.timeout = 0.0
        self.lines: list[WorkerLine] = []
        self.waiting: deque[Call] = deque()
        self.open = 0  # calls that nobody has been told the end of

    def configure(self, revisions: set[int], limit: int, timeout: float) -> None:
        """revisions: those that should run; limit: requests in flight at most; timeout: seconds for one."""
        self.revisions, self.limit, self.timeout = revisions, limit, timeout
        for line in self.lines:
            line.leave_if_retired()
        if self.waiting:
            asyncio.get_running_loop().call_soon(self.dispatch)

    def submit(self, message: bytes, done: Done, failed: Failed) -> None:
        """Have a worker answer `message`. Too many in flight: failed at once with 429; nothing that runs: 503."""
        if not self.revisions:
            failed(503, self._nothing_runs())
            return
        if self.open >= self.limit:
            failed(
                429,
                f"deployment {self.name} has {self.open} requests in flight, the most that its request_settings allow",
            )
            return
        call = Call(message, self.timeout, done, failed)
        self.open += 1
        call.timer = asyncio.get_running_loop().call_later(self.timeout, self._expire, call)
        self.waiting.append(call)
        self.dispatch()

    def dispatch(self) -> None:
        """Give waiting requests to the workers that have the least to do."""
        while self.waiting:
            line = min((line for line in self.lines if line.welcome), key=lambda line: len(line.sent), default=None)
            if line is None and not self.revisions:  # nor will there be one: the deployment was deleted
                call = self.waiting.popleft()
                self.end(call)
                call.failed(503, self._nothing_runs())
                continue
            if line is None or len(line.sent) >= AHEAD:
                return
            line.send(self.waiting.popleft())

    def end(self, call: Call) -> bool:
        """Whether the call was still open; it is not any more."""
        if call.over:
            return False
        call.over = True
        call.timer.cancel()
        self.open -= 1
        return True

    def _expire(self, call: Call) -> None:
        if not self.end(call):
            return
        with contextlib.suppress(ValueError):
            self.waiting.remove(call)  # the first of them, as a rule
        milliseconds = round(call.timeout * 1000)
        if any(line.welcome for line in self.lines):
            call.failed(408, f"deployment {self.name} did not answer within request_timeout_ms, {milliseconds} ms")
        else:
            call.failed(503, f"no instance of deployment {self.name} was ready within {milliseconds} ms")
        for line in self.lines:
            if line.sent and line.sent[0] is call:
                asyncio.get_running_loop().call_later(GRACE_SECONDS, line.kill_if_stuck, call)

    def _nothing_runs(self) -> str:
        return f"deployment {self.name} has nothing that runs; see `aml online-deployment show`"


class WorkerLine(asyncio.Protocol):
    """The line to one worker, which has called us. Answers come in the order of the requests."""

    def __init__(self, secret: str, find_pool: Callable[[str], Pool | None], collect: Collect) -> None:
        self._secret = secret
        self._find_pool = find_pool
        self._collect = collect
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._pool: Pool | None = None
        self._deployment = ""
        self._revision = 0
        self._pid = 0
        self._nonce = ""
        self.sent: deque[Call] = deque()

    @property
    def welcome(self) -> bool:
        """Whether it is to be given work."""
        return self._pool is not None and self._revision in self._pool.revisions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= LENGTHS.size:
            head_length, body_length = LENGTHS.unpack_from(self._buffer, start)
            head_start = start + LENGTHS.size
            body_start = head_start + head_length
            end = body_start + body_length
            if self._pool is None and end - start > MAX_HELLO:
                self._transport.abort()
                return
            if len(self._buffer) < end:
                break
            self._message(bytes(self._buffer[head_start:body_start]), bytes(self._buffer[body_start:end]))
            start = end
        del self._buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker died. What it worked on may have had effects and is not tried again; what waited behind is."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        pool.lines.remove(self)
        if self.sent:
            call = self.sent.popleft()
            if pool.end(call):
                call.failed(502, f"the instance of deployment {pool.name} that worked on the request died")
        pool.waiting.extendleft(call for call in reversed(self.sent) if not call.over)
        pool.dispatch()

    def send(self, call: Call) -> None:
        self.sent.append(call)
        self._transport.write(call.message)

    def leave_if_retired(self) -> None:
        """Send a worker away whose revision is not wanted any more, once it has answered what it was given."""
        if not self.welcome and not self.sent:
            self._transport.write(LEAVE)

    def kill_if_stuck(self, call: Call) -> None:
        """Kill the worker if it is still at `call`; the supervisor starts another."""
        if self._pool and self.sent and self.sent[0] is call:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            self._transport.abort()  # a child of the script may live on, and hold the line

    def _message(self, head: bytes, body: bytes) -> None:
        if self._pool is None:
            self._introduce(head)
            return
        if head.startswith(b"{"):
            try:
                self._collect(self._pool.name, json.loads(head)["collected"], body)
            except Exception:
                say(f"a record of {self._pool.name}'s Collector is lost:\n{traceback.format_exc()}")
            return
        call = self.sent.popleft()
        if self.sent and self.sent[0].over:  # nobody waits for what it begins now, so nobody else would notice
            call_later = asyncio.get_running_loop().call_later
            call_later(self.sent[0].timeout + GRACE_SECONDS, self.kill_if_stuck, self.sent[0])
        if self._pool.end(call):
            try:
                call.done(*_answer(head), body)
            except Exception:
                say(traceback.format_exc())
                call.failed(502, "the gateway failed at this answer; its log says why")
        self._pool.dispatch()
        self.leave_if_retired()

    def _introduce(self, head: bytes) -> None:
        """Let in who proves to know the secret, as we do before; whose deployment is gone is sent home."""
        try:
            said = json.loads(head)
            if not self._nonce:
                self._deployment, self._revision, self._pid = (
                    said["deployment"],
                    int(said["revision"]),
                    int(said["pid"]),
                )
                self._nonce = secrets.token_hex(16)
                ours = {"nonce": self._nonce, "proof": proof(self._secret, "gateway", said["nonce"])}
                self._transport.write(pack(json.dumps(ours).encode()))
                return
            known = hmac.compare_digest(said["proof"].encode(), proof(self._secret, "worker", self._nonce).encode())
        except (ValueError, KeyError, TypeError, AttributeError):
            known = False
        if not known:
            self._transport.abort()
            return
        pool = self._find_pool(self._deployment)
        if pool is None:
            self._transport.write(LEAVE)
            return
        self._pool = pool
        pool.lines.append(self)
        self._transport.write(WELCOME)
        self.leave_if_retired()
        pool.dispatch()


def _answer(head: bytes) -> tuple[int, list[tuple[str, str]]]:
    """A worker's status and headers."""
    try:
        status, headers = orjson.loads(head)
    except orjson.JSONDecodeError:  # half a character in a header, which Python's own takes
        status, headers = json.loads(head)
    return status, headers
