"""The report: one page that needs nothing else, tells what happened, and cannot be made to do anything else."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits.data import ink
from drift.detect.detector import Detector
from drift.detect.reference import Reference
from drift.monitor import core
from drift.records.collected import Collected
from drift.report import page
from drift.verdict import words
from drift.verdict.findings import Findings, most_unlike

N = 60


def columns(n: int, seed: int) -> dict[str, np.ndarray]:
    """What would be collected of n digits as they always are, all classes alike."""
    random = np.random.default_rng(seed)
    table = {name: random.normal(30, 5, n) for name in (*ink.STATISTICS, "distance")}
    return table | {"confidence": 1 - random.beta(1, 200, n), "prediction": (np.arange(n) % 10).astype(float)}


@pytest.fixture(scope="module")
def reference() -> Reference:
    neighbours = columns(500, 101)
    return Reference(columns(2000, 100), np.column_stack([neighbours[name] for name in ink.STATISTICS]))


def collected(
    n: int = N, run: str = "spring", unsure: int = 6, foreign: slice | None = slice(N // 2, None)
) -> Collected:
    """Devanagari digits in a stretch, inkier than the others; the last `unsure` answers are unsure and wrong."""
    random = np.random.default_rng(0)
    other = np.zeros(n, bool)
    if foreign is not None:
        other[foreign] = True
    anomalous = np.arange(n) >= n - unsure
    table = columns(n, 7)
    label = np.arange(n) % 10
    table |= {
        "id": np.array([f"{run}-{tick}" for tick in range(n)]),
        "run": np.array([run] * n),
        "tick": np.arange(n),
        "date": np.datetime_as_string(np.datetime64("2025-01-01") + np.arange(n)),
        "source": np.where(other, "devanagari", "mnist"),
        "deployment": np.array(["blue"] * n),
        "label": label,
        "prediction": ((label + anomalous) % 10).astype(float),
        "confidence": np.where(anomalous, 0.5, table["confidence"]),
        "anomaly_largest": anomalous.astype(float),
        "ink": table["ink"] + 40 * other,
    }
    images = random.integers(0, 255, (n, 28, 28), dtype=np.uint8)
    weights = np.column_stack([np.full(n, 0.2), 0.4 * other])
    return Collected(table, weights, ["mnist", "devanagari"], images, np.ones(n, bool), ["1 line was <torn>"])


def followed(seen: Collected, known: int = 0) -> Collected:
    """The same as an endpoint in use has it: real times, no run, labels of every `known`th only."""
    n = len(seen)
    keep = np.arange(n) % known == 0 if known else np.zeros(n, bool)
    seconds = np.arange(n) * np.timedelta64(90, "s")
    table = seen.columns | {
        "run": np.array([""] * n),
        "date": np.char.add(np.datetime_as_string(np.datetime64("2026-11-28T08:00:00") + seconds), "Z"),
        "source": np.array([""] * n),
        "label": np.where(keep, seen["label"], -1),
    }
    return replace(seen, columns=table, weights=np.zeros((n, 0)), sources=[])


def looked(seen: Collected, known: Reference, **promise: float) -> Findings:
    detector = Detector(known, **promise)
    evidence = detector.update(seen.columns)
    return core.findings_of(seen, detector, evidence)


def told(html: str) -> dict[str, Any]:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])


def headings(html: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", html)


def text(html: str) -> str:
    """What a person reads of it, without tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", html.split("<body>")[1].split("<script")[0]).split())


def test_it_says_what_happened_when_and_what_to_do(reference: Reference) -> None:
    html = page.page(looked(collected(), reference))
    assert "<h1>Devanagari digits came and stayed</h1>" in html
    assert "From 31 January 2025 until the end, ticks 30 to 59," in html and "retrain" in html
    assert "1 line was &lt;torn&gt;" in html
    assert headings(html)[0] == "When, and how sure that is", "the first chart"


