"""The command that fetches the full sets, or shows what is there.

python -m digits.data fetch                  # the full sets, to the cache and to ./data
python -m digits.data show mnist             # what `digits.data.sets.load` would return, and from where
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from digits import command, output
from digits.data import download, sets
from digits.data.hands import HANDS
from digits.errors import DataError
from digits.shape import SIZE


def main(argv: list[str] | None = None) -> int:
    """The command `python -m digits.data`; returns its exit code."""
    parser = argparse.ArgumentParser(prog="digits.data", description="Fetch or show the digits.")
    names = argparse.ArgumentParser(add_help=False)
    names.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(HANDS)} (default: all)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{fetch,show}")
    fetch = commands.add_parser("fetch", parents=[names], help="fetch the full sets (uses the network)")
    fetch.add_argument("--to", type=Path, default=Path("data"), help="folder to put them in (default: %(default)s)")
    fetch.set_defaults(work=lambda args, name: _fetch(name, args.to))
    show = commands.add_parser("show", parents=[names], help="say which digits `load` finds, and how many")
    show.add_argument("--path", type=Path, help="a folder, zip or file with digits")
    show.add_argument("--picture", type=Path, help="also draw twenty digits of each class, as a PNG")
    show.set_defaults(work=lambda args, name: _show(name, args.path, args.picture))

    def work(args: argparse.Namespace) -> None:
        for name in args.names:
            sets.check(name)
        if args.command == "show" and args.picture and len(args.names) != 1:
            raise DataError(f"{args.picture}: a picture shows one set; name it, such as `show mnist --picture`")
        for name in args.names or HANDS:
            args.work(args, name)

    return command.run(parser, work, argv)


def _fetch(name: str, to: Path) -> None:
    cached = download.fetch(name, sets.cache_dir())
    with output.folder(to / name) as folder:
        shutil.copyfile(cached, folder / cached.name)
    print(sets.load(name, to).source)


def _show(name: str, path: Path | None, picture: Path | None) -> None:
    digits = sets.load(name, path)
    print(digits.source)
    for label, count in enumerate(np.bincount(digits.labels, minlength=10)):
        print(f"  {label} {count:>7,}")
    if picture:
        sheet = np.zeros((10 * SIZE, 20 * SIZE), np.uint8)
        for label in range(10):
            row = digits.images[digits.labels == label][:20]
            sheet[label * SIZE : (label + 1) * SIZE, : len(row) * SIZE] = row.swapaxes(0, 1).reshape(SIZE, -1)
        Image.fromarray(sheet).resize((20 * SIZE * 2, 10 * SIZE * 2)).save(picture)
        print(f"  drawn in {picture}")


if __name__ == "__main__":
    sys.exit(main())
