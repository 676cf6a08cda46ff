"""Traffic as a scenario has it: one digit a tick sent to an endpoint, in order, and who wrote it noted beside.

    python -m drift.traffic --list                                       # the scenarios that come along
    python -m drift.traffic --scenario seasonal --picture seasonal.png   # its digits, and nothing is sent
    DIGITS_KEY=... python -m drift.traffic --scenario seasonal --url http://127.0.0.1:8080/score --output traffic

Each request has the id `<run>-<tick>`, sent as x-ms-client-request-id, by which a monitor finds again what was
collected. labels.jsonl has one line for each request that was sent:

    {"id": "seasonal-1-7", "run": "seasonal-1", "scenario": "seasonal", "tick": 7, "date": "2025-01-08",
     "source": "mnist", "label": 3, "weights": {"mnist": 0.14, "japanese": 0.0}, "status": 200}

Digits that digits.data.hands drew have "synthetic-" before their source's name. A scenario is sent as it
is played, a few digits at a time: a million take no more memory than a hundred.

Nothing is sent twice: an answer other than 200 is noted and told at the end; what cannot get better (no connection, a
wrong key, no such endpoint) ends the run.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

import numpy as np

from digits import command
from digits.data import sets
from digits.data.hands import source_name
from digits.errors import DataError
from digits.shape import SIZE
from drift.traffic import scenario

if TYPE_CHECKING:
    import requests

    from drift.traffic import proven

LABELS = "labels.jsonl"
KEY = "DIGITS_KEY"
TIMEOUT = 30  # seconds for an answer
# Azure keeps letters, digits, - and _ of the header that an id travels in, and no more than so many of them.
LONGEST_ID = 40
_HOPELESS = (401, 403, 404)
_DRAWN = (20, 20)  # rows and columns of a picture


class TrafficError(DataError):
    """Traffic that cannot be sent, or was not answered; the message is one line."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="drift.traffic", description="Send a scenario's digits to an endpoint.")
    parser.add_argument("--scenario", required=True, help=f"{', '.join(scenario.names())}, or a .yml file of your own")
    parser.add_argument("--list", action=_List, help="tell the scenarios that come along, and exit")
    parser.add_argument("--url", help="the endpoint's scoring address")
    parser.add_argument("--output", type=Path, metavar="DIR", help=f"where to write {LABELS}")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw digits of the scenario; send nothing")
    parser.add_argument("--run", help="the run's name (default: the scenario's, and the time)")
    parser.add_argument("--ticks", type=int, help="how many requests (default: the scenario's)")
    parser.add_argument("--start", help="the simulated date of the first (default: the scenario's)")
    parser.add_argument("--step", help="how far it is to the next, such as '6 hours' (default: the scenario's)")
    parser.add_argument("--seed", type=int, help="another simulation of the same scenario (default: the scenario's)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with digits (default: as digits.data says)")
    parser.add_argument(
        "--key-file", metavar="FILE", help=f"file with the endpoint's key, - for standard input (default: ${KEY})"
    )

    def work(args: argparse.Namespace) -> None:
        if not args.picture and (lacking := [name for name in ("url", "output") if getattr(args, name) is None]):
            parser.error(f"the following arguments are required: {', '.join(f'--{name}' for name in lacking)}")
        _main(args)

    return command.run(parser, work, argv)


