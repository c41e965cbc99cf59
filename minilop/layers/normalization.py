"""Batch normalization (Ioffe and Szegedy, ICML 2015), with PyTorch's conventions.

h = scale (z - mean) / sqrt(variance + epsilon) + bias

learning     mean and variance over the mini-batch and, of images, over all places; the variance divides by n
evaluation   running mean and variance, at each step of learning moved by a tenth towards those of its mini-batch,
             the variance there divided by n - 1
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minilop.backend import Array, blocks, xp
from minilop.layers.layer import Layer

MOMENTUM = 0.1  # PyTorch's word for the tenth
EPSILON = 1e-5


class BatchNorm(Layer):
    """Normalizes each of `num_units` units, which are the channels of an image or the rows of a dense layer.

    scale, bias   (R, C, 1, 1, 1) or (R, H, 1); running_mean and running_variance likewise

    It takes its statistics from the whole mini-batch, so it is never a network's first layer, and one example alone has
    no variance.
    """

    scale: Array
    bias: Array
    scale_gradient: Array
    bias_gradient: Array
    mean: Array  # of the last forward pass, which the backward pass needs again
    inverse_deviation: Array

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
        """Give the units `where`, an index into the axes (R, H), their initial parameters and statistics."""
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
        outputs = xp.empty(inputs.shape, inputs.dtype)
        self.mean = xp.empty(self.scale.shape, inputs.dtype)
        self.inverse_deviation = xp.empty(self.scale.shape, inputs.dtype)
        num_values = math.prod(inputs.shape[axis] for axis in self.axes)
        for units in self.blocks(inputs):
            mean = inputs[units].mean(axis=self.axes, keepdims=True)
            centred = inputs[units] - mean
            self.mean[units] = mean
            variance = self.sum_of_products(centred, centred) / num_values
            self.running_mean[units] += MOMENTUM * (mean - self.running_mean[units])
            unbiased = variance * (num_values / (num_values - 1))
            self.running_variance[units] += MOMENTUM * (unbiased - self.running_variance[units])
            self.inverse_deviation[units] = 1 / xp.sqrt(variance + EPSILON)
            centred *= self.scale[units] * self.inverse_deviation[units]
            xp.add(centred, self.bias[units], out=outputs[units])
        return outputs

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        gradient = xp.empty(inputs.shape, output_gradient.dtype)
        factor = self.scale * self.inverse_deviation
        num_values = math.prod(inputs.shape[axis] for axis in self.axes)
        for units in self.blocks(inputs):
            # Centred once more: that costs a pass in the cache, and keeping it as much memory as the inputs.
            from_above, centred = output_gradient[units], inputs[units] - self.mean[units]
            # What moving the mean and the deviation contributes are two sums, and they are the parameters' gradients too.
            self.bias_gradient[units] = from_above.sum(axis=self.axes, keepdims=True)
            self.scale_gradient[units] = self.sum_of_products(from_above, centred) * self.inverse_deviation[units]
            centred *= self.scale_gradient[units] * self.inverse_deviation[units] / num_values
            centred += self.bias_gradient[units] / num_values
            xp.subtract(from_above, centred, out=gradient[units])
            gradient[units] *= factor[units]
        return gradient

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        """`backward` has done it: it needs the same sums."""

    def sum_of_products(self, first: Array, second: Array) -> Array:
        """Over all that a unit has: as inner products, without an array of the products."""
        leading = first.shape[: -len(self.axes)]
        row, column = first.reshape(*leading, 1, -1), second.reshape(*leading, -1, 1)
        return (row @ column).reshape(*leading, *[1] * len(self.axes))

    def blocks(self, inputs: Array) -> Iterator[tuple[Any, ...]]:
        """Indices of a few units at a time, whose numbers stay in the cache from one line to the next."""
        size = math.prod(inputs.shape[-len(self.shape) :])  # of one run
        return ((..., units, *[slice(None)] * len(self.axes)) for units in blocks(self.shape[0], size))
