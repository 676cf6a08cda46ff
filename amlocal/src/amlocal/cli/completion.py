"""What a shell offers where a name stands: those of the workspace, read from its files, so that it comes at once."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from knack.commands import CLICommandsLoader

from amlocal.core.files import read_json
from amlocal.core.workspace import Workspace

Names = Callable[[Workspace], Iterable[str]]


def complete_names(loader: CLICommandsLoader) -> None:
    """Have the flags that name something that is there offer its names. A verb that makes it takes a new one."""
    for command, one in loader.command_table.items():
        noun, _, verb = command.partition(" ")
        for flag, argument in one.arguments.items():
            found = _of_flag(noun, flag)
            if found and verb != "create":
                argument.type.settings["completer"] = _completer(found)


def _of_flag(noun: str, flag: str) -> Names | None:
    """Where the names for a flag come from."""
    kind = "batch" if noun.startswith("batch") else "online"
    if flag == "parent_job_name" or (flag == "name" and noun == "job"):
        return _jobs
    if flag == "endpoint_name" or (flag == "name" and noun.endswith("-endpoint")):
        return lambda workspace: _endpoints(workspace, kind)
    if flag in ("name", "deployment_name") and noun.endswith(("-deployment", "-endpoint")):
        return lambda workspace: _deployments(workspace, kind)
    if flag != "name":
        return None
    if noun == "model":
        return _models
    return lambda workspace: _folders(workspace.root / "assets" / noun)


def _completer(names: Names) -> Callable[..., list[str]]:
    def complete(prefix: str, parsed_args: Any = None, **_: Any) -> list[str]:
        with suppress(Exception):  # whoever presses the tab key wants no error
            workspace = Workspace.find(name=getattr(parsed_args, "_workspace", None))
            return [name for name in names(workspace) if name.lower().startswith(prefix.lower())]
        return []

    return complete


def _folders(place: Path) -> list[str]:
    return sorted(each.name for each in place.iterdir() if each.is_dir()) if place.is_dir() else []


def _jobs(workspace: Workspace) -> list[str]:
    return _folders(workspace.jobs)


def _endpoints(workspace: Workspace, kind: str) -> list[str]:
    place = workspace.root / "endpoints"
    return [name for name in _folders(place) if read_json(place / name / "endpoint.json").get("kind", kind) == kind]


def _deployments(workspace: Workspace, kind: str) -> list[str]:
    """A folder each, or, of batch endpoints, a file."""
    places = [workspace.root / "endpoints" / each / "deployments" for each in _endpoints(workspace, kind)]
    return sorted({found.name.removesuffix(".json") for place in places if place.is_dir() for found in place.iterdir()})


def _models(workspace: Workspace) -> list[str]:
    """The registered models; not by way of MLflow, whose import takes seconds."""
    if not workspace.database.is_file():
        return []
    with closing(sqlite3.connect(f"{workspace.database.as_uri()}?mode=ro", uri=True)) as store:
        return [name for (name,) in store.execute("SELECT name FROM registered_models ORDER BY name")]