def test_the_evidence_its_threshold_and_the_alarm(reference: Reference) -> None:
    findings = looked(collected(), reference)
    data = told(page.page(findings))
    (change,), (threshold,) = data["changes"], data["thresholds"]
    assert threshold == {"from": 0, "value": pytest.approx(4)}, "once in 10,000"
    evidence = data["evidence"]
    assert max(evidence[: change["seen"]]) < 4 <= evidence[change["seen"]] == change["evidence"]
    assert (change["first"], change["last"], change["ended"]) == (30, 59, False)
    assert change["first_date"] == "2025-01-31" and 30 <= change["seen"] <= 36


def test_certified_is_a_chance_and_asks_for_more_after_every_alarm(reference: Reference) -> None:
    seen = collected(200, foreign=slice(60, 110), unsure=0)
    findings = looked(seen, reference, certified=0.05)
    html = page.page(findings)
    assert len(findings.verdict.changes) == 1 and findings.verdict.changes[0].ended
    data = told(html)
    assert data["certified"]
    one, two = data["thresholds"]
    assert 10 ** one["value"] == pytest.approx(50) and 10 ** two["value"] == pytest.approx(150)
    assert one["from"] == 0 and two["from"] == findings.verdict.changes[0].last + 1
    said = text(html)
    assert "ever a false alarm is at most 0.05, by a reference of 2,000 digits" in said
    assert "the chance that normal digits ever look like this" in said and "once in" not in said


def test_what_is_promised_and_what_not(reference: Reference) -> None:
    said = text(page.page(looked(collected(), reference, gamma=5000)))
    assert "a false alarm at most once in 5,000 requests on average, by a reference of 2,000 digits" in said
    assert "not promised: that every change is seen" in said


def test_which_scores_tell_and_what_moved(reference: Reference) -> None:
    findings = looked(collected(), reference)
    html = page.page(findings)
    (change,) = findings.verdict.changes
    bars = re.findall(r"<li><span>(.*?)</span><span>(.*?)</span>", html)
    assert 1 < len(bars) <= 5 and [name for name, _ in bars].count("mean brightness, 0 to 255") == 1
    assert all(odds.removeprefix("less than ").startswith("once in ") for _, odds in bars)
    assert bars[0][1] == "less than once in a million", "a reference of 2,000 digits tells no rarer things apart"
    before, during = change.what["ink"]
    assert f"<td>{before:.1f}</td><td>{during:.1f}</td>" in html and during > before + 30


def test_those_most_unlike_are_shown_with_their_ids(reference: Reference) -> None:
    findings = looked(collected(), reference)
    html = page.page(findings)
    part = html.split("Most unlike")[1].split("For comparison")[0]
    worst = most_unlike(findings, page.UNLIKE)
    assert re.findall(r'title="(.*?)"', part) == [f"spring-{index}" for index in worst]
    assert all(index >= 30 for index in worst)
    ordinary = html.split("For comparison")[1].split("</figure>")[0]
    assert re.findall(r'alt="MNIST (\d)"', ordinary) == list("0123456789"), "one of each class, in order"
    assert all(int(place) < 30 for place in re.findall(r'<button value="(\d+)"', ordinary))
    assert "data-id=" not in html, "there is nothing to ask where all is labelled"


def test_the_comparison_has_a_place_for_every_digit(reference: Reference) -> None:
    """Also where one was not read before the change: then it is one from after it, or an empty place."""
    seen = collected(200, unsure=0, foreign=slice(40, 100))
    for prediction, places in ((3, slice(0, 40)), (5, slice(0, 100)), (7, slice(None))):
        other = np.flatnonzero(seen["prediction"][places] == prediction)
        seen["prediction"][other] = seen["label"][other] = 1
    html = page.page(looked(seen, reference))
    row = html.split("For comparison")[1].split("</figure>")[0]
    shown = re.findall(r'<button value="(\d+)"|<div class="none">no (\d)', row)
    assert len(shown) == 10 and shown[7] == ("", "7")
    assert [int(seen["prediction"][int(place)]) for place, _ in shown if place] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert all(not 40 <= int(place) < 100 for place, _ in shown if place), "none from within the change"


