"""Azure's own environments, of which a name is all that is known: what it tells of the packages in them."""

import re
from collections.abc import Iterator
from importlib.util import find_spec

from packaging.requirements import Requirement

from amlocal.environments.wanted import Package, Wanted

NAMES = re.compile(r"//registries/.*|AzureML-.*|Microsoft.*", re.IGNORECASE)  # nobody else may give such a name
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


def of_name(reference: str, python: str) -> Wanted:
    """One of Azure's environments: this Python, and over it the framework that it is named after.

    python: what to call this Python.
    """
    wanted = Wanted(layered=True)
    wanted.notice(f"azureml:{reference} is Azure's own and not known here: {python} stands for it")
    wanted.packages += _frameworks(re.sub(r"/(labels|versions)/.*", "", reference).rpartition("/")[2])
    return wanted


def of_image(image: str, python: str) -> Wanted:
    """An image that is not to be had here; those of Azure's curated environments are named as these are."""
    wanted = Wanted(layered=True)
    wanted.notice(f"the image {image} is not used: {python} stands for it")
    wanted.packages += _frameworks(image.partition("azureml/curated/")[2])
    return wanted


def _frameworks(name: str) -> Iterator[Package]:
    """The frameworks in a name that this Python lacks; if it has them, whichever version it is will do."""
    for match in TELLING.finditer(name.lower()):
        module, package = FRAMEWORKS.get(match["word"], (None, ""))
        if module and find_spec(module) is None:
            version = f"=={match['version']}.*" if match["version"] else ""
            yield Package(Requirement(package + version), guessed=True)
