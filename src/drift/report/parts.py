"""The parts of the report that are words and tables: fragments of HTML, with everything escaped."""

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from digits.data import ink
from digits.data.hands import HANDS, of_source, source_title
from drift.records.collected import Collected
from drift.records.memory import LAST, OF_A_CHANGE
from drift.report.marks import OTHER, marks
from drift.verdict import words
from drift.verdict.verdict import SCORES, DescribedChange, Verdict

if TYPE_CHECKING:
    from drift.verdict.findings import Findings

IN_FULL = 6  # changes told of in full, the last ones
BARS = 5  # scores shown of a change


def outside(findings: "Findings") -> np.ndarray:
    """Which requests are in no change: bool (n,)."""
    calm = np.ones(len(findings.seen), bool)
    for change in findings.verdict.changes:
        calm[change.first : change.last + 1] = False
    return calm


def changes(findings: "Findings", told: list[tuple[str, str]]) -> str:
    """What happened, a paragraph for each change: the last IN_FULL, the others behind a click."""
    several = len(told) > 1
    items = [
        f'<li class="{style(findings.seen, change.source or "")}">{f"<i>{number}</i>" if several else ""}'
        f"<b>{escape(when)}</b> {escape(what)}</li>"
        for number, (change, (when, what)) in enumerate(zip(findings.verdict.changes, told, strict=True), 1)
    ]
    if not items:
        return ""
    earlier = "".join(items[:-IN_FULL])
    if earlier:
        count = len(items) - IN_FULL
        earlier = f'<details><summary>{count} earlier</summary><ol class="changes">{earlier}</ol></details>'
    return f'{earlier}<ol class="changes">{"".join(items[-IN_FULL:])}</ol>'


def tiles(findings: "Findings", anomalous: np.ndarray) -> str:
    """The few numbers that are worth a large type."""
    found, known = findings.verdict, int(findings.seen.labelled.sum())
    rows = []
    if known:
        of = f" <small>of {known:,}</small>" if known < len(findings.seen) else ""
        rows.append(("read right", f"{found.accuracy:.0%}{of}"))
    for name, value in zip(periods(found), (found.calm_accuracy, found.changed_accuracy), strict=True):
        if found.changes and not math.isnan(value):
            rows.append((f"{name}", f"{value:.0%}"))
    rows.append(("unsure answers", f"{anomalous.sum():,} <small>of {len(anomalous):,}</small>"))
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)


def periods(found: Verdict) -> tuple[str, str]:
    """What the requests outside the changes, and those inside, are called."""
    if len(found.changes) == 1 and not found.standing:
        return "before and after the change", "during the change"
    return (
        ("before the change", "since the change")
        if found.standing and len(found.changes) == 1
        else (
            "outside the changes",
            "during the changes",
        )
    )


def timeline(findings: "Findings") -> str:
    """How the first chart is to be read."""
    if findings.detector.certified is not None:
        told = "How unlikely it is, after each request, that normal digits ever look as unusual as these."
    else:
        told = "How rarely, after each request, normal digits look as unusual as these."
    if not findings.verdict.changes:
        return f"{told} Had the line passed the dashed one, that would have been an alarm."
    told = f"{told} Where the line passes the dashed one is an alarm; shaded is what the monitor says has changed."
    return (
        f"{told} It begins anew once it is certain that a change is over."
        if findings.verdict.changes[0].ended
        else told
    )


def others(findings: "Findings") -> list[str]:
    """That there are requests which are not shown, if so."""
    shown = len(findings.seen)
    if shown == findings.requests:
        return []
    kept = f"the last {LAST:,}, the first {OF_A_CHANGE} of every change, and what is labelled"
    since = "of those that a watch has seen since it was last started"
    return [f"Shown are {shown:,} of the {findings.requests:,} requests, all of which were looked at: {kept}, {since}"]


def table_told(findings: "Findings", listed: int, pictured: int) -> str:
    """What the table of requests holds."""
    told = "What was sent and what the model made of it. The names of the columns sort it."
    if listed < len(findings.seen):
        told += f" Listed are {listed:,} of the {len(findings.seen):,} requests, chosen evenly, and all with an image."
    if pictured < listed:
        told += f" {pictured:,} have their image here: the strangest, the unsure and the misread first."
    return told


def scores(findings: "Findings") -> str:
    """A figure for each change, the last IN_FULL: which scores tell of it, and what moved."""
    found = list(enumerate(findings.verdict.changes, 1))[-IN_FULL:]
    several = len(findings.verdict.changes) > 1
    # Two side by side, and what is left over as wide as two.
    return "".join(
        _scores(findings, number if several else 0, change, wide=len(found) % 2 == 1 and number == found[-1][0])
        for number, change in found
    )


def _scores(findings: "Findings", number: int, change: DescribedChange, wide: bool) -> str:
    certified = findings.detector.certified is not None
    best = list(change.scores.items())[:BARS]
    most = max([value for _, value in best], default=1.0)
    bars = "".join(
        f"<li><span>{escape(SCORES.get(name, name))}</span><span>{words.odds(value, certified)}</span>"
        f'<div class="bar"><i style="width:{max(value / most, 0.01):.1%}"></i></div></li>'
        for name, value in best
    )
    moved = "".join(
        f"<tr><th>{escape(name)}</th><td>{before}</td><td>{during}</td></tr>"
        for name, before, during in _moved(findings, change)
    )
    before, during = periods(findings.verdict) if not number else ("outside the changes", "in this one")
    heading = f"Change {number}: what gave it away" if number else "What gave it away"
    chance = (
        "the chance that normal digits ever show the like" if certified else "how rarely normal digits show the like"
    )
    table = (
        f'<table class="moved"><thead><tr><th>On average</th><td>{before}</td><td>{during}</td></tr></thead>'
        f"<tbody>{moved}</tbody></table>"
    )
    shown = change.last >= change.first  # of one that is not there is no average
    return (
        f'<figure class="{"wide split" if wide and shown else ""}"><figcaption><h2>{heading}</h2>'
        f"<p>The clearest signs, each on its own: {chance}.</p></figcaption>"
        f'<ul class="bars">{bars}</ul>{table if shown else ""}</figure>'
    )


