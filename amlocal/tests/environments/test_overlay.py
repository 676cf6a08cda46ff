"""A job may install what it likes: it sees that, nobody else does, and it is gone when the job has ended."""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from amlocal import environments
from amlocal.core.workspace import Workspace
from amlocal.environments import installer, overlay


def wheel(folder: Path, name: str, version: str, text: str = "") -> Path:
    """A wheel of one module, with a program of the same name that prints where the module is."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text or f"VERSION = {version!r}\ndef main(): print(__file__)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files.items():
            archive.writestr(member, content)
    return path


class Job:
    def __init__(self, folder: Path) -> None:
        workspace = Workspace(folder / "my work" / ".amlocal")
        workspace.create()
        self.folder = workspace.jobs / "job"
        self.folder.mkdir(parents=True)
        self.runtime = environments.prepare(None, workspace, self.folder / "log", self.folder, "")

    def run(self, *command: str | Path) -> str:
        """What a command prints that runs as the job's does."""
        environment = {**os.environ, **self.runtime.variables}
        program = shutil.which(str(command[0]), path=environment["PATH"])
        assert program
        words = [program, *command[1:]]
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Job(tmp_path)


def test_a_pip_that_installs_for_the_user_installs_for_the_job(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PIP_USER", "1")
    job = Job(tmp_path)
    job.run("pip", "install", "--quiet", "--no-index", wheel(tmp_path, "trinket", "1.0"))
    assert job.run("trinket").startswith(str(job.folder))


@pytest.mark.parametrize("pip", [["pip"], ["pip3"], ["python", "-m", "pip"]], ids=" ".join)
def test_what_a_job_installs_is_its_own(job, tmp_path, pip):
    job.run(*pip, "install", "--quiet", "--no-index", wheel(tmp_path, "trinket", "1.0"))
    assert job.run("python", "-c", "import trinket; print(trinket.__file__)").startswith(str(job.folder))
    assert job.run("trinket").startswith(str(job.folder))
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("trinket")
    environments.release(job.runtime)
    assert not (job.folder / environments.OVERLAY).exists()


def test_another_version_of_what_is_there_lies_in_front_of_it(job, tmp_path):
    before = metadata.version("tqdm")
    job.run("pip", "install", "--quiet", "--no-index", wheel(tmp_path, "tqdm", "999.0"))
    code = "import tqdm; from importlib.metadata import version; print(tqdm.VERSION, version('tqdm'))"
    assert job.run("python", "-c", code) == "999.0 999.0"
    code = "from importlib.metadata import version; print(version('tqdm'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == before


def test_pip_cannot_take_away_what_lies_beneath(job):
    job.run("pip", "uninstall", "--yes", "tqdm")
    assert job.run("python", "-c", "import tqdm") == ""


def test_a_job_has_all_that_lies_beneath(job):
    assert job.run("python", "-c", "import numpy, sys; print(sys.prefix)") == str(job.folder / environments.OVERLAY)
    assert "Requirement already satisfied: tqdm" in job.run("pip", "install", "--no-index", "tqdm")


@pytest.mark.skipif(os.name == "nt", reason="there the programs that lie beneath, but pip, do not see the overlay")
def test_programs_that_lie_beneath_see_what_the_job_has_installed(job, tmp_path):
    plugin = "def pytest_configure(config): config.addinivalue_line('markers', 'trinket: is here')\n"
    job.run("pip", "install", "--quiet", "--no-index", wheel(tmp_path, "trinket", "1.0", plugin))
    assert "trinket: is here" in job.run("pytest", "-p", "trinket", "-c", os.devnull, "--markers")


def test_a_python_without_pip_has_one_in_a_job(tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    python = overlay.make(tmp_path / "job", bare)
    told = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True, check=True).stdout
    assert told.startswith("pip ")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", wheel(tmp_path, "trinket", "1.0")], check=True)
    assert not (installer.packages_of(bare) / "trinket.py").exists()


def test_it_costs_milliseconds(tmp_path):
    """A step of a pipeline may be tiny: 200 of them must not take a minute for this."""
    times = []
    for number in range(10):
        start = time.process_time()
        overlay.make(tmp_path / str(number), None)
        times.append(time.process_time() - start)
    assert min(times) < 0.05, "seconds of CPU; a loaded machine makes it wait for more"
