"""SGD on one example that updates a dense layer without storing its gradient.

Except for rounding, it is equal to `Dense.fill_gradients` followed by a step of `SGD` (optimizers/sgd.py) without
momentum:

    W <- W - alpha (d x' + lambda W)        b <- b - alpha (d + lambda b)

x are the inputs of the layer, and d is the gradient of the loss with respect to its outputs. The plain code writes the
outer product d x', which is as large as the weight, to memory and reads it again. Here the weight is updated in blocks
of rows, and each block of the outer product is used while it is in the processor's cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from minilop.backend import Array, blocks
from minilop.checks import check_range
from minilop.layers.dense import Dense
from minilop.networks import Network
from minilop.optimizers.optimizer import Optimizer


def sgd_step_in_place(
    layer: Dense, inputs: Array, output_gradient: Array, step_size: float, weight_decay: float = 0.0
) -> None:
    """Update weight and bias of `layer` from the gradient of one example.

    inputs            (R, I, 1)   of the layer
    output_gradient   (R, O, 1)   of the loss with respect to its outputs
    """
    scaled_gradient = step_size * output_gradient  # (R, O, 1)
    inputs_row = inputs.swapaxes(-1, -2)  # (R, 1, I)
    for rows in blocks(layer.num_outputs, layer.weight.size):
        block = layer.weight[..., rows, :]  # a view
        if weight_decay:
            block *= 1 - step_size * weight_decay
        block -= scaled_gradient[..., rows, :] * inputs_row
    if weight_decay:
        layer.bias *= 1 - step_size * weight_decay
    layer.bias -= scaled_gradient


def check_numbers(optimizer: Optimizer, *names: str) -> None:
    """Raises ValueError for negative values and for arrays."""
    check_range(optimizer, " ".join(names), 0)
    if not all(isinstance(getattr(optimizer, name), (int, float)) for name in names):
        raise ValueError(f"{optimizer.name} needs hyperparameters that are numbers, not arrays; choose sgd")


def check_dense(optimizer: Optimizer, network: Network, values: list[Array]) -> None:
    """Raises ValueError for a mini-batch of several examples, and if a layer with parameters is not dense."""
    if values[0].shape[-1] != 1 or sum(size > 0 for size in network.layer_sizes) > len(network.dense_layers):
        raise ValueError(f"{optimizer.name} is for networks of dense layers and one example per step; choose sgd.")


@dataclass
class InPlaceSGD(Optimizer):
    """`SGD` without momentum, for networks of dense layers and one example per step. The settings must be numbers."""

    step_size: float = 0.01
    weight_decay: float = 0.0

    name: ClassVar[str] = "sgd_in_place"
    learns_from_one_example: ClassVar[bool] = True
    forms_gradients: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_numbers(self, "step_size", "weight_decay")

    def start(self, parameters: Array, layer_sizes: Sequence[int]) -> None:
        self.state = {}

    def update(self, network: Network, values: list[Array], output_gradients: list[Array]) -> None:
        check_dense(self, network, values)
        for layer in network.dense_layers:
            index = layer.index
            sgd_step_in_place(layer, values[index], output_gradients[index], self.step_size, self.weight_decay)
