"""Effects: each does what its name says, as much as its number says, and to every image by itself."""

import numpy as np
import pytest

from drift.traffic import effects
from drift.traffic.effects import EFFECTS

N = 5


def bar() -> np.ndarray:
    """Upright bars, four pixels wide and sixteen tall: uint8 (N, 28, 28)."""
    images = np.zeros((N, 28, 28), np.uint8)
    images[:, 6:22, 12:16] = 200
    return images


def applied(name: str, number: float | np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
    images = bar() if images is None else images
    return effects.apply(images, {name: np.broadcast_to(number, len(images))}, {name: np.random.default_rng(5)})


def centre(image: np.ndarray) -> tuple[float, float]:
    """Of the ink, from the left and from the top."""
    columns, rows = image.sum(axis=0), image.sum(axis=1)
    return float(np.average(np.arange(len(columns)), weights=columns)), float(
        np.average(np.arange(len(rows)), weights=rows)
    )


@pytest.mark.parametrize("name", EFFECTS)
def test_a_number_that_says_nothing_changes_nothing(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (N, 28, 28), np.uint8)
    assert (applied(name, 1 if name == "size" else 0, images) == images).all()


@pytest.mark.parametrize("name", EFFECTS)
def test_at_both_ends_of_its_range_there_are_pixels_still(name: str) -> None:
    for number in (EFFECTS[name].low, EFFECTS[name].high):
        images = applied(name, number)
        assert images.shape == (N, 28, 28) and images.min() >= 0 and images.max() <= 255
        assert images.dtype == (np.float32 if name == "unit" else np.uint8)


@pytest.mark.parametrize("name", EFFECTS)
def test_every_image_has_its_own_number(name: str) -> None:
    """And one that comes alone fares as it does among others."""
    effect = EFFECTS[name]
    numbers = np.linspace(max(effect.low, 0.5 if name == "size" else 0), min(effect.high, 3), N)
    numbers = np.rint(numbers) if effect.switch else numbers
    together = applied(name, numbers)
    random = {name: np.random.default_rng(5)}
    for k in range(N):
        assert (effects.apply(bar()[k : k + 1], {name: numbers[k : k + 1]}, random)[0] == together[k]).all()


def test_invert() -> None:
    assert (applied("invert", 1) == 255 - bar()).all()


def test_unit() -> None:
    assert applied("unit", 1) == pytest.approx(bar() / 255)


def test_fade() -> None:
    assert applied("fade", 0.25).max() == 150


def test_blur_spreads_the_ink_and_keeps_it() -> None:
    sharp, blurred = bar(), applied("blur", 2)
    assert blurred.max() < 150 and blurred.sum() == pytest.approx(sharp.sum(), rel=0.02)
    from scipy.ndimage import gaussian_filter

    expected = gaussian_filter(sharp[0].astype(float), 2, mode="constant", truncate=8)
    assert blurred[0].astype(float) == pytest.approx(expected, abs=1)


def test_noise_is_as_strong_as_it_says() -> None:
    grey = np.full((N, 28, 28), 128, np.uint8)
    noisy = applied("noise", 20, grey)
    assert noisy.std() == pytest.approx(20, rel=0.05) and (noisy[0] != noisy[1]).any()


def test_salt_hits_the_share_that_it_says() -> None:
    salted = applied("salt", 0.1)
    assert ((salted == 255) & (bar() != 255)).mean() == pytest.approx(0.1, abs=0.02)


def test_slant_leans_to_the_right() -> None:
    leaning = applied("slant", 0.5)[0]
    top, bottom = centre(leaning[6:8])[0], centre(leaning[20:22])[0]
    assert top - bottom == pytest.approx(0.5 * 14, abs=0.1)
    assert centre(leaning) == pytest.approx(centre(bar()[0]), abs=0.05)


def test_rotate_is_counter_clockwise() -> None:
    corner = np.zeros((1, 28, 28), np.uint8)
    corner[0, 3:5, 22:24] = 200  # at the upper right
    assert (applied("rotate", 90, corner) == np.rot90(corner, axes=(1, 2))).all()


def test_size() -> None:
    small = applied("size", 0.5)[0]
    assert (small > 100).any(axis=1).sum() == 8 and (small > 100).any(axis=0).sum() == 2


def test_right_and_down() -> None:
    x, y = centre(bar()[0])
    assert centre(applied("right", 3)[0]) == pytest.approx((x + 3, y))
    assert centre(applied("down", -2.5)[0]) == pytest.approx((x, y - 2.5))


@pytest.mark.parametrize(("name", "wide", "tall"), [("thicken", 6, 18), ("thin", 2, 14)])
def test_a_pen_one_pixel_wider_or_narrower_on_either_side(name: str, wide: int, tall: int) -> None:
    drawn = applied(name, 1)[0] == 200
    assert drawn.any(axis=0).sum() == wide and drawn.any(axis=1).sum() == tall
    half = applied(name, 0.5)[0]
    assert half[14, 12 - (name == "thicken")] == 100, "a fraction is part of the way"


def test_effects_come_in_the_order_they_are_given() -> None:
    def both(*names: str) -> np.ndarray:
        return effects.apply(bar(), {name: np.full(N, 1.0) for name in names}, dict.fromkeys(names))

    assert (both("invert", "thicken") == 255 - both("thin")).all()
    assert (both("thicken", "invert") == 255 - both("thicken")).all()


def test_no_effects_no_copy() -> None:
    images = bar()
    assert effects.apply(images, {}, {}) is images
