"""What Azure says in an answer that refuses, in one line.

The service repeats itself: azure-core prints the code and the message twice, the details, and `additionalInfo` with the
correlation ids of whoever took part. All of that is shown with --debug.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

# Segments of an address that name no resource.
SCOPE = ("subscriptions", "resourcegroups", "providers", "locations")
REASONS = {404: "was not found", 403: "may not be accessed", 401: "may not be accessed without signing in"}


def refusal(response: Any) -> str | None:
    """The line; None for an answer whose body is something else than an error of Azure's."""
    body = _body(response)
    if body is None:
        asked = _asked_for(response)
        status = int(response.status_code)
        reason = REASONS.get(status) or f"was refused: {status} {getattr(response, 'reason', '') or ''}".rstrip()
        return f"{asked} {reason}" if asked else None
    error = body.get("error")
    if not isinstance(error, Mapping) or not error.get("message"):
        return None
    said = dict.fromkeys(_said(error))
    return "; ".join(said)


def _said(error: Mapping[str, Any]) -> Iterator[str]:
    """`(Code) Message` of an error and of what its details add."""
    code, message = str(error.get("code") or ""), str(error.get("message") or "")
    text = " ".join(message.split())
    yield f"({code}) {text}" if code else text
    for each in error.get("details") or ():
        if isinstance(each, Mapping) and each.get("message"):
            yield from _said(each)


def _body(response: Any) -> Mapping[str, Any] | None:
    """The JSON of an answer; None for an empty one, an empty object for what is no JSON."""
    try:
        text = response.text() if callable(getattr(response, "text", None)) else response.text
    except Exception:
        return {}
    if not text:
        return None
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, Mapping) else {}


def _asked_for(response: Any) -> str:
    """`compute "cpu"`: the last thing that the request's address names."""
    request = getattr(response, "request", None)
    path = unquote(urlsplit(str(getattr(request, "url", "") or "")).path)
    parts = [part for part in path.split("/") if part]
    pairs = list(zip(parts[0::2], parts[1::2], strict=False))
    named = [(kind, name) for kind, name in pairs if kind.lower() not in SCOPE]
    if not named:
        return ""
    (kind, name), version = named[-1], ""
    if kind == "versions" and len(named) > 1:
        (kind, name), version = named[-2], f", version {name}"
    noun = "data" if kind == "data" else kind.removesuffix("s")
    return f'{re.sub("([A-Z])", lambda found: " " + found[1].lower(), noun)} "{name}"{version}'
