"""Batch normalization: by hand, against central differences, and against PyTorch's layer step by step.

Ioffe and Szegedy, ICML 2015.
"""

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope
from numpy.testing import assert_allclose, assert_array_equal

from minilop.layers import BatchNorm
from minilop.learner import Learner
from minilop.losses import cross_entropy
from minilop.networks import Network
from minilop.optimizers import SGD
from minilop.plasticity import ContinualBackprop
from minilop.plasticity.units import replace_units, reset_optimizer_state
from minilop.recipes import convnet

pytestmark = pytest.mark.quick

SMALL = {"image_size": 12, "kernels": ((4, 3), (5, 2)), "dense_units": (6,), "num_outputs": 2, "batch_norm": True}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def layer_of(num_units, image=False, seeds=(1,), dtype="float64"):
    layer = BatchNorm(num_units, image)
    Network([layer], [], list(seeds), dtype)
    return layer


@on_both_array_modules
def test_two_examples_by_hand():
    """1 and 3 have mean 2 and variance 1; running statistics move by a tenth, with a variance of 2 / (2 - 1)."""
    layer = layer_of(1)
    layer.scale[...], layer.bias[...] = 5, 7
    outputs = host(layer.forward(device([[[1.0, 3.0]]])))
    std = np.sqrt(1 + 1e-5)
    assert_allclose(outputs, [[[7 - 5 / std, 7 + 5 / std]]])
    assert_allclose(host(layer.running_mean), [[[0.9 * 0 + 0.1 * 2]]])
    assert_allclose(host(layer.running_variance), [[[0.9 * 1 + 0.1 * 2]]])
    layer.begin_evaluation()
    assert_allclose(host(layer.forward(device([[[4.0]]]))), [[[5 * (4 - 0.2) / np.sqrt(1.1 + 1e-5) + 7]]])


def test_an_evaluation_changes_no_statistics():
    layer = layer_of(3, seeds=[1, 2])
    layer.begin_evaluation()
    layer.forward(device(numbers(2, 3, 9)))
    assert not host(layer.running_mean).any() and (host(layer.running_variance) == 1).all()
    layer.begin_step(0)
    layer.forward(device(numbers(2, 3, 9)))
    assert host(layer.running_mean).all()


@pytest.mark.parametrize(("shape", "axes"), [((2, 3, 9), -1), ((2, 3, 2, 4, 5), (-3, -2, -1))])
def test_every_unit_has_mean_0_and_standard_deviation_1(shape, axes):
    """The statistics of a channel are taken over examples and positions together."""
    layer = layer_of(3, image=len(shape) == 5, seeds=[1, 2])
    outputs = host(layer.forward(device(100 + 30 * numbers(*shape))))
    assert_allclose(outputs.mean(axis=axes), np.zeros((2, 3)), atol=1e-12)
    assert_allclose(outputs.std(axis=axes), np.ones((2, 3)), rtol=1e-6)


@on_both_array_modules
@pytest.mark.parametrize("shape", [(2, 3, 6), (2, 3, 2, 3, 4)])
def test_gradients_are_the_slopes_of_the_loss(shape):
    """The loss is a fixed weighted sum of the outputs; its derivative goes through mean and variance as well."""
    layer = layer_of(3, image=len(shape) == 5, seeds=[1, 2])
    layer.scale[...] = device(1 + 0.3 * numbers(*layer.scale.shape, seed=4))
    layer.bias[...] = device(numbers(*layer.bias.shape, seed=5))
    inputs, weights, direction = numbers(*shape), numbers(*shape, seed=1), numbers(*shape, seed=2)

    def loss(x):
        return (weights * host(layer.forward(device(x)))).sum()

    outputs = layer.forward(device(inputs))
    gradient = host(layer.backward(device(inputs), outputs, device(weights)))
    found = {name: host(getattr(layer, f"{name}_gradient")).copy() for name in ("scale", "bias")}
    assert (gradient * direction).sum() == pytest.approx(slope(loss, inputs, direction), abs=1e-7)
    for name in ("scale", "bias"):
        values = host(getattr(layer, name)).copy()

        def loss_of(parameter, name=name):
            getattr(layer, name)[...] = device(parameter)
            return loss(inputs)

        along = numbers(*values.shape, seed=6)
        assert (found[name] * along).sum() == pytest.approx(slope(loss_of, values, along), abs=1e-7)
        getattr(layer, name)[...] = device(values)


