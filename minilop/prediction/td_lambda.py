"""TD(lambda) with accumulating traces (Sutton, 1988) and true online TD(lambda) (van Seijen et al., JMLR 2016).

x, v, gamma and lambda are the features, the value, the discount and the trace decay of the previous step, t. x', v', r'
and gamma' belong to this step, t + 1. The value v = w . x is that of the current weights.

    accumulating                                true online
    1.  delta = r' + gamma' v' - v              delta = r' + gamma' v' - v
    2.  z <- gamma lambda z + x                 z <- gamma lambda z + (1 - alpha gamma lambda z . x) x
    3.  w <- w + alpha delta z                  w <- w + alpha (delta + v - v_old) z - alpha (v - v_old) x
    4.                                          v_old <- v'

The trace z_t = gamma_t lambda_t z_(t-1) + x_t decays by the discount of the transition into x_t. The error has
gamma_(t+1), the discount of the transition out of x_t. Between steps, gamma_t lambda_t is stored as `last_decay`.

alpha is `step_size`, z `traces`, and v_old the value of x by the weights of its own step. With accumulating traces, the
weights are approximately those of the lambda-return algorithm. For any step size, the weights of true online TD(lambda)
are exactly those of the online lambda-return algorithm, which repeats all past updates at every step.

Paper - published code - ours. We assume one continuing stream, so no trace is ever reset. A discount of 0 ends all
traces.
"""

from minilop.backend import Array, like, xp
from minilop.checks import check_number
from minilop.optimizers.linear_learner import dot
from minilop.prediction.linear_predictor import LinearPredictor


class TDLambda(LinearPredictor):
    """TD(lambda) with accumulating traces. State: `traces` and `last_features`, (R, n) each; `last_decay`, (R, 1)."""

    def __init__(self, weights: Array, step_size: Array, discount: Array, trace_decay: Array):
        """Raises ValueError for values out of range."""
        super().__init__(weights, discount, trace_decay)
        check_number("step_size", step_size, 0)
        self.step_size = like(weights, step_size)
        self.state = self.zeros("traces", "last_features") | self.last_decay()

    @property
    def step_sizes(self) -> Array:
        return xp.broadcast_to(xp.asarray(self.step_size, self.weights.dtype), self.weights.shape)

    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        traces, last_features, last_decay = (self.state[name] for name in ("traces", "last_features", "last_decay"))
        delta = cumulant + self.discount * value - dot(self.weights, last_features)  # (R, 1)   1
        traces *= last_decay
        traces += last_features  # 2
        self.weights += self.step_size * delta * traces  # 3
        last_features[...] = features
        last_decay[...] = self.discount * self.trace_decay


class TrueOnlineTDLambda(TDLambda):
    """Dutch traces. State: `traces`, `last_features` (R, n); `last_value`, `last_decay` (R, 1)."""

    def __init__(self, weights: Array, step_size: Array, discount: Array, trace_decay: Array):
        super().__init__(weights, step_size, discount, trace_decay)
        self.state["last_value"] = xp.zeros_like(weights[..., :1])

    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        names = "traces", "last_features", "last_decay", "last_value"
        traces, last_features, last_decay, last_value = (self.state[name] for name in names)
        value_now = dot(self.weights, last_features)
        delta = cumulant + self.discount * value - value_now  # (R, 1)   1
        overlap = dot(traces, last_features)
        traces *= last_decay
        traces += (1 - self.step_size * last_decay * overlap) * last_features  # 2
        surplus = value_now - last_value
        self.weights += self.step_size * ((delta + surplus) * traces - surplus * last_features)  # 3
        last_value[...] = value  # 4
        last_features[...] = features
        last_decay[...] = self.discount * self.trace_decay
