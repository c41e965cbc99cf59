"""Residual networks: the graph, its layers, the network of class-incremental CIFAR-100, Continual Backprop on it."""

import tracemalloc

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope
from numpy.testing import assert_allclose, assert_array_equal

from minilop.layers import Activation, Convolution, Dense
from minilop.layers.residual import Add, GlobalAveragePool
from minilop.learner import Learner
from minilop.losses import cross_entropy
from minilop.optimizers import SGD
from minilop.plasticity import ContinualBackprop
from minilop.recipes import mlp
from minilop.residual_networks import Graph, resnet

SMALL = {"widths": (4, 6), "blocks": (2, 1), "image_size": 8, "num_outputs": 5}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def gradients_of(network, images, labels):
    values = network.forward(device(images))
    losses, output_gradient = cross_entropy(values[-1], device(labels))
    return values, losses, network.fill_gradients(values, network.backward(values, output_gradient))


# The graph and its layers


@pytest.mark.quick
@on_both_array_modules
def test_a_sum_gives_its_gradient_to_both_by_hand():
    """y = relu(v x) + v x with v = 1 at x = 3 and x = -2: outputs 6 and -2, slopes 2 and 1, dy/dv = 2 * 3 + 1 * -2."""
    dense = Dense(1, 1)
    network = Graph([dense, Activation("relu"), Add(2, 1)], [], [0], "float64")
    network.parameters[...] = device([[1.0, 0.0]])
    values = network.forward(device([[[3.0, -2.0]]]))
    assert host(values[-1]).tolist() == [[[6.0, -2.0]]]
    output_gradient = device([[[1.0, 1.0]]])
    gradients = network.backward(values, output_gradient)
    assert host(gradients[0]).tolist() == [[[2.0, 1.0]]]
    assert host(output_gradient).tolist() == [[[1.0, 1.0]]]  # adding up has left the shared one alone
    assert gradients[1:] == [None, None]  # nothing has a use for these
    assert host(network.fill_gradients(values, gradients)).tolist() == [[2 * 3 + 1 * -2, 2 + 1]]


@pytest.mark.quick
@on_both_array_modules
def test_global_average_pooling_by_hand():
    """1 2 3 4 have the mean 2.5; each gets a quarter of the gradient."""
    pool, image = GlobalAveragePool(), device(np.arange(1.0, 5).reshape(1, 1, 2, 2, 1))
    assert host(pool.forward(image)).tolist() == [[[2.5]]]
    gradient = host(pool.backward(image, pool.forward(image), device([[[8.0]]])))
    assert gradient.shape == (1, 1, 2, 2, 1) and gradient.ravel().tolist() == [2.0] * 4


@pytest.mark.quick
def test_the_gradient_of_global_average_pooling_is_the_slope_of_its_loss():
    pool, images, weights = GlobalAveragePool(), numbers(2, 3, 4, 5, 6), numbers(2, 3, 6, seed=1)
    direction = numbers(*images.shape, seed=2)
    gradient = host(pool.backward(device(images), None, device(weights)))
    expected = slope(lambda x: (weights * host(pool.forward(device(x)))).sum(), images, direction)
    assert (gradient * direction).sum() == pytest.approx(expected, rel=1e-8)


@pytest.mark.quick
def test_a_graph_without_named_sources_is_a_plain_network_to_the_bit():
    plain = mlp((4, 5, 3), "relu", [1, 2], "float32")
    graph = Graph([Dense(4, 5, "relu"), Activation("relu"), Dense(5, 3)], [], [1, 2], "float32", (4,))
    images, labels = numbers(2, 4, 6).astype("float32"), np.arange(12).reshape(2, 6) % 3
    for found, expected in zip(gradients_of(graph, images, labels)[1:], gradients_of(plain, images, labels)[1:]):
        assert_array_equal(host(found), host(expected))


