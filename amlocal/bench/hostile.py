"""100,000 hostile requests, and a normal client who must not notice them.

    python bench/hostile.py                                  # about five minutes on two cores
    python bench/hostile.py --requests 5000 --seed 7
    python bench/hostile.py --seed 7 --only 4711             # that one request again, and what it was answered

The requests are made from a seed (hostile_cases.py): bodies after the endpoint's swagger and just beside it, and raw
bytes that are no HTTP, or two kinds of it. They are sent over 16 connections at a time to two deployments, one whose
script checks its input itself and one with `@input_schema`. A fault is: an answer of 5xx that neither the script nor
the request's own HTTP version explains; no answer, or no close, in 15 s; bytes that are not answers, or more answers
than requests; a request that was smuggled inside another and reached a script; a record that cannot be read; memory or
descriptors that grow; and a normal client's request that is not answered 200. Each is printed and its bytes are kept in
a file. Exit code 1 when there is one.
"""

import argparse
import asyncio
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from endpoint_load import Served, machine, quantiles, say, served
from hostile_cases import Case, Cases
from hostile_line import Broken, Line

LIMIT_SECONDS = 15.0  # the gateway gives up on headers that do not come after 10
CANARY_SECONDS = 0.1
SETTLE_SECONDS = 30.0
STALLED = 20  # clients that begin a request and then say nothing
CHECKS = """
import json

def init(): pass

def run(raw_data):
    from azureml_inference_server_http.api.aml_response import AMLResponse
    try:
        rows = json.loads(raw_data)["input_data"]
        return {"predictions": [sum(float(value) for value in row) for row in rows]}
    except Exception as error:
        return AMLResponse({"message": f"{type(error).__name__}: {error}"[:200]}, 400, json_str=True)
"""
SCHEMA = """
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema

def init(): pass

@input_schema("input_data", NumpyParameterType(np.array([[1.0, 2.0, 3.0, 4.0]])))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(input_data):
    return input_data.sum(axis=1).tolist()
"""
# 5xx that the request itself explains: it asked for another protocol.
EXPLAINED = {501, 505}
# Growth that is no growth: allocators keep some of what large bodies took.
MEMORY_TOLERANCE = 24e6
DESCRIPTORS_TOLERANCE = 10


