"""MLTable assets: a folder with a file `MLTable`, checked before it is registered or a job is given it."""

from pathlib import Path

from amlocal.assets import mltable_reader
from amlocal.assets.mltable_reader import FILE, MLTable, MLTableError, parse
from amlocal.assets.uris import DatastorePath
from amlocal.core.documents import read_yaml
from amlocal.core.errors import UserError


def load(folder: Path) -> MLTable:
    """What the file MLTable of a folder says, with the files it names on this machine. Raises UserError."""
    try:
        if (folder / FILE).is_file():
            read_yaml(folder / FILE)
        return mltable_reader.load(folder)
    except MLTableError as error:
        raise UserError(str(error)) from error


def check(folder: Path) -> Path:
    """The folder itself. Raises UserError when its file MLTable is missing, is no YAML, or names what is not there."""
    if not folder.is_dir():
        raise UserError(f"{folder}: an mltable is a folder with a file called {FILE}; this is a file")
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder}: an mltable needs a file called {FILE} in its folder")
    read_yaml(path)
    try:
        places, _ = parse(path)
    except MLTableError as error:
        raise UserError(str(error)) from error
    for kind, value in places:
        try:
            DatastorePath.parse(value)
        except UserError as error:
            raise UserError(f"{path}: paths: {kind}: {error}") from error
        if "://" in value or value.startswith("azureml:"):
            continue  # read from there by the mltable package
        target = folder / value
        there = any(folder.glob(value.removeprefix("./"))) if kind == "pattern" else target.exists()
        if not there:
            raise UserError(f"{path}: paths: {kind}: {value}: no such file or folder beside it")
    return folder