@on_both_array_modules
def test_gradients_of_a_residual_network_are_the_slopes_of_its_loss():
    """Identity and convolutional shortcuts, strides of 2 on odd maps, and normalization, all at once."""
    network = resnet([1, 2], "float64", **{**SMALL, "image_size": 7})  # seeds for which no relu is too near its kink
    images, labels = numbers(2, 3, 7, 7, 6), np.arange(12).reshape(2, 6) % 5

    def loss(parameters):
        network.parameters[...] = device(parameters)
        return host(cross_entropy(network.forward(device(images))[-1], device(labels))[0]).mean(axis=-1).sum()

    start = host(network.parameters).copy()
    found = host(gradients_of(network, images, labels)[2]).copy()
    for seed in range(3):
        direction = numbers(*start.shape, seed=10 + seed)
        assert (found * direction).sum() == pytest.approx(slope(loss, start, direction), rel=1e-5)


# The network


def test_the_network_of_class_incremental_cifar_has_its_parameters_and_hidden_layers():
    network = resnet([0], "float32")
    assert network.num_parameters == 11_224_932
    network.begin_evaluation()
    values = network.forward(device(np.zeros((1, 3, 32, 32, 1)), "float32"))
    shapes = [values[layer.feature_index].shape[1:-1] for layer in network.hidden]
    assert shapes == [(64, 32, 32)] * 5 + [(128, 16, 16)] * 4 + [(256, 8, 8)] * 4 + [(512, 4, 4)] * 3 + [(512,)]
    assert values[-1].shape == (1, 100, 1)
    convolutions = [layer for layer in network.layers if isinstance(layer, Convolution) and layer.size == 3]
    assert [layer.incoming for layer in network.hidden] == convolutions
    assert [layer.outgoing for layer in network.hidden] == [*convolutions[1:], network.layers[-1]]
    for layer in network.hidden:
        assert network.layers[layer.incoming.index + 1] is layer.normalization and layer.bias is layer.incoming
    # One layer after the other by its law: variance 2 / fan_in of convolutions, 1 / fan_in of the head, no biases.
    for layer in network.weighted_layers:
        weight, expected = host(layer.weight), (1 if isinstance(layer, Dense) else 2) / layer.num_inputs
        assert weight.var() == pytest.approx(expected, rel=6 * np.sqrt(2 / weight.size))
        assert abs(weight).max() > 1.05 * np.sqrt(3 * expected)  # not uniform
        assert not host(layer.bias).any()


def test_features_of_second_convolutions_are_the_outputs_of_their_blocks():
    network = resnet([3], "float64", **SMALL)
    values = network.forward(device(numbers(1, 3, 8, 8, 4)))
    stem, first, second = (host(values[layer.feature_index]) for layer in network.hidden[:3])
    branch = host(values[network.hidden[2].incoming.index + 2])  # after its normalization
    assert (first >= 0).all() and first.shape == stem.shape
    assert_array_equal(second, np.maximum(branch + stem, 0))
    assert_array_equal(host(values[network.hidden[-1].feature_index]), host(values[-3]).mean(axis=(-3, -2)))


@pytest.mark.parametrize("stages", [{"widths": (4,), "blocks": (1, 1)}, {"widths": (4, 0), "blocks": (1, 1)}])
def test_stages_that_do_not_fit_together_are_refused(stages):
    with pytest.raises(ValueError, match="Every stage needs a width and a number of blocks"):
        resnet([0], "float32", **stages)


def make_learner(seeds, **changes):
    network = resnet(seeds, "float32", **SMALL)
    rule = ContinualBackprop(**{**PUBLISHED, **changes})
    return Learner(network, cross_entropy, SGD(momentum=0.9, weight_decay=5e-4), [rule])


def learn(learner, seeds, steps):
    for step in steps:
        images = np.stack([numbers(3, 8, 8, 6, seed=100 * seed + step) for seed in seeds])
        learner.step(device(images, "float32"), device(np.tile(np.arange(6) % 5, (len(seeds), 1))))