class Attack:
    """The run: what was sent and what came of it."""

    def __init__(self, made: Served, cases: Cases, requests: int, keep: Path) -> None:
        self.made, self.cases, self.requests, self.keep = made, cases, requests, keep
        self.number = 0
        self.statuses: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.faults: list[str] = []
        self.slowest: tuple[float, str] = (0.0, "")
        self.canary: list[float] = []
        self.sizes: list[tuple[int, dict[str, dict[str, int]]]] = []
        self.smuggled: list[str] = []
        self.stalled: list[float] = []
        self.over = False

    async def run(self, connections: int) -> None:
        canary = asyncio.create_task(self._canary())
        watch = asyncio.create_task(self._watch())
        stalled = [asyncio.create_task(self._stall(number)) for number in range(STALLED)]
        await asyncio.gather(*(self._attacker() for _ in range(connections)))
        await asyncio.gather(*stalled)
        self.over = True
        await asyncio.gather(canary, watch)

    async def _attacker(self) -> None:
        """Send case after case; those that leave the connection whole use it again."""
        kept: Line | None = None
        while self.number < self.requests:
            number = self.number
            self.number += 1
            case = self.cases[number]
            if case.keeps and kept is None:
                kept = await self._connect(number)
            line = kept if case.keeps else await self._connect(number)
            if line is None:
                continue
            goes_on = await self.one(number, case, line)
            if not (case.keeps and goes_on):
                line.abort()
                kept = None if line is kept else kept
        if kept:
            kept.abort()

    async def _connect(self, number: int) -> "Line | None":
        try:
            return await Line.open(self.made.port)
        except OSError as error:
            self.fault(number, f"no connection: {error}")
            await asyncio.sleep(0.1)
            return None

    async def one(self, number: int, case: Case, line: "Line") -> bool:
        """One case; returns whether its connection can be used again."""
        self.kinds[case.kind] += 1
        self.smuggled += case.ids
        start = time.perf_counter()
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                got, left, closed = await line.play(case)
        except TimeoutError:
            self.fault(number, f"no end in {LIMIT_SECONDS:.0f} s; received {bytes(line.received)[:300]!r}", case)
            return False
        except Broken as error:
            self.fault(number, str(error), case)
            return False
        took = time.perf_counter() - start
        if took > self.slowest[0]:
            self.slowest = (took, f"{case.kind} {number}")
        for status, fields, _ in got:
            self._judge(number, case, status, fields)
        if left and case.then != "reset":
            self.fault(number, f"half an answer, then the end: {left[:200]!r}", case)
        if not case.least <= len(got) <= case.most and case.then not in ("reset", "leave"):
            self.fault(number, f"{len(got)} answers, not {case.least} to {case.most}", case)
        return not closed and not left and len(got) == 1 and got[0][1].get(b"connection") != b"close"

    def _judge(self, number: int, case: Case, status: int, fields: dict[bytes, bytes]) -> None:
        script = fields.get(b"ms-azureml-model-error-statuscode", b"").decode()
        self.statuses[f"{status} (script: {script})" if script else str(status)] += 1
        if status >= 500 and status not in EXPLAINED:
            self.fault(number, f"answered {status}", case)
        if script == "500" and fields.get(b"azureml-model-deployment") == b"blue":
            self.fault(number, "the script that refuses what it does not like was reported to have failed", case)
        if status == 200 and case.kind == "keys":
            self.fault(number, "let in with a wrong key", case)

    def fault(self, number: int, what: str, case: Case | None = None) -> None:
        kind = case.kind if case else ""
        self.faults.append(f"{number} {kind}: {what}")
        if case and len(self.faults) <= 200:
            self.keep.mkdir(parents=True, exist_ok=True)
            (self.keep / f"{number}-{kind.replace(' ', '-')}.bin").write_bytes(case.sent()[: 1 << 20])

    async def _canary(self) -> None:
        """A normal client."""
        line, number = None, 0
        while not self.over:
            number += 1
            body = b'{"input_data": [[1, 2, 3, 4]]}'
            case = Case("canary", [self.cases.request(f"canary-{number}", body)], "read", 1, 1, keeps=True)
            start = time.perf_counter()
            try:
                async with asyncio.timeout(LIMIT_SECONDS):
                    line = line or await Line.open(self.made.port)
                    got, _, closed = await line.play(case)
                if [status for status, *_ in got] != [200] or got[0][2] != b'{"predictions": [10.0]}':
                    self.faults.append(f"canary {number}: answered {[(status, body) for status, _, body in got]}")
                if closed:
                    self.faults.append(f"canary {number}: its connection was closed")
                    line = None
            except (OSError, TimeoutError, Broken) as error:
                self.faults.append(f"canary {number}: {type(error).__name__}: {error}")
                line = None
            self.canary.append(time.perf_counter() - start)
            await asyncio.sleep(CANARY_SECONDS)
        if line:
            line.abort()

    async def _stall(self, number: int) -> None:
        """Begin a request and say nothing more: we must be parted with."""
        with suppress(OSError):
            line = await Line.open(self.made.port)
            whole = self.cases.request(f"stalled-{number}", b'{"input_data": []}')
            await line.send(whole[: 10 + number * 5])
            start = time.perf_counter()
            try:
                async with asyncio.timeout(90):
                    while not line.ended:
                        await line.more()
                self.stalled.append(time.perf_counter() - start)
            except TimeoutError:
                self.faults.append(f"stalled {number}: still connected after 90 s")
            line.abort()

    async def _watch(self) -> None:
        loop, told = asyncio.get_running_loop(), 0
        while not self.over:
            self.sizes.append((self.number, await loop.run_in_executor(None, self.made.sizes)))
            if self.number // 10_000 > told:
                told = self.number // 10_000
                say(f"  {self.number:,} of {self.requests:,}, {len(self.faults)} faults")
            await asyncio.sleep(0.5)


