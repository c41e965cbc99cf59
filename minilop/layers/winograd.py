"""Winograd's convolution F(4 x 4, 3 x 3): 16 results of a 3 x 3 convolution from 36 multiplications instead of 144.

Winograd, 1980; Lavin and Gray, CVPR 2016. Two polynomials of three and four coefficients are multiplied by multiplying
their values at five points and their leading coefficients, six multiplications instead of twelve, since these determine
the six coefficients of the product: with V(n) the matrix that leads from n coefficients to the six values,

    g f  =  V(6)^-1 ((V(3) g) * (V(4) f))

The four results of a kernel g0 g1 g2 along six neighbouring taps d0 ... d5, y_t = sum over i of g_i d_(t+i), are this map,
from f to the product, transposed:

    y = A ((G g) * (B d))       A = V(4)'       G = V(3)       B = V(6)^-1'

For images that is done along both axes: a tile of 6 x 6 pixels, neighbours of which overlap by two, gives 4 x 4 results,

    V = B d B'       M[i, j] = U[i, j] V[i, j]       y = A M A'       with U = G g G'

where the product in the middle sums over the channels: for each of the 36 places (i, j) of a tile it is a matrix product,
(C', C) by (C, tiles). The backward pass is these lines transposed, from the last to the first:

    dM = A' dy A       dU[i, j] = dM[i, j] V[i, j]'       dV[i, j] = U[i, j]' dM[i, j]       dd = B' dV B       dg = G' dU G

so all three products take a quarter of the multiplications. B d B' is a matrix product, too: of the Kronecker product of B
with itself, (36, 36), and the tiles as columns.

The results are those of `Convolution` but for rounding, which is about five times as large: values at a point grow with its
powers. Points around 1 in size, and pairs of opposite sign, keep that low (0, 1, -1, 2, -2 would double it).
"""

import math
from collections.abc import Iterator

import numpy as np

from minilop.backend import Array, blocks_of_places, xp
from minilop.layers.convolution import Convolution

POINTS = (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)


def _values(num_coefficients: int) -> np.ndarray:
    """V(n): from the coefficients of a polynomial to its values at the points and the leading one, (6, n)."""
    leading = np.eye(num_coefficients)[-1:]
    return np.concatenate([np.vander(POINTS, num_coefficients, increasing=True), leading])


INPUT, KERNEL, OUTPUT = np.linalg.inv(_values(6)).T, _values(3), _values(4).T  # B (6, 6), G (6, 3), A (4, 6)