@pytest.mark.parametrize("shape", [(2, 3, 6), (2, 3, 2, 3, 4)])
def test_outputs_gradients_and_running_statistics_are_those_of_pytorch(shape):
    torch = pytest.importorskip("torch")
    layer = layer_of(3, image=len(shape) == 5, seeds=[1, 2])
    layer.scale[...] = device(1 + 0.3 * numbers(*layer.scale.shape, seed=4))
    layer.bias[...] = device(numbers(*layer.bias.shape, seed=5))
    for run in range(2):
        peer = (torch.nn.BatchNorm2d if len(shape) == 5 else torch.nn.BatchNorm1d)(3, dtype=torch.float64)
        fresh = layer_of(3, image=len(shape) == 5, seeds=[1, 2])
        for name, ours in (("weight", "scale"), ("bias", "bias")):
            getattr(fresh, ours)[...] = getattr(layer, ours)
            getattr(peer, name).data = torch.from_numpy(host(getattr(layer, ours))[run].ravel().copy())
        for step in range(3):  # running statistics need more than one
            inputs, weights = numbers(*shape, seed=10 + step), numbers(*shape, seed=20 + step)
            outputs = fresh.forward(device(inputs))
            gradient = host(fresh.backward(device(inputs), outputs, device(weights)))
            theirs = torch.from_numpy(np.moveaxis(inputs[run], -1, 0).copy()).requires_grad_()
            peer.zero_grad()
            result = peer(theirs)
            (result * torch.from_numpy(np.moveaxis(weights[run], -1, 0).copy())).sum().backward()
            assert_allclose(np.moveaxis(host(outputs)[run], -1, 0), result.detach().numpy(), atol=1e-12)
            assert_allclose(np.moveaxis(gradient[run], -1, 0), theirs.grad.numpy(), atol=1e-12)
            assert_allclose(host(fresh.scale_gradient)[run].ravel(), peer.weight.grad.numpy(), atol=1e-12)
            assert_allclose(host(fresh.bias_gradient)[run].ravel(), peer.bias.grad.numpy(), atol=1e-12)
        assert_allclose(host(fresh.running_mean)[run].ravel(), peer.running_mean.numpy(), atol=1e-14)
        assert_allclose(host(fresh.running_variance)[run].ravel(), peer.running_var.numpy(), atol=1e-14)
        peer.eval()
        fresh.begin_evaluation()
        found = host(fresh.forward(device(inputs)))[run]
        assert_allclose(np.moveaxis(found, -1, 0), peer(theirs).detach().numpy(), atol=1e-12)


def test_all_gradients_of_a_normalized_network_are_the_slopes_of_its_loss():
    network = convnet([4, 5], "float64", **SMALL)
    images, labels = numbers(2, 3, 12, 12, 8), np.arange(16).reshape(2, 8) % 2

    def loss(parameters):
        network.parameters[...] = device(parameters)
        return host(cross_entropy(network.forward(device(images))[-1], device(labels))[0]).mean(axis=-1).sum()

    start, direction = host(network.parameters).copy(), numbers(*network.parameters.shape, seed=3)
    values = network.forward(device(images))
    _, output_gradient = cross_entropy(values[-1], device(labels))
    gradients = host(network.fill_gradients(values, network.backward(values, output_gradient))).copy()
    assert (gradients * direction).sum() == pytest.approx(slope(loss, start, direction), rel=1e-6)


def make_learner(seeds, *rules):
    return Learner(convnet(seeds, "float32", **SMALL), cross_entropy, SGD(momentum=0.9), rules)


def learn(learner, steps, seeds):
    for step in range(steps):
        images = np.stack([numbers(3, 12, 12, 8, seed=100 * seed + step) for seed in seeds])
        labels = np.tile(np.arange(8) % 2, (len(seeds), 1))
        learner.step(device(images, "float32"), device(labels))


def test_running_statistics_are_part_of_the_state_of_a_learner():
    learner, other = make_learner([4, 5]), make_learner([4, 5])
    learn(learner, 3, [4, 5])
    other.restore(learner.state())
    assert {name.split(".")[0] for name in learner.state()} >= {"running_mean", "running_variance"}
    for name, array in other.state().items():
        assert_array_equal(array, learner.state()[name], name)
    images = device(numbers(2, 3, 12, 12, 8), "float32")
    outputs = []
    for each in (learner, other):
        each.network.begin_evaluation()
        outputs.append(host(each.network.forward(images)[-1]))
    assert_array_equal(outputs[0], outputs[1])


def test_a_run_alone_is_itself_among_others_to_the_bit():
    states = []
    for seeds in ([5], [4, 5, 6]):
        learner = make_learner(seeds, ContinualBackprop(replacement_rate=0.02, maturity_threshold=2))
        learn(learner, 5, seeds)
        states.append({name: array[seeds.index(5)] for name, array in learner.state().items() if array.ndim})
    for name, array in states[0].items():
        assert_array_equal(array, states[1][name], name)


@on_both_array_modules
def test_replacing_a_unit_resets_its_normalization_and_no_other():
    """Scale 1, bias 0, running mean 0 and variance 1, as in the published residual network; momentum if asked."""
    learner = make_learner([4, 5])
    learn(learner, 2, [4, 5])
    network = learner.network
    layer = network.hidden[1]
    runs, units = np.array([1]), np.array([2])
    names = ("scale", "bias", "running_mean", "running_variance")
    before = {name: host(getattr(layer.normalization, name)).copy() for name in names}
    replace_units(layer, runs, device(units), network.seeds[runs], 7)
    reset_optimizer_state(learner.optimizer, network, layer, runs, device(units))
    chosen = np.zeros((2, 5), bool)
    chosen[1, 2] = True
    for name, fresh in zip(names, (1, 0, 0, 1)):
        found = host(getattr(layer.normalization, name))
        assert (found[chosen] == fresh).all()
        assert_array_equal(found[~chosen], before[name][~chosen])
    velocity = network.views(learner.optimizer.state["velocity"])[layer.normalization.index]
    for name in ("scale", "bias"):
        assert not host(velocity[name])[chosen].any() and host(velocity[name])[~chosen].all()
