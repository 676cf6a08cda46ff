"""How things are said to a person: dates, rarities, and a change as a whole."""

import calendar
import math
from datetime import datetime

from digits.data.hands import source_title
from drift.records.collected import Collected
from drift.verdict.findings import Findings
from drift.verdict.verdict import DescribedChange

# Evidence beyond this is all told alike: a reference has 10,000 digits at most, and of a hundred times as many requests
# it says nothing.
RAREST = math.log(1e6)


def describe(findings: Findings, change: DescribedChange) -> tuple[str, str]:
    """A change in words: when, and what."""
    seen, certified = findings.seen, findings.detector.certified is not None
    began, alarm, ended = change.numbers
    (first, since), (last, until) = (
        findings.when(began),
        findings.when(findings.requests - 1 if ended is None else ended),
    )
    when = span(since, until if change.ended else None)
    who = ""
    if change.source:
        who = (": all" if change.share == 1 else f": {change.share:.0%}") + f" of them {source_title(change.source)}"
    right = "" if math.isnan(change.accuracy) else f" {change.accuracy:.0%} were read right."
    which = f"s {first:,} to {last:,}" if last > first else f" {first:,}"
    together = rarity(change.evidence, certified)
    sure = f"Certain from {unit(seen)} {findings.when(alarm)[0]:,} on; taken together, {together}."
    return f"{when}, {unit(seen)}{which},", f"the digits were {' and '.join(change.words)}{who}.{right} {sure}"


def rarity(evidence: float, certified: bool = False) -> str:
    """Evidence as a person understands it: how long one would wait for the like among normal requests.

    certified: it is of how unlikely it is that these ever look like that.
    """
    if certified:
        return f"the chance that normal digits ever look like this is {_chance(evidence)}"
    if evidence < math.log(10):
        return "normal digits look like this every few requests"
    if evidence < RAREST:
        times = math.exp(evidence)
        return f"normal digits look like this once in {round(times, 1 - int(math.log10(times))):,.0f} requests"
    return "normal digits look like this less than once in a million requests"


def _chance(evidence: float) -> str:
    if evidence >= RAREST:
        return "less than 1 in a million"
    times = math.exp(max(evidence, 0.0))
    return f"1 in {round(times, 1 - int(math.log10(times))):,.0f}"


def odds(evidence: float, certified: bool) -> str:
    """Evidence in a few words: "once in 40,000", or certified, "1 in 40,000"; as rare as RAREST at most."""
    once = "1 in" if certified else "once in"
    if evidence < math.log(10):
        return "nothing unusual"
    if evidence >= RAREST:
        return f"less than {once} a million"
    times = math.exp(evidence)
    return f"{once} {round(times, 1 - int(math.log10(times))):,.0f}"


def percent(probability: float) -> str:
    """A probability in percent; near 1 with more digits, for 100% is what no model can say."""
    for digits in range(4):
        if (told := f"{probability:.{digits}%}") != f"{1:.{digits}%}":
            return told
    return "> 99.999%"


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
