"""L2 Init: the gradient by hand, and which parameters it pulls toward after units or layers have got new ones."""

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal

from minilop.fast import BufferedDense, BufferedSGD, InPlaceSGD
from minilop.learner import Learner
from minilop.learner_settings import LearnerSettings
from minilop.losses import squared_error
from minilop.optimizers import SGD, Adam
from minilop.plasticity import ContinualBackprop, L2Init, ReDo
from minilop.recipes import convnet, linear, mlp

pytestmark = pytest.mark.quick

SIZES = (3, 6, 5, 2)
STEP = SGD(step_size=0.05)


def make_learner(*rules, optimizer=STEP, dtype="float64"):
    return Learner(mlp(SIZES, "relu", (7, 20), dtype), squared_error, optimizer, rules)


def train(learner, steps):
    """Returns a copy of the parameters (R, P) after these steps."""
    dtype = learner.network.dtype
    for step in steps:
        random = np.random.default_rng(step)
        inputs, targets = random.normal(size=(2, 3, 4)), random.normal(size=(2, 2, 4))
        learner.step(device(inputs, dtype), device(targets, dtype))
    return host(learner.network.parameters).copy()


@on_both_array_modules
def test_two_weights_and_a_bias_by_hand():
    """g <- dLoss/dp + lambda (p - p_0) with lambda = 0.5, alpha = 0.1, p_0 = 1, -2, 0; the inputs are 0 and 1.

    The first step starts at p_0, so it is that of backprop: the output is -2 + 0 and the target 1, and the gradient of
    the squared error is 2 (-3) = -6 times 0 and 1, the inputs, and 1 for the bias.
    """
    learner = Learner(linear((2,), 1, [0], "float64"), squared_error, SGD(step_size=0.1), [L2Init(init_decay=0.5)])
    learner.network.parameters[...] = device([[1.0, -2.0, 0.0]])
    learner.rules[0].start()
    example = device([[[0.0], [1.0]]]), device([[[1.0]]])
    learner.step(*example)
    first = [1.0, -2 + 0.1 * 6, 0 + 0.1 * 6]
    assert host(learner.network.parameters)[0] == pytest.approx(first)
    learner.network.parameters[0, 0] = 3.0
    learner.step(*example)
    slope = 2 * (first[1] + first[2] - 1)
    assert host(learner.network.parameters)[0] == pytest.approx(
        [
            3 - 0.1 * 0.5 * (3 - 1),
            first[1] - 0.1 * (slope + 0.5 * (first[1] + 2)),
            first[2] - 0.1 * (slope + 0.5 * (first[2] - 0)),
        ]
    )


