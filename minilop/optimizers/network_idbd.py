"""Network IDBD: every weight of a network has a step size of its own, learned as by IDBD, one example at a time.

A reconstruction. That IDBD can be brought to networks has been announced; no equations were published. What follows is
what we would write, with a reason for each choice. With e = - dLoss/d(outputs), for every weight k = (j, i) from a source
with activation x_i (1 for a bias) to a unit whose local error is e_j = - dLoss/d(pre-activation of j):

    0.  g_k  =  e_j x_i                    the negative gradient            s_k  =  g_k / |e|
    1.  m_k  =  g_k h_k                                                     with h from before
    2.  v_k  <-  max( |m_k|,  v_k + (alpha_k c_k / tau) (|m_k| - v_k) )     with alpha from before
    3.  beta_k  <-  beta_k + mu m_k / v_k,   alpha_k = alpha_0 exp(beta_k)
    4.  M  =  max( sum_k alpha_k s_k^2 / eta, 1 )                           over the whole network
    5.  w_k  <-  w_k + (alpha_k / M) g_k
    6.  h_k  <-  h_k [1 - (alpha_k / M) c_k]+  +  (alpha_k / M) g_k         [z]+ = max(z, 0)

mu is `meta_step_size`, eta `overshoot_limit`, h `traces`, v `normalizers`, beta `log_step_sizes`, from 0 all three. The
choices:

  c_k, the `curvature`, is what line 6 forgets h by: the second derivative of the loss in w_k, or what stands for it.
    layer_local            x_i^2: each unit is a linear learner of its own, which takes the error that reaches it as its
                           error. Needs no second derivatives, and fits any loss whose gradient reaches the units. The
                           default, because it is the plainest. How much the choice matters can be measured by the learners
                           `*_diagonal` and `*_gauss_newton` of problems/feature_tracking.py; that has not been done here
    gauss_newton_diagonal  s_k^2: how much the output moves with w_k, squared. The exact diagonal for one output
    gauss_newton           line 6 is  h_k <- h_k - (alpha_k / M) s_k (s . h) + (alpha_k / M) g_k:  all cross terms, so h
                           knows that other weights already correct the same error. Costs one product more
    With several outputs the last two see them along the present error alone: one backward pass, not one for each output.
  Lines 2 and 3 are Autostep's: without its normalizer the scale of the targets decides between no effect and overflow.
  Line 4 is Autostep's bound for the whole network, because layers correct the same error together: to first order, no
    step changes the outputs along e by more than eta |e|. It is transient: it divides this step and not the stored step
    sizes, which rare large examples would otherwise shrink for good.
  alpha_0 in line 3: a weight with all state 0 starts afresh, as the rules that replace units rely on.

The loss should be delta^2 / 2, `half_squared_error`, whose gradient is the error; for `squared_error`, twice as large, eta
is to be 1/2. Without a hidden layer this is linear Autostep with its transient bound; with `normalized=False` and
`overshoot_limit=0`, which turns line 4 off, it is IDBD.
"""

from dataclasses import dataclass
from typing import Literal, Self

from minilop.backend import Array, xp
from minilop.checks import check_range
from minilop.layers import Dense
from minilop.networks import Network
from minilop.optimizers.linear_learner import dot, like
from minilop.optimizers.optimizer import Optimizer, is_used

Curvature = Literal["layer_local", "gauss_newton_diagonal", "gauss_newton"]


@dataclass(frozen=True)
class NetworkIDBDSettings:
    """Hyperparameters of network IDBD; all defaults are ours. alpha_0 is the `step_size` of the learner."""

    meta_step_size: float = 0.01  # mu, for one example a step 0.01 to 0.03; MetaOptimize, which shares it, takes 0.001
    tau: float = 1e4  # time constant of the normalizer
    curvature: Curvature = "layer_local"
    overshoot_limit: float = 1.0  # eta; 0 for none
    normalized: bool = True  # False: line 3 adds mu m, without v

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_range(self, "meta_step_size overshoot_limit", 0)
        check_range(self, "tau", 1)


def squared_sources(network: Network, values: list[Array]) -> Array:
    """x_i^2 of the source of every weight, 1 for a bias: (R, P). Raises ValueError for layers that are not dense."""
    squares = xp.ones_like(network.parameters)
    for layer, views in zip(network.layers, network.views(squares)):
        if isinstance(layer, Dense):
            inputs = values[layer.index]  # (R, I, 1)
            views["weight"][...] = (inputs * inputs).swapaxes(-1, -2)
        elif views:
            raise ValueError("curvature=layer_local is for networks of dense layers; choose gauss_newton_diagonal.")
    return squares


