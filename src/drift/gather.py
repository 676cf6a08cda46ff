"""Labelled images of a new hand, from what an endpoint collected: what a network is to learn anew, and be tested on.

    python -m drift.gather --collected modelDataCollector --labels labels.jsonl --data data --out new
    python -m drift.gather ... --drift monitoring --limit 300     # of the change drift.monitor saw, the newest 300

The folder has the form that digits.jobs.prepare writes, so that the jobs that follow read both alike. A line of the
labels needs an id and a label: {"id": "winter-7", "label": 3}.
"""

import argparse
import hashlib
import json
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from digits import command, output
from digits.data import splits
from digits.data.sets import Digits
from digits.errors import DataError
from drift.records import collected

VERDICT = "verdict.json"  # of drift.monitor
FEWEST = 30  # labelled images: with fewer, hardly any difference between two models is more than chance
TEST, TEST_LEAST = 0.2, 20  # held out for the gate: this share, and so many of few
VALIDATION = 0.1


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drift.gather", description="Gather collected images that were labelled.")
    parser.add_argument("--collected", type=Path, required=True, metavar="DIR", help="folder the data is collected in")
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE", help="lines of JSON with id and label")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that digits.jobs.prepare wrote; its images stay out"
    )
    parser.add_argument(
        "--drift", type=Path, metavar="DIR", help="folder drift.monitor wrote: only the changes' images"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the newest N (default: 0, all)")
    parser.add_argument("--seed", type=int, default=0, help="chooses what is held out (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    return command.run(parser, lambda a: gather(a.collected, a.labels, a.data, a.out, a.drift, a.limit, a.seed), argv)


def gather(
    folder: Path, labels: Path, data: Path, out: Path, drift: Path | None = None, limit: int = 0, seed: int = 0
) -> None:
    """Write the images below `folder` that `labels` has labels for to `out`: to train, to validate, to test with.

    An image is taken once, and not at all if the prepared folder `data` has it, or if it was labelled in two ways.
    Raises DataError if too few remain.
    """
    if limit < 0:
        raise DataError(f"--limit: {limit} images are none; give how many, or 0 for all")
    found = collected.labelled(folder, labels)
    notes = list(found.problems)
    chosen = np.ones(len(found.labels), bool) if drift is None else _in_change(found, drift, notes)
    known = np.concatenate([splits.read(data, name).images for name in splits.NAMES])
    chosen[chosen] = _once(found.images[chosen], found.labels[chosen], known, notes)
    places = np.flatnonzero(chosen)[-limit:]  # -0 is 0: all
    if len(places) < FEWEST:
        raise DataError(
            f"{labels}: {len(places)} labelled images of the new hand are too few to tell whether a model reads it "
            f"better; label at least {FEWEST}, some hundred if you can{'; ' + '; '.join(notes) if notes else ''}"
        )
    new = Digits(found.images[places], found.labels[places], f"{len(places):,} labelled digits of {folder.name}")
    parts = split(new, seed)

    from digits.jobs import pictures, tracking

    with tracking.run("gather"), output.folder(out) as scratch:
        import mlflow

        splits.write(scratch, parts, seed)
        pictures.save(pictures.samples(new), scratch / "samples.png")
        mlflow.log_params({name: len(digits) for name, digits in parts.items()} | {"seed": seed, "limit": limit})
        mlflow.log_artifact(str(scratch / "samples.png"))
        mlflow.log_artifact(str(scratch / splits.ABOUT))
    counts = ", ".join(f"{len(digits):,} to {name}" for name, digits in parts.items())
    print(f"{new.source}: {counts}")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def split(new: Digits, seed: int) -> dict[str, Digits]:
    """`new` in three parts by name, every class in each of them in proportion, as far as it goes.

    Which part an image is in depends on the image: when more are labelled another day, most of what was held out stays
    so, and a champion that learnt this hand before is asked what it was not taught.
    """
    share = max(TEST, min(0.4, TEST_LEAST / len(new)))
    keys = [hashlib.sha256(f"{seed} ".encode() + image.tobytes()).digest() for image in new.images]
    parts: dict[str, list[int]] = {name: [] for name in splits.NAMES}
    done = 0
    for label in np.unique(new.labels):
        mine = sorted(np.flatnonzero(new.labels == label).tolist(), key=keys.__getitem__)
        # Counted over the classes so far, so that what is rounded off here is had there.
        test, validation = (int((done + len(mine)) * x + 1e-9) - int(done * x + 1e-9) for x in (share, VALIDATION))
        parts["test"] += mine[:test]
        parts["validation"] += mine[test : test + validation]
        parts["train"] += mine[test + validation :]
        done += len(mine)
    return {name: replace(new, images=new.images[places], labels=new.labels[places]) for name, places in parts.items()}


def _in_change(found: collected.Labelled, drift: Path, notes: list[str]) -> np.ndarray:
    """bool (n,): whether an image was sent during one of the changes that drift.monitor tells of."""
    file = drift / VERDICT
    if not file.is_file():
        raise DataError(f"{file}: no such file; --drift must be a folder that drift.monitor wrote")
    try:
        verdict = json.loads(file.read_text(encoding="utf-8"))
        run = str(verdict["run"])
        # A simulation's requests are known by their ticks; all others by when they were recorded.
        names = ("first", "last") if run else ("first_date", "last_date")
        changes = [tuple(_moment(change[name]) for name in names) for change in verdict["changes"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: cannot be read ({error!r}); run drift.monitor again") from error
    if not changes:
        raise DataError(f"{file}: tells of no change, so there is nothing to learn anew; without --drift all are taken")
    if run:
        when = np.array([_tick(id, int(tick), run) for id, tick in zip(found.ids, found.ticks, strict=True)], float)
    else:
        when = np.array([_recorded(time) for time in found.times])
    inside = np.zeros(len(when), bool)
    for first, last in changes:
        inside |= (first <= when) & (when <= last)
    if not inside.any():
        of = f"of run {run}, " if run else ""
        raise DataError(
            f"{file}: none of the {len(when)} labelled images is of its changes; label some of those, {of}"
            "or leave --drift out to take all"
        )
    if outside := int((~inside).sum()):
        notes.append(f"{outside} of {len(when)} labelled images are not of the changes in {file} and were left out")
    return inside


def _moment(when: int | str) -> float:
    """A tick as it is, a time (ISO 8601) in seconds since 1970."""
    return datetime.fromisoformat(when).timestamp() if isinstance(when, str) else float(when)


def _recorded(when: str) -> float:
    """The same of a record's time; -1 where it has none, or none that is a date."""
    try:
        return _moment(when)
    except (ValueError, OverflowError):
        return -1.0


def _tick(id: str, tick: int, run: str) -> int:
    """The tick of a request of `run`, which its id `<run>-<tick>` has even if its label's line has none; else -1."""
    name, _, number = id.rpartition("-")
    if name != run or not number.isdecimal():
        return -1
    return tick if tick >= 0 else int(number)


def _once(images: np.ndarray, labels: np.ndarray, known: np.ndarray, notes: list[str]) -> np.ndarray:
    """bool (n,): every image once, none that is `known` and none that was labelled in two ways.

    What is tested with must not be trained on, be it MNIST's digit sent to an endpoint or the same digit sent twice.
    """
    old = {image.tobytes() for image in known}
    seen: dict[bytes, set[int]] = {}
    for image, label in zip(images, labels, strict=True):
        seen.setdefault(image.tobytes(), set()).add(int(label))
    chosen = np.zeros(len(images), bool)
    taken: set[bytes] = set()
    for place in reversed(range(len(images))):  # the newest of those that are alike
        key = images[place].tobytes()
        chosen[place] = key not in old and key not in taken and len(seen[key]) == 1
        taken.add(key)
    for count, why in (
        (sum(key in old for key in seen), "in the prepared data already"),
        (sum(len(each) > 1 for key, each in seen.items() if key not in old), "labelled in two ways"),
    ):
        if count:
            notes.append(f"{count} images are {why} and were left out")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
