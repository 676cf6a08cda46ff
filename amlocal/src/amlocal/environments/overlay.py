"""A prefix of a job's own over a shared Python: what the job installs lands there, and goes with it.

It is a virtual environment whose .pth file adds the packages of the Python beneath after its own. So pip sees what is
there and leaves it alone ("outside environment"), and a newer version lies in front of the older one. It is made in
milliseconds and costs nothing at the start of a Python.
"""

import functools
import os
import site
import sys
import venv
from pathlib import Path

from amlocal.environments.installer import interpreter, packages_of, scripts

# Both are shell and Python at once: no path is in them, so that none can be too long or hold a space.
SHEBANG = """#!/bin/sh
'''exec' "${0%/*}/python" "$0" "$@"
' '''
"""
PIP = SHEBANG + 'import runpy\nrunpy.run_module("pip", run_name="__main__", alter_sys=True)\n'
PROGRAM = (
    SHEBANG
    + """import os, runpy, sys
runpy.run_path(os.path.join(BENEATH, os.path.basename(sys.argv[0])), run_name="__main__")
"""
)


def make(folder: Path, base: Path | None) -> Path:
    """An overlay in `folder`, which must not be there, over a virtual environment; None: over this Python.

    Returns its interpreter.
    """
    venv.EnvBuilder(symlinks=os.name != "nt").create(folder)
    put_beneath(folder, base)
    _programs(scripts(folder), scripts(base) if base else Path(sys.executable).parent)
    return interpreter(folder)


def put_beneath(prefix: Path, base: Path | None) -> None:
    """Let a virtual environment find, after its own packages, those of another one; None: those of this Python."""
    places = [packages_of(base)] if base else _own_packages()
    lines = [f"import site; site.addsitedir({str(place)!r})" for place in places]
    if not any((place / "pip").is_dir() for place in places):
        lines += _bundled_pip()
    (packages_of(prefix) / "beneath.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _own_packages() -> list[Path]:
    """Where this interpreter has its packages, in its order."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [Path(place) for place in (*user, *site.getsitepackages()) if Path(place).is_dir()]


def _bundled_pip() -> list[str]:
    """The pip that Python brings for making environments: a wheel, which can be imported from as it is."""
    import ensurepip
    import sysconfig

    # Distributions (Debian, Fedora) keep it in a folder of theirs.
    places = [sysconfig.get_config_var("WHEEL_PKG_DIR"), Path(ensurepip.__file__).with_name("_bundled")]
    return [str(wheel) for place in filter(None, places) for wheel in sorted(Path(place).glob("pip-*.whl"))][:1]


def _programs(folder: Path, base: Path) -> None:
    """`pip`, and the programs of the Python beneath (mlflow, pytest, ...), run by the overlay's interpreter.

    On Windows pip alone, for bash; the other programs run beneath, and do not see what the job has installed.
    """
    for name in ("pip", "pip3", f"pip3.{sys.version_info.minor}"):
        _write(folder / name, PIP)
    if os.name == "nt":
        return
    _write(folder / ".program", PROGRAM.replace("BENEATH", repr(str(base))))
    there = {entry.name for entry in os.scandir(folder)}
    for name in _python_programs(base, base.stat().st_mtime_ns):
        if name not in there:
            (folder / name).symlink_to(".program")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
    path.chmod(0o755)


@functools.cache
def _python_programs(folder: Path, _changed: int) -> list[str]:
    """The programs in a folder that are Python scripts."""
    names = []
    for entry in os.scandir(folder):
        if entry.is_file():
            with Path(entry.path).open("rb") as file:
                head = file.read(300)
            if head.startswith(b"#!") and b"python" in head:
                names.append(entry.name)
    return names
