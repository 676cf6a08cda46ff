"""The queue of a deployment and the lines to its workers, where a worker is slow, stuck, gone, or says odd things."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from amlocal.endpoints.gateway import pool as pool_module
from amlocal.endpoints.gateway.pool import Pool, WorkerLine
from amlocal.endpoints.worker.instance import pack


class Bench:
    """A deployment `blue` with one worker, whose side of the line is the test."""

    def __init__(self, timeout: float) -> None:
        self.pool = Pool("blue")
        self.pool.configure({1}, 100, timeout)
        self.told: list[tuple[Any, ...]] = []
        self.collect = Mock()

    def line(self) -> WorkerLine:
        line = WorkerLine("", lambda _: self.pool, self.collect)
        line.connection_made(Mock())
        line._pool, line._revision, line._pid = self.pool, 1, 4711
        self.pool.lines.append(line)
        return line

    def submit(self, done: Callable[..., None] | None = None) -> None:
        self.pool.submit(b"", done or (lambda *answer: self.told.append(answer)), lambda *why: self.told.append(why))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, number: killed.append(pid))
    monkeypatch.setattr(pool_module, "GRACE_SECONDS", 0.02)
    return killed


def test_what_no_worker_took_in_time_is_forgotten() -> None:
    async def run() -> None:
        bench = Bench(timeout=0.01)
        for _ in range(3):
            bench.submit()
        await until(lambda: len(bench.told) == 3)
        assert {status for status, _ in bench.told} == {503}
        assert not bench.pool.waiting and bench.pool.open == 0

    asyncio.run(run())


def test_who_waits_for_a_deployment_that_is_deleted_is_told_at_once() -> None:
    async def run() -> None:
        bench = Bench(timeout=60)
        line = bench.line()
        for _ in range(4):
            bench.submit()
        bench.pool.configure(set(), 0, 0.0)
        await until(lambda: [status for status, _ in bench.told] == [503, 503])
        assert len(line.sent) == 2  # what a worker has is answered
        line.data_received(pack(b"[200,[]]"))
        assert bench.told[2] == (200, [], b"")
        line.connection_lost(None)
        assert bench.told[3][0] == 502 and bench.pool.open == 0

    asyncio.run(run())


def test_the_time_that_was_given_is_the_one_that_is_told() -> None:
    async def run() -> None:
        bench = Bench(timeout=0.05)
        bench.line()
        bench.submit()
        bench.pool.configure({1}, 100, 0.0)
        await until(lambda: bench.told)
        assert bench.told == [(408, "deployment blue did not answer within request_timeout_ms, 50 ms")]

    asyncio.run(run())


def test_a_worker_that_hangs_at_what_nobody_waits_for_any_more_is_killed_and_its_line_cut(killed: list[int]) -> None:
    async def run() -> None:
        bench = Bench(timeout=0.02)
        line = bench.line()
        bench.submit()
        bench.submit()
        await until(lambda: len(bench.told) == 2)
        line.data_received(pack(b"[200,[]]"))  # the first was answered within its grace; the second never is
        await until(lambda: killed)
        assert killed == [4711] and line._transport.abort.called  # type: ignore[attr-defined]

    asyncio.run(run())


def test_a_worker_that_answers_late_is_not_killed(killed: list[int]) -> None:
    async def run() -> None:
        bench = Bench(timeout=0.02)
        line = bench.line()
        bench.submit()
        bench.submit()
        await until(lambda: len(bench.told) == 2)
        line.data_received(2 * pack(b"[200,[]]"))
        await asyncio.sleep(0.1)  # longer than both times together
        assert not killed and not line.sent

    asyncio.run(run())


def test_a_header_with_half_a_character_is_handed_on() -> None:
    async def run() -> None:
        bench = Bench(timeout=60)
        line = bench.line()
        bench.submit()
        line.data_received(pack(json.dumps([200, [["x", "\ud800"]]]).encode(), b"body"))
        assert bench.told == [(200, [["x", "\ud800"]], b"body")]

    asyncio.run(run())


def test_an_answer_that_cannot_be_given_is_a_502_and_the_line_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        bench = Bench(timeout=60)
        line = bench.line()
        bench.submit(Mock(side_effect=RuntimeError("a fault of ours")))
        bench.submit()
        bench.collect.side_effect = OverflowError("a record with an odd time")
        line.data_received(pack(b"[200,[]]") + pack(b'{"collected":{}}') + pack(b"[201,[]]"))
        assert bench.told == [(502, "the gateway failed at this answer; its log says why"), (201, [], b"")]
        assert bench.pool.open == 0

    asyncio.run(run())
    said = capsys.readouterr().out
    assert "a fault of ours" in said and "a record of blue's Collector is lost" in said
