"""Runs a deployment's scoring script: one blocking process, one request at a time, behind the gateway.

    python -P worker.py RUN_FOLDER NAME DEPLOYMENT REVISION

It runs in the deployment's own environment, so it is one file and imports nothing of this package. The script is
loaded, initialised and called by azureml-inference-server-http, Azure's server, itself: its Flask app is called as
WSGI, without the HTTP server around it, and in the main thread, where its timeout works. The worker listens nowhere: it
calls the gateway, the only one to hand it requests, and calls again when the gateway is restarted.

A message is the lengths of its head and body as two big-endian 32-bit numbers, the head as JSON, the body as it is. The
worker says {"deployment", "revision", "pid", "nonce"}, the gateway {"nonce", "proof"}, the worker {"proof"}: so each
proves that it knows the run folder's secret, which is never sent. Then each [method, target, headers] is answered by
[status, headers]. A head that is null means: leave. A head {"collected": headers} is what azureml-ai-monitoring's
Collector wants to POST.
"""

import contextlib
import errno
import hmac
import inspect
import io
import json
import logging
import os
import secrets
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

LENGTHS = struct.Struct("!II")
SOCKET = "gateway.sock"  # in the run folder; where the system has no unix sockets the file holds a port on loopback
RECONNECT_SECONDS = 0.02
INTRODUCTION_SECONDS = 5.0  # whoever takes longer to prove that it is the gateway is not
COLLECT_SECONDS = 5.0  # a record waits this long for a gateway that is being restarted
FINISH_SECONDS = 5.0  # and who leaves, for the Collector's thread
PATIENCE_SECONDS = 60.0  # a gateway that stays away this long has been given up, and so has its worker

# gunicorn/workers/base.py, handle_error, and gunicorn/util.py, write_error
GUNICORN_ERROR = (
    b"<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n"
    b"  <body>\n    <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n"
)

HeaderList = list[list[str]]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def pack(head: bytes, body: bytes = b"") -> bytes:
    """One message."""
    return b"".join((LENGTHS.pack(len(head), len(body)), head, body))


def proof(secret: str, side: str, nonce: str) -> str:
    """What only one who knows the secret can say to `nonce`; side: "gateway" or "worker"."""
    return hmac.new(secret.encode(), f"{side}:{nonce}".encode(), "sha256").hexdigest()


def unix_sockets() -> bool:
    """Whether gateway and workers meet at a unix socket, rather than on loopback."""
    return hasattr(socket, "AF_UNIX") and os.name != "nt" and not os.environ.get("AMLOCAL_NO_UNIX_SOCKETS")


# -- the script


class ScriptError(Exception):
    """A scoring script that cannot serve."""


def load() -> Any:
    """The inference server's app with the script of AZUREML_ENTRY_SCRIPT loaded and initialised.

    Raises ScriptError: one line on what is wrong with it.
    """
    try:
        from azureml_inference_server_http import __version__

        _share_namespace()
        from azureml_inference_server_http.server.create_app import create
    except ImportError as error:
        raise ScriptError(
            f"the environment lacks azureml-inference-server-http, the server that runs scoring scripts ({error});"
            " add it to the conda file"
        ) from error
    os.environ.setdefault("HTTP_X_MS_SERVER_VERSION", f"azmlinfsrv/{__version__}")  # as the server's own main does
    try:
        return create()
    except SystemExit as leave:  # the server has printed the traceback, and goes
        cause = leave.__context__
        broken = getattr(cause, "user_ex", cause) or leave
        when = "init()" if type(cause).__name__ == "UserScriptException" else "loading it"
        raise ScriptError(f"{when} failed: {type(broken).__name__}: {broken}") from leave


def _share_namespace() -> None:
    """Let a server before 1.3 find its `azureml.contrib`, which azureml-ai-monitoring's `azureml` would hide."""
    import azureml_inference_server_http as server

    own = Path(str(server.__file__)).parent / "server" / "azureml"
    if own.is_dir():
        azureml = import_module("azureml")  # a folder of several distributions; none has this name

        if str(own) not in azureml.__path__:
            azureml.__path__.append(str(own))


