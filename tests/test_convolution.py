"""Convolution, pooling, the convolutional network, and Continual Backprop on its channels."""

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope
from numpy.testing import assert_allclose, assert_array_equal

from minilop import backend
from minilop.layers import Bias, Convolution, Flatten, MaxPool
from minilop.layers.convolution import output_length, pad, patches
from minilop.learner import Learner
from minilop.losses import cross_entropy
from minilop.networks import Network
from minilop.optimizers import SGD
from minilop.plasticity import ContinualBackprop
from minilop.recipes import convnet

pytestmark = pytest.mark.quick

SMALL = {"image_size": 26, "kernels": ((3, 3), (8, 3), (5, 2)), "dense_units": (12,), "num_outputs": 2}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# Layers


@on_both_array_modules
def test_patches_of_a_three_by_three_image_are_its_four_corners():
    """1 2 3 / 4 5 6 / 7 8 9 has the 2 x 2 patches 1 2 4 5, 2 3 5 6, 4 5 7 8, 5 6 8 9; each is a column."""
    image = device(np.arange(1.0, 10).reshape(1, 3, 3, 1))
    assert host(patches(image, 2).reshape(4, 4)).T.tolist() == [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]


def test_convolution_is_its_defining_sum():
    layer = Convolution(2, 3, 2)
    network = Network([layer], [], [4, 5], "float64")
    inputs = numbers(2, 2, 4, 5, 3)
    outputs, weight = host(network.forward(device(inputs))[-1]), host(layer.weight)
    assert outputs.shape == (2, 3, 3, 4, 3)
    for run, unit, y, x, example in np.ndindex(outputs.shape):
        expected = (weight[run, unit] * inputs[run, :, y : y + 2, x : x + 2, example]).sum()
        assert outputs[run, unit, y, x, example] == pytest.approx(expected, abs=1e-12)


SHAPES = [
    (1, 1, 0),
    (1, 2, 0),
    (3, 1, 1),
    (3, 2, 1),
    (3, 2, 0),
    (3, 1, 2),
    (2, 1, 1),
    (5, 2, 2),
]  # size, stride, padding


@on_both_array_modules
@pytest.mark.parametrize(("size", "stride", "padding"), SHAPES)
@pytest.mark.parametrize("leading", [(), (2,)])
def test_patches_with_stride_and_padding_are_where_the_formula_says(leading, size, stride, padding):
    """patches[..., i, c, j, y, x, :] = image[..., c, s y + i - p, s x + j - p, :], or 0 outside the image."""
    images = numbers(*leading, 2, 7, 6, 3)
    found = host(patches(pad(device(images), padding), size, stride))
    height, width = (output_length(length, size, stride, padding) for length in (7, 6))
    assert found.shape == (*leading, size, 2, size, height, width, 3)
    for i, j, y, x in np.ndindex(size, size, height, width):
        row, column = stride * y + i - padding, stride * x + j - padding
        inside = 0 <= row < 7 and 0 <= column < 6
        expected = images[..., row, column, :] if inside else np.zeros((*leading, 2, 3))
        assert_array_equal(found[..., i, :, j, y, x, :], expected)


