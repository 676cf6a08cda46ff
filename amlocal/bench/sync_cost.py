"""What syncing costs: `job create` with a snapshot of many small files, with syncs and without, side by side.

    python bench/sync_cost.py                            # 10 pairs of 1,000 files
    python bench/sync_cost.py --pairs 3 --files 100 --folder /mnt/disk

A pair is one job with syncs and one without, in an order that is drawn, each with files of its own in a workspace of
its own on the same disk. Without syncs, os.fsync, os.fdatasync, syncfs(2) and macOS's F_FULLFSYNC return at once. No
job runs: the time ends when its record is written, and does not include starting Python. The first pair, in which
modules are imported, does not count. Before each job the disk takes all that waits for it, so that none pays for
another.

Prints one line a pair, then a line of JSON: the median seconds of each side, the median of the pairs' ratios with its
quartiles, and on which file system. Run it on a quiet machine: a ratio near 1 says little if its quartiles are far
apart.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

FILE_BYTES = 2_000


@contextmanager
def without_syncs() -> Iterator[None]:
    """The same code, but nothing waits for the disk."""
    from amlocal.core import durable

    with (
        mock.patch.object(os, "fsync", lambda number: None),
        mock.patch.object(os, "fdatasync", lambda number: None, create=True),
        mock.patch.object(durable, "_sync_file_system", lambda folder: True),
        mock.patch.object(durable, "_empty_the_drive", lambda path: None),
    ):
        yield


@contextmanager
def as_it_is() -> Iterator[None]:
    yield


def seconds(place: Path, files: int, draw: random.Random) -> float:
    """How long one `job create` takes with so many new files."""
    from amlocal.client import LocalMLClient
    from amlocal.specs import load

    code = place / "code"
    code.mkdir(parents=True)
    for number in range(files):
        folder = code / str(number // 100)
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.py").write_bytes(draw.randbytes(FILE_BYTES))
    spec = place / "job.yml"
    spec.write_text("command: ls\ncode: ./code\nenvironment: {image: a}\n")
    client = LocalMLClient(place / ".amlocal")
    client.workspace.create()
    os.sync()
    started = time.perf_counter()
    client.jobs.create_or_update(load("job", spec))
    return time.perf_counter() - started


def pair(folder: Path, files: int, draw: random.Random) -> tuple[float, float]:
    """Seconds (with syncs, without) of one job each; what they wrote is gone afterwards."""
    found: dict[bool, float] = {}
    for synced in draw.sample((True, False), 2):
        place = Path(tempfile.mkdtemp(dir=folder, prefix="sync-cost-"))
        try:
            with as_it_is() if synced else without_syncs():
                found[synced] = seconds(place, files, draw)
        finally:
            shutil.rmtree(place)
    return found[True], found[False]


def file_system(folder: Path) -> str:
    """The type of the file system that holds a folder."""
    mounts = [each for each in psutil.disk_partitions(all=True) if folder.is_relative_to(each.mountpoint)]
    return max(mounts, key=lambda each: len(each.mountpoint)).fstype if mounts else "unknown"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10, help="how many pairs count (at least 2)")
    parser.add_argument("--files", type=int, default=1_000, help="files in each snapshot")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to work; its disk is what is measured")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    if args.pairs < 2:
        parser.error("--pairs: a spread needs at least 2")
    draw, folder = random.Random(args.seed), args.folder.resolve()
    told: list[dict[str, Any]] = []
    with mock.patch("amlocal.jobs.submit._start", lambda *_: None):
        pair(folder, args.files, draw)
        for _ in range(args.pairs):
            synced, unsynced = pair(folder, args.files, draw)
            told.append({"synced": synced, "unsynced": unsynced, "ratio": synced / unsynced})
            print(f"with syncs {synced:.3f} s, without {unsynced:.3f} s: {synced / unsynced:.2f} times", flush=True)
    low, middle, high = statistics.quantiles((each["ratio"] for each in told), n=4)
    result = {
        "files": args.files,
        "pairs": args.pairs,
        "file_system": file_system(folder),
        "synced_seconds": round(statistics.median(each["synced"] for each in told), 4),
        "unsynced_seconds": round(statistics.median(each["unsynced"] for each in told), 4),
        "ratio": round(middle, 3),
        "ratio_quartiles": [round(low, 3), round(high, 3)],
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