class _List(argparse.Action):
    """Like --help: prints, and the command is done, whatever else it lacks."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        for name in scenario.names():
            print(f"{name:<10} {scenario.read(name).description}")
        parser.exit()


def _main(args: argparse.Namespace) -> None:
    changes = {"ticks": args.ticks, "start": args.start, "step": args.step, "seed": args.seed}
    plan = scenario.read(args.scenario, **changes)
    if args.picture:
        picture(plan, args.picture, args.data)
        return
    run = args.run or f"{re.sub('[^A-Za-z0-9_-]', '', plan.name)[:16] or 'run'}-{datetime.now(UTC):%Y%m%d%H%M%S}"
    send(plan, args.url, _key(args.key_file), args.output, run, args.data)


def send(plan: scenario.Scenario, url: str, key: str | None, output: Path, run: str, path: Path | None = None) -> Path:
    """Send a scenario's digits to `url`, write labels.jsonl to the folder `output`, and return that file.

    run: the ids are `<run>-<tick>`. path: where digits.data.sets.load looks first.
    Raises TrafficError: for arguments it cannot use, when the endpoint cannot be reached, and at the end if some
    requests were not answered with 200; the file then has what was sent.
    """
    import requests
    from tqdm import tqdm

    from drift.traffic import proven

    if not _is_address(url):
        raise TrafficError(f"--url: {url} is no address; give the endpoint's, such as http://127.0.0.1:8080/score")
    longest = LONGEST_ID - len(f"-{plan.ticks - 1}")
    if len(run) > longest or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", run):
        raise TrafficError(f"--run: {run!r} is no name; use up to {longest} letters, digits, - and _")
    file = output / LABELS
    if file.exists():
        raise TrafficError(f"{file}: exists, and a run needs a file of its own; name another --output")

    digits = _load(plan, path)
    called = {name: source_name(name, digits[source.digits].synthetic) for name, source in plan.sources.items()}
    for name, source in plan.sources.items():
        changed = f", with {', '.join(source.effects)}" if source.effects else ""
        print(f"{name}: {digits[source.digits].source}{changed}")

    output.mkdir(parents=True, exist_ok=True)
    failed, first_told = 0, ""
    ticks = _ticks(plan, digits)
    bar = tqdm(ticks, total=plan.ticks, desc=run, unit="tick", disable=not sys.stderr.isatty())
    # Line by line and flushed: a run that is killed leaves what it sent, and at worst half a line, which is not read.
    with requests.Session() as session, _new(file) as labels:
        session.auth = _bearer(key)
        if key:
            session.mount("http://", proven.adapter(key))
        for tick, image, noted in bar:
            status, reason = _post(session, url, f"{run}-{tick}", _pixels(image))
            if status in _HOPELESS:
                raise TrafficError(f"{url}: tick {tick} was answered with {status}: {reason}{_REMEDIES[status]}")
            if status != 200:
                first_told = first_told or f"the first, tick {tick}: {status}: {reason}"
                failed += 1
            noted["source"] = called[noted["source"]]
            noted["weights"] = {called[name]: weight for name, weight in noted["weights"].items()}
            line = {"id": f"{run}-{tick}", "run": run, "scenario": plan.name, "tick": tick, **noted, "status": status}
            labels.write(json.dumps(line) + "\n")
            labels.flush()
    if failed:
        raise TrafficError(f"{failed} of {plan.ticks} requests were not answered; {first_told}")
    (first,), (last,) = plan.dates(0, 1), plan.dates(plan.ticks - 1)
    print(f"{plan.ticks} requests answered, {first} to {last}; labels in {file}")
    return file


def picture(plan: scenario.Scenario, file: Path, path: Path | None = None) -> None:
    """Draw digits of a scenario, spread evenly over its ticks, row by row, as a PNG. path: as in `send`."""
    from PIL import Image

    rows, columns = _DRAWN
    shown = np.unique(np.linspace(0, plan.ticks - 1, rows * columns).round().astype(int))
    sheet = np.zeros((-(-len(shown) // columns) * SIZE, columns * SIZE), np.uint8)
    wanted = set(shown.tolist())
    images = (image for tick, image, _ in _ticks(plan, _load(plan, path)) if tick in wanted)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        sheet[row * SIZE : (row + 1) * SIZE, column * SIZE : (column + 1) * SIZE] = np.rint(image)
    Image.fromarray(sheet).resize((sheet.shape[1] * 2, sheet.shape[0] * 2)).save(file, "PNG")
    print(f"{plan.name}: {len(shown)} of {plan.ticks} ticks drawn in {file}")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # such as of [ without ]
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


@contextmanager
def _new(file: Path) -> Iterator[TextIO]:
    """A file that was not there, to write to. It is gone again if nothing was written: the command can be repeated."""
    lines = file.open("x", encoding="utf-8")
    try:
        with lines:
            yield lines
    finally:
        if not file.stat().st_size:
            file.unlink()


def _load(plan: scenario.Scenario, path: Path | None) -> dict[str, sets.Digits]:
    # The test digits of every hand: whoever retrains on the others has not seen these.
    return {name: sets.load(name, path, "test") for name in plan.sets}


def _ticks(plan: scenario.Scenario, digits: dict[str, sets.Digits]) -> Iterator[tuple[int, np.ndarray, dict[str, Any]]]:
    """Every tick of a scenario: its number, its image (28, 28), and what labels.jsonl says of it."""
    tick = 0
    for block in scenario.stream(plan, digits):
        rows = zip(block.images, block.dates, block.sources, block.labels, block.weights, strict=True)
        for image, date, source, label, weights in rows:
            rounded = {name: round(float(w), 4) for name, w in zip(plan.sources, weights, strict=True)}
            yield tick, image, {"date": date, "source": source, "label": int(label), "weights": rounded}
            tick += 1


def _pixels(image: np.ndarray) -> Sequence[float]:
    """An image (28, 28) as numbers of JSON: whole ones wherever they are, since they are the shortest."""
    whole = image.astype(np.uint8)
    return (whole if (whole == image).all() else image).ravel().tolist()


_REMEDIES = {
    401: f"; put the endpoint's key into ${KEY} or a --key-file",
    403: "; the key may not call this endpoint",
    404: "; check the address, and that a deployment has traffic",
}


def _post(session: "requests.Session", url: str, id: str, pixels: Sequence[float]) -> tuple[int, str]:
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
        if (unproven := _unproven(error)) is not None:
            remedy = "check that the endpoint is running and that this is its key"
            raise TrafficError(f"{url}: {unproven}, so the key was not sent; {remedy}") from error
        raise TrafficError(f"{url}: {id} found no connection; is the endpoint running? ({_cause(error)})") from error
    return answer.status_code, " ".join(answer.text.split())[:300] or answer.reason


def _unproven(error: BaseException) -> "proven.NotProven | None":
    """Among an exception's reasons that the listener has not proved to know the key."""
    from drift.traffic import proven

    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, proven.NotProven):
        seen = seen.__cause__ or seen.__context__
    return seen


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
        where, text = f"${KEY}", os.environ.get(KEY, "")
        if not text.strip():
            return None
    elif file == "-":
        where, text = "--key-file: standard input", sys.stdin.buffer.read().decode(errors="replace")
    else:
        where, text = f"--key-file: {file}", Path(file).read_text(encoding="utf-8", errors="replace")
    key = text.strip()
    if not re.fullmatch("[!-~]+", key):  # a header takes no more
        raise TrafficError(f"{where} holds no key on a single line")
    return key
