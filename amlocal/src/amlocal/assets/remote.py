"""Data that lies behind http(s): fetched into the workspace once, and again when it has changed there."""

import hashlib
import re
import sys
import time
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from amlocal.core.durable import make_folder, publish
from amlocal.core.errors import Absent, NotFound, UserError
from amlocal.core.files import disk_errors, read_json, write_json
from amlocal.core.workspace import Workspace

SCHEMES = ("http://", "https://", "wasbs://", "wasb://", "abfss://", "abfs://", "adl://")

CONNECT_SECONDS, SILENCE_SECONDS = 20, 60
BLOCK = 1 << 20
LONGEST_NAME = 200  # bytes; most disks take 255
BLOBS = re.compile(r"[a-z0-9-]+\.blob\.core\.[\w.]+")
PATIENCE = 24 * 3600.0  # how long one process waits for another that fetches the same


def https_form(uri: str) -> str:
    """The address under which https has it: `wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PATH` and its like.

    Raises UserError for what https does not have.
    """
    try:
        parts = urlsplit(uri)
        _ = parts.port  # only to raise
    except ValueError as error:
        raise UserError(f"{shown(uri)}: not an address: {error}") from error
    if parts.scheme in ("http", "https"):
        return uri
    if parts.scheme in ("wasbs", "wasb", "abfss", "abfs") and parts.username and parts.hostname:
        host = parts.hostname.replace(".dfs.", ".blob.")
        return urlunsplit(("https", host, f"/{parts.username}{parts.path}", parts.query, ""))
    named = parts.path.strip("/").partition("/")[2]  # what comes after the container
    if (
        parts.scheme in ("wasbs", "wasb") and BLOBS.fullmatch(parts.netloc) and named
    ):  # as Microsoft's examples have it too
        return urlunsplit(("https", parts.netloc, parts.path, parts.query, ""))
    if parts.scheme == "adl":
        raise UserError(
            f"{shown(uri)}: Azure Data Lake Storage Gen1 is no more (retired in 2024); name the data's new place"
        )
    raise UserError(f"{shown(uri)}: not understood; use {parts.scheme}://CONTAINER@ACCOUNT.blob.core.windows.net/PATH")


def refuse_folder(uri: str, asset_type: str) -> None:
    """Raises UserError unless `uri` can be one file: https has no way to list what a folder holds."""
    url = https_form(uri)
    if asset_type in ("uri_file", "custom_model", "path"):
        if not url.partition("?")[0].endswith("/") and "*" not in url:
            return
        raise UserError(f"{shown(uri)}: not the address of one file")
    raise Absent(
        f"{shown(uri)}: a {asset_type} over https cannot be listed; download it and give the folder,"
        " e.g. `--set inputs.NAME.path=FOLDER`, or name one file with type uri_file"
    )


def shown(uri: str) -> str:
    """The address without what may be a secret: the query (a SAS token), and who asks, a password or a token."""
    secret = r"//[^/]*@" if uri.startswith(("http://", "https://")) else r"//[^/@]*:[^/@]*@"  # else it is a container
    return re.sub(secret, "//***@", uri.partition("?")[0], count=1)


def fetch(workspace: Workspace, uri: str, say: Any = None) -> Path:
    """The file behind `uri`, in the workspace's `cache/<hash of the address>/<name>`.

    A file that is there already is fetched again only if the server says that it has another one now; when the server
    cannot be reached the one that is there is used. Proxies and certificates are those of `requests`'s variables.
    say: takes the lines about the progress; default: standard error. Raises UserError or NotFound.
    """
    url = https_form(uri)
    name = file_name(url)
    key = hashlib.sha256(url.encode()).hexdigest()[:32]
    folder = workspace.root / "cache" / key
    with workspace.lock(f"cache-{key}", timeout=PATIENCE), disk_errors(folder):
        make_folder(folder)
        return _Fetch(url, folder / name, say or _on_stderr).run()


