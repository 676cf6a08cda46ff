"""`aml model`: register, show, list and download models; `cli/asset_verbs.py` has the verbs of all versioned assets."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli.arguments import given, ignored
from amlocal.cli.asset_verbs import Kind
from amlocal.cli.printing import note
from amlocal.cli.updates import Changes, changed

KIND = Kind(
    noun="model",
    title="model",
    home="models",
    columns="Type:type, Created:creation_context.created_at",
    updated="its description, tags and stage",
    listed="my-model",
)
show, list_any, archive, restore, _, share = KIND.verbs()  # list and update know of stages, too


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
    registry_name: str | None = None,
) -> dict[str, Any]:
    return KIND.create(
        file,
        params_override,
        registry_name,
        name=name,
        version=version,
        path=path,
        type=type,
        description=description,
        stage=stage,
        tags=tags,
    )


def list_all(
    name: str | None = None,
    max_results: int | None = None,
    stage: str | None = None,
    include_archived: bool = False,
    archived_only: bool = False,
    registry_name: str | None = None,
) -> list[dict[str, Any]]:
    models = list_any(name, None if stage else max_results, include_archived, archived_only, registry_name)
    return [model for model in models if not stage or model.get("stage") == stage][:max_results]


def update(
    name: str,
    version: str | None = None,
    label: str | None = None,
    stage: str | None = None,
    changes: Changes | None = None,
    registry_name: str | None = None,
) -> dict[str, Any]:
    return changed(KIND.operations(registry_name), name, changes, given(stage=stage), version=version, label=label)


def download(
    cmd: CLICommand, name: str, version: str, download_path: str = ".", registry_name: str | None = None
) -> None:
    KIND.operations(registry_name).download(name, version, download_path=download_path)
    note(cmd.cli_ctx, f"Downloaded model {name}, version {version}, into {download_path}")


def commands(loader: CLICommandsLoader) -> None:
    KIND.commands(loader)
    with CommandGroup(loader, "model", "amlocal.cli.nouns.model#{}") as group:
        group.command("download", "download")


def arguments(loader: CLICommandsLoader) -> None:
    KIND.arguments(loader)
    with ArgumentsContext(loader, "model") as c:
        c.argument("stage", options_list=["--stage", "-s"], help="Stage of the model.")
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
        ignored(c, "--datastore")
        ignored(c, "--no-wait", value=False)


helps.update(KIND.texts())
helps["model"] = """
type: group
short-summary: Manage Azure ML models.
long-summary: >
  Models live in the workspace's MLflow registry; `aml mlflow ui` shows them in a browser.
  With --registry-name they are those of a registry that all workspaces share.
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
  - name: Create a model in a registry from one of the workspace
    text: >
      aml model create --name my-model --version 1 --registry-name my-registry
      --path azureml://models/my-model/versions/1
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
