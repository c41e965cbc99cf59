"""IDBD, incremental delta-bar-delta (Sutton, AAAI 1992), learns a step size for every weight by gradient descent.

    1.  delta  =  y - w . x
    2.  beta_i  <-  beta_i + theta delta x_i h_i                           with h from before
    3.  alpha_i  =  exp(beta_i)
    4.  w_i  <-  w_i + alpha_i delta x_i                                   with the new alpha
    5.  h_i  <-  h_i [1 - alpha_i x_i^2]+  +  alpha_i delta x_i            [z]+ = max(z, 0)

theta is `meta_step_size`, beta `log_step_sizes`, h `traces`. Initially h = 0 and beta = ln(alpha_0).

Line 2 is stochastic gradient descent on delta^2 / 2 with respect to beta, where d w_j / d beta_i is taken as 0 for j
other than i. Line 5 keeps h_i as an estimate of d w_i / d beta_i. In effect, h_i is a decaying sum of the recent
changes of w_i. If the current change has the same sign as h_i, the weight has changed too slowly, and its step size
increases.

Paper - published code - ours. The text of the paper was not available. The equations are those of its many
restatements, which agree. They reproduce its published errors and its step sizes of relevant inputs
(problems/tracking). The step sizes of irrelevant inputs end slightly higher, at 0.0076, where the paper has values
below 0.007. Some restatements limit each change of beta to 2 and bound beta below by -10; we do neither. The best theta
is proportional to 1 / (scale of the targets)^2, and a theta somewhat above the best makes some runs diverge. Autostep
solves both problems.
"""

from minilop.backend import Array, like, xp
from minilop.checks import check_number
from minilop.optimizers.linear_learner import LinearLearner, check_initial_step_size, filled


def idbd_update(
    weights: Array, log_step_sizes: Array, traces: Array, error: Array, inputs: Array, meta_step_size: Array
) -> None:
    """Lines 2 to 5 in place: weights, their state and inputs (R, n), error and meta_step_size (R, 1)."""
    change = error * inputs  # (R, n) of the weights, for a step size of 1
    log_step_sizes += meta_step_size * change * traces  # 2
    step_sizes = xp.exp(log_step_sizes)  # 3
    change *= step_sizes
    weights += change  # 4
    step_sizes *= inputs * inputs
    traces *= xp.maximum(1 - step_sizes, 0)  # 5
    traces += change


class IDBD(LinearLearner):
    """State: `log_step_sizes` and `traces`, (R, n) each."""

    def __init__(self, weights: Array, meta_step_size: Array = 0.01, initial_step_size: Array = 0.05):
        """Raises ValueError for values out of range."""
        super().__init__(weights)
        check_number("meta_step_size", meta_step_size, 0)
        check_initial_step_size(initial_step_size)
        self.meta_step_size = like(weights, meta_step_size)
        log_step_sizes = xp.log(filled(weights, initial_step_size))
        self.state = {"log_step_sizes": log_step_sizes, "traces": xp.zeros_like(weights)}

    def update(self, error: Array, inputs: Array) -> None:
        idbd_update(self.weights, **self.state, error=error, inputs=inputs, meta_step_size=self.meta_step_size)
