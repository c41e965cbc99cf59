"""Batch normalization (Ioffe and Szegedy, ICML 2015), with PyTorch's conventions.

h = scale (z - mean) / sqrt(variance + epsilon) + bias

learning     mean and variance over the mini-batch and, of images, over all places; the variance divides by n
evaluation   running mean and variance, at each step of learning moved by a tenth towards those of its mini-batch,
             the variance there divided by n - 1
"""

import math
from typing import Any

import numpy as np

from minilop.backend import Array, xp
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
    normalized: Array  # of the last forward pass, which the backward pass needs again
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
        mean = inputs.mean(axis=self.axes, keepdims=True)
        centred = inputs - mean
        variance = (centred * centred).mean(axis=self.axes, keepdims=True)
        num_values = math.prod(inputs.shape[axis] for axis in self.axes)
        self.running_mean += MOMENTUM * (mean - self.running_mean)
        self.running_variance += MOMENTUM * (variance * (num_values / (num_values - 1)) - self.running_variance)
        self.inverse_deviation = 1 / xp.sqrt(variance + EPSILON)
        self.normalized = centred * self.inverse_deviation
        return self.normalized * self.scale + self.bias

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        # The two sums are what moving the mean and the deviation contributes, and the parameters' gradients as well.
        self.bias_gradient[...] = output_gradient.sum(axis=self.axes, keepdims=True)
        self.scale_gradient[...] = (output_gradient * self.normalized).sum(axis=self.axes, keepdims=True)
        num_values = math.prod(inputs.shape[axis] for axis in self.axes)
        moved = (self.bias_gradient + self.normalized * self.scale_gradient) / num_values
        return (output_gradient - moved) * (self.scale * self.inverse_deviation)

    def fill_gradients(self, inputs: Array, output_gradient: Array) -> None:
        """`backward` has done it: it needs the same sums."""
