"""The base class of the step-size methods for linear prediction. R weight vectors learn from one example at a time.

    prediction = w . x        error = target - prediction          (in this order in all methods)

A method is a function that updates the weights and a few arrays of their shape elementwise, given the error. It does
not depend on the origin of the error or on the number of leading axes. Weights may be (n,), (R, n), or (R, K, n) with K
hyperparameters side by side that share the inputs (R, 1, n) of their run.
"""

from abc import ABC, abstractmethod

from minilop.backend import Array, like, xp


class LinearLearner(ABC):
    """Linear prediction of a number from n inputs.

    weights     (R, n), changed in place
    state       other arrays of the shape of the weights, by name
    step_sizes  the current step size of every weight, (R, n)

    Every hyperparameter is a number, or an array (R, 1) with a value for each run.
    """

    state: dict[str, Array]

    def __init__(self, weights: Array):
        self.weights = weights

    def predict(self, inputs: Array) -> Array:
        """The predictions (R,) for inputs (R, n)."""
        return dot(self.weights, inputs)[..., 0]

    def step(self, inputs: Array, targets: Array) -> Array:
        """Learn from one example per run. Returns the errors (R,) of the predictions made before learning."""
        error = targets - self.predict(inputs)
        self.update(error[..., None], inputs)
        return error

    @property
    def step_sizes(self) -> Array:
        """The step size of each weight, (R, n). It may be a read-only view."""
        return xp.exp(self.state["log_step_sizes"])

    @abstractmethod
    def update(self, error: Array, inputs: Array) -> None:
        """Update the weights and the state, given the errors (R, 1) and the inputs (R, n) of one example."""


def dot(a: Array, b: Array) -> Array:
    """Inner products along the last axis, (..., n) and (..., n) to (..., 1)."""
    return (a * b).sum(axis=-1, keepdims=True)


def filled(weights: Array, value: Array) -> Array:
    """An array of the shape of the weights, filled with `value`, a number or (R, 1)."""
    array = xp.empty_like(weights)
    array[...] = like(weights, value)
    return array
