"""MLTable assets: a folder with a file `MLTable` that says which files are the table, and how they are read."""

from pathlib import Path
from typing import Any

import yaml

from amlocal.core.errors import UserError

FILE = "MLTable"
PLACES = ("file", "folder", "pattern")


def check(folder: Path) -> Path:
    """The folder itself. Raises UserError when its file MLTable is missing, is no YAML, or names what is not there."""
    if not folder.is_dir():
        raise UserError(f"{folder}: an mltable is a folder with a file called {FILE}; this is a file")
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder}: an mltable needs a file called {FILE} in its folder")
    for place, value in places(path):
        if "://" in value or value.startswith("azureml:"):
            continue  # read from there by the mltable package
        target = folder / value
        there = any(folder.glob(value.removeprefix("./"))) if place == "pattern" else target.exists()
        if not there:
            raise UserError(f"{path}: paths: {place}: {value}: no such file or folder beside it")
    return folder


def places(path: Path) -> list[tuple[str, str]]:
    """The `paths:` of an MLTable file, each with its kind: file, folder or pattern. Raises UserError."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(f"{path}{f':{mark.line + 1}' if mark else ''}: not valid YAML") from error
    entries = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: paths: required, a list of `- file: ...`, `- folder: ...` or `- pattern: ...`")
    found = []
    for entry in entries:
        kinds = [kind for kind in PLACES if isinstance(entry, dict) and kind in entry]
        if len(kinds) != 1:
            raise UserError(f"{path}: paths: {entry}: each is one of {', '.join(PLACES)}")
        found.append((kinds[0], str(entry[kinds[0]])))
    return found
