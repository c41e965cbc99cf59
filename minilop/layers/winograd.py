"""Winograd's convolution F(2 x 2, 3 x 3): four results of a 3 x 3 convolution from 16 multiplications instead of 36.

Lavin and Gray, CVPR 2016. Along one axis, two neighbouring results of a kernel g0 g1 g2 on the four taps d0 d1 d2 d3 are

    y0 = d0 g0 + d1 g1 + d2 g2            m0 = (d0 - d2) g0                      y0 = m0 + m1 + m2
    y1 = d1 g0 + d2 g1 + d3 g2            m1 = (d1 + d2) (g0 + g1 + g2) / 2      y1 = m1 - m2 + m3
                                          m2 = (d2 - d1) (g0 - g1 + g2) / 2
                                          m3 = (d3 - d1) g2

four multiplications instead of six. For images that is done along both axes: a tile of 4 x 4 pixels, neighbours of which
overlap by two, gives 2 x 2 results. With B, G and A for the three tables of signs (INPUT, KERNEL and OUTPUT below),

    V = B d B'       M[i, j] = U[i, j] V[i, j]       y = A M A'       with U = G g G'

where the product in the middle sums over the channels: for each of the 16 places (i, j) of a tile it is a matrix product,
(C', C) by (C, tiles). The backward pass is these lines transposed, from the last to the first:

    dM = A' dy A       dU[i, j] = dM[i, j] V[i, j]'       dV[i, j] = U[i, j]' dM[i, j]       dd = B' dV B       dg = G' dU G

so all three products take 4 / 9 of the multiplications. The results are those of `Convolution` but for rounding.

Taps two apart belong to neighbouring tiles, so the lines of an image are kept as two *phases*, the even and the odd ones:
then a tap of all tiles of a row is one contiguous stretch. Tap k of tile t is line t + k div 2 of phase k mod 2.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from minilop.backend import Array, blocks, xp
from minilop.layers.convolution import Convolution

INPUT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1))
KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
OUTPUT = ((1, 1, 1, 0), (0, 1, -1, 1))


class Winograd(Convolution):
    """A 3 x 3 convolution of stride 1 on images with a border of one line of zeros; never a network's first layer."""

    def __init__(self, num_channels: int, num_outputs: int, **options: object):
        """Options are those of `Convolution`."""
        super().__init__(num_channels, num_outputs, 3, stride=1, padding=1, keep_patches=False, **options)  # type: ignore[arg-type]

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        super().initialize(seeds, dtype, draw)
        self.kernel_transform = xp.asarray(np.kron(KERNEL, KERNEL), dtype)  # (16, 9), of both axes at once

    def transformed_kernels(self) -> Array:
        """U (R, 4, 4, C', C)."""
        leading = self.weight.shape[:-4]
        kernels = self.weight.reshape(*leading, -1, 9).swapaxes(-1, -2)  # (R, 9, C' C)
        return (self.kernel_transform @ kernels).reshape(*leading, 4, 4, self.num_outputs, -1)

    def forward(self, inputs: Array) -> Array:
        images, kernels = split(inputs), self.transformed_kernels()
        outputs = xp.empty((*inputs.shape[:-4], self.num_outputs, *inputs.shape[-3:]), inputs.dtype)
        for rows in self.tile_rows(images):
            results, along_row = self.results(images, rows)
            for i in range(4):
                tiles = _tiles(images, rows, i)  # (R, 4, C, T, X, B)
                products = _multiply(kernels[..., i, :, :, :], tiles)  # (R, 4, C', T, X, B)
                for q in range(2):
                    _mix(OUTPUT[q], _parts(products), out=along_row[..., q, :, :, :, :])
                for p in range(2):
                    _add(results[..., p, :, :, :, :, :], OUTPUT[p][i], along_row)
            for p, q in np.ndindex(2, 2):
                places = outputs[..., 2 * rows.start + p : 2 * rows.stop : 2, q::2, :]
                of_phase = results[..., p, q, :, : places.shape[-3], : places.shape[-2], :]
                xp.add(of_phase, self.bias if self.has_bias else 0, out=places)
        return outputs

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        images, kernels = split(inputs), self.transformed_kernels()
        transposed = kernels.swapaxes(-1, -2)
        images_gradient, kernels_gradient = xp.zeros_like(images), xp.zeros_like(kernels)
        for rows in self.tile_rows(images):
            results, along_row = self.results(images, rows)  # of their gradients, here and below
            for p, q in np.ndindex(2, 2):
                places = output_gradient[..., 2 * rows.start + p : 2 * rows.stop : 2, q::2, :]
                results[..., p, q, :, : places.shape[-3], : places.shape[-2], :] = places
            products = xp.empty((*along_row.shape[:-5], 4, *along_row.shape[-4:]), inputs.dtype)
            for i in range(4):
                _mix([signs[i] for signs in OUTPUT], [results[..., p, :, :, :, :, :] for p in range(2)], out=along_row)
                for j in range(4):
                    signs = [signs[j] for signs in OUTPUT]
                    _mix(signs, _parts(along_row), out=products[..., j, :, :, :, :])
                tiles = _tiles(images, rows, i)
                kernels_gradient[..., i, :, :, :] += _matrices(products) @ _matrices(tiles).swapaxes(-1, -2)
                _add_tiles(_multiply(transposed[..., i, :, :, :], products), images_gradient, rows, i)
        # The weight's gradient, too, because the two share most of their work.
        flat = kernels_gradient.reshape(*kernels.shape[:-4], 16, -1)
        gradient = self.kernel_transform.T @ flat  # (R, 9, C' C)
        self.weight_gradient[...] = gradient.swapaxes(-1, -2).reshape(self.weight.shape)
        return join(images_gradient, inputs.shape)

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        """The bias's; `backward` has done the weight's."""
        if self.has_bias:
            self.bias_gradient[...] = output_gradient.sum(axis=(-3, -2, -1), keepdims=True)

    def tile_rows(self, images: Array) -> Iterator[slice]:
        """Rows of tiles to work on at a time: those of which the 4 places of a line fit into the cache, at least one."""
        num_rows = images.shape[-3] - 1
        row = 4 * math.prod(images.shape[-4:]) // images.shape[-3]
        return (slice(rows.start, min(rows.stop, num_rows)) for rows in blocks(num_rows, num_rows * row))

    def results(self, images: Array, rows: slice) -> tuple[Array, Array]:
        """Zeros for the results of some rows of tiles by their phases, (R, 2, 2, C', T, X, B), and for a row, (R, 2, ...)."""
        leading, (columns, batch) = images.shape[:-6], images.shape[-2:]
        shape = (2, self.num_outputs, rows.stop - rows.start, columns - 1, batch)
        return xp.zeros((*leading, 2, *shape), images.dtype), xp.zeros((*leading, *shape), images.dtype)