# -- what is left afterwards


def growth(sizes: list[tuple[int, dict[str, dict[str, int]]]], requests: int) -> tuple[dict[str, Any], list[str]]:
    """Memory of each process: its least in the second fifth of the run against its least in the last."""
    figures, faults = {}, []
    for name in sizes[-1][1]:
        of_it = [(number, each[name]["rss"]) for number, each in sizes if name in each]
        later = [(number, rss) for number, rss in of_it if number >= 0.2 * requests] or of_it
        before = min([rss for number, rss in later if number < 0.4 * requests] or [of_it[0][1]])
        after = min([rss for number, rss in later if number >= 0.8 * requests] or [of_it[-1][1]])
        numbers, bytes_then = zip(*later, strict=True)
        slope = statistics.linear_regression(numbers, bytes_then).slope if len(set(numbers)) > 1 else 0.0
        figures[name] = {
            "mb_before": before / 1e6,
            "mb_after": after / 1e6,
            "mb_peak": max(rss for _, rss in of_it) / 1e6,
            "mb_in_100000": slope / 10,
        }
        if after - before > MEMORY_TOLERANCE:
            faults.append(f"{name} grew from {before / 1e6:.0f} to {after / 1e6:.0f} MB")
    return figures, faults


def records(made: Served, smuggled: list[str]) -> tuple[int, list[str]]:
    """How many lines are on record, and what is wrong with them."""
    lines, faults, unreadable, hidden = 0, [], [], {id[:40] for id in smuggled}
    for path in made.collected.rglob("*.jsonl"):
        with path.open("rb") as file:
            for line in file:
                lines += 1
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError) as error:
                    unreadable.append(f"{type(error).__name__}: ...{line[200:400]!r}")
                    continue
                if record["correlationid"] in hidden:
                    faults.append(f"smuggled through: {record['correlationid']}")
    if unreadable:
        faults.append(f"{len(unreadable)} records cannot be read, such as {unreadable[0]}")
    return lines, faults


