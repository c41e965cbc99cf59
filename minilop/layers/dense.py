"""The dense layer, h = W x + b."""

import numpy as np

from minilop.backend import Array, xp
from minilop.initialization import Scheme, bias_bound
from minilop.layers.weighted import Weighted, draw_bias


def product(matrices: Array, columns: Array) -> Array:
    """matrices @ columns, (R, O, I) and (R, I, B) to (R, O, B)."""
    if matrices.shape[-1] == 1:  # one term per sum, as in the backward pass of a single output: `*` is faster
        return matrices * columns
    return matrices @ columns


class Dense(Weighted):
    """A dense layer. `activation` is the activation that follows; it sets the initial scale of the weights.

    weight (R, O, I) and bias (R, O, 1) are views of the network's parameters; weight_gradient and bias_gradient are
    views of its gradients.
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
        draw_bias(self, self.bias_bound, seeds, draw)

    def forward(self, inputs: Array) -> Array:
        outputs = product(self.weight, inputs)  # (R, O, B)
        outputs += self.bias
        return outputs

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        return product(self.weight.swapaxes(-1, -2), output_gradient)  # (R, I, B)

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        transposed = inputs.swapaxes(-1, -2)  # (R, B, I)
        if inputs.shape[-1] > 1:
            self.weight_gradient[...] = output_gradient @ transposed  # (R, O, I)
            xp.sum(output_gradient, axis=-1, keepdims=True, out=self.bias_gradient)  # (R, O, 1)
            return
        # For one example this is an outer product, for which @ is slow. Multiply if it has few rows, else use einsum.
        if output_gradient.size < 256:
            xp.multiply(output_gradient, transposed, out=self.weight_gradient)
        else:
            self.weight_gradient[...] = xp.einsum("...ob,...ib->...oi", output_gradient, inputs)
        self.bias_gradient[...] = output_gradient
