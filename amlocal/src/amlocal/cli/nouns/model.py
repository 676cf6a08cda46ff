"""`aml model`: register, change, archive, show, list and download models."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import assets, target
from amlocal.cli.arguments import given, ignored, no_registry, shared
from amlocal.cli.printing import described, note
from amlocal.cli.updates import Changes, changed

COLUMNS = "[].{Name:name, Version:version || latest_version, Type:type, Created:creation_context.created_at}"


def create(
    file: str | None = None,
    name: str | None = None,
    version: str | None = None,
    path: str | None = None,
    type: str | None = None,
    description: str | None = None,
    stage: str | None = None,
    tags: dict[str, str] | None = None,
    params_override: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    flags = given(name=name, version=version, path=path, type=type, description=description, stage=stage, tags=tags)
    return assets.create(target.client().models, "model", file, params_override, flags)


def show(name: str, version: str | None = None, label: str | None = None) -> dict[str, Any]:
    return described(target.client().models, name, version, label)


def list_all(
    name: str | None = None,
    max_results: int | None = None,
    stage: str | None = None,
    include_archived: bool = False,
    archived_only: bool = False,
) -> list[dict[str, Any]]:
    limit = None if stage else max_results
    models = assets.list_all(target.client().models, name, limit, include_archived, archived_only)
    return [model for model in models if not stage or model.get("stage") == stage][:max_results]


archive, restore, _ = assets.verbs("model")


def update(
    name: str,
    version: str | None = None,
    label: str | None = None,
    stage: str | None = None,
    changes: Changes | None = None,
) -> dict[str, Any]:
    return changed(target.client().models, name, changes, given(stage=stage), version=version, label=label)


def download(cmd: CLICommand, name: str, version: str, download_path: str = ".") -> None:
    target.client().models.download(name, version, download_path=download_path)
    note(cmd.cli_ctx, f"Downloaded model {name}, version {version}, into {download_path}")


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "model", "amlocal.cli.nouns.model#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("archive", "archive")
        group.command("restore", "restore")
        group.command("download", "download")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "model", "model", "models")
    assets.arguments(loader, "model", "model")
    with ArgumentsContext(loader, "model update") as c:
        c.argument("stage", options_list=["--stage", "-s"], help="Stage of the model.")
    with ArgumentsContext(loader, "model download") as c:
        no_registry(c)
    with ArgumentsContext(loader, "model create") as c:
        c.argument(
            "path",
            options_list=["--path", "-p"],
            help="Path to the model file(s): a local file or folder, a job's output "
            "(azureml://jobs/<job>/outputs/<output>/paths/<path>) or a run's (runs:/<run-id>/<path>).",
        )
        c.argument(
            "type",
            options_list=["--type", "-t"],
            choices=["custom_model", "mlflow_model", "triton_model"],
            help="Type of the model. The default type is custom_model.",
        )
        c.argument("stage", options_list=["--stage", "-s"], help="Stage of the model.")
        ignored(c, "--datastore")
        ignored(c, "--no-wait", value=False)
    with ArgumentsContext(loader, "model list") as c:
        c.argument("stage", options_list=["--stage", "-s"], help="Stage of the model.")


helps.update(assets.texts("model", "model", "its description, tags and stage"))
helps["model"] = """
type: group
short-summary: Manage Azure ML models.
long-summary: Models live in the workspace's MLflow registry; `aml mlflow ui` shows them in a browser.
"""
helps["model create"] = """
type: command
short-summary: Create a model.
long-summary: Models can be created from a local file, a local folder or a job's outputs.
examples:
  - name: Create a model from a YAML specification file
    text: aml model create --file model.yml
  - name: Create a model from a local folder using command options
    text: aml model create --name my-model --version 1 --path ./my-model
  - name: Create a model from a job's output. The default named output is artifacts
    text: >
      aml model create --name my-model --type mlflow_model
      --path azureml://jobs/my-job-id/outputs/artifacts/paths/model/
  - name: Create a model from an MLflow run
    text: aml model create --name my-model --version 1 --path runs:/my-run-id/model/ --type mlflow_model
"""
helps["model show"] = """
type: command
short-summary: Show details for a model.
examples:
  - name: Show details for a model with the specified name and version
    text: aml model show --name my-model --version 1
  - name: Show the latest version
    text: aml model show --name my-model --label latest
"""
helps["model list"] = """
type: command
short-summary: List models in a workspace.
examples:
  - name: List all the models in a workspace
    text: aml model list -o table
  - name: List all the model versions for the specified name
    text: aml model list --name my-model
"""
helps["model download"] = """
type: command
short-summary: Download all model-related files.
long-summary: The files will be downloaded into a folder named after the model's name.
examples:
  - name: Download a model with the specified name and version
    text: aml model download --name my-model --version 1
  - name: Download it into a specified local path
    text: aml model download --name my-model --version 1 --download-path local_path
"""