class Winograd(Convolution):
    """A 3 x 3 convolution of stride 1 on images with a border of one line of zeros; never a network's first layer."""

    def __init__(self, num_channels: int, num_outputs: int, **options: object):
        """Options are those of `Convolution`."""
        super().__init__(num_channels, num_outputs, 3, stride=1, padding=1, keep_patches=False, **options)  # type: ignore[arg-type]

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        super().initialize(seeds, dtype, draw)
        self.input_transform, self.kernel_transform, self.output_transform = (  # (36, 36), (36, 9), (16, 36)
            xp.asarray(np.kron(table, table), dtype) for table in (INPUT, KERNEL, OUTPUT)
        )

    def transformed_kernels(self) -> Array:
        """U (R, 36, C', C)."""
        leading = self.weight.shape[:-4]
        kernels = self.weight.reshape(*leading, -1, 9).swapaxes(-1, -2)  # (R, 9, C' C)
        return (self.kernel_transform @ kernels).reshape(*leading, 36, self.num_outputs, -1)

    def transformed_tiles(self, tiles: Array) -> Array:
        """V (R, 36, C, T U B) of some tiles (R, 6, 6, C, T, U, B)."""
        leading, num_channels = tiles.shape[:-6], tiles.shape[-4]
        return (self.input_transform @ tiles.reshape(*leading, 36, -1)).reshape(*leading, 36, num_channels, -1)

    def forward(self, inputs: Array) -> Array:
        *leading, _, height, width, batch = inputs.shape
        kernels, tiles = self.transformed_kernels(), tiled(framed(inputs, 1), 6)
        outputs = xp.empty((*leading, self.num_outputs, 4 * tiles.shape[-3], 4 * tiles.shape[-2], batch), inputs.dtype)
        results = tiled(outputs, 4)
        bias = self.bias[..., None, None, :, :, :, :] if self.has_bias else 0
        for block in self.tile_blocks(tiles):
            products = kernels @ self.transformed_tiles(tiles[block])  # (R, 36, C', T U B)
            found = self.output_transform @ products.reshape(*leading, 36, -1)
            xp.add(found.reshape(results[block].shape), bias, out=results[block])
        return outputs[..., :height, :width, :]

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        *leading, _, height, width, _ = inputs.shape
        images, kernels = framed(inputs, 1), self.transformed_kernels()
        transposed = kernels.swapaxes(-1, -2)
        images_gradient = xp.zeros_like(images)
        kernels_gradient: Array = None
        tiles, tiles_gradient = tiled(images, 6), tiled(images_gradient, 6)
        results_gradient = tiled(framed(output_gradient, 0), 4)
        for block in self.tile_blocks(tiles):
            products = self.output_transform.T @ results_gradient[block].reshape(*leading, 16, -1)  # dM
            products = products.reshape(*leading, 36, self.num_outputs, -1)
            of_block = products @ self.transformed_tiles(tiles[block]).swapaxes(-1, -2)
            if kernels_gradient is None:
                kernels_gradient = of_block
            else:
                kernels_gradient += of_block
            found = self.input_transform.T @ (transposed @ products).reshape(*leading, 36, -1)
            found = found.reshape(tiles[block].shape)
            for i, j in np.ndindex(2, 2):  # by parts that do not overlap
                part = (..., slice(4 * i, 4 + 4 * i), slice(4 * j, 4 + 4 * j), *[slice(None)] * 4)
                tiles_gradient[block][part] += found[part]
        # The weight's gradient, too, because the two share most of their work.
        by_kernel = kernels_gradient.reshape(*leading, 36, -1).swapaxes(-1, -2)  # (R, C' C, 36)
        self.weight_gradient[...] = (by_kernel @ self.kernel_transform).reshape(self.weight.shape)
        return images_gradient[..., 1 : 1 + height, 1 : 1 + width, :]

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        """The bias's; `backward` has done the weight's."""
        if self.has_bias:
            self.bias_gradient[...] = output_gradient.sum(axis=(-3, -2, -1), keepdims=True)

    def tile_blocks(self, tiles: Array) -> Iterator[tuple]:
        """Indices of some tiles to work on at a time: those that fit into the cache, at least one."""
        height, width = tiles.shape[-3:-1]
        of_one_run = math.prod(tiles.shape[-6:])
        return ((..., *places, slice(None)) for places in blocks_of_places(height, width, of_one_run))


def framed(images: Array, border: int) -> Array:
    """Images with zeros around them, and more where they do not end with a tile: (R, C, 4 T + 2 border, 4 U + 2 border, B)."""
    lines = [(border, border + -length % 4) for length in images.shape[-3:-1]]
    return xp.pad(images, [(0, 0)] * (images.ndim - 3) + [*lines, (0, 0)]) if any(map(any, lines)) else images


def tiled(images: Array, size: int) -> Array:
    """The tiles of images (R, C, Y, X, B), `size` pixels wide and high, four from one to the next: (R, size, size, C, T, U, B).

    A view, in which tiles of six overlap.
    """
    *leading, num_channels, height, width, batch = images.shape
    *outer, channel, row, column, example = images.strides
    shape = (*leading, size, size, num_channels, (height - size) // 4 + 1, (width - size) // 4 + 1, batch)
    return xp.lib.stride_tricks.as_strided(images, shape, (*outer, row, column, channel, 4 * row, 4 * column, example))
