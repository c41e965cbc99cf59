"""A dense layer that saves its updates up: the fast form of plain SGD on one example at a time.

The gradient of one example is an outer product, d x'. Writing it into a weight of four million entries costs more than
the forward and the backward pass together, because the whole weight travels through memory once more. So the last few
updates are kept as their factors, and the true weight is

    W - U' V        U (k, O) holds step_size * d of the pending steps, V (k, I) their inputs x

Products with it are corrected by two thin ones, and every k steps one matrix product brings W up to date. The arithmetic
is that of SGD but for rounding.
"""

import numpy as np

from minilop.backend import Array, blocks, xp
from minilop.layers.dense import Dense

NUM_PENDING = 16  # more would cost more in the corrections than they save in the updates


class PendingDense(Dense):
    """A `Dense` layer for one example per step and SGD without momentum or decay, by `descend`.

    `weight` lacks the pending updates until `flush`.
    """

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        super().initialize(seeds, dtype, draw)
        self.num_pending = 0
        self.scaled_gradients = xp.empty(seeds.shape + (NUM_PENDING, self.num_outputs), dtype)  # U (R, k, O)
        self.inputs = xp.empty(seeds.shape + (NUM_PENDING, self.num_inputs), dtype)  # V (R, k, I)

    def pending(self) -> tuple[Array, Array]:
        """U (R, c, O) and V (R, c, I) of the c pending updates."""
        return self.scaled_gradients[..., : self.num_pending, :], self.inputs[..., : self.num_pending, :]

    def forward(self, inputs: Array) -> Array:
        outputs = super().forward(inputs)  # (R, O, 1)
        if self.num_pending:
            scaled_gradients, past_inputs = self.pending()
            outputs -= scaled_gradients.swapaxes(-1, -2) @ (past_inputs @ inputs)
        return outputs

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        input_gradient = super().backward(inputs, outputs, output_gradient)  # (R, I, 1)
        if self.num_pending:
            scaled_gradients, past_inputs = self.pending()
            input_gradient -= past_inputs.swapaxes(-1, -2) @ (scaled_gradients @ output_gradient)
        return input_gradient

    def descend(self, inputs: Array, output_gradient: Array, step_size: float, weight_decay: float = 0.0) -> None:
        scaled_gradient = step_size * output_gradient
        self.scaled_gradients[..., self.num_pending, :] = scaled_gradient[..., 0]
        self.inputs[..., self.num_pending, :] = inputs[..., 0]
        self.bias -= scaled_gradient
        self.num_pending += 1
        if self.num_pending == NUM_PENDING:
            self.flush()

    def flush(self) -> None:
        """Bring `weight` up to date."""
        if self.num_pending:
            scaled_gradients, past_inputs = self.pending()
            for rows in blocks(self.num_outputs, self.weight.size):
                self.weight[..., rows, :] -= scaled_gradients[..., rows].swapaxes(-1, -2) @ past_inputs
            self.num_pending = 0
