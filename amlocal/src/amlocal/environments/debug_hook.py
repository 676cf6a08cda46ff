"""Runs at the start of every Python of a step or scoring script that is to be debugged; `debugger.py` puts it there.

The first program that is not an installer waits for a debugger: debugpy's, an editor's, or pdb over a socket to the
terminal. A program beside it, and what it starts itself, is left alone: debugpy follows its children by its own means.
Standard library only, and no import of this package: it runs in the environment of the step.
"""

import importlib.util
import json
import os
import socket
import sys
import traceback
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

FOLDER = Path(__file__).parent
INHERITED = "AMLOCAL_DEBUGGED"  # set for the children of the program that is debugged
INSTALLERS = ("pip", "pip3", "conda", "mamba", "uv", "ensurepip")
HOST = "127.0.0.1"

_lock: IO[str] | None = None


def program(arguments: list[str]) -> str:
    """What a Python was started with: the name of its script or module, "-c", or "" for nothing."""
    rest = iter(arguments[1:])
    for argument in rest:
        if argument == "-m":
            return next(rest, "").partition(".")[0]
        if argument == "-c" or not argument.startswith("-"):
            return argument if argument == "-c" else Path(argument).name
        if argument in ("-W", "-X"):
            next(rest, None)
        elif argument.startswith("-m"):
            return argument[2:].partition(".")[0]
        elif argument == "-":
            return argument
    return ""


def _first(path: Path) -> bool:
    """Whether no other program of the step is being debugged. The system frees the lock when this process ends."""
    global _lock
    _lock = path.open("a")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(_lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def start() -> None:
    """Wait for a debugger, if this is the program to debug. A step runs on where that fails, and its log says why."""
    name = program(sys.orig_argv)
    if INHERITED in os.environ or name in ("-c", ""):
        return
    os.environ[INHERITED] = "1"  # for an installer's children, too
    config = json.loads((FOLDER / "aml_debug.json").read_text(encoding="utf-8"))
    if name.removesuffix(".exe") in INSTALLERS or not _first(FOLDER / "aml_debug.lock"):
        return
    debug = _debugpy if config["debugger"] == "debugpy" else _pdb
    try:
        debug(config, name)
    except Exception as error:
        _say(config, f"Debugger: {name} runs without: {type(error).__name__}: {error}")


def _say(config: dict[str, Any], line: str) -> None:
    with Path(config["log"]).open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def _tell(config: dict[str, Any], name: str, port: int, how: str) -> None:
    """Let `aml` and the reader of the log know where this process waits."""
    told = Path(config["told"])
    new = told.with_name(f"{told.name}.{os.getpid()}")
    new.write_text(json.dumps({"host": HOST, "port": port, "program": name, "pid": os.getpid()}), encoding="utf-8")
    new.replace(told)
    _say(config, f"Debugger: {name} waits at {HOST}:{port}; {how}")


def _debugpy(config: dict[str, Any], name: str) -> None:
    """Have debugpy, which lies in another Python's packages, take over; returns when an editor has attached."""
    # Breakpoints are set in the user's folder and the code runs in a copy; children of this process need it as well.
    os.environ["PATHS_FROM_ECLIPSE_TO_PYTHON"] = json.dumps(config["mappings"])
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a notice on frozen modules
    package = Path(config["package"])
    spec = importlib.util.spec_from_file_location(
        "debugpy", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec and spec.loader
    debugpy = importlib.util.module_from_spec(spec)
    sys.modules["debugpy"] = debugpy
    spec.loader.exec_module(debugpy)
    _, port = debugpy.listen((HOST, _free_port(config["port"])))
    _keep(config["mappings"])
    _tell(config, name, port, "attach your editor there, and it runs on (docs: debugging)")
    debugpy.wait_for_client()


def _keep(mappings: list[list[str]]) -> None:
    """Have the mappings hold when an editor brings some of its own, as VS Code does for `host` without `connect`."""
    import pydevd_file_utils as files  # debugpy's own copy, which it has put on the path

    setup = files.setup_client_server_paths
    files.setup_client_server_paths = lambda paths: setup([*map(tuple, mappings), *paths])


def _free_port(wanted: int) -> int:
    """`wanted`, for which editors are set up, or any that is free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            if os.name != "nt":  # as debugpy's own socket; there the option would share a port that is in use
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
            except OSError:
                continue
    raise OSError("there is no free port on 127.0.0.1")


def _pdb(config: dict[str, Any], name: str) -> None:
    """pdb, talking to whoever connects and knows the secret; stops in the first line of the step's own code."""
    import pdb

    with socket.create_server((HOST, 0)) as server:
        _tell(config, name, server.getsockname()[1], "the terminal of `aml` is its pdb")
        while True:
            connection, _ = server.accept()
            heard = connection.makefile("r", encoding="utf-8")
            if heard.readline().strip() == config["token"]:
                break
            connection.close()
    talk = connection.makefile("w", buffering=1, encoding="utf-8")
    debugger = pdb.Pdb(stdin=heard, stdout=talk, nosigint=True)
    debugger.use_rawinput = False
    code = os.path.realpath(config["code"]) + os.sep

    def breakpointhook(*_: Any, **__: Any) -> None:
        debugger.set_trace(sys._getframe(1))

    def first_own(frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if file.startswith("<") or not os.path.realpath(file).startswith(code):
            return None  # <frozen ...>: Python's own
        sys.settrace(None)
        debugger.set_trace(frame)
        return debugger.trace_dispatch

    def post_mortem(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        if trace is None or kind.__name__ == "BdbQuit":
            return
        sys.settrace(None)
        traceback.print_exception(kind, error, trace, file=talk)
        debugger.reset()
        debugger.interaction(None, trace)

    sys.breakpointhook = breakpointhook
    sys.excepthook = post_mortem
    sys.settrace(first_own)


if FOLDER.joinpath("aml_debug.json").exists():
    start()
