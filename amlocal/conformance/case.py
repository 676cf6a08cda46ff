"""Runs one case: a copy of what it needs, a workspace of its own, its commands, then the outcome against cases.yml."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from conformance.cases import Case, Step
from conformance.outcome import command_faults, job_faults, last_line

import amlocal

INSTALLING = threading.Lock()
FINAL = ("Completed", "Failed", "Canceled")


@dataclass(frozen=True)
class Result:
    """What came of a case. cause: why it did not pass; code: `fingerprint` of the amlocal that ran it."""

    case: str
    passed: bool
    seconds: float
    cause: str = ""
    code: str = ""


class TimeUp(Exception):
    """The case took longer than cases.yml allows."""


@dataclass
class Place:
    """Where a case runs: a copy of the checkout's parts, a workspace, what stands in for remote data.

    words: name -> value of what `{name}` stands for in cases.yml.
    """

    root: Path
    words: Mapping[str, str]
    deadline: float
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = surroundings(self.workspace)

    @property
    def checkout(self) -> Path:
        return self.root / "azureml-examples"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    def fill(self, text: str) -> str:
        for name, value in self.words.items():
            text = text.replace("{" + name + "}", value)
        return text

    def aml(self, *arguments: str) -> str:
        """What `aml` prints. Raises CalledProcessError."""
        code, printed = self.run([sys.executable, "-m", "amlocal", *arguments], self.root, errors=False)
        if code:
            raise RuntimeError(f"aml {' '.join(arguments)}: {last_line(printed)}")
        return printed

    def run(self, command: list[str], folder: Path, errors: bool = True) -> tuple[int, str]:
        """A command's exit code and what it printed. Raises TimeUp, and leaves nothing of it running then."""
        with subprocess.Popen(
            command,
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors else subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=max(self.deadline - time.monotonic(), 1))
            except subprocess.TimeoutExpired:
                stop(process)
                raise TimeUp(" ".join(command)[:80]) from None
        return process.returncode, out if process.returncode == 0 or errors else out + err


def surroundings(workspace: Path) -> dict[str, str]:
    """The environment of a user who has installed `aml`, sitting in that workspace."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "AZUREML_", "AML_", "AZURE_", "PYTEST_"))
    }
    path = [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    # --web opens a browser; here there is nobody to look at it.
    return environment | {"AMLOCAL_HOME": str(workspace), "PATH": os.pathsep.join(path), "BROWSER": "true"}


def stop(process: subprocess.Popen[str]) -> None:
    """End a process and its group."""
    if os.name == "nt":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
    process.communicate()


def run(case: Case, checkout: Path, words: Mapping[str, str], folder: Path, keep: bool) -> Result:
    """Run a case below `folder`, from which it is removed afterwards unless `keep`.

    What a case has to install is kept in `folder` for the others: environments of jobs, packages of notebooks.
    """
    started = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix=f"{case.name}-", dir=folder))
    place = Place(root, words, started + case.seconds)
    try:
        place.workspace.mkdir()
        share(place.workspace / "environments", folder / "environments")
        copy(case, checkout, place)
        if case.packages:
            make_importable(installed(case.packages, folder), place.checkout)
        faults = list(_faults(case, place))
    except TimeUp as late:
        faults = [f"not over after {case.seconds:.0f} s: {late}"]
    except Exception as error:  # whatever goes wrong in one case must not end the others
        faults = [f"{type(error).__name__}: {error}"]
    place.deadline = time.monotonic() + 60
    with suppress(Exception):
        place.run([sys.executable, "-m", "amlocal", "down"], root)
    if not keep:
        shutil.rmtree(root, ignore_errors=True)
    cause = "; ".join(faults[:3]).replace(f"{root}/", "")
    return Result(case.name, not faults, time.monotonic() - started, cause, fingerprint())


@cache
def fingerprint() -> str:
    """What tells the amlocal that is imported from every other one: a hash of its files."""
    root = Path(amlocal.__file__).parent
    content = hashlib.sha256()
    for file in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        content.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return content.hexdigest()[:12]


def share(here: Path, folder: Path) -> None:
    """Let `here` be `folder`; where the system does not let us, the workspace has a folder of its own."""
    folder.mkdir(exist_ok=True)
    with suppress(OSError):
        here.symlink_to(folder, target_is_directory=True)


def installed(packages: tuple[str, ...], folder: Path) -> Path:
    """A folder for sys.path with these packages and nothing that they need: that is here. Installed once."""
    target = folder / "packages" / "-".join(packages)
    with INSTALLING:
        if not target.exists():
            beside = Path(tempfile.mkdtemp(dir=folder))
            command = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(beside), *packages]
            done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"pip install {' '.join(packages)}: {last_line(done.stderr)}")
            target.parent.mkdir(exist_ok=True)
            beside.rename(target)
    return target


def make_importable(packages: Path, checkout: Path) -> None:
    """A first cell in every notebook. Not PYTHONPATH: jobs would inherit it, and have their own environments."""
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    for notebook in checkout.rglob("*.ipynb"):
        content = json.loads(notebook.read_text(encoding="utf-8"))
        source = f"import sys\nsys.path.append({str(packages)!r})"
        content["cells"].insert(0, cell | {"source": source})
        notebook.write_text(json.dumps(content), encoding="utf-8")


def _faults(case: Case, place: Place) -> Iterator[str]:
    """The first step that goes wrong ends the case, as `set -e` ends a script."""
    for step in case.steps:
        faults = list(_outcome(step, place, place.checkout / case.folder))
        if faults:
            yield from faults
            return


def copy(case: Case, checkout: Path, place: Place) -> None:
    """What the case needs of the checkout, at the same places, with its addresses replaced."""
    (place.checkout / case.folder).mkdir(parents=True, exist_ok=True)
    for pattern in case.needs:
        found = list(checkout.glob(pattern))
        if not found:
            raise FileNotFoundError(f"{pattern}: not in this checkout")
        for source in found:
            target = place.checkout / source.relative_to(checkout)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    for pattern, texts in case.replace.items():
        for old, new in texts.items():
            files = [file for file in place.checkout.glob(pattern) if old in file.read_text(encoding="utf-8")]
            if not files:
                raise ValueError(f"{pattern}: there is no {old} to replace")
            for file in files:
                file.write_text(file.read_text(encoding="utf-8").replace(old, place.fill(new)), encoding="utf-8")
    for notebook in place.checkout.rglob("*.ipynb"):
        # What they would install into the Python that runs this script is in `packages`.
        text = notebook.read_text(encoding="utf-8")
        notebook.write_text(re.sub(r'"[!%] *pip install', '"# pip install', text), encoding="utf-8")
    for name, text in case.write.items():
        (place.checkout / case.folder / name).write_text(place.fill(text) + "\n", encoding="utf-8")


def _outcome(step: Step, place: Place, folder: Path) -> Iterator[str]:
    if step.kind == "look":
        yield from job_faults(step.expect, ended(step.what, place))
        return
    code, printed = place.run(_command(step, place), folder)
    with (place.root / "printed.txt").open("a", encoding="utf-8") as file:  # for whoever asked to --keep it
        file.write(f"$ {step.what}\n{printed}\n")
    if step.kind == "notebook":
        printed += cell_outputs(folder / step.what)
    expect = dict(step.expect)
    if step.kind == "job" and expect.get("status", "Completed") != "Completed":
        expect.setdefault("exit", "not 0")
    faults = [
        f"{fault} ({last_line(printed)})" if "exit" in fault else fault
        for fault in command_faults(expect, code, printed)
    ]
    submitted = re.search(r"^RunId: (\S+)", printed, re.MULTILINE)
    if step.kind == "job" and submitted:
        faults = [*job_faults(expect, Job(submitted[1], place)), *faults]
    elif step.kind == "job" and code == 0:
        faults.append("no RunId was printed")
    yield from (f"{step.what}: {fault}" for fault in faults)


def _command(step: Step, place: Place) -> list[str]:
    aml = [sys.executable, "-m", "amlocal"]
    if step.kind == "job":
        overrides = [f"{name}={place.fill(str(value))}" for name, value in step.overrides.items()]
        return [*aml, "job", "create", "-f", step.what, *(["--set", *overrides] if overrides else []), "--stream"]
    if step.kind == "notebook":
        # The notebooks name the kernel of the machine they were written on.
        return [*aml, "exec", "--", "jupyter", "execute", "--inplace", "--kernel_name=python3", step.what]
    return [*aml, "exec", "--", "bash", "-c", place.fill(step.what)]


def cell_outputs(notebook: Path) -> str:
    """What an executed notebook's cells printed and showed."""
    pieces = [""]
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/plain") or ""
            pieces.append("".join(text))
    return "\n".join(pieces)


