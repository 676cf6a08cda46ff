"""Compile infra/ with Bicep's own compiler, where this machine has one: `python -m tests.infra.compile`.

The compiler only warns of wrong properties and values, and then exits with 0, so a warning counts as a fault here.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# path(line,column) : Warning BCP035: ...; az writes lines of its own, such as the news of a release.
DIAGNOSTIC = re.compile(r"\(\d+,\d+\) : (Warning|Error) ")


def main() -> int:
    """0 when the compiler accepts every file, or when there is no compiler; 1 otherwise."""
    compiler = find_compiler()
    if compiler is None:
        print("infra/ is not compiled: there is no `bicep` on PATH, and no `az` that has installed its own")
        return 0
    files = sorted([*ROOT.glob("infra/**/*.bicep"), *ROOT.glob("infra/**/*.bicepparam")])
    return 1 if [file for file in files if not compiles(compiler, file)] else 0


def find_compiler() -> list[str] | None:
    """The command of the compiler. `az bicep build` downloads one if it has none; `az bicep version` does not."""
    if bicep := shutil.which("bicep"):
        return [bicep]
    if az := shutil.which("az"):
        version = subprocess.run([az, "bicep", "version"], capture_output=True, check=False)
        return [az, "bicep"] if version.returncode == 0 else None
    return None


def compiles(compiler: list[str], file: Path) -> bool:
    """Whether the compiler accepts a file; prints what it says of one that it does not accept."""
    verb = "build-params" if file.suffix == ".bicepparam" else "build"
    argument = ["--file", str(file)] if compiler[1:] else [str(file)]
    done = subprocess.run([*compiler, verb, *argument, "--stdout"], capture_output=True, text=True, check=False)
    if done.returncode == 0 and not DIAGNOSTIC.search(done.stderr):
        return True
    print(f"{file.relative_to(ROOT)}: {' '.join(compiler)} {verb}, exit code {done.returncode}\n{done.stderr}", end="")
    return False


if __name__ == "__main__":
    sys.exit(main())
