"""An MLflow server over the workspace's store, for jobs whose MLflow may not open its database.

MLflow's database has one layout per version, so only ours may open the file, and mlflow-skinny can open none; these
talk HTTP. One server per process that runs jobs, started when the first such job comes, gone when the process is,
however it ends.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from amlocal.core.errors import UserError
from amlocal.core.lifeline import LIFELINE
from amlocal.core.processes import free_ports
from amlocal.core.workspace import Workspace

START_SECONDS = 120.0  # a cold disk included
POLL_SECONDS = 0.05
# As `mlflow server` starts it (mlflow/server/__init__.py, _run_server), without the four seconds its own command takes.
COMMAND = ["-m", "uvicorn", "--workers", "1", "--log-level", "warning", "amlocal.environments.served:app"]
WORKSPACE = "AMLOCAL_SERVED"
VARIABLES = {
    "_MLFLOW_SGI_NAME": "uvicorn",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    # MLflow's runner of evaluation jobs is eight processes of 300 MB that nothing here uses.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class TrackingServer:
    """One running server."""

    def __init__(self, workspace: Workspace, log: Path) -> None:
        [self.port] = free_ports(1)
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = log
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "_MLFLOW_"))}
        artifacts = workspace.artifacts.as_uri()
        stores = {
            "_MLFLOW_SERVER_FILE_STORE": workspace.tracking_uri,
            # New experiments keep their files where ours do; a client on this machine reaches them there, however old.
            "_MLFLOW_SERVER_ARTIFACT_ROOT": artifacts,
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
            WORKSPACE: str(workspace.root),
        }
        command = [sys.executable, *COMMAND, "--host", "127.0.0.1", "--port", str(self.port)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LIFELINE), *command],
                cwd=workspace.root,
                env={**inherited, **VARIABLES, **stores},
                stdin=subprocess.PIPE,  # the lifeline: when we are gone, so is the server
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_it_answers(self) -> None:
        """Raises UserError when the server dies or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.running:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()  # it listens when it is ready
                return
            except OSError:
                time.sleep(POLL_SECONDS)
        self.stop()
        raise UserError(
            f"environment: MLflow's server, for a job with an MLflow of its own, did not start; see {self.log}"
        )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


_servers: dict[Path, TrackingServer] = {}
_starting = threading.Lock()


def ensure(workspace: Workspace) -> str:
    """The address of this process's server on the workspace, started if there is none. Raises UserError."""
    with _starting:
        server = _servers.get(workspace.root)
        if server is None or not server.running:
            server = TrackingServer(workspace, workspace.root / "mlflow-server.log")
            server.wait_until_it_answers()
            _servers[workspace.root] = server
        return server.address


def main() -> None:
    """Run a server on the workspace of this folder until standard input ends; its address is the first line."""
    from amlocal.core import mlflow_store

    workspace = Workspace.find()
    mlflow_store.make(workspace)
    print(ensure(workspace), flush=True)
    sys.stdin.read()
