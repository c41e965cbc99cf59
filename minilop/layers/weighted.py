"""The base class of layers with weights: initial weights, and new incoming weights for replaced units."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minilop import draws
from minilop.backend import Array
from minilop.checks import check_sizes
from minilop.initialization import Scheme, weight_bound
from minilop.layers.layer import Layer


def draw_bias(layer: Any, bound: float, seeds: np.ndarray, draw: int) -> None:
    """Draw the initial biases of a layer, (R, O, 1) or (R, C, 1, 1, 1), uniformly from (-bound, bound)."""
    num_units, *ones = layer.bias.shape[seeds.ndim :]
    key = {"layer": layer.number, "step": draw, "slot": np.arange(num_units)}
    drawn = draws.uniform(seeds[..., None], "initial bias", tuple(ones), **key, dtype=layer.bias.dtype)
    layer.bias[...] = bound * (2 * drawn - 1)


class Weighted(Layer):
    """A layer whose `weight` (R, O, ...) has a row of incoming weights for each unit.

    num_outputs   number of units
    row_shape     shape of the incoming weights of one unit
    """

    weight: Array
    weight_gradient: Array

    def __init__(self, num_outputs: int, row_shape: tuple[int, ...], fan_out: int, activation: str, scheme: Scheme):
        """Raises ValueError for an unknown activation or scheme, and for a layer without inputs or outputs."""
        check_sizes(num_outputs, *row_shape)
        self.num_outputs = num_outputs
        self.row_shape = row_shape
        self.num_inputs = math.prod(row_shape)  # of one unit
        self.weight_bound = weight_bound(scheme, activation, self.num_inputs, fan_out)  # or standard deviation
        self.is_normal = scheme == "kaiming_normal"

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        self.weight[...] = self.initial_rows(seeds[..., None], np.arange(self.num_outputs), "initial weight", draw)

    def rows(self) -> Array:
        """The weight as a matrix with a row for each unit, (R, O, I)."""
        return self.weight.reshape(self.weight.shape[: -len(self.row_shape)] + (-1,))

    def initial_rows(self, seeds: Array, units: Array, purpose: str, step: int = 0) -> Array:
        """Incoming weights of units from the initial distribution, uniform in (-bound, bound) or normal.

        seeds, units   broadcast against each other; the unit is the slot of the draw
        returns        (...) + row_shape
        """
        if self.is_normal:
            return self.weight_bound * self._draw_rows(draws.normal, seeds, units, purpose, step)
        return self.weight_bound * (2 * self._draw_rows(draws.uniform, seeds, units, purpose, step) - 1)

    def normal_rows(self, seeds: Array, units: Array, purpose: str, step: int = 0) -> Array:
        """The same from the normal distribution with mean 0 and variance 2 / num_inputs."""
        return math.sqrt(2 / self.num_inputs) * self._draw_rows(draws.normal, seeds, units, purpose, step)

    def _draw_rows(self, draw: Callable[..., Array], seeds: Array, units: Array, purpose: str, step: int) -> Array:
        return draw(seeds, purpose, self.row_shape, layer=self.number, step=step, slot=units, dtype=self.weight.dtype)
