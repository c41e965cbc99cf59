"""Activation functions and their derivatives."""

from collections.abc import Callable
from typing import Literal

from minilop.backend import Array, xp
from minilop.checks import check_choice
from minilop.layers.layer import Layer

ActivationName = Literal["relu", "leaky_relu", "tanh", "sigmoid", "elu", "swish", "identity"]

NON_MONOTONIC = ("swish",)  # all other activations are nondecreasing, so they commute with max-pooling

_LEAK = 0.01  # slope of the leaky relu for negative inputs, PyTorch's default and the published setting


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), written so that no exponential overflows and small values keep their digits."""
    exponential = xp.exp(-abs(z))
    return xp.where(z > 0, xp.ones_like(z), exponential) / (1 + exponential)


def _swish_derivative(z: Array, h: Array) -> Array:
    gate = sigmoid(z)
    return gate + h * (1 - gate)


# name: (h from z, dh/dz from z and h)
_FUNCTIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "relu": (lambda z: xp.maximum(z, 0), lambda z, h: h > 0),
    "leaky_relu": (lambda z: xp.maximum(z, _LEAK * z), lambda z, h: xp.where(z > 0, xp.ones_like(z), _LEAK)),
    "tanh": (lambda z: xp.tanh(z), lambda z, h: 1 - h * h),
    "sigmoid": (sigmoid, lambda z, h: h * (1 - h)),
    "elu": (lambda z: xp.where(z > 0, z, xp.expm1(xp.minimum(z, 0))), lambda z, h: xp.where(z > 0, 1, h + 1)),
    "swish": (lambda z: z * sigmoid(z), _swish_derivative),
    "identity": (lambda z: z, lambda z, h: xp.ones_like(z)),
}


class Activation(Layer):
    """h = f(z), applied elementwise. At 0, relu and leaky_relu have the derivative of the negative side."""

    def __init__(self, name: ActivationName):
        """Raises ValueError for an unknown name."""
        check_choice("activation", name, ActivationName)
        self.name = name
        self.function, self.derivative = _FUNCTIONS[name]

    def forward(self, inputs: Array) -> Array:
        return self.function(inputs)

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        return output_gradient * self.derivative(inputs, outputs)
