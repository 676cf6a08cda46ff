"""Starts runners, jobs and `az` without their imports: each is a fork of one process that has imported what they do.

A runner takes seconds of CPU to import MLflow and to ask its store the first question, an `az ml` as long to import
azure-ai-ml, a job that trains as long to import TensorFlow, and the tests start hundreds of them. One process of this
file does so once and waits; for each it forks, and the child runs the very module that `python -m` would have run (or
the code of `python -c`), with the arguments, environment, folder and streams that were asked for.

    forks = Forks()                          # in place of the module `subprocess` where runners are started
    forks = Forks(folder)                    # the same in another process: `folder` is the first one's
    AML_PYTHON=forks.python(folder)          # in place of the Python that runs the stand-in for `az`

A runner that was forked puts a program in the place of its jobs' `python`. That has those forked which import MLflow:
the code of `python -c` or the script that names it, and the template's own modules. All other Python starts as ever.

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
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlocal.core import processes
from amlocal.environments import overlay

MODULE = "amlocal.jobs.run.runner"
AZ = "amlocal.cli.az"
CLIENT = Path(__file__).with_name("forked_az.py")
# In the place of a job's `python`; its arguments are those of a Python.
JOBS_PYTHON = """#!/bin/sh
case "$1 $2" in
"-m digits.jobs."* | "-m drift."* | "-c "*mlflow*) exec "{python}" -IS "{client}" "{socket}" "$0" "$@" ;;
*".py "*) grep -qs -e mlflow -- "$1" && exec "{python}" -IS "{client}" "{socket}" "$0" "$@" ;;
esac
exec "$0{version}" "$@"
"""
# Which words in a command line tell that it will import azure-ai-ml, and TensorFlow.
ASKS_AZURE = {AZ, "ipykernel_launcher", "demo.py"}
TRAINS = {"digits.jobs.train"}
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

    def __init__(self, folder: Path | None = None) -> None:
        """folder: of the process that forks, where another process has started it."""
        self._socket: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._folder = folder

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

    @property
    def folder(self) -> Path:
        """Where the process that forks listens."""
        if not self._socket:
            self._start()
        assert self._folder
        return self._folder

    def command(self, python: Path | None = None) -> list[str]:
        """The words before those of a Python's command line; python: what it takes itself for."""
        if sys.platform != "linux":
            return [sys.executable]
        return [sys.executable, "-IS", str(CLIENT), str(self.folder / "socket"), str(python or sys.executable)]

    def prefix(self, folder: Path) -> Path:
        """The interpreter of a new prefix, as a job gets it: it forks what imports MLflow."""
        if sys.platform != "linux":
            return Path(sys.executable)
        return _make(self.folder)(folder, None)

    def python(self, folder: Path) -> Path:
        """A program, written to `folder`, that stands for the Python that runs the stand-in for `az`."""
        if sys.platform != "linux":
            return Path(sys.executable)
        program = folder / "python-of-az"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(self.command())} "$@"\n')
        program.chmod(0o755)
        return program

    def _fork(self, arguments: Sequence[str], environment: Mapping[str, str], how: Mapping[str, Any]) -> Forked:
        server = self._socket or self._start()
        theirs, ours = os.pipe() if how["stdin"] == subprocess.PIPE else (os.open(os.devnull, os.O_RDONLY), None)
        ended, tells = os.pipe()
        mask = os.umask(0)
        os.umask(mask)
        request = {
            "python": sys.executable,
            "arguments": ["-m", MODULE, *arguments],
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
        if self._folder:
            self._socket = _connected(self._folder)
            return self._socket
        self._folder = Path(tempfile.mkdtemp(prefix="forked-"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(self._folder / "socket"))
            listener.listen(128)
            ours = _connected(self._folder)
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno()), " " * TITLE],
                stdin=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is not for it
            )
        self._socket = ours
        return ours


