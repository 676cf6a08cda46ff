"""The ways in which bench/faults.py hurts an endpoint, and what each has to show."""

import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from endpoint_load import ECHO, LOST, NAME, Load, Served, ask, descriptors, eventually, say, served, tally
from endpoint_records import Records

BACK_SECONDS = 3.0  # the longest a service may be away after a death
GIVE_UP_SECONDS = 30.0
MEAN_PAUSE = 0.3  # seconds between a recovery and the next fault, at random
TAKEN_OVER_SECONDS = 0.05  # after which a change of the traffic holds for new requests
TIMEOUT_MS = 1000  # of a request to a script that hangs
GRACE_SECONDS = 1.5  # after which a worker that hangs has been ended
LOG_BOUND = 200e6  # bytes of one deployment's logs, however much a script prints
PRINTED = 20_000_000  # bytes a request that prints
FULL_DISK = 24 * 2**20

SCRIPT = """
import ctypes, json, os, resource, signal, sys, time

kept = []

def init(): pass

def run(raw_data):
    asked = json.loads(raw_data)
    fault = asked.get("fault")
    if fault == "sleep":
        time.sleep(60)
    elif fault == "spin":
        while True: pass
    elif fault == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
        time.sleep(60)
    elif fault == "exit":
        sys.exit(7)
    elif fault == "end":
        os._exit(0)
    elif fault == "segfault":
        ctypes.string_at(0)
    elif fault == "abort":
        os.abort()
    elif fault == "memory":
        raise MemoryError
    elif fault == "leak":
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        while True:
            kept.append(open(os.devnull))
    elif fault == "print":
        for _ in range(asked["megabytes"]):
            print("x" * 999_999)
    return {"id": asked["id"]}
"""

# Scripts that never come to serve, with what `create` must say of each.
BROKEN = {
    "import error": ("import nothing_of_this_name", "nothing_of_this_name"),
    "syntax error": ("def run(:", "SyntaxError"),
    "raises": ("raise RuntimeError('no model today')", "no model today"),
    "sys.exit": ("import sys; sys.exit(3)", ""),
    "os._exit": ("import os; os._exit(0)", "dies again and again"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "dies again and again"),
    "init raises": ("def init(): raise ValueError('bad weights')\ndef run(raw_data): return 1", "bad weights"),
    "no run": ("def init(): pass", "run"),
}


@dataclass
class Options:
    times: int
    clients: int
    pause: float


@dataclass
class Result:
    """What one scenario found. rounds: that it lasted; figures: told beside the verdict; faults: why it is a FAIL."""

    figures: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    rounds: int = 0

    def expect(self, condition: bool, otherwise: str) -> None:
        if not condition:
            self.faults.append(otherwise)

    def expect_back(self, away: list[float], what: str = "away", deaths: int = 1) -> None:
        """None of these seconds may be longer than a service may be away; deaths: that are mended one after another."""
        longest = max(away, default=GIVE_UP_SECONDS)
        self.expect(longest < deaths * BACK_SECONDS, f"{what} for {longest:.2f} s")

    def came_back(self, wait: Callable[[float], float | None], away: list[float]) -> bool:
        """Whether an answer comes, after how many seconds goes to `away`; wait: what Load.next_200 has given."""
        seconds = wait(GIVE_UP_SECONDS)
        self.expect(seconds is not None, f"round {self.rounds}: no answer within {GIVE_UP_SECONDS:.0f} s")
        away += [] if seconds is None else [seconds]
        return seconds is not None

    def round_is_over(self, load: Load, records: Records, options: Options) -> None:
        self.faults += records.check(load)
        self.rounds += 1
        if self.rounds % 25 == 0:
            say(f"  {self.rounds} of {options.times}")


