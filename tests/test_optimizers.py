"""Optimizers: a few steps by hand, what a restart of some entries means, and hyperparameters of each run."""

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules

from minilop.backend import Array
from minilop.fast import BufferedSGD, InPlaceSGD
from minilop.optimizers import SGD, Adam, MetaOptimize, NetworkIDBD
from minilop.optimizers.optimizer import Optimizer, is_used

pytestmark = pytest.mark.quick


def descend(optimizer: Optimizer, parameters: Array, gradients: list[float]) -> list[float]:
    """The one parameter after each step."""
    optimizer, after = optimizer.bind(parameters), []
    for gradient in gradients:
        optimizer.step(parameters, device([[gradient]]))
        after.append(host(parameters)[0, 0].item())
    return after


@on_both_array_modules
def test_sgd_by_hand() -> None:
    """p <- p - alpha g."""
    parameters = device([[1.0]])
    assert descend(SGD(0.1), parameters, [0.5, -2.0]) == pytest.approx([1 - 0.1 * 0.5, 1 - 0.1 * 0.5 + 0.1 * 2])


@on_both_array_modules
def test_momentum_by_hand() -> None:
    """v <- mu v + g from v = 0, without dampening: the first step takes the whole gradient."""
    parameters = device([[1.0]])
    found = descend(SGD(0.1, momentum=0.9), parameters, [0.5, -2.0, 0.0])
    velocities = [0.5, 0.9 * 0.5 - 2, 0.9 * (0.9 * 0.5 - 2)]
    assert found == pytest.approx([1 - 0.1 * sum(velocities[:steps]) for steps in (1, 2, 3)])


def test_weight_decay_is_added_to_the_gradient_and_passes_through_the_momentum() -> None:
    """g <- g + lambda p: coupled, not AdamW's way."""
    parameters = device([[1.0]])
    found = descend(SGD(0.1, momentum=0.5, weight_decay=0.2), parameters, [0.0, 0.0])
    first = 1 - 0.1 * (0.2 * 1)
    assert found == pytest.approx([first, first - 0.1 * (0.5 * 0.2 * 1 + 0.2 * first)])


def test_weight_decay_acts_on_every_parameter_biases_too() -> None:
    parameters = device([[1.0, -2.0, 3.0]])
    SGD(0.1, weight_decay=0.5).bind(parameters).step(parameters, device(np.zeros((1, 3))))
    assert host(parameters)[0] == pytest.approx([0.95 * 1, 0.95 * -2, 0.95 * 3])


@pytest.mark.parametrize("gradient", [3.0, -1e-3, 200.0])
def test_the_first_step_of_adam_has_the_length_of_the_step_size(gradient: float) -> None:
    """M / c1 = g and V / c2 = g^2, so the step is alpha g / (|g| + eps)."""
    parameters = device([[1.0]])
    step = 0.1 * gradient / (abs(gradient) + 1e-8)
    assert descend(Adam(0.1), parameters, [gradient]) == pytest.approx([1 - step], rel=1e-14)
    assert abs(step) == pytest.approx(0.1, rel=1e-4)


@on_both_array_modules
def test_two_steps_of_adam_by_hand() -> None:
    parameters = device([[1.0]])
    found = descend(Adam(0.1, beta_1=0.8, beta_2=0.9, epsilon=1e-3), parameters, [2.0, -1.0])
    first = 1 - 0.1 * 2 / (2 + 1e-3)
    mean = (0.8 * 0.2 * 2 + 0.2 * -1) / (1 - 0.8**2)
    square = (0.9 * 0.1 * 4 + 0.1 * 1) / (1 - 0.9**2)
    assert found == pytest.approx([first, first - 0.1 * mean / (math.sqrt(square) + 1e-3)], rel=1e-14)


def test_adam_with_weight_decay_adds_it_to_the_gradient() -> None:
    decayed, plain = device([[2.0]]), device([[2.0]])
    Adam(0.1, epsilon=0.5, weight_decay=0.3).bind(decayed).step(decayed, device([[1.0]]))
    Adam(0.1, epsilon=0.5).bind(plain).step(plain, device([[1.0 + 0.3 * 2]]))
    assert host(decayed).tolist() == host(plain).tolist()


