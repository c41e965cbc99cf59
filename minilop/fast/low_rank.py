"""A dense layer that buffers low-rank updates: plain SGD on one example that rarely writes the weight.

Except for rounding, it is equal to `Dense` with a step of `SGD` (optimizers/sgd.py) without momentum and weight decay.
The gradient of one example is an outer product, d x'. Adding it to a weight of four million entries takes longer than
the forward and the backward pass together, because the whole weight must be read and written again. The layer therefore
keeps the factors of the last k updates in a buffer, and the true weight is

    W - U' V        U (k, O): step_size * d of each of the k buffered updates;  V (k, I): their inputs x

The forward and the backward pass multiply by U and V, too. When the buffer is full, a flush updates W by one matrix
product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minilop.backend import Array, blocks, xp
from minilop.fast.in_place import check_dense, check_numbers
from minilop.layers.dense import Dense
from minilop.networks import Network
from minilop.optimizers.optimizer import Optimizer

BUFFER_SIZE = 16  # in a larger buffer, the products with U and V cost more than less frequent flushes save


class BufferedDense(Dense):
    """A `Dense` layer for one example per step that learns by `sgd_step`.

    `weight` does not include the buffered updates until `flush` is called.
    """

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        super().initialize(seeds, dtype, draw)
        self.num_buffered = 0
        self.scaled_gradients = xp.empty(seeds.shape + (BUFFER_SIZE, self.num_outputs), dtype)  # U (R, k, O)
        self.past_inputs = xp.empty(seeds.shape + (BUFFER_SIZE, self.num_inputs), dtype)  # V (R, k, I)

    def buffered(self) -> tuple[Array, Array]:
        """U (R, k, O) and V (R, k, I) of the k buffered updates."""
        return self.scaled_gradients[..., : self.num_buffered, :], self.past_inputs[..., : self.num_buffered, :]

    def forward(self, inputs: Array) -> Array:
        outputs = super().forward(inputs)  # (R, O, 1)
        if self.num_buffered:
            scaled_gradients, past_inputs = self.buffered()
            outputs -= scaled_gradients.swapaxes(-1, -2) @ (past_inputs @ inputs)  # U' (V x)
        return outputs

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        input_gradient = super().backward(inputs, outputs, output_gradient)  # (R, I, 1)
        if self.num_buffered:
            scaled_gradients, past_inputs = self.buffered()
            input_gradient -= past_inputs.swapaxes(-1, -2) @ (scaled_gradients @ output_gradient)  # V' (U d)
        return input_gradient

    def sgd_step(self, inputs: Array, output_gradient: Array, step_size: float) -> None:
        """Update the bias, and buffer the update of the weight, from the gradient of one example.

        inputs            (R, I, 1)   of the layer
        output_gradient   (R, O, 1)   of the loss with respect to its outputs
        """
        scaled_gradient = step_size * output_gradient  # (R, O, 1)
        self.scaled_gradients[..., self.num_buffered, :] = scaled_gradient[..., 0]
        self.past_inputs[..., self.num_buffered, :] = inputs[..., 0]
        self.bias -= scaled_gradient
        self.num_buffered += 1
        if self.num_buffered == BUFFER_SIZE:
            self.flush()

    def flush(self) -> None:
        """Bring `weight` up to date."""
        if self.num_buffered:
            scaled_gradients, past_inputs = self.buffered()
            for rows in blocks(self.num_outputs, self.weight.size):
                self.weight[..., rows, :] -= scaled_gradients[..., rows].swapaxes(-1, -2) @ past_inputs
            self.num_buffered = 0


@dataclass
class BufferedSGD(Optimizer):
    """`SGD` without momentum and weight decay, for networks of `BufferedDense` layers and one example per step."""

    step_size: float = 0.01

    name: ClassVar[str] = "sgd_buffered"
    learns_from_one_example: ClassVar[bool] = True
    forms_gradients: ClassVar[bool] = False
    buffers_updates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raises ValueError for a negative value."""
        check_numbers(self, "step_size")

    def start(self, parameters: Array, layer_sizes: Sequence[int]) -> None:
        self.state = {}

    def update(self, network: Network, values: list[Array], output_gradients: list[Array]) -> None:
        check_dense(self, network, values)
        if not all(isinstance(layer, BufferedDense) for layer in network.dense_layers):
            raise ValueError(f"{self.name} needs a network made with dense_layer=BufferedDense.")
        for layer in network.dense_layers:
            layer.sgd_step(values[layer.index], output_gradients[layer.index], self.step_size)
