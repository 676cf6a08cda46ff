"""Whether this interpreter has what an environment asks for."""

import json
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from amlocal.environments.wanted import Package


def unsatisfied(packages: Iterable[Package]) -> Iterator[str]:
    """The requirements that this interpreter does not meet, each with what is there instead."""
    for package in packages:
        if package.applies:
            told = _lacks(package.requirement, set())
            if told:
                yield told


def _lacks(requirement: Requirement, seen: set[tuple[str, str]]) -> str | None:
    """What is missing for one requirement, the extras it asks for included; None if nothing is."""
    try:
        found = metadata.distribution(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement} (not installed)"
    if requirement.url:
        origin = json.loads(found.read_text("direct_url.json") or "{}").get("url")
        if not origin or origin not in requirement.url:
            return f"{requirement} (here {found.version}, from elsewhere)"
    elif not requirement.specifier.contains(found.version, prereleases=True):
        return f"{requirement} (here {found.version})"
    for extra in requirement.extras:
        key = (canonicalize_name(requirement.name), extra)
        if key in seen:
            continue
        seen.add(key)
        for text in found.requires or []:
            needed = Requirement(text)
            marker = needed.marker
            if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
                told = _lacks(needed, seen)
                if told:
                    return f"{requirement}: {told}"
    return None
