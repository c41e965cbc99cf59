"""The same networks in PyTorch: activations, losses, gradients, initial bounds and fifty steps of each optimizer.

All in float64, where the two libraries differ by the order of their sums alone.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from minilop.initialization import GAINS, weight_bound
from minilop.layers import Activation
from minilop.layers.activation import ActivationName
from minilop.losses import Loss, cross_entropy, squared_error
from minilop.networks import Network
from minilop.optimizers import SGD, Adam
from minilop.optimizers.optimizer import Optimizer
from minilop.recipes import convnet, mlp

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
functional = torch.nn.functional

TORCH_ACTIVATIONS: dict[ActivationName, Any] = {
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "elu": torch.nn.ELU,
    "swish": torch.nn.SiLU,
    "identity": torch.nn.Identity,
}
SIZES = (5, 7, 6, 4)


def torch_mean_loss(loss: Loss, outputs: Any, targets: np.ndarray) -> Any:
    """PyTorch's examples come first: outputs (B, O)."""
    if loss is cross_entropy:
        return functional.cross_entropy(outputs, torch.from_numpy(targets))
    return ((outputs - torch.from_numpy(targets.T.copy())) ** 2).sum(dim=1).mean()


def twin(network: Network, activation: ActivationName, run: int) -> Any:
    """PyTorch's network with the parameters of one run: its own order is that of the flat vector."""
    layers: list[Any] = []
    for num_inputs, num_outputs in pairwise(SIZES):
        layers += [torch.nn.Linear(num_inputs, num_outputs, dtype=torch.float64), TORCH_ACTIVATIONS[activation]()]
    model = torch.nn.Sequential(*layers[:-1])
    parameters = torch.from_numpy(np.ascontiguousarray(network.parameters[run]))
    torch.nn.utils.vector_to_parameters(parameters, model.parameters())
    return model


def flat(tensors: Any) -> np.ndarray:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).numpy()


