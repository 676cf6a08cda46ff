"""How fast the local endpoint answers, side by side with eight other ways to serve the same model.

    python bench/serving.py                          # twelve minutes on two cores, and once one more to make the peers
    python bench/serving.py --model DIR              # a model that digits.jobs.train saved; default: an untrained one
    python bench/serving.py --only endpoint fastapi --seconds 1 --rounds 1
    python bench/serving.py --only costs             # where the time of a request goes

Every client has one connection, keeps it (unless the server closes it), and sends one image at a time: the next when
the answer to the last is there. The endpoint is made from aml/endpoints/digits, asks for its key, sends half of the
traffic to each of two deployments and puts every request and response on record; the peers do nothing of that. All of
them run at the same time, but only one is let run at a time; each round turns the order around, so that a noisy minute
hits them all, and a ratio is one of two measurements of the same round. The clients share the cores with the servers:
read the ratios rather than the numbers. Exit code 1 when an aim is missed.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from serving import costs, load, peers, servers
from serving.servers import COLLECTIONS, Server

SYNCED = {"properties": {"durability": "fsync"}}
TOLERANCE = 1e-4  # between the probabilities of two servers

ENDPOINT, FSYNC, COLLECTOR = "endpoint", "endpoint-fsync", "endpoint-collector"
MLFLOW, KERAS, LITERT, CONSTANT = "mlflow", "server-keras", "server-litert", "server-constant"
FASTAPI, FASTAPI_TWICE, BENTOML, LITSERVE = "fastapi", "fastapi-2", "bentoml", "litserve"
SLEEP, COSTS = "sleep", "costs"

TITLES = {
    ENDPOINT: "**the endpoint**: key, split, record",
    FSYNC: "the endpoint, `durability: fsync`",
    COLLECTOR: "the endpoint, the Collector's records, too",
    MLFLOW: "`mlflow models serve`",
    KERAS: "inference server + Keras (`tf.function`)",
    LITERT: "inference server + LiteRT (our script)",
    CONSTANT: "inference server, a constant answer",
    FASTAPI: "FastAPI/uvicorn + ONNX Runtime",
    FASTAPI_TWICE: "the same, `--workers 2`",
    BENTOML: "BentoML + ONNX Runtime",
    LITSERVE: "LitServe + ONNX Runtime",
}
# In the order of their turns: those that are compared lie next to each other.
ORDER = (MLFLOW, CONSTANT, ENDPOINT, FASTAPI, FSYNC, COLLECTOR, FASTAPI_TWICE, LITERT, BENTOML, LITSERVE, KERAS)
NEEDS_PEERS = {FASTAPI, FASTAPI_TWICE, BENTOML, LITSERVE}
# What is compared at eight clients, with what, and the ratio aimed at.
AIMS = ((ENDPOINT, MLFLOW, 150.0), (ENDPOINT, FASTAPI, 1.5), (ENDPOINT, CONSTANT, 2.0), (FSYNC, FASTAPI, 1.0))
AIM_CLIENTS, AIM_MEGABYTES, AIM_READY, AIM_INSTANCES = 8, 250, 3.0, 1.8

# A server that is slower than this (requests/s) is asked for longer: else what is on its way at the end would count.
SLOW, LONGER = 100, 4

Row = dict[str, Any]


def measure(server: Server, clients: int, seconds: int) -> Row:
    """One sample: what the clients saw, and what the server took for it."""
    warm = load.ask(server.request, clients, 1)  # its memory may be cold
    server.settle()  # these clients have left, but not what they had asked for
    if warm.per_second < SLOW:
        seconds *= LONGER
    before = server.cpu()
    seen = load.ask(server.request, clients, seconds)
    used = server.cpu() - before
    own, resident = server.memory()
    return {
        "clients": clients,
        "requests_per_second": seen.per_second,
        "p50_ms": seen.p50,
        "p99_ms": seen.p99,
        "errors": seen.errors,
        "cpu_seconds_per_1000": 1000 * used / max(seen.answers, 1),
        "memory_mb": own / 1e6,
        "rss_mb": resident / 1e6,
    }


def rounds(running: dict[str, Server], clients: list[int], seconds: int, count: int) -> list[Row]:
    """Samples of all servers: every round asks each of them with each number of clients."""
    samples = []
    for turn in range(count):
        for number in clients:
            for name in list(running)[:: -1 if turn % 2 else 1]:
                server = running[name]
                server.go_on()
                try:
                    sample = measure(server, number, seconds)
                finally:
                    server.hold()
                samples.append({"name": name, "round": turn, **sample})
                say(f"round {turn + 1}, {number} clients, {name}: {sample['requests_per_second']:,.0f} requests/s")
    return samples


def summary(samples: list[Row], running: dict[str, Server]) -> list[Row]:
    """A row for each server and number of clients: medians over the rounds, peaks of memory, sums of errors."""
    rows = []
    for name, server in running.items():
        for clients in dict.fromkeys(sample["clients"] for sample in samples):
            mine = [sample for sample in samples if (sample["name"], sample["clients"]) == (name, clients)]
            each = {key: [sample[key] for sample in mine] for key in mine[0]}
            medians = ("requests_per_second", "p50_ms", "p99_ms", "cpu_seconds_per_1000")
            rows.append(
                {
                    "name": name,
                    "title": TITLES[name],
                    "clients": clients,
                    **{key: statistics.median(each[key]) for key in medians},
                    "requests_per_second_min": min(each["requests_per_second"]),
                    "requests_per_second_max": max(each["requests_per_second"]),
                    "errors": sum(each["errors"]),
                    "memory_mb": max(each["memory_mb"]),
                    "rss_mb": max(each["rss_mb"]),
                    "ready_after_seconds": server.ready_after,
                }
            )
    return rows


def ratios(samples: list[Row]) -> list[Row]:
    """How many times as many requests as its yardstick a setting answers at eight clients, round by round."""
    rate = {
        (sample["name"], sample["round"]): sample["requests_per_second"]
        for sample in samples
        if sample["clients"] == AIM_CLIENTS
    }
    rows = []
    for name, yardstick, aim in AIMS:
        turns = [turn for (who, turn) in rate if who == name and rate.get((yardstick, turn))]
        if not turns and {name, yardstick} <= {who for who, _ in rate}:
            say(f"{yardstick} answered nothing at all, so nothing is compared with it: give it more --seconds")
        if turns:
            each = [rate[name, turn] / rate[yardstick, turn] for turn in turns]
            rows.append(aimed(f"{name} / {yardstick}", statistics.median(each), aim, "×", min=min(each), max=max(each)))
    return rows


def aimed(name: str, value: float, aim: float, unit: str, at_most: bool = False, **more: float) -> Row:
    holds = value < aim if at_most else value >= aim
    return {"name": name, "value": value, "aim": aim, "unit": unit, "at_most": at_most, "holds": holds, **more}


def alone(folder: Path, model: Path, seconds: int) -> list[Row]:
    """The greatest memory of all processes of one deployment while it is asked, when nothing else stands."""
    seen = []
    with servers.workspace(folder, model) as made, ThreadPoolExecutor(1) as clients:
        made.deploy("blue")
        made.split(blue=100)
        server = Server(made.request(), made.processes(), 0.0)
        asking = clients.submit(load.ask, server.request, AIM_CLIENTS, seconds)
        while not asking.done():
            seen.append(server.memory())
            time.sleep(0.05)
        asking.result()
    greatest = [max(each) / 1e6 for each in zip(*seen, strict=True)]
    return [
        aimed(f"all processes of one deployment, {kind} at its greatest", megabytes, AIM_MEGABYTES, "MB", at_most=True)
        for kind, megabytes in zip((MEMORY, "RSS"), greatest, strict=True)
    ]


def second_instance(folder: Path, model: Path, seconds: int, count: int) -> Row:
    """What `instance_count: 2` is worth when run() takes 20 ms and the processor is free."""
    rates = []
    with servers.workspace(folder, model) as made:
        for instances in (1, 2):
            made.deploy("sleeps", "sleeps.py", instance_count=instances)
            request, asked = made.request("sleeps"), []
            for _ in range(count):
                servers.answer(request)  # after what the clients before have left behind
                asked.append(load.ask(request, AIM_CLIENTS, seconds).per_second)
            rates.append(statistics.median(asked))
            say(f"run() sleeps 20 ms, {instances} instances: {rates[-1]:.1f} requests/s")
    return aimed("two instances / one, run() sleeps 20 ms", rates[1] / rates[0], AIM_INSTANCES, "×", one=rates[0])


def check_answers(running: dict[str, Server], model: Path) -> None:
    """Leave if one of the servers answers otherwise than LiteRT in this process."""
    import numpy as np

    from digits.network.lite import Lite

    expected = Lite(model / "model.tflite").probabilities(np.array([servers.IMAGE], np.float32))
    for name, server in running.items():
        if server.read is None:
            continue
        server.go_on()
        try:
            told = np.array(server.read(servers.answer(server.request)))
        finally:
            server.hold()
        difference = float(np.abs(told - expected).max())
        if not difference <= TOLERANCE:
            sys.exit(f"serving.py: {name} answers otherwise than LiteRT, by {difference:.2g}")


# -- what is printed


def table(rows: list[Row]) -> str:
    lines = [
        f"| server | clients | requests/s (min..max) | p50, p99 | errors | CPU s per 1,000 | {MEMORY}, RSS | ready |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        low, high = row["requests_per_second_min"], row["requests_per_second_max"]
        lines.append(
            f"| {row['title']} | {row['clients']} | {row['requests_per_second']:,.0f} ({low:,.0f}..{high:,.0f}) |"
            f" {row['p50_ms']:.2f}, {row['p99_ms']:.1f} ms | {row['errors']} | {row['cpu_seconds_per_1000']:.2f} |"
            f" {row['memory_mb']:.0f}, {row['rss_mb']:.0f} MB | {row['ready_after_seconds']:.1f} s |"
        )
    return "\n".join(lines)


def verdict(aims: list[Row]) -> str:
    lines = [f"| at {AIM_CLIENTS} clients | measured | aim | |", "|---|---:|---:|---|"]
    for row in aims:
        spread = f" ({row['min']:.2f}..{row['max']:.2f})" if "min" in row else ""
        sign = "<" if row["at_most"] else "≥"
        told = "holds" if row["holds"] else "**missed**"
        lines.append(f"| {row['name']} | {row['value']:.2f}{spread} {row['unit']} | {sign} {row['aim']:g} | {told} |")
    return "\n".join(lines)


MEMORY = "PSS" if sys.platform == "linux" else "USS"
PROCESSES = """\
Processes that answer: the endpoint's are a gateway and two workers, LitServe's a server and a worker, `--workers 2` are
two; each other server is one. Memory: as it was at the end of a measurement, pages shared with the other servers."""


def machine(folder: Path) -> str:
    """The processor, and what an fsync costs on the disk that the records go to."""
    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    times = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    memory = psutil.virtual_memory().total / 2**30
    sync = f"an fsync {1000 * statistics.median(times):.2f} ms"
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, {sync}; load by {load.NAME}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- the run


def starters(scratch: Path, model: Path, interpreter: Path, onnx: Path) -> dict[str, Callable[[], Any]]:
    """How each server is started, by name."""
    script = servers.ROOT / "src" / "digits" / "serving" / "score.py"
    read = Server.read
    at = {name: scratch / name for name in ORDER}
    return {
        ENDPOINT: lambda: servers.endpoint(at[ENDPOINT], model),
        FSYNC: lambda: servers.endpoint(at[FSYNC], model, **SYNCED),
        COLLECTOR: lambda: servers.endpoint(at[COLLECTOR], model, records=COLLECTIONS),
        MLFLOW: lambda: servers.mlflow_serve(model, at[MLFLOW]),
        KERAS: lambda: servers.inference_server(servers.APPS / "keras_score.py", model, at[KERAS], read),
        LITERT: lambda: servers.inference_server(script, model, at[LITERT], read),
        CONSTANT: lambda: servers.inference_server(servers.APPS / "constant.py", model, at[CONSTANT], None),
        FASTAPI: lambda: servers.with_fastapi(interpreter, onnx, at[FASTAPI]),
        FASTAPI_TWICE: lambda: servers.with_fastapi(interpreter, onnx, at[FASTAPI_TWICE], workers=2),
        BENTOML: lambda: servers.with_bentoml(interpreter, onnx, at[BENTOML]),
        LITSERVE: lambda: servers.with_litserve(interpreter, onnx, at[LITSERVE]),
    }


def untrained(folder: Path) -> Path:
    """A model with the default network's weights as they are drawn; it answers as fast as a trained one."""
    import numpy as np

    from digits.network import model, package

    package.save(model.build("default"), folder, np.zeros((2, 28, 28), np.uint8), {"network": "default"})
    return folder


