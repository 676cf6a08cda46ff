"""MLflow's server, whose pages open on trained models and not on GenAI applications.

MLflow's pages keep in the browser which of the two a person looks at, and begin with GenAI. `aml mlflow ui` has MLflow
serve this application (MLflow's plug-ins of the group `mlflow.app`): its own, with a line in the page that makes the
other choice where none was made yet.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

NAME = "amlocal"  # of the entry point in pyproject.toml

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEAD = b"<head>"
CHOICE = (
    b"<script>try{const k='mlflow.workflowType_v1';"
    b"""localStorage.getItem(k)||localStorage.setItem(k,'"machine_learning"')}catch{}</script>"""
)
# What was told of the page as it was, or would have a browser keep one without the choice.
STALE = (b"content-length", b"etag", b"last-modified", b"cache-control", b"accept-ranges")


class Pages:
    """An ASGI application around MLflow's, which is imported when the server starts."""

    def __init__(self) -> None:
        self._mlflow: Any = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._mlflow is None:
            from mlflow.server.fastapi_app import app as mlflow_app

            self._mlflow = mlflow_app
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/":
            unconditional = [pair for pair in scope["headers"] if not pair[0].startswith(b"if-")]
            await self._mlflow({**scope, "headers": unconditional}, receive, _Choosing(send))
        else:
            await self._mlflow(scope, receive, send)


class _Choosing:
    """A `send` that passes on a page with the choice in its head."""

    def __init__(self, send: Send) -> None:
        self._send, self._page = send, b""
        self._start: Message = {}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._page += message.get("body", b"")
            if not message.get("more_body"):
                page = self._page.replace(HEAD, HEAD + CHOICE, 1)
                headers = [pair for pair in self._start["headers"] if pair[0].lower() not in STALE]
                headers += [(b"content-length", str(len(page)).encode()), (b"cache-control", b"no-store")]
                await self._send({**self._start, "headers": headers})
                await self._send({"type": "http.response.body", "body": page})
        else:
            await self._send(message)


app = Pages()
