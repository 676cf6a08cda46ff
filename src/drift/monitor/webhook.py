"""A change, told to an address on the web: a POST of JSON, whose `text` is what chat programs show."""

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

PATIENCE_SECONDS = 10


def address(text: str) -> str:
    """An http or https address, for argparse."""
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is no http:// or https:// address")
    return text


def send(url: str, event: str, text: str, **more: Any) -> bool:
    """POST {"event", "text", ...} and whether it arrived. What does not arrive is a warning: the monitor goes on.

    The address is not printed: with most services, whoever knows it may post.
    """
    body = json.dumps({"event": event, "text": text, **more}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "digits"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - `address` lets nothing else through
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):  # noqa: S310 - as above
            return True
    except urllib.error.HTTPError as error:
        why = f"it answered {error.code}"
        error.close()
    except (OSError, ValueError) as error:
        why = str(getattr(error, "reason", error))
    print(f"Warning: the webhook was not told of the {event}: {why}", file=sys.stderr, flush=True)
    return False
