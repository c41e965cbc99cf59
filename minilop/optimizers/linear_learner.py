"""The base class of the step-size methods for linear prediction. R weight vectors learn from one example at a time.

    prediction = w . x        error = target - prediction          (in this order in all methods)

A method is a function that updates the weights and a few arrays of their shape elementwise, given the error. It does
not depend on the origin of the error or on the number of leading axes. Weights may be (n,), (R, n), or (R, K, n) with K
hyperparameters side by side that share the inputs (R, 1, n) of their run.
"""

from abc import ABC, abstractmethod
from typing import Any

from minilop import backend
from minilop.backend import Array, like, xp
from minilop.checks import check_number

SMALLEST = 1e-30  # the smallest initial step size of methods that learn its logarithm; float32 underflows at 1e-38


class LinearLearner(ABC):
    """Linear prediction of a number from n inputs.

    weights     (R, n), changed in place
    state       other arrays of the shape of the weights, by name
    step_sizes  the current step size of every weight, (R, n)

    Every hyperparameter is a number, or an array (R, 1) with a value for each run.

    Weights that overflow do not recover: all later predictions of the run are NaN or infinite, and problems report the
    run as diverged. Start again with a new learner.
    """

    state: dict[str, Array]

    def __init__(self, weights: Array):
        """Raises ValueError for weights that are not an array of floating-point numbers."""
        check_floating("weights", weights)
        self.weights = weights

    def predict(self, inputs: Array) -> Array:
        """The predictions (R,) for inputs (R, n). Raises ValueError for other shapes."""
        check_shape("inputs", inputs, self.weights.shape, last=1)
        return dot(self.weights, inputs)[..., 0]

    def step(self, inputs: Array, targets: Array) -> Array:
        """Learn from one example per run. Returns the errors (R,) of the predictions made before learning.

        Raises ValueError for inputs that are not (R, n), or targets that are neither (R,) nor a number.
        """
        predictions = self.predict(inputs)
        check_shape("targets", targets, predictions.shape)
        error = targets - predictions
        self.update(error[..., None], inputs)
        return error

    @property
    def step_sizes(self) -> Array:
        """The step size of each weight, (R, n). It may be a read-only view."""
        return xp.exp(self.state["log_step_sizes"])

    @abstractmethod
    def update(self, error: Array, inputs: Array) -> None:
        """Update the weights and the state, given the errors (R, 1) and the inputs (R, n) of one example."""


def check_floating(name: str, array: Any) -> None:
    """Raises ValueError unless `array` is a floating-point array (..., n) of the array module in use."""
    if not isinstance(array, xp.ndarray) or array.dtype.kind != "f" or not array.ndim:
        found = f"{type(array).__module__}.{type(array).__name__}".removeprefix("builtins.")
        if hasattr(array, "dtype"):
            found += f" of {array.dtype} and shape {array.shape}"
        such_as = f"{backend.name()}.zeros(n)"
        raise ValueError(f"{name} must be an array (..., n) of floating-point numbers, such as {such_as}, not {found}")


def check_shape(name: str, array: Array, shape: tuple[int, ...], last: int = 0) -> None:
    """Raises ValueError unless `array` broadcasts to `shape` and has the same `last` axes."""
    if last and not hasattr(array, "shape"):
        raise ValueError(f"{name} must be an array of the shape {shape}, not a {type(array).__name__}")
    found = getattr(array, "shape", ())
    broadcasts = len(found) <= len(shape) and all(a in (1, b) for a, b in zip(found[::-1], shape[::-1]))
    if found != shape and not (broadcasts and found[len(found) - last :] == shape[len(shape) - last :]):
        raise ValueError(f"{name} must be an array of the shape {shape}, not {found}")


def check_initial_step_size(initial_step_size: Array) -> None:
    """Raises ValueError for a step size that has no logarithm or is too small for float32."""
    check_number("initial_step_size", initial_step_size, SMALLEST)


def dot(a: Array, b: Array) -> Array:
    """Inner products along the last axis, (..., n) and (..., n) to (..., 1)."""
    return (a * b).sum(axis=-1, keepdims=True)


def filled(weights: Array, value: Array) -> Array:
    """An array of the shape of the weights, filled with `value`, a number or (R, 1)."""
    array = xp.empty_like(weights)
    array[...] = like(weights, value)
    return array
