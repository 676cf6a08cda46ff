"""1,000,000 requests: whether memory and latency stay flat. 10,000 idle connections: whether one client notices them.

    python bench/soak.py                                     # about six minutes on two cores, 1 GB of disk meanwhile
    python bench/soak.py --requests 200000 --idle 2000

The load is wrk's if that is installed (8 connections, each request with an id of its own), else clients of our own.
After each twentieth of the requests the processes' memory is taken, and the latencies of that part. FAIL, exit code 1,
when the memory of a process grows faster than 10 MB in 1,000,000 requests (the slope of a straight line through all
but the first quarter), when the p99 of the last quarter is more than twice that of the second, when a request fails,
or when one is not on record. The clients share the machine with the endpoint.
"""

import argparse
import asyncio
import json
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from endpoint_load import ECHO, Load, Served, ask, descriptors, machine, quantiles, say, served

PARTS = 20
CONNECTIONS = 8
GROWTH = 10e6  # bytes in a million requests
SLOWER = 2.0
PER_ADDRESS = 10_000  # connections from one source address; a system has some 28,000 ports for each
IDLE_SECONDS = 5.0
LUA = """
local thread_number = 0
function setup(thread) thread:set("id", thread_number); thread_number = thread_number + 1 end
function init(args) sent, good, bad = 0, 0, 0 end
function request()
  sent = sent + 1
  local name = "{part}-" .. id .. "-" .. sent
  wrk.headers["x-ms-client-request-id"] = name
  return wrk.format("POST", "/score", wrk.headers, '{{"id": "' .. name .. '"}}')
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %.1f %.1f %.1f\\n", summary.requests, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {key}"
"""


# -- a million requests


