"""The test console: a page on the gateway to try the endpoint from, as the tab "Test" of Azure's studio is.

The page itself holds nothing secret and is given to anybody; what it tells of the endpoint (ABOUT) and whatever it asks
needs the key, which stays in the memory of the page. (Where no key is asked for, nobody is given anything who has not
asked for this machine's own address.) Where the endpoint's tag `console` names an HTML file of its code, that is shown,
too: the model's own page. It runs in a sandbox, as an origin of its own whose policy lets it fetch nothing: it never
sees the key, and asks the scoring script by handing a request to the page around it.
"""

import base64
import functools
import hashlib
import html
import re
from pathlib import Path
from typing import Any

import orjson

from amlocal.endpoints.gateway.auth import KEY, misnamed
from amlocal.endpoints.gateway.connection import Headers, Request
from amlocal.endpoints.store import Endpoint

PATH = b"/console"
GUESSED = b"/score/console"  # where people look for it who have the address of /score
MODEL = b"/console/model"
ABOUT = b"/console/about"
TAG = "console"
LARGEST_PAGE = 1024 * 1024

PAGES = Path(__file__).with_name("pages")
TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
}

# Nothing but what the gateway itself serves, in no other page's frame.
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'"
SHELL_POLICY = (
    f"{NOTHING}; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; frame-src 'self';"
    " frame-ancestors 'none'"
)
# What a model's page may load: what it brings within itself, named by its hashes, and what the console has for it.
MODEL_POLICY = (
    f"{NOTHING}; sandbox allow-scripts; script-src 'self'{{scripts}}; style-src 'self'{{styles}}; img-src data: blob:;"
    " frame-ancestors 'self'"
)
INLINE = {
    "scripts": re.compile(rb"<script(?![^>]*\ssrc\s*=)[^>]*>(.*?)</script\s*>", re.S | re.I),
    "styles": re.compile(rb"<style[^>]*>(.*?)</style\s*>", re.S | re.I),
}
TITLE = re.compile(r"<title[^>]*>(.*?)</title\s*>", re.S | re.I)


def is_public(path: bytes) -> bool:
    """Whether `path` is one of the console's that need no key."""
    return path != ABOUT and (path in (PATH, GUESSED) or path.startswith(PATH + b"/"))


def serve(request: Request, path: bytes, endpoint: Endpoint) -> None:
    """Answer a request for one of the console's own files, or for the model's page."""
    if reason := _misnamed(request, endpoint):
        request.refuse(403, reason)
    elif request.method not in ("GET", "HEAD"):
        request.refuse(405, "the console's pages are only there to be read: GET", [(b"allow", b"GET, HEAD")])
    elif path == GUESSED:
        request.respond(308, [(b"location", PATH), (b"cache-control", b"no-store")], b"")
    elif path == PATH:
        # A window that another origin has opened is no window of its own to it.
        alone = (b"cross-origin-opener-policy", b"same-origin")
        request.respond(200, [*_headers(".html", SHELL_POLICY), alone], _shell(endpoint))
    elif path == MODEL:
        page = model_page(endpoint)
        if page is None:
            request.refuse(404, f'endpoint {endpoint.name} has no page of its own; its tag "{TAG}" would name one')
        else:
            # What no policy forbids: to look up names, which would tell something to whoever answers for them.
            mute = (b"x-dns-prefetch-control", b"off")
            request.respond(200, [*_headers(".html", model_policy(page)), mute], page)
    elif file := _files().get(path):
        suffix, content = file
        request.respond(200, _headers(suffix, "default-src 'none'"), content)
    else:
        request.refuse(404, f"no such page; the console is at {PATH.decode()}")


def about(request: Request, endpoint: Endpoint) -> None:
    """What the console shows of the endpoint, to those who have its key."""
    if request.method not in ("GET", "HEAD"):
        request.refuse(405, "GET only", [(b"allow", b"GET, HEAD")])
        return
    traffic = endpoint.traffic
    if endpoint.local and not traffic and len(endpoint.deployments) == 1:
        traffic = dict.fromkeys(endpoint.deployments, 100)
    told: dict[str, Any] = {
        "name": endpoint.name,
        "description": endpoint.spec.get("description") or "",
        "deployments": [
            {
                "name": name,
                "traffic": traffic.get(name, 0),
                "mirror": (endpoint.spec.get("mirror_traffic") or {}).get(name, 0),
                "state": deployment.state,
                "runs": bool(deployment.plans),
            }
            for name, deployment in endpoint.deployments.items()
        ],
    }
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    request.respond(200, [*headers, (b"x-content-type-options", b"nosniff")], orjson.dumps(told))


