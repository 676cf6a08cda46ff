"""Traffic as a scenario has it: one digit a tick sent to an endpoint, in order, and who wrote it noted beside.

    DIGITS_KEY=... python -m digits.traffic --scenario seasonal --url http://127.0.0.1:8080/score --output traffic

Each request has the id `<run>-<tick>`, sent as x-ms-client-request-id, by which a monitor finds again what was
collected. labels.jsonl has one line for each request that was sent:

    {"id": "seasonal-1-7", "run": "seasonal-1", "scenario": "seasonal", "tick": 7, "date": "2025-01-08",
     "source": "mnist", "label": 3, "weights": {"mnist": 0.14, "japanese": 0.0}, "status": 200}

Nothing is sent twice: an answer other than 200 is noted and told at the end; what cannot get better (no connection, a
wrong key, no such endpoint) ends the run.
"""

import argparse
import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from digits import cli, data, scenario
from digits.images import DataError

if TYPE_CHECKING:
    import requests

LABELS = "labels.jsonl"
KEY = "DIGITS_KEY"
TIMEOUT = 30  # seconds for an answer
# Azure keeps letters, digits, - and _ of the header that an id travels in, and no more than so many of them.
LONGEST_ID = 40
_HOPELESS = (401, 403, 404)


class TrafficError(DataError):
    """Traffic that cannot be sent, or was not answered; the message is one line."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="digits.traffic", description="Send a scenario's digits to an endpoint.")
    parser.add_argument("--scenario", required=True, help=f"{', '.join(scenario.names())}, or a .yml file of your own")
    parser.add_argument("--url", required=True, help="the endpoint's scoring address")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help=f"where to write {LABELS}")
    parser.add_argument("--run", help="the run's name (default: the scenario's, and the time)")
    parser.add_argument("--ticks", type=int, help="how many requests (default: the scenario's)")
    parser.add_argument("--start", help="the simulated date of the first (default: the scenario's)")
    parser.add_argument("--step", help="how far it is to the next, such as '6 hours' (default: the scenario's)")
    parser.add_argument("--seed", type=int, help="another simulation of the same scenario (default: the scenario's)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with digits (default: as digits.data says)")
    parser.add_argument(
        "--key-file", metavar="FILE", help=f"file with the endpoint's key, - for standard input (default: ${KEY})"
    )
    return cli.run(parser, _main, argv)


def _main(args: argparse.Namespace) -> None:
    changes = {"ticks": args.ticks, "start": args.start, "step": args.step, "seed": args.seed}
    plan = scenario.read(args.scenario, **changes)
    run = args.run or f"{re.sub('[^A-Za-z0-9_-]', '', plan.name)[:16] or 'run'}-{datetime.now(UTC):%Y%m%d%H%M%S}"
    send(plan, args.url, _key(args.key_file), args.output, run, args.data)


def send(plan: scenario.Scenario, url: str, key: str | None, output: Path, run: str, path: Path | None = None) -> Path:
    """Send a scenario's digits to `url`, write labels.jsonl to the folder `output`, and return that file.

    run: the ids are `<run>-<tick>`. path: where digits.data.load looks first.
    Raises TrafficError: for arguments it cannot use, when the endpoint cannot be reached, and at the end if some
    requests were not answered with 200; the file then has what was sent.
    """
    import requests
    from tqdm import tqdm

    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise TrafficError(f"--url: {url} is no address; give the endpoint's, such as http://127.0.0.1:8080/score")
    longest = LONGEST_ID - len(f"-{plan.ticks - 1}")
    if len(run) > longest or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", run):
        raise TrafficError(f"--run: {run!r} is no name; use up to {longest} letters, digits, - and _")
    file = output / LABELS
    if file.exists():
        raise TrafficError(f"{file}: exists, and a run needs a file of its own; name another --output")

    # The test digits of every hand: whoever retrains on the others has not seen these.
    digits = {name: data.load(name, path, "test") for name in plan.sources}
    simulation = scenario.play(plan, digits)
    called = {name: f"synthetic-{name}" if digits[name].synthetic else name for name in plan.sources}
    for name in plan.sources:
        print(f"{name}: {digits[name].source}")

    output.mkdir(parents=True, exist_ok=True)
    failed: list[tuple[int, str]] = []
    bar = tqdm(range(plan.ticks), desc=run, unit="tick", disable=not sys.stderr.isatty())
    # Line by line and flushed: a run that is killed leaves what it sent, and at worst half a line, which is not read.
    with requests.Session() as session, file.open("x", encoding="utf-8") as labels:
        session.auth = _bearer(key)
        for tick in bar:
            status, reason = _post(session, url, f"{run}-{tick}", simulation.images[tick].ravel().tolist())
            if status in _HOPELESS:
                raise TrafficError(f"{url}: tick {tick} was answered with {status}: {reason}{_REMEDIES[status]}")
            if status != 200:
                failed.append((tick, f"{status}: {reason}"))
            line = {
                "id": f"{run}-{tick}",
                "run": run,
                "scenario": plan.name,
                "tick": tick,
                "date": simulation.dates[tick],
                "source": called[simulation.sources[tick]],
                "label": int(simulation.labels[tick]),
                "weights": {
                    called[name]: round(float(w), 4)
                    for name, w in zip(plan.sources, simulation.weights[tick], strict=True)
                },
                "status": status,
            }
            labels.write(json.dumps(line) + "\n")
            labels.flush()
    if failed:
        tick, told = failed[0]
        raise TrafficError(f"{len(failed)} of {plan.ticks} requests were not answered; the first, tick {tick}: {told}")
    print(f"{plan.ticks} requests answered, {simulation.dates[0]} to {simulation.dates[-1]}; labels in {file}")
    return file


_REMEDIES = {
    401: f"; put the endpoint's key into ${KEY} or a --key-file",
    403: "; the key may not call this endpoint",
    404: "; check the address, and that a deployment has traffic",
}


def _post(session: "requests.Session", url: str, id: str, pixels: list[int]) -> tuple[int, str]:
    """Send one image; the answer's status, and what it says if that is not 200."""
    import requests

    try:
        answer = session.post(
            url,
            json={"input_data": [pixels]},
            headers={"x-ms-client-request-id": id},
            timeout=TIMEOUT,
            allow_redirects=False,  # a key goes to the address it is for
        )
    except requests.Timeout as error:
        raise TrafficError(f"{url}: no answer to {id} within {TIMEOUT} s; see the deployment's log") from error
    except requests.RequestException as error:
        raise TrafficError(f"{url}: {id} found no connection; is the endpoint running? ({_cause(error)})") from error
    return answer.status_code, " ".join(answer.text.split())[:300] or answer.reason


def _cause(error: BaseException) -> str:
    """The innermost of an exception's reasons: requests and urllib3 wrap what the system said several times."""
    while inner := getattr(error, "reason", None) or error.__cause__ or error.__context__:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return getattr(error, "strerror", None) or type(error).__name__


def _bearer(key: str | None) -> "requests.auth.AuthBase | None":
    """Authorization for a session. As its `auth`, for a ~/.netrc would overrule a mere header."""
    import requests.auth

    class Bearer(requests.auth.AuthBase):
        def __call__(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
            if key:
                request.headers["Authorization"] = f"Bearer {key}"
            return request

    return Bearer()


def _key(file: str | None) -> str | None:
    """The endpoint's key, from where it stays out of the process list and the shell's history."""
    if file is None:
        return os.environ.get(KEY, "").strip() or None
    key = (sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")).strip()
    if not key or not key.isascii() or any(c.isspace() for c in key):
        raise TrafficError(f"--key-file: {'standard input' if file == '-' else file} holds no key on a single line")
    return key


if __name__ == "__main__":
    sys.exit(main())