@on_both_array_modules
@pytest.mark.parametrize("numbers_in_cache", [1, 1 << 17])  # one row of the outputs at a time, or all at once
@pytest.mark.parametrize(("size", "stride", "padding"), SHAPES)
def test_convolutions_with_stride_and_padding_are_those_of_pytorch(
    size, stride, padding, numbers_in_cache, monkeypatch
):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(backend, "NUMBERS_IN_CACHE", numbers_in_cache)
    layer = Convolution(3, 4, size, stride=stride, padding=padding, has_bias=True)
    Network([layer], [], [4, 5], "float64")
    images = numbers(2, 3, 7, 6, 5)
    outputs = layer.forward(device(images))
    weights = numbers(*host(outputs).shape, seed=1)
    layer.fill_gradients(device(images), device(weights))
    gradient = host(layer.backward(device(images), outputs, device(weights)))
    for run in range(2):
        inputs, weight, bias = (
            torch.tensor(np.ascontiguousarray(array)).requires_grad_()
            for array in (np.moveaxis(images[run], -1, 0), host(layer.weight)[run], host(layer.bias)[run].ravel())
        )
        expected = torch.nn.functional.conv2d(inputs, weight, bias, stride, padding)
        expected.backward(torch.tensor(np.moveaxis(weights[run], -1, 0).copy()))
        assert_allclose(np.moveaxis(host(outputs)[run], -1, 0), expected.detach().numpy(), atol=1e-12)
        assert_allclose(np.moveaxis(gradient[run], -1, 0), inputs.grad.numpy(), atol=1e-12)
        assert_allclose(host(layer.weight_gradient)[run], weight.grad.numpy(), atol=1e-12)
        assert_allclose(host(layer.bias_gradient)[run].ravel(), bias.grad.numpy(), atol=1e-12)


@on_both_array_modules
@pytest.mark.parametrize(("size", "stride", "padding"), [(1, 2, 0), (3, 1, 1), (3, 2, 1)])
def test_gradients_with_stride_and_padding_are_the_slopes_of_the_loss(size, stride, padding):
    layer = Convolution(2, 3, size, stride=stride, padding=padding, has_bias=True)
    network = Network([layer], [], [4, 5], "float64")
    images, direction = numbers(2, 2, 5, 6, 3), numbers(2, 2, 5, 6, 3, seed=1)
    outputs = layer.forward(device(images))
    weights = numbers(*host(outputs).shape, seed=2)
    gradient = host(layer.backward(device(images), outputs, device(weights)))
    expected = slope(lambda x: (weights * host(layer.forward(device(x)))).sum(), images, direction)
    assert (gradient * direction).sum() == pytest.approx(expected, rel=1e-7)
    layer.fill_gradients(device(images), device(weights))
    found, start = host(network.gradients).copy(), host(network.parameters).copy()

    def loss(parameters):
        network.parameters[...] = device(parameters)
        return (weights * host(layer.forward(device(images)))).sum()

    direction = numbers(*start.shape, seed=3)
    assert (found * direction).sum() == pytest.approx(slope(loss, start, direction), rel=1e-7)


def test_of_equal_numbers_in_a_square_the_first_in_reading_order_gets_the_gradient():
    square = device(np.array([[5.0, 5.0], [5.0, 1.0]]).reshape(1, 2, 2, 1))
    pool = MaxPool()
    outputs = pool.forward(square)
    assert host(outputs).ravel().tolist() == [5]
    assert host(pool.backward(square, outputs, device(np.full((1, 1, 1, 1), 3.0)))).ravel().tolist() == [3, 0, 0, 0]


@on_both_array_modules
@pytest.mark.parametrize("position", range(4))
def test_pooling_sends_the_gradient_where_the_maximum_was(position):
    square = np.zeros(4)
    square[position] = 1
    images = device(square.reshape(1, 2, 2, 1))
    pool = MaxPool()
    gradient = pool.backward(images, pool.forward(images), device(np.full((1, 1, 1, 1), 7.0)))
    assert host(gradient).ravel().tolist() == (7 * square).tolist()


@on_both_array_modules
@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (2, 3, 5, 7, 4)])
def test_pooling_with_many_ties_is_a_loop_over_the_squares(shape):
    images = numbers(*shape).round()  # mostly -1, 0 and 1
    pool = MaxPool()
    outputs = pool.forward(device(images))
    output_gradient = numbers(*outputs.shape, seed=1)
    found = host(pool.backward(device(images), outputs, device(output_gradient)))
    expected = np.zeros(shape)
    for *leading, y, x, example in np.ndindex(outputs.shape):
        rows, columns = slice(2 * y, 2 * y + 2), slice(2 * x, 2 * x + 2)
        square = images[(*leading, rows, columns, example)]
        assert host(outputs)[(*leading, y, x, example)] == square.max()
        row, column = np.unravel_index(square.argmax(), (2, 2))  # argmax finds the first
        expected[(*leading, 2 * y + row, 2 * x + column, example)] = output_gradient[(*leading, y, x, example)]
    assert_array_equal(found, expected)