@pytest.mark.parametrize("of_each_weight", [False, True])
def test_adam_counts_its_steps_in_its_corrections(of_each_weight: bool) -> None:
    """c1 = 1 - b1^t and c2 = 1 - b2^t, kept as running averages of ones."""
    parameters = device(np.ones((2, 3)))
    optimizer = Adam(0.01).bind(parameters)
    if of_each_weight:
        optimizer.use_per_weight_bias_correction()
    for steps in range(1, 30):
        optimizer.step(parameters, parameters)
        for name, beta in (("first_correction", 0.9), ("second_correction", 0.999)):
            # Averages of 30 numbers below 1, each rounded by 1e-16.
            np.testing.assert_allclose(host(optimizer.state[name]), 1 - beta**steps, rtol=0, atol=1e-15)


@on_both_array_modules
def test_one_correction_a_run_is_that_of_each_weight_if_none_starts_afresh() -> None:
    random = np.random.default_rng(0)
    each, one = device(np.ones((2, 3))), device(np.ones((2, 3)))
    betas = {"beta_1": device([[0.9], [0.5]]), "beta_2": 0.99}
    of_each, of_one = Adam(0.1, **betas).bind(each), Adam(0.1, **betas).bind(one)
    of_each.use_per_weight_bias_correction()
    for _ in range(10):
        gradients = device(random.normal(size=(2, 3)))
        of_each.step(each, gradients)
        of_one.step(one, gradients)
    assert of_one.state["first_correction"].shape == of_one.state["second_correction"].shape == (2, 1)
    assert of_each.state["first_correction"].shape == of_each.state["second_correction"].shape == (2, 3)
    assert (host(each) == host(one)).all()


def make(kind: str, parameters: Array) -> Optimizer:
    optimizer = (SGD(0.1, momentum=0.9) if kind == "sgd" else Adam(0.1)).bind(parameters)
    optimizer.use_per_weight_bias_correction()
    return optimizer


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_an_entry_whose_state_is_set_to_zero_starts_afresh(kind: str) -> None:
    """And no other entry notices."""
    gradients = np.random.default_rng(0).normal(size=(20, 2, 4))
    parameters, undisturbed = device(np.ones((2, 4))), device(np.ones((2, 4)))
    optimizer, reference = make(kind, parameters), make(kind, undisturbed)
    for step in range(10):
        optimizer.step(parameters, device(gradients[step]))
        reference.step(undisturbed, device(gradients[step]))
    for array in optimizer.state.values():
        array[1, 2] = 0
    fresh = device(host(parameters)[1:, 2:3])
    beginner = make(kind, fresh)
    for step in range(10, 20):
        optimizer.step(parameters, device(gradients[step]))
        reference.step(undisturbed, device(gradients[step]))
        beginner.step(fresh, device(gradients[step, 1:, 2:3]))
    others = np.ones((2, 4), bool)
    others[1, 2] = False
    # Division rounds alike in arrays of all lengths, so these are equal to the bit.
    assert host(parameters)[1, 2] == host(fresh)[0, 0] != host(undisturbed)[1, 2]
    assert (host(parameters)[others] == host(undisturbed)[others]).all()


SWEEPS = [
    (SGD, {"step_size": [0.1, 0.01, 0.001]}),
    (SGD, {"step_size": [0.1, 0.01, 0.001], "momentum": [0.0, 0.5, 0.9], "weight_decay": [1e-2, 0.0, 1e-3]}),
    (
        Adam,
        {
            "step_size": [0.1, 0.01, 0.001],
            "beta_1": [0.9, 0.0, 0.99],
            "beta_2": [0.999, 0.9, 0.99],
            "weight_decay": [0.0, 1e-2, 1e-3],
        },
    ),
]


@pytest.mark.parametrize("kind, sweep", SWEEPS)
def test_a_sweep_over_runs_is_the_runs_one_by_one(kind: type[Optimizer], sweep: dict[str, list[float]]) -> None:
    """Every hyperparameter may be an array (R, 1)."""
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(3, 5)), random.normal(size=(8, 3, 5))
    together = device(start)
    optimizer = kind(**{name: device(values)[:, None] for name, values in sweep.items()}).bind(together)
    for gradient in gradients:
        optimizer.step(together, device(gradient))
    for run in range(3):
        alone = device(start[run : run + 1])
        optimizer = kind(**{name: values[run] for name, values in sweep.items()}).bind(alone)
        for gradient in gradients:
            optimizer.step(alone, device(gradient[run : run + 1]))
        assert (host(alone)[0] == host(together)[run]).all()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_the_gradients_are_left_as_they_are(kind: type[Optimizer], weight_decay: float) -> None:
    """They are the network's own array, which diagnostics may look at after the step."""
    parameters, gradients = device(np.ones((1, 3))), device([[1.0, 2.0, 3.0]])
    kind(0.1, weight_decay=weight_decay).bind(parameters).step(parameters, gradients)
    assert host(gradients).tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_step_happens_in_place_and_in_the_precision_of_the_parameters(kind: type[Optimizer]) -> None:
    parameters = device(np.ones((2, 3)), "float32")
    view = parameters[:, 1:]
    optimizer = kind(0.1, weight_decay=1e-3).bind(parameters)
    optimizer.step(parameters, device(np.ones((2, 3)), "float32"))
    assert (host(view) < 1).all()
    assert parameters.dtype == np.float32
    assert {array.dtype for array in optimizer.state.values()} <= {np.dtype("float32")}


