"""`aml online-endpoint`: make, look at, call and remove online endpoints."""

from typing import Any

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import target
from amlocal.cli.arguments import given, ignored, no_wait, shared
from amlocal.cli.endpoint_verbs import endpoint_to_put
from amlocal.cli.printing import described, described_all, finished, note, wait
from amlocal.cli.specs import load
from amlocal.cli.updates import Changes, update_arguments
from amlocal.core.errors import UserError

COLUMNS = "[].{Name:name, Auth:auth_mode, Health:health.status, Address:scoring_uri, Traffic:to_string(traffic)}"
KIND = "online-endpoint"


def create(
    cmd: CLICommand,
    file: str | None = None,
    name: str | None = None,
    auth_mode: str | None = None,
    params_override: list[dict[str, Any]] | None = None,
    local: str | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    overrides = [*(params_override or []), *given(name=name, auth_mode=auth_mode)]
    if target.is_auto():
        from amlocal.azure.fallback import either

        refuse_no_wait(no_wait)

        return either(
            lambda: _create(target.azure(), file, overrides),
            lambda _: _create(target.local(), file, overrides),
            lambda text: note(cmd.cli_ctx, text),
        )
    return _create(target.client(), file, overrides, no_wait, **_local(local))


def _local(local: str | None) -> dict[str, bool]:
    """Azure's local endpoints, for trying something out, ask for no key and have no traffic rules. Raises UserError.

    Not said, an endpoint stays what it is.
    """
    if local == "true" and target.is_azure():
        raise UserError("--local: leave out --target azure; everything is local without it")
    return {} if local is None or target.is_azure() else {"local": local == "true"}


def refuse_no_wait(no_wait: bool) -> None:
    """Raises UserError: with `--target auto` somebody has to wait for what Azure says."""
    if no_wait:
        raise UserError("--no-wait: with --target auto the command has to wait and see whether Azure refuses")


def _create(
    client: Any, file: str | None, overrides: list[dict[str, Any]], no_wait: bool = False, **options: Any
) -> dict[str, Any] | None:
    endpoints = client.online_endpoints
    entity = load(KIND, file, overrides)
    if any(each["name"] == entity.name for each in described_all(endpoints)):
        raise UserError(f"endpoint {entity.name} exists already; change it with `aml online-endpoint update`")
    return finished(endpoints, endpoints.begin_create_or_update(entity, **options), no_wait)


def show(name: str) -> dict[str, Any]:
    return described(target.client().online_endpoints, name)


def list_all() -> list[dict[str, Any]]:
    return described_all(target.client().online_endpoints)


def update(
    file: str | None = None,
    name: str | None = None,
    traffic: list[str] | None = None,
    mirror_traffic: list[str] | None = None,
    changes: Changes | None = None,
    local: str | None = None,
    no_wait: bool = False,
) -> dict[str, Any] | None:
    options = _local(local)
    endpoints = target.client().online_endpoints
    flags = given(
        traffic=shares(traffic) if traffic else None, mirror_traffic=shares(mirror_traffic) if mirror_traffic else None
    )
    entity, now = endpoint_to_put(KIND, endpoints, FIELDS, file, name, changes, flags)
    if file and not entity.traffic:  # it says nothing of what deployments get
        entity.traffic, entity.mirror_traffic = now["traffic"], entity.mirror_traffic or now.get("mirror_traffic")
    return finished(endpoints, endpoints.begin_create_or_update(entity, **options), no_wait)


# What of an endpoint can be set after it was made.
FIELDS = ("name", "auth_mode", "description", "identity", "properties", "tags", "traffic", "mirror_traffic")


def shares(texts: list[str]) -> dict[str, int]:
    from amlocal.endpoints.plan import parse_traffic

    return parse_traffic(texts)


def delete(name: str, no_wait: bool = False) -> None:
    wait(target.client().online_endpoints.begin_delete(name), no_wait)


# As the REST API and `az ml` name them.
CREDENTIALS = {
    "primary_key": "primaryKey",
    "secondary_key": "secondaryKey",
    "access_token": "accessToken",
    "expiry_time_utc": "expiryTimeUtc",
    "refresh_after_time_utc": "refreshAfterTimeUtc",
    "token_type": "tokenType",
}


def get_credentials(name: str) -> dict[str, Any]:
    endpoints = target.client().online_endpoints
    if hasattr(endpoints, "credentials"):  # without azure-ai-ml, which takes seconds: the keys stand in a command line
        return endpoints.credentials(name)
    told = vars(endpoints.get_keys(name))  # of EndpointAuthKeys, EndpointAuthToken or EndpointAadToken
    return {CREDENTIALS[field]: value for field, value in told.items() if field in CREDENTIALS}


def regenerate_keys(cmd: CLICommand, name: str, key_type: str = "primary") -> None:
    target.client().online_endpoints.begin_regenerate_keys(name, key_type=key_type).result()
    note(
        cmd.cli_ctx, f"The {key_type} key of {name} is another one now; `aml online-endpoint get-credentials` shows it."
    )


def invoke(name: str, request_file: str | None = None, deployment_name: str | None = None) -> str:
    return target.client().online_endpoints.invoke(
        endpoint_name=name, request_file=request_file, deployment_name=deployment_name
    )


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "online-endpoint", "amlocal.cli.nouns.online_endpoint#{}") as group:
        group.command("create", "create")
        group.command("show", "show")
        group.command("list", "list_all", table_transformer=COLUMNS)
        group.command("update", "update")
        group.command("delete", "delete", confirmation="Are you sure you want to delete this endpoint?")
        group.command("get-credentials", "get_credentials")
        group.command("regenerate-keys", "regenerate_keys")
        group.command("invoke", "invoke")


