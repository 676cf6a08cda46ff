"""Every way people keep digits is read alike; whatever is wrong with a file is told in one line that names it."""

import gzip
import io
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits.data import formats
from digits.data.formats import read
from digits.data.hands import synthesise
from digits.data.images import standardise
from digits.errors import DataError

LABELS = (np.arange(20) % 10).astype(np.uint8)
IMAGES = synthesise("japanese", LABELS, seed=0)


def png(image) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def idx(array) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def csv(images=IMAGES, labels=LABELS, header=True) -> bytes:
    rows = [",".join(map(str, [label, *image.ravel()])) for label, image in zip(labels, images, strict=True)]
    return "\n".join(["label," + ",".join(f"pixel{i}" for i in range(784))] * header + rows).encode()


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pack(root: Path, files: dict[str, bytes], compression=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(root / "digits.zip", "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return root / "digits.zip"


def pictures(pattern: str, images=IMAGES, labels=LABELS) -> dict[str, bytes]:
    return {f"{pattern.format(k=k)}/{i:03}.png": png(a) for i, (k, a) in enumerate(zip(labels, images, strict=True))}


SPLIT = {
    "idx": {
        "train-images-idx3-ubyte": idx(IMAGES[:15]),
        "train-labels-idx1-ubyte": idx(LABELS[:15]),
        "t10k-images-idx3-ubyte": idx(IMAGES[15:]),
        "t10k-labels-idx1-ubyte": idx(LABELS[15:]),
    },
    "Kaggle's copy of idx, everything twice": {
        "train-images.idx3-ubyte": idx(IMAGES[:15]),
        "train-images-idx3-ubyte/train-images-idx3-ubyte": idx(IMAGES[:15]),
        "train-labels.idx1-ubyte": idx(LABELS[:15]),
        "train-labels-idx1-ubyte/train-labels-idx1-ubyte": idx(LABELS[:15]),
        "t10k-images.idx3-ubyte": idx(IMAGES[15:]),
        "t10k-labels.idx1-ubyte": idx(LABELS[15:]),
    },
    "keras npz": {
        "mnist.npz": npz(x_train=IMAGES[:15], y_train=LABELS[:15], x_test=IMAGES[15:], y_test=LABELS[15:]),
    },
    "npz by file": {
        "train.npz": npz(images=IMAGES[:15], labels=LABELS[:15]),
        "test.npz": npz(images=IMAGES[15:], labels=LABELS[15:]),
    },
    "csv": {
        "mnist_train.csv": csv(IMAGES[:15], LABELS[:15]),
        "mnist_test.csv": csv(IMAGES[15:], LABELS[15:], header=False),
    },
    "pictures": pictures("Numbers/Train/digit_{k}", IMAGES[:15], LABELS[:15])
    | pictures("Numbers/Test/digit_{k}", IMAGES[15:], LABELS[15:]),
}
SPLIT["idx.gz"] = {f"{name}.gz": gzip.compress(data) for name, data in SPLIT["idx"].items()}

WHOLE = {
    "Kaggle's competition": {"train.csv": csv(), "test.csv": b"pixel0,pixel1\n0,0\n"},
    "csv": {"digits.csv": csv()},
    "npz": {"digits.npz": npz(images=IMAGES, labels=LABELS.astype(np.int64))},
    "npz of rows": {"digits.npz": npz(x=IMAGES.reshape(20, 784).astype(np.float32), y=LABELS)},
    "npz with a channel": {"digits.npz": npz(x=IMAGES[..., None], y=LABELS)},
    "digit_k": pictures("digit_{k}"),
    "0k": pictures("Japanese Handwritten Digits/0{k}"),
    "k": pictures("{k}"),
    "with litter": pictures("{k}") | {"__MACOSX/0/._000.png": b"x", ".DS_Store": b"x", "readme.txt": b"x"},
}


def same_digits(images, labels, expected_images, expected_labels):
    """Readers may order digits as they like, but each keeps its label."""
    found = sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))
    wanted = sorted((int(b), a.tobytes()) for a, b in zip(expected_images, expected_labels, strict=True))
    assert images.dtype == labels.dtype == np.uint8
    assert found == wanted


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", SPLIT)
def test_a_source_with_two_splits_keeps_them(tmp_path, name, packed):
    parts = read((pack if packed else put)(tmp_path, SPLIT[name]))
    assert parts.keys() == {"train", "test"}
    same_digits(*parts["train"], IMAGES[:15], LABELS[:15])
    same_digits(*parts["test"], IMAGES[15:], LABELS[15:])


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_source_without_splits_is_read_whole(tmp_path, name, packed):
    ((images, labels),) = read((pack if packed else put)(tmp_path, WHOLE[name])).values()
    same_digits(images, labels, IMAGES, LABELS)


