"""Layers: small examples by hand, derivatives against central differences, and the fast forms against the plain ones."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope

from minilop.backend import Array
from minilop.layers import Activation, Dense, Dropout, PendingDense
from minilop.layers.activation import ActivationName
from minilop.layers.dense import product
from minilop.layers.layer import Layer
from minilop.networks import Network, mlp
from minilop.optimizers import SGD

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


def dense(weight: Sequence, bias: Sequence, kind: type[Dense] = Dense) -> Dense:
    layer = kind(len(weight[0]), len(weight))
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
@pytest.mark.parametrize("runs_last_below", [0, 500])
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("leading", LEADING)
def test_every_gradient_of_a_dense_layer_is_the_central_difference(
    leading: tuple[int, ...], batch: int, runs_last_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minilop.networks.RUNS_LAST_BELOW", runs_last_below)
    layer = Dense(4, 3)
    network = bound(layer, leading)
    inputs, weights = numbers(*leading, 4, batch), numbers(*leading, 3, batch, seed=1)

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


def test_a_product_does_not_depend_on_where_the_runs_are_in_memory() -> None:
    matrices, columns = numbers(5, 3, 4), device(numbers(5, 4, 2, seed=1))
    runs_last = device(np.ascontiguousarray(matrices.transpose(1, 2, 0))).transpose(2, 0, 1)
    assert runs_last.strides[0] == runs_last.itemsize
    expected = host(product(device(matrices), columns))
    np.testing.assert_allclose(expected, matrices @ host(columns), rtol=1e-14)
    np.testing.assert_allclose(host(product(runs_last, columns)), expected, rtol=1e-13)  # sums of 4 in another order


# In place, and saved up


@pytest.mark.parametrize("numbers_in_cache", [5, 1 << 17])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("leading", LEADING)
def test_descending_in_place_is_sgd(
    leading: tuple[int, ...], weight_decay: float, numbers_in_cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W <- W - alpha (d x' + lambda W), and the same for b."""
    monkeypatch.setattr("minilop.backend.NUMBERS_IN_CACHE", numbers_in_cache)
    plain, in_place = Dense(4, 6, scheme="default"), Dense(4, 6, scheme="default")
    plain_network, network = bound(plain, leading), bound(in_place, leading)
    optimizer = SGD(plain_network.parameters, 0.05, weight_decay=weight_decay)
    for step in range(10):
        inputs, gradient = (device(numbers(*leading, n, 1, seed=2 * step + n)) for n in (4, 6))
        plain.fill_gradients(inputs, gradient)
        optimizer.step(plain_network.parameters, plain_network.gradients)
        in_place.descend(inputs, gradient, 0.05, weight_decay)
        # Ten updates of numbers near 1, each rounded in another place.
        np.testing.assert_allclose(host(network.parameters), host(plain_network.parameters), rtol=0, atol=1e-14)


@on_both_array_modules
def test_one_descent_by_hand() -> None:
    layer = dense([[1, 2]], [3])
    layer.descend(device([[10.0], [20.0]]), device([[0.5]]), step_size=0.1, weight_decay=0.2)
    shrunk = 1 - 0.1 * 0.2
    assert host(layer.weight)[0] == pytest.approx([shrunk * 1 - 0.1 * 0.5 * 10, shrunk * 2 - 0.1 * 0.5 * 20])
    assert host(layer.bias)[0] == pytest.approx([shrunk * 3 - 0.1 * 0.5])


def learn(network: Network, steps: int, flush_after: Sequence[int] = ()) -> list[np.ndarray]:
    """The outputs of `steps` steps of SGD on one example each, with a target that depends on the step."""
    outputs = []
    leading = network.seeds.shape
    for step in range(steps):
        values = network.forward(device(numbers(*leading, 4, 1, seed=step)))
        outputs.append(host(values[-1]).copy())
        output_gradient = 0.2 * (values[-1] - math.sin(step))
        network.descend(values, network.backward(values, output_gradient), step_size=0.1)
        if step in flush_after:
            network.flush()
    return outputs


def pair(leading: tuple[int, ...]) -> tuple[Network, Network]:
    seeds = np.arange(math.prod(leading)).reshape(leading)
    plain, pending = (
        mlp((4, 7, 5, 2), "tanh", seeds, "float64", dense_layer=kind, scheme="default")
        for kind in (Dense, PendingDense)
    )
    return plain, pending


@on_both_array_modules
@pytest.mark.parametrize("numbers_in_cache", [5, 1 << 17])
@pytest.mark.parametrize("leading", LEADING)
def test_updates_that_are_saved_up_act_as_if_they_were_made(
    leading: tuple[int, ...], numbers_in_cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W - U' V in every product; 50 steps flush three times and leave two updates pending."""
    monkeypatch.setattr("minilop.backend.NUMBERS_IN_CACHE", numbers_in_cache)
    plain, pending = pair(leading)
    for expected, found in zip(learn(plain, 50), learn(pending, 50)):
        # Float64 rounds numbers near 1 by 1e-16; 50 steps of a smooth network carry that on without amplifying it.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert [layer.num_pending for layer in pending.dense_layers] == [50 % 16] * 3
    difference = abs(host(pending.parameters) - host(plain.parameters)).max()
    assert difference > 1e-6  # the weights do lack the pending updates
    pending.flush()
    np.testing.assert_allclose(host(pending.parameters), host(plain.parameters), rtol=0, atol=1e-12)


@pytest.mark.parametrize("flush_after", [[0], [15], [16], [3, 4, 30], range(40)])
def test_a_flush_at_any_moment_changes_nothing_but_rounding(flush_after: Sequence[int]) -> None:
    (_, undisturbed), (_, flushed) = pair((3,)), pair((3,))
    for expected, found in zip(learn(undisturbed, 40), learn(flushed, 40, flush_after)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_second_flush_does_nothing() -> None:
    _, pending = pair((3,))
    learn(pending, 5)
    pending.flush()
    before = host(pending.parameters).copy()
    pending.flush()
    assert (host(pending.parameters) == before).all()


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
