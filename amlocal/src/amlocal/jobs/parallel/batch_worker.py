"""One worker of a parallel job: imports the entry script, calls init() once and run() for every mini batch it is sent.

Started by parallel.py, in the job's own Python, which may know nothing of this package: standard library only (and
pandas, for tables). Standard input brings one JSON object a line; the answers, likewise, leave where standard output
was, and what the script prints goes to the log.
"""

import importlib
import importlib.util
import inspect
import io
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType, SimpleNamespace
from typing import Any


class Channel:
    """The lines to and from the driver."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what anything prints, C libraries included, is log
        # By whole lines, whatever PYTHONUNBUFFERED says: the log is that of all workers.
        sys.stdout = os.fdopen(1, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
        self._requests = os.fdopen(os.dup(0), encoding="utf-8")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._queue: SimpleQueue[dict[str, Any]] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._requests:
            request = json.loads(line)
            self._queue.put(request)
            if request.get("stop"):
                return
        os._exit(1)  # the driver is gone, and with it the reason to go on

    def receive(self) -> dict[str, Any]:
        return self._queue.get()

    def send(self, event: str, **more: Any) -> None:
        self._answers.write(json.dumps({"event": event, **more}) + "\n")
        self._answers.flush()


class Table:
    """The job's table, read when the first mini batch of it comes."""

    def __init__(self, spec: dict[str, Any], keys: list[str]) -> None:
        self._spec, self._keys = spec, keys
        self._frame: Any = None
        self._groups: list[Any] = []

    def batch(self, request: dict[str, Any]) -> Any:
        if self._frame is None:
            reader = module_at(Path(__file__).parents[2] / "assets" / "mltable_reader.py", "_mltable_reader")
            self._frame, _ = reader.read(reader.MLTable(**self._spec))
            self._groups = reader.groups(self._frame, self._keys) if self._keys else []
        if request["group"] is not None:
            return self._frame.iloc[self._groups[request["group"]][1]].reset_index(drop=True)
        start, stop = request["rows"]
        return self._frame.iloc[start:stop].reset_index(drop=True)


def module_at(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if not spec or not spec.loader:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickle look there
    spec.loader.exec_module(module)
    return module


def entry_module(entry: str, arguments: list[str]) -> ModuleType:
    """The entry script, imported as if Azure had: its folder and the job's first on the path, its arguments in argv.

    entry: its path, or the name of a module.
    """
    script = Path(entry).absolute()
    sys.argv = [str(script), *arguments]
    # sys.path[0] is this file's folder, whose modules must not stand in for others of their names.
    sys.path[:1] = list(dict.fromkeys([str(script.parent), str(Path.cwd())]))
    module = module_at(script, script.stem) if script.is_file() else importlib.import_module(entry)
    if not callable(getattr(module, "run", None)):
        raise AttributeError(f"{entry} has no function run(mini_batch), which a parallel job calls")
    return module


def takes_context(run: Any) -> bool:
    """Whether run() has a second place, where Azure hands over what it knows of the mini batch."""
    try:
        parameters = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):
        return False
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(places) > 1 or any(p.kind == p.VAR_POSITIONAL for p in parameters)


def as_text(returned: Any, header: bool) -> tuple[str, int, str]:
    """What run() returned as lines, their number, and the header line if one is wanted.

    A data frame's cells are parted by a space, without index and header; of anything else each element is a line.
    """
    if hasattr(returned, "to_csv") and hasattr(returned, "columns"):
        text = io.StringIO()
        returned.to_csv(text, sep=" ", header=False, index=False, lineterminator="\n")
        names = io.StringIO()
        if header:
            returned.head(0).to_csv(names, sep=" ", index=False, lineterminator="\n")
        return text.getvalue(), len(returned), names.getvalue()
    if returned is None or isinstance(returned, str | bytes | dict) or not hasattr(returned, "__iter__"):
        raise TypeError(f"run() returned {type(returned).__name__}; a list, a tuple or a DataFrame is needed")
    rows = [str(row) for row in returned]
    return "".join(f"{row}\n" for row in rows), len(rows), ""


def work(channel: Channel) -> None:
    start = channel.receive()
    try:
        module = entry_module(start["entry_script"], start["arguments"])
        init = getattr(module, "init", None)
        if init:
            init()
    except BaseException:
        channel.send("failed", where="init", traceback=told())
        return
    table = Table(start["table"], start["partition_keys"]) if start["table"] else None
    context = takes_context(module.run)
    channel.send("ready")
    while request := channel.receive():
        if request.get("stop"):
            break
        began = time.perf_counter()
        try:
            batch = table.batch(request) if table else request["paths"]
            more = [SimpleNamespace(minibatch_index=request["index"], partition_key_value=request["partition"])]
            channel.send("running")
            returned = module.run(batch, *(more if context else []))
            rows, count, header = as_text(returned, start["header"])
        except BaseException:
            channel.send("failed", where="run", traceback=told())
        else:
            channel.send("done", rows=rows, count=count, header=header, seconds=time.perf_counter() - began)
    shutdown = getattr(module, "shutdown", None)
    if shutdown:
        shutdown()


def told() -> str:
    """The traceback being handled, without our own frames above the script's."""
    kind, error, frames = sys.exc_info()
    while (
        frames and frames.tb_next and frames.tb_frame.f_code.co_filename in (__file__, "<frozen importlib._bootstrap>")
    ):
        frames = frames.tb_next
    return "".join(traceback.format_exception(kind, error, frames))


if __name__ == "__main__":
    work(Channel())
