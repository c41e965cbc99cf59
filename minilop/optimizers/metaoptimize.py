"""MetaOptimize without Hessians (Sharifnassab, Salehkaleybar and Sutton, ICML 2025): step sizes learned online.

There is one step size alpha = alpha_0 exp(beta) for the network, for each layer, or for each weight. A first-order
`base` rule turns a gradient g into a direction d for the weights, and a first-order `meta` rule D gives the direction
for beta. This is the paper's Algorithm 3:

    1.  d  =  base(g)                                                  see `direction`
    2.  z  =  sum over the weights of a block of  h g                  with h from before
    3.  change  =  - alpha (d + kappa w)
    4.  w  <-  w + change
    5.  h  <-  gamma (1 - kappa alpha) h  +  change
    6.  beta  <-  beta - eta D(z)

eta is `meta_step_size`, kappa `weight_decay` (decoupled, not added to the gradient), gamma `trace_decay`, h `traces`. h
estimates d w / d beta, the effect of a block's step size on all weights of the block. If the current gradient has the
sign of h, the past steps were too large, and beta decreases. With SGD as base, the exact line 5 (Algorithm 2 in the
paper's L form) is

    5'. h  <-  gamma ( (1 - kappa alpha) h - alpha Hess h )  +  change

`step` takes the product Hess h for the current loss if it is known. For delta^2 / 2 of a linear prediction it is
x (x . h). With one step size per weight, the diagonal of Hess, gamma = 1, SGD as base and meta, and `meta_first`, this
method is IDBD as long as line 5 of IDBD clips nothing at 0.

Warning: with SGD as base and gamma near 1, h is nearly w_t - w_0 and hardly decays. alpha then falls to 0 on a tracking
problem. Choose gamma to match the time scale of such a problem (0.95 in problems/tracking), or use line 5'.

Paper - published code - ours. Line 1: the paper's listing applies the momentum from before g; the published code and we
apply the updated momentum. Line 5: for Adam, the published code accumulates alpha g / (sqrt(v) + eps); the paper and we
accumulate the change. Line 6: the JAX code executes it before line 3, `order = "meta_first"`. Lion as meta: the torch
code updates its momentum before it takes the sign; the paper, the code of the experiments and we update it afterward.
The rates in `RATES` are those of the paper, except that the paper gives no rate for momentum. The epsilon of Adam is
1e-8 as base and as meta, so meta-gradients much smaller than 1e-8 change beta less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from minilop.backend import Array, xp
from minilop.checks import check_choices, check_range
from minilop.optimizers.optimizer import Optimizer, is_used

BaseRule = Literal["sgd", "momentum", "adam", "lion"]
StepSizes = Literal["scalar", "layer", "weight"]
Order = Literal["meta_last", "meta_first"]

RATES: dict[BaseRule, tuple[float, float]] = {
    "sgd": (0.0, 0.0),
    "momentum": (0.9, 0.0),
    "adam": (0.9, 0.999),
    "lion": (0.9, 0.99),
}


def rule_state(rule: BaseRule, gradient: Array) -> dict[str, Array]:
    """The initial state of a rule: arrays of zeros with the shape of the gradients."""
    names = {"sgd": "", "momentum": "momentum", "lion": "momentum"}
    names["adam"] = "momentum second_moment first_correction second_correction"
    return {name: xp.zeros_like(gradient) for name in names[rule].split()}


def direction(rule: BaseRule, gradient: Array, state: dict[str, Array], epsilon: float = 1e-8) -> Array:
    """The direction that a first-order rule computes from a gradient. Updates its state in place.

    sgd        d = g
    momentum   m <- b1 m + (1 - b1) g,    d = m
    adam       the same m and V <- b2 V + (1 - b2) g^2,    d = (m / c1) / (sqrt(V / c2) + eps)     see adam.py
    lion       d = sign(b1 m + (1 - b1) g),    then  m <- b2 m + (1 - b2) g
    """
    beta_1, beta_2 = RATES[rule]
    if rule == "sgd":
        return gradient
    momentum = state["momentum"]
    if rule == "lion":
        sign = xp.sign(momentum + (1 - beta_1) * (gradient - momentum))
        momentum += (1 - beta_2) * (gradient - momentum)
        return sign
    momentum += (1 - beta_1) * (gradient - momentum)
    if rule == "momentum":
        return momentum
    second_moment, first_correction, second_correction = (
        state[name] for name in ("second_moment", "first_correction", "second_correction")
    )
    second_moment += (1 - beta_2) * (gradient * gradient - second_moment)
    first_correction += (1 - beta_1) * (1 - first_correction)
    second_correction += (1 - beta_2) * (1 - second_correction)
    return momentum / first_correction / (xp.sqrt(second_moment / second_correction) + epsilon)


@dataclass
class MetaOptimize(Optimizer):
    """Hyperparameters of MetaOptimize; the defaults are the paper's.

    State: `traces` and that of the base rule (R, P); `log_step_sizes`, as ratios to `step_size`, and that of the meta
    rule, each (R, 1), (R, blocks) or (R, P).
    """

    step_size: Array = 1e-4  # alpha_0
    meta_step_size: Array = 0.001
    base: BaseRule = "adam"
    meta: BaseRule = "adam"
    step_sizes: StepSizes = "scalar"  # layer: one for every layer with parameters, including normalizations and biases
    trace_decay: Array = 1.0  # gamma; the paper uses 0.999 for nonstationary data
    weight_decay: Array = 0.0
    order: Order = "meta_last"

    name: ClassVar[str] = "metaoptimize"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_choices(self)
        check_range(self, "step_size meta_step_size weight_decay", 0)
        check_range(self, "trace_decay", 0, 1)

    def start(self, parameters: Array, layer_sizes: Sequence[int]) -> None:
        num_parameters, layer_sizes = parameters.shape[-1], [size for size in layer_sizes if size]
        block_sizes = {"scalar": [num_parameters], "layer": layer_sizes, "weight": []}[self.step_sizes]
        if self.step_sizes == "layer" and sum(block_sizes) != num_parameters:
            raise ValueError(f"layer_sizes must sum to the {num_parameters} parameters, not to {sum(block_sizes)}")
        ends = np.cumsum(block_sizes, dtype=int)
        self.blocks = [slice(end - size, end) for end, size in zip(ends, block_sizes)]
        self.block_of = xp.asarray(np.repeat(np.arange(len(block_sizes)), block_sizes))  # (P,) block of each parameter
        log_step_sizes = xp.zeros_like(parameters[..., : len(self.blocks)] if self.blocks else parameters)
        self.base_state = rule_state(self.base, parameters)
        self.meta_state = rule_state(self.meta, log_step_sizes)
        self.state = {
            "traces": xp.zeros_like(parameters),
            "log_step_sizes": log_step_sizes,
            **self.base_state,
            **{f"meta_{name}": array for name, array in self.meta_state.items()},
        }

    def block_sums(self, values: Array) -> Array:
        """Sums over the blocks, (R, P) to (R, blocks)."""
        if not self.blocks:
            return values
        return xp.concatenate([values[..., block].sum(axis=-1, keepdims=True) for block in self.blocks], axis=-1)

    @property
    def present_step_sizes(self) -> Array:
        """alpha: (R, P), or (R, 1) if all weights share one step size."""
        step_sizes = self.step_size * xp.exp(self.state["log_step_sizes"])
        return step_sizes[..., self.block_of] if len(self.blocks) > 1 else step_sizes

    def adapt(self, meta_gradient: Array) -> None:
        """Line 6."""
        self.state["log_step_sizes"] -= self.meta_step_size * direction(self.meta, meta_gradient, self.meta_state)

    def step(self, parameters: Array, gradients: Array, hessian_times_trace: Array | None = None) -> None:
        """Lines 1 to 6, with line 5' in place of line 5 if Hess h (R, P) is given."""
        traces = self.state["traces"]
        change = direction(self.base, gradients, self.base_state)  # 1
        meta_gradient = self.block_sums(traces * gradients)  # 2
        if self.order == "meta_first":
            self.adapt(meta_gradient)
        step_sizes = self.present_step_sizes
        if is_used(self.weight_decay):
            change = change + self.weight_decay * parameters
            traces *= 1 - self.weight_decay * step_sizes
        change = -step_sizes * change  # 3
        parameters += change  # 4
        if hessian_times_trace is not None:
            traces -= step_sizes * hessian_times_trace
        traces *= self.trace_decay  # 5
        traces += change
        if self.order == "meta_last":
            self.adapt(meta_gradient)