def test_right_and_wrong_differ_by_more_than_a_colour(reference: Reference) -> None:
    html = page.page(looked(collected(), reference))
    assert '<b class="wrong"><i aria-hidden="true">✗</i> 8, read as 9</b>' in html
    assert '<span class="right"><i aria-hidden="true">✓</i> 3<span class="unseen">, read right</span></span>' in html
    unknown = page.page(looked(followed(collected()), reference))
    assert (
        ">read as 3<" in unknown and "✗" not in unknown.split("<script")[0] and "✓" not in unknown.split("<script")[0]
    )


@pytest.mark.parametrize(
    ("probability", "told"),
    [(0.5, "50%"), (0.994, "99%"), (0.996, "99.6%"), (0.99996, "99.996%"), (0.999999, "> 99.999%"), (1, "> 99.999%")],
)
def test_no_answer_is_told_as_certain(probability: float, told: str) -> None:
    assert words.percent(probability) == told


def test_every_change_has_some_among_the_most_unlike(reference: Reference) -> None:
    seen = collected(200, unsure=0, foreign=slice(40, 60))
    seen.columns["ink"][120:] += 90  # which is far stranger
    findings = looked(seen, reference)
    assert len(findings.verdict.changes) == 2
    worst = most_unlike(findings, 20)
    assert len(worst) == 20 and 8 <= (worst < 100).sum() <= 12
    assert (np.diff(findings.surprise[worst]) <= 0).all()


def test_before_and_during_what_was_taken_for_what(reference: Reference) -> None:
    html = page.page(looked(collected(), reference))
    before, during = re.findall(r'<table class="confusion">(.*?)</table>', html)
    assert "<b>Before the change</b> 30 of 30 read right" in before and 'class="wrong"' not in before
    assert "<b>Since the change</b> 24 of 30 read right" in during
    assert 'title="4 read as 5: once"' in during and "4 read as 6" not in during


def test_the_numbers_behind_the_other_charts(reference: Reference) -> None:
    data = told(page.page(looked(collected(), reference)))
    assert data["weights"][40] == [0.2, 0.4] and data["served"][40] == "devanagari"
    assert sum(data["unsure"]) == 6 and data["recent"][-1] == 0.4 and data["recent"][0] == 1


@pytest.mark.parametrize("known", [0, 7])
def test_with_no_labels_or_a_few(reference: Reference, known: int) -> None:
    findings = looked(followed(collected(), known), reference)
    html = page.page(findings)
    data, said = told(html), text(html)
    assert "<h1>The digits have changed</h1>" in html
    assert "From 28 November 2026, 08:45 until the end, requests 30 to 59" in said
    assert "deployment blue · 60 requests, on 28 November 2026, 08:00 to 09:28" in said
    assert data["unit"] == "request" and data["weights"] == [] and set(data["served"]) == {"unknown"}
    assert "Who wrote the digits" not in said and "by hand" not in said
    shares = [share for share in data["recent"] if share is not None]
    worst = most_unlike(findings, page.UNLIKE)
    asked = re.findall(r'data-id="(.*?)"', html)
    assert asked == [f"spring-{index}" for index in worst if not known or index % known]
    assert "read as -1" not in said and "-1," not in said and "nan" not in said
    if not known:
        assert not shares and "Read right" not in said and "confusion" not in html.split("<body>")[1]
        assert "Nobody has said yet" in said and "Label these first" in said
    else:
        assert len(shares) == 9 and shares[0] == 1 and "read right" in said and 'id="accuracy"' in html
        assert "<b>Since the change</b> 3 of 4 read right" in html


def test_who_wrote_some_digits_is_shown_without_weights(reference: Reference) -> None:
    seen = collected()
    weights = np.column_stack([seen["source"] == "mnist", seen["source"] == "devanagari"]).astype(float)
    html = page.page(looked(replace(seen, weights=weights), reference))
    assert told(html)["weights"] == [] and "Who wrote the digits" in html and "The weight of each hand" not in html