def test_pooling_leaves_out_an_odd_last_row_and_column():
    images = device(numbers(2, 5, 3, 4))
    pool = MaxPool()
    outputs = pool.forward(images)
    assert outputs.shape == (2, 2, 1, 4)
    gradient = host(pool.backward(images, outputs, device(np.ones((2, 2, 1, 4)))))
    assert not gradient[:, 4].any() and not gradient[:, :, 2].any() and gradient.sum() == 16


@on_both_array_modules
def test_flattening_keeps_the_positions_of_a_channel_together():
    """Channel r of a 2 x 2 map owns features 4 r to 4 r + 3, as in PyTorch."""
    images = device(np.arange(3 * 2 * 2).reshape(3, 2, 2, 1))
    assert host(Flatten().forward(images)).ravel().tolist() == list(range(12))


def test_bias_and_relu_commute_with_pooling():
    """So adding the bias after the pooling is the published order, on a quarter of the numbers."""
    bias = Bias(2, fan_in=4)
    Network([bias], [], 3, "float64")
    images = device(numbers(2, 4, 4, 3))
    late = np.maximum(host(bias.forward(MaxPool().forward(images))), 0)
    early = host(MaxPool().forward(device(np.maximum(host(bias.forward(images)), 0))))
    assert_array_equal(late, early)


# The network


@on_both_array_modules
@pytest.mark.parametrize("numbers_in_cache", [1, 1 << 17])  # one row of the outputs at a time, or all at once
@pytest.mark.parametrize("seeds", [3, [3], [3, 4]])
def test_gradients_of_the_network_are_the_slopes_of_its_loss(seeds, numbers_in_cache, monkeypatch):
    """Central differences along random directions of all parameters; relu and max are smooth but on a null set."""
    monkeypatch.setattr(backend, "NUMBERS_IN_CACHE", numbers_in_cache)
    network = convnet(seeds, "float64", **SMALL)
    leading = np.shape(seeds)
    inputs = device(numbers(*leading, 3, 26, 26, 5))
    labels = device(np.broadcast_to(np.arange(5) % 2, (*leading, 5)).copy())

    def loss(parameters):
        network.parameters[...] = device(parameters)
        return float(host(cross_entropy(network.forward(inputs)[-1], labels)[0]).mean(axis=-1).sum())

    start = host(network.parameters).copy()
    for seed in range(5):
        direction = numbers(*start.shape, seed=10 + seed)
        expected = slope(loss, start, direction)
        network.parameters[...] = device(start)
        values = network.forward(inputs)
        gradients = network.backward(values, cross_entropy(values[-1], labels)[1])
        found = (host(network.fill_gradients(values, gradients)) * direction).sum()
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_the_network_of_continual_imagenet_has_its_parameters_and_features():
    network = convnet([0], "float32")
    assert network.num_parameters == 177_218
    values = network.forward(device(np.zeros((1, 3, 32, 32, 2)), "float32"))
    shapes = [values[layer.feature_index].shape[1:-1] for layer in network.hidden]
    assert shapes == [(32, 14, 14), (64, 6, 6), (512,), (128,), (128,)]
    assert values[-1].shape == (1, 2, 2)
    bound = 1 / np.sqrt(75)  # the library default: weights and biases alike
    assert 0.95 * bound < abs(host(network.layers[0].weight)).max() < bound
    assert 0 < abs(host(network.hidden[0].bias.bias)).max() < bound


def test_images_too_small_for_the_kernels_are_refused():
    with pytest.raises(ValueError, match="Images of 10 x 10 pixels are too small"):
        convnet([0], "float32", image_size=10)


