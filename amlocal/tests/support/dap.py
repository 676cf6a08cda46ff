"""A small client of the Debug Adapter Protocol, as an editor is one: https://microsoft.github.io/debug-adapter-protocol

with Debugger(host, port) as editor:       # attaches as VS Code does for a launch.json with `connect` only
    editor.break_at(path, line)
    editor.run()
    stopped = editor.stopped()
    editor.variables(stopped), editor.go_on()
"""

import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

SECONDS = 150.0


class Debugger:
    """An editor's side of one debugging session."""

    def __init__(self, host: str, port: int, **attach: Any) -> None:
        self._socket = socket.create_connection((host, port), timeout=SECONDS)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self.request("initialize", adapterID="debugpy", clientID="test", pathFormat="path", linesStartAt1=True)
        # Its answer comes after configurationDone only.
        self._send("attach", {"connect": {"host": host, "port": port}, "justMyCode": True, **attach})
        self.event("initialized")

    def __enter__(self) -> "Debugger":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.close()
        self._socket.close()

    def break_at(self, path: Path, *lines: int) -> list[dict[str, Any]]:
        """Set the breakpoints of a file of the user's; returns what became of each (`verified`, `line`)."""
        told = self.request("setBreakpoints", source={"path": str(path)}, breakpoints=[{"line": n} for n in lines])
        return list(told["breakpoints"])

    def run(self) -> None:
        """All breakpoints are set: the program may begin."""
        self.request("configurationDone")

    def stopped(self) -> dict[str, Any]:
        """Wait for a breakpoint; the frame where the program stands: `source`, `line`, `id`, and its `thread`."""
        thread = self.event("stopped")["threadId"]
        frame = self.request("stackTrace", threadId=thread)["stackFrames"][0]
        return {**frame, "thread": thread}

    def variables(self, frame: dict[str, Any]) -> dict[str, str]:
        """The local variables of a frame, as an editor shows them."""
        scopes = self.request("scopes", frameId=frame["id"])["scopes"]
        reference = next(scope["variablesReference"] for scope in scopes if scope["name"] == "Locals")
        found = self.request("variables", variablesReference=reference)["variables"]
        return {each["name"]: each["value"] for each in found}

    def go_on(self, frame: dict[str, Any]) -> None:
        self.request("continue", threadId=frame["thread"])

    def event(self, name: str) -> dict[str, Any]:
        """Wait for an event; its body."""
        for event in self._events:
            if event["event"] == name:
                self._events.remove(event)
                return dict(event.get("body") or {})
        while True:
            message = self._receive()
            if message["type"] == "event" and message["event"] == name:
                return dict(message.get("body") or {})
            if message["type"] == "event":
                self._events.append(message)

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for its answer. Raises RuntimeError where it failed."""
        number = self._send(command, arguments)
        while True:
            message = self._receive()
            if message["type"] == "event":
                self._events.append(message)
            elif message["type"] == "response" and message["request_seq"] == number:
                if not message["success"]:
                    raise RuntimeError(f"{command}: {message.get('message')}")
                return dict(message.get("body") or {})

    def _send(self, command: str, arguments: dict[str, Any]) -> int:
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        content = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        return self._number

    def _receive(self) -> dict[str, Any]:
        length = 0
        while line := self._stream.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not length:
            raise RuntimeError("the debugger has closed the connection")
        return dict(json.loads(self._stream.read(length)))


def place_of(told: Callable[[], Path | None], process: "subprocess.Popen[str]") -> tuple[str, int]:
    """Wait until a program says that it waits for a debugger; host and port.

    told: the file in which it will say so, as far as that is known. process: who has it run; it must not end before.
    """
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        file = told()
        if file and file.exists():
            found = json.loads(file.read_text(encoding="utf-8"))
            return found["host"], found["port"]
        if process.poll() is not None:
            raise RuntimeError(f"it has ended: {process.communicate()[0]}")
        time.sleep(0.02)
    raise TimeoutError("no program waits for a debugger")
