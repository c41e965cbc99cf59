"""Initial weights: the table of bounds, and what is drawn with them."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from conftest import host

from minilop.initialization import GAINS, Scheme, bias_bound, weight_bound
from minilop.layers import Dense
from minilop.networks import Network

pytestmark = pytest.mark.quick


def made(num_inputs: int, num_outputs: int, *args: str, seeds: Sequence[int] | int = (1, 2)) -> Dense:
    layer = Dense(num_inputs, num_outputs, *args)
    Network([layer], [], seeds, "float64")
    return layer


@pytest.mark.parametrize(
    "scheme, activation, bound",
    [
        ("kaiming", "relu", math.sqrt(2) * math.sqrt(3 / 12)),
        ("kaiming", "identity", math.sqrt(3 / 12)),
        ("kaiming", "tanh", 5 / 3 * math.sqrt(3 / 12)),
        ("kaiming", "leaky_relu", math.sqrt(2 / 1.0001) * math.sqrt(3 / 12)),
        ("lecun", "relu", math.sqrt(3 / 12)),
        ("xavier", "tanh", 5 / 3 * math.sqrt(6 / (12 + 4))),
        ("default", "relu", math.sqrt(1 / 12)),
        ("kaiming_normal", "relu", math.sqrt(2 / 12)),
        ("kaiming_normal", "identity", math.sqrt(1 / 12)),
    ],
)
def test_bounds_are_those_of_the_table(scheme: Scheme, activation: str, bound: float) -> None:
    assert weight_bound(scheme, activation, fan_in=12, fan_out=4) == pytest.approx(bound)


@pytest.mark.parametrize("activation", ["elu", "swish"])
def test_elu_and_swish_borrow_the_gain_of_relu(activation: str) -> None:
    assert GAINS[activation] == GAINS["relu"]


@pytest.mark.parametrize("scheme", ["kaiming", "lecun", "xavier", "kaiming_normal"])
def test_biases_start_at_zero(scheme: Scheme, array_module: str) -> None:
    assert bias_bound(scheme, 16) == 0
    assert (host(made(16, 5, "relu", scheme).bias) == 0).all()


def test_biases_of_the_default_scheme_are_drawn_like_its_weights(array_module: str) -> None:
    biases = host(made(16, 500, "relu", "default").bias)
    assert bias_bound("default", 16) == 1 / 4
    assert 0.24 < abs(biases).max() <= 0.25  # of 1,000 uniform numbers the largest is within 4 % of the bound


def test_weights_are_uniform_within_their_bound(array_module: str) -> None:
    """The variance of a uniform number in (-b, b) is b^2 / 3, so that of kaiming's is gain^2 / fan_in."""
    layer = made(50, 400, "relu")
    weight = host(layer.weight)  # (2, 400, 50)
    assert abs(weight).max() <= layer.weight_bound
    assert abs(weight).max() > 0.999 * layer.weight_bound
    assert abs(weight.mean()) < 5 * math.sqrt(2 / 50 / weight.size)  # five standard deviations of the mean
    assert weight.var() == pytest.approx(2 / 50, rel=0.03)  # its own standard deviation is 0.4 %


def test_normal_weights_have_variance_two_over_fan_in(array_module: str) -> None:
    weight = host(made(50, 400, "relu").normal_rows(np.array([[1], [2]]), np.arange(400), "fresh weight"))
    assert weight.shape == (2, 400, 50)
    assert weight.var() == pytest.approx(2 / 50, rel=0.05)  # five standard deviations are 3.5 %
    assert abs(weight).max() > math.sqrt(2) * math.sqrt(3 / 50)  # beyond the uniform distribution's bound


def test_the_normal_scheme_has_its_deviation_and_no_bound(array_module: str) -> None:
    """So has the distribution of the weights of a replaced unit, which is the initial one."""
    layer = made(50, 400, "relu", "kaiming_normal")
    fresh = layer.initial_rows(np.array([[1], [2]]), np.arange(400), "fresh weight", 5)
    for weight in (host(layer.weight), host(fresh)):
        assert weight.shape == (2, 400, 50)
        assert weight.var() == pytest.approx(2 / 50, rel=0.035)  # five standard deviations
        assert 3.5 * math.sqrt(2 / 50) < abs(weight).max() < 6 * math.sqrt(2 / 50)
    assert (host(layer.weight) != host(fresh)).all()


def test_a_unit_starts_the_same_whatever_the_width_of_its_layer(array_module: str) -> None:
    """A unit is the slot that takes its row, so narrower and wider networks share their first units."""
    narrow, wide = host(made(7, 3).weight), host(made(7, 9).weight)
    assert (narrow == wide[:, :3]).all()


def test_a_run_alone_starts_as_it_does_among_others(array_module: str) -> None:
    together = host(made(7, 3, seeds=[4, 5, 6]).weight)
    assert (host(made(7, 3, seeds=[5]).weight)[0] == together[1]).all()
    assert (host(made(7, 3, seeds=5).weight) == together[1]).all()


def test_a_fresh_unit_is_drawn_the_same_whichever_others_are(array_module: str) -> None:
    layer = made(7, 9)
    runs, units = np.array([2, 1, 2]), np.array([8, 0, 3])  # (K,) seeds and units
    for draw in (layer.initial_rows, layer.normal_rows):
        some = host(draw(runs, units, "fresh weight", 5))  # (3, 7)
        everything = host(draw(np.array([[1], [2]]), np.arange(9), "fresh weight", 5))  # (2, 9, 7)
        np.testing.assert_allclose(some, everything[runs - 1, units], rtol=1e-13)  # logarithms round differently


def test_runs_layers_and_purposes_start_differently(array_module: str) -> None:
    layers = [Dense(6, 6), Dense(6, 6)]
    Network(layers, [], [1, 2], "float64")
    weights = [*host(layers[0].weight), *host(layers[1].weight)]
    weights.append(host(layers[0].initial_rows(1, np.arange(6), "fresh weight")))
    weights.append(host(layers[0].initial_rows(1, np.arange(6), "fresh weight", step=1)))
    assert len({weight.tobytes() for weight in weights}) == 6
