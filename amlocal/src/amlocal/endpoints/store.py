"""The endpoints of a workspace on disk: what was asked for, and where what runs leaves its traces.

endpoints/supervisor.json      the supervisor's process, while it is not about to go
endpoints/.stop                while it is there, nothing is to run
endpoints/<endpoint>/
    endpoint.json              the record: the truth that supervisor, gateway and `aml` read
    keys.json                  the two keys, readable by their owner only
    token.secret               what tokens are signed with, likewise
    deployments/<name>/<n>/    code/ and model/ of a deployment's n-th revision
    logs/                      _gateway.log and <deployment>.log; what was cut off them, in *.1.log
    run/                       <process>.json, <process>.ready, <process>.failed, secret, and the gateway's socket
"""

import logging
import secrets
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from amlocal.core.durable import make_folder
from amlocal.core.errors import NotFound, UserError
from amlocal.core.files import disk_errors, read_json, write_json, write_text
from amlocal.core.processes import port_is_free
from amlocal.core.records import damaged, read_record
from amlocal.core.workspace import Workspace

# Below every system's range of ports for outgoing connections, so that nobody is given ours while we are down.
PORTS = range(20_000, 32_000)
TABLES = ("traffic", "mirror_traffic", "tags", "properties")  # of an endpoint's spec
ONLINE, BATCH = "online", "batch"
LOOK_SECONDS = 0.01  # how old a gateway's knowledge of its endpoint's files may be


@dataclass
class Collection:
    """One data collection: where its records go and which share of them is kept."""

    folder: str
    percentage: float = 100.0


@dataclass
class ServingPlan:
    """A revision of a deployment, resolved to what is on this disk: all that is needed to run it."""

    revision: int
    python: str
    folder: str
    entry_script: str
    instances: int
    max_concurrent: int
    timeout_ms: int
    variables: dict[str, str]
    collections: dict[str, Collection]
    rolling_rate: str = "hour"
    durable: bool = False
    workers: int = 1  # of `instances`, those that Azure would have in one
    debug: bool = False  # its worker waits for a debugger, and a request for the user

    @property
    def patience(self) -> float:
        """Seconds that its last requests have before its workers are ended."""
        return 0.0 if self.debug else self.timeout_ms / 1000

    @property
    def most_in_flight(self) -> int:
        """Beyond it requests are answered with 429: twice the concurrency of all of Azure's instances."""
        return 2 * self.max_concurrent * self.instances // self.workers

    def processes(self, deployment: str) -> list[str]:
        """The names of its workers."""
        return [f"{deployment}-{self.revision}-{index}" for index in range(self.instances)]


@dataclass
class Deployment:
    """A deployment: its spec as `az ml` shows it, and the revisions that should run (two while it is updated)."""

    spec: dict[str, Any]
    state: str
    plans: list[ServingPlan]
    error: str | None = None


