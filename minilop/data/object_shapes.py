"""Tools for drawing generated objects and their backgrounds: random numbers in a fixed order, outlines, colors.

An outline is a function f(u, v) of a point in the frame of the shape; the inside is f < 1. One formula covers all,

    f = (|u|^power + |v|^power)^(1/power) / (1 + depth cos(lobes phi) + egg (cos phi + cos 3 phi)),   phi = atan2(v, u)

with depth = egg = 0 for a diamond (power 1), a disk (2) or a rounded box (4), depth > 0 for a star or a flower, and
egg > 0 for a pear.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minilop.data.hashing import uniforms

Floats = npt.NDArray[np.floating]  # in fact float32, which needs half the memory of float64


class Draws:
    """The random numbers of an array of keys, in a fixed order.

    key         (...) the keys; each method returns one number per key, (..., 1, ..., 1) with `num_axes` ones at the
                end, which broadcast with pictures
    num_draws   the number of numbers per key; using more is a programming error
    """

    def __init__(self, key: npt.NDArray[np.uint64], num_draws: int, num_axes: int = 0) -> None:
        self._numbers = iter(uniforms(key, num_draws).reshape(num_draws, *key.shape, *[1] * num_axes))

    def between(self, low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        return np.asarray(low + (high - low) * next(self._numbers), np.float32)

    def one_of(self, choices: int | Sequence[float]) -> npt.NDArray:
        """One of the numbers `choices`, or one of 0 ... choices - 1, with equal probabilities."""
        table = np.arange(choices) if isinstance(choices, int) else np.asarray(choices, np.float32)
        return np.asarray(table[(next(self._numbers) * len(table)).astype(np.intp)])

    def chance(self, probability: float) -> npt.NDArray[np.bool_]:
        return np.asarray(next(self._numbers) < probability)

    def normal(self, deviation: float) -> Floats:
        """A normal number of mean 0, from two uniform numbers (Box and Muller)."""
        radius = np.sqrt(-2 * np.log(1 - next(self._numbers)))
        return np.asarray(deviation * radius * np.cos(2 * np.pi * next(self._numbers)), np.float32)


class Outline(NamedTuple):
    power: Floats
    lobes: Floats
    depth: Floats
    egg: Floats


def draw_outline(draws: Draws) -> Outline:
    """A superellipse (two fifths), a star or flower (two fifths) or a pear (one fifth)."""
    kind = draws.one_of([0, 0, 1, 1, 2])
    power, lobes, depth = draws.one_of([1, 2, 4]), draws.one_of([2, 3, 4, 5, 6]), draws.between(0.1, 0.5)
    return Outline(
        np.where(kind == 0, power, np.float32(2)),
        lobes,
        np.where(kind == 1, depth, np.float32(0)),
        np.where(kind == 2, depth / 2, np.float32(0)),
    )


def outline_value(u: Floats, v: Floats, outline: Outline) -> Floats:
    """f(u, v): 0 at the center, 1 on the outline."""
    power, lobes, depth, egg = outline
    gauge = (abs(u) ** power + abs(v) ** power) ** (1 / power)
    if not (depth.any() or egg.any()):  # computing the angle would take most of the time
        return np.asarray(gauge)
    phi = np.arctan2(v, u)
    return np.asarray(gauge / (1 + depth * np.cos(lobes * phi) + egg * (np.cos(phi) + np.cos(3 * phi))))


def soft_inside(value: Floats, size: Floats, softness: float = 40) -> Floats:
    """1 inside and 0 outside an outline of this half width, with a transition about 4 / softness wide."""
    steep = softness * np.minimum(size, np.float32(0.4))
    return sigmoid(steep * (1 - value))


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.clip(-x, -30, 30))))


def turned(x: Floats, y: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """The coordinates of the point (x, y) in a frame that is rotated by `angle`."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def color(hue: Floats, saturation: Floats, value: Floats) -> Floats:
    """Red, green and blue in [0, 1], on a new first axis, of an HSV color; the hue is periodic with period 1."""
    saturation, value = np.clip(saturation, 0, 1), np.clip(value, 0, 1)
    corner = [(start + 6 * hue) % 6 for start in (5, 3, 1)]
    return np.stack([value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1)) for k in corner])


def pixel_centers(num_pixels: int, half_width: float) -> tuple[Floats, Floats]:
    """The coordinates x (1, num_pixels), to the right, and y (num_pixels, 1), downward, of the pixels."""
    at = np.float32(half_width) * ((2 * np.arange(num_pixels, dtype=np.float32) + 1) / num_pixels - 1)
    return at[None, :], at[:, None]
