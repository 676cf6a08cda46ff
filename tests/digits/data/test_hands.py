"""The synthetic hands: the size and ink of the real ones, digits one can tell apart, always the same."""

import time

import numpy as np
import pytest

from digits.data.hands import HANDS, of_source, source_title, synthesise
from digits.data.sets import embedded
from digits.errors import DataError

DRAWN = ("devanagari", "japanese")
# Mean grey value of the real sets and the median height and width of their ink, measured above a grey of 50.
REAL = {"devanagari": (61, 25, 26), "japanese": (14, 19, 12)}


def extents(images):
    lit = images > 50
    return tuple(np.median([np.ptp(np.flatnonzero(a.any(axis))) + 1 for a in lit]) for axis in (1, 0))


@pytest.mark.parametrize("hand", DRAWN)
def test_images_are_white_on_black_and_every_one_has_ink(hand):
    images = synthesise(hand, np.arange(200) % 10, seed=1)
    assert images.shape == (200, 28, 28) and images.dtype == np.uint8
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert np.median(border, axis=1).max() == 0
    assert images.max(axis=(1, 2)).min() > 80


@pytest.mark.parametrize("hand", DRAWN)
def test_size_and_ink_resemble_the_real_hand(hand):
    images = embedded(hand).images
    ink, height, width = REAL[hand]
    assert images.mean() == pytest.approx(ink, rel=0.1)
    assert extents(images) == pytest.approx((height, width), abs=1.5)


@pytest.mark.parametrize("hand", DRAWN)
def test_the_same_seed_draws_the_same_digits_and_another_draws_others(hand):
    labels = np.arange(50) % 10
    first = synthesise(hand, labels, seed=1)
    assert np.array_equal(first, synthesise(hand, labels, seed=1))
    assert not np.array_equal(first, synthesise(hand, labels, seed=2))


@pytest.mark.parametrize("hand", DRAWN)
def test_no_two_digits_are_alike(hand):
    images = synthesise(hand, np.full(100, 3), seed=0).reshape(100, -1)
    assert len(np.unique(images, axis=0)) == 100


@pytest.mark.parametrize("hand", DRAWN)
def test_the_ten_glyphs_can_be_told_apart(hand):
    labels = np.arange(1000) % 10
    known, new = (synthesise(hand, labels, seed).reshape(1000, -1).astype(np.float32) for seed in (0, 1))
    known, new = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (known, new))
    assert (labels[(new @ known.T).argmax(axis=1)] == labels).mean() > 0.95


def test_the_devanagari_hand_is_foreign_to_mnist_and_the_japanese_less_so():
    mnist = embedded("mnist")

    def unit(digits):
        x = digits.images.reshape(len(digits), -1).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def recognised(name):  # by the nearest digit of MNIST; the real sets: 22 % and 59 %
        foreign = embedded(name)
        return (mnist.labels[(unit(foreign) @ unit(mnist).T).argmax(axis=1)] == foreign.labels).mean()

    assert recognised("devanagari") < 0.35
    assert 0.5 < recognised("japanese") < 0.9


def test_drawing_is_fast():
    synthesise("devanagari", np.arange(10), 0)
    start = time.process_time()
    synthesise("devanagari", np.arange(2000) % 10, 0)
    assert time.process_time() - start < 2  # 0.3 s on a slow laptop


def test_no_labels_give_no_images():
    assert synthesise("japanese", np.array([], int), seed=0).shape == (0, 28, 28)


@pytest.mark.parametrize(("hand", "labels"), [("klingon", [1]), ("mnist", [1]), ("japanese", [10]), ("japanese", [-1])])
def test_an_unknown_hand_or_label_is_refused(hand, labels):
    with pytest.raises(DataError, match=r"choose from devanagari, japanese|labels from 0 to 9"):
        synthesise(hand, np.array(labels), seed=0)


def test_the_hands_have_the_names_of_the_sets():
    assert {"mnist", *HANDS} == set(HANDS)


def test_titles() -> None:
    assert source_title("synthetic-devanagari") == "synthetic Devanagari" and source_title("mnist") == "MNIST"
    assert source_title("blurred") == "blurred" and of_source("synthetic-japanese") == "japanese"