def ended(display_name: str, place: Place) -> "Job":
    """The last job whose display name the pattern matches, when it has ended. Raises TimeUp."""
    while True:
        jobs = json.loads(place.aml("job", "list", "-o", "json"))
        mine = [job for job in jobs if re.fullmatch(display_name, job["display_name"])]
        if not mine:
            raise LookupError(
                f"no job {display_name}; there are {', '.join(sorted({j['display_name'] for j in jobs}))}"
            )
        if mine[0]["status"] in FINAL:
            return Job(mine[0]["name"], place)
        if time.monotonic() > place.deadline:
            raise TimeUp(f"waiting for {display_name}")
        time.sleep(0.3)


@dataclass
class Job:
    """Evidence about a job from what the command line says and downloads, and from MLflow."""

    name: str
    place: Place

    def described(self) -> Mapping[str, Any]:
        return json.loads(self.place.aml("job", "show", "-n", self.name, "-o", "json"))

    def files(self) -> Path:
        folder = self.place.root / "downloads" / self.name
        if not folder.exists():
            folder.mkdir(parents=True)
            self.place.aml("job", "download", "-n", self.name, "--all", "-p", str(folder))
        return folder

    def log(self) -> str:
        logs = sorted(self.files().glob("artifacts/**/user_logs/std_log*.txt"))
        logs += sorted(self.files().glob("artifacts/logs/**/*.txt"))
        return "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)

    def run(self) -> Mapping[str, Mapping[str, Any]]:
        """Asked of MLflow in a process of its own: it keeps its store in global variables, and cases run in threads."""
        run_id = self.described()["properties"]["mlflow.run_id"]
        uri = self.place.aml("workspace", "show", "--query", "mlflow_tracking_uri", "-o", "tsv").strip()
        code, printed = self.place.run([sys.executable, "-c", ASK_MLFLOW, uri, run_id], self.place.root, errors=False)
        if code:
            raise RuntimeError(f"MLflow: {last_line(printed)}")
        return json.loads(printed)

    def children(self) -> Mapping[str, "Job"]:
        jobs = json.loads(self.place.aml("job", "list", "--parent-job-name", self.name, "-o", "json"))
        # A child is named <parent>_<step>; what is displayed is the component's display name.
        return {job["name"].removeprefix(f"{self.name}_"): Job(job["name"], self.place) for job in jobs}


ASK_MLFLOW = """
import json, sys
from mlflow import MlflowClient
data = MlflowClient(sys.argv[1]).get_run(sys.argv[2]).data
print(json.dumps({"params": data.params, "metrics": data.metrics, "tags": data.tags}))
"""