def swagger(made: Served) -> dict[str, Any]:
    """The schema of the body that the deployment `green` asks for, its references put in."""
    connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=30)
    headers = {"Authorization": f"Bearer {made.key()}", "azureml-model-deployment": "green"}
    connection.request("GET", "/swagger.json", headers=headers)
    whole = json.loads(connection.getresponse().read())
    connection.close()
    parameter = next(each for each in whole["paths"]["/score"]["post"]["parameters"] if each["in"] == "body")

    def put_in(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return put_in(whole["definitions"][value["$ref"].rpartition("/")[2]])
            return {name: put_in(each) for name, each in value.items()}
        return [put_in(each) for each in value] if isinstance(value, list) else value

    return put_in(parameter["schema"])


def settle(made: Served, before: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Sizes when the last connections are gone, which may linger for some seconds."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (now := made.sizes())["gateway"]["descriptors"] > before["gateway"]["descriptors"]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return now


def main() -> int:
    from amlocal.endpoints.health import restarts

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=16, help="at a time (default: 16)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="send one request and show what comes")
    parser.add_argument(
        "--failures", type=Path, default=Path(tempfile.gettempdir(), "hostile-failures"), help="where failing bytes go"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    with served(CHECKS) as made:
        made.deploy("green", SCHEMA)
        cases = Cases(options.seed, made.key(), swagger(made), ("blue", "green"))
        requests = options.requests if options.only is None else 1
        attack = Attack(made, cases, requests, options.failures)
        if options.only is not None:
            return again(attack, options.only)
        say(f"seed {options.seed}: {requests:,} hostile requests over {options.connections} connections")
        before = made.sizes()
        start = time.perf_counter()
        asyncio.run(attack.run(options.connections))
        seconds = time.perf_counter() - start
        after = settle(made, before)
        sizes, grown = growth(attack.sizes, requests)
        lines, bad = records(made, attack.smuggled)
        deaths = {name: restarts(made.run, name) for name in after if name != "supervisor"}
    faults = [*attack.faults, *grown, *bad]
    faults += [f"{name} was started again {count} times" for name, count in deaths.items() if count]
    for name, sizes_before in before.items():
        opened, left = sizes_before["descriptors"], after[name]["descriptors"]
        sizes[name] |= {"descriptors_before": opened, "descriptors_after": left}
        if left > opened + DESCRIPTORS_TOLERANCE:
            faults.append(f"{name} had {opened} descriptors before, and {left} afterwards")
    figures = {
        "name": "hostile",
        "seed": options.seed,
        "requests": sum(attack.kinds.values()),
        "requests_per_second": sum(attack.kinds.values()) / seconds,
        "kinds": dict(attack.kinds),
        "answers": dict(sorted(attack.statuses.items())),
        "slowest_seconds": attack.slowest,
        "stalled_clients_sent_away_after": quantiles(attack.stalled),
        "canary": {"requests": len(attack.canary), **quantiles(attack.canary)},
        "records": lines,
        "processes": sizes,
        "faults": len(faults),
        "first_faults": faults[:20],
        "machine": machine(),
    }
    print(json.dumps([figures], indent=2) if options.json else report(figures))
    if faults:
        say(f"the bytes of what failed are in {options.failures}; again: --seed {options.seed} --only NUMBER")
    return 1 if faults else 0


def again(attack: Attack, number: int) -> int:
    async def play() -> None:
        case, line = attack.cases[number], await Line.open(attack.made.port)
        print(f"{case.kind}, then {case.then}, {case.least} to {case.most} answers:\n{case.sent()[:3000]!r}")
        await attack.one(number, case, line)
        print(f"received:\n{bytes(line.received)[:3000]!r}")

    asyncio.run(play())
    print("\n".join(attack.faults) or "as it should be")
    return 1 if attack.faults else 0


def report(figures: dict[str, Any]) -> str:
    """The figures as a person reads them."""
    canary = figures["canary"]
    sent_away = figures["stalled_clients_sent_away_after"]
    lines = [
        f"{figures['requests']:,} hostile requests, seed {figures['seed']},"
        f" {figures['requests_per_second']:,.0f} a second; slowest {figures['slowest_seconds'][0]:.2f} s"
        f" ({figures['slowest_seconds'][1]})",
        "kinds      " + ", ".join(f"{name} {count:,}" for name, count in figures["kinds"].items()),
        "answers    " + ", ".join(f"{name}: {count:,}" for name, count in figures["answers"].items()),
        f"normal     {canary['requests']:,} requests beside them; median {1000 * canary['median']:.1f} ms,"
        f" p99 {1000 * canary['p99']:.1f} ms, slowest {1000 * canary['max']:.1f} ms",
        f"stalled    {STALLED} clients that fell silent were sent away after {sent_away['median']:.1f} s,"
        f" the last after {sent_away['max']:.1f} s",
        f"records    {figures['records']:,} lines, all read again",
    ]
    for name, each in figures["processes"].items():
        lines.append(
            f"{name:11}{each['mb_before']:.0f} -> {each['mb_after']:.0f} MB (peak {each['mb_peak']:.0f},"
            f" {each['mb_in_100000']:+.1f} MB in 100,000 requests),"
            f" {each['descriptors_before']} -> {each['descriptors_after']} descriptors"
        )
    lines += [f"FAULT: {fault[:400]}" for fault in figures["first_faults"][:8]]
    verdict = "PASS" if not figures["faults"] else f"FAIL: {figures['faults']:,} faults"
    return "\n".join([*lines, f"{verdict}. Machine: {figures['machine']}; the clients share it."])


if __name__ == "__main__":
    sys.exit(main())
