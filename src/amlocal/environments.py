"""An environment spec -> a Python to run in: this one if it satisfies the spec, else a virtual environment, kept."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from amlocal.assets import Assets
from amlocal.errors import NotFound, UserError
from amlocal.workspace import Workspace

# Conda packages that are the interpreter itself, not something that pip could install.
INTERPRETER = {"python", "pip", "setuptools", "wheel"}


def python_for(environment: dict[str, Any] | None, workspace: Workspace, log: Path) -> Path:
    """The interpreter for a job; what is done differently from Azure is said in its log.

    Raises UserError when the environment is not known or cannot be built.
    """
    spec = _registered(environment, workspace)
    wanted = list(requirements(spec.get("conda_file")))
    missing = list(unsatisfied(wanted))
    if not missing:
        return Path(sys.executable)
    return _build(wanted, workspace, log, missing)


def _registered(environment: dict[str, Any] | None, workspace: Workspace) -> dict[str, Any]:
    """The environment itself where a job only names it; a curated one of Azure's stands for this Python."""
    reference = (environment or {}).get("reference")
    if not reference:
        return environment or {}
    if reference.startswith("//registries/") or reference.startswith("AzureML-"):
        return {}
    name, _, version = reference.partition(":")
    name, _, label = name.partition("@")
    try:
        return Assets(workspace, "environment").get(name, version or None, label or None)
    except NotFound as error:
        raise UserError(f"environment: {error}") from error


def requirements(conda_file: Any) -> Iterator[Requirement]:
    """The Python packages of a conda file: its `pip:` list, and conda's own packages by the same names.

    Raises UserError for a line that is no requirement.
    """
    for item in (conda_file or {}).get("dependencies", []):
        lines = item.get("pip", []) if isinstance(item, dict) else [_from_conda(str(item))]
        for line in lines:
            line = re.sub(r"(^|\s)#.*", "", line).strip()
            if not line:
                continue
            if line.startswith("-"):
                raise UserError(f'environment: conda_file: "{line}": pip\'s options are not read; list the packages')
            try:
                requirement = Requirement(line)
            except InvalidRequirement as error:
                raise UserError(f'environment: conda_file: "{line}" is not a requirement: {error}') from error
            if requirement.name.lower() not in INTERPRETER:
                yield requirement


def _from_conda(item: str) -> str:
    """`channel::name=1.2` in pip's words."""
    name, _, version = item.split("::")[-1].replace(" ", "").partition("=")
    if re.search(r"[<>!]", name) or not version:
        return name if not version else f"{name}={version}"
    version = version.lstrip("=").split("=")[0]
    return f"{name}=={version}" if version.count(".") >= 2 else f"{name}=={version}.*"


def unsatisfied(wanted: Iterable[Requirement]) -> Iterator[str]:
    """The requirements that this interpreter does not meet, each with what is there instead."""
    for requirement in wanted:
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement} (not installed)"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement} (here {version})"


def _build(wanted: list[Requirement], workspace: Workspace, log: Path, missing: list[str]) -> Path:
    """A virtual environment with exactly these packages, named after them and built once."""
    lines = sorted(str(requirement) for requirement in wanted)
    key = hashlib.sha256(json.dumps([sys.version, lines]).encode()).hexdigest()[:16]
    folder = workspace.environments / key
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with workspace.lock(f"environment-{key}", timeout=3600):
        if (folder / "complete").exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        with log.open("a", encoding="utf-8") as output:
            print(f"Building an environment: this Python lacks {', '.join(missing)}", file=output, flush=True)
            (folder / "requirements.txt").parent.mkdir(parents=True)
            (folder / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            for command in _build_commands(folder, python):
                done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
                if done.returncode:
                    raise UserError(f"environment: it could not be built (exit code {done.returncode}); see {log}")
        (folder / "complete").touch()
    return python


def _build_commands(folder: Path, python: Path) -> list[list[str]]:
    venv, requirements_file = str(folder), str(folder / "requirements.txt")
    try:
        import uv

        tool = uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        return [
            [sys.executable, "-m", "venv", venv],
            [str(python), "-m", "pip", "install", "--quiet", "-r", requirements_file],
        ]
    return [
        [tool, "venv", "--quiet", "--allow-existing", "--python", sys.executable, venv],
        [tool, "pip", "install", "--quiet", "--python", str(python), "-r", requirements_file],
    ]