PUBLISHED = {
    "replacement_rate": 0.1,
    "maturity_threshold": 1,
    "utility": "contribution",
    "average": "lifetime_activity",
    "fresh_weights": "normal",
    "rate_counts": "all",
    "bias_correction": False,
}


def test_a_run_alone_is_itself_among_others_to_the_bit():
    states = []
    for seeds in ([5], [4, 5, 6]):
        learner = make_learner(seeds)
        learn(learner, seeds, range(5))
        states.append({name: array[seeds.index(5)] for name, array in learner.state().items() if array.ndim})
    for name, array in states[0].items():
        assert_array_equal(array, states[1][name], name)


def test_a_learner_resumes_to_the_bit():
    whole, first, second = (make_learner([1, 2]) for _ in range(3))
    learn(whole, [1, 2], range(6))
    learn(first, [1, 2], range(4))
    second.restore(first.state())
    learn(second, [1, 2], range(4, 6))
    for name, array in whole.state().items():
        assert_array_equal(array, second.state()[name], name)


# Continual Backprop


def test_a_step_replaces_the_units_and_only_those_that_a_loop_over_them_replaces():
    """res_gnt.py, unit by unit, with decisions of the loop's own: 4 steps; units are eligible from the second on."""
    network = resnet([7, 8], "float64", **SMALL)
    rule = ContinualBackprop(**{**PUBLISHED, "replacement_rate": 0.15}).bind(network, SGD().bind(network.parameters))
    sums = [np.zeros((2, layer.incoming.num_outputs)) for layer in network.hidden]
    ages = [np.zeros(array.shape, int) for array in sums]
    due = [0.0] * len(sums)
    num_replaced = 0
    for step in range(4):
        network.parameters[...] += device(0.1 * numbers(*network.parameters.shape, seed=step))  # biases and scales, too
        values = network.forward(device(numbers(2, 3, 8, 8, 4, seed=step)))
        before = host(network.parameters).copy()
        buffers = {name: host(array).copy() for name, array in network.buffers().items()}
        chosen = []
        for index, layer in enumerate(network.hidden):
            features = host(values[layer.feature_index])
            places = tuple(range(2, features.ndim))
            ages[index] += 1
            sums[index] += (1 - 0.99) * abs(features).mean(axis=places)
            if ages[index].max() > 1:
                due[index] += 0.15 * ages[index].shape[1]
            number = int(due[index])
            due[index] -= number
            for run in range(2):
                weight = abs(host(layer.outgoing.weight)[run])
                utility = weight.reshape(len(weight), ages[index].shape[1], -1).mean(axis=(0, 2)) * sums[index][run]
                utility[ages[index][run] <= 1] = np.inf
                chosen += [(index, run, unit) for unit in np.argsort(utility, kind="stable")[:number]]
        rule.step(values, step)
        expected = network.views(before)
        found = [{name: host(array) for name, array in views.items()} for views in network.views(network.parameters)]
        for index, run, unit in chosen:
            layer = network.hidden[index]
            own, norm = expected[layer.incoming.index], expected[layer.normalization.index]
            fresh = found[layer.incoming.index]["weight"][run, unit].copy()
            own["weight"][run, unit], own["bias"][run, unit] = fresh, 0
            norm["scale"][run, unit], norm["bias"][run, unit] = 1, 0
            buffers[f"running_mean.{layer.normalization.index}"][run, unit] = 0
            buffers[f"running_variance.{layer.normalization.index}"][run, unit] = 1
            assert abs(fresh).max() < 6 * np.sqrt(2 / layer.incoming.num_inputs) and fresh.any()
            ages[index][run, unit] = 0
        for index, run, unit in chosen:  # after all fresh rows: nothing leaves a new unit of the layer below
            outgoing = expected[network.hidden[index].outgoing.index]["weight"]
            again = (index + 1, run) in {place[:2] for place in chosen}
            rows = [row for row in range(outgoing.shape[1]) if not (again and (index + 1, run, row) in chosen)]
            outgoing[run][rows, unit] = 0
        for layer, views in zip(found, expected):
            for name, array in views.items():
                assert_array_equal(layer[name], array)
        for name, array in network.buffers().items():
            assert_array_equal(host(array), buffers[name])
        num_replaced += len(chosen)
    assert num_replaced > 8
    for index, units in enumerate(rule.units):
        assert_array_equal(host(units["age"]), ages[index])
        assert_allclose(host(units["utility"]), sums[index], rtol=1e-12)  # never reset, as published