def file_name(url: str) -> str:
    """What the file behind an address is called on disk: `data` if the address has no name, or one that begins with a
    dot, as the files that are kept beside it do.
    """
    last = unquote(PurePosixPath(urlsplit(url).path).name)
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", last).rstrip(". ")
    if not name or name.startswith("."):
        return "data"
    ending = "".join(PurePosixPath(name).suffixes[-2:])
    if len(name.encode()) > LONGEST_NAME:  # the ending may tell what it is
        ending = ending if len(ending.encode()) < 20 else ""
        stem = name.encode()[: LONGEST_NAME - len(ending.encode())].decode(errors="ignore")
        name = f"{stem}{ending}"
    return name


class _Fetch:
    def __init__(self, url: str, place: Path, say: Any) -> None:
        self.url, self.place, self.say = url, place, say
        self.about = place.parent / ".about.json"
        self.answered = False

    def run(self) -> Path:
        import requests

        there = self.place.exists()
        # Bytes as they lie there: a server that packs them for the way would make `data.csv.gz` a `data.csv`.
        headers = {"Accept-Encoding": "identity", **(self._validators() if there else {})}
        try:
            with requests.get(
                self.url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, SILENCE_SECONDS)
            ) as answer:
                self.answered = True
                if there and answer.status_code == 304:
                    return self.place
                self._check(answer)
                self._receive(answer)
        except (requests.RequestException, ValueError) as error:  # ValueError: an address that no host can have
            if there and not self.answered:
                self.say(f"{shown(self.url)} cannot be reached; the copy fetched before is used")
                return self.place
            raise UserError(
                f"{shown(self.url)}: not fetched: {_reason(error)}; try again, or give a local path"
            ) from error
        return self.place

    def _validators(self) -> dict[str, str]:
        if not self.about.exists():
            return {}
        about = read_json(self.about)
        pairs = (("If-None-Match", about.get("etag")), ("If-Modified-Since", about.get("last_modified")))
        return {name: value for name, value in pairs if value}

    def _check(self, answer: Any) -> None:
        code = answer.status_code
        if code == 200:
            return
        remedy = "mend the address, or give a local path"
        if code in (401, 403) or (code == 409 and "PublicAccess" in answer.headers.get("x-ms-error-code", "")):
            remedy = "it wants an account; download it and give a local path"
        elif code >= 500:
            remedy = "try again later, or give a local path"
        raise NotFound(f"{shown(self.url)}: the server answered {code} {answer.reason}; {remedy}")

    def _receive(self, answer: Any) -> None:
        said = "" if answer.headers.get("Content-Encoding") else answer.headers.get("Content-Length", "")
        size = int(said) if said.isdecimal() else 0  # of what a server packs all the same, the length says nothing
        self.say(f"Fetching {shown(self.url)}{f' ({_mebibytes(size)})' if size else ''}")
        beside = self.place.parent / f".{self.place.name}.part"
        received, last = 0, time.monotonic()
        try:
            with beside.open("wb") as file:
                for block in answer.iter_content(BLOCK):
                    file.write(block)
                    received += len(block)
                    if time.monotonic() - last > 5:
                        last = time.monotonic()
                        self.say(f"  {_mebibytes(received)}{f' of {_mebibytes(size)}' if size else ''}")
            if size and received != size:
                raise UserError(
                    f"{shown(self.url)}: cut off after {received} of {size} bytes; try again, or give a local path"
                )
            publish(beside, self.place)
        finally:
            beside.unlink(missing_ok=True)
        headers = answer.headers
        write_json(self.about, {"etag": headers.get("ETag"), "last_modified": headers.get("Last-Modified")})


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def _reason(error: Exception) -> str:
    """The innermost cause, which is the one that says something."""
    cause: BaseException = error
    while (inner := getattr(cause, "reason", None) or cause.__cause__ or cause.__context__) and isinstance(
        inner, BaseException
    ):
        cause = inner
    text = " ".join(str(cause).split())
    return re.sub(r"<[^>]* object at 0x[0-9a-f]+>:? ?", "", text).strip() or type(cause).__name__
