"""An environment spec -> a Python to run in: this one if it satisfies the spec, else a virtual environment, kept.

wanted.py, dockerfile.py   what the spec asks for, in pip's words; conda_names.txt has conda's names in PyPI's
curated.py, curated.yml    what Azure's own environments have in them
satisfied.py               whether this Python has it
build.py, installer.py     else: a virtual environment with it, made by uv or pip, shared by all who want the same
overlay.py                 the job's own prefix over either, in which it may install what it likes
server.py                  MLflow over HTTP for a job whose MLflow may not open our database
"""

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from amlocal.assets import uris
from amlocal.assets.store import Assets
from amlocal.core import registries
from amlocal.core.errors import NotFound, UserError
from amlocal.core.names import CURATED_REGISTRY
from amlocal.core.workspace import OVERLAY, Workspace
from amlocal.environments import curated, overlay, server
from amlocal.environments.build import built
from amlocal.environments.dockerfile import of_build_context
from amlocal.environments.installer import Unreachable, packages_of, scripts
from amlocal.environments.satisfied import unsatisfied
from amlocal.environments.wanted import Package, Wanted, of_conda_file

MLFLOW = ("mlflow", "mlflow-skinny", "mlflow-tracing")
DATABASE = ("sqlalchemy", "alembic")  # without which MLflow does not know what a database is
INSTALLS = re.compile(r"\b(?:pip[\d.]*|conda|mamba)\s+(?:env\s+)?(?:install|update|create)\b[^;&|\n]*")
MAY_BRING_MLFLOW = re.compile(r"mlflow|\s-r\b|\s--requirement|\s-f\b|\s--file|\s\.{1,2}(?:[/\s\[]|$)")


@dataclass(frozen=True)
class Runtime:
    """What a job runs in: a Python, and variables that go over the job's own (PATH, VIRTUAL_ENV, ...)."""

    python: Path
    variables: dict[str, str] = field(default_factory=dict)


