"""Lets the programs that run in a job's or deployment's own prefix wait for a debugger.

Nothing is installed into the environment: a line in the prefix's .pth file has Python run `debug_hook.py` when it
starts, and that loads debugpy from where amlocal has it.
"""

import importlib.util
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amlocal.core.errors import UserError
from amlocal.core.files import read_json, write_json
from amlocal.environments.installer import packages_of

DEBUGPY, PDB = "debugpy", "pdb"
DEBUGGERS = (DEBUGPY, PDB)
PORT = 5678  # debugpy's own default; another where it is in use
HOOK = Path(__file__).with_name("debug_hook.py")
TOLD = "debugger.json"  # in the job's or deployment's folder: where a program waits, once one does


def sources(code: str | None, includes: Iterable[str] = ()) -> dict[str, str]:
    """Where the files of a code folder's copy come from: {path in the copy ("" is all of it): path of the user's}."""
    found = {Path(include).name: include for include in includes}
    if code:
        found[""] = code if Path(code).is_dir() else str(Path(code).parent)
    return found


@dataclass(frozen=True)
class Waiting:
    """A program that waits for a debugger."""

    host: str
    port: int
    program: str
    pid: int


def install(prefix: Path, folder: Path, debugger: str, origins: Mapping[str, str], log: Path) -> None:
    """Have the first program in `prefix` wait for a debugger.

    folder: the job's or deployment's, in which `code` is the copy of what `sources` tells; log: where it says so.
    """
    packages, told = packages_of(prefix), folder / TOLD
    told.unlink(missing_ok=True)
    config = {
        "debugger": debugger,
        "package": str(_debugpy()) if debugger == DEBUGPY else None,
        "port": PORT,
        "token": secrets.token_hex(16),
        "mappings": mappings(folder / "code", origins),
        "code": str(folder / "code"),
        "log": str(log),
        "told": str(told),
    }
    write_json(packages / "aml_debug.json", config)
    write_json(folder / f".{TOLD}", {"token": config["token"]})
    shutil.copy(HOOK, packages / "aml_debug_hook.py")
    # The name puts it behind beneath.pth.
    (packages / "zz_aml_debug.pth").write_text("import aml_debug_hook\n", encoding="utf-8")


def mappings(code: Path, origins: Mapping[str, str]) -> list[tuple[str, str]]:
    """(path of the user's, path in the copy) as debugpy takes them, the innermost first."""
    here = Path(os.path.realpath(code))
    inner_first = sorted(origins, key=lambda place: len(Path(place).parts), reverse=True)
    return [(origins[place], str(here / place) if place else str(here)) for place in inner_first]


def waiting(folder: Path) -> Waiting | None:
    """The program of a job's or deployment's folder that waits, or is being debugged."""
    told: Any = read_json(folder / TOLD) if (folder / TOLD).exists() else None
    return Waiting(**told) if told else None


def token(folder: Path) -> str:
    """What pdb's process wants to hear first."""
    return str(read_json(folder / f".{TOLD}")["token"])


def _debugpy() -> Path:
    found = importlib.util.find_spec("debugpy")
    if not found or not found.origin:
        raise UserError("debugpy is not installed beside amlocal: pip install debugpy, or use `--debugger pdb`")
    return Path(found.origin).parent
