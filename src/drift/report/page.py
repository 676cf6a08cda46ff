"""The page a person looks at: one HTML file that needs nothing else, neither a server nor the network.

report.html is its frame and draws the charts; here it gets its numbers, from digits.report_parts its words and tables,
and from digits.report_images its images.
"""

import copy
import json
import math
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np

from digits.data.hands import source_title
from drift.records.collected import Collected
from drift.report import images as images
from drift.report import marks, parts
from drift.verdict import measures, words
from drift.verdict.findings import Findings, most_unlike

TEMPLATE = Path(__file__).with_name("report.html")
PICTURES = 400  # images in the page, some 600 bytes each: the most unlike, the unsure, the wrong, then the others
DRAWN = 4_000  # requests that are drawn; of more, so many are chosen evenly
UNLIKE = 40  # of the images that are most unlike the reference: a retraining takes 30 at least


def page(findings: Findings) -> str:
    """The HTML of the report on what the monitor looked at."""
    seen, found = findings.seen, findings.verdict
    unlike, typical = most_unlike(findings, UNLIKE), images.typical(findings)
    anomalous = measures.unsure(seen)
    pictured = _pictured(seen, [*unlike, *typical], anomalous)
    drawn = np.union1d(np.linspace(0, len(seen) - 1, min(len(seen), DRAWN)).astype(int), pictured)
    pictures = images.Pictures(
        seen, pictured, {int(index): place for place, index in enumerate(drawn)}, words.unit(seen)
    )
    wide = ' class="wide"'
    notes = [*seen.problems, *parts.others(findings)]
    parts_of_page = {
        "run": escape(_run(seen)),
        "colours": marks.colours(dark=False),
        "colours_dark": marks.colours(dark=True),
        "classes": marks.classes(),
        "headline": escape(found.headline),
        "advice": escape(found.advice),
        "requests": f"{findings.requests:,} {words.unit(seen)}{'s' * (findings.requests > 1)}",
        "span": escape(_lower(words.span(findings.when(0)[1], findings.when(findings.requests - 1)[1]))),
        "changes": parts.changes(findings, [words.describe(findings, change) for change in found.changes]),
        "tiles": parts.tiles(findings, anomalous),
        "timeline": parts.timeline(findings),
        "scores": parts.scores(findings),
        "unlike_told": images.unlike_told(seen, unlike, pictures),
        "unlike": images.gallery(pictures, unlike, ask=True),
        "typical": images.comparison(pictures, typical),
        "confusion": parts.confusion(findings),
        "hands": parts.hands(seen),
        "timeline_title": "When, and how sure that is" if found.changes else "How unusual the digits were",
        # Two matrices have a row to themselves; one has the accuracy beside it.
        "confusion_wide": wide if found.changes else "",
        "accuracy_wide": wide if found.changes and not seen.sources else "",
        "hands_wide": "" if found.changes else wide,
        "legend": parts.legend(seen),
        "gallery_told": images.gallery_told(pictures, anomalous),
        "gallery": images.gallery(pictures, np.flatnonzero(anomalous)),
        "promise": "".join(f"<p>{escape(line)}</p>" for line in parts.promise(findings)),
        "notes": "".join(f"<p>{escape(note)}.</p>" for note in notes),
        "unit": words.unit(seen),
        "rolling": str(measures.ROLLING),
        "table_told": escape(parts.table_told(findings, len(drawn), len(pictured))),
        "data": _json(_data(findings, drawn, pictures, anomalous)),
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
        "runs": bool(findings.addresses),
        "here": any(address.startswith("http://127.0.0.1:") for address in findings.addresses),
    }
    frame = _kept(TEMPLATE.read_text(encoding="utf-8"), shown)
    # In one pass, so that nothing a part says is taken for another part's place.
    return re.sub(r"{{(\w+)}}", lambda place: parts_of_page[place[1]], frame)


def _kept(frame: str, shown: Mapping[str, bool]) -> str:
    """The frame without what stands between <!--if name--> and <!--end name--> where `shown[name]` is false."""
    part = re.compile(r"<!--if (\w+)-->(.*?)<!--end \1-->", re.DOTALL)
    return part.sub(lambda found: _kept(found[2], shown) if shown[found[1]] else "", frame)


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
    return order[seen.pictured[order]][:PICTURES]


def _data(findings: Findings, drawn: np.ndarray, pictures: images.Pictures, anomalous: np.ndarray) -> dict[str, object]:
    """What the charts are drawn of; arrays are of the requests `drawn`, the places in `changes` of all."""
    seen, found = findings.seen, findings.verdict
    accuracy = np.full(len(seen), np.nan)
    accuracy[seen.labelled] = measures.recent((seen["prediction"] == seen["label"])[seen.labelled])
    oldest = int(findings.numbers[0])
    known = [parts.style(seen, name) for name in seen.sources]
    return {
        "total": len(seen),
        "unit": words.unit(seen),
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
        "confidence": _numbers(measures.column(seen, "confidence")[drawn], 7),
        "unsure": anomalous[drawn].tolist(),
        "accuracy": round(found.accuracy, 4) if seen.labelled.any() else None,
        "recent": _numbers(accuracy[drawn], 4),
        "evidence": _numbers(findings.evidence[drawn] / math.log(10), 2),
        "certified": findings.detector.certified is not None,
        "thresholds": _thresholds(findings),
        "gaps": (np.flatnonzero(np.diff(findings.numbers) > 1) + 1).tolist(),
        "changes": [
            {"number": number, "first": c.first, "seen": c.seen, "last": c.last, "ended": c.ended}
            | {f"{key}_date": str(seen["date"][getattr(c, key)])[:19] for key in ("first", "seen", "last")}
            | {f"{key}_tick": int(seen["tick"][getattr(c, key)]) for key in ("first", "seen", "last")}
            # Of one that began before all that are shown, or was seen then.
            | {"begun": c.numbers[0] < oldest, "told": c.numbers[1] < oldest}
            | {"evidence": round(float(findings.evidence[c.seen]) / math.log(10), 2)}
            for number, c in enumerate(found.changes, 1)
            if c.last >= c.first
        ],
        "images": [pictures.uris.get(int(index)) for index in drawn],
        "ids": seen["id"][drawn].tolist(),
        "surprise": _numbers(findings.surprise[drawn] / math.log(10), 2),
        "runs": [findings.addresses[index] for index in drawn] if findings.addresses else [],
    }


def _thresholds(findings: Findings) -> list[dict[str, float]]:
    """What evidence had to pass, a decimal logarithm: `value` from the request `from` on. An alarm may raise it."""
    changes = findings.verdict.changes
    steps: list[dict[str, float]] = []
    for number in range(len(changes) + 1):
        then = copy.copy(findings.detector)
        then.alarms = findings.detector.alarms - len(changes) + number
        start = changes[number - 1].last + 1 if number else 0
        if not steps or steps[-1]["value"] != then.threshold / math.log(10):
            steps.append({"from": start, "value": then.threshold / math.log(10)})
    return [step for step in steps if step["from"] < len(findings.seen)]


def _numbers(values: np.ndarray, digits: int) -> list[float | None]:
    """Rounded, with None for what JSON does not have."""
    return [round(float(value), digits) if math.isfinite(value) else None for value in values]


def _json(value: object) -> str:
    """JSON that may stand in a script element: nothing in it can end the element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
