"""Backgrounds, covers, distortions and noise of generated objects, in banks that are made once per seed.

backgrounds   smooth noise, a gradient and sometimes a grating between two related colors, with small shapes as clutter
covers        bars, edges and shapes that hide a part of an object
bends         smooth displacements, for x and for y
grain         white noise, cut from one long strip
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from minilop.data.hashing import keys
from minilop.data.object_shapes import (
    Draws,
    Floats,
    color,
    draw_outline,
    outline_value,
    pixel_centers,
    sigmoid,
    soft_inside,
    turned,
)

Spectrum = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]  # a function of the number of waves per picture

BACKGROUNDS = 128  # pictures
BACKGROUND = 64  # pixels of their side; an image is a crop
CLUTTER = 6  # largest number of small shapes in a background
COVERS = 64
BENDS = 64
GRAIN = 2**16  # possible first indices of a strip of noise
SIZE = 32  # pixels of an image's side
BACKGROUND_PURPOSE, CLUTTER_PURPOSE, NOISE_PURPOSE, COVER_PURPOSE, BEND_PURPOSE, GRAIN_PURPOSE = 7, 8, 9, 10, 11, 12


@lru_cache(maxsize=4)
def backgrounds(seed: int) -> npt.NDArray[np.uint8]:
    """Pictures (BACKGROUNDS, 3, BACKGROUND, BACKGROUND) of bytes."""
    number = np.arange(BACKGROUNDS)
    draws = Draws(keys(seed, BACKGROUND_PURPOSE, number), 20, num_axes=2)  # each draw (BACKGROUNDS, 1, 1)
    x, y = pixel_centers(BACKGROUND, 1)
    along, _ = turned(x, y, draws.between(-np.pi, np.pi))
    relief = _smooth_noise(keys(seed, NOISE_PURPOSE, number), BACKGROUND, _one_over_f) + draws.between(-1, 1) * along
    across, _ = turned(x, y, draws.between(-np.pi, np.pi))
    grating = np.sin(draws.between(6, 30) * across + draws.between(0, 2 * np.pi))
    relief += np.where(draws.chance(0.35), draws.between(0.3, 1.0), np.float32(0)) * grating
    hue = draws.between(0, 1)
    first, second = (
        color(hue + draws.between(-0.12, 0.12), draws.between(0.05, 0.75), draws.between(0.1, 1)) for _ in range(2)
    )  # (3, BACKGROUNDS, 1, 1)
    pictures = second + sigmoid(np.float32(1.5) * relief) * (first - second)  # (3, BACKGROUNDS, BACKGROUND, BACKGROUND)
    num_shapes = draws.one_of(CLUTTER + 1)
    for shape in range(CLUTTER):
        draws = Draws(keys(seed, CLUTTER_PURPOSE, number, shape), 20, num_axes=2)
        paint = color(draws.between(0, 1), draws.between(0.05, 0.9), draws.between(0.1, 1))
        inside = _shape(draws, x, y, (0.08, 0.3), reach=1) * (shape < num_shapes)
        pictures += inside * (paint - pictures)
    return _kept(np.rint(255 * pictures).astype(np.uint8).swapaxes(0, 1))


@lru_cache(maxsize=4)
def covers(seed: int) -> Floats:
    """The visible fraction of an object, (COVERS + 1, SIZE, SIZE) from 0 to 1; the last cover hides nothing."""
    draws = Draws(keys(seed, COVER_PURPOSE, np.arange(COVERS)), 20, num_axes=2)
    x, y = pixel_centers(SIZE, 1)
    kind = draws.one_of(3)
    across, _ = turned(x, y, draws.between(-np.pi, np.pi))
    from_middle = across - draws.between(-0.5, 0.5)
    half_width = draws.between(0.08, 0.2)
    bar = sigmoid(20 * (half_width - abs(from_middle)))
    edge = sigmoid(20 * (across - draws.between(0.15, 0.6)))
    hidden = np.select([kind == 0, kind == 1], [bar, edge], _shape(draws, x, y, (0.2, 0.45), reach=0.6))
    return _kept(np.concatenate([1 - hidden, np.ones((1, SIZE, SIZE), np.float32)]))


@lru_cache(maxsize=4)
def bends(seed: int) -> Floats:
    """Displacements (BENDS, SIZE, SIZE) with mean square 1, which vary over about a third of an image."""
    return _kept(_smooth_noise(keys(seed, BEND_PURPOSE, np.arange(BENDS)), SIZE, _slow))


@lru_cache(maxsize=4)
def grain(seed: int) -> Floats:
    """White noise of standard deviation 1, (GRAIN, 3 * SIZE * SIZE).

    The rows are views of one line of GRAIN + 3 * SIZE * SIZE - 1 numbers, each shifted by one number.
    """
    strip = 3 * SIZE * SIZE
    line = Draws(keys(seed, GRAIN_PURPOSE, np.arange(GRAIN + strip - 1)), 2).normal(1)
    return np.lib.stride_tricks.sliding_window_view(line, strip)  # type: ignore[no-any-return]


def _shape(draws: Draws, x: Floats, y: Floats, sizes: tuple[float, float], reach: float) -> Floats:
    """The fraction of each pixel inside the shape of its picture, (N, Y, X)."""
    right, down = x - draws.between(-reach, reach), y - draws.between(-reach, reach)
    u, v = turned(right, down, draws.between(-np.pi, np.pi))
    size, stretch = draws.between(*sizes), np.exp(draws.between(-0.5, 0.5))
    return soft_inside(outline_value(u / (size * stretch), v * stretch / size, draw_outline(draws)), size)


def _smooth_noise(key: npt.NDArray[np.uint64], num_pixels: int, spectrum: Spectrum) -> Floats:
    """Periodic noise (N, num_pixels, num_pixels) of mean 0 and standard deviation 1 with the given spectrum."""
    pixel = np.arange(num_pixels**2).reshape(num_pixels, num_pixels)
    white = Draws(keys(0, NOISE_PURPOSE, key[:, None, None], pixel), 2).normal(1)
    frequency = np.hypot(np.fft.fftfreq(num_pixels)[:, None], np.fft.rfftfreq(num_pixels)) * num_pixels  # waves across
    weight = np.where(frequency > 0, spectrum(np.maximum(frequency, 1)), 0)
    noise = np.fft.irfft2(np.fft.rfft2(white) * weight, s=(num_pixels, num_pixels))
    return np.asarray(noise / noise.std(axis=(-2, -1), keepdims=True), np.float32)


def _one_over_f(frequency: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 / frequency


def _slow(frequency: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.exp(-((frequency / 1.5) ** 2))


def _kept(array: np.ndarray) -> np.ndarray:
    """A read-only array, since the cache returns the same array in each call."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
