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
from drift.verdict import words

if TYPE_CHECKING:
    from drift.verdict.findings import Findings

SHOWN = 40  # images shown at once; the others wait behind a click. On a phone the page itself shows twelve


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
        if label == read:
            heard = '<span class="unseen">, read right</span>'
            said = f'<span class="right"><i aria-hidden="true">✓</i> {label}{heard}</span>'
        elif label >= 0:
            said = f'<b class="wrong"><i aria-hidden="true">✗</i> {label}, {said}</b>'
        source, id = str(seen["source"][index]), escape(str(seen["id"][index]))
        what = f"{source_title(source)} {label}" if label >= 0 else "not labelled"
        sure = seen.columns["confidence"][index] if "confidence" in seen.columns else math.nan
        sure = "" if math.isnan(sure) else f"{escape(words.percent(sure))} sure<br>"
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
    """Images side by side, SHOWN of them at once, and on a phone fewer."""
    items = [pictures.item(int(index), ask) for index in pictures.only(indices)]
    html = f'<div class="gallery">{"".join(items[:SHOWN])}</div>' if items else ""
    if len(items) > SHOWN:
        more = "".join(items[SHOWN:])
        html += f'<details><summary>{len(items) - SHOWN} more</summary><div class="gallery">{more}</div></details>'
    return f'<div class="fold">{html}</div>' if items else ""


def comparison(pictures: Pictures, typical: np.ndarray) -> str:
    """A typical request read as each digit, in order; an empty place for a digit that there is none of."""
    of = {int(pictures.seen["prediction"][index]): int(index) for index in pictures.only(typical)}
    items = [
        pictures.item(of[digit], ask=False) if digit in of else f'<div class="none">no {digit}</div>'
        for digit in range(10)
    ]
    return f'<div class="gallery">{"".join(items)}</div>'


def typical(findings: "Findings") -> np.ndarray:
    """Indices of the least surprising request of each class: before the first change, or else outside all of them.

    Of a class that is not there, one within a change that does not speak against being normal.
    """
    if not findings.verdict.changes:
        return np.array([], int)
    calm = outside(findings)
    before = calm & (np.arange(len(calm)) < findings.verdict.changes[0].first)
    order = np.argsort(findings.surprise, kind="stable")
    order = order[findings.seen.pictured[order]]
    found = []
    for digit in range(10):
        read = order[findings.seen["prediction"][order] == digit]
        for part in (before, calm, findings.surprise <= 0):
            if (among := read[part[read]]).size:
                found.append(among[0])
                break
    return np.array(found, int)


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