def test_a_run_alone_is_itself_among_others():
    block, alone = convnet([3, 7, 8], "float32", **SMALL), convnet([7], "float32", **SMALL)
    inputs = numbers(3, 3, 26, 26, 4).astype("float32")
    for network, chosen in ((block, inputs), (alone, inputs[1:2])):
        values = network.forward(device(chosen))
        labels = device(np.zeros((len(chosen), 4), int))
        network.fill_gradients(values, network.backward(values, cross_entropy(values[-1], labels)[1]))
    assert_array_equal(host(block.parameters)[1], host(alone.parameters)[0])
    assert_array_equal(host(block.gradients)[1], host(alone.gradients)[0])


def test_it_is_the_network_of_pytorch():
    """The same parameters in the same order; rounded inputs make ties, whose gradients must go to the same pixel."""
    torch = pytest.importorskip("torch")
    network = convnet([5], "float64")
    layers = []
    for channels, outputs, size in ((3, 32, 5), (32, 64, 3), (64, 128, 3)):
        layers += [torch.nn.Conv2d(channels, outputs, size), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    layers += [torch.nn.Flatten(), torch.nn.Linear(512, 128), torch.nn.ReLU(), torch.nn.Linear(128, 128)]
    peer = torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Linear(128, 2)).double()
    torch.nn.utils.vector_to_parameters(torch.tensor(host(network.parameters)[0].copy()), peer.parameters())
    images, labels = numbers(10, 3, 32, 32).round(), np.arange(10) % 2
    torch.nn.functional.cross_entropy(peer(torch.tensor(images)), torch.tensor(labels)).backward()
    expected = torch.cat([parameter.grad.ravel() for parameter in peer.parameters()]).numpy()
    values = network.forward(device(np.moveaxis(images, 0, -1)[None]))
    gradients = network.backward(values, cross_entropy(values[-1], device(labels[None]))[1])
    assert_allclose(host(network.fill_gradients(values, gradients))[0], expected, atol=1e-12)


# Continual Backprop: units are channels


def utility_by_hand(utility, features, incoming, outgoing):
    """The utility of a unit with features (S, N), mean incoming magnitude () and mean outgoing magnitudes (S,)."""
    if utility == "contribution":
        return (outgoing * abs(features).mean(axis=-1)).mean()
    return (outgoing * abs(features - features.mean()).mean(axis=-1) / incoming).mean()


@on_both_array_modules
@pytest.mark.parametrize("utility", ["contribution", "adaptable_contribution"])
def test_the_utility_of_a_channel_is_as_published(utility):
    """convGnT: means over examples and positions.

    Between the last convolution and the dense layer each position has outgoing weights of its own, and the utility of
    the channel is the mean over its positions.
    """
    network = convnet([2], "float64", **SMALL)
    rule = ContinualBackprop(replacement_rate=1e-9, utility=utility, decay_rate=0.0).bind(
        network, SGD().bind(network.parameters)
    )
    values = network.forward(device(numbers(1, 3, 26, 26, 4)))
    rule.step(values, 0)
    first, second, last = network.hidden[:3]
    # Between convolutions, all positions of a channel count as examples.
    features = host(values[first.feature_index])[0]  # (3, 12, 12, 4)
    kernels = abs(host(second.incoming.weight))[0]  # (8, 3, 3, 3)
    for unit in range(3):
        incoming, outgoing = abs(host(first.incoming.weight)[0, unit]).mean(), kernels[:, unit].mean(keepdims=True)
        expected = utility_by_hand(utility, features[unit].reshape(1, -1), incoming, outgoing.ravel())
        assert host(rule.units[0]["utility"])[0, unit] == pytest.approx(expected)
    # Between the last convolution and the dense layer, each channel has S features.
    features, weight = host(values[last.feature_index])[0], abs(host(last.outgoing.weight))[0]  # (5 S, 4), (12, 5 S)
    num_positions = len(features) // 5
    for unit in range(5):
        channel = slice(unit * num_positions, (unit + 1) * num_positions)
        incoming, outgoing = abs(host(last.incoming.weight)[0, unit]).mean(), weight[:, channel].mean(axis=0)
        expected = utility_by_hand(utility, features[channel], incoming, outgoing)
        assert host(rule.units[2]["utility"])[0, unit] == pytest.approx(expected)


