"""Blob storage: containers of named bytes, as azure-storage-blob and plain HTTP ask for them."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from .web import Request, Response, Unknown

if TYPE_CHECKING:
    from . import Double


@dataclass
class Blob:
    content: bytes
    kind: str = "BlockBlob"
    content_type: str = "application/octet-stream"
    metadata: dict[str, str] = field(default_factory=dict)
    modified: str = field(default_factory=lambda: formatdate(usegmt=True))

    @property
    def etag(self) -> str:
        return (
            '"0x' + hashlib.sha256(self.content + repr(sorted(self.metadata.items())).encode()).hexdigest()[:15] + '"'
        )

    @property
    def md5(self) -> str:
        return base64.b64encode(hashlib.md5(self.content).digest()).decode()


def refusal(status: int, code: str, message: str) -> Response:
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>'
    )
    return Response(status, body, {"x-ms-error-code": code, "Content-Type": "application/xml"})


class Blobs:
    """Storage accounts, in memory. Every account exists; a container must be made first.

    `denied = True` is an account on which the caller has no role: every request is answered 403.
    """

    def __init__(self, double: "Double") -> None:
        self.denied = False
        self.containers: dict[tuple[str, str], dict[str, Blob]] = {}
        self.blocks: dict[tuple[str, str, str, str], bytes] = {}
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            double.route(method, "/{container}", service="blob")(self.answer_container)
            double.route(method, "/{container}/{name*}", service="blob")(self.answer_blob)

    # -- for other files and for tests -------------------------------------------------------------------------------

    def create(self, account: str, container: str) -> dict[str, Blob]:
        return self.containers.setdefault((account, container), {})

    def put(self, account: str, container: str, name: str, content: bytes | str) -> None:
        self.create(account, container)[name] = Blob(content.encode() if isinstance(content, str) else content)

    def names(self, container: str, account: str | None = None) -> list[str]:
        """The blobs of a container, sorted."""
        found = [
            blobs for place, blobs in self.containers.items() if place[1] == container and account in (None, place[0])
        ]
        return sorted(name for blobs in found for name in blobs)

    def get(self, container: str, name: str) -> bytes:
        """A blob's content; KeyError when there is none."""
        return next(
            blobs[name].content for place, blobs in self.containers.items() if place[1] == container and name in blobs
        )

    # -- what clients ask --------------------------------------------------------------------------------------------

    def check(self, request: Request) -> Response | None:
        if "sig" not in request.query and "authorization" not in request.headers:
            return refusal(401, "NoAuthenticationInformation", "Server failed to authenticate the request.")
        if self.denied:
            message = "This request is not authorized to perform this operation using this permission."
            return refusal(403, "AuthorizationPermissionMismatch", message)
        return None

    def answer_container(self, request: Request, container: str) -> Response:
        if answer := self.check(request):
            return answer
        place = (request.account, container)
        if request.method == "PUT":
            if place in self.containers:
                return refusal(409, "ContainerAlreadyExists", "The specified container already exists.")
            self.create(*place)
            return Response(201)
        if place not in self.containers:
            return refusal(404, "ContainerNotFound", "The specified container does not exist.")
        if request.method == "DELETE":
            del self.containers[place]
            return Response(202)
        if request.query.get("comp") == "list":
            return Response(200, self.listing(request, place), {"Content-Type": "application/xml"})
        return Response(200, None, {"ETag": '"0x1"', "Last-Modified": formatdate(usegmt=True)})

    def listing(self, request: Request, place: tuple[str, str]) -> str:
        """All that begins with `prefix`; with a delimiter, one level of it. One page holds everything."""
        prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
        lines, folders = [], []
        for name, blob in sorted(self.containers[place].items()):
            rest = name.removeprefix(prefix)
            if not name.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                folder = prefix + rest.partition(delimiter)[0] + delimiter
                if folder not in folders:
                    folders.append(folder)
                    lines.append(f"<BlobPrefix><Name>{escape(folder)}</Name></BlobPrefix>")
                continue
            metadata = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in blob.metadata.items())
            lines.append(
                f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{blob.modified}</Last-Modified>"
                f"<Etag>{escape(blob.etag)}</Etag><Content-Length>{len(blob.content)}</Content-Length>"
                f"<Content-Type>{blob.content_type}</Content-Type><Content-MD5>{blob.md5}</Content-MD5>"
                f"<BlobType>{blob.kind}</BlobType></Properties><Metadata>{metadata}</Metadata></Blob>"
            )
        return (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="{escape(request.base)}/" '
            f'ContainerName="{place[1]}"><Prefix>{escape(prefix)}</Prefix><Blobs>{"".join(lines)}</Blobs><NextMarker/>'
            "</EnumerationResults>"
        )

    def answer_blob(self, request: Request, container: str, name: str) -> Response:
        if answer := self.check(request):
            return answer
        blobs = self.containers.get((request.account, container))
        if blobs is None:
            return refusal(404, "ContainerNotFound", "The specified container does not exist.")
        if request.method == "PUT":
            return self.write(request, blobs, container, name)
        if name not in blobs:
            return refusal(404, "BlobNotFound", "The specified blob does not exist.")
        if request.method == "DELETE":
            del blobs[name]
            return Response(202)
        return self.read(request, blobs[name])

    def read(self, request: Request, blob: Blob) -> Response:
        content, size = blob.content, len(blob.content)
        headers = {
            "ETag": blob.etag,
            "Last-Modified": blob.modified,
            "Content-Type": blob.content_type,
            "x-ms-blob-type": blob.kind,
            "Accept-Ranges": "bytes",
            "Content-Length": str(size),
            **{f"x-ms-meta-{key}": value for key, value in blob.metadata.items()},
        }
        wanted = request.headers.get("x-ms-range") or request.headers.get("range")
        if not wanted:
            return Response(200, content, headers | {"Content-MD5": blob.md5})
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        if int(first) >= size:
            return refusal(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
        part = content[int(first) : int(last) + 1 if last else size]
        headers |= {
            "Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{size}",
            "Content-Length": str(len(part)),
        }
        return Response(206, part, headers)

    def write(self, request: Request, blobs: dict[str, Blob], container: str, name: str) -> Response:
        action = request.query.get("comp", "")
        place = (request.account, container, name)
        if action == "metadata":
            if name not in blobs:
                return refusal(404, "BlobNotFound", "The specified blob does not exist.")
            blobs[name].metadata = metadata_of(request.headers)
        elif action == "block":
            self.blocks[*place, request.query["blockid"]] = request.content
            return Response(201)
        elif action == "appendblock":
            blobs[name].content += request.content
        elif action in ("", "blocklist"):
            if request.headers.get("if-none-match") == "*" and name in blobs:
                return refusal(409, "BlobAlreadyExists", "The specified blob already exists.")
            content = request.content
            if action == "blocklist":
                names = [part.partition("<")[0] for part in content.decode().split("<Latest>")[1:]]
                content = b"".join(self.blocks.pop((*place, one)) for one in names)
            kind = request.headers.get("x-ms-blob-type", "BlockBlob")
            sent = request.headers.get("x-ms-blob-content-type") or "application/octet-stream"
            blobs[name] = Blob(content, kind, sent, metadata_of(request.headers))
        else:
            raise Unknown
        blob = blobs[name]
        status = 200 if action == "metadata" else 201
        return Response(status, None, {"ETag": blob.etag, "Last-Modified": blob.modified})


def metadata_of(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("x-ms-meta-"): value for name, value in headers.items() if name.startswith("x-ms-meta-")}
