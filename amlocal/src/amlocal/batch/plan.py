"""A model deployment of azure-ai-ml's becomes a plan: checked, its code and model kept once per content."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from amlocal import environments
from amlocal.assets.snapshots import snapshot
from amlocal.assets.uploads import copied, put
from amlocal.core.errors import UserError
from amlocal.core.files import disk_errors, files_below, hash_path
from amlocal.core.records import as_record
from amlocal.core.workspace import Workspace
from amlocal.endpoints.plan import code_of, resolve_model, runs_in
from amlocal.jobs.submit import pinned
from amlocal.specs.placed import Faults

MODEL, PIPELINE = "model", "pipeline"
APPEND_ROW, SUMMARY_ONLY = ACTIONS = ("append_row", "summary_only")
LEVELS = ("warning", "info", "debug")
MLFLOW_DRIVER = Path(__file__).with_name("mlflow_driver.py")


@dataclass(frozen=True)
class Settings:
    """How a model deployment's jobs run; the defaults are those that Azure's service fills in.

    error_threshold: items (files) that may fail, -1 any number. timeout: seconds of one run().
    """

    mini_batch_size: int = 10
    max_concurrency_per_instance: int = 1
    instance_count: int = 1
    error_threshold: int = -1
    max_retries: int = 3
    timeout: int = 30
    logging_level: str = "info"
    output_action: str = APPEND_ROW
    output_file_name: str | None = "predictions.csv"

    def checked(self, where: str) -> "Settings":
        """These settings. Raises Problems naming every field that Azure would refuse; `where` begins each line."""
        faults = Faults()
        for name, least in LEAST.items():
            with faults.gathering():
                if getattr(self, name) < least:
                    raise UserError(f"{where}{name}: {getattr(self, name)} is below {least}")
        with faults.gathering():
            if self.logging_level.lower() not in LEVELS:
                raise UserError(f"{where}logging_level: {self.logging_level} is none of {', '.join(LEVELS)}")
        with faults.gathering():
            if self.output_action not in ACTIONS:
                raise UserError(f"{where}output_action: {self.output_action} is none of {', '.join(ACTIONS)}")
        with faults.gathering():
            file = self.output_file_name
            if file is not None and (PurePath(file).name != file or "\\" in file or file in ("", ".", "..")):
                raise UserError(f"{where}output_file_name: {file!r} is not the name of a file, without folders")
        faults.raise_any()
        return self


LEAST = {
    "mini_batch_size": 1,
    "max_concurrency_per_instance": 1,
    "instance_count": 1,
    "error_threshold": -1,
    "max_retries": 0,
    "timeout": 1,
}


@dataclass(frozen=True)
class ModelPlan:
    """What the jobs of a model deployment are made of.

    model: the folder that AZUREML_MODEL_DIR names; the model lies in it under its own name.
    generated: whether the scoring script is ours, for an MLflow model that came without one.
    """

    code: str
    entry_script: str
    model: str | None
    environment: dict[str, Any] | None
    compute: str | None
    settings: Settings
    variables: dict[str, str] = field(default_factory=dict)
    generated: bool = False
    type: str = MODEL


@dataclass(frozen=True)
class PipelinePlan:
    """What the jobs of a pipeline component deployment are made of. component: as azure-ai-ml's dictionary has it."""

    component: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    type: str = PIPELINE


def read_plan(value: Mapping[str, Any], path: Path) -> ModelPlan | PipelinePlan:
    """The plan on record in the file `path`. Raises UserError for a damaged one."""
    if value.get("type") == PIPELINE:
        return as_record(value, PipelinePlan, path)
    return as_record(value, ModelPlan, path)


def resolve(deployment: Any, workspace: Workspace, check_script: bool = True) -> ModelPlan:
    """Check a model deployment and keep its code and model. Raises Problems naming every field and its remedy."""
    where = f"deployment {deployment.name}"
    base = Path(deployment.base_path or ".")
    faults = Faults()
    settings, model, code, script, environment = Settings(), None, None, "", None
    with faults.gathering():
        settings = settings_of(deployment, f"{where}: ")
    with faults.gathering():
        model = resolve_model(deployment, base, workspace)
    with faults.gathering():
        code, script = code_of(deployment, base)
        if code and check_script:
            _check_syntax(f"{where}: code_configuration.scoring_script", code / script)
    mlflow = model is not None and (model / "MLmodel").is_file()
    with faults.gathering():
        if deployment.code_configuration is None and not mlflow and not faults.each:
            raise UserError(
                f"{where}: code_configuration: required (code and scoring_script), unless the model is an MLflow model;"
                + (f" {model} holds no MLmodel file" if model else " there is no model")
            )
    with faults.gathering():
        if not faults.each:
            environment = runs_in(deployment, model if code is None else None, base, [])
            if problem := environments.problem(environment, workspace):
                raise UserError(f"{where}: environment: {str(problem).removeprefix('environment: ')}")
    faults.raise_any()
    variables = {**(deployment.environment_variables or {}), **(deployment._settings.environment_variables or {})}
    return ModelPlan(
        code=str(snapshot(workspace, code or MLFLOW_DRIVER)),
        entry_script=script if code else MLFLOW_DRIVER.name,
        model=str(_kept(model, workspace)) if model else None,
        environment=pinned(environment, workspace),
        compute=str(deployment.compute).removeprefix("azureml:") if deployment.compute else None,
        settings=settings,
        variables={key: str(value) for key, value in variables.items()},
        generated=code is None,
    )


def settings_of(deployment: Any, where: str) -> Settings:
    """The settings of a deployment, with what it leaves out filled in. Raises Problems; `where` begins each line."""
    given = deployment._settings
    retry = given.retry_settings
    action = given.output_action or APPEND_ROW
    if action == SUMMARY_ONLY and given.output_file_name:
        raise UserError(f"{where}output_file_name: with output_action {SUMMARY_ONLY} there is none; leave it out")
    told = {
        "mini_batch_size": given.mini_batch_size,
        "max_concurrency_per_instance": given.max_concurrency_per_instance,
        "instance_count": getattr(deployment.resources, "instance_count", None),
        "error_threshold": given.error_threshold,
        "max_retries": getattr(retry, "max_retries", None),
        "timeout": getattr(retry, "timeout", None),
        "logging_level": given.logging_level,
        "output_action": action,
        "output_file_name": given.output_file_name,
    }
    settings = Settings(**{key: value for key, value in told.items() if value is not None})
    settings = replace(settings, logging_level=settings.logging_level.lower())
    return (replace(settings, output_file_name=None) if action == SUMMARY_ONLY else settings).checked(where)


def _kept(model: Path, workspace: Workspace) -> Path:
    """A copy of the model in a folder of its own, kept once per content: jobs that run must not lose it."""
    store = workspace.root / "snapshots"
    below = files_below(model) if model.is_dir() else ()
    files = [(file, f"{model.name}/{place}") for file, place in below] or [(model, model.name)]
    with disk_errors(store), copied(files, store) as copy:
        return put(copy, store / hash_path(copy))


def _check_syntax(where: str, script: Path) -> None:
    try:
        ast.parse(script.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = error.msg if isinstance(error, SyntaxError) else error
        raise UserError(f"{where}: {script.name}{line}: {said} (--skip-script-validation does not look)") from error