def model_page(endpoint: Endpoint) -> bytes | None:
    """The page that the endpoint's tag names, from the code of the deployment that has most traffic; None without.

    The tag is a path relative to the deployment's code folder. One that leads out of it (also through a symbolic link),
    is no HTML file or is larger than LARGEST_PAGE is as good as none.
    """
    named = str((endpoint.spec.get("tags") or {}).get(TAG) or "")
    running = [name for name, deployment in endpoint.deployments.items() if deployment.plans]
    if not named or not running:
        return None
    busiest = max(reversed(running), key=lambda name: endpoint.traffic.get(name, 0))  # among equals the newest
    code = Path(endpoint.deployments[busiest].plans[-1].folder, "code")
    try:
        code = code.resolve(strict=True)
        file = (code / named).resolve(strict=True)
        if file.suffix != ".html" or not file.is_relative_to(code) or not file.is_file():
            return None
        with file.open("rb") as opened:
            page = opened.read(LARGEST_PAGE + 1)
    except (OSError, ValueError):  # ValueError: a name with a null byte
        return None
    return page if len(page) <= LARGEST_PAGE else None


def model_policy(page: bytes) -> str:
    """The Content-Security-Policy of a model's page: its own inline scripts and styles by hash, no others."""
    hashes = {
        kind: "".join(
            f" 'sha256-{base64.b64encode(hashlib.sha256(_newlines(text)).digest()).decode()}'"
            for text in pattern.findall(page)
        )
        for kind, pattern in INLINE.items()
    }
    return MODEL_POLICY.format(**hashes)


def front(request: Request, endpoint: Endpoint) -> None:
    """Answer a person who opens the endpoint's address in a browser: what a probe is told, and the way on."""
    if reason := _misnamed(request, endpoint):
        request.refuse(403, reason)
        return
    page = f'<!doctype html><meta charset="utf-8"><title>{endpoint.name}</title><p>Healthy</p>'
    page += f'<p><a href="{PATH.decode()}">Test the endpoint {endpoint.name}</a></p>\n'
    request.respond(200, _headers(".html", f"{NOTHING}; frame-ancestors 'none'"), page.encode())


def _misnamed(request: Request, endpoint: Endpoint) -> str | None:
    """Why this is not shown without a key; None if it may be.

    It has to be asked for at this machine's own address, else the page of any site could call itself that (DNS
    rebinding) and read it. That is all that may be asked: the model's page, in its sandbox, is from elsewhere, too.
    """
    if not endpoint.local:
        return None
    return misnamed((request.header(b"host") or b"").decode("latin-1").lower(), endpoint.port)


def _shell(endpoint: Endpoint) -> bytes:
    """The console's page, with what may be known without the key: the name, and whether there is a model's page."""
    page = model_page(endpoint)
    parts = {
        "name": endpoint.name,
        "key": "key" if endpoint.auth_mode == KEY else "token",
        "field": "primaryKey" if endpoint.auth_mode == KEY else "accessToken",
        "door": "open" if endpoint.local else "shut",
        "page": "" if page is None else _title(page) or "Model",
    }
    template = (PAGES / "index.html").read_text(encoding="utf-8")
    return re.sub(r"{{(\w+)}}", lambda place: html.escape(parts[place[1]]), template).encode()


def _title(page: bytes) -> str:
    found = TITLE.search(page.decode("utf-8", errors="replace"))
    return " ".join(html.unescape(found[1]).split())[:40] if found else ""


def _newlines(text: bytes) -> bytes:
    """As a browser reads them before it takes a hash."""
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _headers(suffix: str, policy: str) -> Headers:
    return [
        (b"content-type", TYPES[suffix]),
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
    ]


@functools.cache
def _files() -> dict[bytes, tuple[str, bytes]]:
    """What the console's page consists of beside itself, by path."""
    return {
        PATH + b"/" + file.name.encode(): (file.suffix, file.read_bytes())
        for file in PAGES.iterdir()
        if file.suffix in (".css", ".js")
    }
