"""SwiftTD (Javed, Sharifnassab and Sutton, RLC 2024): fast and robust credit assignment on a stream.

SwiftTD adds three ideas to true online TD(lambda). The step size of every feature is learned by gradient descent on the
error of the lambda-return. A bound eta limits the fraction of a prediction error that one step can remove. The step
sizes decay when they reach that bound. phi, r, gamma and lambda are the features, the cumulant, the discount and the
trace decay of this step, t. Initially, beta is ln(alpha_0) and all other variables are 0.

    A   v = w . phi            d = r + gamma v - v_old
    B   dw = d z - zd v_delta          w <- w + dw
        beta <- beta + theta / exp(beta) (d - v_delta) p,     between ln(eta_min) and ln(eta)
        h_old <- h             h <- h_tmp + d zbar - zd v_delta
        z, p, zbar <- gamma lambda (z, p, zbar)
    C   tau = sum exp(beta) phi^2      T = z . phi            v_delta = dw . phi
    D   zd <- min(1, eta / tau) exp(beta) phi
        p <- p + h_old phi
        z <- z + zd (1 - T)            zbar <- zbar + zd (1 - T - zbar phi)
        h_tmp <- h - h_old phi (z - zd) - h zd phi                              with z from after its change
    E   where tau > eta:  beta <- max(beta + ln(epsilon) phi^2, ln(eta_min))   and   h_tmp, h, h_old, zbar <- 0
    F   v_old <- v

theta is `meta_step_size`, eta `step_bound`, epsilon `step_decay`, eta_min `smallest_step_size`. z are `traces`, zd is
the last addition to them, p and zbar are traces of the meta-gradient, and h is the derivative of the weights with
respect to beta. With theta = 0 and a bound that is never reached, the method is true online TD(lambda). In B, the
traces decay by gamma_t lambda_t of the transition into phi_t before D adds phi_t. They are then multiplied by the error
of the next A, which contains gamma_(t+1).

Paper - published code - ours. Ours is the dense form of the published code, in its order of evaluation. It has been
compared with a loop over these equations, not with the authors' program. The sparse forms apply E to the active
features only and before the other lines of D, so they differ once the bound is reached. The published packages up to
0.1.8 compare beta with eta_min itself, so the lower limit has no effect; here and in version 0.2.2 it has one. The
maximum in E is ours. Without it, a single large feature could lower beta so far that 1 / exp(beta) overflows in the
next B. One restatement multiplies theta by exp(beta) where the code divides.
"""

import math

from minilop.backend import Array, like, xp
from minilop.checks import check_number
from minilop.optimizers.linear_learner import SMALLEST, check_initial_step_size, dot, filled
from minilop.prediction.linear_predictor import LinearPredictor


class SwiftTD(LinearPredictor):
    """State: `log_step_sizes` and the arrays of `update`, (R, n) each; `last_value` and `value_change`, (R, 1).

    The defaults of the bound, its decay and the smallest step size are those of the paper's Algorithm 1. The other
    defaults are ours. With the paper's initial step size of 1e-7, learning on small problems is slow at first.
    """

    def __init__(
        self,
        weights: Array,
        discount: Array,
        trace_decay: Array,
        meta_step_size: Array = 0.01,
        initial_step_size: Array = 0.01,
        step_bound: Array = 0.1,
        step_decay: Array = 0.99,
        smallest_step_size: float = math.exp(-15),
    ):
        """Raises ValueError for values that are out of range or contradict each other."""
        super().__init__(weights, discount, trace_decay)
        check_number("meta_step_size", meta_step_size, 0)
        check_initial_step_size(initial_step_size)
        check_number("step_decay", step_decay, SMALLEST, 1)
        check_number("smallest_step_size", smallest_step_size, SMALLEST)
        check_number("step_bound", step_bound, SMALLEST)
        if not getattr(step_bound, "ndim", 0) and smallest_step_size > step_bound:
            limit = f"step_bound, {step_bound:g}"
            raise ValueError(f"smallest_step_size must be at most {limit}, not {smallest_step_size:g}")
        self.meta_step_size = like(weights, meta_step_size)
        self.step_bound = like(weights, step_bound)
        self.log_step_decay = xp.log(filled(weights[..., :1], step_decay))
        self.log_step_bound = xp.log(filled(weights[..., :1], step_bound))
        self.log_smallest = math.log(smallest_step_size)
        self.state = self.zeros("traces", "additions", "meta_traces", "sensitivity_traces", "h", "h_old", "h_next")
        self.state["log_step_sizes"] = xp.log(filled(weights, initial_step_size))
        self.state["last_value"] = xp.zeros_like(weights[..., :1])
        self.state["value_change"] = xp.zeros_like(weights[..., :1])

    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        state = self.state
        beta, v_old, v_delta = state["log_step_sizes"], state["last_value"], state["value_change"]
        z, zd, p, zbar = (state[name] for name in ("traces", "additions", "meta_traces", "sensitivity_traces"))
        h, h_old, h_tmp = state["h"], state["h_old"], state["h_next"]

        delta = cumulant + self.discount * value - v_old  # (R, 1)   A
        correction = zd * v_delta
        change = delta * z - correction  # (R, n)
        self.weights += change  # B
        beta += self.meta_step_size / xp.exp(beta) * (delta - v_delta) * p
        xp.maximum(xp.minimum(beta, self.log_step_bound, out=beta), self.log_smallest, out=beta)
        h_old[...] = h
        h[...] = h_tmp + delta * zbar - correction
        for trace in (z, p, zbar):
            trace *= self.discount * self.trace_decay

        step_sizes = xp.exp(beta)
        total = dot(step_sizes, features * features)  # tau, (R, 1)   C
        missing = 1 - dot(z, features)  # 1 - T
        v_delta[...] = dot(change, features)

        zd[...] = self.step_bound / xp.maximum(total, self.step_bound) * step_sizes * features  # D
        p += h_old * features
        z += zd * missing
        zbar += zd * (missing - zbar * features)
        h_tmp[...] = h - h_old * features * (z - zd) - h * zd * features

        bounded = total > self.step_bound  # (R, 1)   E
        beta += bounded * self.log_step_decay * (features * features)
        xp.maximum(beta, self.log_smallest, out=beta)  # because B divides by exp(beta) before it applies the limits
        for array in (h_tmp, h, h_old, zbar):
            xp.copyto(array, 0, where=bounded)
        v_old[...] = value  # F
