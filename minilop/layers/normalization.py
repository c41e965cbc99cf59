"""Batch normalization (Ioffe and Szegedy, ICML 2015), with PyTorch's conventions.

    normalized = (z - mean) / sqrt(variance + epsilon)
    h = scale * normalized + bias

During learning, the mean and the variance are taken over the mini-batch and, for images, over all positions. The
variance is the sum of squared deviations divided by n, the number of values of a unit.

During evaluation, the running mean and the running variance are used. Each step of learning moves them a tenth of the
way to the statistics of its mini-batch, with a variance that divides by n - 1.

The backward pass, with g the gradient with respect to h:

    bias_gradient = sum of g
    scale_gradient = sum of g * normalized
    input_gradient = scale / sqrt(variance + epsilon) * (g - normalized * scale_gradient / n - bias_gradient / n)

The last two terms arise because each input also changes the variance and the mean.
"""

import math
from typing import Any

import numpy as np

from minilop.backend import Array, xp
from minilop.layers.layer import Layer

MOMENTUM = 0.1  # PyTorch's name for the rate at which the running statistics change
EPSILON = 1e-5


class BatchNorm(Layer):
    """Normalizes each of `num_units` units: the channels of an image, or the features of a dense layer.

    scale, bias                      (R, C, 1, 1, 1) or (R, H, 1)
    running_mean, running_variance   the same shape

    This layer cannot be the first of a network, because `backward`, which fills the gradients of scale and bias, is not
    called for the first layer. A mini-batch of one example has a variance only if the example is an image.
    """

    scale: Array
    bias: Array
    scale_gradient: Array
    bias_gradient: Array
    mean: Array  # of the last forward pass, for the backward pass; shaped like scale
    inverse_std: Array

    def __init__(self, num_units: int, image: bool):
        self.shape = (num_units, 1, 1, 1) if image else (num_units, 1)
        self.axes = (-3, -2, -1) if image else (-1,)
        self.learning = True

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"scale": self.shape, "bias": self.shape}

    def initialize(self, seeds: np.ndarray, dtype: str, draw: int = 0) -> None:
        self.running_mean = xp.empty(seeds.shape + self.shape, dtype)
        self.running_variance = xp.empty(seeds.shape + self.shape, dtype)
        self.reset(...)

    def reset(self, where: Any) -> None:
        """Reset the parameters and statistics of some units to their initial values.

        where   an index into the axes (R, H)
        """
        for array, value in ((self.scale, 1), (self.bias, 0), (self.running_mean, 0), (self.running_variance, 1)):
            array[where] = value

    def buffers(self) -> dict[str, Array]:
        return {"running_mean": self.running_mean, "running_variance": self.running_variance}

    def begin_step(self, step: int) -> None:
        self.learning = True

    def begin_evaluation(self) -> None:
        self.learning = False

    def forward(self, inputs: Array) -> Array:
        if not self.learning:
            factor = self.scale / xp.sqrt(self.running_variance + EPSILON)
            return inputs * factor + (self.bias - self.running_mean * factor)
        num_values = self.num_values(inputs)
        self.mean = inputs.mean(axis=self.axes, keepdims=True)  # (R, C, 1, 1, 1) or (R, H, 1), like all statistics
        centered = inputs - self.mean  # like inputs
        variance = self.sum_of_products(centered, centered) / num_values
        self.inverse_std = 1 / xp.sqrt(variance + EPSILON)
        unbiased_variance = variance * (num_values / (num_values - 1))
        self.running_mean += MOMENTUM * (self.mean - self.running_mean)
        self.running_variance += MOMENTUM * (unbiased_variance - self.running_variance)
        return centered * (self.scale * self.inverse_std) + self.bias

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        num_values = self.num_values(inputs)
        centered = inputs - self.mean  # computed again: storing it would take as much memory as the inputs
        self.bias_gradient[...] = output_gradient.sum(axis=self.axes, keepdims=True)
        self.scale_gradient[...] = self.sum_of_products(output_gradient, centered) * self.inverse_std
        through_variance = centered * (self.scale_gradient * self.inverse_std / num_values)
        through_mean = self.bias_gradient / num_values
        return (output_gradient - (through_variance + through_mean)) * (self.scale * self.inverse_std)

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        """Nothing to do: `backward` has filled the gradients, because it needs the same sums."""

    def num_values(self, inputs: Array) -> int:
        """n, the number of values of one unit over which the statistics are taken."""
        return math.prod(inputs.shape[axis] for axis in self.axes)

    def sum_of_products(self, first: Array, second: Array) -> Array:
        """The sum of first * second over the values of each unit, as an inner product; shaped like scale."""
        leading = first.shape[: -len(self.axes)]
        row, column = first.reshape(*leading, 1, -1), second.reshape(*leading, -1, 1)
        return (row @ column).reshape(*leading, *[1] * len(self.axes))
