"""Autostep (Mahmood, Sutton, Degris and Pilarski, ICASSP 2012): IDBD with a meta step size that needs little tuning.

    1.  delta  =  y - w . x
    2.  g_i  =  delta x_i h_i                                              with h from before
    3.  v_i  <-  max( |g_i|,  v_i + (alpha_i x_i^2 / tau) (|g_i| - v_i) )  with alpha from before
    4.  alpha_i  <-  alpha_i exp(mu g_i / v_i)                             where v_i is not 0
    5.  M  =  max( sum_i alpha_i x_i^2, 1 )
    6.  alpha_i  <-  alpha_i / M
    7.  w_i  <-  w_i + alpha_i delta x_i
    8.  h_i  <-  h_i (1 - alpha_i x_i^2)  +  alpha_i delta x_i

mu is `meta_step_size`, h `traces`, v `normalizers`. Initially h = v = 0 and alpha = alpha_0. Autostep adds two ideas to
IDBD. First, the meta-gradient g is divided by v, a running maximum of its magnitude. ln(alpha) then changes by at most
mu, and the scale of the targets cancels: targets multiplied by a power of two give the same step sizes to the bit.
Second, M bounds the step: if sum_i alpha_i x_i^2 is at most 1, no update overshoots its own example.

Paper - published code - ours. We found neither published code nor the text of the paper. These are the lines on which
three restatements of its Table 1 agree. `bound` determines what line 6 divides:

    permanent   the stored step sizes, as in the paper. A single large example then reduces them until they grow again
                at the rate mu. If the best step sizes often exceed the bound, they settle far below them (at 0.04
                instead of 0.13 on the task of problems/tracking)
    transient   only the step sizes of lines 7 and 8; ours
"""

from typing import Literal

from minilop.backend import Array, like, xp
from minilop.checks import check_choice, check_number
from minilop.optimizers.linear_learner import LinearLearner, check_initial_step_size, dot, filled

Bound = Literal["permanent", "transient"]


def normalize(meta_gradient: Array, normalizers: Array, rate: Array) -> None:
    """Line 3 and g / v, in place. `rate`, alpha x^2 / tau, is overwritten."""
    size = abs(meta_gradient)
    rate *= size - normalizers
    normalizers += rate
    xp.maximum(normalizers, size, out=normalizers)
    smallest = float(xp.finfo(normalizers.dtype).tiny)
    meta_gradient /= xp.maximum(normalizers, smallest, out=size)  # so that 0 / 0 gives 0


def autostep_update(
    weights: Array,
    step_sizes: Array,
    traces: Array,
    normalizers: Array,
    error: Array,
    inputs: Array,
    meta_step_size: Array,
    tau: Array,
    bound: Bound,
) -> None:
    """Lines 2 to 8 in place: weights, their state and inputs (R, n), error and hyperparameters (R, 1)."""
    change = error * inputs  # (R, n) of the weights, for a step size of 1
    squares = inputs * inputs
    meta_gradient = change * traces  # 2
    normalize(meta_gradient, normalizers, step_sizes * squares / tau)  # 3
    step_sizes *= xp.exp(meta_step_size * meta_gradient)  # 4
    overshoot = xp.maximum(dot(step_sizes, squares), 1)  # (R, 1)   5
    if bound == "permanent":
        step_sizes /= overshoot  # 6
        used = step_sizes
    else:
        used = step_sizes / overshoot
    change *= used
    weights += change  # 7
    traces *= 1 - used * squares  # 8
    traces += change


class Autostep(LinearLearner):
    """State: `step_sizes`, `traces` and `normalizers`, (R, n) each."""

    def __init__(
        self,
        weights: Array,
        meta_step_size: Array = 0.01,
        initial_step_size: Array = 0.05,
        tau: Array = 1e4,
        bound: Bound = "permanent",
    ):
        """Raises ValueError for values out of range or an unknown bound."""
        super().__init__(weights)
        check_choice("bound", bound, Bound)
        check_number("meta_step_size", meta_step_size, 0)
        check_initial_step_size(initial_step_size)
        check_number("tau", tau, 1)
        self.meta_step_size = like(weights, meta_step_size)
        self.tau = like(weights, tau)
        self.bound = bound
        self.state = {
            "step_sizes": filled(weights, initial_step_size),
            "traces": xp.zeros_like(weights),
            "normalizers": xp.zeros_like(weights),
        }

    @property
    def step_sizes(self) -> Array:
        return self.state["step_sizes"]

    def update(self, error: Array, inputs: Array) -> None:
        autostep_update(
            self.weights,
            **self.state,
            error=error,
            inputs=inputs,
            meta_step_size=self.meta_step_size,
            tau=self.tau,
            bound=self.bound,
        )
