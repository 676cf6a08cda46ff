"""How many requests a second the local endpoint answers, side by side with `mlflow models serve` on the same model.

    python bench/serving.py                          # about two minutes on two cores
    python bench/serving.py --model DIR              # a model that digits.train saved; default: an untrained one
    python bench/serving.py --clients 1 8 64 --seconds 5 --json

Every client has one connection, keeps it, and sends one image at a time: the next when the answer to the last is there.
The endpoint is made from aml/endpoints/digits, with its key asked for, a second deployment that gets half of the
traffic, and request, response and the Collector's records all on. The clients run in this process and share the cores
with the servers, so read the ratios rather than the numbers.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httptools
import psutil

ROOT = Path(__file__).resolve().parents[1]
PORT = 19_871  # for the peers; the endpoint has its own
START_SECONDS = 180
IMAGE = [(17 * pixel) % 256 if 200 < pixel < 600 else 0 for pixel in range(784)]
BASELINE = "mlflow models serve"


@dataclass
class Server:
    """Something that answers: where, how it is asked, and the processes it consists of."""

    name: str
    port: int
    path: str
    headers: dict[str, str]
    processes: list[psutil.Process]
    ready_after: float


@dataclass
class Load:
    """What the clients saw."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, load: Load) -> None:
        self.request, self.load = request, load
        self.parser = httptools.HttpResponseParser(self)
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.load.latencies.append(time.perf_counter() - self.sent)
        self.load.errors += self.parser.get_status_code() != 200
        self.ask()


async def ask_for(server: Server, clients: int, seconds: float) -> Load:
    """Let `clients` connections ask for this long."""
    body = json.dumps({"inputs" if server.name == BASELINE else "input_data": [IMAGE]}).encode()
    headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": len(body), **server.headers}
    head = f"POST {server.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = head.encode() + b"\r\n" + body
    load, loop = Load(), asyncio.get_running_loop()
    lines = [
        await loop.create_connection(lambda: Client(request, load), "127.0.0.1", server.port) for _ in range(clients)
    ]
    await asyncio.sleep(seconds)
    for transport, _ in lines:
        transport.abort()
    return load


