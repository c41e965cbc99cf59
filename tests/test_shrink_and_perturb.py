"""Shrink & Perturb: the arithmetic of both halves, the distribution of the noise, and what is left without them."""

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal

from minilop.learner import Learner
from minilop.losses import squared_error
from minilop.optimizers import SGD
from minilop.plasticity import ShrinkAndPerturb
from minilop.recipes import mlp

pytestmark = pytest.mark.quick


def make_learner(perturb_scale=None, dtype="float64", **sgd):
    """A learner with weight decay; without the rule if no scale is given."""
    rules = [] if perturb_scale is None else [ShrinkAndPerturb(perturb_scale=perturb_scale)]
    return Learner(mlp((3, 4, 2), "relu", (5, 6), dtype), squared_error, SGD(**sgd), rules)


def train(learner, num_steps=30):
    random = np.random.default_rng(0)
    dtype = learner.network.dtype
    for _ in range(num_steps):
        inputs, targets = random.normal(size=(2, 3, 2)), random.normal(size=(2, 2, 2))
        learner.step(device(inputs, dtype), device(targets, dtype))
    return host(learner.network.parameters)


def perturb(rule, step):
    rule.after_update([], None, step)


def rule_on_zeros(perturb_scale, sizes=(3, 4, 2), seeds=(1, 2)):
    """A network whose parameters are 0, so that they show the noise alone, and the rule."""
    network = mlp(sizes, "relu", seeds, "float64")
    network.parameters[...] = 0
    return network, ShrinkAndPerturb(perturb_scale).bind(network, SGD())


def test_shrinking_is_the_decay_of_the_gradient_step_on_weights_and_biases_alike():
    """p <- p - alpha (0 + lambda p) where the loss has no gradient: every parameter by the factor 1 - alpha lambda."""
    learner = make_learner(step_size=0.1, weight_decay=0.5)
    learner.network.parameters[...] = device(np.arange(1.0, 27.0))
    learner.optimizer.step(learner.network.parameters, learner.network.zeros(26))
    assert_allclose(host(learner.network.parameters), [np.arange(1, 27) * (1 - 0.1 * 0.5)] * 2, rtol=1e-15)


@on_both_array_modules
def test_the_noise_is_added_after_the_shrunk_step_and_is_not_scaled_by_the_step_size():
    """Methods: gradient step with decay, then independent Gaussian noise in every step."""
    noisy = make_learner(step_size=0.1, weight_decay=0.5, perturb_scale=0.01)
    plain = make_learner(step_size=0.1, weight_decay=0.5)
    noise = host(noisy.rules[0].noise(0)).copy()
    assert_allclose(train(noisy, 1), train(plain, 1) + 0.01 * noise, rtol=1e-14)


@on_both_array_modules
def test_the_noise_is_standard_normal_times_the_scale_for_every_weight_and_bias():
    """The published code uses sigma as a standard deviation. 20,000 draws: errors of 0.7 % and 0.5 %, times four."""
    network, rule = rule_on_zeros(0.25, (30, 40, 60), [1, 2, 3])
    perturb(rule, 0)
    noise = host(network.parameters)
    assert noise.std() == pytest.approx(0.25, rel=0.02)
    assert abs(noise.mean()) < 4 * 0.25 / np.sqrt(noise.size)
    for layer in network.dense_layers:
        assert host(layer.weight).all() and host(layer.bias).all()
        assert host(layer.bias).std() == pytest.approx(0.25, rel=0.2)
    assert len(np.unique(noise)) > 0.999 * noise.size  # no two runs, and no two weights, get the same numbers


def test_every_step_has_noise_of_its_own_and_the_same_again_when_asked_again():
    network, rule = rule_on_zeros(1.0)
    perturb(rule, 17)
    once = host(network.parameters).copy()
    perturb(rule, 18)
    assert (host(network.parameters) != 2 * once).all()
    network, rule = rule_on_zeros(1.0)
    perturb(rule, 17)
    assert_array_equal(host(network.parameters), once)


def test_each_run_may_have_a_scale_of_its_own():
    network, rule = rule_on_zeros(device([[0.0], [3.0]]))
    perturb(rule, 0)
    assert not host(network.parameters)[0].any()
    assert_array_equal(host(network.parameters)[1], 3 * host(rule.noise(0))[1])


def test_a_restored_learner_continues_to_the_bit():
    """The rule has no state: its noise is that of the step."""
    whole, copy = (make_learner(perturb_scale=0.01) for _ in range(2))
    train(whole, 7)
    copy.restore(whole.state())
    assert_array_equal(train(copy, 9), train(whole, 9))
    assert not copy.rules[0].arrays()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_decay_and_noise_it_is_backprop_to_the_bit(dtype):
    """Zeros as numbers, and zeros for each run."""
    plain = train(make_learner(dtype=dtype))
    assert_array_equal(train(make_learner(dtype=dtype, weight_decay=0.0, perturb_scale=0.0)), plain)
    zeros = device([[0.0], [0.0]], dtype)
    assert_array_equal(train(make_learner(dtype=dtype, weight_decay=zeros, perturb_scale=zeros)), plain)


def test_a_negative_scale_is_refused():
    with pytest.raises(ValueError, match="perturb_scale must be a finite number, at least 0"):
        ShrinkAndPerturb(perturb_scale=-1e-5)
