"""The page a person looks at: one HTML file that needs nothing else, neither a server nor the network.

report.html is its frame and draws the charts; here it gets its numbers, from digits.report_parts its words and tables,
and from digits.report_images its images.
"""

import calendar
import copy
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from html import escape
from pathlib import Path

import numpy as np

from digits.data.hands import source_title
from drift.records.collected import Collected
from drift.report import images as images
from drift.report import marks, parts
from drift.verdict.findings import Look, most_unlike
from drift.verdict.verdict import Change, rarity

TEMPLATE = Path(__file__).with_name("report.html")
ROLLING = 10  # digits over which accuracy is averaged
PICTURES = 400  # images in the page, some 600 bytes each: the most unlike, the unsure, the wrong, then the others
DRAWN = 4_000  # requests that are drawn; of more, so many are chosen evenly
UNLIKE = 40  # of the images that are most unlike the reference: a retraining takes 30 at least


def page(look: Look) -> str:
    """The HTML of the report on what the monitor looked at."""
    seen, found = look.seen, look.found
    unlike, typical = most_unlike(look, UNLIKE), images.typical(look)
    anomalous = unsure(seen)
    pictured = _pictured(seen, [*unlike, *typical], anomalous)
    drawn = np.union1d(np.linspace(0, len(seen) - 1, min(len(seen), DRAWN)).astype(int), pictured)
    pictures = images.Pictures(seen, pictured, {int(index): place for place, index in enumerate(drawn)}, unit(seen))
    wide = ' class="wide"'
    notes = [*seen.problems, *parts.others(look)]
    words = {
        "run": escape(_run(seen)),
        "colours": marks.colours(dark=False),
        "colours_dark": marks.colours(dark=True),
        "classes": marks.classes(),
        "headline": escape(found.headline),
        "advice": escape(found.advice),
        "requests": f"{look.requests:,} {unit(seen)}{'s' * (look.requests > 1)}",
        "span": escape(_lower(span(look.when(0)[1], look.when(look.requests - 1)[1]))),
        "changes": parts.changes(look, [describe(look, change) for change in found.changes]),
        "tiles": parts.tiles(look, anomalous),
        "timeline": parts.timeline(look),
        "scores": parts.scores(look),
        "unlike_told": images.unlike_told(seen, unlike, pictures),
        "unlike": images.gallery(pictures, unlike, ask=True),
        "typical": images.gallery(pictures, typical),
        "confusion": parts.confusion(look),
        "hands": parts.hands(seen),
        "timeline_title": "When, and how sure that is" if found.changes else "How unusual the digits were",
        # Two matrices have a row to themselves; one has the accuracy beside it.
        "confusion_wide": wide if found.changes else "",
        "accuracy_wide": wide if found.changes and not seen.sources else "",
        "hands_wide": "" if found.changes else wide,
        "legend": parts.legend(seen),
        "gallery_told": images.gallery_told(pictures, anomalous),
        "gallery": images.gallery(pictures, np.flatnonzero(anomalous)),
        "promise": "".join(f"<p>{escape(line)}</p>" for line in parts.promise(look)),
        "notes": "".join(f"<p>{escape(note)}.</p>" for note in notes),
        "unit": unit(seen),
        "rolling": str(ROLLING),
        "data": _json(_data(look, drawn, pictures, anomalous)),
    }
    shown = {
        "changed": bool(found.changes),
        "unlike": bool(pictures.only(unlike).size),
        "ask": bool((seen["label"][pictures.only(unlike)] < 0).any()),
        "typical": bool(pictures.only(typical).size),
        "labels": bool(seen.labelled.any()),
        "sources": bool(seen.sources),
        "hands": bool(seen.labelled.any() and seen.sources),
        "weights": _weighed(seen),
    }
    frame = _kept(TEMPLATE.read_text(encoding="utf-8"), shown)
    # In one pass, so that nothing a part says is taken for another part's place.
    return re.sub(r"{{(\w+)}}", lambda place: words[place[1]], frame)


