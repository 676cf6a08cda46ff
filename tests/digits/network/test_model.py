"""The networks as their users see them: pixels in, probabilities out, whatever else is installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from digits.network import model


@pytest.fixture(scope="module", params=list(model.NETWORKS))
def network(request):
    return model.build(request.param)


def test_sizes():
    """The baseline has the yardstick's parameters to the last one, the default less than a tenth of them."""
    assert model.build("baseline").count_params() == 601_258
    assert model.build("default", width=16).count_params() < model.build("default").count_params() < 60_000


def test_answers_probabilities_for_pixels(network):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 784)).astype(np.float32)
    probabilities = network.predict_on_batch(pixels)
    assert probabilities.shape == (5, 10)
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("name", "black", "white"), [("default", 0, 1), ("baseline", -0.424, 2.821)])
def test_scales_pixels_itself(name, black, white):
    """0..255 in: the first convolution sees 0..1, or for the baseline pixels of mean 0 and deviation 1 over MNIST."""
    import keras

    network = model.build(name)
    assert isinstance(network.layers[2], keras.layers.Rescaling)
    scaled = keras.Model(network.inputs, network.layers[2].output)
    image = scaled.predict_on_batch(np.repeat([[0.0], [255.0]], 784, axis=1).astype(np.float32))
    assert image.shape == (2, 28, 28, 1)
    np.testing.assert_allclose(image[0], black, atol=1e-3)
    np.testing.assert_allclose(image[1], white, atol=1e-3)


def test_reads_rows_first():
    """Pixel 28·row + column is the one at that row and column."""
    import keras

    network = model.build("default")
    first = keras.Model(network.inputs, network.layers[2].output)
    pixels = np.zeros((1, 784), np.float32)
    pixels[0, 28 * 3 + 20] = 255
    assert np.argwhere(first.predict_on_batch(pixels)[0, :, :, 0] > 0.5).tolist() == [[3, 20]]


def test_seed_decides_the_weights():
    one, same, other = (model.build("default", seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_unknown_network_names_the_known():
    with pytest.raises(ValueError, match="unknown network 'huge': choose one of baseline, default"):
        model.build("huge")


def test_saved_models_load_without_this_package(tmp_path: Path):
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 784)).astype(np.float32)
    expected = {}
    for name in model.NETWORKS:
        network = model.build(name)
        network.save(tmp_path / f"{name}.keras")
        expected[name] = network.predict_on_batch(pixels)
    np.savez(tmp_path / "expected.npz", pixels=pixels, **expected)
    program = """if True:
        import sys, numpy as np, keras
        sys.modules["digits"] = None  # importing it would fail
        kept = np.load("expected.npz")
        for name in set(kept) - {"pixels"}:
            answer = keras.models.load_model(name + ".keras").predict_on_batch(kept["pixels"])
            np.testing.assert_allclose(answer, kept[name], atol=1e-6)
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
