"""Convolution without padding, stride 1, as one matrix product (im2col).

    h[o, y, x] = sum over c, i, j of K[o, c, i, j] input[c, y + i, x + j]          (+ b[o], the layer `Bias`)

Every k x k patch of the input becomes a column, and the kernels, as rows, multiply all columns at once. The backward pass
is the same product transposed, and a column's gradient is added back to the places its numbers came from. The batch is
the last axis, so every slice, here and in pooling, copies long contiguous stretches.

The bias is a layer of its own because it and the relu commute with the pooling in between: added after it, they touch a
quarter of the numbers.
"""

import numpy as np

from minilop import draws
from minilop.backend import Array, xp
from minilop.initialization import Scheme, bias_bound
from minilop.layers.layer import Layer
from minilop.layers.weighted import Weighted


def patches(images: Array, size: int) -> Array:
    """All `size` x `size` patches as columns: (..., C, Y, X, B) to (..., C size size, Y' X' B) with Y' = Y - size + 1."""
    *leading, num_channels, height, width, batch = images.shape
    rows, places = height - size + 1, width - size + 1
    columns = xp.empty((*leading, num_channels, size, size, rows, places, batch), images.dtype)
    for i in range(size):
        for j in range(size):
            columns[..., i, j, :, :, :] = images[..., i : i + rows, j : j + places, :]
    return columns.reshape(*leading, num_channels * size * size, -1)


def add_patches(columns: Array, shape: tuple[int, ...], size: int) -> Array:
    """The adjoint of `patches`: adds each number of the columns to the place it was taken from, (..., C, Y, X, B)."""
    *leading, num_channels, height, width, batch = shape
    rows, places = height - size + 1, width - size + 1
    columns = columns.reshape(*leading, num_channels, size, size, rows, places, batch)
    images = xp.zeros(shape, columns.dtype)
    for i in range(size):
        for j in range(size):
            images[..., i : i + rows, j : j + places, :] += columns[..., i, j, :, :, :]
    return images


class Convolution(Weighted):
    """`num_outputs` kernels of size x size over `num_channels`; `activation` is the one that follows and sets the scale.

    weight (R, C', C, k, k); inputs (R, C, Y, X, B); outputs (R, C', Y - k + 1, X - k + 1, B)
    """

    columns: Array  # of the last forward pass, which `fill_gradients` needs again: making them costs as much as a pool

    def __init__(
        self, num_channels: int, num_outputs: int, size: int, activation: str = "relu", scheme: Scheme = "default"
    ):
        row_shape = (num_channels, size, size)
        super().__init__(num_outputs, row_shape, num_outputs * size * size, activation, scheme)
        self.size = size

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.num_outputs, *self.row_shape)}

    def rows(self) -> Array:
        """The kernels as rows, (R, C', C k k)."""
        return self.weight.reshape(self.weight.shape[:-3] + (-1,))

    def forward(self, inputs: Array) -> Array:
        *leading, _, height, width, batch = inputs.shape
        self.columns = patches(inputs, self.size)  # (R, C k k, Y' X' B)
        height, width = height - self.size + 1, width - self.size + 1
        return (self.rows() @ self.columns).reshape(*leading, self.num_outputs, height, width, batch)

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        flat = output_gradient.reshape(output_gradient.shape[:-3] + (-1,))  # (R, C', Y' X' B)
        return add_patches(self.rows().swapaxes(-1, -2) @ flat, inputs.shape, self.size)

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        flat = output_gradient.reshape(output_gradient.shape[:-3] + (-1,))  # (R, C', Y' X' B)
        # The small operand is the one that is transposed: where a library copies it first, the copy is small.
        gradient = (self.columns @ flat.swapaxes(-1, -2)).swapaxes(-1, -2)  # (R, C', C k k)
        self.weight_gradient[...] = gradient.reshape(self.weight.shape)


class Bias(Layer):
    """Adds b[o] to every place of channel o; bias (R, C, 1, 1, 1)."""

    bias: Array
    bias_gradient: Array

    def __init__(self, num_channels: int, fan_in: int, scheme: Scheme = "default"):
        """fan_in is that of the convolution before it, whose bias this is."""
        self.num_channels = num_channels
        self.bias_bound = bias_bound(scheme, fan_in)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"bias": (self.num_channels, 1, 1, 1)}

    def initialize(self, seeds: np.ndarray, dtype: str) -> None:
        drawn = draws.uniform(seeds, "initial bias", (self.num_channels, 1, 1, 1), layer=self.number, dtype=dtype)
        self.bias[...] = self.bias_bound * (2 * drawn - 1)

    def forward(self, inputs: Array) -> Array:
        return inputs + self.bias

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        return output_gradient

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        self.bias_gradient[...] = output_gradient.sum(axis=(-3, -2, -1), keepdims=True)


class Flatten(Layer):
    """Images (R, C, Y, X, B) to features (R, C Y X, B), channel by channel as in PyTorch."""

    def forward(self, inputs: Array) -> Array:
        return inputs.reshape(inputs.shape[:-4] + (-1, inputs.shape[-1]))

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        return output_gradient.reshape(inputs.shape)
