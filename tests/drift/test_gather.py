"""Gathering labelled images: which are taken, which are not and why, and that no test image is trained on."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.drift.support import collect, drift, label

from digits.data import hands, splits
from digits.data.sets import Digits
from drift import gather

N = 120
IDS = [f"winter-{tick}" for tick in range(N)]
LABELS = (np.arange(N) % 10).astype(np.uint8)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return hands.synthesise("devanagari", LABELS, seed=1)


@pytest.fixture
def run(tracking: str, prepared: Path, images: np.ndarray, tmp_path: Path):
    """Runs the job on N images and their labels, or other ids and labels; the three parts by name."""

    def gathered(*options: str, ids: list[str] = IDS, labels: np.ndarray = LABELS, code: int = 0) -> dict[str, Digits]:
        folder = collect(tmp_path / "modelDataCollector", IDS, images)
        file = label(tmp_path / "labels.jsonl", ids, labels)
        out = tmp_path / "new"
        arguments = ["--collected", str(folder), "--labels", str(file), "--data", str(prepared), "--out", str(out)]
        assert gather.main([*arguments, *options]) == code
        if code:
            assert not out.exists()
            return {}
        return {name: splits.read(out, name) for name in splits.NAMES}

    return gathered


def keys(digits: Digits) -> set[bytes]:
    return {image.tobytes() for image in digits.images}


def taken(parts: dict[str, Digits], images: np.ndarray) -> list[int]:
    """Which of `images` are in one of the parts."""
    found = set.union(*(keys(digits) for digits in parts.values()))
    return [place for place, image in enumerate(images) if image.tobytes() in found]


def test_an_id_and_a_label_are_enough(run, images: np.ndarray, tmp_path: Path, capsys) -> None:
    parts = run()
    assert {name: len(digits) for name, digits in parts.items()} == {"train": 84, "validation": 12, "test": 24}
    assert taken(parts, images) == list(range(N))
    truth = {image.tobytes(): label for image, label in zip(images, LABELS, strict=True)}
    for digits in parts.values():
        assert [truth[image.tobytes()] for image in digits.images] == digits.labels.tolist()
    assert set(np.bincount(parts["test"].labels)) <= {2, 3}  # every class in proportion
    told = capsys.readouterr()
    assert "120 labelled digits of modelDataCollector: 84 to train, 12 to validation, 24 to test" in told.out
    assert told.err == "" and (tmp_path / "new" / "samples.png").is_file()


def test_the_same_seed_holds_out_the_same_images(images: np.ndarray) -> None:
    new = Digits(images, LABELS, "made up")
    first, again, other = (keys(gather.split(new, seed)["test"]) for seed in (0, 0, 1))
    assert first == again != other


def test_what_was_held_out_mostly_stays_so_when_more_is_labelled(images: np.ndarray) -> None:
    """Else a champion that learnt this hand before would be asked what it was taught."""
    before, after = (gather.split(Digits(images[:n], LABELS[:n], "made up"), 0) for n in (100, N))
    taught = keys(before["train"]) & keys(after["test"])
    assert len(taught) <= 4 and len(keys(before["test"]) & keys(after["test"])) >= 16


def test_few_are_held_out_in_part_enough_to_tell_models_apart(images: np.ndarray) -> None:
    parts = gather.split(Digits(images[:50], LABELS[:50], "made up"), 0)
    assert [len(parts[name]) for name in splits.NAMES] == [25, 5, 20]
    parts = gather.split(Digits(images[:34], LABELS[:34], "made up"), 0)
    assert [len(parts[name]) for name in splits.NAMES] == [18, 3, 13]


def test_an_image_sent_twice_is_taken_once(run, prepared: Path, images: np.ndarray, tmp_path: Path) -> None:
    """Else the gate could test with what was trained on."""
    again = [f"spring-{tick}" for tick in range(N)]
    collect(tmp_path / "modelDataCollector", again, images)
    parts = run(ids=IDS + again, labels=np.tile(LABELS, 2))
    assert sum(map(len, parts.values())) == N
    names = list(parts)
    for one in names:
        for other in names[names.index(one) + 1 :]:
            assert not keys(parts[one]) & keys(parts[other])


def test_what_the_gate_tests_with_is_not_trained_on(run, prepared: Path, tmp_path: Path, capsys) -> None:
    """MNIST's test digits are what a simulated production sends."""
    known = splits.read(prepared, "test")
    sent = [f"autumn-{tick}" for tick in range(30)]
    collect(tmp_path / "modelDataCollector", sent, known.images[:30])
    parts = run(ids=IDS + sent, labels=np.concatenate([LABELS, known.labels[:30]]))
    assert not taken(parts, known.images)
    assert "30 images are in the prepared data already and were left out" in capsys.readouterr().err


def test_an_image_labelled_in_two_ways_is_left_out_and_a_correction_counts(
    run, images: np.ndarray, tmp_path: Path, capsys
) -> None:
    collect(tmp_path / "modelDataCollector", ["spring-0"], images[:1])
    # spring-0 is the same picture as winter-0 with another label; winter-1 was wrong first and then put right.
    parts = run(ids=["spring-0", "winter-1", *IDS], labels=np.array([5, 7, *LABELS]))
    assert taken(parts, images) == list(range(1, N))
    assert "1 images are labelled in two ways" in capsys.readouterr().err
    [label_of_1] = [
        digits.labels[place]
        for digits in parts.values()
        for place, image in enumerate(digits.images)
        if image.tobytes() == images[1].tobytes()
    ]
    assert label_of_1 == 1


def test_only_the_changes_that_the_monitor_saw(run, images: np.ndarray, tmp_path: Path, capsys) -> None:
    folder = drift(tmp_path / "monitoring", "winter", (10, 39), (80, 99))
    parts = run("--drift", str(folder))
    assert taken(parts, images) == [*range(10, 40), *range(80, 100)]
    assert "70 of 120 labelled images are not of the changes" in capsys.readouterr().err


