"""Whole folders of specs looked over before anything runs: every fault with its file, line and remedy."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amlocal import environments
from amlocal.assets import uris
from amlocal.assets.store import Assets, Kind
from amlocal.core import documents
from amlocal.core.errors import UserError
from amlocal.core.files import write_json
from amlocal.core.names import creation_context
from amlocal.core.workspace import Workspace
from amlocal.specs.kinds import NODE_KINDS
from amlocal.specs.literals import suggestion
from amlocal.specs.load import at, load, read_document, relative
from amlocal.specs.placed import BROKEN, Faults, source_of
from amlocal.specs.plan import Step
from amlocal.specs.planner import Level, plan
from amlocal.specs.settings import environment_of

SCHEMA = re.compile(r"/(\w+?)(?:\.schema)?\.json\s*$")
# The kind of a spec by the name of its schema; what is not here is none that is looked at.
KINDS = {
    **dict.fromkeys(("commandJob", "pipelineJob", "sweepJob"), "job"),
    **dict.fromkeys(("commandComponent", "pipelineComponent", "parallelComponent"), "component"),
    **dict.fromkeys(("amlCompute", "computeInstance", "vmCompute", "kubernetesCompute"), "compute"),
    "environment": "environment",
    "data": "data",
    "model": "model",
    "managedOnlineEndpoint": "online_endpoint",
    "managedOnlineDeployment": "online_deployment",
    "schedule": "schedule",
    "monitorSchedule": "schedule",
}
# What a spec that names no schema must have to be taken for one: the first of these whose fields are all there.
TELLTALE = (
    (("jobs",), "job"),
    (("trial", "search_space"), "job"),
    (("command", "name", "version"), "component"),
    (("command",), "job"),
    (("trigger", "create_job"), "schedule"),
    (("trigger", "create_monitor"), "schedule"),
    (("endpoint_name",), "online_deployment"),
    (("auth_mode",), "online_endpoint"),
    (("conda_file", "name"), "environment"),
)
# Compute that is there without having been created.
ALWAYS = {"serverless", "local"}
SCHEMA_BYTES = 2**16  # of a file, in which its schema is named
SKIPPED = {"node_modules", "__pycache__", "venv", "site-packages"}


@dataclass(frozen=True)
class Spec:
    """A file and what it describes."""

    path: Path
    kind: str
    document: dict[str, Any]


@dataclass(frozen=True)
class Draft(Workspace):
    """A workspace in which what the files define is already there; nothing is written to the real one."""

    drafts: Path = Path()

    @property
    def assets(self) -> Path:
        return self.drafts

    def create(self) -> None:
        """There is nothing to make."""

    @contextmanager
    def lock(self, what: str, timeout: float = 60.0) -> Iterator[None]:
        """Nobody else knows of it."""
        yield


def validate(paths: Iterable[Path], workspace: Workspace) -> tuple[int, list[str]]:
    """(how many specs were looked at, what is wrong with them: `file:line: field: what, and the remedy`).

    paths: files, or folders with all that is in them. A name counts as defined when the workspace has it, or one of
    these files defines it. Raises UserError for a path that is not there.
    """
    specs, faults = [], Faults()
    for path, named in _files(paths):
        with faults.gathering():
            document = read_document(path)
            kind = kind_of(document)
            if kind:
                specs.append(Spec(path, kind, document))
            elif named:
                raise UserError(f"{relative(path)}: no spec that is known here; its $schema says what it is")
    with tempfile.TemporaryDirectory() as folder:
        drafts = Path(folder)
        if workspace.assets.is_dir():
            shutil.copytree(workspace.assets, drafts, dirs_exist_ok=True)
        draft = Draft(workspace.root, drafts)
        for spec in specs:
            _define(spec, draft)
        for spec in specs:
            with faults.gathering():
                _check(spec, draft)
    return len(specs), faults.each


def kind_of(document: Any) -> str | None:
    """What a document describes, by its schema's name, else by its fields; None if it is no spec."""
    if not isinstance(document, dict):
        return None
    named = SCHEMA.search(str(document.get("$schema", "")))
    if named:
        return KINDS.get(named[1])
    return next((kind for fields, kind in TELLTALE if all(field in document for field in fields)), None)


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """(file, whether it was named itself). In folders: the YAML files that can be read as such."""
    for path in paths:
        if path.is_file():
            yield path, True
        elif path.is_dir():
            yield from ((file, False) for file in _below(path))
        else:
            raise UserError(f"{path}: no such file or folder")


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        for name in sorted(files):
            path = Path(place, name)
            if path.suffix in (".yml", ".yaml") and _is_mapping(path):
                yield path


def _is_mapping(path: Path) -> bool:
    """Other programs' YAML (several documents, lists, templates) is nobody's fault here, unless it names a schema."""
    try:
        with path.open("rb") as file:
            if b"azuremlschemas" in file.read(SCHEMA_BYTES):
                return True
        return isinstance(documents.read_yaml(path, warn=False), dict)
    except (OSError, UserError):
        return False


