"""Whole folders of specs looked over before anything runs: every fault with its file, line and remedy."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amlocal import environments
from amlocal.assets import uris
from amlocal.assets.store import Assets
from amlocal.batch.plan import settings_of
from amlocal.core.errors import Absent, Problems, UserError
from amlocal.core.files import relative, write_json
from amlocal.core.names import creation_context, nearest
from amlocal.core.workspace import Workspace
from amlocal.jobs.check import checked_plan
from amlocal.specs.explain import plain_message
from amlocal.specs.kinds import NODE_KINDS
from amlocal.specs.load import at, ignored_fields, load, problems, read_document
from amlocal.specs.placed import BROKEN, Faults, check_defaults, component_of, source_of
from amlocal.specs.planner import Level
from amlocal.specs.recognize import AZUREML, kind_of, misspelt_kind_of, other_tool
from amlocal.specs.settings import environment_of

# Compute that is there without having been created.
ALWAYS = {"serverless", "local"}
BATCH_DEPLOYMENTS = ("batch_deployment", "model_batch_deployment", "pipeline_component_batch_deployment")
SCHEMA_BYTES = 2**16  # of a file, in which its schema is named
SKIPPED = {"node_modules", "__pycache__", "venv", "site-packages"}


@dataclass(frozen=True)
class Spec:
    """A file and what it describes."""

    path: Path
    kind: str
    document: dict[str, Any]
    overrides: Sequence[Mapping[str, Any]] = ()


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


@dataclass
class Report:
    """What was found. A line is `file:line: field: what, and the remedy`.

    files: how many specs were looked at. errors: what is wrong. notes: what may be right, but cannot be known from
    these files and this workspace. left_out: the files that were not looked at, each with the reason.
    """

    files: int = 0
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)


def validate(
    paths: Iterable[Path],
    workspace: Workspace,
    kind: str | None = None,
    overrides: Sequence[Mapping[str, Any]] = (),
) -> Report:
    """Look over specs, without running anything and without writing to the workspace.

    paths: files, or folders with all that is in them. A name counts as defined when the workspace has it, or one of
    these files defines it. kind: what the files are; default: what each says it is. overrides: what `--set` changes.
    Raises UserError for a path that is not there, and for a folder without any spec.
    """
    report, faults = Report(), Faults()
    specs: list[Spec] = []
    for path in paths:
        before = len(specs) + len(faults.each)
        for file in _files(path, report):
            with faults.gathering():
                found = _spec(file, kind, overrides, named=file == path)
                if isinstance(found, Spec):
                    specs.append(found)
                else:
                    report.left_out.append((file, found))
        if len(specs) + len(faults.each) == before:
            reasons = "; ".join(f"{relative(file)}: {why}" for file, why in report.left_out[:5])
            faults.each.append(f"{path}: no Azure ML spec in it" + (f" (left out: {reasons})" if reasons else ""))
    with tempfile.TemporaryDirectory() as folder:
        drafts = Path(folder)
        if workspace.assets.is_dir():
            shutil.copytree(workspace.assets, drafts, dirs_exist_ok=True)
        draft = Draft(workspace.root, drafts)
        for spec in specs:
            _define(spec, draft)
        for spec in specs:
            before = faults.broken
            with faults.gathering():
                _check(spec, draft)
            report.notes += _notes(spec, draft, faults.broken > before)
    made = {name for spec in specs for name in _named_outputs(spec.document)}
    for line in faults.each:
        if not faults.is_note(line):
            report.errors.append(line)
        elif not any(f'"{name}"' in line for name in made):
            report.notes.append(line)
    report.files = len(specs)
    report.notes = list(dict.fromkeys(report.notes))
    return report


def find_spec(path: Path) -> Spec:
    """What a file describes, with values for what `create` takes from flags. Raises UserError if it is no spec."""
    found = _spec(path, None, (), named=True)
    assert isinstance(found, Spec), "a file that is named is a spec or an error"
    return found


def _spec(path: Path, kind: str | None, overrides: Sequence[Mapping[str, Any]], named: bool) -> Spec | str:
    """What a file describes, or why it is left out. Raises UserError for what claims to be a spec and cannot be."""
    try:
        document = read_document(path, warn=named)
    except UserError as error:
        if named or kind or _names_schema(path):
            raise
        return str(error).partition(": ")[2]
    found = kind or kind_of(document) or (misspelt_kind_of(document) if named else None)
    if found is None:
        reason = other_tool(document)
        if named:
            raise UserError(f"{relative(path)}: no Azure ML spec that is known here: {reason}")
        return reason
    if found == "batch_deployment" and document.get("type") in ("model", "pipeline"):
        found = {"model": "model_batch_deployment", "pipeline": "pipeline_component_batch_deployment"}[document["type"]]
    return Spec(path, found, document, [*overrides, *_supplied(found, document)])


def _names_schema(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return bool(AZUREML.search(file.read(SCHEMA_BYTES).decode("utf-8", errors="replace")))
    except OSError:
        return False


def _supplied(kind: str, document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Values for what the flags of `create` can supply, where the file leaves it to them."""
    fields = ["name"] if kind not in ("job", "workspace") else []
    if kind.endswith("deployment"):
        fields.append("endpoint_name")
    return [{name: "given"} for name in fields if name not in document]


