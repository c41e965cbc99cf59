"""The fast twins of minilop/fast equal the plain text that they name: SGD on one example, written out here."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules

from minilop.backend import Array
from minilop.fast import BufferedDense, BufferedSGD, InPlaceSGD, sgd_step_in_place
from minilop.layers import Dense
from minilop.learner import Learner
from minilop.losses import squared_error
from minilop.networks import Network
from minilop.recipes import convnet, mlp

pytestmark = pytest.mark.quick

LEADING = [(), (3,)]  # without and with the runs axis
STEP_SIZE = 0.1

Update = Callable[[Network, list[Array], list[Array]], None]  # of a network, from values and output gradients


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def make_network(leading: tuple[int, ...], dense_layer: type[Dense] = Dense, dtype: str = "float64") -> Network:
    seeds = np.arange(math.prod(leading)).reshape(leading)
    return mlp((4, 7, 5, 2), "tanh", seeds, dtype, dense_layer=dense_layer, scheme="default")


def plain_sgd(weight_decay: float = 0.0) -> Update:
    """w <- w - alpha (gradient + lambda w), from the stored gradient of all parameters."""

    def update(network: Network, values: list[Array], output_gradients: list[Array]) -> None:
        gradients = network.fill_gradients(values, output_gradients)
        network.parameters -= STEP_SIZE * (gradients + weight_decay * network.parameters)

    return update


def in_place(weight_decay: float = 0.0) -> Update:
    def update(network: Network, values: list[Array], output_gradients: list[Array]) -> None:
        for layer in network.dense_layers:
            sgd_step_in_place(layer, values[layer.index], output_gradients[layer.index], STEP_SIZE, weight_decay)

    return update


def buffered(network: Network, values: list[Array], output_gradients: list[Array]) -> None:
    for layer in network.dense_layers:
        layer.sgd_step(values[layer.index], output_gradients[layer.index], STEP_SIZE)


def learn(network: Network, update: Update, steps: int, flush_after: Iterable[int] = ()) -> list[np.ndarray]:
    """The outputs of `steps` steps on one example each, whose targets depend on the step."""
    outputs = []
    for step in range(steps):
        values = network.forward(device(numbers(*network.seeds.shape, 4, 1, seed=step)))
        outputs.append(host(values[-1]).copy())
        output_gradient = 0.2 * (values[-1] - math.sin(step))
        update(network, values, network.backward(values, output_gradient))
        if step in flush_after:
            flush(network)
    return outputs


def flush(network: Network) -> None:
    for layer in network.dense_layers:
        layer.flush()


# In place


@on_both_array_modules
def test_one_step_in_place_by_hand() -> None:
    layer = Dense(2, 1)
    Network([layer], [], 0, "float64")
    layer.weight[...], layer.bias[...] = device([[1.0, 2.0]]), 3.0
    sgd_step_in_place(layer, device([[10.0], [20.0]]), device([[0.5]]), step_size=0.1, weight_decay=0.2)
    shrunk = 1 - 0.1 * 0.2
    assert host(layer.weight)[0] == pytest.approx([shrunk * 1 - 0.1 * 0.5 * 10, shrunk * 2 - 0.1 * 0.5 * 20])
    assert host(layer.bias)[0] == pytest.approx([shrunk * 3 - 0.1 * 0.5])


@on_both_array_modules
@pytest.mark.parametrize("numbers_in_cache", [5, 1 << 17])  # a row at a time, or all rows at once
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("leading", LEADING)
def test_steps_in_place_are_steps_of_sgd(
    leading: tuple[int, ...], weight_decay: float, numbers_in_cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W <- W - alpha (d x' + lambda W), and the same for b."""
    monkeypatch.setattr("minilop.backend.NUMBERS_IN_CACHE", numbers_in_cache)
    plain, fast = make_network(leading), make_network(leading)
    expected, found = learn(plain, plain_sgd(weight_decay), 20), learn(fast, in_place(weight_decay), 20)
    # Twenty updates of numbers near 1, which the two forms round by 1e-16 each in different places.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(host(fast.parameters), host(plain.parameters), rtol=0, atol=1e-13)


# Buffered


