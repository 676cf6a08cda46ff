"""Where the stand-ins for `az` and the SDK lie, and search paths with and without them."""

import os
from pathlib import Path

STAND_IN = Path(__file__).with_name("standin")  # holds `az`, `python`, `python3` and, for Windows, `az.cmd`
PYTHON = STAND_IN / "modules"  # holds `sitecustomize.py`


def without(folder: Path, path: str) -> list[str]:
    """The folders of a search path, except this one."""
    return [each for each in path.split(os.pathsep) if each and Path(each) != folder]