def split(images: Array) -> Array:
    """Images with a border of zeros by the phases of their lines: (R, C, Y, X, B) to (R, 2, 2, C, T + 1, U + 1, B).

    For T x U tiles; an odd height or width has half a tile more, of zeros.
    """
    *leading, num_channels, height, width, batch = images.shape
    phases = xp.zeros((*leading, 2, 2, num_channels, (height + 1) // 2 + 1, (width + 1) // 2 + 1, batch), images.dtype)
    for inside, lines in _lines(phases, images.shape):
        phases[inside] = images[lines]
    return phases


def join(phases: Array, shape: Sequence[int]) -> Array:
    """The adjoint of `split`, which undoes it: images of `shape`."""
    images = xp.empty(shape, phases.dtype)
    for inside, lines in _lines(phases, shape):
        images[lines] = phases[inside]
    return images


def _lines(phases: Array, shape: Sequence[int]) -> Iterator[tuple[tuple, tuple]]:
    """For each pair of phases, where it has what lines of the images: line y, framed, is line y + 1."""
    height, width = shape[-3:-1]
    for p, q in np.ndindex(2, 2):
        rows, columns = slice(1 - p, 1 - p + (height + p) // 2), slice(1 - q, 1 - q + (width + q) // 2)
        every = slice(None)
        yield (..., p, q, every, rows, columns, every), (..., slice(1 - p, None, 2), slice(1 - q, None, 2), every)


def _tiles(images: Array, rows: slice, i: int) -> Array:
    """Row i of V for some rows of tiles: (R, 4, C, T, X, B)."""
    along_row = xp.empty((*images.shape[:-6], *images[..., 0, :, :, rows, :, :].shape[-5:]), images.dtype)
    taps = [images[..., k % 2, :, :, rows.start + k // 2 : rows.stop + k // 2, :, :] for k in range(4)]
    _mix(INPUT[i], taps, out=along_row)
    num_columns = images.shape[-2] - 1
    tiles = xp.empty((*along_row.shape[:-5], 4, *along_row.shape[-4:-2], num_columns, images.shape[-1]), images.dtype)
    taps = [along_row[..., k % 2, :, :, k // 2 : k // 2 + num_columns, :] for k in range(4)]
    for j in range(4):
        _mix(INPUT[j], taps, out=tiles[..., j, :, :, :, :])
    return tiles


def _add_tiles(tiles: Array, images: Array, rows: slice, i: int) -> None:
    """The adjoint of `_tiles`: adds to the images."""
    along_row = xp.zeros((*images.shape[:-6], *images[..., 0, :, :, rows, :, :].shape[-5:]), images.dtype)
    num_columns = images.shape[-2] - 1
    part = xp.empty(tiles.shape[:-5] + tiles.shape[-4:], tiles.dtype)
    for k in range(4):
        _mix([signs[k] for signs in INPUT], _parts(tiles), out=part)
        along_row[..., k % 2, :, :, k // 2 : k // 2 + num_columns, :] += part
    for k in range(4):
        _add(images[..., k % 2, :, :, rows.start + k // 2 : rows.stop + k // 2, :, :], INPUT[i][k], along_row)


def _matrices(places: Array) -> Array:
    """(R, 4, C, T, X, B) as matrices (R, 4, C, T X B)."""
    return places.reshape(*places.shape[:-3], -1)


def _multiply(kernels: Array, places: Array) -> Array:
    """(R, 4, C', C) by (R, 4, C, T, X, B) to (R, 4, C', T, X, B)."""
    products = kernels @ _matrices(places)
    return products.reshape(*products.shape[:-1], *places.shape[-3:])


def _parts(places: Array) -> list[Array]:
    """(R, n, C, T, X, B) as n arrays (R, C, T, X, B)."""
    return [places[..., j, :, :, :, :] for j in range(places.shape[-5])]


def _mix(signs: Sequence[int], parts: Sequence[Array], out: Array) -> None:
    """out <- the sum of the parts, each times its sign, 1, 0 or -1; the first with a sign 1 is there always."""
    added = [part for sign, part in zip(signs, parts) if sign > 0]
    total = added[0]
    for part in added[1:]:
        total = xp.add(total, part, out=out)
    for sign, part in zip(signs, parts):
        if sign < 0:
            total = xp.subtract(total, part, out=out)
    if total is not out:
        out[...] = total


def _add(total: Array, sign: int, part: Array) -> None:
    """total <- total + sign part, in place."""
    if sign > 0:
        total += part
    elif sign < 0:
        total -= part
