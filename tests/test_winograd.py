"""Winograd's convolution is the plain one: its algebra by hand, and outputs and gradients of the two layers."""

import numpy as np
import pytest
from conftest import device, host, slope
from numpy.testing import assert_allclose, assert_array_equal

from minilop import backend
from minilop.layers import Convolution, Winograd
from minilop.layers.winograd import INPUT, KERNEL, OUTPUT, join, split
from minilop.networks import Network

pytestmark = pytest.mark.usefixtures("array_module")


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_two_results_of_four_taps_by_hand():
    """The kernel 1 2 3 on 4 5 6 7 gives 4 + 10 + 18 and 5 + 12 + 21; the four products are -2, 33, 1 and 6."""
    products = (np.array(INPUT) @ [4, 5, 6, 7]) * (np.array(KERNEL) @ [1, 2, 3])
    assert products.tolist() == [(4 - 6) * 1, (5 + 6) * 3, (6 - 5) * 1, (7 - 5) * 3]
    assert (np.array(OUTPUT) @ products).tolist() == [4 + 10 + 18, 5 + 12 + 21]


@pytest.mark.parametrize("shape", [(1, 4, 4, 1), (2, 3, 5, 4, 6), (3, 1, 1, 2)])
def test_splitting_frames_the_lines_and_sorts_them_and_joining_undoes_it(shape):
    images = numbers(*shape)
    phases = host(split(device(images)))
    framed = np.pad(images, [(0, 0)] * (len(shape) - 3) + [(1, 2), (1, 2), (0, 0)])
    for p, q in np.ndindex(2, 2):
        lines = framed[..., p::2, q::2, :]
        height, width = phases.shape[-3:-1]
        assert_array_equal(phases[..., p, q, :, :, :, :], lines[..., :height, :width, :])
    assert_array_equal(host(join(device(phases), shape)), images)


def two_layers(channels, outputs, seeds, dtype="float64"):
    options = {"scheme": "kaiming_normal", "has_bias": True}
    plain, fast = Convolution(channels, outputs, 3, padding=1, **options), Winograd(channels, outputs, **options)
    for layer in (plain, fast):
        Network([layer], [], seeds, dtype)
        layer.bias[...] = device(numbers(*layer.bias.shape, seed=7), dtype)
    assert_array_equal(host(plain.weight), host(fast.weight))
    return plain, fast


@pytest.mark.parametrize("numbers_in_cache", [1, 1 << 17])  # one row of tiles at a time, or many
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 2), (4, 1)])
@pytest.mark.parametrize("seeds", [4, [4, 5]])
def test_outputs_and_gradients_are_those_of_the_plain_convolution(seeds, size, numbers_in_cache, monkeypatch):
    monkeypatch.setattr(backend, "NUMBERS_IN_CACHE", numbers_in_cache)
    leading = np.shape(seeds)
    images, weights = device(numbers(*leading, 3, *size, 5)), device(numbers(*leading, 4, *size, 5, seed=1))
    found = []
    for layer in two_layers(3, 4, seeds):
        outputs = layer.forward(images)
        gradient = layer.backward(images, outputs, weights)
        layer.fill_gradients(images, weights)
        found.append([host(array) for array in (outputs, gradient, layer.weight_gradient, layer.bias_gradient)])
    for plain, fast in zip(*found):
        assert_allclose(fast, plain, rtol=0, atol=1e-10)


def test_gradients_are_the_slopes_of_the_loss():
    _, layer = two_layers(2, 3, [4])
    images, weights, direction = numbers(1, 2, 6, 5, 4), numbers(1, 3, 6, 5, 4, seed=1), numbers(1, 2, 6, 5, 4, seed=2)
    outputs = layer.forward(device(images))
    gradient = host(layer.backward(device(images), outputs, device(weights)))
    expected = slope(lambda x: (weights * host(layer.forward(device(x)))).sum(), images, direction)
    assert (gradient * direction).sum() == pytest.approx(expected, rel=1e-7)


def test_a_run_alone_is_itself_among_others_to_the_bit():
    images, weights = numbers(3, 4, 8, 8, 6).astype("float32"), numbers(3, 4, 8, 8, 6, seed=1).astype("float32")
    found = []
    for seeds, runs in (([4, 5, 6], slice(0, 3)), ([5], slice(1, 2))):
        _, layer = two_layers(4, 4, seeds, "float32")
        layer.bias[...] = 0.5
        inputs = device(images[runs])
        outputs = layer.forward(inputs)
        gradient = layer.backward(inputs, outputs, device(weights[runs]))
        found.append([host(array) for array in (outputs, gradient, layer.weight_gradient)])
    for among, alone in zip(*found):
        assert_array_equal(among[1], alone[0])
