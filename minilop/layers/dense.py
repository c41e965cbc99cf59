"""The dense layer, h = W x + b."""

import math
from collections.abc import Callable

import numpy as np

from minilop import draws
from minilop.backend import Array, blocks, xp
from minilop.initialization import Scheme, bias_bound, weight_bound
from minilop.layers.layer import Layer


def product(matrices: Array, columns: Array) -> Array:
    """matrices @ columns, (R, O, I) and (R, I, B) to (R, O, B).

    Where the runs are the contiguous axis (networks of a few units, see `Network`), a loop over tiny matrices
    would spend its time in calls, so `einsum` runs along the runs instead.
    """
    if matrices.ndim == 3 and matrices.strides[0] == matrices.itemsize:
        return xp.einsum("roi,rib->rob", matrices, columns)
    return matrices @ columns


class Dense(Layer):
    """A dense layer; `activation` is the one that follows it and sets the initial scale of the weights.

    weight (R, O, I) and bias (R, O, 1) are views into the network's parameters, weight_gradient and bias_gradient
    into its gradients.
    """

    weight: Array
    bias: Array
    weight_gradient: Array
    bias_gradient: Array

    def __init__(self, num_inputs: int, num_outputs: int, activation: str = "identity", scheme: Scheme = "kaiming"):
        self.num_inputs = num_inputs
        self.num_outputs = num_outputs
        self.weight_bound = weight_bound(scheme, activation, num_inputs, num_outputs)
        self.bias_bound = bias_bound(scheme, num_inputs)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.num_outputs, self.num_inputs), "bias": (self.num_outputs, 1)}

    def initialize(self, seeds: np.ndarray, dtype: str) -> None:
        units = np.arange(self.num_outputs)
        self.weight[...] = self.initial_rows(seeds[..., None], units, "initial weight")
        self.bias[...] = self.bias_bound * (
            2 * draws.uniform(seeds[..., None], "initial bias", 1, layer=self.number, slot=units, dtype=dtype) - 1
        )

    def initial_rows(self, seeds: Array, units: Array, purpose: str, step: int = 0) -> Array:
        """Incoming weights of units by the initial law, uniform in (-bound, bound).

        seeds, units   broadcast against each other; a unit is the slot of its draw
        returns        (..., I)
        """
        return self.weight_bound * (2 * self._draw_rows(draws.uniform, seeds, units, purpose, step) - 1)

    def normal_rows(self, seeds: Array, units: Array, purpose: str, step: int = 0) -> Array:
        """The same from the normal law of mean 0 and variance 2 / I."""
        return math.sqrt(2 / self.num_inputs) * self._draw_rows(draws.normal, seeds, units, purpose, step)

    def _draw_rows(self, draw: Callable[..., Array], seeds: Array, units: Array, purpose: str, step: int) -> Array:
        return draw(seeds, purpose, self.num_inputs, layer=self.number, step=step, slot=units, dtype=self.weight.dtype)

    def forward(self, inputs: Array) -> Array:
        return product(self.weight, inputs) + self.bias  # (R, O, B)

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        return product(self.weight.swapaxes(-1, -2), output_gradient)  # (R, I, B)

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        if inputs.shape[-1] == 1:  # one example: the gradient is an outer product, and multiplying is faster
            xp.multiply(output_gradient, inputs.swapaxes(-1, -2), out=self.weight_gradient)  # (R, O, I)
            self.bias_gradient[...] = output_gradient
        else:
            self.weight_gradient[...] = output_gradient @ inputs.swapaxes(-1, -2)
            xp.sum(output_gradient, axis=-1, keepdims=True, out=self.bias_gradient)  # (R, O, 1)

    def descend(self, inputs: Array, output_gradient: Array, step_size: float, weight_decay: float = 0.0) -> None:
        """SGD on one example without storing its gradient: W <- W - alpha (d x' + lambda W), the same for b.

        Faster than `fill_gradients` and an optimizer, because a block of rows stays in the cache; differs from them
        by rounding.
        """
        scaled_gradient = step_size * output_gradient  # (R, O, 1)
        transposed = inputs.swapaxes(-1, -2)  # (R, 1, I)
        for rows in blocks(self.num_outputs, self.weight.size):
            block = self.weight[..., rows, :]
            if weight_decay:
                block *= 1 - step_size * weight_decay
            block -= scaled_gradient[..., rows, :] * transposed
        if weight_decay:
            self.bias *= 1 - step_size * weight_decay
        self.bias -= scaled_gradient

    def flush(self) -> None:
        """Nothing waits here: `weight` is always up to date."""
