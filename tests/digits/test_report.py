"""The report: one page that needs nothing else, tells what happened, and cannot be made to do anything else."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits import report, verdict
from digits.collected import Collected

N = 60


def collected(n: int = N, run: str = "spring", unsure: int = 6) -> Collected:
    """Devanagari digits in the second half, inkier than the others; the last `unsure` answers are unsure and wrong."""
    random = np.random.default_rng(0)
    foreign = np.arange(n) >= n // 2
    label = np.arange(n) % 10
    anomalous = np.arange(n) >= n - unsure
    columns = {
        "id": np.array([f"{run}-{tick}" for tick in range(n)]),
        "run": np.array([run] * n),
        "tick": np.arange(n),
        "date": np.datetime_as_string(np.datetime64("2025-01-01") + np.arange(n)),
        "source": np.where(foreign, "devanagari", "mnist"),
        "label": label,
        "prediction": (label + anomalous) % 10,
        "confidence": np.where(anomalous, 0.5, 0.99),
        "anomaly_largest": anomalous.astype(float),
        "ink": random.normal(30, 5, n) + 40 * foreign,
    }
    images = random.integers(0, 255, (n, 28, 28), dtype=np.uint8)
    weights = np.column_stack([np.full(n, 0.2), 0.4 * foreign])
    return Collected(columns, weights, ["mnist", "devanagari"], images, np.ones(n, bool), ["1 line was <torn>"])


def page(seen: Collected) -> str:
    return report.page(seen, verdict.judge(seen))


def told(html: str) -> dict[str, Any]:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])


def test_it_says_what_happened_when_and_what_to_do() -> None:
    html = page(collected())
    assert "<h1>Devanagari digits came and stayed</h1>" in html
    assert "From 31 January 2025 until the end, ticks 30 to 59," in html and "retrain" in html
    assert "1 line was &lt;torn&gt;" in html


def test_the_numbers_behind_the_charts() -> None:
    data = told(page(collected()))
    assert data["weights"][40] == [0.2, 0.4] and data["served"][40] == "devanagari"
    assert sum(data["unsure"]) == 6 and data["recent"][-1] == 0.4 and data["recent"][0] == 1
    assert data["changes"] == [{"first": 30, "seen": data["changes"][0]["seen"], "last": 59}]


def test_it_needs_nothing_else() -> None:
    html = page(collected())
    assert "default-src 'none'" in html and "{{" not in html
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", html.replace('"${', ""))
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_what_a_record_says_cannot_become_part_of_the_page() -> None:
    hostile = "</script><script>alert(1)</script>{{data}}"
    html = page(collected(run=hostile))
    assert "<script>alert" not in html and told(html)["ticks"] == list(range(N))


def test_sources_that_a_scenario_named_have_colours_of_their_own() -> None:
    seen = collected()
    seen.columns["source"] = np.where(seen["source"] == "mnist", "mnist", "synthetic-line")
    seen.columns["source"][:3] = "bar"
    seen.columns["source"][3] = "<b>"  # of none of the weights
    seen = replace(seen, weights=np.ones((N, 3)), sources=["mnist", "bar", "synthetic-line"])
    html = page(seen)
    assert "<h1>Synthetic line digits came and stayed</h1>" in html and "all of them synthetic line." in html
    data = told(html)
    assert data["sources"] == ["mnist", "other-1", "other-2"] and data["served"][:5] == ["other-1"] * 3 + [
        "other",
        "mnist",
    ]
    assert data["titles"] == {"mnist": "MNIST", "other-1": "bar", "other-2": "synthetic line"}
    assert '<li class="other-2">' in html and ".other-2 {" in html and "<b>" not in html.replace("<b>From", "")


def test_without_changes_or_doubts() -> None:
    seen = collected(unsure=0)
    seen.columns["ink"][:] = np.random.default_rng(1).normal(30, 5, N)
    html = page(seen)
    assert "<h1>Nothing changed</h1>" in html and "the model was never unsure" in html


def test_one_tick_is_enough() -> None:
    assert told(page(collected(n=1)))["ticks"] == [0]


def test_a_long_simulation_keeps_the_page_small() -> None:
    html = page(collected(n=5000, unsure=1000))
    images = told(html)["images"]
    assert sum(image is not None for image in images) == report.PICTURES and all(images[4000:4400])
    assert len(html) < 2_500_000


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(chromium: Any, tmp_path: Path, width: int, scheme: str) -> None:
    (tmp_path / "report.html").write_text(page(collected()), encoding="utf-8")
    tab = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
    tab.goto((tmp_path / "report.html").as_uri())
    assert tab.locator(".chart > svg").count() == 5
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "it must not scroll sideways"
    dark = int(tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")) < 128
    assert dark == (scheme == "dark")

    tip = tab.locator("#tip")
    tab.locator("#confidence svg").focus()
    tab.keyboard.press("End")
    tab.keyboard.press("ArrowLeft")
    assert "tick 58" in tip.inner_text() and "8, read as 9" in tip.inner_text() and "Devanagari" in tip.inner_text()
    assert tip.locator("img").count() == 1
    tab.keyboard.press("Escape")
    assert tip.is_hidden()
    tab.locator(".gallery button").first.click()
    assert "tick 54" in tip.inner_text()
    assert tab.locator("#parallel .thread.on").count() == 1, "the same request is marked in every chart"
    assert not complaints
