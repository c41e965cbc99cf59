"""Shrink & Perturb: the arithmetic of both halves, the law of the noise, and what is left when both are nothing."""

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal

from minilop.learner import Learner, LearnerSettings, make_mlp
from minilop.losses import squared_error
from minilop.networks import mlp
from minilop.plasticity import ShrinkAndPerturb

pytestmark = pytest.mark.quick


def make_learner(sizes=(3, 4, 2), seeds=(5, 6), **settings):
    values = LearnerSettings(**{"dtype": "float64", **settings})
    return Learner(make_mlp(sizes, values, seeds), squared_error, values)


def train(learner, num_steps=30):
    random = np.random.default_rng(0)
    num_runs = len(learner.network.seeds)
    for _ in range(num_steps):
        inputs, targets = random.normal(size=(num_runs, 3, 2)), random.normal(size=(num_runs, 2, 2))
        learner.step(device(inputs, learner.settings.dtype), device(targets, learner.settings.dtype))
    return host(learner.network.parameters)


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
    noise = host(noisy.shrink_and_perturb.noise(0)).copy()
    assert_allclose(train(noisy, 1), train(plain, 1) + 0.01 * noise, rtol=1e-14)


@on_both_array_modules
def test_the_noise_is_standard_normal_times_the_scale_for_every_weight_and_bias():
    """The published code uses sigma as a standard deviation. 20,000 draws: errors of 0.7 % and 0.5 %, times four."""
    network = mlp((30, 40, 60), "relu", [1, 2, 3], "float64")
    network.parameters[...] = 0
    rule = ShrinkAndPerturb(network, 0.25)
    rule.step(0)
    noise = host(network.parameters)
    assert noise.std() == pytest.approx(0.25, rel=0.02)
    assert abs(noise.mean()) < 4 * 0.25 / np.sqrt(noise.size)
    for layer in network.dense_layers:
        assert host(layer.weight).all() and host(layer.bias).all()
        assert host(layer.bias).std() == pytest.approx(0.25, rel=0.2)
    assert len(np.unique(noise)) > 0.999 * noise.size  # no two runs, and no two weights, get the same numbers


def test_every_step_has_noise_of_its_own_and_the_same_again_when_asked_again():
    network = mlp((3, 4, 2), "relu", [1, 2], "float64")
    network.parameters[...] = 0
    rule = ShrinkAndPerturb(network, 1.0)
    rule.step(17)
    once = host(network.parameters).copy()
    rule.step(18)
    assert (host(network.parameters) != 2 * once).all()
    network.parameters[...] = 0
    ShrinkAndPerturb(network, 1.0).step(17)
    assert_array_equal(host(network.parameters), once)


def test_each_run_may_have_a_scale_of_its_own():
    network = mlp((3, 4, 2), "relu", [1, 2], "float64")
    network.parameters[...] = 0
    rule = ShrinkAndPerturb(network, device([[0.0], [3.0]]))
    rule.step(0)
    assert not host(network.parameters)[0].any()
    assert_array_equal(host(network.parameters)[1], 3 * host(rule.noise(0))[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_decay_and_noise_it_is_backprop_to_the_bit(dtype):
    plain = train(make_learner(dtype=dtype))
    nothing = make_learner(dtype=dtype, weight_decay=0.0, perturb_scale=0.0)
    assert nothing.shrink_and_perturb is None
    assert_array_equal(train(nothing), plain)
    zeros = device([[0.0], [0.0]], dtype)  # an array is not looked into, so here zeros are added
    added = make_learner(dtype=dtype, weight_decay=zeros, perturb_scale=zeros)
    assert added.shrink_and_perturb is not None
    assert_array_equal(train(added), plain)
