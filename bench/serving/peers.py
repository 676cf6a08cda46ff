"""The peers' environment, made once, and the model in the form they serve."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from serving import onnx_model

PINS = Path(__file__).with_name("peers.txt")


def cache() -> Path:
    """Where the peers' environment lies unless one says otherwise: in the user's cache."""
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "amlocal-bench"


def python(folder: Path) -> Path:
    """The peers' Python in `folder`, which is filled if it is not, or not with what peers.txt says now."""
    environment = folder / "peers"
    made = environment / "peers.txt"
    interpreter = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if made.is_file() and made.read_text() == PINS.read_text():
        return interpreter
    print(f"making the peers' environment in {environment} (once) ...", file=sys.stderr, flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    environment.parent.mkdir(parents=True, exist_ok=True)
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv:
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(environment)],
            [uv, "pip", "install", "--quiet", "--python", str(interpreter), "-r", str(PINS)],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", str(environment)],
            [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(PINS)],
        ]
    for command in commands:
        if subprocess.run(command).returncode:
            sys.exit(f"serving.py: the peers' environment could not be made: {' '.join(command)}")
    made.write_text(PINS.read_text())  # last, so that one half made is made again
    return interpreter


def write_onnx(model: Path, interpreter: Path, folder: Path) -> Path:
    """The ONNX form of the Keras model in `model`, a folder that digits.train saved."""
    import keras

    onnx_model.write_layers(keras.models.load_model(model / "data" / "model.keras"), folder / "layers.npz")
    made = folder / "model.onnx"
    subprocess.run([str(interpreter), onnx_model.__file__, str(folder / "layers.npz"), str(made)], check=True)
    return made