@contextmanager
def load_on(
    made: Served, options: Options, result: Result, which_key: str = "primary"
) -> Iterator[tuple[Load, Records]]:
    """Clients at work while the body runs; afterwards what they know is compared with what is on record."""
    load = Load(made.port, made.key(which_key), options.clients, options.pause)
    records = Records(made.collected)
    start = time.perf_counter()
    try:
        with load:
            yield load, records
    finally:
        took = time.perf_counter() - start
        result.faults += records.finish(load) + load.wrong
        strays = set(made.strays())  # a worker that is just being started will be on record in a moment
        with suppress(TimeoutError):
            eventually(lambda: not strays & set(made.strays()), 10)
        strays &= set(made.strays())
        result.faults += [f"a process that nobody knows of: {process.cmdline()}" for process in strays]
        counts = load.counts()
        result.expect(not counts["unanswered"], f"{counts['unanswered']} requests were never answered")
        result.figures |= {
            "answered 200": counts["200"],
            "requests/s": round(counts["200"] / took),
            "clients saw": dict(load.failed()),
        }


def random_pause() -> None:
    time.sleep(min(random.expovariate(1 / MEAN_PAUSE), 4 * MEAN_PAUSE))


# -- kill -9


def kills(options: Options, role: str) -> Result:
    """Kill one process at random moments; the next kill comes when another has taken its place."""
    result, away, whole = Result(), [], []
    with served(SCRIPT) as made, load_on(made, options, result) as (load, records):
        for _ in range(options.times):
            random_pause()
            victim = living(made, role)
            kill(victim)
            since = time.perf_counter()
            if not result.came_back(load.next_200(since), away):
                break
            living(made, role, but=victim)
            whole.append(time.perf_counter() - since)
            result.round_is_over(load, records, options)
    result.expect_back(away)
    result.expect_back(whole, f"without {role}")
    result.figures = {"next 200 after": away, "another lives after": whole} | result.figures
    return result


def kill_worker(options: Options) -> Result:
    """kill -9 of the only worker"""
    return kills(options, "blue")


def kill_gateway(options: Options) -> Result:
    """kill -9 of the gateway"""
    return kills(options, "gateway")


def kill_supervisor(options: Options) -> Result:
    """kill -9 of the supervisor: the service goes on, and another is started"""
    return kills(options, "supervisor")


def kill_any(options: Options) -> Result:
    """kill -9 of two processes, whichever, one shortly after the other, with two workers"""
    result, away = Result(), []
    with served(SCRIPT, instances=2) as made, load_on(made, options, result) as (load, records):
        for _ in range(options.times):
            random_pause()
            alive = list(made.processes().values())
            for victim in random.sample(alive, min(2, len(alive))):
                time.sleep(random.random() / 10)
                # Gateway and supervisor revive each other: who loses both waits for `aml up`.
                if len({"gateway", "supervisor"} & set(made.processes())) < 2 and victim in couple(made):
                    continue
                kill(victim)
            if not result.came_back(load.next_200(time.perf_counter()), away):
                break
            eventually(lambda: len(couple(made)) == 2, GIVE_UP_SECONDS, "gateway and supervisor")
            result.round_is_over(load, records, options)
    result.expect_back(away)
    result.figures = {"next 200 after": away} | result.figures
    return result


def kill_all(options: Options) -> Result:
    """kill -9 of everything at once, then `aml up`"""
    result, away = Result(), []
    with served(SCRIPT, instances=2) as made, load_on(made, options, result) as (load, records):
        for number in range(options.times):
            random_pause()
            alive = list(made.processes().values())
            random.shuffle(alive)
            for victim in alive:
                kill(victim)
            wait = load.next_200(time.perf_counter())
            up = subprocess.run(
                [sys.executable, "-m", "amlocal", "up"],
                env={**os.environ, "AMLOCAL_HOME": str(made.client.workspace.root)},
                capture_output=True,
                text=True,
                check=False,
            )
            result.expect(up.returncode == 0, f"round {number}: aml up: {up.stderr.strip()}")
            if not result.came_back(wait, away):
                break
            result.round_is_over(load, records, options)
    result.expect_back(away, "with `aml up` away")
    result.figures = {"next 200 after": away} | result.figures
    return result


