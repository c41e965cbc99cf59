"""TIDBD(lambda), temporal-difference IDBD (Kearney et al., 2018): TD(lambda) with step sizes learned as in IDBD.

x, gamma and lambda are the features, the discount and the trace decay of the previous step, t. x', r' and gamma' belong
to this step, t + 1:

    1.  delta  =  r' + gamma' w . x' - w . x
    2.  beta_i  <-  beta_i + theta delta x_i h_i                           with h from before
    3.  alpha_i  =  exp(beta_i)
    4.  z_i  <-  gamma lambda z_i + x_i
    5.  w_i  <-  w_i + alpha_i delta z_i
    6.  h_i  <-  h_i [1 - alpha_i x_i z_i]+  +  alpha_i delta z_i          [z]+ = max(z, 0)

theta is `meta_step_size`, beta `log_step_sizes`, z `traces`, h `memory`. In line 4, the trace decays by gamma lambda of
the transition into x, which is stored as `last_decay`. The error contains gamma' of the transition out of x. With
lambda = gamma = 0, the method is IDBD with the cumulant of the next step as the target. There are two options:

    gradient   semi: as above.  ordinary: x_i - gamma' x'_i replaces x_i in lines 2 and 6
    normalize  as in Autostep: with u_i = x_i (or x_i - gamma' x'_i) and m_i = delta u_i h_i, lines 2 and 3 become
                   v_i  <-  max( |m_i|,  v_i + (alpha_i u_i z_i / tau) (|m_i| - v_i) )
                   beta_i  <-  beta_i + theta m_i / v_i,  then  beta_i  <-  beta_i - ln max( sum_j alpha_j u_j z_j, 1 )
               with the z of line 4, which is then computed first. theta is then the mu of Autostep

Paper - published code - ours. The restatements of the normalized form differ in whether z is taken before or after line
4. We take it after line 4 throughout. In both forms, the meta-gradient is that of the one-step error, although the
weights learn from the lambda-return. With lambda near 1, the form without normalization therefore hardly changes its
step sizes unless theta is large (problems/prediction). The authors of SwiftTD note that it can increase the wrong
step sizes.
"""

from typing import Literal

from minilop.backend import Array, like, xp
from minilop.checks import check_choice, check_number
from minilop.optimizers.autostep import normalize
from minilop.optimizers.linear_learner import check_initial_step_size, dot, filled
from minilop.prediction.linear_predictor import LinearPredictor

Gradient = Literal["semi", "ordinary"]


class TIDBD(LinearPredictor):
    """State, (R, n) each: `log_step_sizes`, `traces`, `memory`, `last_features`, and `normalizers` if `normalize`.

    `last_decay` is (R, 1).
    """

    def __init__(
        self,
        weights: Array,
        discount: Array,
        trace_decay: Array,
        meta_step_size: Array = 0.01,
        initial_step_size: Array = 0.01,
        gradient: Gradient = "semi",
        normalize: bool = False,
        tau: Array = 1e4,
    ):
        """Raises ValueError for values out of range or an unknown gradient."""
        super().__init__(weights, discount, trace_decay)
        check_choice("gradient", gradient, Gradient)
        check_number("meta_step_size", meta_step_size, 0)
        check_initial_step_size(initial_step_size)
        check_number("tau", tau, 1)
        self.meta_step_size = like(weights, meta_step_size)
        self.gradient = gradient
        self.normalize = normalize
        self.tau = like(weights, tau)
        self.state = self.zeros("traces", "memory", "last_features", *["normalizers"] * normalize)
        self.state["log_step_sizes"] = xp.log(filled(weights, initial_step_size))
        self.state |= self.last_decay()

    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        traces, memory, last_features = (self.state[name] for name in ("traces", "memory", "last_features"))
        delta = cumulant + self.discount * value - dot(self.weights, last_features)  # (R, 1)   1
        slope = last_features if self.gradient == "semi" else last_features - self.discount * features  # u, (R, n)
        traces *= self.state["last_decay"]
        traces += last_features  # 4
        overlap = slope * traces
        self.learn_step_sizes(delta * slope * memory, overlap)  # 2
        step_sizes = self.step_sizes  # 3
        change = step_sizes * (delta * traces)
        self.weights += change  # 5
        memory *= xp.maximum(1 - step_sizes * overlap, 0)  # 6
        memory += change
        last_features[...] = features
        self.state["last_decay"][...] = self.discount * self.trace_decay

    def learn_step_sizes(self, meta_gradient: Array, overlap: Array) -> None:
        """Line 2 of either form, given the meta-gradients m and the products u z, (R, n) each."""
        log_step_sizes = self.state["log_step_sizes"]
        if not self.normalize:
            log_step_sizes += self.meta_step_size * meta_gradient
            return
        normalize(meta_gradient, self.state["normalizers"], self.step_sizes * overlap / self.tau)
        log_step_sizes += self.meta_step_size * meta_gradient
        log_step_sizes -= xp.log(xp.maximum(dot(self.step_sizes, overlap), 1))
