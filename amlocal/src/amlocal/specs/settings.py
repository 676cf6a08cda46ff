"""What a node of any kind may ask for, as plain data: an environment, a distribution."""

from pathlib import Path
from typing import Any

from amlocal.assets import uris
from amlocal.core.errors import Absent, UserError
from amlocal.core.files import relative
from amlocal.specs import distribution as distributed
from amlocal.specs.load import at
from amlocal.specs.placed import Placed
from amlocal.specs.plan import Distribution

DISTRIBUTIONS = ("tensorflow", "pytorch", "mpi")


def distribution_of(given: Any, instances: int, place: Placed) -> Distribution | None:
    """How a command is spread over `instances` machines. Raises UserError where the node at `place` is not sound."""
    if given is None:
        return None
    fields = given if isinstance(given, dict) else vars(given)
    kind = str(fields.get("type", "")).lower()
    if kind not in DISTRIBUTIONS:
        told = f"{kind}: not emulated; {', '.join(DISTRIBUTIONS)} are"
        raise place.placed("distribution.type", Absent(told))
    spec = {key: value for key, value in fields.items() if key != "type"}
    try:
        distributed.processes(kind, spec, instances)
    except UserError as error:
        raise place.error("distribution", str(error).removeprefix("distribution.")) from error
    return Distribution(kind, spec, instances)


def environment_of(environment: Any, source: Path) -> dict[str, Any] | None:
    """What a job asks to run in, as plain data: `{"reference": ...}` for a name, else all it says."""
    if environment is None:
        return None
    if isinstance(environment, str):
        return {"reference": _short(environment)}
    if environment.id:  # one of the workspace's, as `get` gave it
        return {"reference": _short(environment.id)}
    conda = environment.conda_file
    if isinstance(conda, str):
        raise UserError(f"{at(source, 'environment.conda_file')}: no such file: {conda}")
    build = environment.build
    return {
        "name": environment.name,
        "version": environment.version,
        "image": environment.image,
        "conda_file": conda,
        "build": {"path": str(environment.path or build.path), "dockerfile": build.dockerfile_path or "Dockerfile"}
        if build
        else None,
        "source": str(relative(source)),
    }


def _short(reference: str) -> str:
    """A reference to an environment without its `azureml:`; an ARM id as NAME:VERSION or NAME@LABEL."""
    short = reference.removeprefix("azureml:")
    found = uris.named(f"azureml:{short}")
    if found is None or found.kind is None or found.registry:
        return short
    named = uris.named_as("environment", reference)
    return f"{named.name}:{named.version}" if named.version else f"{named.name}@{named.label or 'latest'}"