def _connected(folder: Path) -> socket.socket:
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
    ours.connect(str(folder / "socket"))
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
            message, ancillary, _, _ = each.recvmsg(LONGEST, socket.CMSG_SPACE(20))
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
            if ASKS_AZURE.intersection(asked["arguments"]):
                _import_the_sdk()
            if TRAINS.intersection(asked["arguments"]):
                _import_tensorflow()
            pid = os.fork()
            if pid:
                for fd in (*fds[:3], *fds[4:]):
                    os.close(fd)
                ends[pid] = fds[3]
                each.send(str(pid).encode())
                continue
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in range(3):
                os.dup2(fds[number], number)
            if fds[4:]:
                _die_with(os.dup(fds[4]))
            asked["folder"] = Path(listener.getsockname()).parent
            for fd in (*fds, *ends.values(), wake, woken, listener.detach(), *(one.detach() for one in asking)):
                os.close(fd)
            return asked


def _die_with(line: int) -> None:
    """Die when whoever has the other end of this pipe does."""

    def watch() -> None:
        while os.read(line, 1):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _import_the_sdk() -> None:
    """What `az ml` imports when it asks Azure."""
    if AZ not in sys.modules:
        import azure.ai.ml
        import azure.identity  # noqa: F401

        importlib.import_module(AZ)
        importlib.import_module("amlocal.cli.app")
        gc.collect()
        gc.freeze()


def _import_tensorflow() -> None:
    """What a training imports. TensorFlow makes its threads when it is first asked to compute, which is in the fork."""
    if "tensorflow" not in sys.modules:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        importlib.import_module("tensorflow")
        importlib.import_module("mlflow.keras")
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
    words, environment = asked["arguments"], asked["environment"]
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.umask(asked["umask"])
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(environment)
    # What Python knows of the old ones, as that they are files, is not true of these.
    at_once = bool(environment.get("PYTHONUNBUFFERED"))
    encoding = "utf-8" if environment.get("PYTHONUTF8") else None
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stdout.reconfigure(write_through=at_once)
    sys.stderr = open(2, "w", buffering=1, encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
    if words[:2] == ["-m", MODULE]:
        os.setsid()
        sys.path[0] = asked["cwd"]
        _retitle([sys.executable, *words])
        overlay.make = _make(asked["folder"])
    else:
        processes.subprocess = Forks(asked["folder"])  # type: ignore[assignment]
        os.environ.pop("JPY_PARENT_PID", None)  # a kernel's parent is the process that has forked it
        sys.path[:] = [place for place in sys.path if place not in inherited]
        _begin(words, asked["python"], asked["cwd"])
    if words[0] == "-c":
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), vars(main))
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.modules.pop(words[1], None)  # each fork runs it as its main program
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def _make(folder: Path) -> Callable[[Path, Path | None], Path]:
    """What makes a prefix whose `python` is ours, if it lies over this Python. folder: of the process that forks."""
    make = overlay.make
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = JOBS_PYTHON.format(python=sys.executable, client=CLIENT, socket=folder / "socket", version=version)

    def made(place: Path, base: Path | None) -> Path:
        interpreter = make(place, base)
        if base is None:
            real = interpreter.resolve()
            for name in ("python3", f"python{version}"):
                interpreter.with_name(name).unlink()
                interpreter.with_name(name).symlink_to(real)
            interpreter.unlink()
            interpreter.write_text(python)
            interpreter.chmod(0o755)
        return interpreter

    return made


def _begin(words: list[str], python: str, cwd: str) -> None:
    """Be as a Python that is started with these words, which is `python`, of this prefix or of one over it."""
    path = []
    if AZ not in words:
        os.setsid()
        path = [{"-m": cwd, "-c": ""}.get(words[0], str(Path(words[0]).parent.absolute()))]
    if words[0] == "-P":
        del words[0]
    path += filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = path
    if python != sys.executable:
        beneath = sys.path.index(sysconfig.get_path("purelib"))
        sys.executable, sys.prefix = python, str(Path(python).parents[1])
        sys.path.insert(beneath, sysconfig.get_path("purelib", vars={"base": sys.prefix}))
    sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ImportError):
        importlib.import_module("sitecustomize")
    clouds = sys.modules.get("azureml.mlflow._common._cloud.cloud")
    if clouds and "ARM_CLOUD_METADATA_URL" in os.environ:  # which it asks when it is imported
        clouds.KNOWN_CLOUDS.update(clouds.get_known_clouds())


if __name__ == "__main__":
    main(int(sys.argv[1]))
