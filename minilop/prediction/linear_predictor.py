"""The base class of the methods of linear temporal-difference learning.

A stream provides features x_t, a cumulant r_t (the signal whose future is predicted, for example a reward), and the
discount gamma_t of the transition from x_(t-1) to x_t. The value v_t = w . x_t is the prediction of

    G_t  =  r_(t+1) + gamma_(t+1) G_(t+1)  =  r_(t+1) + gamma_(t+1) r_(t+2) + gamma_(t+1) gamma_(t+2) r_(t+3) + ...

At each step, a method gets x_t, r_t and gamma_t and computes the prediction v_t with its current weights. It then
learns about the previous features, whose prediction had the error delta = r_t + gamma_t v_t - v_(t-1). The features
before the first step are 0, so the first step learns nothing. All arrays may have more leading axes than R, as in
`minilop.optimizers.linear_learner`.

A discount therefore has two roles. The error of x_t contains the discount of the transition out of x_t. The trace to
which x_t is added has decayed by the discount and the trace decay of the transition into x_t (White, ICML 2017):

    delta_(t+1)  =  r_(t+1) + gamma_(t+1) v_(t+1) - v_t          z_t  =  gamma_t lambda_t z_(t-1) + x_t

`discount` and `trace_decay` are gamma_t and lambda_t of the next call of `step`, and may be set before each call. After
the end of an episode, pass the first features of the next episode with the last cumulant of the old episode and a
discount of 0. The target of the old episode then does not include the value of the new one, and all traces end.

    method.discount = 0.0
    method.step(first_features, last_cumulant)
    method.discount = gamma
"""

from abc import ABC, abstractmethod

from minilop.backend import Array, like, xp
from minilop.checks import check_number
from minilop.optimizers.linear_learner import check_floating, check_shape, dot, filled


class LinearPredictor(ABC):
    """Linear prediction of a discounted sum.

    weights     (R, n), changed in place
    state       other arrays, by name, of the shape of the weights or (R, 1)
    step_sizes  the current step size of every weight, (R, n)
    discount    gamma_t of the next step;  trace_decay   lambda_t of the next step

    Every hyperparameter is a number, or an array (R, 1) with a value for each run. Weights that overflow do not
    recover; start again with a new predictor.
    """

    state: dict[str, Array]

    def __init__(self, weights: Array, discount: Array, trace_decay: Array):
        """Raises ValueError for weights that are not an array of floats, and for values out of range."""
        check_floating("weights", weights)
        check_number("discount", discount, 0, 1)
        check_number("trace_decay", trace_decay, 0, 1)
        self.weights = weights
        self.discount = like(weights, discount)
        self.trace_decay = like(weights, trace_decay)

    def predict(self, features: Array) -> Array:
        """The values (R,) of features (R, n). Raises ValueError for other shapes."""
        check_shape("features", features, self.weights.shape, last=1)
        return dot(self.weights, features)[..., 0]

    def step(self, features: Array, cumulant: Array) -> Array:
        """Learn from features (R, n) and their cumulant, (R,) or a number. Returns the values (R,) before learning.

        Raises ValueError for other shapes.
        """
        check_shape("features", features, self.weights.shape, last=1)
        value = dot(self.weights, features)  # (R, 1)
        check_shape("cumulant", cumulant, value.shape[:-1])
        self.update(features, xp.asarray(cumulant, self.weights.dtype)[..., None], value)
        return value[..., 0]

    def zeros(self, *names: str) -> dict[str, Array]:
        """Zeros of the shape of the weights for each of these names."""
        return {name: xp.zeros_like(self.weights) for name in names}

    def last_decay(self) -> dict[str, Array]:
        """gamma lambda of the previous step, (R, 1), for methods that add features to their traces one step late."""
        return {"last_decay": filled(self.weights[..., :1], self.discount * self.trace_decay)}

    @property
    def step_sizes(self) -> Array:
        """The step size of each weight, (R, n). It may be a read-only view."""
        return xp.exp(self.state["log_step_sizes"])

    @abstractmethod
    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        """Update the weights and the state, given features (R, n) and their cumulant and value, (R, 1) each."""