def arguments(loader: CLICommandsLoader) -> None:
    shared(loader, "online-endpoint", "online endpoint", "online endpoints")
    for verb in ("show", "list", "delete", "invoke"):
        with ArgumentsContext(loader, f"online-endpoint {verb}") as c:
            everything_is_local(c)
    for verb in ("create", "update"):
        with ArgumentsContext(loader, f"online-endpoint {verb}") as c:
            c.argument(
                "local",
                nargs="?",
                const="true",
                choices=["false", "true"],
                help="As Azure's local endpoints: it asks for no key, and its deployment gets all requests.",
            )
    for verb in ("create", "show", "update"):
        with ArgumentsContext(loader, f"online-endpoint {verb}") as c:
            ignored(c, "--web", "-e", value=False)
    update_arguments(loader, "online-endpoint update")
    with ArgumentsContext(loader, "online-endpoint") as c:
        no_wait(c)
    with ArgumentsContext(loader, "online-endpoint regenerate-keys") as c:
        ignored(c, "--no-wait", value=False)
    with ArgumentsContext(loader, "online-endpoint create") as c:
        c.argument(
            "auth_mode",
            choices=["key", "aml_token", "aad_token"],
            help="Authentication method. Default: key.",
        )
    with ArgumentsContext(loader, "online-endpoint update") as c:
        c.argument(
            "traffic",
            options_list=["--traffic", "-r"],
            nargs="+",
            metavar="NAME=PERCENTAGE",
            help='Traffic settings: space-separated key-value pairs, in quotes. Example: "blue=90 green=10".',
        )
        c.argument(
            "mirror_traffic",
            nargs="+",
            metavar="NAME=PERCENTAGE",
            help="A deployment that gets a copy of a percentage of the live traffic; its answers go nowhere.",
        )
    with ArgumentsContext(loader, "online-endpoint regenerate-keys") as c:
        c.argument("key_type", choices=["primary", "secondary"], help="The type of key to regenerate.")
    with ArgumentsContext(loader, "online-endpoint invoke") as c:
        c.argument(
            "request_file",
            options_list=["--request-file", "-r"],
            help="Local path to the JSON file containing the request data.",
        )
        c.argument(
            "deployment_name",
            options_list=["--deployment-name", "-d"],
            help="Name of the deployment to target, whatever the traffic settings.",
        )


