"""What generated objects and their surroundings are drawn with: draws in a fixed order, outlines, colours.

An outline is a function f(u, v) of the point in the shape's own frame; inside is f < 1. One formula has all of them,

    f = (|u|^power + |v|^power)^(1/power) / (1 + depth cos(lobes phi) + egg (cos phi + cos 3 phi)),   phi = atan2(v, u)

with depth = egg = 0 for a diamond (power 1), a disc (2) or a rounded box (4), depth > 0 for a star or a flower with so
many lobes, egg > 0 for a pear.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minilop.data.hashing import uniforms

Floats = npt.NDArray[np.floating]  # float32 in fact: half the memory to move


class Draws:
    """The random numbers of some keys, used up in the order in which they are asked for.

    key         (...) the keys; every method gives one number for each: (..., 1, ..., 1) with `num_axes` ones at the
                end, ready to be combined with pictures
    num_draws   how many numbers there are; asking for more is a mistake in the program
    """

    def __init__(self, key: npt.NDArray[np.uint64], num_draws: int, num_axes: int = 0) -> None:
        self._numbers = iter(uniforms(key, num_draws).reshape(num_draws, *key.shape, *[1] * num_axes))

    def between(self, low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        return np.asarray(low + (high - low) * next(self._numbers), np.float32)

    def one_of(self, choices: int | Sequence[float]) -> npt.NDArray:
        """One of the numbers `choices`, or of 0 ... choices - 1, all equally likely."""
        table = np.arange(choices) if isinstance(choices, int) else np.asarray(choices, np.float32)
        return np.asarray(table[(next(self._numbers) * len(table)).astype(np.intp)])

    def chance(self, probability: float) -> npt.NDArray[np.bool_]:
        return np.asarray(next(self._numbers) < probability)

    def normal(self, deviation: float) -> Floats:
        """By Box and Muller, from two numbers."""
        radius = np.sqrt(-2 * np.log(1 - next(self._numbers)))
        return np.asarray(deviation * radius * np.cos(2 * np.pi * next(self._numbers)), np.float32)


class Outline(NamedTuple):
    power: Floats
    lobes: Floats
    depth: Floats
    egg: Floats


def draw_outline(draws: Draws) -> Outline:
    """A superellipse (two fifths of all), a star or flower (two fifths) or a pear."""
    kind = draws.one_of([0, 0, 1, 1, 2])
    power, lobes, depth = draws.one_of([1, 2, 4]), draws.one_of([2, 3, 4, 5, 6]), draws.between(0.1, 0.5)
    return Outline(
        np.where(kind == 0, power, np.float32(2)),
        lobes,
        np.where(kind == 1, depth, np.float32(0)),
        np.where(kind == 2, depth / 2, np.float32(0)),
    )


def outline_value(u: Floats, v: Floats, outline: Outline) -> Floats:
    """f(u, v): 0 in the middle, 1 on the outline."""
    power, lobes, depth, egg = outline
    gauge = (abs(u) ** power + abs(v) ** power) ** (1 / power)
    if not (depth.any() or egg.any()):  # the angle costs more than all the rest
        return np.asarray(gauge)
    phi = np.arctan2(v, u)
    return np.asarray(gauge / (1 + depth * np.cos(lobes * phi) + egg * (np.cos(phi) + np.cos(3 * phi))))


def soft_inside(value: Floats, size: Floats, softness: float = 40) -> Floats:
    """1 inside and 0 outside of an outline of this half width, falling off over about 4 / softness."""
    steep = softness * np.minimum(size, np.float32(0.4))
    return sigmoid(steep * (1 - value))


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.clip(-x, -30, 30))))


def turned(x: Floats, y: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """The point (x, y) in a frame that is turned by `angle`."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def colour(hue: Floats, saturation: Floats, value: Floats) -> Floats:
    """Red, green, blue in [0, 1], on a new first axis, of the usual hexagon of colours; the hue wraps around at 1."""
    saturation, value = np.clip(saturation, 0, 1), np.clip(value, 0, 1)
    corner = [(start + 6 * hue) % 6 for start in (5, 3, 1)]
    return np.stack([value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1)) for k in corner])


def pixel_centres(num_pixels: int, half_width: float) -> tuple[Floats, Floats]:
    """The coordinates x (1, num_pixels), to the right, and y (num_pixels, 1), downwards, of a picture's pixels."""
    at = np.float32(half_width) * ((2 * np.arange(num_pixels, dtype=np.float32) + 1) / num_pixels - 1)
    return at[None, :], at[:, None]
