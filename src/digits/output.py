"""A job's output folder: its files appear when all of them are written, or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A scratch folder to write into, whose contents move to `path` if the block ends without an exception.

    The scratch folder lies inside `path`, for on Azure that is a mount: it exists already and cannot be replaced,
    and only within it is a rename a rename. What is not written anew stays as it was.
    """
    path.mkdir(parents=True, exist_ok=True)
    for left in path.glob(".writing-*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=path))
    try:
        yield scratch
        for written in scratch.iterdir():
            target = path / written.name
            if target.is_dir():
                shutil.rmtree(target)
            written.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