def run(options: argparse.Namespace, scratch: Path) -> tuple[list[Row], list[Row], list[Row]]:
    """(rows of servers, aims, rows of costs)"""
    model = (options.model or untrained(scratch / "model")).resolve()
    wanted = [name for name in ORDER if name in options.only]
    interpreter = onnx = Path()
    if NEEDS_PEERS & set(wanted):
        interpreter = peers.python(options.peers)
        onnx = peers.write_onnx(model, interpreter, scratch)
    start = starters(scratch, model, interpreter, onnx)
    rows: list[Row] = []
    aims: list[Row] = []
    memory = alone(scratch / "alone", model, options.seconds) if ENDPOINT in wanted else []
    with ExitStack() as stack:
        running: dict[str, Server] = {}
        for name in wanted:
            running[name] = server = stack.enter_context(start[name]())
            server.hold()
            say(f"{name}: ready after {server.ready_after:.1f} s")
        check_answers(running, model)
        if running:
            samples = rounds(running, options.clients, options.seconds, options.rounds)
            rows, aims = summary(samples, running), ratios(samples)
        if ENDPOINT in running:
            ready_after = running[ENDPOINT].ready_after
            aims += memory
            aims.append(aimed("deployment create to first answer", ready_after, AIM_READY, "s", at_most=True))
    if SLEEP in options.only:
        aims.append(second_instance(scratch / SLEEP, model, options.seconds, options.rounds))
    shares = costs.measure(scratch / COSTS, model, options.seconds, options.rounds) if COSTS in options.only else []
    return rows, aims, shares


