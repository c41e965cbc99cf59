"""Inverted dropout (Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, JMLR 2014)."""

import numpy as np

from minilop import draws
from minilop.backend import Array
from minilop.checks import check_number
from minilop.layers.layer import Layer

_MASKS_AT_A_TIME = 64


class Dropout(Layer):
    """Sets each feature to zero with `probability` and divides the others by 1 - probability.

    Every step draws a mask (R, n, B), so the examples of a mini-batch have different masks. During evaluation, no
    features are dropped.
    """

    mask: Array  # of the last forward pass
    step: int | None = None  # of learning; None in an evaluation

    def __init__(self, probability: float, num_units: int):
        """Raises ValueError for values out of range."""
        check_number("the dropout probability", probability, 0, 1, below_high=True)
        self.probability = probability
        self.num_units = num_units

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        self.seeds = seeds
        self.dtype = dtype
        self.batch_size = 0

    def begin_step(self, step: int) -> None:
        self.step = step

    def begin_evaluation(self) -> None:
        self.step = None

    def draw_masks(self, steps: np.ndarray) -> Array:
        """The masks for these steps, (T, R, n, B)."""
        shape = (self.num_units, self.batch_size)
        drawn = draws.uniform(self.seeds, "dropout", shape, layer=self.number, step=steps, dtype=self.dtype)
        return (drawn >= self.probability).astype(self.dtype) / (1 - self.probability)

    def forward(self, inputs: Array) -> Array:
        if self.step is None:
            self.mask = 1
        else:
            if self.batch_size != inputs.shape[-1]:
                self.batch_size = inputs.shape[-1]
                steps_at_a_time = max(1, _MASKS_AT_A_TIME // self.batch_size)
                self.masks = draws.PrefetchedDraws(self.draw_masks, steps_at_a_time, dimensions=self.seeds.ndim)
            self.mask = self.masks(self.step)
        return inputs * self.mask

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        return output_gradient * self.mask
