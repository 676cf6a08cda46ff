"""`aml mlflow ui`: MLflow's pages on the workspace's store. An addition to the verbs of `az ml`."""

import argparse
import collections
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import NoReturn

from knack.arguments import ArgumentsContext
from knack.commands import CLICommand, CLICommandsLoader, CommandGroup
from knack.help_files import helps

from amlocal.cli import mlflow_pages, target
from amlocal.cli.interrupt import termination_as_interrupt
from amlocal.cli.printing import note
from amlocal.core.errors import UserError

START_SECONDS = 120  # a cold disk and a first migration of the store included
# MLflow's runner of evaluation jobs is eight processes of 300 MB that nothing here uses.
ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
SERVER = ["-m", "mlflow", "server"]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def ui(cmd: CLICommand, port: int = 5000, host: str = "127.0.0.1") -> None:
    target.local_only("mlflow ui")
    workspace = target.workspace()
    store = workspace.tracking_uri
    if store.startswith(("http://", "https://")):
        print(workspace.shown_uri)
        note(cmd.cli_ctx, "MLFLOW_TRACKING_URI names a server that has its own pages: open this address.")
        return
    port = _free_port(host, int(port))  # knack's default is an int of its own kind, which sockets do not take
    workspace.create()
    command = [sys.executable, *SERVER, "--backend-store-uri", store]
    command += ["--artifacts-destination", workspace.artifacts.as_uri()]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    if entry_points(group="mlflow.app", name=mlflow_pages.NAME):  # an amlocal that is only on the path has none
        command += ["--app-name", mlflow_pages.NAME]
    # From the first moment, so that a kill while the server starts takes it along.
    with termination_as_interrupt(), Server(command, workspace.root) as server:
        server.wait_until_it_answers(host, port)
        print(f"http://{host}:{port}", flush=True)
        if host not in LOOPBACK:
            note(cmd.cli_ctx, "Everybody who reaches this machine can open it: it asks for no password.")
        note(cmd.cli_ctx, "MLflow shows the jobs and models of this workspace there. Ctrl-C stops it.")
        server.wait()


def port_number(text: str) -> int:
    number = int(text)
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 65535")
    return number


def _free_port(host: str, port: int) -> int:
    """`port`, or for 0 one that nobody uses. Raises UserError when it is taken."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if os.name != "nt":  # there the option would let the probe succeed on a port in use
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise UserError(
            f"port {port} on {host} cannot be used ({error}); is the UI running already? "
            f"Else choose another one: aml mlflow ui --port {port % 65535 + 1}"
        ) from error


class Server:
    """MLflow's server; on leaving the context, it and all it has started are gone.

    It gets a process group of its own: at Ctrl-C a server that dies by itself would orphan its workers.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # POSIX; on Windows the flag does it
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._last_words: collections.deque[str] = collections.deque(maxlen=1)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def wait_until_it_answers(self, host: str, port: int) -> None:
        """Raises UserError when the server dies or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self.wait()
            try:
                socket.create_connection((host, port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise UserError(f"MLflow's server did not answer on port {port} within {START_SECONDS} s")

    def wait(self) -> NoReturn:
        """A server has no reason to end by itself: raises UserError with the last it said."""
        code = self._process.wait()
        self._listener.join(timeout=5)
        said = self._last_words[-1] if self._last_words else "it said nothing"
        raise UserError(f"MLflow's server ended (exit code {code}): {said}")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        self._last_words.extend(line.strip() for line in self._process.stdout if line.strip())

    def _end(self) -> None:
        """End the whole tree: politely, after five seconds by force."""
        import psutil

        try:
            root = psutil.Process(self._process.pid)
            tree = [*root.children(recursive=True), root]
        except psutil.NoSuchProcess:
            tree = []
        for way in ("terminate", "kill"):
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    getattr(process, way)()
            _, tree = psutil.wait_procs(tree, timeout=5)
        self._process.wait()


def commands(loader: CLICommandsLoader) -> None:
    with CommandGroup(loader, "mlflow", "amlocal.cli.nouns.mlflow#{}") as group:
        group.command("ui", "ui")


def arguments(loader: CLICommandsLoader) -> None:
    with ArgumentsContext(loader, "mlflow ui") as c:
        c.argument("port", type=port_number, help="Port to listen on; 0 takes a free one.")
        c.argument("host", help="Network interface to listen on. The default is reachable from this machine only.")


helps["mlflow"] = """
type: group
short-summary: Look at jobs and models in MLflow (an addition to `az ml`).
"""
helps["mlflow ui"] = """
type: command
short-summary: Run MLflow's UI on the workspace's store (an addition to `az ml`).
long-summary: Prints the address to open and runs until Ctrl-C.
examples:
  - name: Look at the workspace's jobs, metrics and models in a browser
    text: aml mlflow ui
  - name: Use another port
    text: aml mlflow ui --port 5001
"""
