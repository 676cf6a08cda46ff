"""A parallel job's environment without what is in it for Azure's engine alone.

Azure imports its engine beside the entry script, so an environment for parallel jobs must list the packages of that
engine. Here the engine is ours, in another process: a job whose own code does not import them runs without them.
"""

import ast
import re
from pathlib import Path
from typing import Any

# Package, as pip's canonical name -> the modules with which a script would use it itself.
ENGINE = {
    "azureml-core": {"azureml.core", "azureml.data", "azureml.exceptions"},
    "azureml-dataset-runtime": {"azureml.core", "azureml.data", "azureml.dataprep"},
    "azureml-telemetry": {"azureml.telemetry"},
    "mltable": {"mltable"},
}


def relieved(environment: dict[str, Any] | None, code: Path | None) -> tuple[dict[str, Any] | None, list[str]]:
    """The environment (as specs.settings.environment_of makes it) less those packages, and the names of what went.

    code: the folder with the entry script. Only a `conda_file`'s pip lines are looked at.
    """
    conda = (environment or {}).get("conda_file")
    if environment is None or not isinstance(conda, dict) or not isinstance(conda.get("dependencies"), list):
        return environment, []
    imported = set().union(*map(_imports, code.rglob("*.py"))) if code else set()
    gone: list[str] = []

    def kept(line: Any) -> bool:
        name = re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", str(line).strip(), maxsplit=1)[0]).lower()
        if name not in ENGINE or ENGINE[name] & imported:
            return True
        gone.append(name)
        return False

    dependencies = [
        {**item, "pip": [line for line in item["pip"] if kept(line)]}
        if isinstance(item, dict) and isinstance(item.get("pip"), list)
        else item
        for item in conda["dependencies"]
    ]
    return {**environment, "conda_file": {**conda, "dependencies": dependencies}}, gone


def _imports(file: Path) -> set[str]:
    """What a Python file imports, wherever in it: for `a.b.c` also `a.b` and `a`."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()  # its import will fail, and say so
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = (name.split(".") for name in names)
    return {".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)}
