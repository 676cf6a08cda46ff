"""The page a person looks at: one HTML file that needs nothing else, neither a server nor the network.

report.html is its frame and draws the charts; here it gets its words, its numbers and its images.
"""

import base64
import calendar
import io
import json
import re
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.collected import Collected
from digits.verdict import TITLES, Change, Verdict, hand, rarity, title

if TYPE_CHECKING:
    from digits.monitor import Look

TEMPLATE = Path(__file__).with_name("report.html")
ROLLING = 10  # ticks over which accuracy is averaged
PICTURES = 400  # images in the page, some 600 bytes each: the unsure answers', then the wrong ones', then the others'
SHOWN = 40  # unsure answers shown at once; the others wait behind a click


def page(look: "Look") -> str:
    """The HTML of the report on what the monitor looked at."""
    seen, found = look.seen, look.found
    anomalous = unsure(seen)
    pictures = _pictures(seen, anomalous)
    right = seen["prediction"] == seen["label"]
    parts = {
        "run": escape(str(seen["run"][0])),
        "headline": escape(found.headline),
        "advice": escape(found.advice),
        "ticks": f"{len(seen):,}",
        "from": day(seen["date"][0]),
        "to": day(seen["date"][-1]),
        "changes": "".join(_change(seen, change) for change in found.changes),
        "tiles": _tiles(found, anomalous),
        "shading": " The shaded ticks are those the monitor found to differ, without being told."
        if found.changes
        else "",
        "legend": "".join(_legend(seen, name) for name in seen.sources),
        "gallery_told": _gallery_told(anomalous),
        "gallery": _gallery(seen, anomalous, pictures),
        "rolling": str(ROLLING),
        "hands": "".join(_hand(seen, name, right[seen["source"] == name]) for name in seen.sources),
        "notes": "".join(f"<p>{escape(note)}.</p>" for note in seen.problems),
        "data": _json(
            {
                "ticks": seen["tick"].tolist(),
                "dates": seen["date"].tolist(),
                "sources": [_look(seen, name) for name in seen.sources],
                "titles": {_look(seen, name): title(name) for name in seen.sources},
                "served": [_look(seen, name) for name in seen["source"].tolist()],
                "weights": np.round(seen.weights, 4).tolist(),
                "label": seen["label"].tolist(),
                "prediction": seen["prediction"].astype(int).tolist(),
                "confidence": np.round(seen["confidence"], 4).tolist(),
                "unsure": anomalous.tolist(),
                "recent": np.round(recent(right), 4).tolist(),
                "changes": [{"first": c.first, "seen": c.seen, "last": c.last} for c in found.changes],
                "images": [pictures.get(i) for i in range(len(seen))],
            }
        ),
    }
    # In one pass, so that nothing a part says is taken for another part's place.
    return re.sub(r"{{(\w+)}}", lambda place: parts[place[1]], TEMPLATE.read_text(encoding="utf-8"))


def unsure(seen: Collected) -> np.ndarray:
    """Which requests had no class as probable as 0.9, the anomaly that digits.score marks: bool (n,)."""
    return seen["anomaly_largest"] > 0


def recent(right: np.ndarray) -> np.ndarray:
    """The share of right answers among the last ROLLING of each tick, or as many as there are: bool (n,) -> (n,)."""
    sums = np.cumsum([0, *right])
    start = np.maximum(np.arange(len(right)) - ROLLING + 1, 0)
    return (sums[1:] - sums[start]) / (np.arange(len(right)) - start + 1)


def describe(seen: Collected, change: Change) -> tuple[str, str]:
    """A change in words: when, and what."""
    tick, date = seen["tick"], seen["date"]
    until = f"to {day(date[change.last])}" if change.ended else "until the end"
    who = ""
    if change.source:
        who = (": all" if change.share == 1 else f": {change.share:.0%}") + f" of them {title(change.source)}"
    right = "" if np.isnan(change.accuracy) else f" {change.accuracy:.0%} were read right."
    return (
        f"From {day(date[change.first])} {until}, ticks {tick[change.first]} to {tick[change.last]},",
        f"the digits were {' and '.join(change.words)}{who}.{right} "
        f"Certain from tick {tick[change.seen]} on: {rarity(change.evidence)}.",
    )


