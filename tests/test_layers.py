"""Layers: small examples by hand, and derivatives against central differences."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope

from minilop.backend import Array
from minilop.layers import Activation, Dense, Dropout
from minilop.layers.activation import ActivationName
from minilop.layers.layer import Layer
from minilop.networks import Network

pytestmark = pytest.mark.quick

ACTIVATIONS: list[ActivationName] = ["relu", "leaky_relu", "tanh", "sigmoid", "elu", "swish", "identity"]
LEADING = [(), (3,)]  # without and with the runs axis


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers, none of them so near 0 that a central difference would step across the kink of a relu."""
    drawn = np.random.default_rng(seed).normal(size=shape)
    return np.where(abs(drawn) < 0.01, 0.5, drawn)


def bound(layer: Layer, leading: tuple[int, ...] = (), dtype: str = "float64") -> Network:
    """A network of this one layer, with a run for each of `leading`."""
    return Network([layer], [], np.arange(math.prod(leading)).reshape(leading), dtype)


def dense(weight: Sequence, bias: Sequence) -> Dense:
    layer = Dense(len(weight[0]), len(weight))
    bound(layer)
    layer.weight[...] = device(weight, "float64")
    layer.bias[...] = device(bias, "float64")[:, None]
    return layer


# Activations


@on_both_array_modules
@pytest.mark.parametrize(
    "name, z, h, derivative",
    [
        ("relu", [-1.0, 0.0, 2.0], [0, 0, 2], [0, 0, 1]),
        ("leaky_relu", [-1.0, 0.0, 2.0], [-0.01, 0, 2], [0.01, 0.01, 1]),
        ("tanh", [0.5], [math.tanh(0.5)], [1 - math.tanh(0.5) ** 2]),
        ("sigmoid", [0.0, math.log(3)], [1 / 2, 3 / 4], [1 / 4, 3 / 16]),
        ("elu", [-1.0, 2.0], [math.exp(-1) - 1, 2], [math.exp(-1), 1]),
        ("swish", [0.0, math.log(3)], [0, 0.75 * math.log(3)], [1 / 2, 3 / 4 + 3 / 16 * math.log(3)]),
        ("identity", [-1.0, 2.0], [-1, 2], [1, 1]),
    ],
)
def test_activation_by_hand(name: ActivationName, z: list[float], h: list[float], derivative: list[float]) -> None:
    layer, inputs = Activation(name), device(z)
    outputs = layer.forward(inputs)
    assert host(outputs) == pytest.approx(h)
    assert host(layer.backward(inputs, outputs, device(np.full(len(z), 10.0)))) == pytest.approx(
        [10 * each for each in derivative]
    )


