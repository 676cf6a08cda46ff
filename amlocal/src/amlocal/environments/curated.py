"""Azure's own environments: which packages a name stands for.

curated.yml tabulates what is published of them. A name that is not in it, but tells a framework and its version
(`AzureML-pytorch-1.10-ubuntu18.04-py38-cuda11-gpu`), stands for that version, with what the nearest in the table has.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from amlocal.core.errors import NotFound
from amlocal.core.names import CURATED_PREFIX, CURATED_REGISTRY
from amlocal.environments.wanted import Package, Wanted

NAMES = re.compile(r"//registries/.*|AzureML-.*|Microsoft.*", re.IGNORECASE)  # nobody else may give such a name
REFERENCE = re.compile(r"//registries/(?P<registry>[^/]+)/environments/(?P<name>[^/]+)(?:/(?:labels|versions)/.*)?")
IMAGE = re.compile(r"mcr\.microsoft\.com/azureml/curated/(?P<name>[^:@/]+).*", re.IGNORECASE)
# What older names have besides: `AzureML-sklearn-1.0-ubuntu20.04-py38-cpu`.
DETAILS = re.compile(r"-(?:ubuntu[\d.]+|py[\d.]+|cpu|gpu)(?=-|$)")
PYTHON = re.compile(r"-py(\d)\.?(\d+)(?=-|$)")
# `AzureML-lightgbm-3.3`, `acpt-pytorch-2.8-cuda12.6`, `mldesigner-minimal`: what a version or "minimal" follows on.
TELLING = re.compile(r"(?<![a-z])(?P<word>[a-z]+)-(?:(?P<version>\d+\.\d+)|minimal(?=@|:|/|$))")
# The frameworks that Azure names environments after: module and package. No other word is taken for a package, since
# anybody may have given that name to anything on a public index.
FRAMEWORKS = {
    "learn": ("sklearn", "scikit-learn"),  # the last word of "scikit-learn"
    "lightgbm": ("lightgbm", "lightgbm"),
    "mldesigner": ("mldesigner", "mldesigner"),
    "onnxruntime": ("onnxruntime", "onnxruntime"),
    "pytorch": ("torch", "torch"),
    "sklearn": ("sklearn", "scikit-learn"),
    "tensorflow": ("tensorflow", "tensorflow"),
    "xgboost": ("xgboost", "xgboost"),
}


@dataclass(frozen=True)
class Published:
    """What is published of one environment. packages: requirements. date: of the revision, YYYY-MM-DD."""

    name: str
    version: str
    description: str
    date: str
    python: str
    packages: tuple[str, ...]
    tags: dict[str, str]

    def spec(self, version: str | None = None) -> dict[str, Any]:
        """As `az ml environment show --registry-name azureml` prints it; any version is taken to be there."""
        version = version or self.version
        return {
            "description": self.description,
            "id": f"azureml://registries/{CURATED_REGISTRY}/environments/{self.name}/versions/{version}",
            "image": f"mcr.microsoft.com/azureml/curated/{self.name}:{version}",
            "name": self.name,
            "os_type": "linux",
            "tags": self.tags,
            "version": version,
        }


@functools.cache
def published() -> dict[str, Published]:
    """The table, by name."""
    import yaml

    table = yaml.safe_load(Path(__file__).with_name("curated.yml").read_text(encoding="utf-8"))
    return {
        name: Published(
            name=name,
            version=about["version"],
            description=about["description"],
            date=str(about["date"]),
            python=about["python"],
            packages=(*about["packages"], *(each for key in about.get("sets", ()) for each in table["sets"][key])),
            tags=about["tags"],
        )
        for name, about in table["environments"].items()
    }


def describe(name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
    """One environment of the registry as Azure shows it. Raises NotFound."""
    if label not in (None, "latest"):
        raise NotFound(f'environment "{name}": label "{label}" is not known; only "latest" is')
    known = _tabulated(name)
    if known is None:
        raise NotFound(
            f'environment "{name}" is not known to be in the registry {CURATED_REGISTRY};'
            f" see `aml environment list --registry-name {CURATED_REGISTRY}`"
        )
    return {**known.spec(version), "name": name if name.lower().startswith(CURATED_PREFIX) else known.name}


def hint(name: str) -> str:
    """What to say of a name that the workspace does not have, if the registry does."""
    if _tabulated(name) is None:
        return ""
    return f'; the registry has one of that name: "azureml://registries/{CURATED_REGISTRY}/environments/{name}/labels/latest"'


def describe_all(name: str | None = None) -> list[dict[str, Any]]:
    """All that are known of the registry, or those of one name, by name."""
    return [each.spec() for each in published().values() if name in (None, each.name)]


def of_name(reference: str, python: str) -> Wanted:
    """One of Azure's, by `AzureML-...` or by its address in a registry. python: what to call this Python."""
    address = REFERENCE.fullmatch(reference)
    name = address["name"] if address else re.split("[:@]", reference)[0]
    if address and address["registry"].lower() != CURATED_REGISTRY:
        return _stand_in(f"azureml:{reference} is in a registry that is not here", "", python)
    return _of(name, f"azureml:{reference} is Azure's own, and what is in it is not known here", python)