@dataclass
class Endpoint:
    """An endpoint as it stands on disk.

    local: made with `--local`, to try a deployment out: like Azure's local endpoints it asks for no key, and without
    traffic rules its deployment gets every request.
    kind: ONLINE or BATCH; a batch endpoint's deployments are in files of their own (`amlocal.batch.store`).
    revisions: the last ones of deployments that were deleted; a number never comes again, nor do processes' names.
    """

    name: str
    port: int
    instance: str
    spec: dict[str, Any]
    creation_context: dict[str, str]
    deployments: dict[str, Deployment] = field(default_factory=dict)
    local: bool = False
    revisions: dict[str, int] = field(default_factory=dict)
    kind: str = ONLINE

    @property
    def traffic(self) -> dict[str, int]:
        return self.spec["traffic"]

    @property
    def auth_mode(self) -> str:
        return self.spec.get("auth_mode", "key")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class EndpointStore:
    """The endpoints of a workspace: those of a kind, or with None all. As in Azure they share their names' space."""

    def __init__(self, workspace: Workspace, kind: str | None = ONLINE) -> None:
        self.workspace, self.kind = workspace, kind
        self.root = workspace.root / "endpoints"
        self._warned: set[str] = set()

    @property
    def supervisor(self) -> Path:
        return self.root / "supervisor.json"

    @property
    def supervisor_log(self) -> Path:
        return self.root / "supervisor.log"

    @property
    def stop(self) -> Path:
        """While this file is there, nothing is to run."""
        return self.root / ".stop"  # no endpoint can be called so

    def folder(self, name: str) -> Path:
        return self.root / name

    def record(self, name: str) -> Path:
        return self.folder(name) / "endpoint.json"

    def run(self, name: str) -> Path:
        return self.folder(name) / "run"

    def keys_file(self, name: str) -> Path:
        return self.folder(name) / "keys.json"

    def token_secret_file(self, name: str) -> Path:
        return self.folder(name) / "token.secret"

    def log(self, name: str, what: str) -> Path:
        return self.folder(name) / "logs" / f"{what}.log"

    def gateway_log(self, name: str) -> Path:
        return self.log(name, "_gateway")  # no deployment can be called so

    def create(self, endpoint: Endpoint) -> None:
        """Make the endpoint's folder, keys and record. The caller knows that the name is free."""
        folder = self.folder(endpoint.name)
        self.workspace.create()
        with disk_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            for part in ("deployments", "logs", "run"):
                make_folder(folder / part)
            folder.chmod(0o700)
        write_text(self.run(endpoint.name) / "secret", secrets.token_urlsafe(24))
        write_json(self.keys_file(endpoint.name), new_keys())
        self.renew_token_secret(endpoint.name)
        self.write(endpoint)

    def write(self, endpoint: Endpoint) -> None:
        write_json(self.record(endpoint.name), asdict(endpoint))

    def get(self, name: str) -> Endpoint:
        """The endpoint as it stands. Raises NotFound, and UserError for a record that cannot be read."""
        try:
            endpoint = read_record(self.record(name), Endpoint)
            if self.kind not in (None, endpoint.kind):
                raise FileNotFoundError
        except (FileNotFoundError, NotADirectoryError):
            kind = self.kind or ONLINE
            raise NotFound(
                f'{kind} endpoint "{name}" was not found in this workspace ({self.workspace.root});'
                f" see `aml {kind}-endpoint list`"
            ) from None
        endpoint.spec = {"description": None, **{key: {} for key in TABLES}, **endpoint.spec}
        for key in TABLES:
            if not isinstance(endpoint.spec[key], dict):
                raise damaged(self.record(name), f"spec.{key} is no object")
        return endpoint

    def deployment(self, name: str, endpoint_name: str) -> Deployment:
        """Raises NotFound for the endpoint or the deployment."""
        deployments = self.get(endpoint_name).deployments
        if name not in deployments:
            there = ", ".join(deployments) or "none"
            raise NotFound(f'endpoint "{endpoint_name}": deployment "{name}" was not found; it has {there}')
        return deployments[name]

    def all(self, broken: Callable[[str, str], None] | None = None) -> Iterator[Endpoint]:
        """Those whose record can be read; broken: is told the others' names and why. By default they are warned of."""
        for record in sorted(self.root.glob("*/endpoint.json")):
            name = record.parent.name
            try:
                yield self.get(name)
            except NotFound:
                continue  # deleted in this moment
            except (OSError, UserError) as error:
                (broken or self._warn)(name, str(error))

    def _warn(self, name: str, why: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            logging.getLogger(__name__).warning("WARNING: endpoint %s is left out: %s", name, why)

    def change(self, name: str, apply: Callable[[Endpoint], None]) -> Endpoint:
        """Read, change and write an endpoint's record, against every other process."""
        with self.workspace.lock(f"endpoint-{name}"):
            endpoint = self.get(name)
            apply(endpoint)
            self.write(endpoint)
        time.sleep(LOOK_SECONDS)  # whoever asks the endpoint after this finds it changed
        return endpoint

    def keys(self, name: str) -> dict[str, str]:
        self.get(name)
        keys = read_json(self.keys_file(name))
        sound = all(isinstance(key, str) and key for key in keys.values())
        if keys.keys() != {"primaryKey", "secondaryKey"} or not sound:
            raise damaged(self.keys_file(name), "it holds no two keys")
        return keys

    def token_secret(self, name: str) -> str:
        """What the endpoint's tokens are signed with."""
        try:
            return self.token_secret_file(name).read_text(encoding="utf-8")
        except FileNotFoundError:  # it was made before there were tokens
            return self.renew_token_secret(name)

    def renew_token_secret(self, name: str) -> str:
        """Make every token of the endpoint worthless."""
        secret = secrets.token_urlsafe(32)
        write_text(self.token_secret_file(name), secret)
        return secret

    def regenerate(self, name: str, key_type: str) -> None:
        """Replace the primary or the secondary key. Raises UserError for an endpoint without, as Azure does."""
        endpoint = self.get(name)
        if endpoint.auth_mode != "key":
            raise UserError(
                f"endpoint {name} does not use keys for authentication: its auth_mode is {endpoint.auth_mode},"
                " and its tokens expire by themselves"
            )
        if key_type not in ("primary", "secondary"):
            raise UserError(f'key type "{key_type}": it is primary or secondary')
        with self.workspace.lock(f"endpoint-{name}"):
            field_name = f"{key_type}Key"
            write_json(self.keys_file(name), {**self.keys(name), field_name: new_keys()[field_name]})
        time.sleep(LOOK_SECONDS)

    def free_port(self, name: str) -> int:
        """A port that nobody uses and no other endpoint here has: the same one again for the same endpoint."""
        taken = {endpoint.port for endpoint in self.all()}
        start = zlib.crc32(f"{self.workspace.root}/{name}".encode()) % len(PORTS)
        for port in (*PORTS[start:], *PORTS[:start]):
            if port not in taken and port_is_free(port):
                return port
        raise UserError(f"no port between {PORTS[0]} and {PORTS[-1]} is free; stop some program that listens there")


def new_keys() -> dict[str, str]:
    return {"primaryKey": secrets.token_urlsafe(32), "secondaryKey": secrets.token_urlsafe(32)}