class Scorer:
    """Answers requests with the loaded app."""

    def __init__(self, app: Any) -> None:
        self._app: Application = app
        self._shortcut = Shortcut.of(app)

    def answer(self, head: list[Any], body: bytes) -> bytes:
        """The answer to one request, as a message."""
        method, target, headers = head
        try:
            if self._shortcut and method == "POST" and target == "/score":
                short = self._shortcut.answer(headers, body)
                if short:
                    return short
            return self._call(method, target, headers, body)
        except BaseException:  # sys.exit() in run(): gunicorn, in front of the server, answers so and lives on
            with contextlib.suppress(OSError, ValueError):  # the log's disk is full, or the script has closed it
                traceback.print_exc()
            return pack(b'[500,[["Content-Type","text/html"]]]', GUNICORN_ERROR)

    def _call(self, method: str, target: str, headers: HeaderList, body: bytes) -> bytes:
        """Through Flask."""
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "RAW_URI": target,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for name, value in headers:
            key = name.upper().replace("-", "_")
            if key == "CONTENT_TYPE":
                environ[key] = value
            elif key != "CONTENT_LENGTH":
                key = f"HTTP_{key}"
                environ[key] = f"{environ[key]},{value}" if key in environ else value
        started: list[Any] = []
        chunks: list[bytes] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
            started[:] = [int(status.split(" ", 1)[0]), headers]
            return chunks.append

        result = self._app(environ, start_response)
        try:
            chunks.extend(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        return pack(json.dumps(started).encode(), b"".join(chunks))


class AccessLog:
    """The server's line about each request, written as `logging` would with the server's own configuration.

    That takes longer than many a model does; where logging is configured otherwise, it is asked.
    """

    FORMAT = "%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s"

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._handler: Any = logger.handlers[0] if self._is_plain(logger) else None
        self._pid = os.getpid()
        self._second, self._time = -1, ""

    def _is_plain(self, logger: logging.Logger) -> bool:
        if len(logger.handlers) != 1 or logger.propagate or logger.filters:
            return False
        handler = logger.handlers[0]
        form: Any = handler.formatter
        return (
            type(handler) is logging.StreamHandler
            and handler.level <= logging.INFO
            and not handler.filters
            and type(form).__name__ == "AMLLogFormatter"
            and (form._fmt, form.datefmt, form.converter) == (self.FORMAT, None, time.gmtime)
        )

    def __call__(self, message: str) -> None:
        handler = self._handler
        if handler is None or self._logger.handlers != [handler] or not self._logger.isEnabledFor(logging.INFO):
            self._logger.info(message)
            return
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._time = second, time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))
        line = f"{self._time},{int(1000 * (now - second)):03d} I [{self._pid}] {self._logger.name} - {message}\n"
        with contextlib.suppress(OSError):  # the disk may be full
            handler.stream.write(line)
            handler.stream.flush()


class Alarm:
    """The server's limit on the time of run(): utils.timeout, which puts its handler in place before each request and
    the former one back after it; this one sees to it that it is there.
    """

    def __init__(self, handler: Callable[..., Any]) -> None:
        self._handler = handler
        # without the wrapper, which makes enumerations of what it is given
        self._installed = getattr(signal.getsignal, "__wrapped__", signal.getsignal)
        self._seconds = 0.0

    def __call__(self, timeout_ms: int) -> "Alarm":
        self._seconds = timeout_ms / 1000
        return self

    def __enter__(self) -> None:
        if self._installed(signal.SIGALRM) is not self._handler:
            signal.signal(signal.SIGALRM, self._handler)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


