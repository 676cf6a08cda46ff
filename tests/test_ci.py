"""What `.ci/run` installs on a bare machine: the programs that are missing there, and no others."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a bash script")


def programs(folder: Path, *names: str) -> None:
    """Stand-ins that write down what they are asked, in `calls`."""
    for name in names:
        (folder / name).write_text(f'#!/bin/bash\necho "{name} $*" >> "{folder}/calls"\n')
        (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (["curl", "git", "npm"], {"chromium"}),
        (["chromium", "curl", "git"], {"npm"}),
        (["chromium", "curl", "git", "npm"], set()),
    ],
)
def test_only_what_is_missing_is_installed(there: list[str], missing: set[str], tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to(shutil.which("dirname"))
    programs(tmp_path, "apt-get", "make", *there)
    script = ["/bin/bash", str(ROOT / ".ci" / "run")]
    subprocess.run(script, env={"PATH": str(tmp_path)}, check=True, capture_output=True, timeout=30)
    calls = (tmp_path / "calls").read_text().splitlines()
    [install] = [line.split() for line in calls if line.startswith("apt-get install")] or [[]]
    packages = {word for word in install[2:] if not word.startswith("-")}
    assert packages - {"fonts-dejavu-core"} == missing
    assert [line for line in calls if line.startswith("make")] == ["make install tools", "make lint", "make test"]
