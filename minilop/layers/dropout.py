"""Dropout (Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, JMLR 2014), inverted as is usual today."""

import numpy as np

from minilop import draws
from minilop.backend import Array
from minilop.layers.layer import Layer


class Dropout(Layer):
    """Sets each feature to zero with `probability` and divides the others by 1 - probability.

    One mask for the examples of a step, (R, n, 1), drawn by `begin_step`: the problems with dropout are online. In an
    evaluation nothing is dropped.
    """

    mask: Array

    def __init__(self, probability: float, num_units: int):
        self.probability = probability
        self.num_units = num_units

    def initialize(self, seeds: np.ndarray, dtype: str) -> None:
        def masks(steps: np.ndarray) -> Array:
            kept = draws.uniform(seeds, "dropout", (self.num_units, 1), layer=self.number, step=steps, dtype=dtype)
            return (kept >= self.probability).astype(dtype) / (1 - self.probability)  # (T, R, n, 1)

        self.masks = draws.Ahead(masks, steps_at_a_time=64, dimensions=seeds.ndim)

    def begin_step(self, step: int) -> None:
        self.mask = self.masks(step)

    def begin_evaluation(self) -> None:
        self.mask = 1

    def forward(self, inputs: Array) -> Array:
        return inputs * self.mask

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        return output_gradient * self.mask
