"""The parts of the report that are images, side by side, with what each was read as beneath it."""

import base64
import io
import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from digits.data.hands import source_title
from drift.records.collected import Collected
from drift.report.parts import outside, style

if TYPE_CHECKING:
    from drift.verdict.findings import Findings

SHOWN = 40  # images shown at once; the others wait behind a click


class Pictures:
    """Images that the page has, as PNG data URIs by index, and what is told beneath each of them."""

    def __init__(self, seen: Collected, chosen: Iterable[int], places: Mapping[int, int], unit: str) -> None:
        """chosen: indices of requests. places: where, by index, a request stands among those drawn."""
        self.seen, self.places, self.unit = seen, places, unit
        self.uris = {int(index): _data_uri(seen.images[index]) for index in chosen}

    def only(self, indices: np.ndarray) -> np.ndarray:
        """Those of which there is an image."""
        return np.array([index for index in indices if int(index) in self.uris], int)

    def item(self, index: int, ask: bool) -> str:
        """A request as it stands in a gallery; `ask`: with a field for what it is, where nobody knows."""
        seen = self.seen
        label, read = int(seen["label"][index]), seen["prediction"][index]
        said = f"read as {read:.0f}" if read >= 0 else "not read"
        if label >= 0:
            said = f"{label}, read right" if label == read else f"{label}, {said}"
        source, id = str(seen["source"][index]), escape(str(seen["id"][index]))
        what = f"{source_title(source)} {label}" if label >= 0 else "not labelled"
        sure = seen.columns["confidence"][index] if "confidence" in seen.columns else math.nan
        sure = "" if math.isnan(sure) else f"{sure:.0%} sure<br>"
        button = (
            f'<button value="{self.places[index]}" class="{style(seen, source)}" title="{id}">'
            f'<img src="{self.uris[index]}" alt="{escape(what.strip())}">{said}'
            f"<span>{sure}{self.unit} {int(seen['tick'][index])}</span></button>"
        )
        if not ask or label >= 0:
            return f"<div>{button}</div>"
        field = f'<input inputmode="numeric" maxlength="1" placeholder="?" data-id="{id}" aria-label="What is {id}?">'
        return f"<div>{button}{field}</div>"


def gallery(pictures: Pictures, indices: np.ndarray, ask: bool = False) -> str:
    """Images side by side, SHOWN of them at once."""
    items = [pictures.item(int(index), ask) for index in pictures.only(indices)]
    html = f'<div class="gallery">{"".join(items[:SHOWN])}</div>' if items else ""
    if len(items) > SHOWN:
        more = "".join(items[SHOWN:])
        html += f'<details><summary>{len(items) - SHOWN} more</summary><div class="gallery">{more}</div></details>'
    return html


def typical(findings: "Findings") -> np.ndarray:
    """Indices of the least surprising request of each class before the first change, or else outside all of them."""
    calm = outside(findings)
    if findings.verdict.changes and (before := calm & (np.arange(len(calm)) < findings.verdict.changes[0].first)).any():
        calm = before
    order = np.argsort(findings.surprise, kind="stable")
    order = order[(calm & findings.seen.pictured)[order]]
    read = findings.seen["prediction"][order]
    found = [order[read == digit][0] for digit in range(10) if (read == digit).any()]
    return np.array(found if findings.verdict.changes else [], int)


def gallery_told(pictures: Pictures, anomalous: np.ndarray) -> str:
    """What the gallery of unsure answers shows."""
    count, shown = int(anomalous.sum()), len(pictures.only(np.flatnonzero(anomalous)))
    if not count:
        return "There are none: the model was never unsure."
    if not shown:
        return "No image of those the model was unsure of was collected."
    which = "Every digit" if shown == count else f"{shown:,} of the {count:,} digits"
    what = "what it is, what it was read as" if pictures.seen.labelled.any() else "what it was read as"
    return f"{which} the model was unsure of: {what}, and how sure the model was."


def unlike_told(seen: Collected, unlike: np.ndarray, pictures: Pictures) -> str:
    """What the most unlike images are for."""
    shown = pictures.only(unlike)
    told = "Of what was sent during a change, the images that surprise the monitor most, the strangest first."
    if not (seen["label"][shown] < 0).any():
        return told
    return f"{told} Label these first: type beneath an image which digit it is, and leave out what is none."


def _data_uri(image: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
