"""Layers of residual networks (He, Zhang, Ren and Sun, CVPR 2016): the sum of two paths and global average pooling."""

from minilop.backend import Array, xp
from minilop.layers.layer import Layer


class Add(Layer):
    """The sum of two values of the network, whose indices in `values` are `first` and `second`."""

    def __init__(self, first: int, second: int):
        self.sources = (first, second)

    def forward(self, inputs: tuple[Array, Array]) -> Array:
        first, second = inputs
        return first + second

    def backward(self, inputs: tuple[Array, Array], outputs: Array, output_gradient: Array) -> tuple[Array, Array]:
        return output_gradient, output_gradient


class GlobalAveragePool(Layer):
    """The mean of each channel over all positions, (R, C, Y, X, B) to (R, C, B)."""

    def forward(self, inputs: Array) -> Array:
        return inputs.mean(axis=(-3, -2))

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        num_positions = inputs.shape[-3] * inputs.shape[-2]
        return xp.zeros_like(inputs) + (output_gradient / num_positions)[..., None, None, :]
