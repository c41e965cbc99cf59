"""Networks: one vector and its views, the recipes, and the gradient of everything against central differences."""

import math

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope

from minilop import state
from minilop.layers import Activation, Dense
from minilop.layers.activation import ActivationName
from minilop.layers.dense import product
from minilop.losses import Loss, cross_entropy, squared_error
from minilop.networks import Network
from minilop.recipes import convnet, linear, mlp

pytestmark = pytest.mark.quick

LEADING = [(), (3,)]


def seeds(leading: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(leading)).reshape(leading)


def test_parameters_lie_in_the_order_of_pytorch() -> None:
    """Layer after layer, the weight (O, I) before its bias (O, 1)."""
    network = mlp((3, 4, 2), "relu", [1, 2], "float32")
    assert network.num_parameters == 3 * 4 + 4 + 4 * 2 + 2
    assert network.parameters.shape == network.gradients.shape == (2, network.num_parameters)
    network.parameters[...] = device(np.arange(26))
    first, second = network.dense_layers
    assert host(first.weight)[1].tolist() == np.arange(12).reshape(4, 3).tolist()
    assert host(first.bias)[0].tolist() == [[12], [13], [14], [15]]
    assert host(second.weight)[0].tolist() == [[16, 17, 18, 19], [20, 21, 22, 23]]
    assert host(second.bias)[0].tolist() == [[24], [25]]


@on_both_array_modules
@pytest.mark.parametrize("leading", LEADING)
def test_a_layer_and_the_vector_share_their_memory(leading: tuple[int, ...]) -> None:
    network = mlp((3, 4, 2), "relu", seeds(leading), "float64")
    layer = network.dense_layers[0]
    layer.weight[...] = 7
    layer.bias[...] = 8
    layer.weight_gradient[...] = 9
    assert (host(network.parameters)[..., :12] == 7).all() and (host(network.parameters)[..., 12:16] == 8).all()
    assert (host(network.gradients)[..., :12] == 9).all() and (host(network.gradients)[..., 12:] == 0).all()
    network.parameters *= 2
    assert (host(layer.weight) == 14).all() and (host(layer.bias) == 16).all()


def test_the_same_views_lie_over_any_vector_of_the_same_length() -> None:
    network = mlp((3, 4, 2), "relu", [1, 2], "float64")
    moment = network.zeros(network.num_parameters)
    views = network.views(moment)
    assert [list(view) for view in views] == [["weight", "bias"], [], ["weight", "bias"]]
    views[2]["weight"][...] = 1
    assert host(moment)[0].tolist() == [0] * 16 + [1] * 8 + [0] * 2


@on_both_array_modules
@pytest.mark.parametrize("sizes", [(3, 4, 2), (30, 40, 2)])
def test_the_parameters_of_a_run_lie_side_by_side_in_memory(sizes: tuple[int, ...]) -> None:
    """In networks of all sizes, so that a run is computed in the same order alone and among others."""
    network = mlp(sizes, "relu", [1, 2, 3], "float64")
    for array in (network.parameters, network.gradients, network.zeros(5)):
        assert array.strides == (8 * array.shape[-1], 8)


def test_layer_sizes_are_the_numbers_of_parameters_of_all_layers() -> None:
    """0 for those without parameters."""
    assert mlp((3, 4, 2), "relu", [1, 2], "float32").layer_sizes == [3 * 4 + 4, 0, 4 * 2 + 2]
    images = convnet([1], "float32", image_size=6, num_channels=2, kernels=((3, 3),), dense_units=(), batch_norm=True)
    # convolution, normalization, pooling, activation, flattening, dense
    assert images.layer_sizes == [3 * 2 * 9, 3 + 3, 0, 0, 0, 2 * 3 * 4 + 2]
    assert sum(images.layer_sizes) == images.num_parameters
    assert images.weighted_layers == [images.layers[0], images.layers[5]]
    assert images.dense_layers == [images.layers[5]]


def test_mlp_is_dense_layers_with_an_activation_after_each_but_the_last() -> None:
    network = mlp((3, 5, 4, 2), "tanh", [1], "float32")
    assert [type(layer) for layer in network.layers] == [Dense, Activation, Dense, Activation, Dense]
    assert [(layer.num_inputs, layer.num_outputs) for layer in network.dense_layers] == [(3, 5), (5, 4), (4, 2)]
    first, second = network.hidden
    assert first.incoming is network.layers[0] and first.outgoing is second.incoming is network.layers[2]
    assert second.outgoing is network.layers[4]


