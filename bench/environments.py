"""Environments of their own for what a benchmark compares with: made once, in the cache, with pinned versions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def cache() -> Path:
    """Where they lie unless one says otherwise: in the user's cache."""
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "amlocal-bench"


def python(environment: Path, pins: Path) -> Path:
    """The Python in `environment`, which is made anew if it is not there, or not with what the file `pins` says now."""
    made = environment / pins.name
    interpreter = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if made.is_file() and made.read_text() == pins.read_text():
        return interpreter
    print(f"making the peers' environment in {environment} (once) ...", file=sys.stderr, flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    environment.parent.mkdir(parents=True, exist_ok=True)
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv:
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(environment)],
            [uv, "pip", "install", "--quiet", "--python", str(interpreter), "-r", str(pins)],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", str(environment)],
            [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(pins)],
        ]
    for command in commands:
        if subprocess.run(command).returncode:
            sys.exit(f"the peers' environment could not be made: {' '.join(command)}")
    made.write_text(pins.read_text())  # last, so that one half made is made again
    return interpreter