def everything_is_local(c: ArgumentsContext) -> None:
    """Accept `--local`, with or without a value."""
    ignored(c, "--local")


helps["online-endpoint"] = """
type: group
short-summary: Manage Azure ML online endpoints.
long-summary: >
  An endpoint is a server on this machine, http://127.0.0.1:PORT/score. It outlives the command and the shell that made
  it; `aml down` stops all endpoints of the workspace, and `aml up` starts them again, also after a reboot.
  The port is chosen once and kept; `properties: {port: "8080"}` in the file chooses it.
"""
helps["online-endpoint create"] = """
type: command
short-summary: Create an endpoint.
long-summary: If the endpoint already exists, it will fail. To change an existing one use `aml online-endpoint update`.
examples:
  - name: Create an endpoint from a YAML specification file
    text: aml online-endpoint create --file endpoint.yml
  - name: Create an endpoint without one
    text: aml online-endpoint create --name my-online-endpoint
"""
helps["online-endpoint show"] = """
type: command
short-summary: Show details for an endpoint.
long-summary: "`health` is an addition to what `az ml` shows: whether it serves in this moment, and if not, why."
examples:
  - name: Show the details for an endpoint
    text: aml online-endpoint show --name my-online-endpoint
  - name: Show whether it serves
    text: aml online-endpoint show --name my-online-endpoint --query health.status -o tsv
"""
helps["online-endpoint list"] = """
type: command
short-summary: List endpoints in a workspace.
examples:
  - name: List all the online endpoints in a workspace
    text: aml online-endpoint list -o table
"""
helps["online-endpoint update"] = """
type: command
short-summary: Update an endpoint.
long-summary: The description, tags, properties and traffic of an endpoint can be updated.
examples:
  - name: Update an endpoint from a YAML specification file
    text: aml online-endpoint update --file updated_endpoint.yml
  - name: Update the traffic settings for an endpoint
    text: aml online-endpoint update --name my-online-endpoint --traffic "blue=90 green=10"
  - name: Move it to another port, as when its own is taken
    text: aml online-endpoint update --name my-online-endpoint --set properties.port=0
"""
helps["online-endpoint delete"] = """
type: command
short-summary: Delete an endpoint.
long-summary: Its deployments and keys go with it; the data that was collected stays.
examples:
  - name: Delete an online endpoint, including all its deployments
    text: aml online-endpoint delete --name my-online-endpoint --yes
"""
helps["online-endpoint get-credentials"] = """
type: command
short-summary: List the keys for an online endpoint, or a token if that is its authentication method.
examples:
  - name: List the keys for an online endpoint
    text: aml online-endpoint get-credentials --name my-online-endpoint
  - name: Call the endpoint with curl
    text: >
      curl -H "Authorization: Bearer
      $(aml online-endpoint get-credentials -n my-online-endpoint --query primaryKey -o tsv)"
      -H "Content-Type: application/json" -d @sample_request.json
      $(aml online-endpoint show -n my-online-endpoint --query scoring_uri -o tsv)
"""
helps["online-endpoint regenerate-keys"] = """
type: command
short-summary: Regenerate the keys for an online endpoint.
examples:
  - name: Regenerate the primary key
    text: aml online-endpoint regenerate-keys --name my-online-endpoint
"""
helps["online-endpoint invoke"] = """
type: command
short-summary: Invoke an endpoint.
long-summary: You can invoke an online endpoint with some request data; the scoring results are returned immediately.
examples:
  - name: Invoke an online endpoint with some request data
    text: aml online-endpoint invoke --name my-online-endpoint --request-file sample_request.json
  - name: Invoke an online endpoint, targeting a specific deployment
    text: >
      aml online-endpoint invoke --name my-online-endpoint --deployment-name my-deployment
      --request-file sample_request.json
"""