@pytest.mark.parametrize("time", ["", "yesterday", None])
def test_the_changes_of_real_traffic_are_known_by_their_times(
    tracking: str, prepared: Path, images: np.ndarray, tmp_path: Path, capsys, time: str | None
) -> None:
    """Their ids say nothing of an order; the monitor tells when a change was."""
    folder = drift(tmp_path / "monitoring", "")
    change = {"first": 60, "last": 119, "first_date": "2025-01-31T11:00:00+00:00", "last_date": "2025-01-31T11:59:00Z"}
    (folder / "verdict.json").write_text(json.dumps({"run": "", "changes": [change]}))
    ids = [f"{k * 7919 % 10007:x}-request" for k in range(N)]
    for hour, part in (("10", slice(0, 60)), ("11", slice(60, N))):
        collect(tmp_path / "records", ids[part], images[part], hour)
    for file in (tmp_path / "records").rglob("*.jsonl"):  # of one of the change it is not known when it was
        file.write_text(spoilt(file.read_text(), ids[N - 1], time))
    labels = label(tmp_path / "labels.jsonl", ids, LABELS)
    arguments = ["--collected", str(tmp_path / "records"), "--labels", str(labels), "--data", str(prepared)]
    assert gather.main([*arguments, "--drift", str(folder), "--out", str(tmp_path / "new")]) == 0
    parts = {name: splits.read(tmp_path / "new", name) for name in splits.NAMES}
    assert taken(parts, images) == list(range(60, N - 1))
    assert f"61 of {N} labelled images are not of the changes" in capsys.readouterr().err


def spoilt(lines: str, id: str, time: str | None) -> str:
    """The same records, that of `id` with another time, or none."""
    records = [json.loads(line) for line in lines.splitlines()]
    for record in records:
        if record["correlationid"] == id:
            record["time"] = time
    return "".join(json.dumps(record) + "\n" for record in records)


def test_a_limit_takes_the_newest(run, images: np.ndarray) -> None:
    assert taken(run("--limit", "50"), images) == list(range(70, 120))


def test_lines_of_the_simulation_are_in_order_of_their_ticks(
    tracking: str, prepared: Path, images: np.ndarray, tmp_path: Path
) -> None:
    rows = [{"id": IDS[tick], "label": int(LABELS[tick]), "tick": tick, "status": 200} for tick in range(N)]
    rows[119]["status"] = 503  # so nobody saw it
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    collect(tmp_path / "c", IDS, images)
    gather.gather(tmp_path / "c", file, prepared, tmp_path / "new", limit=50)
    parts = {name: splits.read(tmp_path / "new", name) for name in splits.NAMES}
    assert taken(parts, images) == list(range(69, 119))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([], "tells of no change"),
        ([(500, 600)], "none of the 120 labelled images is of its changes"),
        ([(0, 20)], "21 labelled images of the new hand are too few"),
    ],
)
def test_a_drift_that_gives_no_images_is_one_line(run, tmp_path: Path, changes, told: str, capsys) -> None:
    run("--drift", str(drift(tmp_path / "monitoring", "winter", *changes)), code=1)
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and told in error[0]


def test_another_runs_drift_takes_none(run, tmp_path: Path, capsys) -> None:
    run("--drift", str(drift(tmp_path / "monitoring", "summer", (0, 119))), code=1)
    assert "of run summer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flaw", "told"),
    [
        ("no drift", "--drift must be a folder that drift.monitor wrote"),
        ("torn drift", "run drift.monitor again"),
        ("no labels", '{"id": "winter-7", "label": 3}'),
        ("empty labels", "has no label"),
        ("others' labels", "holds no image in request for the 3 labels"),
        ("negative limit", "--limit: -1"),
    ],
)
def test_mistakes_are_one_line(run, prepared: Path, images: np.ndarray, tmp_path: Path, flaw: str, told: str, capsys):
    folder = collect(tmp_path / "c", IDS, images)
    labels = label(tmp_path / "labels.jsonl", IDS, LABELS)
    options = []
    if "drift" in flaw:
        options = ["--drift", str(tmp_path / "monitoring")]
    if flaw == "torn drift":
        drift(tmp_path / "monitoring", "winter")
        (tmp_path / "monitoring" / "verdict.json").write_text('{"run": "winter"}')
    if flaw == "no labels":
        labels.unlink()
    if flaw == "empty labels":
        labels.write_text('{"id": "winter-1", "label": 10}\n{"id": "winter-2", "label": true}\n{"id": 3, "label": 3}\n')
    if flaw == "others' labels":
        label(labels, ["a", "b", "c"], [1, 2, 3])
    if flaw == "negative limit":
        options = ["--limit", "-1"]
    arguments = ["--collected", str(folder), "--labels", str(labels), "--data", str(prepared)]
    assert gather.main([*arguments, *options, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and told in error[0]
    assert not (tmp_path / "out").exists()


def test_few_new_digits_are_repeated_to_their_share(images: np.ndarray) -> None:
    known = Digits(np.zeros((80, 28, 28), np.uint8), np.zeros(80, np.uint8), "old")
    mixed = splits.mix(known, Digits(images[:7], LABELS[:7], "new"), 0.2)
    assert len(mixed) == 100 and mixed.source == "old and new"
    counts = [int((mixed.images == image).all(axis=(1, 2)).sum()) for image in images[:7]]
    assert sum(counts) == 20 and max(counts) - min(counts) <= 1
    many = splits.mix(known, Digits(images, LABELS, "new"), 0.2)
    assert len(many) == 200  # none is left out when there are more