def replace_one(index, unit):
    """A network after one unit of one hidden layer has been replaced; also the rule and the outputs."""
    network = convnet([2], "float64", **SMALL)
    rule = ContinualBackprop(replacement_rate=0.1).bind(network, SGD().bind(network.parameters))
    inputs = device(numbers(1, 3, 26, 26, 4))
    rule.step(network.forward(inputs), 0)
    rule.replace(index, np.array([0]), device(np.array([unit])), step=1)
    return network, rule, host(network.forward(inputs)[-1])


@on_both_array_modules
@pytest.mark.parametrize("index", range(4))
def test_a_replaced_channel_gets_a_new_kernel_and_no_outgoing_weights(index):
    network, rule, outputs = replace_one(index, 1)
    layer = network.hidden[index]
    bound = 1 / np.sqrt(layer.incoming.num_inputs)
    assert abs(host(layer.incoming.weight)[0, 1]).max() < bound
    assert host(layer.bias.bias)[0, 1].ravel().tolist() == [0]
    outgoing = host(layer.outgoing_weight(layer.outgoing.weight))[0]  # (O, H, S)
    assert not outgoing[:, 1].any() and outgoing[:, 0].all() and outgoing[:, 2].all()
    assert host(rule.units[index]["age"])[0].tolist()[:3] == [1, 0, 1]
    layer.incoming.weight[0, 1] = 9.0  # whatever the channel computes now has no effect on the outputs
    inputs = device(numbers(1, 3, 26, 26, 4))
    assert_allclose(host(network.forward(inputs)[-1]), outputs, atol=1e-12)


def test_a_flattened_channel_has_consecutive_columns_of_the_dense_layer():
    network, *_ = replace_one(2, 3)
    num_positions = network.hidden[2].outgoing.num_inputs // 5
    is_zero = (host(network.hidden[2].outgoing.weight)[0] == 0).all(axis=0)
    assert np.flatnonzero(is_zero).tolist() == list(range(3 * num_positions, 4 * num_positions))


def test_the_published_rule_counts_all_channels():
    """convGnT: each step with an eligible unit adds rho n_l, an eighth of 8: one channel a step from step m on."""
    network = convnet([2, 3], "float64", **SMALL)
    rule = ContinualBackprop(replacement_rate=0.125, rate_counts="all", maturity_threshold=3)
    learner = Learner(network, cross_entropy, SGD(), [rule])
    inputs, labels = device(numbers(2, 3, 26, 26, 4)), device(np.zeros((2, 4), int))
    num_replaced = []
    for _ in range(5):
        learner.step(inputs, labels)
        is_new = host(learner.rules[0].units[1]["age"]) == 0
        num_replaced.append(is_new.sum(axis=-1).tolist())
    assert num_replaced == [[0, 0], [0, 0], [0, 0], [1, 1], [1, 1]]


@on_both_array_modules
def test_a_learner_of_images_resumes_to_the_bit():
    def make():
        rule = ContinualBackprop(replacement_rate=0.05, maturity_threshold=2)
        return Learner(convnet([1, 2], "float32", **SMALL), cross_entropy, SGD(momentum=0.9), [rule])

    def train(learner, steps):
        for step in steps:
            inputs = device(numbers(2, 3, 26, 26, 4, seed=step), "float32")
            learner.step(inputs, device(np.full((2, 4), step % 2)))

    whole, first, second = make(), make(), make()
    train(whole, range(12))
    train(first, range(7))
    second.restore(first.state())
    train(second, range(7, 12))
    assert_array_equal(host(whole.network.parameters), host(second.network.parameters))


def test_misshapen_images_are_refused():
    learner = Learner(convnet([1], "float32", **SMALL), cross_entropy, SGD())
    with pytest.raises(ValueError, match=r"shape \(R, C, Y, X, B\), here \(1, 3, 26, 26, B\)"):
        learner.step(device(np.zeros((1, 3, 24, 26, 4)), "float32"), device(np.zeros((1, 4), int)))
