"""Generate-and-test with inheritance: the third level of a streaming learner that adapts at three levels.

    weights       learned by backpropagation                                                      network IDBD
    step sizes    one per weight, learned from the agreement of its successive changes            network IDBD
    units         the least useful are replaced continually; the learned step sizes determine the
                  connections of a new unit and how fast each of them learns                      this rule

    optimizer = NetworkIDBD(step_size=0.003, meta_step_size=0.03)
    learner = Learner(network, half_squared_error, optimizer, [GenerateAndTest()])

There is no buffer, no mini-batch and no task boundary. The cost of a step is proportional to the number of weights.
Only the creation of a unit is random. After each update, in every hidden layer from the first to the last, for every
unit with feature f and outgoing weights W':

    1.  a  <-  a + 1                                                            age
        F  <-  eta F + (1 - eta) f                                              mean feature, F^ = F / (1 - eta^a)
        u  <-  eta u + (1 - eta) |f - F^| sum_k |W'_k|                          utility, u^ = u / (1 - eta^a)
    2.  c  <-  c + rho (number of units with a > m);  n <- floor(c), at most that number;  c <- c - n
    3.  each of the n mature units with the least u^ is replaced:
            outgoing weights  <-  0                              so the outputs lose only its contribution
            incoming weights  <-  0, except for K inputs, drawn with probability proportional to
                                  ( sum over the other units with a > m of their alpha for that input )^p
                                  whose weights are 1/2 N(0, 1); the bias is 0
            beta of each incoming weight  <-  mean beta of the other units for the same input; the bias likewise
            beta of each outgoing weight  <-  mean beta of the same consumer for the other units
            h, v, F, u, a  <-  0

rho is `replacement_rate`, m `maturity_threshold`, eta `decay_rate`, K `num_new_inputs`, p `input_power`. The step sizes
alpha = exp(beta) and h and v are the state of network IDBD (optimizers/network_idbd.py). An input that no unit uses has
small step sizes in all units, because successive changes of its weights seldom agree. A new unit is therefore rarely
connected to it, and its weight for that input learns slowly. Units of high utility are kept, while young units explore.
The "other units" of line 3 do not include units replaced in the same step. Layers are processed from the first to the
last, so a new unit of a later layer may be connected to a unit that was created just before.

Our rule combines known parts: IDBD, Autostep, and the generate-and-test of Mahmood and Sutton (2013) and of Continual
Backprop, which gives lines 1 and 2. The three levels and the inheritance of step sizes are ours.
problems/feature_tracking measures the contribution of each part.

Draws are keyed by layer, step of replacement and unit. "fresh weight" is a normal number for each input (or a number
from the initial distribution if `new_inputs = "all"`). "fresh input" is a uniform number u_i for each input. The K
inputs with the smallest - ln(1 - u_i) / p_i are chosen; they are distributed like draws with probabilities p_i, one
after another without replacement.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.checks import check_choices, check_range
from minilop.networks import HiddenLayer
from minilop.optimizers.network_idbd import NetworkIDBD
from minilop.optimizers.optimizer import Optimizer
from minilop.plasticity.num_to_replace import accumulate
from minilop.plasticity.rule import Replaced, Rule
from minilop.plasticity.units import flat, least_useful, new_units, replace_units, reset_optimizer_state, update_average


def update_utility(units: dict[str, Array], features: Array, outgoing_weight: Array, decay_rate: float) -> Array:
    """Line 1 in place; returns u^ (R, H).

    units             age, mean_feature, utility and correction = 1 - eta^a, the running average of ones, (R, H) each
    features          (R, H)
    outgoing_weight   (R, O, H)
    """
    units["age"] += 1
    update_average(units["correction"], 1, decay_rate)
    update_average(units["mean_feature"], features, decay_rate)
    variation = abs(features - units["mean_feature"] / units["correction"])
    update_average(units["utility"], variation * abs(outgoing_weight).sum(axis=-2), decay_rate)
    return units["utility"] / units["correction"]


def other_units(mask: Array, runs: Array, units: Array) -> Array:
    """For each replaced unit (K,), the units in `mask` (R, H) of its run that are kept, (K, H); if none, all units."""
    kept = xp.ones_like(mask)
    kept[runs, units] = False
    others = (mask & kept)[runs]
    return others | ~others.any(axis=-1, keepdims=True)


def mean_over(values: Array, others: Array) -> Array:
    """Mean of values (K, ..., H) over the units in `others` (K, H): (K, ...)."""
    sums = values.reshape(len(values), -1, others.shape[-1]) @ others.astype(values.dtype)[..., None]  # (K, n, 1)
    num_others = others.sum(axis=-1, dtype=values.dtype).reshape(-1, *(1,) * (values.ndim - 2))
    return sums.reshape(values.shape[:-1]) / num_others


def input_logits(step_sizes: Array, mature: Array, input_power: float) -> Array:
    """The logarithm of the probability of drawing each input, up to a constant, (K, I).

    step_sizes   (K, H, I)
    mature       (K, H)      mask of the units whose step sizes are summed
    """
    total = (mature.astype(step_sizes.dtype)[:, None] @ step_sizes)[:, 0]
    return input_power * log_of(total)


def draw_inputs(logits: Array, num_inputs: int, uniforms: Array) -> Array:
    """Draw `num_inputs` inputs for each new unit, from logits and uniform numbers (K, I). Returns a mask (K, I).

    Each input has a random waiting time, exponential with mean 1 / exp(logit). The inputs with the shortest times are
    drawn. The times are compared by their logarithms, so that no small probability underflows to 0.
    """
    log_waiting = log_of(-xp.log(1 - uniforms)) - logits
    order = xp.argsort(log_waiting, axis=-1, kind="stable")
    rank = xp.argsort(order, axis=-1, kind="stable")
    return rank < num_inputs


def log_of(values: Array) -> Array:
    """The logarithm of nonnegative numbers; finite for 0, too."""
    return xp.log(xp.maximum(values, float(xp.finfo(values.dtype).tiny)))


@dataclass
class GenerateAndTest(Rule):
    """Hyperparameters; all defaults are ours. The rule needs the optimizer network_idbd and one example per step.

    units   the state, a dictionary for each hidden layer: the arrays of `update_utility`, and units_to_replace (R,), c
    """

    replacement_rate: float = 1e-4  # rho, a fraction of the mature units per step
    maturity_threshold: int = 1000  # m, in steps
    decay_rate: float = 0.99  # eta, of utility and mean feature
    new_inputs: Literal["by_step_sizes", "uniform", "all"] = "by_step_sizes"  # how the inputs of a new unit are drawn
    num_new_inputs: int = 3  # K
    input_power: float = 2.0  # p
    inherit: bool = True  # False: the step sizes of a new unit start at `step_size`

    name: ClassVar[str] = "generate_and_test"
    needs_hidden_units: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_choices(self)
        check_range(self, "replacement_rate maturity_threshold input_power", 0)
        check_range(self, "decay_rate", 0, 1, below_high=True)
        check_range(self, "num_new_inputs", 1)

    def check_optimizer(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, NetworkIDBD):
            message = f"{self.name} inherits step sizes, and {optimizer.name} has none; choose network_idbd"
            raise ValueError(message)  # noqa: TRY004 (like every other check of settings)

    def start(self) -> None:
        if any(layer.outgoing.weight.ndim > 3 for layer in self.network.hidden):
            raise ValueError(f"{self.name} is for dense layers; choose continual_backprop.")
        self.units = new_units(self.network)

    def after_update(self, values: list[Array], gradients: Array, step: int) -> Replaced:
        """Lines 1 to 3, layer by layer."""
        return [self.step(layer, units, values, step) for layer, units in zip(self.network.hidden, self.units)]

    def step(self, layer: HiddenLayer, units: dict[str, Array], values: list[Array], step: int) -> Array | None:
        """Lines 1 to 3 for one hidden layer. Returns the replaced units as a mask (R, H), or None for none."""
        features = values[layer.feature_index][..., 0]
        utility = update_utility(units, features, layer.outgoing.weight, self.decay_rate)  # 1
        eligible = units["age"] > self.maturity_threshold  # (R, H)
        num_eligible = to_host(eligible.sum(axis=-1))  # (R,); the host waits for the device
        num_to_replace = accumulate(units["units_to_replace"], self.replacement_rate * num_eligible, num_eligible)  # 2
        if not np.count_nonzero(num_to_replace):  # faster than any() for a small array
            return None
        self.replace(layer, units, *least_useful(utility, eligible, num_to_replace), step)  # 3
        return units["age"] == 0  # line 1 has made all other ages positive

    def replace(
        self, layer: HiddenLayer, units: dict[str, Array], runs: np.ndarray, replaced: Array, step: int
    ) -> None:
        """Line 3: replace the units given by `runs` and `replaced`, (K,) each."""
        seeds = self.network.seeds[runs]
        weight = self.fresh_weights(layer, units["age"], runs, replaced, seeds, step)
        inherited = self.inherited_step_sizes(layer, units["age"], runs, replaced)
        replace_units(layer, runs, replaced, seeds, step)
        if self.new_inputs != "all":
            layer.incoming.weight[runs, replaced] = weight
        reset_optimizer_state(self.optimizer, self.network, layer, runs, replaced)
        if self.inherit:
            incoming, bias, outgoing = self.log_step_sizes(layer)
            incoming[runs, replaced], bias[runs, replaced], outgoing[runs, :, replaced] = inherited
        for name in ("age", "mean_feature", "utility", "correction"):
            units[name][runs, replaced] = 0

    def log_step_sizes(self, layer: HiddenLayer) -> tuple[Array, Array, Array]:
        """Views of beta: of the incoming weights (R, H, I), the biases (R, H) and the outgoing weights (R, O, H)."""
        views = self.network.views(self.optimizer.state["log_step_sizes"])
        incoming = views[layer.incoming.index]
        return incoming["weight"], incoming["bias"][..., 0], views[layer.outgoing.index]["weight"]

    def fresh_weights(
        self, layer: HiddenLayer, age: Array, runs: np.ndarray, replaced: Array, seeds: np.ndarray, step: int
    ) -> Array:
        """Incoming weights (K, I) of new units: 0 except for the drawn inputs."""
        num_inputs = layer.incoming.num_inputs
        key = {"layer": layer.incoming.number, "step": step, "slot": replaced, "dtype": self.network.dtype}
        if self.new_inputs == "by_step_sizes":
            mature = other_units(age > self.maturity_threshold, runs, replaced)
            logits = input_logits(xp.exp(self.log_step_sizes(layer)[0][runs]), mature, self.input_power)
        else:
            logits = xp.zeros((len(replaced), num_inputs), self.network.dtype)
        uniforms = draws.uniform(seeds, "fresh input", num_inputs, **key)
        drawn = draw_inputs(logits, self.num_new_inputs, uniforms)
        return xp.where(drawn, draws.normal(seeds, "fresh weight", num_inputs, **key) / 2, 0)

    def inherited_step_sizes(
        self, layer: HiddenLayer, age: Array, runs: np.ndarray, replaced: Array
    ) -> tuple[Array, Array, Array]:
        """beta of the incoming weights (K, I), the bias (K,) and the outgoing weights (K, O) of each new unit."""
        incoming, bias, outgoing = self.log_step_sizes(layer)
        others = other_units(xp.ones_like(age, dtype=bool), runs, replaced)
        return (
            mean_over(incoming[runs].swapaxes(-1, -2), others),
            mean_over(bias[runs], others),
            mean_over(outgoing[runs], others),
        )

    def arrays(self) -> dict[str, Array]:
        return flat(self.units)