def kill_unrecorded(options: Options) -> Result:
    """the supervisor dies after it has started a gateway or a worker and before it has put that on record"""
    result, whole = Result(), []
    with served(SCRIPT) as made, load_on(made, options, result) as (load, records):
        for number in range(options.times):
            random_pause()
            role = ("gateway", "blue")[number % 2]
            living(made, role)
            record = next(path for path in made.run.glob("*.json") if path.stem.partition("-")[0] == role)
            supervisor = living(made, "supervisor")
            supervisor.suspend()
            record.unlink()
            since = time.perf_counter()
            kill(supervisor)
            for each in ("supervisor", "gateway", "blue"):
                living(made, each)
            eventually(lambda: not made.strays(), GIVE_UP_SECONDS, "those that nobody knows of to be ended")
            if not result.came_back(load.next_200(time.perf_counter()), []):
                break
            whole.append(time.perf_counter() - since)
            result.round_is_over(load, records, options)
    result.expect_back(whole, "not whole", deaths=2)  # the supervisor's, then of what nobody knows of
    result.figures = {"whole again after": whole} | result.figures
    return result


def neighbour(options: Options) -> Result:
    """another endpoint is deleted whose gateway revived the supervisor: ours is still looked after; a tenth as often"""
    from amlocal.operations.common import entity

    result, other = Result(), {"name": "neighbour", "auth_mode": "key"}
    with served(SCRIPT) as made, load_on(made, options, result) as (load, records):
        for _ in range(max(options.times // 10, 1)):
            made.client.online_endpoints.begin_create_or_update(entity("online-endpoint", other))
            supervisor = living(made, "supervisor")
            kill(supervisor)
            living(made, "supervisor", but=supervisor)
            made.client.online_endpoints.begin_delete("neighbour")
            living(made, "supervisor")
            worker = living(made, "blue")
            kill(worker)
            living(made, "blue", but=worker)
            result.round_is_over(load, records, options)
    return result


def living(made: Served, role: str, but: psutil.Process | None = None) -> psutil.Process:
    """The process of this role (the gateway, the supervisor, a worker of the deployment), as soon as one lives.

    but: one that has been killed and does not count.
    """

    def look() -> psutil.Process | None:
        there = (process for name, process in made.processes().items() if name.partition("-")[0] == role)
        return next((process for process in there if process != but), None)

    return eventually(look, GIVE_UP_SECONDS, f"{role} to live again")


def kill(process: psutil.Process) -> None:
    """kill -9; returns when it is dead, whether or not its parent has noticed."""

    def is_dead() -> bool:
        try:
            return process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.NoSuchProcess:
            return True

    with suppress(psutil.NoSuchProcess):
        process.kill()
    eventually(is_dead, what="a killed process to be dead")


def couple(made: Served) -> list[psutil.Process]:
    return [process for name, process in made.processes().items() if name in ("gateway", "supervisor")]


# -- scripts that are not well


def faulty_requests(
    options: Options,
    faults: list[str],
    expected: set[int],
    timeout_ms: int = 5000,
    instances: int = 2,
    settles_after: float = 0.0,
) -> Result:
    """Requests that make the script misbehave, one at a time, among good ones; how long until the next good answer.

    settles_after: seconds before it is sure who survived; then the next fault waits for all instances to be there.
    """
    result, away, answers, took = Result(), [], Counter(), []
    with (
        served(SCRIPT, instances=instances, timeout_ms=timeout_ms) as made,
        load_on(made, options, result) as (load, records),
    ):
        for number in range(options.times):
            random_pause()
            fault = faults[number % len(faults)]
            status, answer, seconds = ask(made, f"{fault}-{number}", fault=fault)
            wait = load.next_200(time.perf_counter())
            answers[f"{fault}: {status}"] += 1
            took.append(seconds)
            result.expect(status in expected, f"{fault} {number}: answered {status} {answer}")
            if not result.came_back(wait, away):
                break
            if settles_after:
                time.sleep(settles_after)
                eventually(lambda: len(made.ready()) == instances, GIVE_UP_SECONDS, "all instances")
            result.round_is_over(load, records, options)
    slowest = max(took, default=GIVE_UP_SECONDS)
    result.expect(slowest < timeout_ms / 1000 + 1, f"a request was told of its end only after {slowest:.2f} s")
    result.expect_back(away)
    result.figures = {"requests": dict(answers), "answered in": took, "next 200 after": away} | result.figures
    return result


def hang(options: Options) -> Result:
    """run() sleeps, spins, or hangs where no signal reaches it: 408, and the next request is served"""
    return faulty_requests(options, ["sleep", "spin", "deaf"], {408}, TIMEOUT_MS, settles_after=GRACE_SECONDS)


def sys_exit(options: Options) -> Result:
    """run() calls sys.exit or os._exit, or raises MemoryError"""
    return faulty_requests(options, ["exit", "end", "memory"], {424, 502})


def segfault(options: Options) -> Result:
    """run() reads address 0, or aborts"""
    return faulty_requests(options, ["segfault", "abort"], {502})


def segfault_alone(options: Options) -> Result:
    """the same with one instance: each time there is nobody until it is started again"""
    return faulty_requests(options, ["segfault", "abort"], {502}, instances=1)


def broken_script(options: Options) -> Result:
    """a deployment is replaced by scripts that do not load: `update` says why, and the old one serves on"""
    from amlocal.core.errors import UserError

    result, said, took = Result(), Counter(), []
    with served(ECHO) as made, load_on(made, options, result) as (load, records):
        for number in range(options.times):
            kind = list(BROKEN)[number % len(BROKEN)]
            script, expected = BROKEN[kind]
            start = time.perf_counter()
            try:
                made.deploy("blue", script)
                result.faults.append(f"{kind}: the deployment was made")
            except UserError as error:
                said[kind] += 1
                result.expect(expected in str(error) and "\n" not in str(error), f"{kind}: said {error}")
            took.append(time.perf_counter() - start)
            result.round_is_over(load, records, options)
    result.expect(not load.failed(), f"good requests failed: {tally(load.failed())}")
    result.figures = {"refused": dict(said), "refused in": took} | result.figures
    return result


def leak(options: Options) -> Result:
    """a script has used up its descriptors, then the gateway or it is killed; the other deployment notices nothing"""
    result, back, answers, failed, tries = Result(), [], Counter(), Counter(), itertools.count()
    with served(ECHO) as made, load_on(made, options, result) as (load, records):
        made.deploy("green", SCRIPT)
        at_first = descriptors(living(made, "gateway"))

        def green(**more: Any) -> int:
            try:
                return ask(made, f"green-{next(tries)}", deployment="green", **more)[0]
            except OSError:
                return LOST

        for number in range(options.times):
            before = answered_otherwise(load)
            status = green(fault="leak")
            answers[status] += 1
            result.expect(status in (424, 502), f"the leaking request was answered {status}")
            # A worker without descriptors has to find the new gateway all the same.
            role = "gateway" if number % 10 == 0 else "green"
            killed = living(made, role)
            start = time.perf_counter()
            killed.kill()
            eventually(lambda: green() == 200, 90, "green to answer again")
            back.append(time.perf_counter() - start)
            if not result.came_back(load.next_200(time.perf_counter()), []):
                break
            if role == "green":  # the death of the gateway may cost blue's clients something, too
                failed += answered_otherwise(load) - before
            result.round_is_over(load, records, options)
        at_last = descriptors(living(made, "gateway"))
    result.expect(not failed, f"good requests failed although the gateway lived: {tally(failed)}")
    result.expect_back(back, "green was away")
    result.expect(at_last < at_first + 10, f"the gateway had {at_first} descriptors and has {at_last}")
    result.figures = {
        "leaking requests": dict(answers),
        "green answers after": back,
        "gateway's descriptors": f"{at_first} -> {at_last}",
    } | result.figures
    return result


def answered_otherwise(load: Load) -> Counter[str]:
    """How many requests were answered otherwise than 200, or lost, until now."""
    return Counter({name: count for name, count in load.failed().items() if name != "unanswered"})


def gigabytes(options: Options) -> Result:
    """a script prints 20 MB a request: the log stays bounded"""
    result, took, largest = Result(), [], 0
    with served(SCRIPT, instances=2) as made, load_on(made, options, result) as (load, records):
        logs = made.store.log(NAME, "blue").parent
        for number in range(options.times):
            status, answer, seconds = ask(made, f"print-{number}", fault="print", megabytes=PRINTED // 1_000_000)
            took.append(seconds)
            result.expect(status == 200, f"the request that prints was answered {status} {answer}")
            largest = max(largest, sum(size(path) for path in logs.rglob("*")))
            result.round_is_over(load, records, options)
        said = len(made.client.online_deployments.get_logs("blue", NAME, lines=10))
    result.expect(not load.failed(), f"good requests failed: {tally(load.failed())}")
    result.expect(largest < LOG_BOUND, f"the logs held {largest / 1e6:,.0f} MB")
    result.expect(said > 0, "get-logs says nothing")
    result.figures = {
        "printed": f"{options.times * PRINTED / 1e9:.1f} GB",
        "logs held at most": f"{largest / 1e6:.1f} MB",
        "answered in": took,
    } | result.figures
    return result


def size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


# -- the disk


def torn_line(options: Options) -> Result:
    """the gateway is killed and half a line stands at the end of its files when the next one starts"""
    result, cut, away = Result(), 0, []
    with served(ECHO) as made, load_on(made, options, result) as (load, records):
        for number in range(options.times):
            random_pause()
            guardian, gateway = living(made, "supervisor"), living(made, "gateway")
            guardian.suspend()  # or the next gateway would be there before us
            try:
                kill(gateway)
                for collection in made.collected.glob("*/re*"):
                    path = max(collection.rglob("*.jsonl"))
                    if number % 5 == 4:  # as if the hour had changed since
                        path = records.move(path, collection / f"{2000 + number}/01/01/00" / path.name)
                    line = path.read_bytes()[-400:].splitlines()[-1]
                    with path.open("ab") as file:
                        file.write(line[: random.randrange(1, len(line))])
                    cut += 1
            finally:
                guardian.resume()
            if not result.came_back(load.next_200(time.perf_counter()), away):
                break
            result.round_is_over(load, records, options)
    result.expect_back(away)
    result.figures = {"torn lines": cut, "next 200 after": away} | result.figures
    return result


def full_disk(options: Options) -> Result:
    """the disk that holds the workspace is full, and every fifth time a process dies then; later there is room again"""
    result, away = Result(), []
    with small_disk() as folder, served(SCRIPT, folder) as made, load_on(made, options, result) as (load, records):
        for number in range(options.times):
            full = folder / "filler"
            refused = load.counts()["507"]
            fill(full)
            try:
                eventually(lambda refused=refused: load.counts()["507"] > refused, GIVE_UP_SECONDS, "a 507")
                if number % 5 == 4:
                    living(made, ("blue", "gateway", "supervisor")[number // 5 % 3]).kill()
                random_pause()
            finally:
                full.unlink()
            if not result.came_back(load.next_200(time.perf_counter()), away):
                break
            for role in ("gateway", "supervisor"):
                living(made, role)
            result.round_is_over(load, records, options)
            records.remove(larger=FULL_DISK / 8)
    result.expect_back(away)
    result.figures = {"next 200 after there was room": away} | result.figures
    return result


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of its own with little room, if this user may mount one."""
    with tempfile.TemporaryDirectory(prefix="small-disk-") as name:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={FULL_DISK}", "tmpfs", name], capture_output=True, check=False
        )
        if mounted.returncode:
            raise Skipped("this user may not mount a small disk; run it as root on Linux")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=False)


def fill(path: Path) -> None:
    """Write until there is no room."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        for step in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * step)


class Skipped(Exception):
    """A scenario this machine cannot show."""


# -- changes while it is used


def rolling(options: Options) -> Result:
    """blue to green to blue, each a new version, half of the traffic at a time: no failed request"""
    result, took = Result(), []
    with served(ECHO) as made, load_on(made, options, result) as (load, records):
        live, idle = "blue", "green"
        for number in range(options.times):
            start = time.perf_counter()
            made.deploy(idle, ECHO + f"\n# {number}\n")
            made.traffic(**{live: 50, idle: 50})
            random_pause()
            made.traffic(**{idle: 100})
            took.append(time.perf_counter() - start)
            if number % 3 == 2:
                made.client.online_deployments.begin_delete(live, NAME)
            live, idle = idle, live
            result.round_is_over(load, records, options)
    result.expect(not load.failed(), f"failed requests: {tally(load.failed())}")
    result.figures = {"each took": took} | result.figures
    return result


def traffic(options: Options) -> Result:
    """changes of the traffic rules: no failed request, and a deployment without traffic gets none"""
    result, strays = Result(), 0
    with served(ECHO) as made:
        made.deploy("green", ECHO)
        with load_on(made, options, result) as (load, records):
            for _ in range(options.times):
                share = random.choice((0, 10, 50, 90, 100))
                made.traffic(**{name: each for name, each in (("blue", share), ("green", 100 - share)) if each})
                if share in (0, 100):
                    since = time.perf_counter() + TAKEN_OVER_SECONDS
                    eventually(lambda since=since: load.outcomes[load.good[-1]].sent > since, what="newer answers")
                    wrong = "blue" if share == 0 else "green"
                    strays += sum(one.sent > since and one.deployment == wrong for one in load.latest(100))
                result.round_is_over(load, records, options)
    result.expect(not load.failed(), f"failed requests: {tally(load.failed())}")
    result.expect(not strays, f"{strays} requests went where no traffic should go")
    return result


def instances(options: Options) -> Result:
    """`update --set instance_count=2` and back: no failed request; a fifth as often"""
    result, took = Result(), []
    with served(ECHO) as made, load_on(made, options, result) as (load, records):
        home = {**os.environ, "AMLOCAL_HOME": str(made.client.workspace.root)}
        for number in range(max(options.times // 5, 2)):
            wanted = 2 - number % 2
            start = time.perf_counter()
            words = ["online-deployment", "update", "-e", NAME, "-n", "blue", "--set", f"instance_count={wanted}"]
            done = subprocess.run(
                [sys.executable, "-m", "amlocal", *words], env=home, capture_output=True, text=True, check=False
            )
            took.append(time.perf_counter() - start)
            result.expect(done.returncode == 0, f"update {number}: {done.stderr.strip()}")
            eventually(lambda wanted=wanted: len(made.workers()) == wanted, what=f"{wanted} workers")
            result.round_is_over(load, records, options)
    result.expect(not load.failed(), f"failed requests: {tally(load.failed())}")
    result.figures = {"each took": took} | result.figures
    return result


def keys(options: Options) -> Result:
    """the primary key is replaced again and again while clients use the secondary: none of them fails"""
    result, stale, tries = Result(), [], itertools.count()
    with served(ECHO) as made, load_on(made, options, result, which_key="secondary") as (load, records):
        for number in range(options.times):
            old = made.key()
            made.client.online_endpoints.begin_regenerate_keys(NAME, key_type="primary")
            start = time.perf_counter()
            eventually(lambda old=old: ask(made, f"old-{next(tries)}", old)[0] == 401, 5, "the old key to be refused")
            stale.append(time.perf_counter() - start)
            result.expect(ask(made, f"new-{number}")[0] == 200, "the new key is refused")
            result.round_is_over(load, records, options)
    result.expect(not load.failed(), f"failed requests: {tally(load.failed())}")
    result.expect(max(stale) < 1, f"an old key was taken for {max(stale):.2f} s")
    result.figures = {"the old key was refused after": stale} | result.figures
    return result


SCENARIOS: dict[str, Callable[[Options], Result]] = {
    scenario.__name__.replace("_", "-"): scenario
    for scenario in (
        kill_worker,
        kill_gateway,
        kill_supervisor,
        kill_any,
        kill_all,
        kill_unrecorded,
        neighbour,
        hang,
        sys_exit,
        segfault,
        segfault_alone,
        broken_script,
        leak,
        gigabytes,
        torn_line,
        full_disk,
        rolling,
        traffic,
        instances,
        keys,
    )
}
