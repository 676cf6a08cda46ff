"""What `aml doctor` looks at: each check is a fact about this machine or workspace, found without heavy imports."""

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from amlocal.cli import about
from amlocal.core.errors import UserError
from amlocal.core.workspace import Workspace

GIB = 2**30
# A training run with its artifacts takes some hundred MB; an environment built for a job, TensorFlow in it, about 2 GB.
DISK_REQUIRED = 0.5 * GIB
DISK_WANTED = 3 * GIB


@dataclass(frozen=True)
class Check:
    """What was looked at and what was found; `missing` is what jobs cannot do without."""

    name: str
    status: Literal["ok", "warning", "missing"]
    detail: str
    remedy: str | None = None


def all_checks(workspace: Workspace, others: Sequence[Workspace] = ()) -> list[Check]:
    """What is checked of this machine and of a workspace; of the others in its folder, their stores."""
    checks = [python(), *packages(), shell(), disk(workspace), writable(workspace), store(workspace)]
    return [*checks, *(store(each) for each in others)]


def python() -> Check:
    from packaging.specifiers import SpecifierSet

    here = ".".join(str(part) for part in sys.version_info[:3])
    detail = f"{here} at {sys.executable}"
    wanted = _requires_python()
    if wanted and not SpecifierSet(wanted).contains(here, prereleases=True):
        return Check("python", "missing", detail, f"use a Python that is {wanted}")
    return Check("python", "ok", detail)


def _requires_python() -> str | None:
    try:
        return metadata.metadata(about.DISTRIBUTION)["Requires-Python"]
    except metadata.PackageNotFoundError:
        return None


def packages() -> list[Check]:
    """This distribution's own requirements against what is installed."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(text) for text in metadata.requires(about.DISTRIBUTION) or []]
    except metadata.PackageNotFoundError:
        return [
            Check(
                "packages",
                "warning",
                f"{about.DISTRIBUTION} is not installed, so its pins cannot be checked",
                "python -m pip install -e . in its folder",
            )
        ]
    wrong, count = [], 0
    for requirement in requirements:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        installed = about.version(requirement.name)
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            wrong.append((requirement, installed))
    if not wrong:
        return [Check("packages", "ok", f"all {count} as {about.DISTRIBUTION} {about.version()} wants them")]
    return [
        Check(
            requirement.name,
            "warning" if installed else "missing",
            f"{installed or 'not installed'}, wanted is {requirement.specifier or 'any version'}",
            f'python -m pip install "{requirement.name}{requirement.specifier}"',
        )
        for requirement, installed in wrong
    ]


def shell() -> Check:
    """A job's command is a bash script."""
    from amlocal.jobs.run.process import bash

    try:
        return Check("bash", "ok", bash())
    except UserError:
        remedy = (
            "install Git for Windows (https://git-scm.com/download/win), it brings one"
            if os.name == "nt"
            else "install it with the system's package manager"
        )
        return Check("bash", "missing", "not found; jobs' commands are bash scripts", remedy)


def disk(workspace: Workspace) -> Check:
    free = shutil.disk_usage(_nearest_existing(workspace.root)).free
    detail = f"{free / GIB:.1f} GiB free"
    if free < DISK_REQUIRED:
        return Check("disk", "missing", detail, f"free at least {DISK_REQUIRED / GIB:.1f} GiB, or set AMLOCAL_HOME")
    if free < DISK_WANTED:
        return Check("disk", "warning", detail, f"an environment built for a job may need {DISK_WANTED / GIB:.0f} GiB")
    return Check("disk", "ok", detail)


def writable(workspace: Workspace) -> Check:
    folder = _nearest_existing(workspace.root)
    made = "" if folder == workspace.root else f" (the first job creates {workspace.root})"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check("workspace", "ok", f"{folder} can be written to{made}")
    except OSError as error:
        return Check(
            "workspace",
            "missing",
            f"{folder} cannot be written to: {error.strerror}",
            "mend its permissions or set AMLOCAL_HOME to another folder",
        )


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def store(workspace: Workspace) -> Check:
    """MLflow's store, looked at without importing MLflow, which takes seconds."""
    uri, shown = workspace.tracking_uri, workspace.shown_uri
    if uri.startswith(("http://", "https://")):
        return _server(uri, shown)
    if uri != f"sqlite:///{workspace.database.as_posix()}":
        return Check("mlflow store", "ok", f"{shown} (not looked into)")
    if not workspace.database.exists():
        return Check("mlflow store", "ok", "not there yet, the first job creates it")
    try:
        with closing(sqlite3.connect(f"{workspace.database.as_uri()}?mode=ro", uri=True, timeout=2)) as database:
            (runs,) = database.execute("select count(*) from runs").fetchone()
    except sqlite3.Error as error:
        return Check(
            "mlflow store",
            "missing",
            f"{workspace.database}: {error}",
            "restore it or move it away: the next job creates a new one",
        )
    return Check("mlflow store", "ok", f"{workspace.database}, {runs} runs")


def _server(uri: str, shown: str) -> Check:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=2):  # noqa: S310 (http or https, checked by the caller)
            return Check("mlflow store", "ok", f"{shown} answers")
    except (URLError, OSError, ValueError) as error:
        remedy = "start it, or unset MLFLOW_TRACKING_URI to use the store in the workspace"
        return Check("mlflow store", "missing", f"{shown}: {error}", remedy)


def running(workspace: Workspace) -> list[dict[str, Any]]:
    """Jobs and endpoints whose processes live, each with the command that stops it."""
    from amlocal.core.processes import find
    from amlocal.endpoints.health import endpoint_health
    from amlocal.endpoints.store import EndpointStore
    from amlocal.jobs.record import JobStore

    jobs, endpoints = JobStore(workspace), EndpointStore(workspace, None)
    several = len(workspace.every()) > 1
    of, flag = (f" of workspace {workspace.name}", f" -w {workspace.name}") if several else ("", "")
    serving = []
    for endpoint in endpoints.all():
        gateway = find(endpoints.run(endpoint.name) / "gateway.json")
        if gateway:
            serving.append(
                {
                    "name": f"endpoint {endpoint.name}{of}",
                    "status": endpoint_health(endpoints, endpoint)["status"],
                    "pid": gateway.pid,
                    "started": None,
                    "stop": f"aml down{flag}",
                }
            )
    return serving + [
        {
            "name": f"{job.name}{of}",
            "status": job.status,
            "pid": jobs.runner(job),
            "started": job.started,
            "stop": f"aml job cancel -n {job.name}{flag}",
        }
        for job in jobs.all()
        if not job.final
    ]