def prepare(
    environment: dict[str, Any] | None,
    workspace: Workspace,
    log: Path,
    folder: Path,
    command: str,
    stopped: Callable[[], bool] = lambda: False,
) -> Runtime:
    """The Python for one job, which may install into it: nobody else sees that, and `release` undoes it.

    environment: as specs.settings.environment_of makes it. folder: the job's own. command: what the job will run.
    stopped: asked now and then while an environment is built. What is done otherwise than on Azure is said in the log.
    Raises UserError when the environment is not known or cannot be built.
    """
    base = _base(environment, workspace, log, stopped)
    own = folder / OVERLAY
    path = [scripts(own), scripts(base) if base else Path(sys.executable).parent, os.environ.get("PATH", "")]
    # A pip told to install for the user, as some sites do for everybody, would refuse to work in here.
    variables = {"PATH": os.pathsep.join(map(str, path)), "VIRTUAL_ENV": str(own), "PIP_USER": "0"}
    if workspace.tracking_uri.startswith("sqlite:") and _needs_server(base, command):
        variables["MLFLOW_TRACKING_URI"] = server.ensure(workspace)
        spared = (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1")
        variables["NO_PROXY"] = variables["no_proxy"] = ",".join(filter(None, spared))
    return Runtime(_overlay(own, base), variables)


def release(runtime: Runtime) -> None:
    """When the job has ended, however: what was made for it goes."""
    own = runtime.variables.get("VIRTUAL_ENV")
    if own:
        shutil.rmtree(own, ignore_errors=True)


def python_for(
    environment: dict[str, Any] | None, workspace: Workspace, log: Path, folder: Path, needs: Iterable[str] = ()
) -> Path:
    """The Python for something that stays, such as a deployment's worker, in `folder`, which is not removed.

    needs: packages without which it cannot run; where an environment is built that does not ask for them, they are
    added. Raises UserError.
    """
    base = _base(environment, workspace, log, lambda: False, needs)
    return _overlay(folder / OVERLAY, base)


def problem(environment: dict[str, Any] | None, workspace: Workspace) -> UserError | None:
    """What is wrong with an environment as far as can be told without building it; None if nothing is.

    Absent, if the workspace only lacks it.
    """
    try:
        _wanted(environment, workspace)
    except UserError as error:
        return error.reworded(_bare(error))
    return None


def _base(
    environment: dict[str, Any] | None,
    workspace: Workspace,
    log: Path,
    stopped: Callable[[], bool],
    needs: Iterable[str] = (),
) -> Path | None:
    """The virtual environment that has what is asked for; None when this Python does."""
    wanted = _wanted(environment, workspace)
    if wanted.other_python:
        version = wanted.python.strip("=").removesuffix(".*") if wanted.python else ""
        wanted.notice(f"it asks for Python {version}; {_ours()} is what there is")
    missing = list(unsatisfied(wanted.packages))
    base = None
    if missing:
        asked = {package.name for package in wanted.packages}
        wanted.packages += [Package(Requirement(name)) for name in needs if canonicalize_name(name) not in asked]
        wanted.hold_numpy()
        _say(log, wanted.notices)
        try:
            base, notices = built(wanted, missing, workspace, log, stopped)
        except Unreachable as error:
            if not wanted.curated:
                raise
            # Whoever has no network has run such jobs in this Python all along; most of them do not mind.
            base, notices = None, [f"{wanted.curated} is not built, and {_ours()} stands for it: {_bare(error)}"]
        _say(log, notices)
    else:
        _say(log, wanted.notices)
    return base


def _bare(error: UserError) -> str:
    return str(error).removeprefix("environment: ")


def _overlay(folder: Path, base: Path | None) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return overlay.make(folder, base)


def _say(log: Path, notices: Iterable[str]) -> None:
    with log.open("a", encoding="utf-8") as output:
        output.writelines(f"Environment: {notice}\n" for notice in notices)


def _wanted(environment: dict[str, Any] | None, workspace: Workspace) -> Wanted:
    """What an environment asks for. Raises UserError for a name that nobody has given, and for what is malformed."""
    spec = environment or {}
    reference = spec.get("reference")
    if reference:
        reference = str(reference).removeprefix("azureml:")
        if curated.NAMES.fullmatch(reference) and not _is_of_a_registry_here(reference, workspace):
            return curated.of_name(reference, _ours())
        spec = _registered(reference, workspace)
    if spec.get("conda_file"):
        return of_conda_file(spec["conda_file"])
    if isinstance(spec.get("build"), dict):
        build = spec["build"]
        return of_build_context(
            Path(build["path"]), build.get("dockerfile") or build.get("dockerfile_path") or "Dockerfile"
        )
    if spec.get("image"):
        return curated.of_image(str(spec["image"]), _ours())
    return Wanted()


def _is_of_a_registry_here(reference: str, workspace: Workspace) -> bool:
    """Whether this is the address of an environment in a registry of this folder, or should be one.

    A folder that has none runs jobs written for Azure as ever: this Python stands for what is in a registry there.
    """
    named = uris.named(f"azureml:{reference}")
    if named is None or not named.registry or named.registry.lower() == CURATED_REGISTRY:
        return False
    return bool(registries.every(workspace))


def _registered(reference: str, workspace: Workspace) -> dict[str, Any]:
    """An environment of the workspace: `name`, `name:version`, `name@label`; or of a registry, by its address."""
    if (named := uris.named(f"azureml:{reference}")) and named.registry:
        uris.named_as("environment", reference)
        try:
            return Assets(named.owner(workspace), "environment").get(named.name, named.version, named.label)
        except NotFound as error:
            raise error.reworded(f"environment: azureml:{reference}: {error}") from error
    name, _, version = reference.partition(":")
    name, _, label = name.partition("@")
    try:
        return Assets(workspace, "environment").get(name, version or None, label or None)
    except NotFound as error:
        raise error.reworded(f"environment: {error}{curated.hint(name)}") from error


def _needs_server(base: Path | None, command: str) -> bool:
    """Whether the job's MLflow, its environment's or one that it installs itself, may not open our database.

    Only a full MLflow of our version may: another one has another layout, and mlflow-skinny, which azureml-mlflow
    brings, has no store but an HTTP one, whatever its version.
    """
    if base and not _opens_our_database(packages_of(base)):
        return True
    return any(MAY_BRING_MLFLOW.search(install[0]) for install in INSTALLS.finditer(command))


def _opens_our_database(place: Path) -> bool:
    def version(name: str) -> str | None:
        return next((found.version for found in metadata.distributions(name=name, path=[str(place)])), None)

    there = {version(name) for name in MLFLOW} - {None}
    if not there:
        return True  # it has none, or over an image this Python's
    return there == {version("mlflow")} == {metadata.version("mlflow")} and all(map(version, DATABASE))


def _ours() -> str:
    return f"this Python {platform.python_version()}"
