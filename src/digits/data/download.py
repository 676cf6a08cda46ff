"""The full sets from their public homes, by downloads that resume, retry and are checked."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from digits.data.formats import Parts, read
from digits.data.hands import HANDS
from digits.errors import DataError

ATTEMPTS = 4

T = TypeVar("T")


def fetch(name: str, folder: Path) -> Path:
    """The full set of the hand `name` as `folder`/`name`.npz, fetched unless it is there already; returns that file.

    It comes from the hand's own address if it has one, else from Kaggle, through kagglehub and its own cache.
    Raises DataError when no source can be reached, or what arrived is wrong; OSError for a full disk.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.npz"
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            if target.exists():
                read(target)  # raises, naming the file, if it is damaged
                return target
            problems = []
            for source in (_from_url, from_kaggle) if HANDS[name].url else (from_kaggle,):
                try:
                    return source(name, target)
                except DataError as error:
                    problems.append(str(error))
            remedy = "check the network and fetch again, or name a path to digits you have"
            raise DataError(f"{name} cannot be fetched: {'; '.join(problems)}; {remedy}")
    except Timeout:
        raise DataError(f"{target}: another fetch is writing it; wait for that one") from None


def _from_url(name: str, target: Path) -> Path:
    return download(HANDS[name].url, target, HANDS[name].sha256)


def download(url: str, target: Path, sha256: str) -> Path:
    """Download a file, going on where an earlier attempt stopped; it takes its name only once its checksum is right.

    Raises DataError for an address that cannot be reached or does not serve, and for a wrong checksum.
    """
    import requests
    from tqdm import tqdm

    partial = target.with_name(f"{target.name}.partial")

    def attempt() -> None:
        have = partial.stat().st_size if partial.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=20) as answer:
            if answer.status_code == 416:  # nothing is left to send: the checksum will tell whether all is here
                return
            answer.raise_for_status()
            if answer.status_code != 206:
                have = 0  # a server that cannot resume sends everything
            size = have + int(answer.headers.get("Content-Length", 0))
            with (
                partial.open("ab" if have else "wb") as file,
                tqdm(total=size or None, initial=have, unit="B", unit_scale=True, desc=target.name) as bar,
            ):
                for chunk in answer.iter_content(1 << 16):
                    bar.update(file.write(chunk))

    _retried(url, attempt)
    if (found := hashlib.sha256(partial.read_bytes()).hexdigest()) != sha256:
        partial.unlink()
        raise DataError(f"{url}: its sha256 is {found[:12]}..., not {sha256[:12]}...")
    partial.replace(target)
    return target


def from_kaggle(name: str, target: Path) -> Path:
    """A set as Kaggle has it, saved as one .npz; kagglehub shows the progress and resumes. Raises DataError."""
    import kagglehub

    place = f"kaggle.com/datasets/{HANDS[name].kaggle}"
    try:
        folder = _retried(place, lambda: kagglehub.dataset_download(HANDS[name].kaggle))
    except (DataError, OSError):
        raise
    except Exception as error:  # kagglehub has a dozen of its own, without a common ancestor
        raise DataError(f"{place}: {_line(error)}") from error
    return save(read(Path(folder)), target)


def save(parts: Parts, target: Path) -> Path:
    """Write parts as an .npz that `read` reads back: one small file where Kaggle has twenty thousand pictures."""
    arrays: dict[str, np.ndarray] = {}
    for split, (images, labels) in parts.items():
        x, y = ("images", "labels") if split == "all" else (f"x_{split}", f"y_{split}")
        arrays |= {x: images, y: labels}
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _retried(place: str, action: Callable[[], T]) -> T:
    """What the action returns, tried again after a failure that may pass; DataError naming the place if it does not."""
    import requests

    for attempt in range(ATTEMPTS):
        try:
            return action()
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else None
            problem = f"{place} answers {status}" if status else f"{place} cannot be reached ({type(error).__name__})"
            if status and status < 500 and status != 429:
                break
        if attempt < ATTEMPTS - 1:
            _pause(0.5 * 2**attempt)
    raise DataError(problem)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _pause(seconds: float) -> None:
    time.sleep(seconds)
