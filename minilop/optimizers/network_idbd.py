"""Network IDBD: every weight of a network has a step size of its own, learned as by IDBD, one example at a time.

A reconstruction. That IDBD can be brought to networks has been announced; no equations were published. What follows is
what we would write, with a reason for each choice. With e = - dLoss/d(outputs), for every weight k = (j, i) from a source
with activation x_i (1 for a bias) to a unit whose local error is e_j = - dLoss/d(pre-activation of j):

    0.  g_k  =  e_j x_i                    the negative gradient            s_k  =  g_k / |e|
    1.  m_k  =  g_k h_k                                                     with h from before
    2.  v_k  <-  max( |m_k|,  v_k + (alpha_k c_k / tau) (|m_k| - v_k) )     with alpha from before
    3.  beta_k  <-  beta_k + mu m_k / v_k   where v_k is not 0,   alpha_k = alpha_0 exp(beta_k)
    4.  M  =  max( sum_k alpha_k s_k^2 / eta, 1 )                           over the whole network
    5.  w_k  <-  w_k + (alpha_k / M) g_k
    6.  h_k  <-  h_k [1 - (alpha_k / M) c_k]+  +  (alpha_k / M) g_k         [z]+ = max(z, 0)

mu is `meta_step_size`, eta `overshoot_limit`, h `traces`, v `normalizers`, beta `log_step_sizes`, from 0 all three. The
choices:

  c_k, the `curvature`, is what line 6 forgets h by: the second derivative of the loss in w_k, or what stands for it.
    layer_local            x_i^2: each unit is a linear learner of its own, which takes the error that reaches it as its
                           error. Needs no second derivatives, and fits any loss whose gradient reaches the units. The
                           default, because it is the plainest; on problems/feature_tracking.py the other two are better
                           by 3 % where units are replaced, and worse by 6 % where not (docs/results.md)
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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from minilop.backend import Array, blocks, xp
from minilop.checks import check_choices, check_range
from minilop.layers.dense import Dense
from minilop.networks import Network
from minilop.optimizers.autostep import normalize
from minilop.optimizers.optimizer import Optimizer

ARRAYS_IN_CACHE = 4  # seven share it with temporary ones, so 8 would fit better, but shorter blocks cost more calls

Curvature = Literal["layer_local", "gauss_newton_diagonal", "gauss_newton"]


def fill_squared_sources(network: Network, values: list[Array], squares: Array) -> None:
    """Write x_i^2 of the source of every weight into `squares` (R, P), whose entries for biases stay as they are.

    Raises ValueError for layers that are not dense.
    """
    for layer, views in zip(network.layers, network.views(squares)):
        if isinstance(layer, Dense):
            inputs = values[layer.index]  # (R, I, 1)
            views["weight"][...] = (inputs * inputs).swapaxes(-1, -2)
        elif views:
            raise ValueError("curvature=layer_local is for networks of dense layers; choose gauss_newton_diagonal.")


def inner_product(a: Array, b: Array) -> Array:
    """(R, n) and (R, n) to (R, 1), without an array of the products."""
    return (a[..., None, :] @ b[..., :, None])[..., 0]


def error_length(output_gradient: Array) -> Array:
    """|e| of one example, (R, O, 1) to (R, 1); 1 where there is no error, so that s is 0 as g is."""
    length = xp.sqrt(inner_product(output_gradient[..., 0], output_gradient[..., 0]))
    return xp.where(length == 0, 1, length)


@dataclass
class NetworkIDBD(Optimizer):
    """Hyperparameters of network IDBD; all defaults are ours.

    State: `log_step_sizes`, as ratios to `step_size`, `traces` and `normalizers`, (R, P) each.

    From memory, thirty passes over arrays as large as a wide network take about twice as long as in the cache. So all
    lines are computed for some columns of these arrays, then for the next; and since line 4 is a sum over the network,
    in two rounds: `adapt_step_sizes` before it, `change_weights` after it.
    """

    step_size: Array = 0.01  # alpha_0
    meta_step_size: Array = 0.01  # mu, for one example a step 0.01 to 0.03
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
        # alpha and c, from the first round to the second; between steps they mean nothing, but for c = 1 of the biases.
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
                "Network IDBD learns from one example a step; choose a mini-batch of 1 or another optimizer."
            )
        gradients = network.gradients  # (R, P), -g
        length = error_length(output_gradients[-1])
        if self.curvature == "layer_local":
            fill_squared_sources(network, values, self.present_curvature)
        num_parameters = gradients.shape[-1]
        parts = list(blocks(num_parameters, ARRAYS_IN_CACHE * num_parameters))
        overshoot = trace_effect = 0  # sum alpha s^2 and s . h, (R, 1) each
        for columns in parts:
            sums = self.adapt_step_sizes(columns, gradients[..., columns], length)  # 0 to 3
            overshoot, trace_effect = overshoot + sums[0], trace_effect + sums[1]
        bound = self.overshoot_bound(overshoot)  # 4
        for columns in parts:
            weights = network.parameters[..., columns]
            self.change_weights(columns, weights, gradients[..., columns], length, bound, trace_effect)  # 5, 6

    def adapt_step_sizes(self, columns: slice, gradients: Array, length: Array) -> tuple[Array, Array]:
        """Lines 0 to 3 in place; returns what these columns add to sum alpha s^2 and to s . h.

        gradients   (R, columns)   -g; the signs of m and s are those of -g too
        length      (R, 1)         |e|
        """
        log_step_sizes, traces, normalizers = (
            self.state[name][..., columns] for name in ("log_step_sizes", "traces", "normalizers")
        )
        step_sizes, curvature = self.present_step_sizes[..., columns], self.present_curvature[..., columns]
        sensitivity = gradients / length  # 0
        if self.curvature != "layer_local":
            xp.multiply(sensitivity, sensitivity, out=curvature)
        meta_gradient = gradients * traces  # 1
        if self.normalized:
            rate = xp.exp(log_step_sizes, out=step_sizes)  # with alpha from before
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
        """M, from sum alpha s^2, (R, 1); 1 where there is no limit."""
        limit = self.overshoot_limit
        if isinstance(limit, float):
            return xp.maximum(overshoot / limit, 1) if limit else 1
        return xp.where(limit > 0, xp.maximum(overshoot / xp.where(limit > 0, limit, 1), 1), 1)

    def change_weights(
        self, columns: slice, weights: Array, gradients: Array, length: Array, bound: Array, trace_effect: Array
    ) -> None:
        """Lines 5 and 6 in place, with M and s . h of the whole network, (R, 1) each."""
        traces, curvature = self.state["traces"][..., columns], self.present_curvature[..., columns]
        used = self.present_step_sizes[..., columns] / bound
        change = used * gradients
        weights -= change  # 5
        if self.curvature == "gauss_newton":  # 6
            traces -= change * (trace_effect / length)
        else:
            used *= curvature
            xp.subtract(1, used, out=used)
            traces *= xp.maximum(used, 0, out=used)
        traces -= change