def test_without_a_gradient_parameters_return_to_their_initial_values():
    """p - p_0 shrinks by the factor 1 - alpha lambda in every step; weight decay would shrink p."""
    learner = make_learner(L2Init(init_decay=0.5), optimizer=SGD(step_size=0.1))
    network, rule = learner.network, learner.rules[0]
    initial = host(network.parameters).copy()
    network.parameters += 1
    for _ in range(3):
        network.gradients[...] = 0
        rule.before_update([], network.gradients, 0)
        learner.optimizer.step(network.parameters, network.gradients)
    assert_allclose(host(network.parameters), initial + (1 - 0.1 * 0.5) ** 3, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_decay_it_is_backprop_to_the_bit(dtype):
    """A strength of 0 as a number, and a 0 for each run."""
    plain = train(make_learner(dtype=dtype), range(20))
    for init_decay in (0.0, device([[0.0], [0.0]], dtype)):
        assert_array_equal(train(make_learner(L2Init(init_decay), dtype=dtype), range(20)), plain)
    assert (train(make_learner(L2Init(1e-3), dtype=dtype), range(20)) != plain).any()


@on_both_array_modules
def test_each_run_may_have_a_strength_of_its_own():
    both = train(make_learner(L2Init(device([[0.0], [0.1]]))), range(10))
    assert_array_equal(both[0], train(make_learner(), range(10))[0])
    assert_array_equal(both[1], train(make_learner(L2Init(0.1)), range(10))[1])


@on_both_array_modules
@pytest.mark.parametrize("optimizer", [SGD(step_size=0.05, momentum=0.9), Adam(step_size=0.01)], ids=["sgd", "adam"])
def test_it_is_added_to_the_gradient_that_the_optimizer_reads(optimizer):
    """The same with a gradient that is put together by hand."""
    learner, plain = make_learner(L2Init(0.1), optimizer=optimizer), make_learner(optimizer=optimizer)
    initial = plain.network.parameters.copy()
    for step in range(10):
        train(learner, [step])
        random = np.random.default_rng(step)
        values = plain.forward(device(random.normal(size=(2, 3, 4))))
        output_gradients = plain.backward(values, squared_error(values[-1], device(random.normal(size=(2, 2, 4))))[1])
        plain.gradients += 0.1 * (plain.network.parameters - initial)
        plain.update(values, output_gradients)
        plain.num_steps += 1
    assert_array_equal(host(learner.network.parameters), host(plain.network.parameters))


# --- p_0 of new units and layers --------------------------------------------------------------------------------------


def of_units(network, masks):
    """Which parameters (R, P) enter, belong to, or leave these units, a mask (R, H) for each hidden layer."""
    chosen = network.zeros(network.num_parameters)
    views = network.views(chosen)
    for layer, mask in zip(network.hidden, masks):
        for run, unit in np.argwhere(mask):
            views[layer.incoming.index]["weight"][run, unit] = 1
            views[layer.incoming.index]["bias"][run, unit] = 1
            views[layer.outgoing.index]["weight"][run, :, unit] = 1
    return host(chosen).astype(bool)


@on_both_array_modules
@pytest.mark.parametrize("l2_init_first", [False, True])
def test_a_replaced_unit_is_pulled_toward_its_fresh_values(l2_init_first):
    """p_0 of its incoming weights, bias (0) and outgoing weights (0) become its present values, whoever acts first."""
    replacement = ContinualBackprop(replacement_rate=0.2, maturity_threshold=4)  # the first units go at step 5
    rules = [L2Init(0.1), replacement] if l2_init_first else [replacement, L2Init(0.1)]
    learner = make_learner(*rules)
    rule, units = {each.name: each for each in learner.rules}["l2_init"], learner.rules[l2_init_first].units
    learner.network.parameters += 1  # no bias is 0
    rule.start()
    initial = host(rule.initial_parameters).copy()
    train(learner, range(4))
    assert_array_equal(host(rule.initial_parameters), initial)
    parameters = train(learner, range(4, 5))
    new = [host(each["age"]) == 0 for each in units]  # (R, H)
    assert [mask.sum(axis=-1).tolist() for mask in new] == [[1, 1], [1, 1]]
    assert_array_equal(host(rule.initial_parameters), np.where(of_units(learner.network, new), parameters, initial))
    views = learner.network.views(rule.initial_parameters)
    for layer, mask in zip(learner.network.hidden, new):
        assert not host(views[layer.incoming.index]["bias"])[mask].any()
    assert not host(views[layer.outgoing.index]["weight"]).swapaxes(1, 2)[mask].any()  # of the last hidden layer


def test_units_replaced_by_redo_count_as_well():
    learner = make_learner(ReDo(redo_period=2, redo_threshold=0.5), L2Init(0.1))
    initial, told = host(learner.network.parameters).copy(), []
    learner.rules[0].units_replaced = told.append
    train(learner, range(1))
    assert_array_equal(host(learner.rules[1].initial_parameters), initial)
    parameters = train(learner, range(1, 2))
    new = of_units(learner.network, map(host, told[0]))
    assert new.any(axis=-1).all()
    assert_array_equal(host(learner.rules[1].initial_parameters), np.where(new, parameters, initial))


@on_both_array_modules
def test_channels_of_a_convolution_with_several_features_and_a_normalization():
    """A channel is consumed as four features by the dense layer; its normalization has a scale and a bias."""
    network = convnet(
        [1, 2], "float64", image_size=8, num_channels=2, kernels=((3, 1), (5, 1)), dense_units=(4,), batch_norm=True
    )
    rule = L2Init(0.1).bind(network, SGD())
    before = host(rule.initial_parameters).copy()
    network.parameters += 1
    mask = np.zeros((2, 5), bool)
    mask[1, 3] = True
    rule.units_replaced([None, device(mask), None])
    changes = host(rule.initial_parameters) - before
    hidden = network.hidden[1]
    views = [{name: host(view) for name, view in each.items()} for each in network.views(device(changes))]
    for layer, each in zip(network.layers, views):
        for name, view in each.items():
            expected = np.zeros_like(view)
            if layer is hidden.incoming or layer in (hidden.bias, hidden.normalization):
                expected[1, 3] = 1
            if layer is hidden.outgoing and name == "weight":
                expected[1, :, 4 * 3 : 4 * 4] = 1
            assert_allclose(view, expected, atol=1e-14, err_msg=f"{layer} {name}")


def test_a_reset_head_is_pulled_toward_its_new_initial_values():
    learner = make_learner(L2Init(0.1))
    initial = host(learner.network.parameters).copy()
    trained = train(learner, range(5))
    learner.reset("head", 1)
    p_0, head = host(learner.rules[0].initial_parameters), slice(-(5 * 2 + 2), None)
    assert_array_equal(p_0[:, : head.start], initial[:, : head.start])
    assert_array_equal(p_0[:, head], host(learner.network.parameters)[:, head])
    assert (p_0[:, head][:, :10] != initial[:, head][:, :10]).all()  # another draw
    assert_array_equal(host(learner.network.parameters)[:, : head.start], trained[:, : head.start])


@pytest.mark.parametrize("what", ["parameters", "network"])
def test_all_layers_may_be_reset(what):
    learner = make_learner(L2Init(0.1))
    train(learner, range(5))
    learner.reset(what, 1)
    parameters = host(learner.network.parameters)
    assert parameters.any()
    assert_array_equal(host(learner.rules[0].initial_parameters), parameters)


# --- state and settings -----------------------------------------------------------------------------------------------


@on_both_array_modules
def test_a_restored_learner_continues_to_the_bit():
    """p_0 is part of the state; here it is no longer that of a new learner, since units have been replaced."""

    def fresh():
        return make_learner(ContinualBackprop(replacement_rate=0.1, maturity_threshold=3), L2Init(0.1))

    whole, copy = fresh(), fresh()
    train(whole, range(8))
    state = whole.state()
    assert (state["l2_init.initial_parameters"] != copy.state()["l2_init.initial_parameters"]).any()
    copy.restore(state)
    assert_array_equal(train(copy, range(8, 20)), train(whole, range(8, 20)))


@pytest.mark.parametrize(("optimizer", "dense_layer"), [(InPlaceSGD(), None), (BufferedSGD(), BufferedDense)])
def test_optimizers_that_do_not_form_the_gradient_are_refused(optimizer, dense_layer):
    with pytest.raises(ValueError, match=f"l2_init does not work with the optimizer {optimizer.name}; choose sgd"):
        LearnerSettings(optimizer, (L2Init(),))
    network = mlp(SIZES, "relu", [1], "float64", **({"dense_layer": dense_layer} if dense_layer else {}))
    with pytest.raises(ValueError, match=f"l2_init does not work with the optimizer {optimizer.name}; choose sgd"):
        Learner(network, squared_error, optimizer, [L2Init()])


def test_it_needs_neither_hidden_units_nor_the_runs_axis():
    rule = L2Init().bind(linear((2,), 1, 3, "float64"), SGD())
    assert rule.initial_parameters.shape == (3,)


def test_a_negative_strength_is_refused():
    with pytest.raises(ValueError, match="init_decay must be a finite number, at least 0"):
        L2Init(init_decay=-1.0)
