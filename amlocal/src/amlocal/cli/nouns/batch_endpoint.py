"""`aml batch-endpoint`: make, look at, invoke and remove batch endpoints."""

import re
from pathlib import Path
from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, no_wait, positive, shared
from amlocal.cli.endpoint_verbs import endpoint_to_put
from amlocal.cli.printing import described, described_all, finished, wait
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, update_arguments
from amlocal.core.errors import UserError

COLUMNS = "[].{Name:name, Auth:auth_mode, Default:defaults.deployment_name, Address:scoring_uri}"
JOB_COLUMNS = "[].{Name:name, Status:status}"
KIND = "batch-endpoint"
# What of an endpoint can be set after it was made.
FIELDS = ("name", "auth_mode", "defaults", "description", "properties", "tags")


def create(
    file: str | None = None,
    name: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    endpoints = target.client().batch_endpoints
    entity = load(KIND, file, [*(params_override or []), *given(name=name)])
    return finished(endpoints, endpoints.begin_create_or_update(entity), no_wait)


def show(name: str) -> dict[str, Any]:
    return described(target.client().batch_endpoints, name)


def list_all() -> list[dict[str, Any]]:
    return described_all(target.client().batch_endpoints)


def update(
    file: str | None = None,
    name: str | None = None,
    defaults: str | None = None,
    changes: Changes | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    endpoints = target.client().batch_endpoints
    flags = given(defaults={"deployment_name": _default(defaults)} if defaults else None)
    entity, now = endpoint_to_put(KIND, endpoints, FIELDS, file, name, changes, flags)
    if file and not entity.defaults:  # it need not say which deployment is the default
        entity.defaults = {key: value for key, value in (now.get("defaults") or {}).items() if value} or None
    return finished(endpoints, endpoints.begin_create_or_update(entity), no_wait)


def _default(text: str) -> str:
    """`--defaults NAME`, or as for --set, `--defaults deployment_name=NAME`."""
    return text.partition("=")[2] if text.startswith("deployment_name=") else text


def delete(name: str, no_wait: bool = False) -> None:
    wait(target.client().batch_endpoints.begin_delete(name), no_wait)


def list_jobs(name: str) -> list[dict[str, Any]]:
    endpoints = target.client().batch_endpoints
    if hasattr(endpoints, "describe_jobs"):
        return list(endpoints.describe_jobs(name))
    return [job._to_dict() for job in endpoints.list_jobs(endpoint_name=name)]


def get_credentials(name: str) -> dict[str, Any]:
    target.local_only("batch-endpoint get-credentials")
    credentials: dict[str, Any] = target.local().batch_endpoints.credentials(name)
    return credentials


def invoke(
    cmd: CLICommand,
    name: str,
    file: str | None = None,
    deployment_name: str | None = None,
    input: str | None = None,
    input_type: str | None = None,
    inputs: str | None = None,
    outputs: str | None = None,
    output_path: str | None = None,
    job_name: str | None = None,
    experiment_name: str | None = None,
    mini_batch_size: int | None = None,
    instance_count: int | None = None,
    params_override: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    if input_type and not input:
        raise UserError("--input-type: it is the type of --input, which is missing")
    client = target.client()
    if hasattr(client.batch_endpoints, "get_ready"):
        client.batch_endpoints.get_ready()
    document = _document(file, inputs, outputs, params_override or [])
    overrides = document.pop("overrides")
    overrides += given(mini_batch_size=mini_batch_size)
    overrides += [{"compute.instance_count": instance_count}] if instance_count is not None else []
    if output_path:
        overrides += _output_dataset(output_path)
    found = _inputs(document["inputs"])
    if input and found:
        raise UserError(f"--input: the inputs are given by name, too ({', '.join(found)}); leave one of the two out")
    job = client.batch_endpoints.invoke(
        endpoint_name=name,
        deployment_name=deployment_name or document["deployment"],
        input=_input(client, input, input_type) if input else None,
        inputs=found or None,
        outputs=_outputs(document["outputs"]) or None,
        params_override=overrides,
        job_name=job_name,
        experiment_name=experiment_name,
    )
    told: dict[str, Any] = job._to_dict()
    return told


def _document(
    file: str | None, inputs: str | None, outputs: str | None, overrides: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the file, the two flags that take JSON or YAML, and `--set` say; the later ones go over the earlier."""
    from amlocal.core.documents import read_yaml

    content = read_yaml(Path(file)) if file else {}
    if not isinstance(content, dict):
        raise UserError(f"{file}: a mapping with inputs and outputs is wanted; this is not one")
    found: dict[str, Any] = {"inputs": {}, "outputs": {}, "deployment": None, "overrides": []}
    for key, value in content.items():
        _take(found, key, value, f"{file}: ")
    for key, text in (("inputs", inputs), ("outputs", outputs)):
        if text is not None:
            found[key] |= _mapping(text, f"--{key}")
    for override in overrides:
        for path, value in override.items():
            group, *rest = path.split(".")
            if group not in ("inputs", "outputs"):
                found["overrides"].append({path: value})
                continue
            if not rest:
                raise UserError(f"--set {path}: write {path}.NAME.path=... or {path}.NAME.default=...")
            place = found[group]
            for part in rest[:-1]:
                place = place.setdefault(part, {})
                if not isinstance(place, dict):
                    raise UserError(f"--set {path}: there is a value at {part} already")
            place[rest[-1]] = value
    return found


def _take(found: dict[str, Any], key: str, value: Any, where: str) -> None:
    """One field of a file, or of a value of --set that is none of an input or output."""
    if key in ("inputs", "outputs"):
        if not isinstance(value, dict | None):
            raise UserError(f"{where}{key}: a mapping of names to inputs is wanted")
        found[key] |= value or {}
    elif key == "deployment":
        found["deployment"] = str(value)
    elif key not in ("$schema", "endpoint"):
        found["overrides"].append({key: value})


def _mapping(text: str, flag: str) -> dict[str, Any]:
    from amlocal.core.documents import yaml_of

    value = yaml_of(text, flag)
    if not isinstance(value, dict):
        raise UserError(f'{flag}: {text!r} is no mapping, like {{"data": {{"path": "azureml:d:1"}}}}')
    return value


def _inputs(given: dict[str, Any]) -> dict[str, Any]:
    """azure-ai-ml's Inputs of what a file says of each; a plain value is a literal."""
    from azure.ai.ml import Input

    found = {}
    for name, value in given.items():
        if not isinstance(value, dict):
            found[name] = _literal(value)
            continue
        unknown = value.keys() - {"type", "path", "mode", "default", "min", "max", "value"}
        if unknown:
            raise UserError(f"inputs.{name}.{min(unknown)}: unknown field; an input has type, path or default")
        default = value.get("default", value.get("value"))
        if "path" in value:
            found[name] = Input(type=value.get("type", "uri_folder"), path=str(value["path"]), mode=value.get("mode"))
        elif default is not None:
            found[name] = _literal(default, value.get("type"))
        else:
            raise UserError(f"inputs.{name}: neither path nor default is given")
    return found


def _literal(value: Any, kind: str | None = None) -> Any:
    from azure.ai.ml import Input

    kinds = {bool: "boolean", int: "integer", float: "number"}
    return Input(type=kind or kinds.get(type(value), "string"), default=value)


def _outputs(given: dict[str, Any]) -> dict[str, Any]:
    from azure.ai.ml import Output

    found = {}
    for name, value in given.items():
        fields = {"path": value} if isinstance(value, str) else value
        if not isinstance(fields, dict) or fields.keys() - {"type", "path", "mode"}:
            raise UserError(f"outputs.{name}: an output has type, path and mode; this is {value!r}")
        found[name] = Output(type=fields.get("type", "uri_folder"), path=fields.get("path"), mode=fields.get("mode"))
    return found


def _input(client: Any, path: str, kind: str | None) -> Any:
    """`--input`: a data asset, a datastore's path, an address, or a local file or folder. Raises UserError."""
    from azure.ai.ml import Input

    from amlocal.assets.uris import named

    asset = named(path) if kind is None else None
    if asset and asset.kind in (None, "data") and not (asset.registry and target.is_azure()):
        label = asset.label or (None if asset.version else "latest")
        owner = target.registry(asset.registry) if asset.registry else client
        data = owner.data.get(asset.name, version=asset.version, label=label)
        if data.type not in ("uri_folder", "uri_file"):
            raise UserError(f"--input {path}: a {data.type}; a batch endpoint takes a uri_folder or a uri_file")
        return Input(type=data.type, path=data.id)
    if kind is None:
        kind = "uri_file" if Path(path).is_file() or _is_one_file(path) else "uri_folder"
    return Input(type=kind, path=path)


def _is_one_file(address: str) -> bool:
    """Whether an address on the web, or in a datastore, ends in the name of a file."""
    return "://" in address and re.search(r"/[^/?]+\.\w{1,8}(\?.*)?$", address) is not None


def _output_dataset(path: str) -> list[dict[str, Any]]:
    """`--output-path azureml://datastores/STORE/paths/PATH`, as azure-ai-ml's batch jobs have it."""
    from amlocal.assets.uris import DatastorePath

    place = DatastorePath.parse(path.removeprefix("folder:"))
    if place is None or "/paths/" not in path:
        raise UserError(f"--output-path {path}: not understood; use azureml://datastores/STORE/paths/PATH")
    return [{"output_dataset.path": place.path}, {"output_dataset.datastore_id": f"azureml:{place.store}"}]


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "batch-endpoint", "amlocal.cli.nouns.batch_endpoint#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("delete", "delete", confirmation="Are you sure you want to delete this endpoint?")
        group.command("invoke", "invoke")
        group.command("list-jobs", "list_jobs", table_transformer=JOB_COLUMNS)
        group.command("get-credentials", "get_credentials")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "batch-endpoint", "batch endpoint", "batch endpoints")
    update_arguments(loader, "batch-endpoint update")
    for verb in ("create", "update", "delete"):
        with ArgumentsContext(loader, f"batch-endpoint {verb}") as c:
            no_wait(c)
    with ArgumentsContext(loader, "batch-endpoint update") as c:
        c.argument("defaults", metavar="NAME", help="The deployment that is invoked where none is named.")
    with ArgumentsContext(loader, "batch-endpoint invoke") as c:
        c.argument(
            "file",
            options_list=["--file", "-f"],
            help="Local path to a YAML file with the inputs and outputs of the invocation.",
        )
        c.argument(
            "deployment_name", options_list=["--deployment-name", "-d"], help="Name of the deployment to target."
        )
        c.argument(
            "input",
            help="The data to score, of a model deployment: a data asset (azureml:NAME:VERSION), a path on a "
            "datastore, an address, or a local file or folder.",
        )
        c.argument(
            "input_type",
            choices=["uri_file", "uri_folder"],
            help="Whether --input is a file or a folder. Default: what is there.",
        )
        c.argument("inputs", help="Inputs by name, as JSON.")
        c.argument("outputs", help="Outputs by name, as JSON: where to store the results.")
        c.argument("output_path", help="Path on a datastore where the output files go.")
        c.argument("job_name", help="Name of the job. Default: a new one.")
        c.argument("experiment_name", help="Name of the job's experiment. Default: the endpoint's.")
        c.argument(
            "mini_batch_size",
            options_list=["--mini-batch-size", "-m"],
            type=positive,
            help="How many files one call of the scoring script gets.",
        )
        c.argument(
            "instance_count",
            options_list=["--instance-count", "-c"],
            type=positive,
            help="Number of instances. Local target: with max_concurrency_per_instance, how many processes score; "
            "at most one for each core.",
        )


helps["batch-endpoint"] = """
type: group
short-summary: Manage Azure ML batch endpoints.
long-summary: >
  A batch endpoint scores files in a job. At rest it is one small process, which listens on 127.0.0.1 for
  `POST .../jobs`; `aml down` stops it, and `aml up` starts it again.
"""
helps["batch-endpoint create"] = """
type: command
short-summary: Create an endpoint.
long-summary: If the endpoint already exists, it will be over-written with the new settings.
examples:
  - name: Create an endpoint from a YAML specification file
    text: aml batch-endpoint create --file endpoint.yml
  - name: Create an endpoint with name
    text: aml batch-endpoint create --name my-batch-endpoint
"""
helps["batch-endpoint show"] = """
type: command
short-summary: Show details for an endpoint.
examples:
  - name: Show the details for a batch endpoint
    text: aml batch-endpoint show --name my-batch-endpoint
"""
helps["batch-endpoint list"] = """
type: command
short-summary: List endpoints in a workspace.
examples:
  - name: List all the batch endpoints in a workspace
    text: aml batch-endpoint list -o table
"""
helps["batch-endpoint update"] = """
type: command
short-summary: Update an endpoint.
long-summary: The description, tags, properties and defaults of an endpoint can be updated.
examples:
  - name: Update an endpoint from a YAML specification file
    text: aml batch-endpoint update --name my-batch-endpoint --file updated_endpoint.yml
  - name: Make another deployment the default
    text: aml batch-endpoint update --name my-batch-endpoint --set defaults.deployment_name=my-deployment
"""
helps["batch-endpoint delete"] = """
type: command
short-summary: Delete an endpoint.
long-summary: Its deployments go with it; its jobs and their outputs stay.
examples:
  - name: Delete a batch endpoint, including all its deployments
    text: aml batch-endpoint delete --name my-batch-endpoint --yes
"""
helps["batch-endpoint invoke"] = """
type: command
short-summary: Invoke an endpoint.
long-summary: >
  Starts a batch scoring job and returns at once; `aml job stream` follows it, and
  `aml job download --output-name score` fetches what it has written.
examples:
  - name: Score a registered data asset, in mini batches of another size
    text: aml batch-endpoint invoke --name my-batch-endpoint --input azureml:my-dataset:1 --mini-batch-size 64
  - name: Score a local folder
    text: aml batch-endpoint invoke --name my-batch-endpoint --input ./images --input-type uri_folder
  - name: Say where the output goes, and what its file is called
    text: >
      aml batch-endpoint invoke --name my-batch-endpoint --input ./images
      --output-path azureml://datastores/workspaceblobstore/paths/scores/monday --set output_file_name=scores.csv
  - name: Give the inputs of a pipeline component deployment
    text: aml batch-endpoint invoke --name my-batch-endpoint --file inputs.yml
"""
helps["batch-endpoint list-jobs"] = """
type: command
short-summary: List the batch scoring jobs for a batch endpoint.
examples:
  - name: List all the batch scoring jobs for an endpoint
    text: aml batch-endpoint list-jobs --name my-batch-endpoint -o table
"""
helps["batch-endpoint get-credentials"] = """
type: command
short-summary: Show a token, or the keys, for calling the endpoint over HTTP.
long-summary: >
  An addition to `az ml`; in Azure, `az account get-access-token --resource https://ml.azure.com` gives the token.
examples:
  - name: The token alone, as curl wants it
    text: aml batch-endpoint get-credentials -n my-batch-endpoint --query accessToken -o tsv
"""