def test_the_last_layer_starts_as_one_without_an_activation() -> None:
    network = mlp((3, 12, 2), "relu", [1], "float32")
    assert network.dense_layers[0].weight_bound == pytest.approx(math.sqrt(2) * math.sqrt(3 / 3))
    assert network.dense_layers[1].weight_bound == pytest.approx(math.sqrt(3 / 12))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_features_are_what_the_activation_gives_before_anything_is_dropped(dropout: float) -> None:
    network = mlp((3, 40, 30, 2), "sigmoid", [1, 2], "float64", dropout=dropout)
    network.begin_step(0)
    values = network.forward(device(np.ones((2, 3, 1))))
    for layer in network.hidden:
        features = host(values[layer.feature_index])
        assert features.shape == (2, layer.incoming.num_outputs, 1)
        assert (features > 0).all() and (features < 1).all()  # a sigmoid is never 0, a dropped feature is
        if dropout:
            assert (host(values[layer.feature_index + 1]) == 0).any()


@on_both_array_modules
def test_forward_by_hand() -> None:
    """h = relu(W x + b), y = V h + c, with two inputs, two units and one output."""
    network = mlp((2, 2, 1), "relu", 0, "float64")
    network.parameters[...] = device([1.0, 2.0, -3.0, 4.0, 0.5, -0.5, 10.0, 100.0, 7.0])
    values = network.forward(device([[1.0, 2.0], [1.0, 1.0]]))  # (I, B)
    assert host(values[1]).tolist() == [[1 + 2 + 0.5, 2 + 2 + 0.5], [-3 + 4 - 0.5, -6 + 4 - 0.5]]
    assert host(values[2]).tolist() == [[3.5, 4.5], [0.5, 0]]
    assert host(values[3]).tolist() == [[10 * 3.5 + 100 * 0.5 + 7, 10 * 4.5 + 7]]


def test_linear_is_one_dense_layer_without_hidden_units() -> None:
    network = linear((3,), 2, [1, 2], "float32")
    assert [type(layer) for layer in network.layers] == [Dense]
    assert not network.hidden and network.num_parameters == 8


def whole_gradient(network: Network, loss: Loss, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    values = network.forward(device(inputs))
    _, output_gradient = loss(values[-1], device(targets))
    return host(network.fill_gradients(values, network.backward(values, output_gradient))).copy()


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("leading", LEADING)
@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
@pytest.mark.parametrize("kind", ["relu", "tanh", "swish", "dropout", "linear"])
def test_gradient_of_a_network_is_the_central_difference(
    kind: str, loss: Loss, leading: tuple[int, ...], batch: int
) -> None:
    """Along a random direction, which shows a wrong entry anywhere, and for every run by itself."""
    random = np.random.default_rng(1)
    if kind == "linear":
        network = linear((3,), 4, seeds(leading), "float64")
    else:
        activation: ActivationName = "tanh" if kind == "dropout" else kind
        network = mlp((3, 6, 5, 4), activation, seeds(leading), "float64", dropout=0.4 * (kind == "dropout"))
    network.begin_step(5)
    inputs = random.normal(size=leading + (3, batch))
    if loss is cross_entropy:
        targets = random.integers(4, size=leading + (batch,))
    else:
        targets = random.normal(size=leading + (4, batch))

    def mean_losses(parameters: np.ndarray) -> np.ndarray:
        network.parameters[...] = device(parameters)
        return host(loss(network.forward(device(inputs))[-1], device(targets))[0]).mean(axis=-1)

    point = host(network.parameters).copy()
    direction = random.normal(size=point.shape)
    gradient = whole_gradient(network, loss, inputs, targets)
    # A direction of 80 entries is about 9 long; the third derivative times its length cubed times 1e-12 / 6 and
    # rounding of losses up to 50 stay below 1e-6.
    np.testing.assert_allclose((gradient * direction).sum(axis=-1), slope(mean_losses, point, direction), atol=1e-6)


@on_both_array_modules
def test_every_entry_of_the_gradient_is_the_central_difference() -> None:
    network = mlp((2, 3, 2), "tanh", 3, "float64")
    random = np.random.default_rng(0)
    inputs, labels = random.normal(size=(2, 5)), random.integers(2, size=5)
    gradient = whole_gradient(network, cross_entropy, inputs, labels)
    point = host(network.parameters).copy()

    def mean_loss(parameters: np.ndarray) -> float:
        network.parameters[...] = device(parameters)
        return host(cross_entropy(network.forward(device(inputs))[-1], device(labels))[0]).mean()

    found = [slope(mean_loss, point, direction) for direction in np.eye(len(point))]
    np.testing.assert_allclose(gradient, found, rtol=0, atol=1e-8)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1), (2, 3, 1), (4, 5, 2), (12, 30, 20, 2)])