@pytest.mark.parametrize("name", ["digits.csv", "digits.npz"])
def test_a_single_file_is_enough(tmp_path, name):
    put(tmp_path, {"digits.csv": csv(), "digits.npz": npz(images=IMAGES, labels=LABELS)})
    same_digits(*read(tmp_path / name)["all"], IMAGES, LABELS)


def test_a_folder_of_one_class_more_or_less_is_fine_and_other_pictures_are_left_out(tmp_path):
    put(tmp_path, pictures("{k}", IMAGES[:3], LABELS[:3]) | {"sheet.png": png(IMAGES[0]), "extra/a.png": b"no picture"})
    assert read(tmp_path)["all"][1].tolist() == [0, 1, 2]


def test_pictures_of_another_size_are_resized_in_grey(tmp_path):
    big = np.asarray(Image.fromarray(IMAGES[0]).resize((32, 32), Image.Resampling.BICUBIC))
    images, _ = read(put(tmp_path, {"digit_0/a.png": png(big)}))["all"]
    assert images.shape == (1, 28, 28)
    assert len(np.unique(images)) > 10  # dithered it would be two
    assert images.mean() == pytest.approx(big.mean(), rel=0.05)


# --- what is wrong is said in one line, with the file's name and the remedy ----------------------------------------

good = SPLIT["idx"]
WRONG = {
    "no digits": ({"notes.txt": b"hello"}, "no digits here; expected idx files"),
    "corrupt image": ({"digit_3/bad.png": png(IMAGES[3])[:60]}, r"bad\.png: not a readable picture; remove or replace"),
    "not an image": ({"digit_3/bad.png": b"hello"}, r"bad\.png: not a readable picture"),
    "class above 9": ({"digit_12/a.png": png(IMAGES[3])}, r"a\.png: its folder says class 12; expected digit_0 to"),
    "labels missing": ({"train-images-idx3-ubyte": idx(IMAGES)}, "idx3-ubyte: its labels are missing; put"),
    "images missing": ({"train-labels-idx1-ubyte": idx(LABELS)}, "idx1-ubyte: its images are missing; put"),
    "counts": (
        good | {"t10k-labels-idx1-ubyte": idx(LABELS[:4])},
        "t10k-images-idx3-ubyte: 5 images but 4 labels; they must pair up",
    ),
    "idx cut short": (
        good | {"train-images-idx3-ubyte": idx(IMAGES[:15])[:-9]},
        "train-images-idx3-ubyte: 11,767 bytes where its header promises 11,776; get the file again",
    ),
    "idx of another kind": (good | {"t10k-images-idx3-ubyte": b"hello"}, "t10k-images-idx3-ubyte: not an idx file"),
    "gz cut short": (
        {"train-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES))[:200], "train-labels-idx1-ubyte": idx(LABELS)},
        r"ubyte\.gz: damaged or cut short .*; get the file again",
    ),
    "not a gz": (
        {"train-images-idx3-ubyte.gz": b"hello", "train-labels-idx1-ubyte": idx(LABELS)},
        r"ubyte\.gz: damaged or cut short",
    ),
    "no npz": ({"a.npz": b"hello"}, r"a\.npz: not a readable \.npz .*; make or get the file again"),
    "npz cut short": ({"a.npz": npz(images=IMAGES, labels=LABELS)[:300]}, r"a\.npz: not a readable"),
    "npz of objects": ({"a.npz": npz(images=np.array([{}]), labels=np.array([1]))}, r"a\.npz: not a readable"),
    "npz of other things": ({"a.npz": npz(weights=IMAGES)}, r"a\.npz: holds weights; expected `images` and `labels`"),
    "empty npz": ({"a.npz": npz(images=IMAGES[:0], labels=LABELS[:0])}, r"a\.npz: holds no images"),
    "shapes": ({"a.npz": npz(images=IMAGES.reshape(20, 4, -1, 7), labels=LABELS)}, r"images of shape \(20, 4, 28, 7\)"),
    "rows that are no square": ({"a.npz": npz(x=IMAGES.reshape(20, 784)[:, :700], y=LABELS)}, r"shape \(20, 700\)"),
    "no width": ({"a.npz": npz(x=np.zeros((20, 0)), y=LABELS)}, r"shape \(20, 0"),
    "one-hot labels": ({"a.npz": npz(x=IMAGES, y=np.eye(10)[LABELS])}, r"labels of shape \(20, 10\)"),
    "label 10": ({"a.npz": npz(x=IMAGES, y=LABELS + 1)}, r"a\.npz: a label is 10; expected whole numbers from 0 to 9"),
    "half a label": ({"a.npz": npz(x=IMAGES, y=LABELS + 0.5)}, r"a\.npz: a label is 0\.5"),
    "labels in words": ({"a.npz": npz(x=IMAGES, y=np.array(["one"] * 20))}, r"a\.npz: a label is 'one'"),
    "labels of truth": ({"a.npz": npz(x=IMAGES, y=LABELS > 4)}, r"a\.npz: a label is 'bool'"),
    "pixels 0..1": ({"a.npz": npz(x=IMAGES / 255, y=LABELS)}, r"a\.npz: pixels between 0 and 1; .* multiply by 255"),
    "binary pixels": ({"a.npz": npz(x=IMAGES // 255, y=LABELS)}, r"a\.npz: no pixel is above 1; .* multiply by 255"),
    "pixels above": ({"a.npz": npz(x=IMAGES * 257.0, y=LABELS)}, r"a\.npz: pixels from 0 to 65535; expected 0\.\.255"),
    "pixels below": ({"a.npz": npz(x=IMAGES - 1.0, y=LABELS)}, r"a\.npz: pixels from -1 to 254; expected 0\.\.255"),
    "pixels nan": ({"a.npz": npz(x=IMAGES * np.nan, y=LABELS)}, r"a\.npz: pixels from nan to nan; expected 0\.\.255"),
    "no labels in csv": ({"test.csv": b"pixel0,pixel1\n0,0\n"}, r"test\.csv: has no `label` column first; name a file"),
    "words in csv": ({"a.csv": csv() + b"\n3,zero"}, r"a\.csv: not a table of numbers"),
    "ragged csv": ({"a.csv": csv()[:-40]}, r"a\.csv: not a table of numbers .*columns"),
    "header only": ({"a.csv": b"label,pixel0,pixel1\n"}, r"a\.csv: images of shape"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_told_in_one_line(tmp_path, name, packed):
    files, message = WRONG[name]
    with pytest.raises(DataError, match=message) as caught:
        read((pack if packed else put)(tmp_path, files))
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_missing_path_and_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file or folder; name where"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="the folder is empty; name one"):
        read(tmp_path)


def test_a_file_that_is_no_data(tmp_path):
    with pytest.raises(DataError, match=r"notes\.txt: no digits here"):
        read(put(tmp_path, {"notes.txt": b"hello"}) / "notes.txt")


def test_a_zip_that_is_none_or_is_cut_short_or_damaged_inside(tmp_path):
    whole = pack(tmp_path, WHOLE["digit_k"], zipfile.ZIP_STORED)
    data = whole.read_bytes()
    for broken in (b"hello", data[:-30]):
        whole.write_bytes(broken)
        with pytest.raises(DataError, match=r"digits\.zip: not a readable zip .*; get the file again"):
            read(whole)
    start = data.index(b"IDAT")
    whole.write_bytes(data[:start] + b"XXXX" + data[start + 4 :])
    with pytest.raises(DataError, match=r"digits\.zip: digit_0/000\.png: damaged .*; get the file again"):
        read(whole)


def test_an_encrypted_zip_is_refused(tmp_path):
    whole = pack(tmp_path, WHOLE["digit_k"])
    data = bytearray(whole.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the flag that says so, in both headers
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data[start + flags] |= 1
    whole.write_bytes(data)
    with pytest.raises(DataError, match=r"cannot be unpacked .*encrypted.*; make an ordinary zip"):
        read(whole)


@pytest.mark.parametrize("name", ["../digit_0/a.png", "/digit_0/a.png", "..\\digit_0\\a.png", "C:\\digit_0\\a.png"])
def test_a_zip_that_reaches_outside_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="points outside the archive; do not trust"):
        read(pack(tmp_path, {name: png(IMAGES[0])}))


def test_what_unpacks_beyond_reason_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    zeros = bytes(100_000)
    bombs = [
        put(tmp_path / "gz", {"train-images-idx3-ubyte.gz": gzip.compress(zeros), "train-labels-idx1-ubyte": b""}),
        put(tmp_path / "npz", {"a.npz": npz(images=np.zeros((128, 28, 28), np.uint8), labels=np.zeros(128))}),
        put(tmp_path / "large", {"a.csv": zeros}),
        pack(tmp_path, {"digit_0/a.png": zeros}),
    ]
    monkeypatch.setattr(formats, "MAX_FILE", 99_999)
    for bomb in bombs:
        with pytest.raises(DataError, match=r"unpacks to|no set of digits is that large"):
            read(bomb)
    monkeypatch.setattr(formats, "MAX_FILE", 100_000)
    monkeypatch.setattr(formats, "MAX_ARCHIVE", 150_000)
    with pytest.raises(DataError, match="unpacks to"):
        read(pack(tmp_path, {"digit_0/a.png": zeros, "digit_0/b.png": zeros}))


@pytest.mark.filterwarnings("error")
def test_a_picture_of_absurd_size_is_refused_before_it_is_decoded(tmp_path):
    buffer = io.BytesIO()
    Image.new("1", (30_000, 5_000)).save(buffer, "PNG")
    with pytest.raises(DataError, match=r"a\.png: 30000x5000 pixels; no digit needs more"):
        read(put(tmp_path, {"digit_0/a.png": buffer.getvalue()}))


# --- one picture ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "I", "I;16", "F"])
def test_every_mode_of_picture_gives_the_same_grey(mode):
    digit = IMAGES[5]
    if mode == "I;16":
        image = Image.fromarray(digit.astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(digit.astype(np.int32) * 257)
    else:
        image = Image.fromarray(digit).convert(mode)
    found = standardise(image)
    assert found.shape == (28, 28) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - digit).max() <= 1


def test_arrays_are_taken_as_pictures_are():
    digit = IMAGES[5]
    for array in (digit, digit.astype(float), digit.astype(np.int64), np.stack([digit] * 3, axis=-1)):
        assert np.array_equal(standardise(array), digit)


def test_a_digit_of_28_by_28_is_left_as_it_is_and_the_result_can_be_written_to():
    for digit in IMAGES:
        found = standardise(digit)
        assert np.array_equal(found, digit)
        found[0, 0] = 1


def test_dark_ink_on_paper_becomes_white_on_black():
    assert np.array_equal(standardise(255 - IMAGES[5]), IMAGES[5])


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_on_a_transparent_ground_is_seen_whatever_its_colour(ink):
    canvas = np.dstack([np.full((28, 28, 3), ink, np.uint8), IMAGES[5]])
    assert np.abs(standardise(Image.fromarray(canvas)).astype(int) - IMAGES[5]).max() <= 1


def test_a_wide_picture_is_padded_and_not_squeezed():
    wide = np.zeros((28, 56), np.uint8)
    wide[4:24, 18:38] = 255  # a square
    lit = standardise(wide) > 127
    assert lit.any(0).sum() == lit.any(1).sum() == 10


@pytest.mark.parametrize(
    "array", [np.ones((28, 28)), np.full((28, 28), 300), np.zeros(784, np.uint8), np.zeros((0, 28)), np.array("7")]
)
def test_an_array_that_is_no_picture_is_refused(array):
    with pytest.raises(DataError, match=r"^the image: "):
        standardise(array)


def test_damaged_files_are_refused_in_one_line(tmp_path):
    """Bytes changed, lost, put in or cut off, in every format and packing: a DataError, or digits, and nothing else."""
    draw = random.Random(7)
    whole = [(name.rpartition("/")[2], data) for files in list(SPLIT.values())[:4] for name, data in files.items()]
    whole += [("train.csv.gz", gzip.compress(csv()))]
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        whole += [("digits.zip", pack(tmp_path, files, packing).read_bytes()) for files in SPLIT.values()]
    for _ in range(600):
        name, data = draw.choice(whole)
        damaged = bytearray(data)
        for _ in range(draw.choice((1, 1, 3, 20))):
            # the ends tell what a file is, and where in it what lies
            place = min(draw.choice((draw.randrange(200), len(damaged) - draw.randrange(200))), len(damaged))
            place = max(draw.choice((place, draw.randrange(len(damaged) + 1))), 1)
            new = draw.choice((bytes([draw.randrange(256)]), draw.randbytes(20), b""))
            damaged[place : place + draw.choice((0, 1, 1, 1, 20, 100_000))] = new
        (tmp_path / name).write_bytes(damaged)
        try:
            read(tmp_path / name)
        except DataError as error:
            assert str(error).startswith(str(tmp_path / name)) and "\n" not in str(error)
        (tmp_path / name).unlink()
