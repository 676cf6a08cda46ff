"""Starts runners that need not import MLflow: each is a fork of one process that has imported it.

A runner takes seconds of CPU to import MLflow and to ask its store the first question, and the tests start hundreds.
One process of this file does both and waits; for each runner it forks, and the child runs the very module that
`python -m` would have run, with the arguments, environment, folder, session and streams that were asked for.

Linux only, and for tests only: elsewhere, and whenever a variable of Python's own differs, a runner is started as users
start theirs.
"""

import array
import contextlib
import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODULE = "amlocal.jobs.run.runner"
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
        if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
            self.returncode = int(self._ended.read(16) or b"-9")  # nothing: the process that forked it is gone
        return self.returncode


class Forks:
    """Stands for the module `subprocess` where runners are started; all but runners is started as ever."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None

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
        if self._socket and self._server:
            self._socket.close()
            self._server.wait()

    def _fork(self, arguments: Sequence[str], environment: Mapping[str, str], how: Mapping[str, Any]) -> Forked:
        server = self._socket or self._start()
        theirs, ours = os.pipe() if how["stdin"] == subprocess.PIPE else (os.open(os.devnull, os.O_RDONLY), None)
        ended, tells = os.pipe()
        mask = os.umask(0)
        os.umask(mask)
        request = {
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
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), " " * TITLE],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is not for it
        )
        theirs.close()
        self._socket = ours
        return ours


def _pythons(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LD_"))}


def _serve(listener: socket.socket) -> dict[str, Any]:
    """Fork whenever asked; returns in a child, with what was asked, and exits when nobody will ask again."""
    ends: dict[int, int] = {}
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([listener, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            _reap(ends)
        if listener not in ready:
            continue
        message, ancillary, _, _ = listener.recvmsg(LONGEST, socket.CMSG_SPACE(16))
        if not message:
            os._exit(0)
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data)
        pid = os.fork()
        if pid:
            for fd in fds[:3]:
                os.close(fd)
            ends[pid] = fds[3]
            listener.send(str(pid).encode())
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in range(3):
            os.dup2(fds[number], number)
        for fd in (*fds, *ends.values(), wake, woken, listener.detach()):
            os.close(fd)
        return json.loads(message)


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
    import importlib

    importlib.import_module(MODULE)
    del sys.modules[MODULE]  # each fork runs it as its main program
    from amlocal.core import mlflow_store
    from amlocal.core.workspace import Workspace

    with tempfile.TemporaryDirectory() as folder:
        before = dict(os.environ)
        workspace = Workspace(Path(folder) / ".amlocal")
        workspace.create()
        store = mlflow_store.client(workspace)
        store.get_experiment("0")
        store._tracking_client.store.engine.dispose()
        os.environ.clear()
        os.environ.update(before)


def main(descriptor: int) -> None:
    _warm_up()
    gc.collect()
    gc.freeze()  # pages that no collector touches stay shared
    asked = _serve(socket.socket(fileno=descriptor))
    os.setsid()
    os.umask(asked["umask"])
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[0] = asked["cwd"]
    sys.argv[1:] = asked["arguments"]
    _retitle([sys.executable, "-m", MODULE, *asked["arguments"]])
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