@on_both_array_modules
def test_shortcut_consumers_are_the_layers_that_a_channel_reaches_unweighted():
    """The stem's channels run through both blocks of the first stage into the second, where a convolution ends them."""
    network = resnet([2], "float64", **SMALL)
    _, *inner = [layer.incoming for layer in network.hidden]
    projection = next(layer for layer in network.layers if isinstance(layer, Convolution) and layer.size == 1)
    head = network.layers[-1]
    assert [layer.outgoing for layer in network.hidden] == [*inner, head]
    assert [layer.shortcut_consumers for layer in network.hidden] == [
        (inner[2], inner[4], projection),  # stem
        (),  # inside a block
        (inner[4], projection),
        (),
        (projection,),
        (),
        (),
    ]
    # Without weights to all of these, and only then, a channel of the stem has no effect on the outputs.
    images, stem = device(numbers(1, 3, 8, 8, 4)), network.hidden[0]
    *others, last = (stem.outgoing, *stem.shortcut_consumers)
    for consumer in others:
        consumer.weight[0, :, 1] = 0
    assert change_of_outputs(network, images, stem, 1) > 1e-6
    last.weight[0, :, 1] = 0
    assert change_of_outputs(network, images, stem, 1) < 1e-12


def change_of_outputs(network, images, layer, unit):
    """How much the outputs change when the unit is given other incoming weights; these are restored."""
    before, weight = host(network.forward(images)[-1]), host(layer.incoming.weight)[0, unit].copy()
    layer.incoming.weight[0, unit] = device(numbers(*layer.incoming.row_shape, seed=9))
    change = abs(host(network.forward(images)[-1]) - before).max()
    layer.incoming.weight[0, unit] = device(weight)
    return change


def test_a_unit_replaced_as_published_has_an_effect_through_shortcuts():
    """Hidden layers 0 to 6: stem, two blocks of two, one block of two with a convolution in its shortcut."""
    images, has_effect = device(numbers(1, 3, 8, 8, 4)), []
    for index in range(7):
        network = resnet([2], "float64", **SMALL)
        rule = ContinualBackprop(**PUBLISHED).bind(network, SGD().bind(network.parameters))
        rule.replace(index, np.array([0]), device(np.array([1])), step=1)
        has_effect.append(bool(change_of_outputs(network, images, network.hidden[index], 1) > 1e-12))
    assert has_effect == [True, False, True, False, True, False, False]


# Against PyTorch


