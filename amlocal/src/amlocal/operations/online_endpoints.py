"""`client.online_endpoints`: MLClient's operations on the endpoints of a workspace."""

import errno
import http.client
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amlocal.core.documents import json_of
from amlocal.core.errors import NotFound, UserError
from amlocal.core.files import disk_errors
from amlocal.core.names import creation_context
from amlocal.core.processes import end, find, port_is_free
from amlocal.core.workspace import Workspace
from amlocal.endpoints import supervisor
from amlocal.endpoints.gateway.auth import KEY, MODES, token
from amlocal.endpoints.health import (
    endpoint_health,
    wait_for_gateway,
)
from amlocal.endpoints.plan import check_name, check_traffic
from amlocal.endpoints.proof import NotProven, ProvenConnection
from amlocal.endpoints.store import Endpoint, EndpointStore
from amlocal.operations import rest, service
from amlocal.operations.common import ENDPOINT_NAMES, Operations, Poller, missing, principal

START_SECONDS = 600.0  # a script may load a large model; one that fails says so long before
ANSWER_SECONDS = 30.0  # a gateway that has not answered so long after its deployment's time was up never will
MOST_DEPLOYMENTS = 20
TOO_MANY_DEATHS = 2


class OnlineEndpointOperations(Operations):
    """`client.online_endpoints`"""

    takes = ("OnlineEndpoint",)
    any_case = ENDPOINT_NAMES

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.store = EndpointStore(workspace)

    def begin_create_or_update(self, endpoint: Any, *, local: bool | None = None, **_: Any) -> Poller:
        """Create an endpoint, or change all of it but its name; returns when it serves.

        local: it asks for no key, and its deployment needs no traffic rule; None: as it was, at first False.
        """
        name = check_name("endpoint", endpoint.name)
        if _auth_mode(endpoint) not in MODES:
            raise UserError(f"endpoint {name}: auth_mode: {endpoint.auth_mode} is none of {', '.join(MODES)}")
        try:
            self.store.get(name)
        except NotFound:
            self._create(endpoint, bool(local))
        else:
            self._update(endpoint, local)
        return Poller(self.get(name))

    def _create(self, entity: Any, local: bool) -> None:
        name = entity.name
        traffic, mirror = _shares(entity.traffic), _shares(entity.mirror_traffic)
        check_traffic(name, traffic, mirror, ())
        with self.workspace.lock("endpoints"):
            if self.store.record(name).exists():
                raise taken(self.workspace, name)
            self.store.create(
                Endpoint(
                    name=name,
                    port=port_of(self.store, entity, name, None),
                    instance=uuid.uuid4().hex,
                    spec=_spec(entity, traffic, mirror),
                    creation_context=creation_context(),
                    local=local,
                )
            )
        try:
            supervisor.ensure(self.workspace)
            wait_for_gateway(self.store, name)
        except BaseException:  # or it would come to life once the machine has time for it, or at the next `aml up`
            self.begin_delete(name)
            raise

    def _update(self, entity: Any, local: bool | None) -> None:
        before = self.store.get(entity.name)
        port = port_of(self.store, entity, entity.name, before.port)

        def apply(endpoint: Endpoint) -> None:
            traffic, mirror = _shares(entity.traffic), _shares(entity.mirror_traffic)
            check_traffic(endpoint.name, traffic, mirror, endpoint.deployments)
            if _auth_mode(entity) != endpoint.auth_mode:  # what was given out before does not open any more
                self.store.renew_token_secret(endpoint.name)
            endpoint.spec = _spec(entity, traffic, mirror)
            endpoint.port = port
            endpoint.local = endpoint.local if local is None else local

        self.store.change(entity.name, apply)
        move_endpoint(self.store, entity.name, before.port, port)

    def get(self, name: str, *, local: bool = False) -> Any:
        try:
            return self._entity(self.store.get(name))
        except NotFound as error:
            raise missing(error) from error

    def list(self, *, local: bool = False) -> Iterator[Any]:
        for endpoint in self.store.all():
            yield self._entity(endpoint)

    def describe(self, name: str) -> dict[str, Any]:
        return self._describe(self.store.get(name))

    def describe_all(self) -> Sequence[dict[str, Any]]:
        return [self._describe(endpoint) for endpoint in self.store.all()]

    def begin_delete(self, name: str | None = None, *, local: bool = False) -> Poller:
        """End and remove an endpoint with its deployments and keys; what it collected stays.

        One that is not there is no error, as on Azure, which answers 204.
        """
        try:
            endpoint = self.store.get(str(name))
        except NotFound:
            return Poller(None)
        remove_endpoint(self.store, endpoint)
        return Poller(None)

    def get_keys(self, name: str) -> Any:
        """azure-ai-ml's entity: EndpointAuthKeys, EndpointAuthToken or EndpointAadToken."""
        from azure.ai.ml.entities import EndpointAadToken, EndpointAuthKeys, EndpointAuthToken
        from azure.core.credentials import AccessToken

        told = self.credentials(name)
        match self.store.get(name).auth_mode:
            case "key":
                return EndpointAuthKeys(primary_key=told["primaryKey"], secondary_key=told["secondaryKey"])
            case "aml_token":
                return EndpointAuthToken(
                    access_token=told["accessToken"],
                    expiry_time_utc=told["expiryTimeUtc"],
                    refresh_after_time_utc=told["refreshAfterTimeUtc"],
                    token_type=told["tokenType"],
                )
            case _:
                return EndpointAadToken(AccessToken(told["accessToken"], told["expiryTimeUtc"]))

    def credentials(self, name: str) -> dict[str, Any]:
        """What `az ml online-endpoint get-credentials` prints: the keys, or a new token."""
        mode = self.store.get(name).auth_mode
        return self.store.keys(name) if mode == KEY else token(name, mode, self.store.token_secret(name))

    def begin_regenerate_keys(self, name: str, *, key_type: str = "primary") -> Poller:
        self.store.regenerate(name, key_type)
        return Poller(None)

    def invoke(
        self,
        endpoint_name: str,
        *,
        request_file: str | None = None,
        deployment_name: str | None = None,
        local: bool = False,
        **_: Any,
    ) -> str:
        """Send the JSON in `request_file` to the endpoint, with its key or a token; returns the answer's text.

        Raises UserError for an answer that is not 200, with its status and message.
        """
        endpoint = self.store.get(endpoint_name)
        if deployment_name:
            self.store.deployment(deployment_name, endpoint_name)
        if not request_file:
            raise UserError("invoke: a request file is required: --request-file FILE, the JSON to send")
        try:
            text = Path(request_file).read_bytes()
        except OSError as error:
            raise UserError(f"{request_file}: cannot be read: {error.strerror}") from error
        data = json_of(text, request_file)
        credentials = self.credentials(endpoint_name)
        credential = credentials.get("primaryKey") or credentials["accessToken"]
        headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
        if deployment_name:
            headers["azureml-model-deployment"] = deployment_name
        plans = [plan for deployment in endpoint.deployments.values() for plan in deployment.plans]
        seconds = max((plan.timeout_ms / 1000 for plan in plans), default=0.0) + ANSWER_SECONDS
        connection = ProvenConnection("127.0.0.1", endpoint.port, credential, seconds)
        try:
            connection.request("POST", "/score", json.dumps(data).encode(), headers)
            response = connection.getresponse()
            said = response.read().decode(errors="replace")
        except NotProven as error:
            health = endpoint_health(self.store, endpoint)
            raise UserError(f"endpoint {endpoint_name}: {error}; {health['message'] or 'see `aml doctor`'}") from error
        except (OSError, http.client.HTTPException) as error:
            health = endpoint_health(self.store, endpoint)
            raise UserError(f"endpoint {endpoint_name} does not answer: {health['message'] or error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise UserError(f"endpoint {endpoint_name} answered {response.status} {response.reason}: {said}")
        return said

    def _describe(self, endpoint: Endpoint) -> dict[str, Any]:
        spec = endpoint.spec
        traffic = {name: 0 for name in endpoint.deployments if not spec["mirror_traffic"].get(name)} | endpoint.traffic
        return {
            "auth_mode": endpoint.auth_mode,
            "creation_context": endpoint.creation_context,
            "description": spec["description"],
            "health": endpoint_health(self.store, endpoint),
            "id": self.workspace.id_of("onlineEndpoints", endpoint.name),
            "identity": {"type": "system_assigned", **principal("endpoint", endpoint.name)},
            "kind": service.ENDPOINT_KIND,
            "location": "local",
            "mirror_traffic": spec["mirror_traffic"],
            "name": endpoint.name,
            "openapi_uri": f"{endpoint.address}/swagger.json",
            "properties": service.endpoint_properties(self.workspace, endpoint.name, endpoint.creation_context)
            | spec["properties"],
            "provisioning_state": "Succeeded",
            "public_network_access": spec.get("public_network_access") or service.ENDPOINT_ACCESS,
            "scoring_uri": f"{endpoint.address}/score",
            "tags": spec["tags"],
            "traffic": traffic,
        }

    def _entity(self, endpoint: Endpoint) -> Any:
        return rest.entity("online endpoint", self._describe(endpoint))


def taken(workspace: Workspace, name: str) -> UserError:
    """What to say where a new endpoint would have another's name: Azure has one space of names for all kinds."""
    kind = EndpointStore(workspace, None).get(name).kind
    return UserError(f"{kind} endpoint {name} exists already; change it with `aml {kind}-endpoint update`")


def _spec(entity: Any, traffic: dict[str, int], mirror: dict[str, int]) -> dict[str, Any]:
    properties = {
        key: str(value)
        for key, value in (entity.properties or {}).items()
        if key not in service.OF_AN_ENDPOINT and (key != "port" or str(value) != "0")
    }
    return {
        "auth_mode": _auth_mode(entity),
        "description": entity.description,
        "tags": dict(entity.tags or {}),
        "properties": properties,
        "public_network_access": _word(entity.public_network_access or "enabled"),
        "traffic": traffic,
        "mirror_traffic": mirror,
    }


def _word(value: Any) -> str:
    """A text, or a member of one of azure-ai-ml's enumerations, in small letters as az prints it."""
    return str(getattr(value, "value", value)).lower()


def _auth_mode(entity: Any) -> str:
    return str(entity.auth_mode or KEY).lower()


def _shares(traffic: Any) -> dict[str, int]:
    """Traffic without the deployments that get none; whole numbers may come as text from --set."""
    shares = {
        str(name).lower(): int(share) if str(share).isdecimal() else share for name, share in (traffic or {}).items()
    }
    return {name: share for name, share in shares.items() if share != 0}


def port_of(store: EndpointStore, entity: Any, name: str, now: int | None) -> int:
    """The port of `properties.port`; without one, that of before or a free one (0: another than before)."""
    wanted = (entity.properties or {}).get("port")
    if wanted is None:
        return now if now is not None else store.free_port(name)
    if not str(wanted).isdecimal() or int(wanted) > 65535:
        raise UserError(
            f"endpoint {name}: properties.port: {wanted!r} is no port; give 1 to 65535, or 0 for a free one"
        )
    if int(wanted) == 0:
        return store.free_port(name)
    if int(wanted) != now and not port_is_free(int(wanted)):
        raise UserError(
            f"endpoint {name}: properties.port: port {wanted} on 127.0.0.1 is in use by another program, or not"
            " allowed; give another one, or leave it out and a free one is taken"
        )
    return int(wanted)


def move_endpoint(store: EndpointStore, name: str, before: int, port: int) -> None:
    """Have an endpoint serve, at `port` if that is another than before."""
    if port != before:  # the workers know it, too
        (store.run(name) / "gateway.failed").unlink(missing_ok=True)
        _end_processes(store, name)
    supervisor.ensure(store.workspace)
    wait_for_gateway(store, name)


def remove_endpoint(store: EndpointStore, endpoint: Endpoint) -> None:
    """End what runs of an endpoint of any kind, and remove its folder."""
    with store.workspace.lock(f"endpoint-{endpoint.name}"):
        store.record(endpoint.name).unlink(missing_ok=True)
        _remove(store, endpoint.name)
    for _ in range(100):  # the supervisor lets go of its port within moments
        if port_is_free(endpoint.port):
            break
        time.sleep(0.01)


def _end_processes(store: EndpointStore, name: str) -> None:
    end(filter(None, map(find, store.run(name).glob("*.json"))))


def _remove(store: EndpointStore, name: str) -> None:
    """End what runs and remove the folder. The supervisor tidies up there too: files go before us, or come."""
    folder = store.folder(name)
    deadline = time.monotonic() + supervisor.GRACE_SECONDS
    while folder.exists():
        _end_processes(store, name)
        try:
            with disk_errors(folder):
                shutil.rmtree(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY) or time.monotonic() > deadline:
                raise
