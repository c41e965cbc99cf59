"""The dense layer, h = W x + b."""

import numpy as np

from minilop import draws
from minilop.backend import Array, blocks, xp
from minilop.initialization import Scheme, bias_bound
from minilop.layers.weighted import Weighted


def product(matrices: Array, columns: Array) -> Array:
    """matrices @ columns, (R, O, I) and (R, I, B) to (R, O, B).

    Where the runs are the contiguous axis (networks of a few units, see `Network`), a loop over tiny matrices
    would spend its time in calls, so `einsum` runs along the runs instead.
    """
    if matrices.ndim == 3 and matrices.strides[0] == matrices.itemsize:
        return xp.einsum("roi,rib->rob", matrices, columns)
    if matrices.shape[-1] == 1:  # nothing to sum, as behind a single output
        return matrices * columns
    return matrices @ columns


class Dense(Weighted):
    """A dense layer; `activation` is the one that follows it and sets the initial scale of the weights.

    weight (R, O, I) and bias (R, O, 1) are views into the network's parameters, weight_gradient and bias_gradient
    into its gradients.
    """

    bias: Array
    bias_gradient: Array

    def __init__(self, num_inputs: int, num_outputs: int, activation: str = "identity", scheme: Scheme = "kaiming"):
        super().__init__(num_outputs, (num_inputs,), num_outputs, activation, scheme)
        self.bias_bound = bias_bound(scheme, num_inputs)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.num_outputs, self.num_inputs), "bias": (self.num_outputs, 1)}

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        super().initialize(seeds, dtype, draw)
        units = np.arange(self.num_outputs)
        drawn = draws.uniform(
            seeds[..., None], "initial bias", 1, layer=self.number, step=draw, slot=units, dtype=dtype
        )
        self.bias[...] = self.bias_bound * (2 * drawn - 1)

    def forward(self, inputs: Array) -> Array:
        outputs = product(self.weight, inputs)  # (R, O, B)
        outputs += self.bias
        return outputs

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