def test_only_the_last_of_many_requests_are_shown(reference: Reference) -> None:
    """A change that began before them, and whose alarm was before them, has its own date and number all the same."""
    seen = followed(collected())
    detector = Detector(reference)
    evidence = detector.update(seen.columns)[45:]
    table = {name: values[45:] for name, values in seen.columns.items()}
    recent = Collected(table, seen.weights[45:], [], seen.images[45:], seen.pictured[45:], [])
    (found,) = detector.changes
    dates = {found.first: "2026-11-27T06:00:00Z", found.seen: "2026-11-27T06:00:05Z"}
    html = page.page(replace(core.findings_of(recent, detector, evidence, np.arange(45, N)), dates=dates))
    (change,) = told(html)["changes"]
    assert change["begun"] and change["told"] and change["first"] == 0
    assert "Shown are 15 of the 60 requests, all of which were looked at" in html
    assert "From 27 November 2026, 06:00" in html and f"Certain from request {found.seen} on" in html


def test_a_change_of_which_nothing_is_shown_is_told_and_not_drawn(reference: Reference) -> None:
    """And where requests are left out between those that are shown, there is a line."""
    seen = followed(collected(n=300, foreign=slice(60, 110), unsure=0))
    detector = Detector(reference)
    evidence = detector.update(seen.columns)
    chosen = np.r_[0:40, 200:300]
    part = Collected(
        {name: values[chosen] for name, values in seen.columns.items()},
        seen.weights[chosen],
        [],
        seen.images[chosen],
        seen.pictured[chosen],
        [],
    )
    dates = {60: "2026-11-28T09:30:00Z"}
    findings = replace(core.findings_of(part, detector, evidence[chosen], chosen), dates=dates)
    (change,) = findings.verdict.changes
    assert change.ended and change.last < change.first
    html = page.page(findings)
    data = told(html)
    assert data["changes"] == [] and data["gaps"] == [40]
    assert "<h1>The digits changed, then went back to normal</h1>" in html and "09:30" in text(html)
    assert "nan" not in text(html)


def test_columns_that_a_deployment_does_not_collect(reference: Reference) -> None:
    seen = followed(collected())
    for name in ("confidence", "anomaly_largest", "distance"):
        del seen.columns[name]
    seen.columns["prediction"][3] = np.nan
    seen.columns["date"][:] = "yesterday"
    html = page.page(looked(seen, reference))
    data = told(html)
    assert data["confidence"] == [None] * N and data["prediction"][3] == -1
    assert "nan" not in text(html) and "None" not in text(html)