def test_only_momentum_needs_a_velocity() -> None:
    parameters = device(np.ones((2, 3)))
    assert SGD(0.1, momentum=0.0).bind(parameters).state == {}
    assert [array.shape for array in SGD(0.1, momentum=0.9).bind(parameters).state.values()] == [(2, 3)]
    assert list(SGD(0.1, momentum=device([[0.0], [0.9]])).bind(parameters).state) == ["velocity"]


def test_only_the_number_zero_is_unused() -> None:
    assert not is_used(0) and not is_used(0.0)
    assert is_used(1e-9) and is_used(device([[0.0], [0.0]]))


@on_both_array_modules
def test_moments_of_a_weight_whose_gradient_has_ended_do_not_linger_as_subnormal_numbers():
    """0.9^t reaches float32's 1e-38 after 830 steps and would stay near 1e-44, where processors are slow."""
    parameters = device(np.zeros((1, 2)), "float32")
    optimizer = Adam(step_size=1e-3).bind(parameters)
    optimizer.step(parameters, device([[1.0, 1.0]], "float32"))
    untouched = host(parameters).copy()
    smallest = np.finfo("float32").tiny
    for step in range(1000):
        if step % 100 == 0:
            optimizer.flush_subnormals()
        optimizer.step(parameters, device([[0.0, 1.0]], "float32"))
        moment = abs(host(optimizer.state["first_moment"]))
        assert ((moment == 0) | (moment >= smallest)).all()
    assert host(optimizer.state["first_moment"])[0, 0] == 0
    assert host(parameters)[0, 0] < untouched[0, 0] < 0  # it went on for a while, by the moment's memory
    assert host(optimizer.state["first_moment"])[0, 1] == pytest.approx(1.0)  # what matters is kept


def test_flushing_subnormal_numbers_leaves_the_rest_to_the_bit():
    parameters = device(np.zeros((1, 3)), "float32")
    optimizer = SGD(step_size=1.0, momentum=0.9).bind(parameters)
    optimizer.state["velocity"][...] = device([[1e-29, -1e-31, 0.5]], "float32")
    optimizer.flush_subnormals()
    assert host(optimizer.state["velocity"]).tolist() == [[np.float32(1e-29), 0.0, 0.5]]


ALL = [SGD(0.1, momentum=0.9), Adam(0.1), MetaOptimize(0.1), NetworkIDBD(0.1)]


@pytest.mark.parametrize("optimizer", ALL, ids=lambda optimizer: optimizer.name)
def test_binding_makes_a_copy_with_state_of_its_own(optimizer: Optimizer) -> None:
    """So one object of hyperparameters makes the optimizers of many learners."""
    parameters = device(np.ones((2, 3)))
    first, second = optimizer.bind(parameters), optimizer.bind(parameters)
    assert first == second == optimizer == replace(optimizer)  # the hyperparameters
    assert not hasattr(optimizer, "state")
    for array in first.state.values():
        array += 1
    first.step_size = 7.0
    assert optimizer.step_size == second.step_size == 0.1
    assert all((host(array) == 0).all() for array in second.state.values())


@pytest.mark.parametrize("optimizer", ALL, ids=lambda optimizer: optimizer.name)
def test_binding_again_starts_from_nothing(optimizer: Optimizer) -> None:
    bound = optimizer.bind(device(np.ones((2, 3))))
    for array in bound.state.values():
        array += 1
    again = bound.bind(device(np.ones((1, 5))))
    assert all(array.shape[0] == 1 and (host(array) == 0).all() for array in again.state.values())
    assert all((host(array) == 1).all() for array in bound.state.values())


@pytest.mark.parametrize(
    "optimizer", [NetworkIDBD(), InPlaceSGD(), BufferedSGD()], ids=lambda optimizer: optimizer.name
)
def test_gradients_alone_are_not_enough_for_those_that_update_networks(optimizer: Optimizer) -> None:
    parameters = device(np.ones((2, 3)))
    with pytest.raises(TypeError, match="call update"):
        optimizer.bind(parameters).step(parameters, parameters)
