"""Convolution without padding, stride 1, as matrix products (im2col).

    h[o, y, x] = sum over c, i, j of K[o, c, i, j] input[c, y + i, x + j]          (+ b[o], the layer `Bias`)

Every k x k patch of the input becomes a column, and the kernels, as rows, multiply all columns of an output row at once.
The backward pass is the same product transposed, and a column's gradient is added back to the places its numbers came
from. The batch is the last axis, so every slice, here and in pooling, copies long contiguous stretches.

One output row at a time because its columns, and what becomes of them, stay in a core's cache. Smaller images are done
several rows at a time, and on a GPU all rows at once.

The bias is a layer of its own because it commutes with the pooling in between: added after it, it touches a quarter of the
numbers.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from minilop import draws
from minilop.backend import Array, blocks, xp
from minilop.initialization import Scheme, bias_bound
from minilop.layers.layer import Layer
from minilop.layers.weighted import Weighted


def patches(images: Array, size: int) -> Array:
    """All `size` x `size` patches, (..., C, Y, X, B) to (..., k, C, k, Y', X', B) with k = size and Y' = Y - k + 1.

        patches[..., i, c, j, y, x, :] = images[..., c, y + i, x + j, :]

    Only what is shifted along a row is copied, k times and not k k times: with the rows outermost, (..., Y, C, k, X', B),
    the patches of output row y are k rows one after another, so they lie in memory as a matrix (k C k, X' B). The result
    is a view of that, in which i and y both step from row to row; it is not for writing.
    """
    *leading, num_channels, height, width, batch = images.shape
    places = width - size + 1
    shifted = xp.empty((*leading, height, num_channels, size, places, batch), images.dtype)
    for j in range(size):
        shifted[..., j, :, :] = images.swapaxes(-4, -3)[..., j : j + places, :]
    *outer, row, channel, shift, place, example = shifted.strides
    shape = (*leading, size, num_channels, size, height - size + 1, places, batch)
    return xp.lib.stride_tricks.as_strided(shifted, shape, (*outer, row, channel, shift, row, place, example))


def add_patches(columns: Array, images: Array) -> None:
    """The adjoint of `patches`: adds each number (..., k, C, k, Y', X', B) to the place of the images it was taken from."""
    size, _, _, rows, places, _ = columns.shape[-6:]
    for i in range(size):
        for j in range(size):
            images[..., i : i + rows, j : j + places, :] += columns[..., i, :, j, :, :, :]


class Convolution(Weighted):
    """`num_outputs` kernels of size x size over `num_channels`; `activation` is the one that follows and sets the scale.

    weight (R, C', C, k, k); inputs (R, C, Y, X, B); outputs (R, C', Y - k + 1, X - k + 1, B)
    """

    patches: Array  # of the last forward pass, k times as many numbers as its inputs; `fill_gradients` needs them again

    def __init__(
        self, num_channels: int, num_outputs: int, size: int, activation: str = "relu", scheme: Scheme = "default"
    ):
        row_shape = (num_channels, size, size)
        super().__init__(num_outputs, row_shape, num_outputs * size * size, activation, scheme)
        self.size = size

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.num_outputs, *self.row_shape)}

    def rows(self) -> Array:
        """The kernels as rows, in the order of the patches: (R, C', k C k)."""
        return self.weight.swapaxes(-3, -2).reshape(*self.weight.shape[:-3], -1)

    def blocks(self, outputs: Array) -> Iterator[slice]:
        """Output rows to work on at a time: those whose columns fit into the cache, at least one, and on a GPU all."""
        return blocks(outputs.shape[-3], self.num_inputs * math.prod(outputs.shape[-3:]))

    def forward(self, inputs: Array) -> Array:
        leading = inputs.shape[:-4]
        self.patches = patches(inputs, self.size)
        outputs = xp.empty((*leading, self.num_outputs, *self.patches.shape[-3:]), inputs.dtype)
        kernels = self.rows()
        for block in self.blocks(outputs):
            columns = _matrix(self.patches, block, self.num_inputs, leading)
            xp.matmul(kernels, columns, out=_matrix(outputs, block, self.num_outputs, leading))
        return outputs

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        leading = inputs.shape[:-4]
        gradient = xp.zeros(inputs.shape, inputs.dtype)
        kernels = self.rows().swapaxes(-1, -2)
        for block in self.blocks(outputs):
            columns = kernels @ _matrix(output_gradient, block, self.num_outputs, leading)  # (R, k C k, rows X' B)
            columns = columns.reshape(*leading, self.size, *self.row_shape[:2], -1, *outputs.shape[-2:])  # k, C, k
            add_patches(columns, gradient[..., block.start : block.stop + self.size - 1, :, :])
        return gradient

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        leading = inputs.shape[:-4]
        gradient: Array = 0
        for block in self.blocks(output_gradient):
            columns = _matrix(self.patches, block, self.num_inputs, leading)
            # The small operand is the one that is transposed: where a library copies it first, the copy is small.
            gradient += columns @ _matrix(output_gradient, block, self.num_outputs, leading).swapaxes(-1, -2)
        by_kernel = gradient.swapaxes(-1, -2).reshape(self.weight.swapaxes(-3, -2).shape)  # (R, C', k, C, k)
        self.weight_gradient[...] = by_kernel.swapaxes(-3, -2)


def _matrix(array: Array, block: slice, height: int, leading: Sequence[int]) -> Array:
    """The output rows `block` of an array (..., Y', X', B) as matrices (*leading, height, rows X' B).

    A view where that is one row, and of outputs always, so it can be written to.
    """
    return array[..., block, :, :].reshape(*leading, height, -1)


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

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        channels = np.arange(self.num_channels)
        drawn = draws.uniform(
            seeds[..., None], "initial bias", (1, 1, 1), layer=self.number, step=draw, slot=channels, dtype=dtype
        )
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