@on_both_array_modules
@pytest.mark.parametrize("numbers_in_cache", [5, 1 << 17])
@pytest.mark.parametrize("leading", LEADING)
def test_buffered_updates_act_as_if_they_had_been_applied(
    leading: tuple[int, ...], numbers_in_cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W - U' V in every product; 50 steps flush three times and leave two updates in the buffer."""
    monkeypatch.setattr("minilop.backend.NUMBERS_IN_CACHE", numbers_in_cache)
    plain, fast = make_network(leading), make_network(leading, BufferedDense)
    # Float64 rounds numbers near 1 by 1e-16; 50 steps of a smooth network do not amplify that.
    np.testing.assert_allclose(learn(fast, buffered, 50), learn(plain, plain_sgd(), 50), rtol=0, atol=1e-12)
    assert [layer.num_buffered for layer in fast.dense_layers] == [50 % 16] * 3
    assert abs(host(fast.parameters) - host(plain.parameters)).max() > 1e-6  # the weights lack the buffered updates
    flush(fast)
    np.testing.assert_allclose(host(fast.parameters), host(plain.parameters), rtol=0, atol=1e-12)


@pytest.mark.parametrize("flush_after", [[0], [15], [16], [3, 4, 30], range(40)])
def test_a_flush_at_any_step_changes_only_rounding(flush_after: Iterable[int]) -> None:
    undisturbed, flushed = make_network((3,), BufferedDense), make_network((3,), BufferedDense)
    expected, found = learn(undisturbed, buffered, 40), learn(flushed, buffered, 40, flush_after)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_second_flush_does_nothing() -> None:
    network = make_network((3,), BufferedDense)
    learn(network, buffered, 5)
    flush(network)
    before = host(network.parameters).copy()
    flush(network)
    assert (host(network.parameters) == before).all()


def test_new_initial_values_empty_the_buffer() -> None:
    network, fresh = (make_network((3,), BufferedDense) for _ in range(2))
    learn(network, buffered, 5)
    network.initialize(draw=1)
    fresh.initialize(draw=1)
    inputs = device(numbers(3, 4, 1))
    assert (host(network.forward(inputs)[-1]) == host(fresh.forward(inputs)[-1])).all()


# Both


@on_both_array_modules
@pytest.mark.parametrize(("dense_layer", "update"), [(Dense, in_place()), (BufferedDense, buffered)])
def test_the_backward_pass_is_complete_before_the_first_layer_changes(dense_layer: type[Dense], update: Update) -> None:
    """One step equals SGD with the whole gradient at the old parameters."""
    network = make_network((3,), dense_layer)
    before, targets = host(network.parameters).copy(), device(numbers(3, 2, 1, seed=1))
    values = network.forward(device(numbers(3, 4, 1)))
    output_gradients = network.backward(values, squared_error(values[-1], targets)[1])
    gradient = host(network.fill_gradients(values, output_gradients)).copy()
    update(network, values, output_gradients)
    flush(network)
    np.testing.assert_allclose(host(network.parameters), before - STEP_SIZE * gradient, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("dense_layer", "update"), [(Dense, in_place()), (BufferedDense, buffered)])
def test_a_run_alone_learns_what_it_learns_among_others(dense_layer: type[Dense], update: Update) -> None:
    among, alone = (mlp((4, 7, 2), "tanh", seeds, "float32", dense_layer=dense_layer) for seeds in ([4, 5, 6], [5]))
    for step in range(20):
        inputs = numbers(3, 4, 1, seed=step).astype("float32")
        for network, runs in ((among, slice(0, 3)), (alone, slice(1, 2))):
            values = network.forward(device(inputs[runs]))
            update(network, values, network.backward(values, 0.2 * (values[-1] - 1)))
    flush(among)
    flush(alone)
    np.testing.assert_array_equal(host(among.parameters)[1], host(alone.parameters)[0])


def test_what_is_buffered_does_not_survive_a_restore() -> None:
    """It belongs to the weights from before: a learner that is restored in the middle of a buffer equals a new one."""
    x, y = device(numbers(3, 4, 1)), device(numbers(3, 2, 1, seed=1))
    first, second = (
        Learner(make_network((3,), BufferedDense), squared_error, BufferedSGD(STEP_SIZE)) for _ in range(2)
    )
    state = first.state()
    for _ in range(5):
        first.step(x, y)
    first.restore(state)
    for learner in (first, second):
        learner.step(x, y)
        learner.network.flush()
    assert (host(first.network.parameters) == host(second.network.parameters)).all()


def test_layers_that_are_not_dense_are_refused() -> None:
    network = convnet([0], "float64", image_size=8, num_channels=2, kernels=[(3, 3)], dense_units=(4,))
    learner = Learner(network, squared_error, InPlaceSGD(STEP_SIZE))
    with pytest.raises(ValueError, match="sgd_in_place is for networks of dense layers and one example per step"):
        learner.step(device(numbers(1, 2, 8, 8, 1)), device(numbers(1, 2, 1)))
