"""What an environment under aml/environments/ has: the packages its Conda file asks for, and what these need."""

import functools
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# Azure's engine of parallel jobs cannot be installed beside our numpy, so what it needs is said here.
NEEDED = {"azureml-dataset-runtime": ["numpy", "pyarrow"], "azureml-core": []}


@functools.cache
def distributions(environment: str) -> frozenset[str]:
    """The canonical names of everything that pip would install for an environment."""
    described = yaml.safe_load((ROOT / "aml" / "environments" / environment / "conda.yml").read_text())
    [asked] = [part["pip"] for part in described["dependencies"] if isinstance(part, dict)]
    found: set[str] = set()
    waiting = [Requirement(line) for line in asked]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found or not (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            lines = NEEDED[name] if name in NEEDED else requires(name) or []
        except PackageNotFoundError:  # of another platform
            lines = []
        waiting += map(Requirement, lines)
    return frozenset(found)


@functools.cache
def installed() -> dict[str, frozenset[str]]:
    """Top-level modules of the packages that are installed here, with the canonical names of these."""
    return {module: frozenset(map(canonicalize_name, given)) for module, given in packages_distributions().items()}


def lacks(environment: str, module: str) -> bool:
    """Whether a top-level module of a package that is installed here would be missing in an environment."""
    given = installed().get(module, frozenset())
    return bool(given) and not given & distributions(environment)
