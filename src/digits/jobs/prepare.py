"""First job: digits in, training, validation and test sets out.

python -m digits.jobs.prepare --out data                    # 5,000 real MNIST digits, no download
python -m digits.jobs.prepare --out data --mnist FOLDER     # all of MNIST, as digits.data reads it
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from digits import command, output
from digits.data import splits
from digits.data.sets import Digits, embedded, load

VALIDATION = 1 / 6  # of the training digits; they are what the monitor compares with, and 10,000 of all MNIST


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.jobs.prepare", description="Split digits for the jobs that follow.")
    parser.add_argument(
        "--mnist", type=Path, help="MNIST as idx, npz, CSV or pictures; left out: 5,000 embedded digits"
    )
    parser.add_argument("--seed", type=int, default=0, help="chooses the validation digits (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    return command.run(parser, lambda args: prepare(args.out, args.mnist, args.seed), argv)


def prepare(out: Path, mnist: Path | None = None, seed: int = 0) -> None:
    """Write the three sets to `out` and log what they are. Raises DataError if `mnist` cannot be used."""
    if mnist is None:
        learn, test = embedded("mnist", "train"), embedded("mnist", "test")
    else:
        learn, test = (_named(load("mnist", mnist, split), mnist) for split in ("train", "test"))
    train, validation = splits.hold_back(learn, VALIDATION, seed)
    parts = dict(zip(splits.NAMES, (train, validation, test), strict=True))

    from digits.jobs import pictures, tracking

    with tracking.run("prepare"), output.folder(out) as folder:
        import mlflow

        splits.write(folder, parts, seed)
        pictures.save(pictures.samples(train), folder / "samples.png")
        mlflow.log_params({name: len(digits) for name, digits in parts.items()} | {"seed": seed})
        mlflow.set_tags({"source.train": learn.source, "source.test": test.source})
        mlflow.log_artifact(str(folder / "samples.png"))
        mlflow.log_artifact(str(folder / splits.ABOUT))
    for name, digits in parts.items():
        print(f"{name:<10} {len(digits):>6,} digits, of {digits.source}")


def _named(digits: Digits, folder: Path) -> Digits:
    """Without the folders above: in a job they are a mount, which nobody finds again."""
    return replace(digits, source=digits.source.replace(str(folder), folder.name))


if __name__ == "__main__":
    sys.exit(main())
