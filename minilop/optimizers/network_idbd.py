"""Network IDBD: every weight of a network has its own step size, learned as in IDBD, from one example at a time.

This is a reconstruction. An extension of IDBD to networks has been announced, but no equations were published. We
state our equations and the reason for each choice. With e = - dLoss/d(outputs), for every weight k = (j, i) from an
input x_i (1 for a bias) to a unit whose local error is e_j = - dLoss/d(pre-activation of j):

    0.  g_k  =  e_j x_i                    the negative gradient            s_k  =  g_k / |e|
    1.  m_k  =  g_k h_k                                                     with h from before
    2.  v_k  <-  max( |m_k|,  v_k + (alpha_k c_k / tau) (|m_k| - v_k) )     with alpha from before
    3.  beta_k  <-  beta_k + mu m_k / v_k   where v_k is not 0,   alpha_k = alpha_0 exp(beta_k)
    4.  M  =  max( sum_k alpha_k s_k^2 / eta, 1 )                           over the whole network
    5.  w_k  <-  w_k + (alpha_k / M) g_k
    6.  h_k  <-  h_k [1 - (alpha_k / M) c_k]+  +  (alpha_k / M) g_k         [z]+ = max(z, 0)

mu is `meta_step_size`, eta `overshoot_limit`, h `traces`, v `normalizers`, beta `log_step_sizes`. h, v and beta start
at 0. The choices are:

  c_k, the `curvature`, sets the decay of h in line 6. It is the second derivative of the loss with respect to w_k or an
    approximation of it.
    layer_local            x_i^2: each unit is a linear learner whose error is its local error. Requires no second
                           derivatives, and works with any loss whose gradient reaches the units. This is the default
                           because it is the simplest. On problems/feature_tracking the other two are better by 3 %
                           if units are replaced, and worse by 6 to 7 % if not (docs/results.md)
    gauss_newton_diagonal  s_k^2: the squared derivative of the output with respect to w_k. For one output, this is the
                           exact diagonal
    gauss_newton           line 6 is  h_k <- h_k - (alpha_k / M) s_k (s . h) + (alpha_k / M) g_k:  with all cross terms,
                           h accounts for other weights that correct the same error. Costs one more product
    With several outputs, the last two use derivatives along the current error only, which need a single backward pass
    instead of one per output.
  Lines 2 and 3 are from Autostep. Without its normalizer, the scale of the targets determines whether beta hardly
    changes or overflows.
  Line 4 is the bound of Autostep for the whole network, because all layers correct the same error together. To first
    order, no step changes the outputs along e by more than eta |e|. The bound is transient: it divides this step, not
    the stored step sizes, which rare large examples would otherwise reduce permanently.
  alpha_0 in line 3: setting all state of a weight to 0 resets it, as the rules that replace units require. By default,
    however, Continual Backprop and ReDo keep the state, so a new unit continues with the step sizes of the old unit.
    With `reset_optimizer_state=True`, it starts from alpha_0. With GenerateAndTest, new units inherit step sizes.

The loss should be delta^2 / 2, `half_squared_error`, whose gradient is the error. For `squared_error`, which is twice
as large, set eta to 1/2. Without a hidden layer, this is linear Autostep with a transient bound. If in addition
`normalized=False` and `overshoot_limit=0`, which turns line 4 off, it is IDBD.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from minilop.backend import Array, blocks, xp
from minilop.checks import check_choices, check_range
from minilop.layers.dense import Dense
from minilop.networks import Network
from minilop.optimizers.autostep import normalize
from minilop.optimizers.optimizer import Optimizer

ARRAYS_IN_CACHE = 4  # there are seven and temporary ones, so 8 would fit better, but shorter blocks cost more calls

Curvature = Literal["layer_local", "gauss_newton_diagonal", "gauss_newton"]


def fill_squared_inputs(network: Network, values: list[Array], squares: Array) -> None:
    """Write x_i^2 for every weight into `squares` (R, P). Its entries for biases are not changed.

    Raises ValueError for layers that are not dense.
    """
    for layer, views in zip(network.layers, network.views(squares)):
        if isinstance(layer, Dense):
            inputs = values[layer.index]  # (R, I, 1)
            views["weight"][...] = (inputs * inputs).swapaxes(-1, -2)
        elif views:
            raise ValueError("curvature=layer_local is for networks of dense layers; choose gauss_newton_diagonal.")


def inner_product(a: Array, b: Array) -> Array:
    """Inner product of (R, n) and (R, n), (R, 1), without storing the elementwise products."""
    return (a[..., None, :] @ b[..., :, None])[..., 0]


def error_norm(output_gradient: Array) -> Array:
    """|e| of one example, (R, O, 1) to (R, 1). If e = 0, returns 1, so that s = g / |e| is 0."""
    norm = xp.sqrt(inner_product(output_gradient[..., 0], output_gradient[..., 0]))
    return xp.where(norm == 0, 1, norm)


@dataclass
class NetworkIDBD(Optimizer):
    """Hyperparameters of network IDBD; all defaults are ours.

    State: `log_step_sizes`, as ratios to `step_size`, `traces` and `normalizers`, (R, P) each.

    About thirty passes over the arrays of a wide network take twice as long from memory as from the cache. The lines
    are therefore computed for one block of columns after another. Because line 4 is a sum over the network, there are
    two rounds: `adapt_step_sizes` before line 4 and `change_weights` after it.
    """

    step_size: Array = 0.01  # alpha_0
    meta_step_size: Array = 0.01  # mu, typically 0.01 to 0.03
    tau: Array = 1e4  # time constant of the normalizer
    curvature: Curvature = "layer_local"
    overshoot_limit: Array = 1.0  # eta; 0 for none
    normalized: bool = True  # False: line 3 adds mu m, without v

    name: ClassVar[str] = "network_idbd"
    learns_from_one_example: ClassVar[bool] = True
    reads_errors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_choices(self)
        check_range(self, "step_size meta_step_size overshoot_limit", 0)
        check_range(self, "tau", 1)

    def start(self, parameters: Array, layer_sizes: Sequence[int]) -> None:
        self.state = {state: xp.zeros_like(parameters) for state in ("log_step_sizes", "traces", "normalizers")}
        # alpha and c, computed in the first round and used in the second. Only c = 1 of the biases persists.
        self.present_step_sizes = xp.ones_like(parameters)
        self.present_curvature = xp.ones_like(parameters)

    @property
    def step_sizes(self) -> Array:
        """alpha, (R, P)."""
        return self.step_size * xp.exp(self.state["log_step_sizes"])

    def update(self, network: Network, values: list[Array], output_gradients: list[Array]) -> None:
        """Lines 0 to 6. Raises ValueError for a mini-batch of more than one example."""
        if values[-1].shape[-1] != 1:
            raise ValueError(
                "Network IDBD learns from one example per step; choose a mini-batch of 1 or another optimizer."
            )
        gradients = network.gradients  # (R, P), -g
        norm = error_norm(output_gradients[-1])
        if self.curvature == "layer_local":
            fill_squared_inputs(network, values, self.present_curvature)
        num_parameters = gradients.shape[-1]
        parts = list(blocks(num_parameters, ARRAYS_IN_CACHE * num_parameters))
        overshoot = trace_effect = 0  # sum alpha s^2 and s . h, (R, 1) each
        for columns in parts:
            sums = self.adapt_step_sizes(columns, gradients[..., columns], norm)  # 0 to 3
            overshoot, trace_effect = overshoot + sums[0], trace_effect + sums[1]
        bound = self.overshoot_bound(overshoot)  # 4
        for columns in parts:
            weights = network.parameters[..., columns]
            self.change_weights(columns, weights, gradients[..., columns], norm, bound, trace_effect)  # 5, 6

    def adapt_step_sizes(self, columns: slice, gradients: Array, norm: Array) -> tuple[Array, Array]:
        """Lines 0 to 3 in place. Returns the contributions of these columns to sum alpha s^2 and to s . h.

        gradients   (R, columns)   -g, so m and s are negated, too
        norm        (R, 1)         |e|
        """
        log_step_sizes, traces, normalizers = (
            self.state[name][..., columns] for name in ("log_step_sizes", "traces", "normalizers")
        )
        step_sizes, curvature = self.present_step_sizes[..., columns], self.present_curvature[..., columns]
        sensitivity = gradients / norm  # 0
        if self.curvature != "layer_local":
            xp.multiply(sensitivity, sensitivity, out=curvature)
        meta_gradient = gradients * traces  # 1
        if self.normalized:
            rate = xp.exp(log_step_sizes, out=step_sizes)  # alpha from before line 3
            rate *= self.step_size / self.tau
            rate *= curvature
            normalize(meta_gradient, normalizers, rate)  # 2
        meta_gradient *= self.meta_step_size
        log_step_sizes -= meta_gradient  # 3
        xp.exp(log_step_sizes, out=step_sizes)
        step_sizes *= self.step_size
        trace_effect = inner_product(sensitivity, traces) if self.curvature == "gauss_newton" else 0
        return inner_product(step_sizes * sensitivity, sensitivity), trace_effect

    def overshoot_bound(self, overshoot: Array) -> Array:
        """M from sum alpha s^2, (R, 1); 1 if there is no limit."""
        limit = self.overshoot_limit
        if isinstance(limit, float):
            return xp.maximum(overshoot / limit, 1) if limit else 1
        return xp.where(limit > 0, xp.maximum(overshoot / xp.where(limit > 0, limit, 1), 1), 1)

    def change_weights(
        self, columns: slice, weights: Array, gradients: Array, norm: Array, bound: Array, trace_effect: Array
    ) -> None:
        """Lines 5 and 6 in place, with M and s . h of the whole network, (R, 1) each."""
        traces, curvature = self.state["traces"][..., columns], self.present_curvature[..., columns]
        bounded = self.present_step_sizes[..., columns] / bound  # alpha / M
        change = bounded * gradients
        weights -= change  # 5
        if self.curvature == "gauss_newton":  # 6
            traces -= change * (trace_effect / norm)
        else:
            bounded *= curvature
            xp.subtract(1, bounded, out=bounded)
            traces *= xp.maximum(bounded, 0, out=bounded)
        traces -= change