def _moved(findings: "Findings", change: DescribedChange) -> list[tuple[str, str, str]]:
    """What moved, before and during: the statistics that are told of, and how sure the model was."""
    rows = [(ink.STATISTICS[name], _number(before), _number(during)) for name, (before, during) in change.what.items()]
    sure = findings.seen.columns.get("confidence")
    if sure is not None:
        before, during = (
            f"{np.nanmean(part):.0%}" if not np.isnan(part).all() else "–"
            for part in (sure[outside(findings)], sure[change.first : change.last + 1])
        )
        rows.append(("how sure the model was of its answer", before, during))
    return rows


def confusion(findings: "Findings") -> str:
    """What was taken for what, outside the changes and in them, as far as labels tell."""
    seen, calm = findings.seen, outside(findings)
    parts = (
        [("", np.ones(len(seen), bool))]
        if not findings.verdict.changes
        else list(zip(periods(findings.verdict), (calm, ~calm), strict=True))
    )
    return "".join(
        _matrix(name, seen["label"][known], seen["prediction"][known].astype(int))
        for name, part in parts
        if (known := part & seen.labelled & (seen["prediction"] >= 0)).any()
    )


def _matrix(name: str, label: np.ndarray, read: np.ndarray) -> str:
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (label, read), 1)
    right = f"{np.trace(counts)} of {len(label):,} read right"
    head = "".join(f'<th scope="col">{digit}</th>' for digit in range(10))
    rows = "".join(
        f'<tr><th scope="row">{digit}</th>{"".join(_cell(digit, other, counts) for other in range(10))}</tr>'
        for digit in range(10)
    )
    caption = f"<b>{name.capitalize()}</b> {right}" if name else right
    return f'<table class="confusion"><caption>{caption}</caption><tr><td></td>{head}</tr>{rows}</table>'


def _cell(digit: int, read: int, counts: np.ndarray) -> str:
    count = counts[digit, read]
    if not count:
        return f"<td{' class=right' * (digit == read)}></td>"
    kind, share = "right" if digit == read else "wrong", count / counts[digit].sum()
    times = "once" if count == 1 else f"{count} times"
    return f'<td class="{kind}" style="--share:{share:.0%}" title="{digit} read as {read}: {times}">{count}</td>'


def hands(seen: Collected) -> str:
    """A row for each hand: how many of its digits were read right."""
    right = seen["prediction"] == seen["label"]
    return "".join(_hand(seen, name, right[(seen["source"] == name) & seen.labelled]) for name in seen.sources)


def _hand(seen: Collected, name: str, right: np.ndarray) -> str:
    row = f'<tr class="{style(seen, name)}"><th>{escape(source_title(name))}</th>'
    if not len(right):
        return f'{row}<td colspan="2" class="muted">wrote none</td></tr>'
    bar = f'<td class="share"><div class="bar"><i style="width:{right.mean():.1%}"></i></div></td>'
    return f'{row}{bar}<td class="n">{right.mean():.0%} <small>of {len(right):,}</small></td></tr>'


def legend(seen: Collected) -> str:
    """The colours and shapes of the hands."""
    shapes = {name: mark.shape for name, mark in marks().items()}
    return "".join(
        f'<span class="{style(seen, name)}">'
        f'<svg viewBox="-7 -7 14 14" aria-hidden="true" fill="var(--hand)">'
        f'<path d="{shapes.get(of_source(name), OTHER)}"/></svg>'
        f"{escape(source_title(name))}</span>"
        for name in seen.sources
    )


def style(seen: Collected, source: str) -> str:
    """A source's class in the page, its colour and shape: its hand's, or as one of those that a scenario named."""
    if not source:
        return "unknown"
    if of_source(source) in HANDS:
        return of_source(source)
    others = [name for name in seen.sources if of_source(name) not in HANDS]
    return f"other-{others.index(source) + 1}" if source in others else "other"


def promise(findings: "Findings") -> list[str]:
    """What the detector promises, and what not."""
    size, detector = f"{len(findings.detector.bets.reference):,}", findings.detector
    million = "1 in a million" if detector.certified is not None else "once in a million requests"
    if detector.certified is not None:
        kept = (
            f"the chance that there is ever a false alarm is at most {detector.certified:.3g}, "
            f"by a reference of {size} digits, the luck of which is included."
        )
    else:
        kept = (
            f"there is a false alarm at most once in {detector.gamma:,.0f} requests on average, "
            f"by a reference of {size} digits that the model was not trained on."
        )
    return [
        f"What is promised: while the digits are as they were, {kept}",
        "What is not promised: that every change is seen, nor how soon; that a change does harm, which only labels "
        "tell; and nothing at all where requests hang together, as when one person writes many in a row. "
        f"Where a change begins and ends is an estimate. What is rarer than {million} is not told apart: a reference "
        "of so many digits says no more.",
    ]


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