def _kept(frame: str, shown: Mapping[str, bool]) -> str:
    """The frame without what stands between <!--if name--> and <!--end name--> where `shown[name]` is false."""
    part = re.compile(r"<!--if (\w+)-->(.*?)<!--end \1-->", re.DOTALL)
    return part.sub(lambda found: _kept(found[2], shown) if shown[found[1]] else "", frame)


def unsure(seen: Collected) -> np.ndarray:
    """Which requests had no class as probable as 0.9, the anomaly that digits.serving.score marks: bool (n,)."""
    if "anomaly_largest" in seen.columns:
        return seen["anomaly_largest"] > 0
    return column(seen, "confidence") < 0.9


def recent(right: np.ndarray) -> np.ndarray:
    """The share of right answers among the last ROLLING of each tick, or as many as there are: bool (n,) -> (n,)."""
    sums = np.cumsum([0, *right])
    start = np.maximum(np.arange(len(right)) - ROLLING + 1, 0)
    return (sums[1:] - sums[start]) / (np.arange(len(right)) - start + 1)


def describe(look: Look, change: Change) -> tuple[str, str]:
    """A change in words: when, and what."""
    seen, certified = look.seen, look.detector.certified is not None
    began, alarm, ended = change.numbers
    (first, since), (last, until) = look.when(began), look.when(look.requests - 1 if ended is None else ended)
    when = span(since, until if change.ended else None)
    who = ""
    if change.source:
        who = (": all" if change.share == 1 else f": {change.share:.0%}") + f" of them {source_title(change.source)}"
    right = "" if math.isnan(change.accuracy) else f" {change.accuracy:.0%} were read right."
    which = f"s {first:,} to {last:,}" if last > first else f" {first:,}"
    together = rarity(change.evidence, certified)
    sure = f"Certain from {unit(seen)} {look.when(alarm)[0]:,} on; taken together, {together}."
    return f"{when}, {unit(seen)}{which},", f"the digits were {' and '.join(change.words)}{who}.{right} {sure}"


def day(date: str) -> str:
    """A date as people write it: 2025-01-26 -> 26 January 2025; what is none, as it is."""
    try:
        when = datetime.fromisoformat(str(date))
    except ValueError:
        return str(date)
    return f"{when.day} {calendar.month_name[when.month]} {when.year}" + (f", {when:%H:%M}" if "T" in date else "")


def span(first: str, last: str | None) -> str:
    """From a date to another, or None for the end: "From 26 January 2025 to 7 February 2025"."""
    begin, end = day(first), day(last) if last is not None else ""
    if not end:
        return f"From {begin} until the end"
    if begin == end:
        return f"On {begin}"
    if begin.partition(", ")[0] == end.partition(", ")[0]:
        return f"On {begin} to {end.partition(', ')[2]}"
    return f"From {begin} to {end}"


def unit(seen: Collected) -> str:
    """What a request is called: a simulation's is a tick."""
    return "tick" if str(seen["run"][0]) else "request"


def column(seen: Collected, name: str) -> np.ndarray:
    """A column as it was collected, NaN where it was not."""
    return seen.columns.get(name, np.full(len(seen), np.nan))


def _run(seen: Collected) -> str:
    return str(seen["run"][0]) or " and ".join(f"deployment {name}" for name in dict.fromkeys(seen["deployment"]))


def _lower(sentence: str) -> str:
    """As it stands within another sentence."""
    return sentence[:1].lower() + sentence[1:]


def _weighed(seen: Collected) -> bool:
    """Whether it is known how much of each hand there was, and not only who wrote the digit."""
    return bool((~np.isin(seen.weights, (0, 1))).any())