def mini_batch(loss: Loss, batch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (R, I, B), and labels (R, B) or targets (R, O, B), of two runs."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(2, SIZES[0], batch))
    if loss is cross_entropy:
        return inputs, random.integers(SIZES[-1], size=(2, batch))
    return inputs, random.normal(size=(2, SIZES[-1], batch))


@pytest.mark.quick
@pytest.mark.parametrize("activation", TORCH_ACTIVATIONS)
def test_activation_and_its_derivative_are_those_of_pytorch(activation: ActivationName) -> None:
    z = np.concatenate([np.linspace(-30, 30, 1201), [0.0, -0.0, 1e-9, -1e-9]])  # kinks and tails too
    layer = Activation(activation)
    outputs = layer.forward(z)
    inputs = torch.from_numpy(z.copy()).requires_grad_()
    expected = TORCH_ACTIVATIONS[activation]()(inputs)
    expected.sum().backward()
    # sigmoid by tanh has an absolute error of one rounding of 1/2, swish that times |z| = 30
    np.testing.assert_allclose(outputs, expected.detach().numpy(), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(layer.backward(z, outputs, np.ones_like(z)), inputs.grad.numpy(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
@pytest.mark.parametrize("activation", TORCH_ACTIVATIONS)
def test_losses_and_gradients_of_a_network_are_those_of_pytorch(
    activation: ActivationName, loss: Loss, batch: int
) -> None:
    network = mlp(SIZES, activation, [1, 2], "float64", scheme="default")
    inputs, targets = mini_batch(loss, batch, seed=0)
    values = network.forward(inputs)
    losses, output_gradient = loss(values[-1], targets)
    gradients = network.fill_gradients(values, network.backward(values, output_gradient))
    for run in range(2):
        model = twin(network, activation, run)
        expected = torch_mean_loss(loss, model(torch.from_numpy(inputs[run].T.copy())), targets[run])
        expected.backward()
        # Three layers of sums of at most eight numbers near 1.
        assert losses[run].mean() == pytest.approx(expected.item(), rel=1e-13)
        expected_gradient = flat(parameter.grad for parameter in model.parameters())
        np.testing.assert_allclose(gradients[run], expected_gradient, rtol=0, atol=1e-13)


OPTIMIZERS: list[tuple[Optimizer, Callable]] = [
    (SGD(0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    (
        SGD(0.02, momentum=0.9, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=0.01),
    ),
    (Adam(0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
    (
        Adam(0.01, 0.99, 0.99, 1e-5, weight_decay=0.01),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.99, 0.99), eps=1e-5, weight_decay=0.01),
    ),
]


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
@pytest.mark.parametrize("ours, theirs", OPTIMIZERS, ids=["sgd", "momentum_and_decay", "adam", "adam_with_decay"])
def test_fifty_steps_are_those_of_pytorch(ours: Optimizer, theirs: Callable, loss: Loss, batch: int) -> None:
    network = mlp(SIZES, "tanh", [1, 2], "float64", scheme="default")
    optimizer = ours.bind(network.parameters)
    models = [twin(network, "tanh", run) for run in range(2)]
    optimizers = [theirs(model.parameters()) for model in models]
    for step in range(50):
        inputs, targets = mini_batch(loss, batch, seed=step)
        values = network.forward(inputs)
        _, output_gradient = loss(values[-1], targets)
        optimizer.step(network.parameters, network.fill_gradients(values, network.backward(values, output_gradient)))
        for run, model in enumerate(models):
            optimizers[run].zero_grad()
            torch_mean_loss(loss, model(torch.from_numpy(inputs[run].T.copy())), targets[run]).backward()
            optimizers[run].step()
    for run, model in enumerate(models):
        # Rounding of 1e-16 a step, which a smooth network carries on; Adam divides by small roots at the beginning.
        np.testing.assert_allclose(network.parameters[run], flat(model.parameters()), rtol=0, atol=1e-10)


@pytest.mark.quick
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh", "sigmoid", "identity"])
def test_gains_are_those_of_pytorch(name: ActivationName) -> None:
    theirs = "linear" if name == "identity" else name
    assert GAINS[name] == pytest.approx(torch.nn.init.calculate_gain(theirs))


@pytest.mark.quick
def test_bounds_are_those_of_pytorch() -> None:
    """The largest of 100,000 uniform numbers is within one part in a thousand of their bound."""
    torch.manual_seed(0)
    weight = torch.empty(1000, 100)
    torch.nn.init.kaiming_uniform_(weight, nonlinearity="relu")
    assert weight.abs().max().item() == pytest.approx(weight_bound("kaiming", "relu", 100, 1000), rel=1e-3)
    torch.nn.init.xavier_uniform_(weight, gain=5 / 3)
    assert weight.abs().max().item() == pytest.approx(weight_bound("xavier", "tanh", 100, 1000), rel=1e-3)
    default = torch.nn.Linear(100, 1000).weight
    assert default.abs().max().item() == pytest.approx(weight_bound("default", "relu", 100, 1000), rel=1e-3)


@pytest.mark.quick
@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("activation", TORCH_ACTIVATIONS)
def test_a_convolutional_network_pools_activations_as_published(activation: ActivationName, batch_norm: bool) -> None:
    """Convolution, (normalization,) activation, pooling, in this order, whatever order computes the same."""
    network = convnet(
        [1],
        "float64",
        image_size=11,
        kernels=((3, 4), (5, 3)),
        dense_units=(6,),
        activation=activation,
        batch_norm=batch_norm,
    )
    layers: list[Any] = []
    for channels, outputs, size in ((3, 3, 4), (3, 5, 3)):
        normalize = [torch.nn.BatchNorm2d(outputs)] if batch_norm else []
        convolution = torch.nn.Conv2d(channels, outputs, size, bias=not batch_norm)
        layers += [convolution, *normalize, TORCH_ACTIVATIONS[activation](), torch.nn.MaxPool2d(2)]
    normalize = [torch.nn.BatchNorm1d(6)] if batch_norm else []
    dense = [torch.nn.Linear(5, 6), *normalize, TORCH_ACTIVATIONS[activation](), torch.nn.Linear(6, 2)]
    model = torch.nn.Sequential(*layers, torch.nn.Flatten(), *dense).double()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(network.parameters[0].copy()), model.parameters())
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(1, 3, 11, 11, 8)), random.integers(0, 2, (1, 8))
    values = network.forward(images)
    _, output_gradient = cross_entropy(values[-1], labels)
    gradients = network.fill_gradients(values, network.backward(values, output_gradient))
    outputs = model(torch.from_numpy(np.moveaxis(images[0], -1, 0).copy()))
    functional.cross_entropy(outputs, torch.from_numpy(labels[0])).backward()
    np.testing.assert_allclose(values[-1][0].T, outputs.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(gradients[0], flat(each.grad for each in model.parameters()), atol=1e-12)


def test_all_learners_of_a_run_begin_with_the_same_weights() -> None:
    """Layers without weights, and normalization, take no number among the draws."""
    small: dict[str, Any] = {"image_size": 11, "kernels": ((3, 4), (5, 3)), "dense_units": (6, 7)}
    plain = convnet([4, 5], "float32", **small)
    for changes in ({"batch_norm": True}, {"dropout": 0.1}, {"activation": "swish"}):
        other = convnet([4, 5], "float32", **small, **changes)
        for ours, theirs in zip(plain.weighted_layers, other.weighted_layers, strict=True):
            np.testing.assert_array_equal(ours.weight, theirs.weight)
