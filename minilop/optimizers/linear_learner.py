"""What the step-size methods for linear prediction share: R weight vectors that learn from one example at a time.

    prediction = w . x        error = target - prediction          (target minus prediction everywhere here)

A method is an elementwise update of the weights and of a few arrays like them, given the error: a function of all these
as arguments, which knows neither where the error comes from nor how many leading axes there are. Weights may be (n,),
(R, n), or (R, K, n) with K hyperparameters side by side that share the inputs (R, 1, n) of their run.
"""

from abc import ABC, abstractmethod

from minilop.backend import Array, like, xp


class LinearLearner(ABC):
    """Linear prediction of a number from n inputs.

    weights     (R, n), changed in place
    state       further arrays like the weights, by name
    step_sizes  the present step size of every weight, (R, n)

    Every hyperparameter is a number, or an array (R, 1) with a value for each run.
    """

    state: dict[str, Array]

    def __init__(self, weights: Array):
        self.weights = weights

    def predict(self, inputs: Array) -> Array:
        """The predictions (R,) for inputs (R, n)."""
        return dot(self.weights, inputs)[..., 0]

    def step(self, inputs: Array, targets: Array) -> Array:
        """Learn from one example of every run; returns the errors (R,) of the predictions made before."""
        error = targets - self.predict(inputs)
        self.update(error[..., None], inputs)
        return error

    @property
    def step_sizes(self) -> Array:
        """One for each weight, (R, n); may be a view that must not be written to."""
        return xp.exp(self.state["log_step_sizes"])

    @abstractmethod
    def update(self, error: Array, inputs: Array) -> None:
        """Change the weights and the state by one example: errors (R, 1) and inputs (R, n)."""


def dot(a: Array, b: Array) -> Array:
    """Products along the last axis, (..., n) and (..., n) to (..., 1)."""
    return (a * b).sum(axis=-1, keepdims=True)


def filled(weights: Array, value: Array) -> Array:
    """An array like the weights, full of `value`: a number or (R, 1)."""
    array = xp.empty_like(weights)
    array[...] = like(weights, value)
    return array
