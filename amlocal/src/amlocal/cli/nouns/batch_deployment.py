"""`aml batch-deployment`: put models and pipelines behind batch endpoints."""

from pathlib import Path
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, no_wait, shared
from amlocal.cli.endpoint_verbs import changed, update_deployment
from amlocal.cli.nouns.batch_endpoint import JOB_COLUMNS
from amlocal.cli.printing import described, described_all, note, wait
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, update_arguments
from amlocal.core.errors import UserError

COLUMNS = "[].{Name:name, Endpoint:endpoint_name, State:provisioning_state, Compute:compute}"
# What of a deployment can be set after it was made; of one that runs a pipeline less.
FIELDS = (
    "name",
    "endpoint_name",
    "code_configuration",
    "compute",
    "description",
    "environment",
    "environment_variables",
    "error_threshold",
    "logging_level",
    "max_concurrency_per_instance",
    "mini_batch_size",
    "model",
    "output_action",
    "output_file_name",
    "properties",
    "resources",
    "retry_settings",
    "tags",
)


def create(
    cmd: CLICommand,
    file: str,
    name: str | None = None,
    endpoint_name: str | None = None,
    set_default: bool = False,
    skip_script_validation: bool = False,
    params_override: list[dict[str, Any]] | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    client = target.client()
    overrides = [*(params_override or []), *given(name=name, endpoint_name=endpoint_name)]
    entity = load_deployment(file, overrides)
    note(cmd.cli_ctx, f"Creating deployment {entity.name} of endpoint {entity.endpoint_name} ...")
    creation = client.batch_deployments.begin_create_or_update(entity, skip_script_validation=skip_script_validation)
    if no_wait and not set_default:
        return None
    creation.result()
    if set_default:
        endpoint = client.batch_endpoints.get(entity.endpoint_name)
        endpoint.defaults = {"deployment_name": entity.name}
        client.batch_endpoints.begin_create_or_update(endpoint).result()
    return described(client.batch_deployments, entity.name, endpoint_name=entity.endpoint_name)


def load_deployment(file: str, overrides: list[dict[str, Any]]) -> Any:
    """azure-ai-ml's entity of a deployment of any type; a file without `type` has the settings at its root."""
    from amlocal.specs.load import batch_deployment_kind, read_document

    return load(batch_deployment_kind(read_document(Path(file)), overrides), file, overrides)


def show(name: str, endpoint_name: str) -> dict[str, Any]:
    return described(target.client().batch_deployments, name, endpoint_name=endpoint_name)


def list_all(endpoint_name: str) -> list[dict[str, Any]]:
    return described_all(target.client().batch_deployments, endpoint_name=endpoint_name)


def update(
    file: str | None = None,
    name: str | None = None,
    endpoint_name: str | None = None,
    changes: Changes | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    deployments = target.client().batch_deployments
    return update_deployment(
        deployments, file, name, endpoint_name, changes, no_wait, read=load_deployment, change=_changed
    )


def _changed(now: dict[str, Any], changes: Changes) -> Any:
    """The deployment that `now` describes, after the changes. Raises UserError."""
    if "deployment_configuration_type" in (now.get("properties") or {}):
        raise UserError(
            f"update: deployment {now['name']} runs a pipeline component; give the --file that it is to be made of"
        )
    return changed("batch-deployment", now, _at_root(changes), FIELDS)


def _at_root(changes: Changes) -> Changes:
    """`settings.X` of a file is `X` in what is shown."""
    each = [(verb, [text.removeprefix("settings.") for text in texts]) for verb, texts in changes.each]
    return Changes(each, changes.force_string)


def delete(name: str, endpoint_name: str, no_wait: bool = False) -> None:
    wait(target.client().batch_deployments.begin_delete(name, endpoint_name), no_wait)


def list_jobs(name: str, endpoint_name: str) -> list[dict[str, Any]]:
    deployments = target.client().batch_deployments
    if hasattr(deployments, "describe_jobs"):
        return list(deployments.describe_jobs(endpoint_name, name))
    return [job._to_dict() for job in deployments.list_jobs(endpoint_name, name=name)]


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "batch-deployment", "amlocal.cli.nouns.batch_deployment#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("delete", "delete", confirmation="Are you sure you want to delete this deployment?")
        group.command("list-jobs", "list_jobs", table_transformer=JOB_COLUMNS)


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "batch-deployment", "deployment", "deployments")
    update_arguments(loader, "batch-deployment update")
    with ArgumentsContext(loader, "batch-deployment") as c:
        c.argument("endpoint_name", options_list=["--endpoint-name", "-e"], help="Name of the batch endpoint.")
    for verb in ("create", "update", "delete"):
        with ArgumentsContext(loader, f"batch-deployment {verb}") as c:
            no_wait(c)
    with ArgumentsContext(loader, "batch-deployment create") as c:
        c.argument(
            "set_default",
            action="store_true",
            help="Makes this the endpoint's default deployment after successful creation.",
        )
        c.argument(
            "skip_script_validation",
            action="store_true",
            help="Do not look whether the scoring script is valid Python.",
        )


helps["batch-deployment"] = """
type: group
short-summary: Manage Azure ML batch deployments.
long-summary: >
  A deployment is what the jobs of a batch endpoint run: a model with a scoring script, an MLflow model, or a pipeline
  component. Nothing of it runs until the endpoint is invoked.
"""
helps["batch-deployment create"] = """
type: command
short-summary: Create a deployment. If the deployment already exists, it will be over-written.
examples:
  - name: Create a deployment from a YAML specification file
    text: aml batch-deployment create --file deployment.yml
  - name: Create it and make it the endpoint's default
    text: aml batch-deployment create --file deployment.yml --endpoint-name my-batch-endpoint --set-default
"""
helps["batch-deployment show"] = """
type: command
short-summary: Show a deployment.
examples:
  - name: Show a deployment
    text: aml batch-deployment show --name my-deployment --endpoint-name my-batch-endpoint
"""
helps["batch-deployment list"] = """
type: command
short-summary: List deployments.
examples:
  - name: List the deployments of an endpoint
    text: aml batch-deployment list --endpoint-name my-batch-endpoint -o table
"""
helps["batch-deployment update"] = """
type: command
short-summary: Update a deployment.
long-summary: Jobs that run go on as they were started.
examples:
  - name: Update a deployment from a YAML specification file
    text: aml batch-deployment update --file deployment.yml
  - name: Give each call more files
    text: >
      aml batch-deployment update --name my-deployment --endpoint-name my-batch-endpoint --set mini_batch_size=50
"""
helps["batch-deployment delete"] = """
type: command
short-summary: Delete a deployment.
long-summary: Its jobs and their outputs stay.
examples:
  - name: Delete a deployment without being asked
    text: aml batch-deployment delete --name my-deployment --endpoint-name my-batch-endpoint --yes
"""
helps["batch-deployment list-jobs"] = """
type: command
short-summary: List the batch scoring jobs for a batch deployment.
examples:
  - name: List the jobs of a deployment
    text: aml batch-deployment list-jobs --name my-deployment --endpoint-name my-batch-endpoint
"""