def test_it_needs_nothing_else(reference: Reference) -> None:
    html = page.page(looked(followed(collected()), reference))
    assert "default-src 'none'" in html and "{{" not in html and "<!--if" not in html and "<!--end" not in html
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", html.replace('"${', ""))
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_what_a_record_says_cannot_become_part_of_the_page(reference: Reference) -> None:
    hostile = "</script><script>alert(1)</script>{{data}}\"'<!--if labels-->"
    for seen in (collected(run=hostile), followed(collected(run=hostile))):
        seen.columns["deployment"][:] = np.array([hostile])
        html = page.page(looked(seen, reference))
        assert "<script>alert" not in html and told(html)["ticks"] == list(range(N))
        assert 'data-id="</' not in html and 'title="</' not in html


def test_sources_that_a_scenario_named_have_colours_of_their_own(reference: Reference) -> None:
    seen = collected()
    seen.columns["source"] = np.where(seen["source"] == "mnist", "mnist", "synthetic-line")
    seen.columns["source"][:3] = "bar"
    seen.columns["source"][3] = "<b>"  # of none of the weights
    seen = replace(seen, weights=np.full((N, 3), 0.5), sources=["mnist", "bar", "synthetic-line"])
    html = page.page(looked(seen, reference))
    assert "<h1>Synthetic line digits came and stayed</h1>" in html and "all of them synthetic line." in html
    data = told(html)
    assert data["sources"] == ["mnist", "other-1", "other-2"]
    assert data["served"][:5] == ["other-1"] * 3 + ["other", "mnist"]
    assert data["titles"] == {"mnist": "MNIST", "other-1": "bar", "other-2": "synthetic line"}
    assert (
        '<li class="other-2">' in html
        and ".other-2 {" in html
        and "<b>" not in html.replace("<b>From", "").replace("<b>Before", "").replace("<b>Since", "")
    )


def test_without_changes_or_doubts(reference: Reference) -> None:
    html = page.page(looked(collected(unsure=0, foreign=None), reference))
    assert "<h1>Nothing changed</h1>" in html and "the model was never unsure" in html
    assert headings(html)[0] == "How unusual the digits were"
    assert "gave it away" not in html and "Most unlike" not in html and told(html)["changes"] == []
    assert len(re.findall(r'<table class="confusion">', html)) == 1


@pytest.mark.parametrize("known", [False, True])
def test_one_request_is_enough(reference: Reference, known: bool) -> None:
    seen = collected(n=1, unsure=0, foreign=None)
    html = page.page(looked(seen if known else followed(seen), reference))
    assert told(html)["ticks"] == [0] and "The one request looks like the digits" in html


def test_a_long_look_keeps_the_page_small(reference: Reference) -> None:
    html = page.page(looked(collected(n=3000, unsure=1000, foreign=slice(1500, None)), reference))
    data = told(html)
    images = data["images"]
    assert sum(image is not None for image in images) == page.PICTURES and all(images[2000:2350])
    assert len(html) < 2_500_000
    shown = sum(unsure for unsure, image in zip(data["unsure"], images, strict=True) if image)
    assert 350 < shown < 400 and f"{shown} of the 1,000 digits the model was unsure of" in html


def test_of_very_many_requests_some_are_drawn(reference: Reference) -> None:
    n = 3 * page.DRAWN
    findings = looked(collected(n=n, unsure=300, foreign=slice(n - 2000, None)), reference)
    data = told(page.page(findings))
    assert data["total"] == n and page.DRAWN <= len(data["at"]) <= page.DRAWN + page.PICTURES
    assert data["at"][0] == 0 and data["at"][-1] == n - 1 and (np.diff(data["at"]) > 0).all()
    places = [place for place, image in enumerate(data["images"]) if image]
    worst = most_unlike(findings, page.UNLIKE)
    assert set(worst.tolist()) <= {data["at"][place] for place in places}
    assert data["changes"][-1]["first"] >= n - 2020 and data["changes"][-1]["last"] == n - 1


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(chromium: Any, reference: Reference, tmp_path: Path, width: int, scheme: str) -> None:
    tab, complaints = opened(chromium, tmp_path, page.page(looked(collected(), reference)), width, scheme)
    assert tab.locator(".chart > svg").count() == 6
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "it must not scroll sideways"
    dark = int(tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")) < 128
    assert dark == (scheme == "dark")

    tip = tab.locator("#tip")
    tab.locator("#confidence svg").focus()
    tab.keyboard.press("End")
    tab.keyboard.press("ArrowLeft")
    assert "tick 58" in tip.inner_text() and "8, read as 9" in tip.inner_text() and "Devanagari" in tip.inner_text()
    assert "less than once in a million" in tip.inner_text() and "spring-58" in tip.inner_text()
    assert tip.locator("img").count() == 1
    tab.keyboard.press("Escape")
    assert tip.is_hidden()
    tab.locator("figure", has_text="The digits behind them").locator(".gallery button").first.click()
    assert "tick 54" in tip.inner_text()
    assert tab.locator("#parallel .thread.on").count() == 2, "the same request is marked in every chart"
    assert not complaints


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_alarm_is_told_on_the_chart(chromium: Any, reference: Reference, tmp_path: Path, width: int) -> None:
    """What is written on the timeline is within it, and nothing is written over anything else."""
    seen = collected(200, unsure=0, foreign=slice(40, 60))
    seen.columns["ink"][120:] += 90
    for findings in (
        looked(seen, reference),
        looked(followed(seen), reference),
        looked(seen, reference, certified=0.05),
    ):
        tab, complaints = opened(chromium, tmp_path, page.page(findings), width)
        said = tab.locator("#evidence svg").text_content()
        assert "1 · alarm" in said and "2 · alarm" in said and "since" in said and "alarm:" in said
        assert tab.locator("#evidence .band").count() == 2 and tab.locator("#evidence .alarm").count() == 2
        boxes = tab.evaluate(
            """[...document.querySelectorAll("#evidence text")].filter(t => t.textContent).map(t => {
                const b = t.getBBox(); return [b.x, b.y, b.x + b.width, b.y + b.height, t.textContent]; })"""
        )
        wide, tall = (tab.locator("#evidence svg").bounding_box()[side] for side in ("width", "height"))
        for left, top, right, bottom, what in boxes:
            assert left >= 0 and top >= 0 and right <= wide + 1 and bottom <= tall, what
        for place, (left, top, right, bottom, what) in enumerate(boxes):
            for other in boxes[:place]:
                apart = right <= other[0] or other[2] <= left or bottom <= other[1] + 5 or other[3] <= top + 5
                assert apart, (what, other[4])
        assert not complaints
        tab.close()


@pytest.mark.browser
def test_no_pole_crosses_a_text(chromium: Any, reference: Reference, tmp_path: Path) -> None:
    seen = collected(200, unsure=0, foreign=slice(40, 60))
    for start in (80, 120, 150):
        seen.columns["ink"][start : start + 15] += 90
    for width in (390, 700, 1280):
        tab, complaints = opened(chromium, tmp_path, page.page(looked(followed(seen), reference)), width)
        assert tab.locator("#evidence .band").count() >= 3
        crossed = tab.evaluate(
            """[...document.querySelectorAll("#evidence .pole")].flatMap(pole => {
                const p = pole.getBBox();
                return [...document.querySelectorAll("#evidence text")].filter(t => {
                    const b = t.getBBox();
                    return b.x < p.x && p.x < b.x + b.width && b.y < p.y + p.height && p.y < b.y + b.height;
                }).map(t => t.textContent); })"""
        )
        assert crossed == [] and not complaints
        tab.close()


@pytest.mark.browser
def test_near_certainty_is_spread_out(chromium: Any, reference: Reference, tmp_path: Path) -> None:
    """0.9, 0.99, 0.999 lie equally far apart; and every axis has a title."""
    tab, complaints = opened(chromium, tmp_path, page.page(looked(collected(), reference)), 1280)
    at = tab.evaluate(
        """Object.fromEntries([...document.querySelectorAll("#confidence text")].map(
            t => [t.textContent, t.getBBox().y]))"""
    )
    gaps = [at[one] - at[other] for one, other in (("0.9", "0.99"), ("0.99", "0.999"), ("0.999", "0.9999"))]
    assert max(gaps) - min(gaps) < 1 and gaps[0] > 30
    for chart in ("evidence", "weights", "confidence", "classes", "accuracy"):
        assert tab.locator(f"#{chart} .title").count() == 2, chart
    ends = tab.evaluate(
        """[...document.querySelectorAll("#parallel text")].map(t => [t.textContent, t.getBBox().x, t.getBBox().y])"""
    )
    for low, high, column in (("0", "59", "left"), ("0", "9", "middle"), ("0", "0.9", "right")):
        side = {"left": (0, 100), "middle": (150, 350), "right": (380, 600)}[column]
        part = {name: y for name, x, y in ends if side[0] <= x < side[1]}
        assert part[low] > part[high], f"the {column} axis runs upwards"
    assert not complaints


@pytest.mark.browser
def test_a_phone_shows_twelve_of_a_gallery(chromium: Any, reference: Reference, tmp_path: Path) -> None:
    html = page.page(looked(collected(200, unsure=30), reference))
    for width, first in ((390, 12), (1280, 30)):
        tab, _ = opened(chromium, tmp_path, html, width)
        gallery = tab.locator("figure", has_text="The digits behind them")
        assert gallery.locator(".gallery button:visible").count() == first
        if width == 390:
            gallery.get_by_role("button", name="18 more").click()
            assert gallery.locator(".gallery button:visible").count() == 30
            assert gallery.get_by_role("button", name="18 more").is_hidden()
        tab.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_table_of_requests(chromium: Any, reference: Reference, tmp_path: Path, width: int) -> None:
    findings = looked(collected(200, unsure=8), reference)
    addresses = [f"http://127.0.0.1:5000/#/experiments/1/runs/{index:032x}" for index in range(200)]
    tab, complaints = opened(chromium, tmp_path, page.page(replace(findings, addresses=addresses)), width)
    rows, table = tab.locator(".requests tbody tr"), tab.locator(".requests")
    assert rows.count() == 25 and "1 to 25 of 200" in tab.locator(".pages").inner_text()
    tab.get_by_role("button", name="Next").click()
    assert rows.first.locator(".tick").inner_text() == "25"
    assert rows.first.get_by_role("link").get_attribute("href") == addresses[25]
    assert rows.first.locator("img").get_attribute("src").startswith("data:image/png")

    table.get_by_role("button", name="probability").click()
    assert table.locator("th.probability").get_attribute("aria-sort") == "descending"
    table.get_by_role("button", name="probability").click()
    assert table.locator("th.probability").get_attribute("aria-sort") == "ascending"
    assert (
        rows.first.locator(".probability").inner_text() == "50%"
        and rows.first.locator(".anomaly").inner_text() == "unsure"
    )

    tab.get_by_label("Show").select_option("misread")
    assert rows.count() == 8 and tab.locator(".pages").is_hidden()
    assert "✗" in rows.first.locator(".read").inner_text()
    tab.get_by_label("Read as").select_option("3")
    assert tab.locator(".filters [role=status]").inner_text() == "1 request"
    tab.get_by_label("Find").fill("nothing")
    assert tab.locator(".filters [role=status]").inner_text() == "None is like that."
    tab.get_by_label("Show").select_option("all")
    tab.get_by_label("Read as").select_option("")
    tab.get_by_label("Find").fill("spring-77")
    assert rows.count() == 1 and rows.first.locator(".tick").inner_text() == "77"
    assert tab.evaluate("document.documentElement.scrollWidth") <= width and not complaints


@pytest.mark.browser
def test_the_table_of_many_requests_is_short_and_quick(chromium: Any, reference: Reference, tmp_path: Path) -> None:
    findings = looked(collected(n=10_000, unsure=300, foreign=slice(8_000, None)), reference)
    html = page.page(findings)
    assert len(html) < 2_500_000 and "Listed are 4" in html and "400 have their image here" in html
    tab, complaints = opened(chromium, tmp_path, html, 1280)
    assert tab.locator(".requests tbody tr").count() == 25 and tab.locator(".requests a").count() == 0
    tab.get_by_label("Show").select_option("unsure")
    assert "of 300" in tab.locator(".pages").inner_text()
    assert not complaints


@pytest.mark.browser
def test_labels_that_are_typed_become_a_file(chromium: Any, reference: Reference, tmp_path: Path) -> None:
    findings = looked(followed(collected()), reference)
    tab, complaints = opened(chromium, tmp_path, page.page(findings), 1280)
    assert tab.locator(".labels").is_hidden()
    first, second = (f"spring-{index}" for index in most_unlike(findings, 2))
    tab.locator(".gallery input").first.focus()
    tab.keyboard.type("73")  # the second is in the next field
    with tab.expect_download() as download:
        tab.get_by_text("Save labels.jsonl").click()
    saved = Path(download.value.path()).read_text()
    assert download.value.suggested_filename == "labels.jsonl"
    assert [json.loads(line) for line in saved.splitlines()] == [
        {"id": first, "label": 7},
        {"id": second, "label": 3},
    ]
    assert not complaints


@pytest.mark.browser
def test_pages_of_little_have_no_faults(chromium: Any, reference: Reference, tmp_path: Path) -> None:
    bare = followed(collected())
    for name in ("confidence", "anomaly_largest"):
        del bare.columns[name]
    for seen in (
        collected(n=1, unsure=0, foreign=None),
        followed(collected(n=1, unsure=0, foreign=None)),
        followed(collected(unsure=0, foreign=None), known=7),
        replace(collected(), pictured=np.zeros(N, bool)),
        bare,
    ):
        tab, complaints = opened(chromium, tmp_path, page.page(looked(seen, reference)), 390)
        assert tab.locator("#evidence svg").count() == 1 and not complaints
        tab.close()


def opened(chromium: Any, folder: Path, html: str, width: int, scheme: str = "light") -> tuple[Any, list[str]]:
    """A tab with the page, and a list of whatever is wrong with it."""
    (folder / "report.html").write_text(html, encoding="utf-8")
    tab = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
    tab.goto((folder / "report.html").as_uri())
    return tab, complaints