class PlainRequest:
    """What the server's input parsers ask of a Flask request."""

    method = "POST"

    def __init__(self, headers: dict[str, str], body: bytes, media_type: str) -> None:
        self.headers = headers
        self.data = body
        self.is_json = media_type == "application/json" or (
            media_type.startswith("application/") and media_type.endswith("+json")
        )

    def get_data(self) -> bytes:
        return self.data


class Shortcut:
    """POST /score without Flask, which takes longer than most models: the server's own code otherwise.

    `answer` follows azureml_inference_server_http/server/routes.py (handle_score, and what runs before and after each
    request) and leaves to Flask, by returning None, whatever is not an everyday request.
    """

    FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
    LEFT_TO_FLASK = ("x-ms-request-id", "traceid", "origin")
    LONGEST_ID = 100

    def __init__(self, blueprint: Any, timeout_ms: int) -> None:
        from azureml_inference_server_http.server import input_parsers, routes, user_script, utils

        self._script = blueprint.user_script
        self._timeout_ms = timeout_ms
        self._routes, self._inputs, self._scripts = routes, input_parsers, user_script
        self._version = os.environ.get("HTTP_X_MS_SERVER_VERSION", "")
        self._log = AccessLog(routes.logger)
        if utils.timeout_supported() and user_script.timeout is utils.timeout:
            user_script.timeout = Alarm(utils._alarm_handler)

    @classmethod
    def of(cls, app: Any) -> "Shortcut | None":
        """None for a script that wants, or may want, Flask's request, and for a server that is not as we know it."""
        try:
            from azureml_inference_server_http.server.config import config
            from azureml_inference_server_http.server.input_parsers import RawRequestInput

            blueprint = app.azml_blueprint
            script = blueprint.user_script
            wants_flask = isinstance(script.input_parser, RawRequestInput) or _speaks_of_flask(script, config.app_root)
            if wants_flask or config.cors_origins or blueprint.appinsights_client.enabled:
                return None
            return cls(blueprint, config.scoring_timeout)
        except (ImportError, AttributeError):
            return None

    def answer(self, headers: HeaderList, body: bytes) -> bytes | None:
        """The answer as a message; None if Flask should give it."""
        start = time.perf_counter()
        sent: dict[str, str] = {}
        for name, value in headers:
            if name in self.LEFT_TO_FLASK:
                return None
            if name == "content-type" and not value:
                continue  # as WSGI's environment has it
            name = name.title()
            sent[name] = f"{sent[name]},{value}" if name in sent else value
        media_type = sent.get("Content-Type", "").partition(";")[0].strip().lower()
        request_id, client_id = sent.get("X-Request-Id", ""), sent.get("X-Ms-Client-Request-Id", "")
        if media_type in self.FORMS or not 0 < len(request_id) <= self.LONGEST_ID or len(client_id) > self.LONGEST_ID:
            return None
        sent["Content-Length"] = str(len(body))
        status, answered, content = self._score(PlainRequest(sent, body, media_type))
        if self._version:
            answered.append(["x-ms-server-version", self._version])
        answered += [["x-request-id", request_id], ["x-ms-request-id", client_id or request_id]]
        if client_id:
            answered.append(["x-ms-client-request-id", client_id])
        elapsed = 1000 * (time.perf_counter() - start)
        self._log(f"POST /score {status} {elapsed:.3f}ms {len(content)}")
        return pack(json.dumps([status, answered]).encode(), content)

    def _score(self, request: PlainRequest) -> tuple[int, HeaderList, bytes]:
        try:
            return self._run(request)
        except self._inputs.BadInput as error:
            return self._refuse(400, error.args[0])
        except self._inputs.UnsupportedInput as error:
            return self._refuse(415, error.args[0])
        except self._scripts.UserScriptTimeout as error:
            return self._refuse(500, f"Scoring timeout after {error.timeout_ms} ms", run_failed=True)
        except self._scripts.UserScriptException:
            said = "An unexpected error occurred in scoring script. Check the logs for more info."
            return self._refuse(500, said, run_failed=True)
        except Exception:  # such as a result that is no JSON
            return self._refuse(500, "An unexpected internal error occurred. Check the logs for more info.")

    def _run(self, request: PlainRequest) -> tuple[int, HeaderList, bytes]:
        result = self._script.invoke_run(request, timeout_ms=self._timeout_ms)
        took = ["x-ms-run-fn-exec-ms", f"{result.elapsed_ms:.3f}"]
        if isinstance(result.output, self._routes.Response):
            self._routes.logger.info("run() output is HTTP Response")
            if result.output.status_code >= 500:
                result.output.headers["x-ms-run-function-failed"] = True
            status, headers, content = _plain(result.output)
            return status, [*headers, took], content
        content = json.dumps({} if result.output is None else result.output).encode()
        return 200, [["Content-Type", "application/json"], ["x-ms-run-function-failed", "False"], took], content

    def _refuse(self, status: int, message: str, run_failed: bool = False) -> tuple[int, HeaderList, bytes]:
        if status == 500:
            self._routes.logger.error(f"Encountered Exception: {traceback.format_exc()}")
        return _plain(self._routes.ErrorResponse(status, message, run_function_failed=run_failed))


