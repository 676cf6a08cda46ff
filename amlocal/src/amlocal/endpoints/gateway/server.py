"""The gateway of one endpoint: `python -m amlocal.endpoints.gateway.server WORKSPACE ENDPOINT`.

It does what Azure's does in front of a managed online endpoint: keys, traffic rules, `azureml-model-deployment`,
limits, timeouts and error codes, and the records of what was asked and answered
(https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#http-status-codes). It reads
the endpoint's record and keys from disk, again whenever they change. It also answers at the address that
azureml-ai-monitoring's Collector posts to, under the user name of a deployment and the workers' secret.
"""

import asyncio
import base64
import binascii
import contextlib
import hmac
import os
import random
import sys
import time
import traceback
from pathlib import Path

import orjson

from amlocal.core.errors import NotFound
from amlocal.core.workspace import NOBODY, Workspace
from amlocal.endpoints import proof
from amlocal.endpoints.gateway import console, listening
from amlocal.endpoints.gateway.auth import KEY, Guard, foreign
from amlocal.endpoints.gateway.connection import Clients, Refusal, Request, most_connections
from amlocal.endpoints.gateway.exchange import Exchange, Target, not_recorded
from amlocal.endpoints.gateway.metrics import CONTENT_TYPE, Deployed, Snapshot, preload
from amlocal.endpoints.gateway.pool import Pool, WorkerLine
from amlocal.endpoints.logs import say
from amlocal.endpoints.records.recorder import Collected, Recorder
from amlocal.endpoints.store import LOOK_SECONDS, Endpoint, EndpointStore
from amlocal.endpoints.worker.instance import SOCKET, unix_sockets


