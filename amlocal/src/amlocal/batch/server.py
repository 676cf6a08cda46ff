"""One batch endpoint's server, on loopback: `python -m amlocal.batch.server WORKSPACE ENDPOINT`.

`POST /jobs` starts a job, as the documented REST API does, and nothing else is served. The supervisor of the endpoints
starts it, and starts it again when it dies. Every request is answered by a process of its own (batch/invoke.py), so
that at rest nothing heavy is loaded.
"""

import asyncio
import os
import sys
from pathlib import Path

import orjson

from amlocal.batch.store import BatchStore
from amlocal.core.errors import NotFound, UserError
from amlocal.core.workspace import Workspace
from amlocal.endpoints.gateway import listening
from amlocal.endpoints.gateway.auth import KEY, Guard, foreign
from amlocal.endpoints.gateway.connection import Clients, Refusal, Request, most_connections
from amlocal.endpoints.logs import say
from amlocal.endpoints.store import BATCH

AT_ONCE = 2  # jobs that are being started; each takes a core for a second
JSON = [(b"content-type", b"application/json")]


class BatchServer:
    """The server of one endpoint."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace, self.name = workspace, name
        self.store = BatchStore(workspace)
        self.clients = Clients(self.handle, most_connections(), self.admit)
        self._starting = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.endpoint = self.store.get(name)
        self.guard = Guard(name, KEY, ())
        self.look()

    def look(self) -> None:
        """Take over the record and the keys as they are now; what cannot be read now, at a later look."""
        endpoints = self.store.endpoints
        try:
            endpoint = self.store.get(self.name)
            keys, secret = endpoints.keys(self.name).values(), endpoints.token_secret(self.name)
        except NotFound:  # deleted: nobody may enter any more, and the supervisor ends us
            self.guard = Guard(self.name, KEY, ())
        except (OSError, UserError) as error:
            say(f"the record of endpoint {self.name} cannot be taken over: {error}")
        else:
            self.endpoint, self.guard = endpoint, Guard(self.name, endpoint.auth_mode, keys, secret, BATCH)

    # -- requests

    def handle(self, request: Request) -> None:
        """Answer a request, now or when its job has started."""
        path = request.target.partition(b"?")[0]
        if path == b"/" and request.method in ("GET", "HEAD"):
            request.respond(200, [(b"content-type", b"text/plain; charset=utf-8")], b"Healthy")
        elif refusal := self._refusal(request):
            request.refuse(*refusal)
        elif path != b"/jobs":
            request.refuse(404, "no such path here: POST /jobs")
        elif request.method != "POST":
            request.refuse(405, "a job is started with POST", [(b"allow", b"POST")])
        else:
            task = asyncio.get_running_loop().create_task(self._start(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def admit(self, request: Request) -> Refusal | None:
        """Why a request is refused before its large body has come; None if it is not."""
        return self._refusal(request)

    def _refusal(self, request: Request) -> Refusal | None:
        self.look()
        if reason := foreign(request, self.endpoint.port, keyless=False):
            return 403, reason, []
        if reason := self.guard.refusal(request.header(b"authorization")):
            return 401, reason, [(b"www-authenticate", b"Bearer")]
        return None

    async def _start(self, request: Request) -> None:
        named = request.header(b"azureml-model-deployment")
        deployment = [named.decode("latin-1")] if named else []
        command = (sys.executable, "-m", "amlocal.batch.invoke", str(self.workspace.root), self.name, *deployment)
        try:
            async with self._starting:
                pipe = asyncio.subprocess.PIPE
                process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
                out, _ = await process.communicate(bytes(request.body))
            answer = orjson.loads(out)
        except (OSError, ValueError) as error:
            say(f"a request was not answered: {error!r}")
            request.refuse(500, f"the job could not be started; see {self.store.endpoints.gateway_log(self.name)}")
            return
        request.respond(answer["status"], JSON, orjson.dumps(answer["body"]))

    # -- the process

    async def run(self) -> None:
        """Serve until the process is ended."""
        port = self.endpoint.port
        server = await listening.listen(self.clients, port, self.name, BATCH)
        await listening.serve(self.clients, self.workspace, self.look, lambda: self.endpoint.port == port)
        server.close()


def main(root: str, name: str) -> int:
    server = BatchServer(Workspace.at(Path(root)), name)
    os.chdir(server.store.endpoints.run(name))
    return listening.run(server.run())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