def _files(path: Path, report: Report) -> Iterator[Path]:
    """A file, or the YAML files of a folder."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder")
    for place, folders, files in os.walk(path):
        for name in sorted(folders):
            if name in SKIPPED or name.startswith("."):
                folders.remove(name)
                report.left_out.append((Path(place, name), "a folder of tools, not of specs; name it to look into it"))
        folders.sort()
        yield from (Path(place, name) for name in sorted(files) if Path(name).suffix.lower() in (".yml", ".yaml"))


def _named_outputs(document: Any) -> Iterator[str]:
    """The names under which the jobs of a file register what they write."""
    if not isinstance(document, Mapping):
        return
    outputs = document.get("outputs")
    for value in outputs.values() if isinstance(outputs, Mapping) else ():
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            yield value["name"]
    jobs = document.get("jobs")
    for node in jobs.values() if isinstance(jobs, Mapping) else ():
        yield from _named_outputs(node)


def _define(spec: Spec, draft: Draft) -> None:
    """Put what a file defines into the draft, as far as others may name it."""
    kind: Any = spec.kind
    if kind not in ("data", "environment", "component", "compute") or not spec.document.get("name"):
        return
    name, version = str(spec.document["name"]), str(spec.document.get("version") or "1")
    try:
        entity = load(kind, spec.path, spec.overrides)
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
    entity = load(spec.kind, spec.path, spec.overrides)
    faults = Faults()
    with faults.gathering():
        CHECKS.get(spec.kind, lambda *_: None)(entity, spec, draft)
    # in others each path is looked at where it is used
    if spec.kind in ("model", "online_deployment", *BATCH_DEPLOYMENTS, "schedule"):
        for place, text in _texts(spec.document):
            with faults.gathering():
                _in_its_datastore(spec, place, text)
    faults.raise_any()


def _job(job: Any, spec: Spec, draft: Draft) -> None:
    checked_plan(job, draft)


def _component(component: Any, spec: Spec, draft: Draft) -> None:
    faults = Faults(lambda environment: environments.problem(environment, draft))
    base = Path(component.base_path or spec.path.parent)
    if component.type == "pipeline":
        level = Level(component, "", source_of(component), base, draft, faults)
        check_defaults(component, level.error, faults)
        level.given = dict.fromkeys(level.inputs, BROKEN)  # whatever it will be given
        for _ in level.steps():
            pass
        with faults.gathering():
            level.owners()
        faults.each += faults.forgiven
        faults.absent |= {line: Absent(line) for line in faults.forgiven}
    elif component.type in NODE_KINDS:
        node = _called(component, spec)
        made = NODE_KINDS[node.type](node, "", "", source_of(component), base, draft, component)
        made.step(dict.fromkeys(made.inputs, BROKEN), {}, faults)
    faults.raise_any()


def _called(component: Any, spec: Spec) -> Any:
    """The component as a step. Raises Problems with what azure-ai-ml has against a component that it has read."""
    try:
        return component()
    except Exception as error:  # azure-ai-ml's
        told = list(problems(error)) or [("", plain_message(error))]
        raise Problems([f"{at(spec.path, field)}: {plain_message(message)}" for field, message in told]) from error


def _environment(environment: Any, spec: Spec, draft: Draft) -> None:
    problem = environments.problem(environment_of(environment, spec.path), draft)
    if problem:
        raise problem.reworded(f"{at(spec.path, 'conda_file')}: {problem}")


def _data(data: Any, spec: Spec, draft: Draft) -> None:
    try:
        if stored := uris.DatastorePath.parse(str(data.path)):  # what is to lie there may come later
            stored.place(draft)
        else:
            found = uris.locate(draft, str(data.path), Path(data.base_path or spec.path.parent), data.type)
            uris.refuse_misfit(found, data.type)
    except UserError as error:
        raise error.reworded(f"{at(spec.path, 'path')}: {error}") from error


def _deployment(deployment: Any, spec: Spec, draft: Draft) -> None:
    faults = Faults()
    code = deployment.code_configuration
    base = Path(deployment.base_path or spec.path.parent)
    with faults.gathering():
        folder = base / str(code.code) if code and code.code else None
        if folder and not folder.is_dir():
            raise UserError(f"{at(spec.path, 'code_configuration.code')}: no such folder: {code.code}")
        if folder and code.scoring_script and not (folder / code.scoring_script).is_file():
            raise UserError(
                f"{at(spec.path, 'code_configuration.scoring_script')}:"
                f" no such file in {code.code}: {code.scoring_script}"
            )
    with faults.gathering():
        problem = environments.problem(environment_of(deployment.environment, spec.path), draft)
        if problem:
            raise problem.reworded(f"{at(spec.path, 'environment')}: {problem}")
    faults.raise_any()


def _batch_deployment(deployment: Any, spec: Spec, draft: Draft) -> None:
    component = getattr(deployment, "component", None)
    faults = Faults()
    if isinstance(component, str):
        with faults.gathering():
            try:
                component_of(component, draft)
            except UserError as error:
                raise UserError(f"{at(spec.path, 'component')}: {error}") from error
    elif component is not None:
        with faults.gathering():
            _component(component, spec, draft)
    elif not getattr(deployment, "job_definition", None):
        with faults.gathering():
            _deployment(deployment, spec, draft)
        with faults.gathering():
            _batch_settings(deployment, spec)
    faults.raise_any()


def _batch_settings(deployment: Any, spec: Spec) -> None:
    told: list[str] = []
    try:
        settings_of(deployment, "")
    except Problems as problems:
        told = problems.each
    except UserError as error:
        told = [str(error)]
    group = "settings." if isinstance(spec.document.get("settings"), dict) else ""
    nested = {"max_retries": "retry_settings.max_retries", "timeout": "retry_settings.timeout"}
    lines = []
    for line in told:
        field, _, what = line.partition(": ")
        place = "resources.instance_count" if field == "instance_count" else group + nested.get(field, field)
        lines.append(f"{at(spec.path, place)}: {what}")
    if lines:
        raise Problems(lines)


CHECKS: dict[str, Callable[[Any, Spec, Draft], None]] = {
    "job": _job,
    "component": _component,
    "environment": _environment,
    "data": _data,
    "online_deployment": _deployment,
    **dict.fromkeys(BATCH_DEPLOYMENTS, _batch_deployment),
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


def _notes(spec: Spec, draft: Draft, faulty: bool) -> Iterator[str]:
    """What may be right: a compute that no file here defines, and a field that has no effect."""
    if not faulty:
        yield from ignored_fields(spec.kind, spec.path, spec.document)
    known = [str(each["name"]) for each in Assets(draft, "compute").latest()]
    for place, value in _computes(spec.document):
        name = value.removeprefix("azureml:")
        if "${{" not in value and not name.startswith(("//", "/")) and name not in (*ALWAYS, *known):
            near = nearest(name, known)
            meant = f'; did you mean "{near}"?' if near else "; the workspace in Azure has to have it"
            yield (
                f'{at(spec.path, place)}: compute "{name}" is neither in this workspace nor among these files{meant}'
            )