def _define(spec: Spec, draft: Draft) -> None:
    """Put what a file defines into the draft, as far as others may name it."""
    kind: Any = spec.kind
    if kind not in ("data", "environment", "component", "compute") or not spec.document.get("name"):
        return
    name, version = str(spec.document["name"]), str(spec.document.get("version") or "1")
    try:
        entity = load(kind, spec.path)
    except UserError:
        content: dict[str, Any] = {}  # its own fault is told where it stands
    else:
        content = {key: value for key, value in entity._to_dict().items() if key != "$schema"}
        if kind == "data":
            content["path"] = str((Path(entity.base_path or ".") / str(entity.path)).resolve())
    stored = {**content, "name": name, "version": version, "creation_context": creation_context()}
    folder = draft.assets / kind / name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ("compute.json" if kind == "compute" else f"{version}.json"), stored)


def _check(spec: Spec, draft: Draft) -> None:
    """Raises UserError, or Problems, with all that is wrong with one file."""
    entity = load(spec.kind.replace("_", "-"), spec.path)
    faults = Faults()
    with faults.gathering():
        CHECKS.get(spec.kind, lambda *_: None)(entity, spec, draft)
    if spec.kind in ("model", "online_deployment", "schedule"):  # in others each path is looked at where it is used
        for field, text in _texts(spec.document):
            with faults.gathering():
                _in_its_datastore(spec, field, text)
    for field, name in _computes(spec.document):
        with faults.gathering():
            _known_compute(spec, field, name, draft)
    faults.raise_any()


def _job(job: Any, spec: Spec, draft: Draft) -> None:
    steps = plan(job, draft).steps.values()
    faults = Faults()
    for step in steps:
        with faults.gathering():
            _environment_of_step(step, spec, draft)
    faults.raise_any()


def _environment_of_step(step: Step, spec: Spec, draft: Draft) -> None:
    problem = environments.problem(step.environment, draft)
    if problem:
        field = f"jobs.{step.name}.environment" if step.name else "environment"
        raise UserError(f"{at(spec.path, field)}: {problem.removeprefix('environment: ')}")


def _component(component: Any, spec: Spec, draft: Draft) -> None:
    faults = Faults()
    base = Path(component.base_path or spec.path.parent)
    if component.type == "pipeline":
        level = Level(component, "", source_of(component), base, draft, faults)
        level.given = dict.fromkeys(level.inputs, BROKEN)  # whatever it will be given
        steps: list[Step | None] = [step for _, step in level.steps()]
        with faults.gathering():
            level.owners()
    else:
        node = component()
        made = NODE_KINDS[node.type](node, "", "", source_of(component), base, draft, component)
        steps = [made.step(dict.fromkeys(made.inputs, BROKEN), {}, faults)]
    for step in filter(None, steps):
        with faults.gathering():
            _environment_of_step(step, spec, draft)
    faults.raise_any()


def _environment(environment: Any, spec: Spec, draft: Draft) -> None:
    problem = environments.problem(environment_of(environment, spec.path), draft)
    if problem:
        raise UserError(f"{at(spec.path, 'conda_file')}: {problem.removeprefix('environment: ')}")


def _data(data: Any, spec: Spec, draft: Draft) -> None:
    try:
        if stored := uris.DatastorePath.parse(str(data.path)):  # what is to lie there may come later
            stored.place(draft)
        else:
            found = uris.locate(draft, str(data.path), Path(data.base_path or spec.path.parent), data.type)
            uris.refuse_misfit(found, data.type)
    except UserError as error:
        raise UserError(f"{at(spec.path, 'path')}: {error}") from error


def _deployment(deployment: Any, spec: Spec, draft: Draft) -> None:
    code = deployment.code_configuration
    base = Path(deployment.base_path or spec.path.parent)
    if code and code.code and not (base / str(code.code)).is_dir():
        raise UserError(f"{at(spec.path, 'code_configuration.code')}: no such folder: {code.code}")
    if code and code.code and code.scoring_script and not (base / str(code.code) / code.scoring_script).is_file():
        raise UserError(
            f"{at(spec.path, 'code_configuration.scoring_script')}: no such file in {code.code}: {code.scoring_script}"
        )
    problem = environments.problem(environment_of(deployment.environment, spec.path), draft)
    if problem:
        raise UserError(f"{at(spec.path, 'environment')}: {problem.removeprefix('environment: ')}")


CHECKS: dict[str, Callable[[Any, Spec, Draft], None]] = {
    "job": _job,
    "component": _component,
    "environment": _environment,
    "data": _data,
    "online_deployment": _deployment,
}


def _texts(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """(dotted field, value) of every text in a document."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, f"{field}.{key}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, field)


def _in_its_datastore(spec: Spec, field: str, text: str) -> None:
    try:
        uris.DatastorePath.parse(text)
    except UserError as error:
        raise UserError(f"{at(spec.path, field)}: {error}") from error


def _computes(document: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted field, name) of every compute that a job names, also for its steps."""
    for key, value in document.items() if isinstance(document, dict) else ():
        field = f"{prefix}{key}"
        if key in ("compute", "default_compute") and isinstance(value, str):
            yield field, value
        elif key in ("jobs", "settings", "trial", "create_job") or prefix.endswith("jobs."):
            yield from _computes(value, f"{field}.")


def _known_compute(spec: Spec, field: str, value: str, draft: Draft) -> None:
    name = value.removeprefix("azureml:")
    kind: Kind = "compute"
    known = [str(each["name"]) for each in Assets(draft, kind).latest()]
    if "${{" in value or name.startswith(("//", "/")) or name in (*ALWAYS, *known):
        return
    raise UserError(
        f'{at(spec.path, field)}: compute "{name}" is neither in this workspace nor among these files'
        f"{suggestion(name, known)}"
    )
