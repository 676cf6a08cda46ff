"""The monitor that watches: it tells what it finds at once, and counts each request once, however often killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from digits.data import ink
from digits.data.sets import embedded
from digits.network import lite, reference
from digits.network.lite import FILE, Lite
from drift.detect.detector import Detector
from drift.monitor import core, monitor, watch, webhook
from drift.records import collected, memory

BEFORE, AFTER = 150, 60


@pytest.fixture(scope="module")
def columns(trained: Path) -> dict[str, np.ndarray]:
    """What is collected of MNIST digits, then Devanagari, then MNIST again."""
    model = Lite(trained / FILE)
    mnist = reference.describe(model, embedded("mnist", "test"))
    devanagari = reference.describe(model, embedded("devanagari", "test"))
    # Every third, for the embedded digits come sorted.
    order = np.random.default_rng(0).permutation(len(mnist["ink"]))
    parts = [(mnist, order[:BEFORE]), (devanagari, slice(0, 200, 5)), (mnist, order[BEFORE : BEFORE + AFTER])]
    return {name: np.concatenate([part[name][chosen] for part, chosen in parts]) for name in mnist}


def write(folder: Path, columns: dict[str, np.ndarray], start: int, stop: int, **more: str) -> None:
    """Requests `start` to `stop`, as an endpoint records them."""
    for collection, names in (("model_inputs", tuple(ink.STATISTICS)), ("model_outputs", reference.ANSWERED)):
        file = folder / "digits" / "blue" / collection / "2025" / "01" / "31" / "10" / "f3a1.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as lines:
            for number in range(start, stop):
                row = {name: float(columns[name][number]) for name in names}
                if collection == "model_outputs":
                    row |= {**more, "anomaly_largest": 0.0, **{f"probability_{digit}": 0.1 for digit in range(10)}}
                record = {"data": [row], "time": "2025-01-31T10:00:00Z", "correlationid": f"run-{number}"}
                lines.write(json.dumps(record | {"xrequestid": f"gw-{number}"}) + "\n")


def test_it_tells_of_the_change_and_of_its_end(
    trained: Path,
    columns: dict[str, np.ndarray],
    tracking: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, out = tmp_path / "collected", tmp_path / "out"
    total = len(columns["ink"])
    folder.mkdir()
    steps = iter(range(0, total, 30))

    def until(detector: object) -> bool:
        start = next(steps, None)
        if start is not None:
            write(folder, columns, start, min(start + 30, total))
        return start is None and detector.requests == total

    posted = []
    monkeypatch.setattr(webhook, "send", lambda url, event, text, **more: posted.append((url, event, text, more)))
    place = core.Place(folder)
    detector = watch.watch(place, trained, out, {"gamma": 10_000}, until=until, webhook="http://127.0.0.1:9/")
    said = capsys.readouterr().out
    assert [(url, event) for url, event, _, _ in posted] == [
        ("http://127.0.0.1:9/", "alarm"),
        ("http://127.0.0.1:9/", "all clear"),
    ]
    assert all(text in said for _, _, text, _ in posted)
    assert [more["ended"] for *_, more in posted] == [False, True]
    assert "a false alarm at most once in 10,000 requests" in said
    alarm, clear = said.index("ALARM: "), said.index("ALL CLEAR: ")
    assert alarm < clear and "taller" in said[alarm:clear]
    (change,) = detector.changes
    assert abs(change.first - BEFORE) <= 3 and change.seen - BEFORE < 8
    assert abs(change.last - (BEFORE + 39)) <= 3 and change.cleared < total
    verdict = json.loads((out / "verdict.json").read_text())
    assert verdict["drifted"] and not verdict["standing"] and verdict["requests"] == total
    assert (out / "report.html").stat().st_size > 10_000


def test_what_came_and_went_while_nobody_watched_is_told(
    trained: Path, columns: dict[str, np.ndarray], tracking: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, total = tmp_path / "collected", len(columns["ink"])
    write(folder, columns, 0, total)
    watch.watch(core.Place(folder), trained, tmp_path / "out", {"gamma": 10_000}, until=lambda d: d.requests == total)
    assert capsys.readouterr().out.count("ALARM, and ALL CLEAR: ") == 1


def test_killed_at_any_moment_it_counts_every_request_once(
    trained: Path, columns: dict[str, np.ndarray], tracking: str, tmp_path: Path
) -> None:
    """kill -9 again and again while requests come; then what it knows is what one look at all of them gives."""
    folder, out = tmp_path / "collected", tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-m", "drift.monitor", "--watch", "--collected", str(folder), "--model", str(trained)]
    dice, sent, total = random.Random(1), 0, len(columns["ink"])
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{(tmp_path / 'watch.db').as_posix()}"}
    state = out / "state.json"

    def requests() -> int:
        return json.loads(state.read_text())["detector"]["requests"] if state.is_file() else 0

    rounds = 0
    while requests() < total:
        process = subprocess.Popen(
            [*command, "--output", str(out)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        known, deadline = requests(), time.monotonic() + 120
        goal = min(total, known + dice.randint(30, 90))
        while requests() < goal:
            assert process.poll() is None, process.stdout.read().decode()
            assert time.monotonic() < deadline
            if sent < goal:
                more = min(total, sent + dice.randint(1, 9))
                write(folder, columns, sent, more)
                sent = more
            time.sleep(dice.random() / 50)
        process.send_signal(signal.SIGKILL)
        process.wait()
        rounds += 1
    assert rounds >= 3
    once = core.new_detector(trained, {"gamma": 10_000})
    once.update({name: columns[name] for name in collected.FOLLOWED})
    kept = json.loads(state.read_text())["detector"]
    expected = json.loads(json.dumps(once.state()))
    assert kept["requests"] == total and kept["changes"] == expected["changes"]
    np.testing.assert_allclose(kept["owned"], expected["owned"], rtol=1e-12)


def test_what_it_knows_is_of_one_model_and_one_promise(
    trained: Path, columns: dict[str, np.ndarray], tracking: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "collected", tmp_path / "out"
    write(folder, columns, 0, 20)
    watch.watch(core.Place(folder), trained, out, {"gamma": 500}, until=lambda d: d.requests == 20)
    arguments = ["--watch", "--collected", str(folder), "--model", str(trained), "--output", str(out)]
    capsys.readouterr()
    assert monitor.main([*arguments, "--gamma", "600"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "state.json" in said and "delete it" in said


def test_killed_over_an_alarm_it_tells_when_it_goes_on(
    trained: Path,
    columns: dict[str, np.ndarray],
    tracking: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, out = tmp_path / "collected", tmp_path / "out"
    write(folder, columns, 0, BEFORE + 30)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(watch, "_tell", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        watch.watch(core.Place(folder), trained, out, {"gamma": 10_000})
    assert "ALARM" not in capsys.readouterr().out
    for alarms in (1, 0):
        watch.watch(core.Place(folder), trained, out, {"gamma": 10_000}, until=lambda d: True)
        said = capsys.readouterr().out
        assert said.count("ALARM: ") == alarms and "The digits have changed" in said
    write(folder, columns, BEFORE + 30, len(columns["ink"]))
    total = len(columns["ink"])
    watch.watch(core.Place(folder), trained, out, {"gamma": 10_000}, until=lambda d: d.requests == total)
    assert capsys.readouterr().out.count("ALL CLEAR: ") == 1
    assert json.loads((out / "verdict.json").read_text())["drifted"]


def test_interrupted_over_the_first_requests_it_just_ends(
    trained: Path, columns: dict[str, np.ndarray], tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "collected", tmp_path / "out"
    write(folder, columns, 0, 20)
    update = Detector.update

    def interrupted(self: Detector, told: dict[str, np.ndarray]) -> np.ndarray:
        update(self, told)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Detector, "update", interrupted)
        watch.watch(core.Place(folder), trained, out, {"gamma": 10_000})
    assert list(out.iterdir()) == []
    detector = watch.watch(core.Place(folder), trained, out, {"gamma": 10_000}, until=lambda d: d.requests == 20)
    assert detector.requests == 20


def test_a_labels_file_that_is_empty_yet_is_no_hindrance(
    trained: Path, columns: dict[str, np.ndarray], tracking: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, labels = tmp_path / "collected", tmp_path / "labels.jsonl"
    write(folder, columns, 0, BEFORE + 30)
    labels.touch()
    place, until = core.Place(folder), lambda detector: detector.requests == BEFORE + 30
    watch.watch(place, trained, tmp_path / "out", {"gamma": 10_000}, labels, until=until)
    assert "ALARM: " in capsys.readouterr().out


def test_what_it_knows_is_of_one_folder_and_one_deployment(
    trained: Path, columns: dict[str, np.ndarray], tracking: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "collected", tmp_path / "out"
    write(folder, columns, 0, 20)
    watch.watch(core.Place(folder), trained, out, {"gamma": 10_000}, until=lambda d: d.requests == 20)
    capsys.readouterr()
    options = ["--watch", "--model", str(trained), "--output", str(out), "--collected"]
    for place, told in (
        ([str(folder / "digits")], "another folder"),
        ([str(folder), "--deployment", "blue"], "other dep"),
    ):
        assert monitor.main([*options, *place]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and told in said and "name another --output" in said


def test_a_change_is_told_however_many_requests_came_since(
    trained: Path,
    columns: dict[str, np.ndarray],
    tracking: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its first images to label, and the accuracy of those labelled long ago."""
    monkeypatch.setattr(memory, "LAST", 30)
    monkeypatch.setattr(memory, "OF_A_CHANGE", 10)
    folder, out, labels = tmp_path / "collected", tmp_path / "out", tmp_path / "labels.jsonl"
    total = len(columns["ink"])
    write(folder, columns, 0, total)
    # Of what came before the change and in it every other, right outside and wrong within.
    rows = [(n, int(columns["prediction"][n] + (BEFORE <= n < BEFORE + 40)) % 10) for n in range(100, 200, 2)]
    labels.write_text("".join(json.dumps({"id": f"run-{n}", "label": label}) + "\n" for n, label in rows))
    with labels.open("a") as more:
        more.write('{"id": "nobody-7", "label": 3}\n')
    arguments = ["--collected", str(folder), "--model", str(trained), "--output", str(out), "--labels", str(labels)]
    assert monitor.main(arguments) == 0
    said = capsys.readouterr()
    assert (
        "1 of 51 labels are of no request" in said.err and "The digits changed, then went back to normal." in said.out
    )
    verdict = json.loads((out / "verdict.json").read_text())
    (change,) = verdict["changes"]
    assert verdict["requests"] == total and abs(change["first"] - BEFORE) <= 3 and change["labelled"] >= 18
    assert change["accuracy"] < 0.1 and verdict["accuracy_outside_changes"] == 1
    assert {f"run-{change['first'] + k}" for k in range(4)} <= set(verdict["most_unlike"])
    assert "Shown are" in (out / "report.html").read_text()


def test_what_another_model_answered_is_judged_by_its_ink_alone(
    trained: Path, columns: dict[str, np.ndarray], tracking: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = columns | {"distance": columns["distance"] + 100.0}
    mine = lite.fingerprint(trained / FILE)
    for model, told in ((mine, "The digits have changed"), ("of another", "Nothing changed")):
        folder = tmp_path / model / "collected"
        write(folder, changed, 0, BEFORE, model=model)
        arguments = ["--collected", str(folder), "--model", str(trained), "--output", str(tmp_path / model)]
        assert monitor.main(arguments) == 0
        said = capsys.readouterr()
        assert told in said.out and ("150 of 150 requests were answered by another model" in said.err) == (
            model != mine
        )