def _plain(response: Any) -> tuple[int, HeaderList, bytes]:
    """Status, headers and body of a Flask response."""
    return response.status_code, [list(header) for header in response.headers.items()], response.get_data()


def _speaks_of_flask(script: Any, app_root: str) -> bool:
    """Whether the script, or a module of its own, names Flask: it may look for the request that Flask has at hand."""
    own = os.path.realpath(app_root) + os.sep
    files = [inspect.unwrap(script.get_run_function()).__code__.co_filename]
    files += [file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    return any(
        "flask" in Path(file).read_text(encoding="utf-8", errors="replace")
        for file in files
        if file.endswith(".py") and os.path.realpath(file).startswith(own)
    )


# -- the line


class Gateway:
    """The worker's line to its gateway."""

    def __init__(self, run: Path, secret: str, hello: dict[str, Any]) -> None:
        self._run = run
        self._secret = secret
        self._hello = hello
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()

    def serve(self, answer: Callable[[list[Any], bytes], bytes], ready: Callable[[], None]) -> None:
        """Answer requests until the gateway says to leave, or stays away."""
        while (connection := self._connect()) is not None:
            with connection, connection.makefile("rb", buffering=1 << 16) as stream:
                try:
                    self._introduce(connection, stream)
                    while (message := _receive(stream)) is not None:
                        head, body = message
                        if head is None:
                            let_the_collector_finish()
                            return
                        if head == []:  # the gateway knows us now
                            self._connection = connection
                            ready()
                        else:
                            self._send(connection, answer(head, body))
                except OSError:
                    pass  # the gateway died; the next one will want us
                finally:
                    self._connection = None
            time.sleep(RECONNECT_SECONDS)

    def _introduce(self, connection: socket.socket, stream: Any) -> None:
        """Say who we are, and see that it is the gateway. Raises OSError if it is not."""
        nonce = secrets.token_hex(16)
        connection.settimeout(INTRODUCTION_SECONDS)
        connection.sendall(pack(json.dumps({**self._hello, "nonce": nonce}).encode()))
        answer = _receive(stream)
        if answer is None or not isinstance(answer[0], dict):
            raise OSError("nobody we know")
        head = answer[0]
        if not hmac.compare_digest(str(head.get("proof")).encode(), proof(self._secret, "gateway", nonce).encode()):
            raise OSError("somebody else listens where the gateway did")
        connection.sendall(pack(json.dumps({"proof": proof(self._secret, "worker", str(head.get("nonce")))}).encode()))
        connection.settimeout(None)

    def collect(self, headers: dict[str, str], body: bytes) -> None:
        """Hand over a record of the Collector's, from its thread. Raises OSError when the gateway stays away."""
        message = pack(json.dumps({"collected": headers}).encode(), body)
        deadline = time.monotonic() + COLLECT_SECONDS
        while True:
            try:
                if connection := self._connection:
                    return self._send(connection, message)
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise OSError("the gateway is away")
            time.sleep(RECONNECT_SECONDS)

    def _send(self, connection: socket.socket, message: bytes) -> None:
        with self._sending:
            connection.sendall(message)

    def _connect(self) -> socket.socket | None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                return self._dial()
            except (OSError, ValueError) as error:
                if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
                    return None  # the script has used up all descriptors; who is started in our place has some
                time.sleep(RECONNECT_SECONDS)
        return None

    def _dial(self) -> socket.socket:
        path = self._run / SOCKET
        if not unix_sockets():
            connection = socket.create_connection(("127.0.0.1", int(path.read_text())))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        connection = socket.socket(socket.AF_UNIX)
        here = Path.cwd()
        try:
            os.chdir(self._run)  # a socket's path may hold some hundred bytes only; this one is short
            connection.connect(SOCKET)
        except OSError:
            connection.close()
            raise
        finally:
            os.chdir(here)
        return connection


def _receive(stream: Any) -> tuple[Any, bytes] | None:
    """One message, None when the line is cut."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head_length, body_length = LENGTHS.unpack(lengths)
    head, body = stream.read(head_length), stream.read(body_length)
    if len(head) < head_length or len(body) < body_length:
        return None
    return json.loads(head), body


def shorten_the_collectors_way(gateway: Gateway) -> None:
    """Let the Collector, if the deployment has one, hand its records to `gateway` rather than POST each by itself.

    The address it is configured for answers, too; this saves the script's process milliseconds a request, and keeps
    that address, which holds the secret, out of the log. Where the package is not as we know it, it is left alone.
    """
    if "AZUREML_MDC_CONFIG_PATH" not in os.environ:
        return
    try:
        from azureml.ai.monitoring.worker.sender import MdcSender

        post = MdcSender._post_request
    except (ImportError, AttributeError):
        return
    ours = f"http://{os.environ.get('AZUREML_MDC_HOST')}:{os.environ.get('AZUREML_MDC_PORT')}/"

    def hand_over(self: Any, url: str, payload: str | bytes, headers: dict[str, str] | None = None) -> tuple[int, str]:
        if not url.startswith(ours):
            return post(self, url, payload, headers)
        try:
            gateway.collect(headers or {}, payload.encode() if isinstance(payload, str) else payload)
        except OSError as error:
            return 503, str(error)
        return 200, ""

    MdcSender._post_request = hand_over


def let_the_collector_finish() -> None:
    """Wait, if not for long, until the Collector's thread has handed over what it has not yet."""
    teardown = getattr(sys.modules.get("azureml.ai.monitoring.init"), "teardown", None)
    if teardown:
        finishing = threading.Thread(target=teardown, kwargs={"wait_for_flush": True}, daemon=True)
        finishing.start()
        finishing.join(FINISH_SECONDS)


def main(run_folder: str, name: str, deployment: str, revision: str) -> int:
    run = Path(run_folder)
    secret = (run / "secret").read_text(encoding="utf-8")
    gateway = Gateway(run, secret, {"deployment": deployment, "revision": int(revision), "pid": os.getpid()})
    shorten_the_collectors_way(gateway)  # the script's init() may begin to collect
    try:
        scorer = Scorer(load())
    except ScriptError as error:
        with contextlib.suppress(OSError):  # the log's disk is full
            print(error, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            (run / f"{name}.failed").write_text(str(error), encoding="utf-8")
        return 3  # as the server itself

    def ready() -> None:
        try:
            (run / f"{name}.failed").unlink(missing_ok=True)
            (run / f"{name}.ready").touch()
        except OSError as error:  # not of the line to the gateway: the supervisor tries again with another process
            raise SystemExit(f"it cannot be said that this worker is ready: {error}") from error

    gateway.serve(scorer.answer, ready)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