def test_a_run_alone_is_the_run_among_others_to_the_bit(
    sizes: tuple[int, ...], activation: ActivationName, batch: int
) -> None:
    """The smallest networks, too."""
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(5, sizes[0], batch)), random.normal(size=(5, sizes[-1], batch))
    together, alone = (mlp(sizes, activation, each, "float64") for each in ([7, 8, 9, 3, 4], [8]))
    assert (host(together.parameters)[1] == host(alone.parameters)[0]).all()
    found = whole_gradient(together, squared_error, inputs, targets)[1]
    assert (found == whole_gradient(alone, squared_error, inputs[1:2], targets[1:2])[0]).all()


@on_both_array_modules
@pytest.mark.parametrize("leading", LEADING)
@pytest.mark.parametrize("shape", [(4, 1, 1), (4, 1, 3), (1, 5, 1), (4, 5, 3), (1, 1, 1)], ids=str)
def test_the_product_of_a_dense_layer_is_that_of_matrices(leading: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """(R, O, I) and (R, I, B); with a single input nothing is summed, so that case is equal to the bit as well."""
    num_outputs, num_inputs, batch = shape
    random = np.random.default_rng(0)
    matrices = random.normal(size=(*leading, num_outputs, num_inputs))
    columns = random.normal(size=(*leading, num_inputs, batch))
    found = host(product(device(matrices), device(columns)))
    assert found.shape == (*leading, num_outputs, batch)
    assert (found == matrices @ columns).all()


def test_networks_without_and_with_the_runs_axis_are_the_same() -> None:
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(4, 6)), random.integers(2, size=6)
    without, with_axis = mlp((4, 5, 2), "relu", 8, "float64"), mlp((4, 5, 2), "relu", [8], "float64")
    assert (host(without.parameters) == host(with_axis.parameters)[0]).all()
    found = whole_gradient(without, cross_entropy, inputs, targets)
    expected = whole_gradient(with_axis, cross_entropy, inputs[None], targets[None])[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_computes_in_its_own_precision(dtype: str) -> None:
    network = mlp((3, 4, 2), "relu", [1, 2], dtype, dropout=0.5)
    network.begin_step(0)
    values = network.forward(device(np.ones((2, 3, 1)), dtype))
    gradients = network.backward(values, values[-1])
    assert {array.dtype for array in [*values, *gradients, network.parameters, network.gradients]} == {np.dtype(dtype)}


def test_an_evaluation_ends_where_the_next_step_begins() -> None:
    network = mlp((3, 50, 2), "sigmoid", [1], "float64", dropout=0.5)
    inputs = device(np.ones((1, 3, 1)))
    network.begin_step(0)
    learning = host(network.forward(inputs)[-1])
    network.begin_evaluation()
    evaluating = host(network.forward(inputs)[-1])
    network.begin_step(0)
    assert (host(network.forward(inputs)[-1]) == learning).all()
    assert (evaluating != learning).all()


@pytest.mark.parametrize("seeds", [[], [-1], [2**32], 2**32])
def test_a_seed_must_be_a_word_of_the_generator(seeds):
    with pytest.raises(ValueError, match="at least one seed, and all seeds must be whole numbers from 0 to"):
        mlp((2, 3, 1), "relu", seeds, "float32")


def test_the_example_in_the_documentation_of_draws_is_what_is_drawn():
    weight = host(mlp((20, 5, 1), "relu", [0], "float32").layers[0].weight)
    np.testing.assert_allclose(weight[0, 0, :3], [-0.0725802, -0.3501955, 0.3690068], atol=5e-8)


def test_networks_with_and_without_dropout_begin_with_the_same_weights():
    """Layers without parameters take no number, so learners can be compared run by run."""
    plain, dropping = mlp((4, 5, 6, 2), "relu", [7], "float32"), mlp((4, 5, 6, 2), "relu", [7], "float32", dropout=0.5)
    np.testing.assert_array_equal(host(plain.parameters), host(dropping.parameters))
    assert [layer.number for layer in plain.dense_layers] == [0, 1, 2]


def test_parameters_are_stored_and_loaded_by_name() -> None:
    """Another implementation's arrays go in, and come out again, without a position in the vector."""
    sizes = {"image_size": 8, "num_channels": 2, "kernels": [(3, 3)], "dense_units": (4,)}
    network = convnet([0, 1], "float64", batch_norm=True, **sizes)
    views = network.named(network.parameters)
    assert list(views) == [
        *("weight/0", "normalization_scale/0", "normalization_bias/0"),
        *("weight/1", "bias/1", "normalization_scale/1", "normalization_bias/1", "weight/2", "bias/2"),
    ]
    stored = state.copied(views)
    network.parameters[...] = 7
    state.restore(network.named(network.parameters), {**stored, "weight/2": np.zeros((2, 2, 4))})
    assert not host(network.dense_layers[-1].weight).any()
    np.testing.assert_array_equal(host(network.weighted_layers[0].weight), stored["weight/0"])