def measure(server: Server, clients: int, seconds: float) -> dict:
    """One row: requests a second, latencies in ms, errors, CPU time a request in ms, memory in MB."""
    run = asyncio.run
    if os.name != "nt":
        import uvloop

        run = uvloop.run
    run(ask_for(server, clients, min(1.0, seconds)))  # warm
    peak = [0]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            peak[0] = max(peak[0], sum(memory(process) for process in tree(server)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before, start = cpu(server), time.perf_counter()
    load = run(ask_for(server, clients, seconds))
    took, used = time.perf_counter() - start, cpu(server) - before
    stop.set()
    watcher.join()
    times = sorted(load.latencies) or [float("nan")]
    return {
        "name": server.name,
        "clients": clients,
        "requests_per_second": len(load.latencies) / took,
        "p50_ms": 1000 * statistics.median(times),
        "p99_ms": 1000 * times[min(len(times) - 1, int(0.99 * len(times)))],
        "errors": load.errors,
        "cpu_ms": 1000 * used / max(len(load.latencies), 1),
        "memory_mb": peak[0] / 1e6,
        "ready_after_seconds": server.ready_after,
    }


def tree(server: Server) -> set[psutil.Process]:
    return {one for process in server.processes for one in (process, *process.children(recursive=True))}


def memory(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def cpu(server: Server) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in tree(server))


# -- the servers


@contextmanager
def endpoint(model: Path, scratch: Path) -> Iterator[Server]:
    """This project's endpoint, as `aml online-endpoint` and `aml online-deployment` make it."""
    from amlocal.client import LocalMLClient
    from amlocal.endpoints.down import down
    from amlocal.processes import find
    from amlocal.specs import load

    client = LocalMLClient(scratch / ".amlocal")
    folder = ROOT / "aml" / "endpoints" / "digits"
    override = [{"model": {"path": str(model), "type": "mlflow_model"}}]
    start = time.perf_counter()
    try:
        made = client.online_endpoints.begin_create_or_update(load("online-endpoint", folder / "endpoint.yml")).result()
        blue, green = (load("online-deployment", folder / f"{name}.yml", override) for name in ("blue", "green"))
        start = time.perf_counter()
        client.online_deployments.begin_create_or_update(blue)
        ready_after = time.perf_counter() - start
        client.online_deployments.begin_create_or_update(green)
        made.traffic = {"blue": 50, "green": 50}
        client.online_endpoints.begin_create_or_update(made)
        store = client.online_endpoints.store
        run = store.run("digits").glob("*.json")
        processes = [process for path in (*run, store.supervisor) if (process := find(path))]
        key = client.online_endpoints.credentials("digits")["primaryKey"]
        port = store.get("digits").port
        yield Server(
            "endpoint, key, 2 deployments, records",
            port,
            "/score",
            {"Authorization": f"Bearer {key}"},
            processes,
            ready_after,
        )
    finally:
        down(client.workspace)


@contextmanager
def mlflow_serve(model: Path, scratch: Path) -> Iterator[Server]:
    """The peer: MLflow's own server, with its one worker."""
    from amlocal.processes import end

    words = ["models", "serve", "-m", str(model), "--env-manager", "local", "-h", "127.0.0.1", "-p", str(PORT)]
    start = time.perf_counter()
    with (scratch / "mlflow.log").open("wb") as log:
        # It starts a server called `uvicorn`, wherever PATH says that is.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        popen = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words], stdout=log, stderr=log, env={**os.environ, "PATH": path}
        )
    process = psutil.Process(popen.pid)
    try:
        wait_for(f"http://127.0.0.1:{PORT}/ping", popen, scratch / "mlflow.log")
        yield Server(BASELINE, PORT, "/invocations", {}, [process], time.perf_counter() - start)
    finally:
        end([process])


def wait_for(address: str, popen: subprocess.Popen, log: Path) -> None:
    from urllib.request import urlopen

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and popen.poll() is None:
        try:
            with urlopen(address, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"serving.py: {address} does not answer; its log ends:\n{log.read_text()[-2000:]}")


def untrained(folder: Path) -> Path:
    """A model with the default network's weights as they are drawn; it answers as fast as a trained one."""
    import numpy as np

    from digits import model, package

    package.save(model.build("default"), folder, np.zeros((2, 28, 28), np.uint8), {"network": "default"})
    return folder


# -- what is printed


def table(rows: list[dict]) -> str:
    """The rows as a Markdown table; `x` is against the peer with as many clients."""
    peers = {row["clients"]: row["requests_per_second"] for row in rows if row["name"] == BASELINE}
    lines = [
        "| server | clients | requests/s | x | p50, p99 | errors | CPU a request | memory | ready after |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        peer = peers.get(row["clients"])
        lines.append(
            f"| {row['name']} | {row['clients']} | {row['requests_per_second']:,.0f} |"
            f" {ratio(row, peer)} |"
            f" {row['p50_ms']:.1f}, {row['p99_ms']:.1f} ms | {row['errors']} | {row['cpu_ms']:.2f} ms |"
            f" {row['memory_mb']:.0f} MB | {row['ready_after_seconds']:.1f} s |"
        )
    return "\n".join(lines)


def ratio(row: dict, peer: float | None) -> str:
    return f"{row['requests_per_second'] / peer:.1f}" if peer else ""


def machine() -> str:
    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a model that digits.train saved (default: an untrained one)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="connections (default: 1 8)")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement (default: 3)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.pop("AMLOCAL_HOME", None)
    if options.model and not (options.model / "model.tflite").is_file():
        parser.error(f"--model {options.model}: holds no model.tflite; name a folder that digits.train saved")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = (options.model or untrained(scratch / "model")).resolve()
        for serve in (mlflow_serve, endpoint):
            with serve(model, scratch) as server:
                for clients in options.clients:
                    rows.append(measure(server, clients, options.seconds))
                    print(f"{server.name}, {clients} clients: done", file=sys.stderr)
    if options.json:
        print(json.dumps([{**row, "machine": machine()} for row in rows], indent=2))
    else:
        print(table(rows))
        print(f"\nOne image a request, {options.seconds:g} s each. Machine: {machine()}; the clients share it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
