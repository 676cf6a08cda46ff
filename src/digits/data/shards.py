"""Digits in files that score in batches: each some thousand images, so that a folder of them is shared out evenly.

python -m digits.data.shards --out data/batch                          # 5,000 real MNIST digits, no download
python -m digits.data.shards --out data/batch --digits FOLDER          # yours, in any form that digits.data reads
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from digits import command, output
from digits.data.sets import embedded, load
from digits.errors import DataError

SIZE = 1000  # images of a file: 784 kB to read at once, and a tenth of a second's work


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.data.shards", description="Write digits as files for batch scoring.")
    parser.add_argument("--digits", type=Path, help="idx, npz, CSV or pictures; left out: 5,000 embedded digits")
    parser.add_argument("--size", type=int, default=SIZE, help="images in a file (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    return command.run(parser, lambda args: shards(args.out, args.digits, args.size), argv)


def shards(out: Path, digits: Path | None = None, size: int = SIZE) -> None:
    """Write `digits` to `out` as part-00000.npz and so on, each with `images` uint8 (size, 28, 28) and no labels.

    Raises DataError if the digits cannot be used.
    """
    if size < 1:
        raise DataError(f"--size: {size} images make no file; give at least 1")
    found = load("mnist", digits) if digits else embedded("mnist")
    count = -(-len(found) // size)
    with output.folder(out) as folder:
        for number in range(count):
            part = found.images[number * size : (number + 1) * size]
            np.savez_compressed(folder / f"part-{number:05}.npz", images=part)
    print(f"{len(found):,} images in {count:,} files in {out}")


if __name__ == "__main__":
    sys.exit(main())
