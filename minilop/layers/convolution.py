"""Convolution as matrix products (im2col), with a stride and a border of zeros where they are asked for.

    h[o, y, x] = sum over c, i, j of K[o, c, i, j] input[c, s y + i - p, x s + j - p]          (+ b[o])

s is the stride and p the padding, how many lines of zeros surround the images. Every k x k patch of the input becomes a
column, and the kernels, as rows, multiply all columns of an output row at once. The backward pass is the same product
transposed, and a column's gradient is added back to the places its numbers came from. The batch is the last axis, so
every slice, here and in pooling, copies long contiguous stretches.

One output row at a time because its columns, and what becomes of them, stay in a core's cache. Smaller images are done
several rows at a time, rows of many channels in parts, and on a GPU all rows at once.

The bias is a layer of its own, `Bias`, where there is pooling: it commutes with that, and after it touches a quarter of the
numbers. Elsewhere the convolution adds it to the outputs while they are in the cache.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from minilop import draws
from minilop.backend import Array, blocks, blocks_of_places, xp
from minilop.initialization import Scheme, bias_bound
from minilop.layers.layer import Layer
from minilop.layers.weighted import Weighted

# A column counts for no more numbers than these, for a product of fewer than 750 columns is slow, too.
NUMBERS_OF_COLUMN = 175


def num_places(length: int, size: int, stride: int, padding: int) -> int:
    """How many places a kernel has along an axis of the image."""
    return (length + 2 * padding - size) // stride + 1


def _inside(shift: int, length: int, places: int, stride: int) -> tuple[slice, slice]:
    """The places x for which stride x + shift lies on an axis of `length`, and where on it they lie."""
    first = max(0, -(shift // stride))
    stop = max(first, min(places, (length - 1 - shift) // stride + 1))
    start = stride * first + shift
    return slice(first, stop), slice(start, start + stride * (stop - first), stride)


def patches(images: Array, size: int, stride: int = 1, padding: int = 0) -> Array:
    """All `size` x `size` patches, (..., C, Y, X, B) to (..., k, C, k, Y', X', B) with k = size.

        patches[..., i, c, j, y, x, :] = images[..., c, s y + i - p, s x + j - p, :], or 0 where that is outside

    Only what is shifted along a row is copied, k times and not k k times: with the rows outermost, (..., Y + 2 p, C, k,
    X', B), the patches of output row y are k rows one after another, so they lie in memory as a matrix (k C k, X' B). The
    result is a view of that, in which i steps by one row and y by s; it is not for writing.
    """
    *leading, num_channels, height, width, batch = images.shape
    rows, places = (num_places(length, size, stride, padding) for length in (height, width))
    shifted = xp.empty((*leading, height + 2 * padding, num_channels, size, places, batch), images.dtype)
    shifted[..., :padding, :, :, :, :] = 0
    shifted[..., height + padding :, :, :, :, :] = 0
    framed = shifted[..., padding : height + padding, :, :, :, :]
    for j in range(size):
        inside, on_row = _inside(j - padding, width, places, stride)
        framed[..., j, : inside.start, :] = 0
        framed[..., j, inside, :] = images.swapaxes(-4, -3)[..., on_row, :]
        framed[..., j, inside.stop :, :] = 0
    *outer, row, channel, shift, place, example = shifted.strides
    shape = (*leading, size, num_channels, size, rows, places, batch)
    strides = (*outer, row, channel, shift, stride * row, place, example)
    return xp.lib.stride_tricks.as_strided(shifted, shape, strides)


def windows(images: Array, size: int, stride: int = 1, padding: int = 0) -> Array:
    """The same patches as a view of the images in their frame of zeros: nothing is copied until some are multiplied."""
    *leading, num_channels, height, width, batch = images.shape
    lines = (padding, padding)
    framed = xp.pad(images, [(0, 0)] * (images.ndim - 3) + [lines, lines, (0, 0)]) if padding else images
    rows, places = (num_places(length, size, stride, padding) for length in (height, width))
    *outer, channel, row, place, example = framed.strides
    strides = (*outer, row, channel, place, stride * row, stride * place, example)
    return xp.lib.stride_tricks.as_strided(framed, (*leading, size, num_channels, size, rows, places, batch), strides)


def add_patches(columns: Array, images: Array, first_row: int = 0, stride: int = 1, padding: int = 0) -> None:
    """The adjoint of `patches`: adds each number (..., k, C, k, rows, X', B) to the place of the images it came from.

    first_row   the output row that is the first of the columns
    """
    size, _, _, rows, places, _ = columns.shape[-6:]
    height, width = images.shape[-3:-1]
    for i in range(size):
        of_rows, to_rows = _inside(stride * first_row + i - padding, height, rows, stride)
        for j in range(size):
            of_places, to_places = _inside(j - padding, width, places, stride)
            images[..., to_rows, to_places, :] += columns[..., i, :, j, of_rows, of_places, :]


class Convolution(Weighted):
    """`num_outputs` kernels of size x size over `num_channels`; `activation` is the one that follows and sets the scale.

    weight (R, C', C, k, k); inputs (R, C, Y, X, B); outputs (R, C', Y', X', B) with Y' = (Y + 2 p - k) div s + 1

    has_bias       add a bias (R, C', 1, 1, 1) of its own
    keep_patches   from the forward pass for `fill_gradients`: k times as many numbers as the inputs. Otherwise the forward pass
                   makes a few at a time, faster for many channels, and leaves no more in memory than the activations
    """

    bias: Array
    bias_gradient: Array
    patches: Array = None  # of the last forward pass, where they are kept

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
        keep_patches: bool = True,
    ):
        row_shape = (num_channels, size, size)
        super().__init__(num_outputs, row_shape, num_outputs * size * size, activation, scheme)
        self.size = size
        self.stride = stride
        self.padding = padding
        self.has_bias = has_bias
        self.keep_patches = keep_patches
        self.bias_bound = bias_bound(scheme, self.num_inputs)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.num_outputs, *self.row_shape)}
        return {**shapes, "bias": (self.num_outputs, 1, 1, 1)} if self.has_bias else shapes

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        super().initialize(seeds, dtype, draw)
        if self.has_bias:
            self.bias[...] = _initial_bias(self, self.num_outputs, seeds, dtype, draw)

    def rows(self) -> Array:
        """The kernels as rows, in the order of the patches: (R, C', k C k)."""
        return self.weight.swapaxes(-3, -2).reshape(*self.weight.shape[:-3], -1)

    def blocks(self, outputs: Array) -> Iterator[tuple[slice, slice]]:
        """Output rows to work on at a time: those whose columns fit into the cache, at least one, and on a GPU all."""
        size = self.num_inputs * math.prod(outputs.shape[-3:])
        return ((rows, slice(None)) for rows in blocks(outputs.shape[-3], size))

    def parts(self, outputs: Array) -> Iterator[tuple[slice, slice]]:
        """The same, but of a row whose columns do not fit only a part."""
        height, width, batch = outputs.shape[-3:]
        return blocks_of_places(height, width, min(self.num_inputs, NUMBERS_OF_COLUMN) * height * width * batch)

    def columns(self, inputs: Array) -> Array:
        """Patches of the inputs, (R, k, C, k, Y', X', B)."""
        return patches(inputs, self.size, self.stride, self.padding)

    def forward(self, inputs: Array) -> Array:
        if self.keep_patches:
            self.patches = columns = self.columns(inputs)
        else:
            columns = windows(inputs, self.size, self.stride, self.padding)
        leading, kernels = inputs.shape[:-4], self.rows()
        outputs = xp.empty((*leading, self.num_outputs, *columns.shape[-3:]), inputs.dtype)
        for block in self.blocks(outputs) if self.keep_patches else self.parts(outputs):
            products = _matrix(outputs, block, self.num_outputs, leading)
            xp.matmul(kernels, _matrix(columns, block, self.num_inputs, leading), out=products)
            if self.has_bias:
                outputs[(..., *block, slice(None))] += self.bias
        return outputs

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        leading = inputs.shape[:-4]
        gradient = xp.zeros(inputs.shape, inputs.dtype)
        kernels = self.rows().swapaxes(-1, -2)
        for block in self.blocks(outputs):
            columns = kernels @ _matrix(output_gradient, block, self.num_outputs, leading)  # (R, k C k, rows X' B)
            columns = columns.reshape(*leading, self.size, *self.row_shape[:2], -1, *outputs.shape[-2:])  # k, C, k
            add_patches(columns, gradient, block[0].start, self.stride, self.padding)
        return gradient

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        leading = inputs.shape[:-4]
        patches = self.patches if self.keep_patches else self.columns(inputs)
        gradient: Array = 0
        for block in self.blocks(output_gradient):
            columns = _matrix(patches, block, self.num_inputs, leading)
            # The small operand is the one that is transposed: where a library copies it first, the copy is small.
            gradient += columns @ _matrix(output_gradient, block, self.num_outputs, leading).swapaxes(-1, -2)
        by_kernel = gradient.swapaxes(-1, -2).reshape(self.weight.swapaxes(-3, -2).shape)  # (R, C', k, C, k)
        self.weight_gradient[...] = by_kernel.swapaxes(-3, -2)
        if self.has_bias:
            self.bias_gradient[...] = output_gradient.sum(axis=(-3, -2, -1), keepdims=True)


def _matrix(array: Array, block: tuple[slice, slice], height: int, leading: Sequence[int]) -> Array:
    """The output rows and places `block` of an array (..., Y', X', B) as matrices (*leading, height, rows places B).

    A view of outputs, whole rows or a part of one, so it can be written to; of kept patches where that is one row.
    """
    return array[(..., *block, slice(None))].reshape(*leading, height, -1)


def _initial_bias(layer: "Convolution | Bias", num_channels: int, seeds: np.ndarray, dtype: str, draw: int) -> Array:
    """Uniform in (-bound, bound), (R, C, 1, 1, 1)."""
    channels = np.arange(num_channels)
    drawn = draws.uniform(
        seeds[..., None], "initial bias", (1, 1, 1), layer=layer.number, step=draw, slot=channels, dtype=dtype
    )
    return layer.bias_bound * (2 * drawn - 1)


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
        self.bias[...] = _initial_bias(self, self.num_channels, seeds, dtype, draw)

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