def day(date: str) -> str:
    """A simulated date as people write it: 2025-01-26 -> 26 January 2025."""
    when = datetime.fromisoformat(str(date))
    return f"{when.day} {calendar.month_name[when.month]} {when.year}" + (f", {when:%H:%M}" if "T" in date else "")


def _change(seen: Collected, change: Change) -> str:
    when, what = describe(seen, change)
    return f'<li class="{_look(seen, change.source or "")}"><b>{escape(when)}</b> {escape(what)}</li>'


def _tiles(found: Verdict, anomalous: np.ndarray) -> str:
    tiles = [("read right", f"{found.accuracy:.0%}")] if not np.isnan(found.accuracy) else []
    if found.changes and tiles:
        tiles += [("while they came", f"{found.changed_accuracy:.0%}")]
        if not np.isnan(found.calm_accuracy):
            tiles += [("otherwise", f"{found.calm_accuracy:.0%}")]
    tiles += [("unsure answers", f"{anomalous.sum():,} <small>of {len(anomalous):,}</small>")]
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles)


def _look(seen: Collected, source: str) -> str:
    """A source's class in the page, its colour and shape: its hand's, or as one of those that a scenario named."""
    if hand(source) in TITLES:
        return hand(source)
    others = [name for name in seen.sources if hand(name) not in TITLES]
    return f"other-{others.index(source) + 1}" if source in others else "other"


def _legend(seen: Collected, name: str) -> str:
    shapes = {
        "mnist": '<circle r="4"/>',
        "japanese": '<path d="M0,-5L5,4H-5Z"/>',
        "devanagari": '<path d="M-4,-4H4V4H-4Z"/>',
    }
    shape = shapes.get(hand(name), '<path d="M0,-5L5,0L0,5L-5,0Z"/>')
    return (
        f'<span class="{_look(seen, name)}">'
        f'<svg viewBox="-7 -7 14 14" aria-hidden="true" fill="var(--hand)">{shape}</svg>'
        f"{escape(title(name))}</span>"
    )


def _gallery_told(anomalous: np.ndarray) -> str:
    if not anomalous.any():
        return "There are none: the model was never unsure."
    return "Every digit the model was unsure of: what it is, what it was read as, and how sure the model was."


def _gallery(seen: Collected, anomalous: np.ndarray, pictures: dict[int, str]) -> str:
    items = [_item(seen, int(i), pictures[int(i)]) for i in np.flatnonzero(anomalous) if int(i) in pictures]
    html = f'<div class="gallery">{"".join(items[:SHOWN])}</div>' if items else ""
    if len(items) > SHOWN:
        more = "".join(items[SHOWN:])
        html += f'<details><summary>{len(items) - SHOWN} more</summary><div class="gallery">{more}</div></details>'
    return html


def _item(seen: Collected, i: int, picture: str) -> str:
    label, read, sure = int(seen["label"][i]), int(seen["prediction"][i]), float(seen["confidence"][i])
    said = f"{label}, read right" if label == read else f"{label}, read as {read}"
    source = str(seen["source"][i])
    return (
        f'<button value="{i}" class="{_look(seen, source)}">'
        f'<img src="{picture}" alt="{escape(title(source))} {label}">{said}'
        f"<span>{sure:.0%} · tick {int(seen['tick'][i])}</span></button>"
    )


def _hand(seen: Collected, name: str, right: np.ndarray) -> str:
    row = f'<tr class="{_look(seen, name)}"><th>{escape(title(name))}</th>'
    if not len(right):
        return f'{row}<td colspan="2" class="muted">wrote none</td></tr>'
    bar = f'<td class="share"><div class="bar"><i style="width:{right.mean():.1%}"></i></div></td>'
    return f'{row}{bar}<td class="n">{right.mean():.0%} <small>of {len(right):,}</small></td></tr>'


def _pictures(seen: Collected, anomalous: np.ndarray) -> dict[int, str]:
    """PNG images as data URIs, by place: those worth a look first, PICTURES at most."""
    wrong = seen["prediction"] != seen["label"]
    order = np.lexsort((np.arange(len(seen)), ~wrong, ~anomalous))
    return {int(i): _data_uri(seen.images[i]) for i in order[:PICTURES] if seen.seen[i]}


def _data_uri(image: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _json(value: object) -> str:
    """JSON that may stand in a script element: nothing in it can end the element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
