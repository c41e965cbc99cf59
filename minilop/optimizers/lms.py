"""The least-mean-square rule, also called the delta rule: one constant step size for all weights.

    delta = y - w . x
    w <- w + alpha delta x

alpha is `step_size`. The rule is stochastic gradient descent on delta^2 / 2. It is the baseline for the methods that
learn step sizes. For n independent Gaussian inputs of variance 1, the error stays finite if alpha (n + 2) < 2.

Widrow and Hoff (1960). The squared error of the networks here is delta^2 without the factor 1/2, so SGD on it with a
step size of alpha / 2 is this rule.
"""

from minilop.backend import Array, like, xp
from minilop.checks import check_number
from minilop.optimizers.linear_learner import LinearLearner


def lms_update(weights: Array, error: Array, inputs: Array, step_size: Array) -> None:
    """The update above in place: weights and inputs (R, n), error and step_size (R, 1)."""
    weights += step_size * (error * inputs)


class LMS(LinearLearner):
    """The rule has no state except the weights."""

    def __init__(self, weights: Array, step_size: Array):
        """Raises ValueError for values out of range."""
        super().__init__(weights)
        check_number("step_size", step_size, 0)
        self.step_size = like(weights, step_size)
        self.state = {}

    @property
    def step_sizes(self) -> Array:
        return xp.broadcast_to(xp.asarray(self.step_size, self.weights.dtype), self.weights.shape)

    def update(self, error: Array, inputs: Array) -> None:
        lms_update(self.weights, error, inputs, self.step_size)
