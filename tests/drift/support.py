"""What an endpoint would have collected, and what people would have labelled of it, written as files."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def collect(folder: Path, ids: Iterable[str], images: np.ndarray, hour: str = "10") -> Path:
    """Records of requests with `images` uint8 (n, 28, 28), as the gateway writes them; `folder` again."""
    file = folder / "digits" / "blue" / "request" / "2025" / "01" / "31" / hour / "f3a1.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        for id, image in zip(ids, images, strict=True):
            body = {"input_data": [image.ravel().tolist()]}
            record = {"data": body, "time": f"2025-01-31T{hour}:00:00Z", "correlationid": id, "xrequestid": id}
            lines.write(json.dumps(record) + "\n")
    return folder


def label(file: Path, ids: Iterable[str], labels: Iterable[int]) -> Path:
    """A line for each that says no more than a person would; `file` again."""
    lines = (json.dumps({"id": id, "label": int(label)}) for id, label in zip(ids, labels, strict=True))
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def drift(folder: Path, run: str, *changes: tuple[int, int]) -> Path:
    """What the monitor would have written of a run with changes from one tick to another; `folder` again."""
    folder.mkdir(parents=True, exist_ok=True)
    told = [{"first": first, "seen": first + 3, "last": last} for first, last in changes]
    (folder / "verdict.json").write_text(json.dumps({"run": run, "changes": told}), encoding="utf-8")
    return folder