class Gateway:
    """One endpoint's gateway."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.store = EndpointStore(workspace)
        self.name = name
        self.files = (self.store.record(name), self.store.keys_file(name), self.store.token_secret_file(name))
        self.secret = (self.store.run(name) / "secret").read_text(encoding="utf-8")
        self.recorder = Recorder(self.store.folder(name) / "journal")
        self.targets: dict[str, Target] = {}
        self.clients = Clients(self.handle, most_connections(), self.admit)
        self.guard: Guard | None = None  # None: it asks for no key
        self.credentials: Guard  # by which it proves to be itself, whether it asks for them or not
        self.traffic: list[tuple[float, Target]] = []
        self.mirror: list[tuple[float, Target]] = []
        self._seen: list[tuple[int, int, int]] = []
        self._look_again = 0.0
        self._trouble = ""
        self.endpoint = self.store.get(name)
        self.store.token_secret(name)  # be there, in an endpoint from before there were tokens
        self._take_over()

    # -- what the endpoint's record says

    def refresh(self) -> None:
        """Take over what has changed in the record or the keys; what cannot be read now, at a later look."""
        now = time.monotonic()
        if now < self._look_again:
            return
        self._look_again = now + LOOK_SECONDS
        trouble = ""
        try:
            self._take_over()
        except (FileNotFoundError, NotADirectoryError, NotFound):
            self._seen = []
            # deleted: nobody may enter any more, and the supervisor ends us
            self.guard = self.credentials = Guard(self.name, KEY, ())
        except Exception as error:  # no descriptor is free, or it is no record: then all stays as it was
            self._seen = []
            trouble = f"the record of endpoint {self.name} cannot be taken over: {error!r}"
        if trouble and trouble != self._trouble:
            say(trouble)
        self._trouble = trouble

    def _take_over(self) -> None:
        """Do as the files say, if they are not those that were seen last."""
        seen = [(each.st_mtime_ns, each.st_ino, each.st_size) for each in (path.stat() for path in self.files)]
        if seen != self._seen:
            self._configure()
            self._seen = seen

    def _configure(self) -> None:
        endpoint = self.store.get(self.name)
        keys, secret = self.store.keys(self.name).values(), self.store.token_secret(self.name)
        self.credentials = Guard(self.name, endpoint.auth_mode, keys, secret)
        self.guard = None if endpoint.local else self.credentials
        self.endpoint = endpoint
        for name in [name for name in self.targets if name not in endpoint.deployments]:
            self.targets.pop(name).pool.configure(set(), 0, 0.0)
        for name, deployment in endpoint.deployments.items():
            target = self.targets.setdefault(name, Target(name))
            if not deployment.plans:
                target.pool.configure(set(), 0, 0.0)
                continue
            plan = deployment.plans[-1]
            target.collections = _collections(self.workspace, endpoint, name)
            limit = plan.most_in_flight
            target.pool.configure({plan.revision for plan in deployment.plans}, limit, plan.timeout_ms / 1000)
        self.traffic = self._shares(endpoint.traffic)
        if endpoint.local and not self.traffic and len(self.targets) == 1:
            self.traffic = self._shares(dict.fromkeys(self.targets, 100))
        self.mirror = self._shares(endpoint.spec.get("mirror_traffic") or {})
        self.recorder.keep_only(
            {each.folder for target in self.targets.values() for each in target.collections.values()}
        )

    def _shares(self, percentages: dict[str, int]) -> list[tuple[float, Target]]:
        """The deployments by the upper ends of their shares of 0..100."""
        shares, end = [], 0.0
        for name, percentage in percentages.items():
            if percentage and name in self.targets:
                end += percentage
                shares.append((end, self.targets[name]))
        return shares

    def find_pool(self, deployment: str) -> Pool | None:
        self._look_again = 0.0
        self.refresh()
        target = self.targets.get(deployment)
        return target.pool if target else None

    # -- requests

    def handle(self, request: Request) -> None:
        """Answer a request, now or when its deployment has."""
        self.refresh()
        path = request.target.partition(b"?")[0]
        if path == b"/" and request.method in ("GET", "HEAD"):
            if b"text/html" in (request.header(b"accept") or b""):  # a person's browser; probes do not ask for it
                console.front(request, self.endpoint)
                return
            request.respond(200, [(b"content-type", b"text/plain; charset=utf-8")], b"Healthy")
        elif console.is_public(path):
            console.serve(request, path, self.endpoint)
        elif path == proof.PATH:
            self._prove(request)
        elif refusal := self._refusal(request, path):
            request.refuse(*refusal)
        elif path == b"/modeldata/log" and (sender := self._sender(request)):
            self._collect(request, sender)
        elif path == b"/metrics":
            self._measure(request)
        elif path == console.ABOUT:
            console.about(request, self.endpoint)
        elif path not in (b"/score", b"/swagger.json"):
            request.refuse(404, "no such path here: POST /score, GET /swagger.json, /metrics, /challenge, /console")
        else:
            self._route(request)

    def admit(self, request: Request) -> Refusal | None:
        """Why a request is refused before its large body has come; None if it is not."""
        self.refresh()
        path = request.target.partition(b"?")[0]
        if (path == b"/" and request.method in ("GET", "HEAD")) or console.is_public(path):
            return 413, "what is here for everybody takes no large body", []
        return self._refusal(request, path)

    def _refusal(self, request: Request, path: bytes) -> Refusal | None:
        """Why the sender may not ask for `path`; None if he may."""
        if reason := foreign(request, self.endpoint.port, self.guard is None):
            return 403, reason, []
        if path == b"/modeldata/log":
            if self._sender(request) is None:
                return 401, "only the scoring scripts of this endpoint may send here", []
        elif self.guard and (reason := self.guard.refusal(request.header(b"authorization"))):
            return 401, reason, [(b"www-authenticate", b"Bearer")]
        return None

    def _prove(self, request: Request) -> None:
        """Show that we know what opens the endpoint, to a client that will not tell it to anybody else."""
        port = self.endpoint.port
        if reason := foreign(request, port, self.guard is None):
            request.refuse(403, reason)
        elif request.method != "GET":
            request.refuse(405, "a challenge is asked with GET", [(b"allow", b"GET")])
        else:
            query = request.target.partition(b"?")[2]
            proofs = proof.proofs(query, port, self.credentials.keys, self.credentials.secret)
            if proofs is None:
                request.refuse(400, "the challenge needs a nonce: 16 to 128 letters, digits, - and _")
            else:
                headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
                request.respond(200, headers, orjson.dumps({"proofs": proofs}))

    def _measure(self, request: Request) -> None:
        """Answer with the page that Prometheus reads."""
        if request.method not in ("GET", "HEAD"):
            request.refuse(405, "the metrics are only there to be read: GET", [(b"allow", b"GET, HEAD")])
            return

        def answer(prepared: asyncio.Future[None]) -> None:
            try:
                prepared.result()
                page = self._snapshot().page()
            except Exception as error:
                say(traceback.format_exc())
                request.refuse(500, f"the metrics cannot be written: {error}")
            else:
                request.respond(200, [(b"content-type", CONTENT_TYPE)], page)

        asyncio.get_running_loop().run_in_executor(None, preload).add_done_callback(answer)

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            self.name,
            {
                name: Deployed(target.counts, target.pool.open, sum(line.welcome for line in target.pool.lines))
                for name, target in self.targets.items()
            },
            self.clients.answers,
            len(self.clients.connections),
            self.recorder.written,
            self.recorder.failures,
            self.recorder.lag(),
        )

    def _route(self, request: Request) -> None:
        wanted = request.header(b"azureml-model-deployment")
        if wanted:
            target = self.targets.get(wanted.decode("latin-1"))
            if target is None:
                request.refuse(404, f'endpoint {self.name} has no deployment "{wanted.decode("latin-1")}"')
                return
        else:
            target = _draw(self.traffic)
            if target is None:
                request.refuse(
                    404,
                    f"endpoint {self.name} has no deployment with traffic;"
                    f" `aml online-endpoint update -n {self.name} --traffic NAME=100` sends it some",
                )
                return
            mirror = _draw(self.mirror)
            if mirror:
                Exchange(self.recorder, mirror, request, None).start()
        Exchange(self.recorder, target, request, request).start()

    # -- the Collector

    def _collect(self, request: Request, target: Target) -> None:
        """Record what the Collector posts."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
        try:
            line = target.collected(headers, request.body)
        except KeyError as error:
            request.refuse(
                404, f"collection {error} is not enabled in the data_collector of deployment {target.pool.name}"
            )
            return

        def written(error: OSError | None) -> None:
            if error:
                request.refuse(507, not_recorded(error))
            else:
                request.respond(200, [], b"")

        self.recorder.add([line], written)

    def collect(self, deployment: str, headers: dict[str, str], body: bytes) -> None:
        """Record what the Collector of a worker hands over."""

        def written(error: OSError | None) -> None:
            if error:
                say(f"deployment {deployment}: a record of its Collector is lost: {error}")

        with contextlib.suppress(KeyError):
            self.recorder.add([self.targets[deployment].collected(headers, body)], written)

    def _sender(self, request: Request) -> Target | None:
        """The deployment that the Basic credentials name, if the secret is right."""
        scheme, _, given = (request.header(b"authorization") or b"").partition(b" ")
        try:
            name, _, secret = base64.b64decode(given).partition(b":")
        except binascii.Error:
            return None
        if scheme.lower() == b"basic" and hmac.compare_digest(secret, self.secret.encode()):
            return self.targets.get(name.decode("latin-1"))
        return None

    # -- the process

    async def run(self) -> None:
        """Serve until the process is ended."""
        loop = asyncio.get_running_loop()
        workers = await self._listen_to_workers(loop)
        port = self.endpoint.port
        clients = await listening.listen(self.clients, port, self.name)
        await listening.serve(self.clients, self.workspace, self.refresh, lambda: self.endpoint.port == port)
        clients.close()
        workers.close()

    async def _listen_to_workers(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractServer:
        """At a unix socket in the run folder, our current one; where there are none, on loopback."""
        Path(SOCKET).unlink(missing_ok=True)
        make = lambda: WorkerLine(self.secret, self.find_pool, self.collect)  # noqa: E731
        if unix_sockets():
            before = os.umask(0o177)
            try:
                return await loop.create_unix_server(make, SOCKET)
            finally:
                os.umask(before)
        server = await loop.create_server(make, "127.0.0.1", 0)
        Path(SOCKET).write_text(str(server.sockets[0].getsockname()[1]))
        return server


def _draw(shares: list[tuple[float, Target]]) -> Target | None:
    if not shares:
        return None
    if shares[0][0] >= 100:
        return shares[0][1]
    drawn = random.random() * 100  # noqa: S311 (traffic, not secrets)
    return next((target for end, target in shares if drawn < end), None)


def _collections(workspace: Workspace, endpoint: Endpoint, deployment: str) -> dict[str, Collected]:
    plan = endpoint.deployments[deployment].plans[-1]
    source = (
        f"/subscriptions/{NOBODY}/resourceGroups/local"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{workspace.name}"
        f"/onlineEndpoints/{endpoint.name}/deployments/{deployment}"
    )
    return {
        name: Collected(each.folder, name, source, endpoint.instance, plan.rolling_rate, each.percentage, plan.durable)
        for name, each in plan.collections.items()
    }


def main(root: str, name: str) -> int:
    workspace = Workspace.at(Path(root))
    gateway = Gateway(workspace, name)
    os.chdir(gateway.store.run(name))
    return listening.run(gateway.run())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
