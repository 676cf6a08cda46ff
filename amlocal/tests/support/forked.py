"""Starts runners and `az` without their imports: each is a fork of one process that has imported MLflow and the SDK.

A runner takes seconds of CPU to import MLflow and to ask its store the first question, an `az ml` as long to import
azure-ai-ml, and the tests start hundreds of either. One process of this file does both and waits; for each it forks,
and the child runs the very module that `python -m` would have run, with the arguments, environment, folder and streams
that were asked for.

    forks = Forks()                          # in place of the module `subprocess` where runners are started
    AML_PYTHON=forks.python(folder)          # in place of the Python that runs the stand-in for `az`

Linux only, and for tests only: elsewhere, and whenever a variable of Python's own differs, a runner is started as users
start theirs.
"""

import array
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODULE = "amlocal.jobs.run.runner"
AZ = "amlocal.cli.az"
CLIENT = Path(__file__).with_name("forked_az.py")
TITLE = 4096  # bytes that a fork has for its command line, as other processes see it
LONGEST = 1 << 20  # bytes of one request
REAL = subprocess.Popen


class Forked:
    """What `subprocess.Popen` returns, as far as it is used for runners."""

    def __init__(self, pid: int, ended: int, stdin: Any) -> None:
        self.pid, self.stdin = pid, stdin
        self.returncode: int | None = None
        self._ended = open(ended, "rb", buffering=0)  # noqa: SIM115 (lives as long as this object)

    def __del__(self) -> None:
        self._ended.close()

    def poll(self) -> int | None:
        return self._read(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._read(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(MODULE, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read(self, timeout: float | None) -> int | None:
        ended = select.poll()  # not select.select, which knows no descriptor above 1,023
        ended.register(self._ended, select.POLLIN)
        if self.returncode is None and ended.poll(None if timeout is None else 1000 * timeout):
            self.returncode = int(self._ended.read(16) or b"-9")  # nothing: the process that forked it is gone
        return self.returncode


class Forks:
    """Stands for the module `subprocess` where runners are started; all but runners is started as ever."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, command: Sequence[str], **how: Any) -> Any:
        environment = how.get("env", os.environ)
        ours = list(command[:3]) == [sys.executable, "-m", MODULE] and subprocess.Popen is REAL
        if ours and sys.platform == "linux" and _pythons(environment) == _pythons(os.environ):
            return self._fork(command[3:], environment, how)
        return subprocess.Popen(command, **how)

    def close(self) -> None:
        """Let the process end that forks; what it has forked goes on."""
        if self._socket and self._server and self._folder:
            self._socket.close()
            self._server.wait()
            shutil.rmtree(self._folder)

    def python(self, folder: Path) -> Path:
        """A program, written to `folder`, that stands for the Python that runs the stand-in for `az`."""
        if sys.platform != "linux":
            return Path(sys.executable)
        if not self._socket:
            self._start()
        program = folder / "python-of-az"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{CLIENT}" "{self._folder}/socket" "$@"\n')
        program.chmod(0o755)
        return program

    def _fork(self, arguments: Sequence[str], environment: Mapping[str, str], how: Mapping[str, Any]) -> Forked:
        server = self._socket or self._start()
        theirs, ours = os.pipe() if how["stdin"] == subprocess.PIPE else (os.open(os.devnull, os.O_RDONLY), None)
        ended, tells = os.pipe()
        mask = os.umask(0)
        os.umask(mask)
        request = {
            "module": MODULE,
            "arguments": list(arguments),
            "environment": dict(environment),
            "cwd": str(how["cwd"]),
            "umask": mask,
        }
        passed = [theirs, how["stdout"].fileno(), how["stderr"].fileno(), tells]
        server.sendmsg(
            [json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", passed))]
        )
        os.close(theirs)
        os.close(tells)
        answer = server.recv(32)
        assert answer, "the process that forks runners is gone"
        return Forked(int(answer), ended, os.fdopen(ours, "wb") if ours is not None else None)

    def _start(self) -> socket.socket:
        self._folder = Path(tempfile.mkdtemp(prefix="forked-"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(self._folder / "socket"))
            listener.listen(128)
            ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
            ours.connect(str(self._folder / "socket"))
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno()), " " * TITLE],
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is not for it
            )
        self._socket = ours
        return ours


def _pythons(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LD_"))}


def _serve(listener: socket.socket) -> dict[str, Any]:
    """Fork whenever asked; returns in a child, with what was asked, and exits when the first who asked is gone."""
    ends: dict[int, int] = {}
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    first, _ = listener.accept()
    asking = [first]
    while True:
        ready, _, _ = select.select([listener, wake, *asking], [], [])
        if wake in ready:
            os.read(wake, 4096)
            _reap(ends)
        if listener in ready:
            asking.append(listener.accept()[0])
        for each in [one for one in asking if one in ready]:
            message, ancillary, _, _ = each.recvmsg(LONGEST, socket.CMSG_SPACE(16))
            if not message:
                if each is first:
                    os._exit(0)
                asking.remove(each)
                each.close()
                continue
            fds = array.array("i")
            for _, _, data in ancillary:
                fds.frombytes(data)
            asked = json.loads(message)
            if asked["module"] == AZ:
                _import_the_sdk()
            pid = os.fork()
            if pid:
                for fd in fds[:3]:
                    os.close(fd)
                ends[pid] = fds[3]
                each.send(str(pid).encode())
                continue
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in range(3):
                os.dup2(fds[number], number)
            for fd in (*fds, *ends.values(), wake, woken, listener.detach(), *(one.detach() for one in asking)):
                os.close(fd)
            return asked


def _import_the_sdk() -> None:
    """What `az ml` imports when it asks Azure."""
    if AZ not in sys.modules:
        import azure.ai.ml
        import azure.identity  # noqa: F401

        importlib.import_module(AZ)
        importlib.import_module("amlocal.cli.app")
        gc.collect()
        gc.freeze()


def _reap(ends: dict[int, int]) -> None:
    """Tell how those have ended that have."""
    for pid in list(ends):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            fd = ends.pop(pid)
            with contextlib.suppress(BrokenPipeError):  # nobody may want to know
                os.write(fd, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(fd)


def _retitle(command: Sequence[str]) -> None:
    """Have other processes see this command line: tests find runners by it."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # proc(5): fields 48 and 49
    text = b"\0".join(os.fsencode(word) for word in command)[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, text, len(text))


def _warm_up() -> None:
    """Import what a runner imports, and open a store: the first one is the slow one."""
    importlib.import_module(MODULE)
    from quicker import hurry

    from amlocal.core import mlflow_store
    from amlocal.core.workspace import Workspace

    mlflow_store.get_ready()
    hurry()
    with tempfile.TemporaryDirectory() as folder:
        before = dict(os.environ)
        workspace = Workspace(Path(folder) / ".amlocal")
        workspace.create()
        store = mlflow_store.client(workspace)
        store.get_experiment("0")
        mlflow_store.close(store)
        os.environ.clear()
        os.environ.update(before)


def main(descriptor: int) -> None:
    _warm_up()
    gc.collect()
    gc.freeze()  # pages that no collector touches stay shared
    asked = _serve(socket.socket(fileno=descriptor))
    module = asked["module"]
    os.umask(asked["umask"])
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv[1:] = asked["arguments"]
    # What Python knows of the old ones, as that they are files, is not true of these.
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    if module == MODULE:
        os.setsid()
        sys.path[0] = asked["cwd"]
        _retitle([sys.executable, "-m", MODULE, *asked["arguments"]])
    else:
        del sys.path[0]  # -P
        sys.path[:0] = filter(None, asked["environment"].get("PYTHONPATH", "").split(os.pathsep))
        sys.modules.pop("sitecustomize", None)
        with contextlib.suppress(ImportError):
            importlib.import_module("sitecustomize")
    sys.modules.pop(module, None)  # each fork runs it as its main program
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
