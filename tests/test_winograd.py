"""Winograd's convolution is the plain one: its algebra by hand, and outputs and gradients of the two layers."""

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope
from numpy.testing import assert_allclose, assert_array_equal

from minilop import backend
from minilop.layers import Convolution, Winograd
from minilop.layers.winograd import INPUT, KERNEL, OUTPUT, framed, tiled
from minilop.networks import Network

pytestmark = pytest.mark.quick


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@on_both_array_modules
def test_four_results_of_six_taps_by_hand():
    """The kernel 1 2 3 on 4 5 6 7 8 9 gives 4 + 10 + 18, 5 + 12 + 21 and so on; 1 + 2 x + 3 x^2 has the values below."""
    values = KERNEL @ [1, 2, 3]
    assert values.tolist() == [1, 1 + 1.5 + 3 * 0.5625, 1 - 1.5 + 3 * 0.5625, 1 + 3 + 6.75, 1 - 3 + 6.75, 3]
    assert_allclose(OUTPUT @ (values * (INPUT @ [4, 5, 6, 7, 8, 9])), [4 + 10 + 18, 38, 44, 7 + 16 + 27], rtol=1e-14)


@pytest.mark.parametrize("shape", [(1, 4, 4, 1), (2, 3, 5, 8, 6), (3, 1, 1, 2)])
def test_tiles_of_six_lines_begin_four_lines_apart_in_a_frame_of_zeros(shape):
    images = numbers(*shape)
    tiles = host(tiled(framed(device(images), 1), 6))
    whole = np.pad(images, [(0, 0)] * (len(shape) - 3) + [(1, 9), (1, 9), (0, 0)])
    assert tiles.shape[-3:-1] == (-(-shape[-3] // 4), -(-shape[-2] // 4))
    for t, u in np.ndindex(tiles.shape[-3:-1]):
        tile = whole[..., 4 * t : 4 * t + 6, 4 * u : 4 * u + 6, :]  # (..., C, 6, 6, B)
        assert_array_equal(np.moveaxis(tiles[..., t, u, :], -2, -4), tile)


def two_layers(channels, outputs, seeds, dtype="float64"):
    options = {"scheme": "kaiming_normal", "has_bias": True}
    plain, fast = Convolution(channels, outputs, 3, padding=1, **options), Winograd(channels, outputs, **options)
    for layer in (plain, fast):
        Network([layer], [], seeds, dtype)
        layer.bias[...] = device(numbers(*layer.bias.shape, seed=7), dtype)
    assert_array_equal(host(plain.weight), host(fast.weight))
    return plain, fast


@on_both_array_modules
@pytest.mark.parametrize("numbers_in_cache", [1, 1 << 17])  # one row of tiles at a time, or many
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 2), (4, 13)])
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


def test_in_single_precision_outputs_and_gradients_are_within_a_hundred_thousandth():
    """Of their largest: the sums of 64 channels and 9 places, after the transforms."""
    images = np.maximum(numbers(1, 64, 8, 8, 6), 0)
    weights = numbers(1, 64, 8, 8, 6, seed=1)
    found = []
    for dtype, which in (("float64", 0), ("float32", 1)):
        layer = two_layers(64, 64, [4], dtype)[which]
        outputs = layer.forward(device(images, dtype))
        gradient = layer.backward(device(images, dtype), outputs, device(weights, dtype))
        layer.fill_gradients(device(images, dtype), device(weights, dtype))
        found.append([host(array) for array in (outputs, gradient, layer.weight_gradient)])
    for plain, fast in zip(*found):
        assert_allclose(fast, plain, rtol=0, atol=1e-5 * abs(plain).max())
