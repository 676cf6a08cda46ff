"""Power cuts while commands register data, models and environments, submit jobs and create endpoints.

    sudo python bench/power_cuts.py                      # 200 cuts; Linux, as root: it mounts a file system of its own
    sudo python bench/power_cuts.py --cuts 20 --seed 2

The workspace lies on an ext4 image whose kernel writes nothing by itself (no flusher, commits every five minutes): what
is on the disk is what a command has asked for. At a random moment all that runs is stopped, the image is copied and
mounted elsewhere, as the machine would after the power went. Looked at there:

lost      what a command had answered for (it had returned) and is not there, or not whole
believed  what was under way at the cut, done again on the copy: the command returns, and its content is not whole

Prints one line a kind of command, then a line of JSON; the exit code is 1 if anything was lost or believed.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import psutil

KINDS = ("data", "model", "environment", "job", "endpoint")
IMAGE_MIB = 256
CUTS_AN_IMAGE = 20
QUIET_SECONDS = 0.05  # what was asked of the disk before everything was stopped has come to its end by then

# -- what runs on the file system: each answer is told when its command has returned


def content(number: int) -> dict[str, bytes]:
    """The files of one asset: others for each number, small and large."""
    draw = random.Random(number)
    return {f"{each}.bin": draw.randbytes(draw.choice((10, 5_000, 200_000))) for each in range(draw.randint(1, 12))}


def digest(files: dict[str, bytes]) -> str:
    return hashlib.sha256(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()


def found(folder: Path) -> str:
    return digest({path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.bin")})


def make(client: Any, kind: str, number: int, sources: Path) -> None:
    """One command, as `aml KIND create` runs it."""
    from amlocal.operations.common import entity
    from amlocal.specs import load

    source = sources / f"{kind}{number}"
    source.mkdir(exist_ok=True)
    for name, data in content(number).items():
        (source / name).write_bytes(data)
    name = f"{kind}{number}"
    if kind == "data":
        spec = {"name": name, "version": "1", "type": "uri_folder", "path": str(source)}
        client.data.create_or_update(entity("data", spec))
    elif kind == "model":
        spec = {"name": name, "version": "1", "type": "custom_model", "path": str(source)}
        client.models.create_or_update(entity("model", spec))
    elif kind == "environment":
        client.environments.create_or_update(entity("environment", {"name": name, "version": "1", "image": "a"}))
    elif kind == "job":
        file = sources / f"{name}.yml"
        file.write_text(f"name: {name}\ncode: {source}\ncommand: ls\nenvironment: {{image: a}}\n")
        client.jobs.create_or_update(load("job", file))
    else:
        client.online_endpoints.begin_create_or_update(entity("online-endpoint", {"name": name, "auth_mode": "key"}))
        (source / "score.py").write_text("def init(): pass\ndef run(data): return 1\n")
        deployment = {
            "name": "blue",
            "endpoint_name": name,
            "model": {"path": str(source)},
            "code_configuration": {"code": str(source), "scoring_script": "score.py"},
            "environment": {"image": "a"},
            "instance_type": "Standard_DS1_v2",
        }
        client.online_deployments.begin_create_or_update(entity("online-deployment", deployment))


def work(root: Path, sources: Path, first: int, seed: int, kinds: list[str]) -> None:
    """Create one thing after the other, for ever; standard output tells what begins and what has returned."""
    from amlocal.client import LocalMLClient

    client, draw = LocalMLClient(root), random.Random(seed)
    number = first
    while True:
        kind = draw.choices(kinds, [1 if each == "endpoint" else 10 for each in kinds])[0]  # it takes seconds
        print("begin", kind, number, flush=True)
        make(client, kind, number, sources)
        print("done", kind, number, flush=True)
        if kind == "endpoint":
            client.online_endpoints.begin_delete(f"endpoint{number}")
            print("gone", kind, number, flush=True)
        number += 1


# -- what is there after a cut


def fault(client: Any, kind: str, number: int) -> str | None:
    """What of a thing that a command answered for is missing."""
    name, wanted = f"{kind}{number}", digest(content(number))
    try:
        if kind == "data":
            place = moved(client.data.describe(name, version="1")["path"], client)
            return None if found(Path(place)) == wanted else "content"
        if kind == "model":
            from amlocal.assets import models

            address = models.get(client.workspace, name, "1").item.source
            return None if found(Path(moved(url2pathname(urlsplit(address).path), client))) == wanted else "content"
        if kind == "environment":
            client.environments.describe(name, version="1")
            return None
        if kind == "job":
            store = client.jobs.store
            record = store.read(name)
            plan = json.loads((store.folder(record.name) / "plan.json").read_text())
            return None if found(Path(moved(plan["steps"][""]["code"], client))) == wanted else "code"
        endpoint = client.online_endpoints.store.get(name)
        if len(client.online_endpoints.store.keys(name)) != 2:
            return "keys"
        plan = endpoint.deployments["blue"].plans[-1]
        folder = Path(moved(plan.folder, client))
        bad = [part for part in ("code", f"model/{name}") if found(folder / part) != wanted]
        return ", ".join(bad) or None
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def moved(path: str, client: Any) -> str:
    """A path in the workspace that was cut, in its copy."""
    return str(client.workspace.root) + path.partition(".amlocal")[2]


# -- the file system


@contextmanager
def mounted(image: Path, place: Path, options: str) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", f"loop,{options}", str(image), str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # MLflow may keep a database open


@contextmanager
def nothing_written_by_itself() -> Iterator[None]:
    """The kernel keeps what nobody asks it to write."""
    knobs = {Path("/proc/sys/vm/dirty_writeback_centisecs"): "0", Path("/proc/sys/vm/dirty_expire_centisecs"): "360000"}
    before = {knob: knob.read_text() for knob in knobs}
    try:
        for knob, value in knobs.items():
            knob.write_text(value)
        yield
    finally:
        for knob, value in before.items():
            knob.write_text(value)


def ours(root: Path) -> list[psutil.Process]:
    """All that runs for the workspace."""
    running = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(root) in process.cmdline() or process.environ().get("AMLOCAL_HOME") == str(root):
                running.append(process)
    return [process for process in running if process.pid != os.getpid()]


class Cuts:
    """The figures, by kind of command."""

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self.interrupted: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.believed: Counter[str] = Counter()
        self.told: list[str] = []

    def look(self, root: Path, sources: Path, lines: list[str]) -> None:
        from amlocal.client import LocalMLClient
        from amlocal.core import mlflow_store

        os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow has put the address of the last copy there
        client = LocalMLClient(root)
        try:
            self._look(client, sources, lines)
        finally:  # a database that stays open keeps the copy on the disk
            mlflow_store.close(mlflow_store.client(client.workspace))

    def _look(self, client: Any, sources: Path, lines: list[str]) -> None:
        state: dict[tuple[str, int], str] = {}
        for line in lines:
            word, kind, number = line.split()
            state[kind, int(number)] = word
        for (kind, number), word in state.items():
            if word == "done":
                self.answered[kind] += 1
                if why := fault(client, kind, number):
                    self.lost[kind] += 1
                    self.told.append(f"lost: {kind}{number}: {why}")
            elif word == "begin":
                self.interrupted[kind] += 1
                if kind == "endpoint":  # it would take a gateway and a worker: what is there must be readable
                    broken: list[str] = []
                    list(client.online_endpoints.store.all(lambda name, why, told=broken: told.append(why)))
                    self.believed[kind] += bool(broken)
                    self.told += [f"broken: {why}" for why in broken]
                    continue
                if kind == "job" and not (client.jobs.store.folder(f"job{number}") / "plan.json").exists():
                    continue  # it was not submitted
                why = fault(client, kind, number)
                if why and kind != "job":
                    make(client, kind, number, sources)
                    why = fault(client, kind, number)
                if why:
                    self.believed[kind] += 1
                    self.told.append(f"believed: {kind}{number}: {why}")


def cut_one_image(folder: Path, cuts: Cuts, count: int, first: int, kinds: list[str], draw: random.Random) -> None:
    # A file of its own: the loop device of the last image may still write to that.
    image = folder / f"disk{first}.img"
    with image.open("wb") as file:
        file.truncate(IMAGE_MIB * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    sources = folder / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir()
    root = folder / f"disk{first}" / ".amlocal"
    with mounted(image, folder / f"disk{first}", "commit=300"):
        words = [sys.executable, __file__, "--work", str(root), str(sources), str(first), str(draw.randrange(10**6))]
        log = folder / "log"
        with log.open("wb") as out, (folder / "errors").open("ab") as errors:
            worker = subprocess.Popen(
                [*words, *kinds], stdout=out, stderr=errors, env=os.environ | {"AMLOCAL_HOME": str(root)}
            )
        try:
            while b"done" not in log.read_bytes():
                assert worker.poll() is None, f"the worker ended; see {folder / 'errors'}"
                time.sleep(0.05)
            for each in range(count):
                # each another file: a loop device that is still in use would show what it remembers of the last
                copy = folder / f"cut{each}.img"
                time.sleep(draw.uniform(0.02, 1.0))
                assert worker.poll() is None, f"the worker ended; see {folder / 'errors'}"
                stopped = ours(root)
                for how in (signal.SIGSTOP, signal.SIGCONT):
                    for process in stopped:
                        with suppress(psutil.Error):
                            process.send_signal(how)
                    if how == signal.SIGSTOP:
                        time.sleep(QUIET_SECONDS)
                        lines = log.read_text().splitlines()
                        subprocess.run(["cp", "--sparse=never", "--reflink=never", str(image), str(copy)], check=True)
                with mounted(copy, folder / f"cut{first + each}", "commit=300"):
                    cuts.look(folder / f"cut{first + each}" / ".amlocal", sources, lines)
                copy.unlink()
        finally:
            worker.kill()
            worker.wait()
            for process in ours(root):
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.2)


def main() -> int:
    if sys.argv[1:2] == ["--work"]:
        root, sources, first, seed, *kinds = sys.argv[2:]
        work(Path(root), Path(sources), int(first), int(seed), kinds)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    given = parser.parse_args()
    if sys.platform != "linux" or os.getuid() != 0:
        parser.error("it mounts a file system: Linux, and as root")
    cuts, draw = Cuts(), random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="cuts-") as folder, nothing_written_by_itself():
        for start in range(0, given.cuts, CUTS_AN_IMAGE):
            count = min(CUTS_AN_IMAGE, given.cuts - start)
            cut_one_image(Path(folder), cuts, count, start * 10_000, given.only, draw)
            print(f"{start + count} of {given.cuts} cuts", file=sys.stderr, flush=True)
    print("\n".join(sorted(set(cuts.told))), file=sys.stderr)
    for kind in given.only:
        print(
            f"{kind:12} answered for {cuts.answered[kind]:5}, lost {cuts.lost[kind]:3};"
            f" interrupted {cuts.interrupted[kind]:4}, believed {cuts.believed[kind]:3}"
        )
    total = {name: sum(getattr(cuts, name).values()) for name in ("answered", "lost", "interrupted", "believed")}
    print(json.dumps({"cuts": given.cuts, "seed": given.seed, **total}))
    return 1 if cuts.lost or cuts.believed else 0


if __name__ == "__main__":
    sys.exit(main())