def soak(made: Served, requests: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The figures of each part, and what went wrong. A part ends when the gateway has answered its share."""
    parts, faults, rate = [], [], 2000.0
    answered = 0
    while answered < requests:
        wanted = min(requests / PARTS, requests - answered)
        start = time.perf_counter()
        part = one_part(made, len(parts), wanted, rate)
        seconds = time.perf_counter() - start
        answered += part["requests"]
        rate = max(part["requests"] / part["seconds"], 1.0)
        memory = {role(name): size["rss"] for name, size in made.sizes().items()}
        parts.append({**part, "until": answered, "rss": memory})
        say(
            f"  {answered:>9,} requests, {rate:,.0f} a second, p50 {part['p50_ms']:.2f} p99 {part['p99_ms']:.2f} ms,"
            f" {', '.join(f'{name} {rss / 1e6:.1f} MB' for name, rss in memory.items())}"
        )
        if part["failed"]:
            faults.append(f"part {len(parts)}: {part['failed']} requests failed")
        if seconds > 600:
            faults.append("a part took ten minutes")
            break
    return parts, faults


def one_part(made: Served, number: int, requests: float, rate: float) -> dict[str, Any]:
    """Ask for as long as so many requests should take."""
    seconds = max(round(requests / rate), 1)
    if not shutil.which("wrk"):
        with Load(made.port, made.key(), CONNECTIONS, tag=f"p{number}") as load:
            time.sleep(seconds)
        took = quantiles(load.latencies())
        failed = sum(load.failed().values())
        figures = {"requests": len(load.good), "p50_ms": 1000 * took["median"], "p99_ms": 1000 * took["p99"]}
        return {**figures, "max_ms": 1000 * took["max"], "failed": failed, "seconds": seconds}
    script = made.folder / "soak.lua"
    script.write_text(LUA.format(part=f"p{number}", key=made.key()))
    script.chmod(0o600)  # it holds the key
    words = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{made.port}"]
    done = subprocess.run(["wrk", *words], capture_output=True, text=True, check=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+)", done.stdout)
    if not found:
        raise SystemExit(f"soak.py: wrk said:\n{done.stdout}{done.stderr}")
    total, statuses, sockets = (int(each) for each in found.groups()[:3])
    p50, p99, most = (float(each) / 1000 for each in found.groups()[3:])
    return {
        "requests": total,
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": most,
        "failed": statuses + sockets,
        "seconds": seconds,
    }


def role(name: str) -> str:
    return name if name in ("gateway", "supervisor") else "worker"


def slope(parts: list[dict[str, Any]], name: str) -> float:
    """Bytes a request by which a process grows: least squares, without the first quarter."""
    later = parts[len(parts) // 4 :]
    if len(later) < 2:
        return 0.0
    x, y = [part["until"] for part in later], [part["rss"][name] for part in later]
    return statistics.linear_regression(x, y).slope


def flat(parts: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Slopes and the change of latency, and what of it is too much."""
    faults, figures = [], {}
    for name in parts[-1]["rss"]:
        grows = slope(parts, name)
        first, last = parts[len(parts) // 4]["rss"][name], parts[-1]["rss"][name]
        figures[name] = {"mb_first": first / 1e6, "mb_last": last / 1e6, "mb_a_million": grows}
        if grows * 1e6 > GROWTH:
            faults.append(f"{name} grows by {grows:.1f} MB in a million requests")
    quarter = max(len(parts) // 4, 1)
    before, after = (
        statistics.median(part["p99_ms"] for part in some) for some in (parts[quarter : 2 * quarter], parts[-quarter:])
    )
    figures["p99_ms"] = {"second_quarter": before, "last_quarter": after}
    if after > SLOWER * before:
        faults.append(f"p99 was {before:.2f} ms in the second quarter and {after:.2f} in the last")
    return figures, faults


def on_record(made: Served) -> tuple[dict[str, int], int]:
    """Lines in each collection, and their bytes together."""
    lines, size = {"request": 0, "response": 0}, 0
    for collection in lines:
        for path in made.collected.glob(f"*/{collection}/**/*.jsonl"):
            size += path.stat().st_size
            with path.open("rb") as file:
                lines[collection] += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return lines, size


# -- ten thousand who say nothing


def idle(made: Served, wanted: int) -> tuple[dict[str, Any], list[str]]:
    """Latencies of one client without and with `wanted` connections that say nothing; memory of each of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + 100:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted + 1000, hard), hard))
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted + 100:
        return {}, [f"this process may open only {hard} files, so not {wanted} connections: raise `ulimit -n`"]
    faults: list[str] = []
    gateway = made.processes()["gateway"]
    asyncio.run(latencies(made, 1.0))
    alone = asyncio.run(latencies(made, IDLE_SECONDS))
    memory, files = gateway.memory_info().rss, descriptors(gateway)
    lines = connect(made.port, wanted, faults)
    try:
        opened = wait_for(gateway, files + len(lines))
        beside = asyncio.run(latencies(made, IDLE_SECONDS))
        took = gateway.memory_info().rss - memory
        closed = sum(is_closed(line) for line in lines)
        if closed:
            faults.append(f"{closed} of {len(lines)} idle connections were closed within {2 * IDLE_SECONDS:.0f} s")
        # Some 500 of them ask once: they are connections, not only descriptors.
        some = lines[:: max(len(lines) // 500, 1)]
        answered = sum(asks(line, made, number) for number, line in enumerate(some))
        if answered != len(some):
            faults.append(f"of {len(some)} idle connections that asked at last, {answered} were answered")
    finally:
        for line in lines:
            line.close()
    left = wait_for(gateway, files + 20, less=True)
    if left > files + 20:
        faults.append(f"the gateway had {files} descriptors before, and {left} when all had gone")
    if beside["failed"] or not beside["times"]:
        faults.append(f"{beside['failed']} requests failed beside them")
    before, with_them = quantiles(alone["times"]), quantiles(beside["times"])
    if with_them["p99"] > max(3 * before["p99"], 0.05):
        faults.append(f"p99 {1000 * before['p99']:.1f} ms without them and {1000 * with_them['p99']:.1f} with them")
    return {
        "connections": len(lines),
        "gateway_descriptors": opened,
        "bytes_a_connection": took / max(len(lines), 1),
        "p50_ms": [1000 * before["median"], 1000 * with_them["median"]],
        "p99_ms": [1000 * before["p99"], 1000 * with_them["p99"]],
    }, faults


async def latencies(made: Served, seconds: float) -> dict[str, Any]:
    """What one client measures that asks again as soon as it is answered."""
    load = Load(made.port, made.key(), 1, tag=f"i{time.monotonic_ns()}"[:20])
    task = asyncio.create_task(load._clients())
    await asyncio.sleep(seconds)
    load.over = True
    await task
    return {"times": load.latencies(), "failed": sum(load.failed().values())}


def connect(port: int, wanted: int, faults: list[str]) -> list[socket.socket]:
    """Open connections, from several addresses of this machine where one has not ports enough."""
    lines: list[socket.socket] = []
    for number in range(wanted):
        line = socket.socket()
        line.settimeout(20)
        try:
            if sys.platform == "linux":
                line.bind((f"127.0.0.{1 + number // PER_ADDRESS}", 0))
            line.connect(("127.0.0.1", port))
        except OSError as error:
            faults.append(f"connection {number} could not be made: {error}")
            line.close()
            break
        lines.append(line)
    return lines


def wait_for(gateway: psutil.Process, count: int, less: bool = False) -> int:
    """The gateway's descriptors when there are so many, or so few, or after 20 s."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        now = descriptors(gateway)
        if (now <= count) if less else (now >= count):
            return now
        time.sleep(0.1)
    return descriptors(gateway)


def is_closed(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return line.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        line.settimeout(20)


def asks(line: socket.socket, made: Served, number: int) -> bool:
    """Whether a request on this connection is answered 200."""
    body = b'{"id": "late-%d"}' % number
    head = f"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {made.key()}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        line.sendall(head.encode() + body)
        return line.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


# -- the run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000, help="0: none")
    parser.add_argument("--idle", type=int, default=10_000, metavar="CONNECTIONS", help="0: none")
    parser.add_argument("--folder", type=Path, help="where the records go meanwhile (default: the temporary folder)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    rows = []
    with served(ECHO, options.folder) as made:
        ask(made, "first")
        if options.idle:
            say(f"{options.idle:,} idle connections")
            figures, faults = idle(made, options.idle)
            rows.append({"name": "idle connections", **figures, "faults": faults})
        if options.requests:
            say(f"{options.requests:,} requests over {CONNECTIONS} connections")
            before, _ = on_record(made)
            parts, faults = soak(made, options.requests)
            figures, grown = flat(parts)
            lines, size = on_record(made)
            answered = parts[-1]["until"]
            for collection, count in lines.items():
                # wrk leaves up to one request a connection behind when a part is over; that one may be on record, too.
                if not 0 <= count - before[collection] - answered <= CONNECTIONS * len(parts):
                    grown.append(f"{answered:,} requests, {count - before[collection]:,} lines in {collection}")
            rows.append(
                {
                    "name": "soak",
                    "requests": answered,
                    "requests_per_second": answered / sum(part["seconds"] for part in parts),
                    "lines": {name: count - before[name] for name, count in lines.items()},
                    "record_mb": size / 1e6,
                    **figures,
                    "parts": parts,
                    "faults": faults + grown,
                }
            )
    if options.json:
        print(json.dumps([{**row, "machine": machine()} for row in rows], indent=2))
    else:
        for row in rows:
            print(report(row))
        print(f"Machine: {machine()}; the clients share it.")
    return 1 if any(row["faults"] for row in rows) else 0


def report(row: dict[str, Any]) -> str:
    """A row as a person reads it."""
    verdict = "FAIL" if row["faults"] else "PASS"
    lines = [f"{verdict} {row['name']}"]
    if row["name"] == "soak":
        lines[0] += f": {row['requests']:,} requests, {row['requests_per_second']:,.0f} a second"
        lines.append(
            f"     on record: {row['lines']['request']:,} requests, {row['lines']['response']:,} answers,"
            f" {row['record_mb']:,.0f} MB"
        )
        for name in ("gateway", "worker", "supervisor"):
            each = row[name]
            lines.append(
                f"     {name:11}{each['mb_first']:.1f} -> {each['mb_last']:.1f} MB,"
                f" {each['mb_a_million']:+.2f} MB in a million requests"
            )
        p99 = row["p99_ms"]
        lines.append(
            f"     p99 {p99['second_quarter']:.2f} ms in the second quarter, {p99['last_quarter']:.2f} in the last"
        )
    elif "connections" in row:
        lines[0] += f": {row['connections']:,}, {row['bytes_a_connection']:,.0f} bytes each in the gateway"
        for name in ("p50_ms", "p99_ms"):
            lines.append(
                f"     one client's {name[:3]}: {row[name][0]:.2f} ms without them, {row[name][1]:.2f} with them"
            )
    return "\n".join([*lines, *(f"     FAULT: {fault}" for fault in row["faults"][:10])])


if __name__ == "__main__":
    sys.exit(main())
