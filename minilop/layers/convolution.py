"""Convolution as matrix products (im2col), with a stride and zero padding.

    h[o, y, x] = sum over c, i, j of K[o, c, i, j] z[c, s y + i - p, s x + j - p]          (+ b[o])

K are the kernels, z is the input, s is the stride, and p is the padding, the number of rows or columns of zeros on each
side of the image.

Each k x k patch of the input becomes a column of a matrix, and each kernel becomes a row. One matrix product then
applies all kernels to all patches. The backward pass multiplies by the transposed kernels, which gives the gradient of
each patch, and adds these gradients where patches overlap.

A matrix of overlapping patches contains each input up to k^2 times. The layer therefore forms the matrix for only a few
rows of the outputs at a time, so that it stays in the processor's cache. On a GPU it takes all rows at once.

`Bias` is a separate layer for convolutions that are followed by pooling. The bias may be added before or after the
maximum is taken, and after it only a quarter of the values are left. Without pooling, use `has_bias`.
"""

import math
from collections.abc import Iterator

import numpy as np

from minilop.backend import Array, blocks, xp
from minilop.initialization import Scheme, bias_bound
from minilop.layers.layer import Layer
from minilop.layers.weighted import Weighted, draw_bias


def output_length(length: int, size: int, stride: int, padding: int) -> int:
    """The number of positions of a kernel along one axis of an image."""
    return (length + 2 * padding - size) // stride + 1


def pad(images: Array, padding: int) -> Array:
    """Surround images (..., Y, X, B) with zeros: (..., Y + 2 p, X + 2 p, B)."""
    if not padding:
        return images
    return xp.pad(images, [(0, 0)] * (images.ndim - 3) + [(padding, padding), (padding, padding), (0, 0)])


def patches(padded: Array, size: int, stride: int = 1) -> Array:
    """All `size` x `size` patches of padded images, (..., C, Y, X, B) to (..., k, C, k, Y', X', B) with k = size.

        patches[..., i, c, j, y, x, :] = padded[..., c, s y + i, s x + j, :]

    The result is a view. An entry that belongs to several patches is in memory only once.
    """
    *leading, num_channels, height, width, batch = padded.shape
    num_rows, num_columns = (output_length(length, size, stride, padding=0) for length in (height, width))
    *outer, channel, row, column, example = padded.strides
    shape = (*leading, size, num_channels, size, num_rows, num_columns, batch)
    strides = (*outer, row, channel, column, stride * row, stride * column, example)
    return xp.lib.stride_tricks.as_strided(padded, shape, strides)


class Convolution(Weighted):
    """`num_outputs` kernels of size x size over `num_channels` channels.

    weight (R, C', C, k, k); inputs (R, C, Y, X, B); outputs (R, C', Y', X', B) with Y' = (Y + 2 p - k) div s + 1

    activation   the activation that follows; it sets the initial scale of the weights
    has_bias     whether the layer also has a bias, (R, C', 1, 1, 1)
    """

    bias: Array
    bias_gradient: Array

    def __init__(
        self,
        num_channels: int,
        num_outputs: int,
        size: int,
        activation: str = "relu",
        scheme: Scheme = "default",
        *,
        stride: int = 1,
        padding: int = 0,
        has_bias: bool = False,
    ):
        row_shape = (num_channels, size, size)
        super().__init__(num_outputs, row_shape, num_outputs * size * size, activation, scheme)
        self.size = size
        self.stride = stride
        self.padding = padding
        self.has_bias = has_bias
        self.bias_bound = bias_bound(scheme, self.num_inputs)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.num_outputs, *self.row_shape)}
        return {**shapes, "bias": (self.num_outputs, 1, 1, 1)} if self.has_bias else shapes

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        super().initialize(seeds, dtype, draw)
        if self.has_bias:
            draw_bias(self, self.bias_bound, seeds, draw)

    def rows(self) -> Array:
        """The kernels as rows, in the order of the patches: (R, C', k C k)."""
        return self.weight.swapaxes(-3, -2).reshape(*self.weight.shape[:-3], -1)

    def blocks(self, outputs: Array) -> Iterator[slice]:
        """Slices of rows of the outputs; the patches of one slice fit in the cache if it has more than one row."""
        return blocks(outputs.shape[-3], self.num_inputs * math.prod(outputs.shape[-3:]))

    def matrix(self, array: Array, rows: slice, height: int) -> Array:
        """Some rows of an array (R, ..., Y', X', B) as one matrix per run, (R, height, rows X' B).

        The result is a view of outputs, but a copy of patches, because patches overlap.
        """
        return array[..., rows, :, :].reshape(*self.weight.shape[:-4], height, -1)

    def forward(self, inputs: Array) -> Array:
        kernels = self.rows()
        columns = patches(pad(inputs, self.padding), self.size, self.stride)  # (R, k, C, k, Y', X', B)
        outputs = xp.empty((*inputs.shape[:-4], self.num_outputs, *columns.shape[-3:]), inputs.dtype)
        for rows in self.blocks(outputs):
            block = self.matrix(outputs, rows, self.num_outputs)  # a view
            xp.matmul(kernels, self.matrix(columns, rows, self.num_inputs), out=block)
            if self.has_bias:
                outputs[..., rows, :, :] += self.bias
        return outputs

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        kernels = self.rows().swapaxes(-1, -2)  # (R, k C k, C')
        *leading, height, width, batch = inputs.shape
        p = self.padding
        padded_gradient = xp.zeros((*leading, height + 2 * p, width + 2 * p, batch), inputs.dtype)
        columns_gradient = patches(padded_gradient, self.size, self.stride)  # a view, (R, k, C, k, Y', X', B)
        for rows in self.blocks(outputs):
            block = columns_gradient[..., rows, :, :]
            contribution = (kernels @ self.matrix(output_gradient, rows, self.num_outputs)).reshape(block.shape)
            for i, j in np.ndindex(self.size, self.size):  # patches overlap, but their pixels (i, j) do not
                block[..., i, :, j, :, :, :] += contribution[..., i, :, j, :, :, :]
        return padded_gradient[..., p : p + height, p : p + width, :]

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        columns = patches(pad(inputs, self.padding), self.size, self.stride)
        gradient: Array = 0  # (R, k C k, C')
        for rows in self.blocks(output_gradient):
            # Transpose the smaller factor, because some libraries copy a transposed matrix before multiplying.
            transposed = self.matrix(output_gradient, rows, self.num_outputs).swapaxes(-1, -2)
            gradient += self.matrix(columns, rows, self.num_inputs) @ transposed
        by_kernel = gradient.swapaxes(-1, -2).reshape(self.weight.swapaxes(-3, -2).shape)  # (R, C', k, C, k)
        self.weight_gradient[...] = by_kernel.swapaxes(-3, -2)
        if self.has_bias:
            self.bias_gradient[...] = output_gradient.sum(axis=(-3, -2, -1), keepdims=True)


class Bias(Layer):
    """Adds b[o] to every position of channel o; bias (R, C, 1, 1, 1)."""

    bias: Array
    bias_gradient: Array

    def __init__(self, num_channels: int, fan_in: int, scheme: Scheme = "default"):
        """`fan_in` is that of the convolution whose bias this is."""
        self.num_channels = num_channels
        self.bias_bound = bias_bound(scheme, fan_in)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"bias": (self.num_channels, 1, 1, 1)}

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        draw_bias(self, self.bias_bound, seeds, draw)

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