def of_image(image: str, python: str) -> Wanted:
    """An image that is not to be had here; those of Azure's curated environments are named as these are."""
    curated = IMAGE.fullmatch(image)
    return _of(curated["name"] if curated else "", f"the image {image} is not used", python)


def _of(name: str, otherwise: str, python: str) -> Wanted:
    """What a curated name stands for. otherwise: what the log says if nothing is known of it."""
    known, packages = _tabulated(name), None
    if known:
        packages = known.packages
    elif near := _nearest(name):
        known, packages = near
    if not known or packages is None:
        return _stand_in(otherwise, name, python)
    told = PYTHON.search(name.lower())
    wanted = Wanted(python=f"=={told[1]}.{told[2]}" if told else f"=={known.python}", curated=name)
    if _tabulated(name):
        wanted.notice(f"{name} has the packages that Azure's has (as published on {known.date})")
    else:
        version = next(each for each in packages if each not in known.packages)
        wanted.notice(f"what is in {name} is not known here: it is taken for {known.name} with {version}")
    wanted.packages += [Package(Requirement(each), guessed=True) for each in packages]
    return wanted


def _stand_in(reason: str, name: str, python: str) -> Wanted:
    """This Python, and over it the framework that the name tells if it is not there in any version."""
    wanted = Wanted(layered=True)
    wanted.notice(f"{reason}: {python} stands for it")
    for package, version in _frameworks(name):
        module = next(module for module, other in FRAMEWORKS.values() if other == package)
        if find_spec(module) is None:
            wanted.packages.append(
                Package(Requirement(f"{package}=={version}.*" if version else package), guessed=True)
            )
    return wanted


def _tabulated(name: str) -> Published | None:
    """The environment of that name, with or without what older names have besides (`AzureML-`, Ubuntu, Python, cpu)."""
    bare = name.lower().removeprefix(CURATED_PREFIX)
    table = published()
    if bare in table:
        return table[bare]
    short = {DETAILS.sub("", known): about for known, about in table.items()}
    return short.get(DETAILS.sub("", bare)) if bare else None


def _nearest(name: str) -> tuple[Published, tuple[str, ...]] | None:
    """The environment of the same framework that is nearest in version, and its packages with the name's version."""
    for package, version in _frameworks(name):
        kin = [
            (_distance(version, other), about)
            for known, about in published().items()
            for relative, other in _frameworks(known)
            if relative == package and version and other
        ]
        if kin:
            about = min(kin, key=lambda pair: pair[0])[1]
            return about, tuple(
                f"{package}=={version}.*" if canonicalize_name(Requirement(each).name) == package else each
                for each in about.packages
            )
    return None


def _distance(version: str, other: str) -> tuple[bool, int, int]:
    """How far another version is, in the order of preference: those from this one on, then those below it."""
    (major, minor), (other_major, other_minor) = (tuple(map(int, each.split("."))) for each in (version, other))
    below = (other_major, other_minor) < (major, minor)
    sign = -1 if below else 1
    return below, sign * other_major, sign * other_minor


def _frameworks(name: str) -> Iterator[tuple[str, str]]:
    """The frameworks in a name, each with its version, or with none."""
    for match in TELLING.finditer(name.lower()):
        _, package = FRAMEWORKS.get(match["word"], (None, ""))
        if package:
            yield package, match["version"] or ""
