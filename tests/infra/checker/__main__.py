"""Check Bicep files without the compiler: `python -m tests.infra.checker [FILE or FOLDER ...]` prints each fault."""

import argparse
import sys
from pathlib import Path

from .catalogue import Catalogue, ToolMissing
from .files import Project

ROOT = Path(__file__).resolve().parents[3]


def main(arguments: list[str] | None = None) -> int:
    """0 when the files are clean, 1 when they are not, 2 when the tools are missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.infra.checker", description=__doc__)
    parser.add_argument(
        "paths", nargs="*", type=Path, default=[ROOT / "infra"], help="files or folders; default: infra/"
    )
    parser.add_argument("--tools", type=Path, default=ROOT / ".tools", help="folder with azmcp and its cache")
    chosen = parser.parse_args(arguments)

    files = sorted(
        file
        for path in chosen.paths
        for file in ([path] if path.is_file() else [*path.rglob("*.bicep"), *path.rglob("*.bicepparam")])
    )
    if not files:
        print(f"{chosen.paths[0]}: no .bicep or .bicepparam file there", file=sys.stderr)
        return 2
    try:
        faults = Project(Catalogue.beside(chosen.tools)).check(files)
    except ToolMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    for fault in faults:
        print(fault)
    print(f"{len(files)} files, {len(faults)} faults", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