@pytest.mark.parametrize("leading", LEADING)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_of_activation_is_the_central_difference(name: ActivationName, leading: tuple[int, ...]) -> None:
    layer, z = Activation(name), numbers(*leading, 5, 4)
    direction, weights = numbers(*leading, 5, 4, seed=1), numbers(*leading, 5, 4, seed=2)

    def total(inputs: np.ndarray) -> float:
        return (weights * host(layer.forward(device(inputs)))).sum()

    gradient = host(layer.backward(device(z), layer.forward(device(z)), device(weights)))
    # Sums of up to 60 terms near 1: rounding 60 * 1e-16 / 1e-6.
    assert (gradient * direction).sum() == pytest.approx(slope(total, z, direction), abs=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_keeps_single_precision(name: ActivationName) -> None:
    layer, inputs = Activation(name), device(numbers(3, 2), "float32")
    outputs = layer.forward(inputs)
    assert outputs.dtype == np.float32
    assert layer.backward(inputs, outputs, inputs).dtype == np.float32


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activation_does_not_overflow(name: ActivationName, dtype: str) -> None:
    layer, inputs = Activation(name), device([-1e4, 1e4], dtype)
    with np.errstate(over="raise", invalid="raise"):
        outputs = layer.forward(inputs)
        gradient = layer.backward(inputs, outputs, device([1.0, 1.0], dtype))
    assert np.isfinite(host(outputs)).all() and np.isfinite(host(gradient)).all()


# Dense


@on_both_array_modules
def test_dense_layer_by_hand() -> None:
    layer = dense([[1, 2], [3, 4], [5, 6]], [0.1, 0.2, 0.3])
    inputs = device([[1.0], [-1.0]])  # (I, B)
    outputs = layer.forward(inputs)
    assert host(outputs)[:, 0] == pytest.approx([1 - 2 + 0.1, 3 - 4 + 0.2, 5 - 6 + 0.3])
    output_gradient = device([[1.0], [0.0], [2.0]])
    assert host(layer.backward(inputs, outputs, output_gradient)).tolist() == [[1 + 2 * 5], [2 + 2 * 6]]
    layer.fill_gradients(inputs, output_gradient)
    assert host(layer.weight_gradient).tolist() == [[1, -1], [0, 0], [2, -2]]  # d x'
    assert host(layer.bias_gradient).tolist() == [[1], [0], [2]]


def test_gradients_of_a_mini_batch_are_summed() -> None:
    """The loss divides by B, the layer only sums over it."""
    layer = dense([[1, 2]], [0])
    inputs, output_gradient = device([[1.0, 3.0], [2.0, 4.0]]), device([[10.0, 100.0]])
    layer.fill_gradients(inputs, output_gradient)
    assert host(layer.weight_gradient).tolist() == [[10 * 1 + 100 * 3, 10 * 2 + 100 * 4]]
    assert host(layer.bias_gradient).tolist() == [[110]]


@on_both_array_modules
@pytest.mark.parametrize("num_outputs", [1, 3])  # behind a single output nothing is summed
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("leading", LEADING)
def test_every_gradient_of_a_dense_layer_is_the_central_difference(
    leading: tuple[int, ...], batch: int, num_outputs: int
) -> None:
    layer = Dense(4, num_outputs)
    network = bound(layer, leading)
    inputs, weights = numbers(*leading, 4, batch), numbers(*leading, num_outputs, batch, seed=1)

    def total(parameters: np.ndarray, inputs: np.ndarray) -> float:
        network.parameters[...] = device(parameters)
        return (weights * host(layer.forward(device(inputs)))).sum()

    point = host(network.parameters).copy()
    layer.fill_gradients(device(inputs), device(weights))
    gradients = host(network.gradients).copy()
    for entry in np.ndindex(gradients.shape):
        direction = np.zeros_like(point)
        direction[entry] = 1
        # The layer is linear, so rounding alone is left: 1e-16 * 50 / 1e-6.
        assert gradients[entry] == pytest.approx(slope(lambda p: total(p, inputs), point, direction), abs=1e-7)
    network.parameters[...] = device(point)
    input_gradient = host(layer.backward(device(inputs), layer.forward(device(inputs)), device(weights)))
    direction = numbers(*inputs.shape, seed=2)
    expected = slope(lambda x: total(point, x), inputs, direction)
    assert (input_gradient * direction).sum() == pytest.approx(expected, abs=1e-7)


# Dropout


def dropout(probability: float, num_units: int, seeds: Sequence[int] | int, dtype: str = "float64") -> Dropout:
    layer = Dropout(probability, num_units)
    Network([layer], [], seeds, dtype)
    return layer


@on_both_array_modules
def test_a_feature_is_dropped_or_scaled_up() -> None:
    layer = dropout(0.2, 1000, [1, 2])
    layer.begin_step(0)
    outputs = host(layer.forward(device(np.full((2, 1000, 1), 3.0))))
    assert set(np.unique(outputs)) == {0.0, 3.0 / 0.8}
    dropped = (outputs == 0).mean(axis=(-1, -2))
    assert abs(dropped - 0.2).max() < 5 * math.sqrt(0.2 * 0.8 / 1000)  # five standard deviations
    assert (outputs[0] != outputs[1]).any()


def test_every_example_of_every_step_has_a_mask_of_its_own() -> None:
    layer = dropout(0.5, 50, [1])
    ones = device(np.ones((1, 50, 3)))
    layer.begin_step(0)
    first = host(layer.forward(ones))
    assert len({tuple(example) for example in first[0].T}) == 3
    layer.begin_step(1)
    assert (host(layer.forward(ones)) != first).any()
    layer.begin_step(0)
    assert (host(layer.forward(ones)) == first).all()


def test_what_is_dropped_has_no_gradient() -> None:
    layer, inputs = dropout(0.5, 8, [1, 2]), numbers(2, 8, 1)
    weights, direction = numbers(2, 8, 1, seed=1), numbers(2, 8, 1, seed=2)
    layer.begin_step(3)
    outputs = layer.forward(device(inputs))
    gradient = host(layer.backward(device(inputs), outputs, device(weights)))
    assert (gradient[host(outputs) == 0] == 0).all() and (host(outputs) == 0).any()
    expected = slope(lambda x: (weights * host(layer.forward(device(x)))).sum(), inputs, direction)
    assert (gradient * direction).sum() == pytest.approx(expected, abs=1e-8)


def test_nothing_is_dropped_in_an_evaluation() -> None:
    layer, inputs = dropout(0.5, 20, [1, 2]), numbers(2, 20, 5)
    layer.begin_step(0)
    layer.begin_evaluation()
    assert (host(layer.forward(device(inputs))) == inputs).all()
    layer.begin_step(1)
    assert (host(layer.forward(device(inputs))) == 0).any()


def test_a_run_alone_drops_what_it_drops_among_others() -> None:
    def outputs(layer: Dropout, leading: tuple[int, ...]) -> Array:
        layer.begin_step(70)
        return host(layer.forward(device(np.ones(leading + (30, 1)))))

    among = outputs(dropout(0.3, 30, [4, 5, 6]), (3,))
    assert (outputs(dropout(0.3, 30, [5]), (1,))[0] == among[1]).all()
    assert (outputs(dropout(0.3, 30, 5), ()) == among[1]).all()


def test_single_and_double_precision_drop_the_same_features() -> None:
    kept = []
    for dtype in ("float32", "float64"):
        layer = dropout(0.1, 500, [1, 2], dtype)
        layer.begin_step(0)
        outputs = layer.forward(device(np.ones((2, 500, 1)), dtype))
        assert outputs.dtype == dtype
        kept.append(host(outputs) > 0)
    assert (kept[0] == kept[1]).all()
