"""A hand is one entry of digits.data.hands: with it the digits load, are sent, and are named in verdict and report."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.drift.report.test_page import collected, looked, told

from digits.data import ink, sets
from digits.data.__main__ import main as data_command
from digits.data.hands import HANDS, JAPANESE, Hand, source_name
from drift.detect.reference import Reference
from drift.report import page
from drift.traffic import scenario


@pytest.fixture(autouse=True)
def roman(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    monkeypatch.setenv("DIGITS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(HANDS, "roman", Hand("roman", "Roman", replace(JAPANESE, slant=(0.4, 0.1)), "someone/roman"))


def test_it_loads(capsys: pytest.CaptureFixture[str]) -> None:
    digits = sets.load("roman", split="test")
    assert len(digits) == 400 and digits.synthetic
    assert digits.source == "400 synthetic Roman digits drawn by digits.data.hands (test split)"
    assert data_command(["show", "roman"]) == 0
    assert "2,000 synthetic Roman digits" in capsys.readouterr().out


def test_a_scenario_sends_it(tmp_path: Path) -> None:
    (tmp_path / "visit.yml").write_text("ticks: 20\nsources:\n  mnist: 1\n  roman: 2 * between(t, 5, 9)\n")
    plan = scenario.read(tmp_path / "visit.yml")
    played = scenario.play(plan, {name: sets.load(name, split="test") for name in plan.sets})
    assert played.sources == ["mnist"] * 5 + ["roman"] * 4 + ["mnist"] * 11


def test_verdict_and_report_name_it() -> None:
    random = np.random.default_rng(3)
    table = {name: random.normal(30, 5, 2000) for name in (*ink.STATISTICS, "distance")}
    table |= {"confidence": 1 - random.beta(1, 200, 2000), "prediction": (np.arange(2000) % 10).astype(float)}
    neighbours = np.column_stack([table[name][:500] for name in ink.STATISTICS])
    seen = collected()
    source = source_name("roman", synthetic=True)
    seen.columns["source"] = np.where(seen["source"] == "mnist", "mnist", source)
    findings = looked(replace(seen, sources=["mnist", source]), Reference(table, neighbours))
    assert findings.verdict.headline == "Synthetic Roman digits came and stayed"
    html = page.page(findings)
    assert ".roman { --hand: var(--roman); }" in html and html.count("--roman: #") == 2
    assert '<li class="roman">' in html and "all of them synthetic Roman" in html
    assert told(html)["sources"] == ["mnist", "roman"] and told(html)["shapes"]["roman"]