def torch_twin(torch, widths, blocks, num_outputs):
    """The same network in torch.nn; returns it with its batch normalizations in our order of layers."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, num_inputs, width, stride):
            super().__init__()
            self.branch = nn.Sequential(
                *(nn.Conv2d(num_inputs, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()),
                *(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width)),
            )
            self.shortcut = nn.Identity()
            if stride == 2:
                self.shortcut = nn.Sequential(nn.Conv2d(num_inputs, width, 1, stride), nn.BatchNorm2d(width))

        def forward(self, x):
            return torch.relu(self.branch(x) + self.shortcut(x))

    layers, num_inputs = [nn.Conv2d(3, widths[0], 3, 1, 1), nn.BatchNorm2d(widths[0]), nn.ReLU()], widths[0]
    for stage, (width, number) in enumerate(zip(widths, blocks)):
        for block in range(number):
            layers.append(Block(num_inputs, width, 2 if stage and not block else 1))
            num_inputs = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(num_inputs, num_outputs)]
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize(
    "family",
    [
        pytest.param({}, id="full", marks=pytest.mark.campaign),
        pytest.param({"widths": (8, 12), "blocks": (1, 2), "num_outputs": 7}, id="small member"),
    ],
)
def test_it_is_the_network_of_pytorch(family, array_module):
    """Outputs, all gradients and running statistics of two steps, and an evaluation."""
    torch = pytest.importorskip("torch")
    if array_module == "strict" and not family:
        pytest.skip("the small member is enough")
    torch.set_num_threads(1)
    shape = {"widths": (64, 128, 256, 512), "blocks": (2, 2, 2, 2), "num_outputs": 100, **family}
    network = resnet([5], "float64", **shape)
    peer = torch_twin(torch, **shape)
    start = host(network.parameters)[0] + 0.01 * numbers(network.num_parameters, seed=3)  # biases and scales, too
    network.parameters[0] = device(start)
    torch.nn.utils.vector_to_parameters(torch.tensor(start), peer.parameters())
    labels = np.arange(8) % shape["num_outputs"]
    images = numbers(8, 3, 32, 32)
    values, *_ = gradients_of(network, np.moveaxis(images, 0, -1)[None], labels[None])
    outputs = peer(torch.tensor(images))
    torch.nn.functional.cross_entropy(outputs, torch.tensor(labels)).backward()
    outputs = outputs.detach().numpy().T
    assert_allclose(host(values[-1])[0], outputs, atol=1e-9 * abs(outputs).max())
    for layer, parameters in zip(parameter_layers(network), torch_layers(torch, peer)):
        for name, expected in parameters.items():
            found, expected = host(getattr(layer, name))[0].ravel(), expected.detach().numpy().ravel()
            # Biases that a normalization takes away again have no gradient, so their rounding is that of the weights'.
            scale = (
                abs(next(iter(parameters.values())).numpy()).max() if name == "bias_gradient" else abs(expected).max()
            )
            assert_allclose(found, expected, rtol=0, atol=1e-9 * scale, err_msg=f"{name} of {type(layer).__name__}")
    peer.eval()
    network.begin_evaluation()
    outputs = peer(torch.tensor(images)).detach().numpy().T
    found = host(network.forward(device(np.moveaxis(images, 0, -1)[None]))[-1])[0]
    assert_allclose(found, outputs, atol=1e-9 * abs(outputs).max())


def parameter_layers(network):
    return [layer for layer in network.layers if layer.parameter_shapes()]


def torch_layers(torch, peer):
    """What each layer with parameters must have, by our names."""
    for module in peer.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            weight = module.weight.grad
            statistics = {"running_mean": module.running_mean, "running_variance": module.running_var}
            yield {"scale_gradient": weight, "bias_gradient": module.bias.grad, **statistics}
        elif isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            yield {"weight_gradient": module.weight.grad, "bias_gradient": module.bias.grad}


def test_a_look_sees_the_features_that_a_forward_pass_makes_and_keeps_fewer_values():
    """The peak of 40 images of the smallest member is well below that of a forward pass, which keeps all values."""
    network = resnet([1, 2], "float32", widths=(8, 16), blocks=(2, 2), image_size=16)
    images = device(numbers(2, 3, 16, 16, 40), "float32")
    peaks, found = [], []
    for look in (
        lambda: [layer.unit_features(values) for values in [network.forward(images)] for layer in network.hidden],
        lambda: [features.copy() for features in network.hidden_features(images)],
        lambda: [features.shape[-2] for features in network.hidden_features(images)],
    ):
        tracemalloc.start()
        found.append(look())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    for expected, seen in zip(found[0], found[1], strict=True):
        assert_array_equal(host(seen), host(expected))
    assert found[2] == [layer.incoming.num_outputs for layer in network.hidden]
    assert peaks[2] < 0.6 * peaks[0]