def parse() -> argparse.Namespace:
    names = (*ORDER, SLEEP, COSTS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=f"names: {', '.join(names)}")
    parser.add_argument("--model", type=Path, help="a model that digits.jobs.train saved (default: an untrained one)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=names, help="only these")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64], help="connections (default: 1 8 64)")
    parser.add_argument("--seconds", type=int, default=3, help="for each measurement (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--peers", type=Path, default=peers.cache(), help="holds the peers' environment (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    if options.model and not (options.model / "model.tflite").is_file():
        parser.error(f"--model {options.model}: holds no model.tflite; name a folder that digits.jobs.train saved")
    if min(options.seconds, options.rounds, *options.clients) < 1:
        parser.error("--seconds, --rounds and --clients must be at least 1")
    return options


def main() -> int:
    options = parse()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.pop("AMLOCAL_HOME", None)
    # To be interrupted is to leave through what ends the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("serving.py: ended"))
    options.peers = options.peers.resolve()
    options.peers.mkdir(parents=True, exist_ok=True)
    # Beside the peers, since /tmp may be memory, where an fsync costs nothing.
    with tempfile.TemporaryDirectory(dir=options.peers, prefix="run-", ignore_cleanup_errors=True) as name:
        where = machine(Path(name))
        try:
            rows, aims, shares = run(options, Path(name))
        except KeyboardInterrupt:
            sys.exit("serving.py: interrupted")
    if options.json:
        print(json.dumps([{**row, "machine": where} for row in (*rows, *aims, *shares)], indent=2))
    else:
        tables = [f"{table(rows)}\n\n{PROCESSES}" if rows else "", verdict(aims) if aims else ""]
        tables.append(costs.table(shares) if shares else "")
        print("\n\n".join(filter(None, tables)))
        print(f"\nOne image a request, {options.rounds} rounds of {options.seconds} s, medians. Machine: {where}.")
    return 0 if all(row["holds"] for row in aims) else 1


if __name__ == "__main__":
    sys.exit(main())
