"""Training as its users see it: it learns, repeats, reports, and says what is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from digits.data import sets
from digits.network import augment, fit, model

TINY = fit.Schedule(
    epochs=6, batch=64, learning_rate=0.01, optimiser="muon", warm_up=0.25, shift=2, rotation=10, scale=0.1, average=0.2
)


def some(digits: sets.Digits, count: int, start: int = 0) -> sets.Digits:
    """`count` digits of all classes, from the `start`th on in a fixed shuffled order."""
    chosen = np.random.default_rng(0).permutation(len(digits))[start : start + count]
    return sets.Digits(digits.images[chosen], digits.labels[chosen], digits.source)


@pytest.fixture(scope="module")
def train():
    return some(sets.embedded("mnist", "train"), 1500)


@pytest.fixture(scope="module")
def test():
    return some(sets.embedded("mnist", "test"), 500)


@pytest.fixture(scope="module")
def trained(train):
    return fit.fit(model.build("default"), TINY, train)


def test_learns_from_few_digits(trained, test):
    _, accuracy = fit.score(trained, test)
    assert accuracy > 0.9


def test_digit_moved_by_a_pixel_keeps_its_class(trained, test):
    answers = fit.predict(trained, test.images).argmax(axis=1)
    for axis in (1, 2):
        for distance in (-1, 1):
            moved = fit.predict(trained, np.roll(test.images, distance, axis)).argmax(axis=1)
            assert np.mean(moved == answers) > 0.93


def test_noise_costs_confidence(trained, test):
    noise = np.random.default_rng(0).normal(0, 100, test.images.shape)
    noisy = np.clip(test.images + noise, 0, 255).astype(np.uint8)
    assert fit.predict(trained, noisy).max(axis=1).mean() < fit.predict(trained, test.images).max(axis=1).mean()


def test_baseline_learns(train):
    """Two short epochs of its own schedule bring the loss down from the 2.3 of guessing."""
    losses = []
    schedule = replace(fit.SCHEDULES["baseline"], epochs=2)
    network = model.build("baseline")
    fit.fit(network, schedule, some(train, 512), on_epoch=lambda epoch, metrics: losses.append(metrics["loss"]))
    assert losses[1] < losses[0] < 2.3


def test_same_seed_same_weights(train):
    schedule, few = replace(TINY, epochs=1), some(train, 256)
    first, again, other = (
        fit.fit(model.build("default"), schedule, few, seed=seed).get_weights() for seed in (1, 1, 2)
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_reports_every_epoch(train, test, capsys):
    seen = []
    network = model.build("default")
    schedule = replace(TINY, epochs=3)
    fit.fit(network, schedule, some(train, 200), test, on_epoch=lambda *report: seen.append(report), progress=True)
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    for _, metrics in seen:
        assert set(metrics) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
        assert all(isinstance(value, float) for value in metrics.values())
    # The last report is of the network that is returned, weights averaged and all.
    assert (seen[-1][1]["val_loss"], seen[-1][1]["val_accuracy"]) == fit.score(network, test)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 3/3" in err and "12/12" in err


def test_interrupting_after_an_epoch_without_validation(train):
    seen = []

    def interrupt(epoch, metrics):
        seen.append(metrics)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit.fit(model.build("default"), TINY, some(train, 64), on_epoch=interrupt)
    assert len(seen) == 1
    assert set(seen[0]) == {"loss", "accuracy", "learning_rate"}


def test_weights_are_averaged(train, monkeypatch):
    """With every step taking part, the kernels returned are the mean of those after each step."""
    monkeypatch.setattr(fit, "AVERAGE_EVERY", 1)
    few = some(train, 256)
    network, kernels = model.build("default"), []
    add = fit._Average.add

    def spy(average):
        kernels.append(network.layers[-1].get_weights()[0])
        add(average)

    monkeypatch.setattr(fit._Average, "add", spy)
    fit.fit(network, replace(TINY, epochs=1, average=1), few)
    assert len(kernels) == 4
    assert np.ptp(kernels, axis=0).max() > 1e-4  # they did differ
    np.testing.assert_allclose(network.layers[-1].get_weights()[0], np.mean(kernels, axis=0), atol=1e-6)


def test_statistics_are_those_of_the_averaged_network(trained, train):
    """What the first normalisation keeps is the mean of what the averaged first convolution gives it."""
    import keras

    convolution = keras.Model(trained.inputs, trained.layers[3].output)
    pixels = train.images.reshape(-1, 784).astype(np.float32)
    given = convolution.predict(pixels, verbose=0)
    kept = np.asarray(trained.layers[4].moving_mean)
    np.testing.assert_allclose(kept, given.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_no_number_stops_training(train):
    with pytest.raises(fit.TrainingError, match=r"the loss became (nan|inf) at step \d+ of 60 .* below 1e\+20"):
        fit.fit(model.build("default"), fit.Schedule(epochs=60, batch=64, learning_rate=1e20), some(train, 64))


def test_nothing_to_train_on(train):
    with pytest.raises(fit.TrainingError, match="no images"):
        fit.fit(model.build("default"), TINY, some(train, 0))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("optimiser", "sgd"),
        ("warm_up", 2.0),
        ("shift", 28),
        ("rotation", -1.0),
        ("scale", 1.0),
        ("average", 1.5),
        ("width", 0),
    ],
)
def test_schedules_say_which_field_is_wrong(field, value):
    with pytest.raises(ValueError, match=rf"schedule: {field} is {value!r}"):
        replace(TINY, **{field: value})


def test_rate_climbs_then_falls():
    rates = [TINY.rate(step, 100) for step in range(100)]
    assert np.argmax(rates) in (24, 25)
    assert 0 < rates[0] < 0.001
    assert 0 < rates[-1] < 0.001
    assert max(rates) <= TINY.learning_rate
    assert fit.SCHEDULES["baseline"].rate(3, 100) == 0.001


def test_shift_moves_whole_pixels_either_way():
    image = np.zeros((28, 28), np.float32)
    image[14, 14] = 255
    maps = augment.transforms(np.random.default_rng(0), 500, shift=2)
    moved = augment.apply(np.tile(image.reshape(1, 784), (500, 1)), maps).numpy().reshape(500, 28, 28)
    assert set(np.unique(moved)) == {0, 255}
    places = {tuple(place) for place in np.argwhere(moved)[:, 1:]}
    assert places == {(row, column) for row in range(12, 17) for column in range(12, 17)}


def test_rotation_and_scale_keep_the_centre_and_the_digit():
    image = np.zeros((28, 28), np.float32)
    image[10:18, 10:18] = 255
    maps = augment.transforms(np.random.default_rng(0), 200, rotation=10, scale=0.1)
    moved = augment.apply(np.tile(image.reshape(1, 784), (200, 1)), maps).numpy().reshape(200, 28, 28)
    ink = moved.sum(axis=(1, 2))
    rows = (moved.sum(axis=2) * np.arange(28)).sum(axis=1) / ink
    np.testing.assert_allclose(rows, 13.5, atol=0.05)
    assert 0.75 < (ink / image.sum()).min() < 0.9 and 1.1 < (ink / image.sum()).max() < 1.25


def test_muon_steps_are_orthogonal():
    """Singular values that differ a thousandfold come out within a factor of a few, in the same directions."""
    from digits.network.muon import orthogonal

    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.normal(size=(60, 8)))
    right, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    matrix = (left * np.geomspace(1, 0.02, 8)) @ right.T
    values = np.linalg.svd(orthogonal(matrix.astype(np.float32)).numpy(), compute_uv=False)
    assert 0.4 < values.min() <= values.max() < 1.6
