"""Continual Backprop continually replaces a few units of least utility.

Dohare et al., Nature 632 (2024), Algorithm 1. After each update of the weights, for every hidden layer:

    1   a_i <- a_i + 1                                           age of each unit i
    2   u_i <- eta u_i + (1 - eta) mean|h_i| sum_k |W'[k, i]|    utility, eq. (1); W' are outgoing weights
    3   unit i is eligible if a_i > m
    4   c <- c + rho (number of eligible units)                  units to replace
        n <- floor(c), at most the number eligible;  c <- c - n
    5   R <- the n eligible units of least utility               in all layers, before line 6 in any layer
    6   for r in R:  W[r, :] ~ initial distribution,  b_r <- 0,  W'[:, r] <- 0,  u_r <- 0,  a_r <- 0
        the other averages and the normalization of the unit are reset, too

rho is `replacement_rate` (the talk: re-initialization rate), m `maturity_threshold`, eta `decay_rate`. A replacement
changes the output of the network only by the contribution of the replaced unit, because the outgoing weights of the new
unit are 0. A new unit is protected from replacement for m steps, so that the network has time to find a use for it.

Paper - published code - ours. If the paper and the published code differ, there is an option. The defaults are those of
the published code for permuted MNIST (second column, accumulate). `PAPER` has the values of the paper.

    option                 paper           published code (gnt.py)   elsewhere in the published code
    utility                contribution    adaptable_contribution    contribution for CIFAR-100 and Ant
    outgoing               sum             mean                      (the ranks are the same)
    average                utility         utility                   lifetime_activity for the residual network
    bias_correction        no              yes                       no for the residual network
    rate_counts            eligible        eligible                  all for convolutional networks
    rounding               single          accumulate, or chance     (chance: regression and Ant)
    fresh_weights          initial         initial (uniform)         normal, variance 2 / fan_in: residual network
    reset_optimizer_state  -               no, in no setting         yes in the preprint
    when                   after_update    after_update              before_update for the layer-style code

`utility.py` and `num_to_replace.py` contain the variants of lines 2 and 4. The momentum, the moments, and the
learned step sizes of replaced weights are kept unless `reset_optimizer_state` is set. If two connected units of
adjacent layers are replaced in the same step, the weight between them is the random one of the later unit, as in the
published code. With `before_update`, all gradients are those of the old units. In the layer-style code, the backward
pass of the layer below already uses the new weights. In a residual network, only the next listed convolution counts as
outgoing, so a new unit acts at once through a shortcut, as published. If another rule replaces a unit, its age and
utility here do not change. The replacement rate is read when the rule is bound to a network.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from minilop.backend import Array, to_host, xp
from minilop.checks import check_choices, check_range
from minilop.plasticity.num_to_replace import COUNTS, ROUNDINGS, replacement_draws
from minilop.plasticity.rule import Replaced, Rule
from minilop.plasticity.units import flat, least_useful, new_units, replace_units, reset_optimizer_state, update_average
from minilop.plasticity.utility import RESET_AT_REPLACEMENT, UTILITIES

PAPER: dict[str, Any] = {"utility": "contribution", "outgoing": "sum", "bias_correction": False, "rounding": "single"}


@dataclass
class ContinualBackprop(Rule):
    """Hyperparameters and conventions. The default conventions are those of the published code for permuted MNIST.

    units   the state, a dictionary for each hidden layer:

        age                (R, H)   steps since the unit was created (float32 counts to 2^24)
        utility            (R, H)   running average u, or with lifetime_activity the sum of (1 - eta) |h|
        mean_feature       (R, H)   running average f of the feature
        correction         (R, H)   1 - eta^age, the running average of ones: u / correction has no bias toward 0
        units_to_replace   (R,)     c, in float64
    """

    replacement_rate: Array = 1e-4  # rho, a fraction of the units per step
    maturity_threshold: int = 100  # m, in steps
    decay_rate: float = 0.99  # eta, of every running average; with 0, only the current mini-batch counts
    utility: Literal["contribution", "adaptable_contribution", "random"] = "adaptable_contribution"
    outgoing: Literal["mean", "sum"] = "mean"
    average: Literal["utility", "lifetime_activity"] = "utility"
    bias_correction: bool = True  # rank by u / (1 - eta^age); has no effect with lifetime_activity or random
    rate_counts: Literal["eligible", "all"] = "eligible"  # all: rho times all units if any is eligible
    rounding: Literal["accumulate", "chance", "single"] = "accumulate"
    fresh_weights: Literal["initial", "normal"] = "initial"
    reset_optimizer_state: bool = False
    when: Literal["after_update", "before_update"] = "after_update"

    name: ClassVar[str] = "continual_backprop"
    needs_hidden_units: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or contradict each other."""
        check_choices(self)
        check_range(self, "replacement_rate maturity_threshold", 0)
        check_range(self, "decay_rate", 0, 1, below_high=True)
        if (self.utility, self.average) not in UTILITIES:
            raise ValueError(f"average={self.average} needs utility=contribution, not {self.utility}")

    def start(self) -> None:
        self.units = new_units(self.network)
        self.rate = np.ravel(to_host(xp.asarray(self.replacement_rate)))  # (1,) or (R,)
        self.update_utility, self.utility_to_rank_by = UTILITIES[self.utility, self.average]
        self.count, self.round = COUNTS[self.rate_counts], ROUNDINGS[self.rounding]
        self.uniforms = [replacement_draws(self.network.seeds, layer.incoming.number) for layer in self.network.hidden]
        if self.reset_optimizer_state:
            self.optimizer.use_per_weight_bias_correction()

    def before_update(self, values: list[Array], gradients: Array, step: int) -> Replaced | None:
        return self.step(values, step) if self.when == "before_update" else None

    def after_update(self, values: list[Array], gradients: Array, step: int) -> Replaced | None:
        return self.step(values, step) if self.when == "after_update" else None

    def step(self, values: list[Array], step: int) -> Replaced:
        """Algorithm 1, with the features in `values` and the current weights."""
        chosen = [self.choose(index, values, step) for index in range(len(self.units))]
        return [self.replace(index, *pair, step) if pair else None for index, pair in enumerate(chosen)]

    def choose(self, index: int, values: list[Array], step: int) -> tuple[np.ndarray, Array] | None:
        """Lines 1 to 5 for one hidden layer. Returns the runs and units to replace, (K,) each, or None if K is 0."""
        layer, units = self.network.hidden[index], self.units[index]
        units["age"] += 1  # 1
        update_average(units["correction"], 1, self.decay_rate)
        self.update_utility(self, layer, units, layer.flat_features(values))  # 2
        eligible = units["age"] > self.maturity_threshold  # 3, (R, H)
        num_eligible = to_host(eligible.sum(axis=-1))  # (R,); the host waits for the device, once per layer and step
        quota = self.rate * self.count(num_eligible, layer.incoming.num_outputs)
        num_to_replace = self.round(units["units_to_replace"], quota, num_eligible, self.uniforms[index], step)  # 4
        if not np.count_nonzero(num_to_replace):  # faster than any() for a small array
            return None
        return least_useful(self.utility_to_rank_by(self, layer, units, step), eligible, num_to_replace)  # 5

    def replace(self, index: int, runs: np.ndarray, replaced: Array, step: int) -> Array:
        """Line 6 for one hidden layer. Returns the replaced units as a mask (R, H)."""
        layer, units, network = self.network.hidden[index], self.units[index], self.network
        replace_units(layer, runs, replaced, network.seeds[runs], step, self.fresh_weights, self.fresh_rows)
        if self.reset_optimizer_state:
            reset_optimizer_state(self.optimizer, network, layer, runs, replaced)
        for name in RESET_AT_REPLACEMENT[self.average]:
            units[name][runs, replaced] = 0
        return units["age"] == 0  # line 1 has made all other ages positive

    def arrays(self) -> dict[str, Array]:
        return flat(self.units)
