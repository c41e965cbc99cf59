"""What the methods of linear temporal-difference learning share.

A stream gives features x_t and with them a cumulant r_t, the signal whose future is predicted (a reward, say). The value
v_t = w . x_t is the prediction of

    G_t  =  r_(t+1) + gamma r_(t+2) + gamma^2 r_(t+3) + ...

At each step a method sees x_t and r_t, makes its prediction v_t with the weights it has, and then learns about the
features of the step before, whose prediction turns out to have erred by delta = r_t + gamma v_t - v_(t-1). The first
step finds features of 0 before it and learns nothing. All arrays may have more leading axes than R, as in
`minilop.optimizers.linear_learner`.

A stream of episodes needs two steps where one ends. First features of 0 with the last cumulant, so that nothing more is
expected; then the first features of the next episode with a cumulant of 0 and, for this step alone, a discount of 0: it
ends all traces, and the value of the new beginning is nothing that the old episode had led to.

    method.step(xp.zeros_like(features), last_cumulant)
    method.discount = 0.0
    method.step(first_features, 0.0)
    method.discount = gamma
"""

from abc import ABC, abstractmethod

from minilop.backend import Array, like, xp
from minilop.optimizers.linear_learner import dot


class LinearPredictor(ABC):
    """Linear prediction of a discounted sum.

    weights     (R, n), changed in place
    state       further arrays, by name, like the weights or (R, 1)
    step_sizes  the present step size of every weight, (R, n)
    discount    gamma;  trace_decay   lambda

    Every hyperparameter is a number, or an array (R, 1) with a value for each run.
    """

    state: dict[str, Array]

    def __init__(self, weights: Array, discount: Array, trace_decay: Array):
        self.weights = weights
        self.discount = like(weights, discount)
        self.trace_decay = like(weights, trace_decay)

    def predict(self, features: Array) -> Array:
        """The values (R,) of features (R, n)."""
        return dot(self.weights, features)[..., 0]

    def step(self, features: Array, cumulant: Array) -> Array:
        """Features (R, n) and the cumulant (R,) or number that came with them; returns the values (R,) from before."""
        value = dot(self.weights, features)  # (R, 1)
        self.update(features, xp.asarray(cumulant, self.weights.dtype)[..., None], value)
        return value[..., 0]

    def zeros(self, *names: str) -> dict[str, Array]:
        """State like the weights."""
        return {name: xp.zeros_like(self.weights) for name in names}

    @property
    def step_sizes(self) -> Array:
        """One for each weight, (R, n); may be a view that must not be written to."""
        return xp.exp(self.state["log_step_sizes"])

    @abstractmethod
    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        """Change the weights and the state: features (R, n), their cumulant and value (R, 1)."""