def sensitivities(gradients: Array, output_gradient: Array) -> Array:
    """s: the gradients (R, P) divided by the length of e; 0 where there is no error. The sign does not matter."""
    length = xp.sqrt((output_gradient * output_gradient).sum(axis=(-1, -2)))[..., None]  # (R, 1)
    return gradients / xp.where(length == 0, 1, length)


def adapt_step_sizes(
    log_step_sizes: Array,
    normalizers: Array,
    meta_gradient: Array,
    step_sizes: Array,
    curvature: Array,
    meta_step_size: Array,
    tau: Array,
) -> None:
    """Lines 2 and 3 in place; all arrays (R, P), hyperparameters (R, 1)."""
    size = abs(meta_gradient)
    normalizers += step_sizes * curvature / tau * (size - normalizers)  # 2
    xp.maximum(normalizers, size, out=normalizers)
    meta_gradient = meta_gradient / xp.where(normalizers == 0, 1, normalizers)  # a number of 0 has a meta-gradient of 0
    log_step_sizes += meta_step_size * meta_gradient  # 3


def bounded(step_sizes: Array, sensitivity: Array, overshoot_limit: Array) -> Array:
    """alpha / M, line 4."""
    overshoot = dot(step_sizes, sensitivity * sensitivity)  # (R, 1)
    return step_sizes / xp.maximum(overshoot / overshoot_limit, 1)


class NetworkIDBD(Optimizer):
    """State: `log_step_sizes`, as ratios to `step_size`, `traces` and `normalizers`, (R, P) each."""

    def __init__(
        self,
        parameters: Array,
        step_size: Array,
        meta_step_size: Array = 0.01,
        tau: Array = 1e4,
        curvature: Curvature = "layer_local",
        overshoot_limit: Array = 1.0,
        normalized: bool = True,
    ):
        super().__init__(like(parameters, step_size), weight_decay=0.0)
        self.meta_step_size = like(parameters, meta_step_size)
        self.tau = like(parameters, tau)
        self.curvature = curvature
        self.overshoot_limit = like(parameters, overshoot_limit)
        self.normalized = normalized
        self.state = {name: xp.zeros_like(parameters) for name in ("log_step_sizes", "traces", "normalizers")}

    @classmethod
    def of(cls, settings: NetworkIDBDSettings, parameters: Array, step_size: Array) -> Self:
        """The optimizer that `settings` ask for, of parameters (R, P)."""
        return cls(
            parameters,
            step_size,
            settings.meta_step_size,
            settings.tau,
            settings.curvature,
            settings.overshoot_limit,
            settings.normalized,
        )

    @property
    def step_sizes(self) -> Array:
        """alpha, (R, P)."""
        return self.step_size * xp.exp(self.state["log_step_sizes"])

    def learn(self, network: Network, values: list[Array], output_gradients: list[Array]) -> None:
        """Lines 0 to 6. Raises ValueError for a mini-batch of more than one example."""
        if values[-1].shape[-1] != 1:
            raise ValueError(
                "Network IDBD learns from one example a step; choose a mini-batch of 1 or another optimizer."
            )
        change = -network.fill_gradients(values, output_gradients)  # (R, P), g
        sensitivity = sensitivities(change, output_gradients[-1])  # s
        if self.curvature == "layer_local":
            curvature = squared_sources(network, values)
        else:
            curvature = sensitivity * sensitivity
        log_step_sizes, traces, normalizers = self.state.values()
        meta_gradient = change * traces  # 1
        if self.normalized:
            adapt_step_sizes(
                log_step_sizes, normalizers, meta_gradient, self.step_sizes, curvature, self.meta_step_size, self.tau
            )
        else:
            log_step_sizes += self.meta_step_size * meta_gradient
        used = self.step_sizes
        if is_used(self.overshoot_limit):
            used = bounded(used, sensitivity, self.overshoot_limit)  # 4
        change *= used
        network.parameters += change  # 5
        if self.curvature == "gauss_newton":  # 6
            traces -= used * sensitivity * dot(sensitivity, traces)
        else:
            traces *= xp.maximum(1 - used * curvature, 0)
        traces += change

    def step(self, parameters: Array, gradients: Array) -> None:
        """Gradients alone do not tell error and inputs apart. Raises TypeError."""
        raise TypeError("Network IDBD needs the values of the network; call learn.")