def _pictured(seen: Collected, first: list[int], anomalous: np.ndarray) -> np.ndarray:
    """Of which requests the page has the images, PICTURES at most: those worth a look first."""
    wrong = seen.labelled & (seen["prediction"] != seen["label"])
    others = np.lexsort((np.arange(len(seen)), ~wrong, ~anomalous))
    order = np.array(list(dict.fromkeys([*first, *others.tolist()])), int)
    return order[seen.seen[order]][:PICTURES]


def _data(look: Look, drawn: np.ndarray, pictures: images.Pictures, anomalous: np.ndarray) -> dict[str, object]:
    """What the charts are drawn of; arrays are of the requests `drawn`, the places in `changes` of all."""
    seen, found = look.seen, look.found
    accuracy = np.full(len(seen), np.nan)
    accuracy[seen.labelled] = recent((seen["prediction"] == seen["label"])[seen.labelled])
    oldest = int(look.numbers[0])
    known = [parts.style(seen, name) for name in seen.sources]
    return {
        "total": len(seen),
        "unit": unit(seen),
        "at": drawn.tolist(),
        "ticks": seen["tick"][drawn].tolist(),
        "dates": [str(date)[:19] for date in seen["date"][drawn]],
        "sources": known,
        "shapes": {name: mark.shape for name, mark in marks.marks().items()} | {"other": marks.OTHER},
        "titles": dict(zip(known, map(source_title, seen.sources), strict=True)),
        "served": [parts.style(seen, name) for name in seen["source"][drawn].tolist()],
        "weights": np.round(seen.weights[drawn], 4).tolist() if _weighed(seen) else [],
        "label": seen["label"][drawn].tolist(),
        "prediction": np.nan_to_num(seen["prediction"][drawn], nan=-1).astype(int).tolist(),
        "confidence": _numbers(column(seen, "confidence")[drawn], 4),
        "unsure": anomalous[drawn].tolist(),
        "recent": _numbers(accuracy[drawn], 4),
        "evidence": _numbers(look.evidence[drawn] / math.log(10), 2),
        "certified": look.detector.certified is not None,
        "thresholds": _thresholds(look),
        "gaps": (np.flatnonzero(np.diff(look.numbers) > 1) + 1).tolist(),
        "changes": [
            {"number": number, "first": c.first, "seen": c.seen, "last": c.last, "ended": c.ended}
            | {f"{key}_date": str(seen["date"][getattr(c, key)])[:19] for key in ("first", "seen", "last")}
            | {f"{key}_tick": int(seen["tick"][getattr(c, key)]) for key in ("first", "seen", "last")}
            # Of one that began before all that are shown, or was seen then.
            | {"begun": c.numbers[0] < oldest, "told": c.numbers[1] < oldest}
            | {"evidence": round(float(look.evidence[c.seen]) / math.log(10), 2)}
            for number, c in enumerate(found.changes, 1)
            if c.last >= c.first
        ],
        "images": [pictures.uris.get(int(index)) for index in drawn],
        "ids": [str(seen["id"][index]) if int(index) in pictures.uris else None for index in drawn],
    }


def _thresholds(look: Look) -> list[dict[str, float]]:
    """What evidence had to pass, a decimal logarithm: `value` from the request `from` on. An alarm may raise it."""
    changes = look.found.changes
    steps: list[dict[str, float]] = []
    for number in range(len(changes) + 1):
        then = copy.copy(look.detector)
        then.alarms = look.detector.alarms - len(changes) + number
        start = changes[number - 1].last + 1 if number else 0
        if not steps or steps[-1]["value"] != then.threshold / math.log(10):
            steps.append({"from": start, "value": then.threshold / math.log(10)})
    return [step for step in steps if step["from"] < len(look.seen)]


def _numbers(values: np.ndarray, digits: int) -> list[float | None]:
    """Rounded, with None for what JSON does not have."""
    return [round(float(value), digits) if math.isfinite(value) else None for value in values]


def _json(value: object) -> str:
    """JSON that may stand in a script element: nothing in it can end the element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
