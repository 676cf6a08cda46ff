"""What some labelled images of a new hand are worth: accuracy on it before and after retraining, and on MNIST.

    python bench/retraining.py --data DIR       # DIR holds mnist/ and the foreign hands; 25 minutes on two cores
    python bench/retraining.py --data DIR --seeds 3 --json

Everything goes through the jobs themselves: prepare, gather, train, evaluate and register, with an MLflow store of its
own. Production sends the training digits of a hand, people label so many of them, and the last figure is of the hand's
test digits, which no job has seen. MNIST's is of its 10,000 test digits. Then the same with labels that are wrong: the
gate must refuse them.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from training import machine

from digits.data import sets
from digits.jobs import evaluate, prepare, register, train
from digits.network.lite import Lite
from drift import gather

NAMES = ("devanagari", "japanese")
COUNTS = (50, 100, 300, 1000)
THRESHOLD = 0.97

Row = dict[str, Any]


def main() -> int:
    """Measure, print, and say with the exit code whether it could be done and no wrong label got through."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with mnist, devanagari, japanese (default: $DIGITS_DATA)")
    parser.add_argument("--hands", nargs="+", choices=NAMES, default=NAMES, help="(default: both)")
    parser.add_argument("--labels", nargs="+", type=int, default=COUNTS, metavar="N", help="(default: 50 100 300 1000)")
    parser.add_argument("--schedule", default="fast", help="of digits.jobs.train (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="champions, and samples of labelled images (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    folder = options.data or os.environ.get("DIGITS_DATA")
    if not folder:
        parser.error("--data is needed: the embedded foreign hands are drawn, and would say nothing of real ones")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    work = Path(tempfile.mkdtemp(prefix="retraining-"))
    rows: list[Row] = []
    try:
        os.environ.pop("MLFLOW_RUN_ID", None)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{(work / 'mlflow.db').as_posix()}"
        os.chdir(work)  # where MLflow keeps the artifacts of such a store
        for seed in range(options.seeds):
            for row in measure(Path(folder).absolute(), work / str(seed), seed, options):
                rows.append(row)
                print(line(row), file=sys.stderr, flush=True)
    except sets.DataError as error:
        print(f"retraining.py: {error}", file=sys.stderr)
        return 1
    finally:
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)

    if options.json:
        print(json.dumps([{**row, "machine": machine()} for row in rows], indent=2))
    else:
        print("\n".join([HEAD, *map(line, rows)]))
        print(f"\nSchedule {options.schedule}, {options.seeds} seed(s); p: McNemar's paired mid-p test of the models.")
        print(f"Machine: {machine()}.")
    return int(any(row["registered"] for row in rows if row["poison"]))


def measure(folder: Path, work: Path, seed: int, options: argparse.Namespace) -> Iterator[Row]:
    """A champion, and every retraining of it."""
    with quiet():
        prepare.prepare(work / "data", folder, seed)
        train.train(work / "data", work / "champion", schedule=options.schedule, seed=seed)
        evaluate.evaluate(work / "data", work / "champion", work / "champion-evaluation")
    for name in options.hands:
        sent = sets.load(name, folder, "train")
        order = np.random.default_rng(seed).permutation(len(sent))
        sent = sets.Digits(sent.images[order], sent.labels[order], sent.source)
        ids = collect(work / name, sent)
        most = max(options.labels)
        wrong = {
            "shuffled": np.random.default_rng(seed).permutation(sent.labels),
            "moved by one": (sent.labels + 1) % 10,
        }
        tries = [(count, "", sent.labels) for count in options.labels if count <= len(sent)]
        tries += [(min(most, len(sent)), poison, labels) for poison, labels in wrong.items()]
        for count, poison, labels in tries:
            here = work / f"{name}-{count}-{poison.replace(' ', '-')}"
            here.mkdir()
            lines = (json.dumps({"id": id, "label": int(label)}) for id, label in zip(ids, labels, strict=True))
            (here / "labels.jsonl").write_text("\n".join(lines))
            yield retrain(work, name, count, poison, here, sets.load(name, folder, "test"), seed, options.schedule)


def retrain(
    work: Path, name: str, count: int, poison: str, here: Path, others: sets.Digits, seed: int, schedule: str
) -> Row:
    """One retraining, through all jobs; `others` are digits of the hand that nobody has sent."""
    model = f"{name}-{count}-{poison.replace(' ', '-')}{seed}"
    first = (work / "data", work / "champion", work / "champion-evaluation", here / "first")
    start = time.perf_counter()
    with quiet():
        register.register(*first, THRESHOLD, model)
        gather.gather(work / name, here / "labels.jsonl", work / "data", here / "new", limit=count, seed=seed)
        train.train(work / "data", here / "model", schedule=schedule, seed=seed, new=here / "new")
        evaluate.evaluate(work / "data", here / "model", here / "evaluation", here / "new")
        second = (work / "data", here / "model", here / "evaluation", here / "verdict")
        verdict = register.register(*second, THRESHOLD, model, new=here / "new")

    def accuracy(folder: Path) -> float:
        answers = Lite(folder / "model.tflite").probabilities(others.images).argmax(axis=1)
        return float((answers == others.labels).mean())

    return {
        "name": f"{name}/{count}" + (f"/{poison}" if poison else ""),
        "hand": name,
        "labelled": count,
        "poison": poison,
        "seed": seed,
        "others_before": accuracy(work / "champion"),
        "others_after": accuracy(here / "model"),
        "others": len(others),
        "seconds": time.perf_counter() - start,
        **verdict,
    }


def collect(folder: Path, sent: sets.Digits) -> list[str]:
    """Records of requests as the gateway writes them; the requests' ids."""
    file = folder / "digits" / "blue" / "request" / "2025" / "01" / "31" / "10" / "f3a1.jsonl"
    file.parent.mkdir(parents=True)
    ids = [f"winter-{tick}" for tick in range(len(sent))]
    with file.open("w") as lines:
        for id, image in zip(ids, sent.images, strict=True):
            body = {"input_data": [image.ravel().tolist()]}
            lines.write(json.dumps({"data": body, "correlationid": id, "xrequestid": id}) + "\n")
    return ids


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What the jobs print is not the table."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


HEAD = (
    "| hand | labelled | others right, before | after | held out: champion | candidate | p |"
    " MNIST: champion | candidate | p | verdict |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|"
)


def line(row: Row) -> str:
    """A row of the table, in Markdown."""
    cells = [
        row["hand"] + (f", labels {row['poison']}" if row["poison"] else ""),
        f"{row['labelled']:,}",
        f"{row['others_before']:.1%}",
        f"{row['others_after']:.1%}",
        f"{row['champion_accuracy_new']:.1%}",
        f"{row['accuracy_new']:.1%} of {row['digits_new']}",
        f"{row['mcnemar_p_new']:.2g}",
        f"{row['champion_accuracy']:.2%}",
        f"{row['accuracy']:.2%}",
        f"{row['mcnemar_p']:.2g}",
        "registered" if row["registered"] else f"refused: {row['reason'].split(':')[0].split(' (')[0]}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
