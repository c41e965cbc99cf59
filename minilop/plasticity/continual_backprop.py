"""Continual Backprop: the units of least utility are replaced, a few at a time, for ever.

Dohare et al., Nature 632 (2024), Algorithm 1. After each update of the weights, in every hidden layer l:

    a_i <- a_i + 1                                                     age
    u_i <- eta u_i + (1 - eta) |h_i| sum_k |W'[k, i]|                  utility, eq. (1); W' leaves the layer
    c   <- c + rho * (number of units with a_i > m)                    how many replacements are due
    if c > 1:  r <- the eligible unit of least utility;  c <- c - 1
               W[r, :] ~ initial law,  W'[:, r] <- 0,  u_r <- 0,  a_r <- 0

(By default as in the published code: floor(c) units are replaced and c keeps its fraction.) rho is `replacement_rate`,
which talks about this work call re-initialization rate, m `maturity_threshold`, eta `decay_rate`. A replacement
changes the network's output only by what the least useful unit contributed: nothing leaves the new unit yet. m steps
protect it from being judged before it has been given a use.

Paper - published code - ours. Where they differ there is an option; `PAPER` and `PUBLISHED_CODE` are the two readings.

    option                 paper          published code (gnt.py)          elsewhere in the published code
    utility                contribution   adaptable_contribution           contribution for CIFAR-100 and Ant
    outgoing               sum            mean                             (ranks are the same)
    average                utility        utility                          lifetime_activity for the residual network
    centre                 -              updated                          previous: the preprint arXiv:2108.06325
    bias_correction        no             yes                              no for the residual network
    rate_counts            eligible       eligible                         all for convolutional networks
    rounding               single         accumulate, or chance            (chance: regression and Ant)
    fresh_weights          initial law    initial law (uniform)            normal, variance 2 / fan_in: residual network
    transfer_bias          no             no: coded, but reads a mean      yes in the preprint
                                          that was set to zero just before
    reset_optimizer_state  -              no: with no shipped setting      yes in the preprint
    when                   after_update   after_update                     before_update for the layer-style code
    shortcuts              -              ignored                          ours: cut

`utility.py` has the formulas of the utilities. Biases of replaced units start at 0. Momentum and moments of the touched
weights stay as they are unless `reset_optimizer_state`. All layers are judged before any is changed; where neighbours in
adjacent layers are replaced in one step, the later layer's fresh row leaves a random weight between them, as in the
published code. Ties go to the lowest index. With `before_update` all gradients are those of the old units, while in the
layer-style code the backward pass of the layer below already sees the new weights.

The mean feature that a utility is centred on, updated or previous, and the one that `transfer_bias` hands over, which is
the updated one whatever `centre` is, are always divided by 1 - eta^a with the present age a; `bias_correction` is about
the utility alone. With average=lifetime_activity, u <- u + (1 - eta) |h|, and units are ranked by u times the present
outgoing weights, or by these alone for the utility `weight`; nothing is divided, and a replacement leaves u as it is.

In a residual network the published code judges and disconnects a unit by the next listed convolution alone. Where a
shortcut carries its channel past that one, the fresh unit is heard at once, and the function changes. `shortcuts = "cut"`
is ours: a unit's outgoing weights are those of every layer that its channel reaches unweighted, until a 1 x 1
convolution or the head; all of them count in its utility, and are set to zero. So again nothing leaves a new unit.
The price: the channel's share of other units, which were added to it before or will be after it, is cut off with it, until the
weights have grown again. Units inside of a block, and those of the last block, are replaced alike either way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minilop import draws
from minilop.backend import Array, xp
from minilop.checks import check_range
from minilop.networks import HiddenLayer, Network
from minilop.optimizers.optimizer import Optimizer
from minilop.plasticity.budget import ReplacementBudget
from minilop.plasticity.units import (
    batch_mean,
    repeat,
    replace_units,
    reset_optimizer_state,
    unit_mean,
    weight_magnitudes,
)
from minilop.plasticity.utility import CENTRED, USES_INCOMING, Utility, instantaneous_utility, update_average


@dataclass(frozen=True)
class ContinualBackpropSettings:
    """Hyperparameters and conventions; the defaults are those of the published code for permuted MNIST, turned off."""

    replacement_rate: float = 0.0  # rho, a fraction of the units per step; 0 turns everything off
    maturity_threshold: int = 100  # m, in steps
    decay_rate: float = 0.99  # eta, of every running average; 0 judges by the current mini-batch alone
    utility: Utility = "adaptable_contribution"
    outgoing: Literal["mean", "sum"] = "mean"
    average: Literal["utility", "lifetime_activity"] = "utility"
    centre: Literal["updated", "previous"] = "updated"  # the running mean with or without the current mini-batch
    bias_correction: bool = True  # divide running averages by 1 - eta^age
    rate_counts: Literal["eligible", "all"] = "eligible"
    rounding: Literal["accumulate", "chance", "single"] = "accumulate"
    fresh_weights: Literal["initial", "normal"] = "initial"
    transfer_bias: bool = False  # hand the mean output of a removed unit to its consumers' biases
    reset_optimizer_state: bool = False
    when: Literal["after_update", "before_update"] = "after_update"
    shortcuts: Literal["ignored", "cut"] = "ignored"  # of a residual network: may a fresh unit be heard through them

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range or that contradict each other."""
        check_range(self, "replacement_rate maturity_threshold", 0)
        check_range(self, "decay_rate", 0, 1, below_high=True)
        if self.average == "lifetime_activity" and self.utility not in ("weight", "contribution"):
            raise ValueError("average=lifetime_activity needs utility=weight or utility=contribution")
        if self.shortcuts == "cut" and self.transfer_bias:
            raise ValueError("transfer_bias hands over to the next layer alone; choose shortcuts=ignored")


PAPER: Mapping[str, Any] = {
    "utility": "contribution",
    "outgoing": "sum",
    "bias_correction": False,
    "rounding": "single",
}
PUBLISHED_CODE: Mapping[str, Any] = {"utility": "adaptable_contribution", "rounding": "accumulate"}


def least_useful(utility: Array, age: Array, maturity_threshold: int, number: np.ndarray) -> tuple[np.ndarray, Array]:
    """The eligible units of least utility, `number` (R,) in each run: their runs and units, (K,) each.

    number is on the host, and so K and the runs are known without waiting for the device; what goes the other way is
    a few indices.
    """
    chosen = np.flatnonzero(number)  # (C,) runs with something to replace
    utility, age = utility[xp.asarray(chosen)], age[xp.asarray(chosen)]  # (C, H)
    largest = xp.finfo(utility.dtype).max  # an eligible unit comes before a protected one, however useful
    utility = xp.where(xp.isnan(utility), 0, xp.minimum(utility, largest))  # 0 / 0: it neither varies nor has inputs
    order = xp.argsort(xp.where(age > maturity_threshold, utility, xp.inf), kind="stable")
    number = number[chosen]
    place = np.repeat(np.arange(len(chosen)), number)  # (K,)
    rank = np.arange(len(place)) - np.repeat(np.cumsum(number) - number, number)  # 0, 1, ... within each run
    return chosen[place], order[xp.asarray(place), xp.asarray(rank)]


class ContinualBackprop:
    """Generate-and-test on all hidden layers of a network.

    state, one dictionary a hidden layer, each array (R, H):

        age             steps since the unit was made (float32 counts to 2^24; a threshold beyond is of no use)
        utility         running average u, or with average="lifetime_activity" the sum of (1 - eta) |h|
        mean_feature    running average f
        correction      1 - eta^age, as the running average of ones: u / correction has no bias towards 0
    """

    def __init__(self, network: Network, settings: ContinualBackpropSettings, optimizer: Optimizer | None = None):
        """Raises ValueError for a network without the runs axis."""
        if network.seeds.ndim != 1:
            raise ValueError("Continual Backprop needs the runs axis; make the network with seeds=[seed].")
        self.network = network
        self.settings = settings
        self.optimizer = optimizer if settings.reset_optimizer_state else None
        self.uses_incoming = settings.utility in USES_INCOMING
        self.cut_shortcuts = settings.shortcuts == "cut"
        self.follows_mean = settings.utility in CENTRED or settings.transfer_bias
        self.state = []
        self.budgets = []
        for layer in network.hidden:
            num_units = layer.incoming.num_outputs
            names = ("age", "utility", "mean_feature", "correction")
            self.state.append({name: network.zeros(num_units) for name in names})
            self.budgets.append(
                ReplacementBudget(
                    network.seeds,
                    layer.incoming.number,
                    num_units,
                    settings.replacement_rate,
                    settings.maturity_threshold,
                    settings.rate_counts,
                    settings.rounding,
                )
            )

    def step(self, values: list[Array], step: int) -> None:
        """Judge the units by their features in `values` and their present weights, and replace what is due."""
        chosen: list[tuple[np.ndarray, Array] | None] = []
        for layer, state, budget, (incoming, outgoing) in zip(
            self.network.hidden, self.state, self.budgets, self.weight_magnitudes()
        ):
            utility = self.judge(state, layer.flat_features(values), incoming, outgoing)
            number = budget.due(step)
            if number is None:
                chosen.append(None)
                continue
            if self.settings.utility == "random":
                utility = self.random_utility(layer, step)
            elif self.settings.bias_correction and self.settings.average == "utility":
                utility = utility / state["correction"]
            chosen.append(least_useful(utility, state["age"], self.settings.maturity_threshold, number))
        for layer, state, replaced in zip(self.network.hidden, self.state, chosen):
            if replaced is not None:
                self.replace(layer, state, *replaced, step)

    def weight_magnitudes(self) -> list[tuple[Array, Array]]:
        """Mean incoming and mean or summed outgoing magnitude of the units of each hidden layer, (R, H) each.

        The incoming one is None where the utility does not use it.
        """
        hidden = self.network.hidden
        dense_layers = [layer.incoming for layer in hidden[:1]] + [layer.outgoing for layer in hidden]
        sums = [
            weight_magnitudes(dense.weight, self.uses_incoming and index < len(hidden), outgoing=index > 0)
            for index, dense in enumerate(dense_layers)
        ]
        magnitudes = []
        for layer, (incoming, _), (_, outgoing) in zip(hidden, sums, sums[1:]):
            for reader in layer.readers(self.cut_shortcuts)[1:]:
                outgoing = outgoing + weight_magnitudes(reader.weight, incoming=False, outgoing=True)[1]
            if self.settings.outgoing == "mean":
                outgoing = outgoing / layer.num_consumers(self.cut_shortcuts)
            magnitudes.append((incoming / layer.incoming.num_inputs if incoming is not None else None, outgoing))
        return magnitudes

    def judge(self, state: dict[str, Array], features: Array, incoming: Array, outgoing: Array) -> Array:
        """Age the units and bring their averages up to date; returns their utility, not yet corrected, (R, H).

        features   (R, F, B)   with outgoing (R, F) and incoming (R, H); a unit with several features is worth their mean
        """
        settings, num_units = self.settings, state["age"].shape[-1]
        state["age"] += 1
        update_average(state["correction"], 1, settings.decay_rate)
        centre = self.follow_mean(state, features) if self.follows_mean else None
        if settings.utility == "random":  # `step` draws it where something is replaced
            return state["utility"]
        if settings.average == "lifetime_activity":
            state["utility"] += (1 - settings.decay_rate) * unit_mean(batch_mean(abs(features)), num_units)
            outgoing = unit_mean(outgoing, num_units)
            return outgoing if settings.utility == "weight" else outgoing * state["utility"]
        incoming = repeat(incoming, features.shape[-2]) if incoming is not None else None
        worth = instantaneous_utility(settings.utility, features, centre, incoming, outgoing)
        update_average(state["utility"], unit_mean(worth, num_units), settings.decay_rate)
        return state["utility"]

    def follow_mean(self, state: dict[str, Array], features: Array) -> Array:
        """Update the running mean feature of each unit; returns the mean that features are centred on, (R, F)."""
        num_features = features.shape[-2]
        mean_feature = unit_mean(batch_mean(features), state["mean_feature"].shape[-1])
        previous = state["mean_feature"] / state["correction"] if self.settings.centre == "previous" else None
        update_average(state["mean_feature"], mean_feature, self.settings.decay_rate)
        return repeat(state["mean_feature"] / state["correction"] if previous is None else previous, num_features)

    def random_utility(self, layer: HiddenLayer, step: int) -> Array:
        """A fresh uniform number for each unit, (R, H)."""
        network, incoming = self.network, layer.incoming
        return draws.uniform(
            network.seeds, "random utility", incoming.num_outputs, layer=incoming.number, step=step, dtype=network.dtype
        )

    def replace(self, layer: HiddenLayer, state: dict[str, Array], runs: np.ndarray, units: Array, step: int) -> None:
        """Replace units, named by `runs` and `units` (K,), and start their statistics afresh."""
        network, seeds = self.network, self.network.seeds[runs]
        runs = xp.asarray(runs)
        if self.settings.transfer_bias:
            removed = xp.zeros_like(state["age"])  # (R, H)
            removed[runs, units] = (state["mean_feature"] / state["correction"])[runs, units]
            by_unit = layer.outgoing_weight(layer.outgoing.weight).sum(axis=-1)  # (R, O, H)
            bias = layer.outgoing_bias.bias
            bias += (by_unit @ removed[..., None]).reshape(bias.shape)
        replace_units(layer, runs, units, seeds, step, self.settings.fresh_weights, self.cut_shortcuts)
        if self.optimizer:
            reset_optimizer_state(self.optimizer, network, layer, runs, units, self.cut_shortcuts)
        kept = ("utility",) if self.settings.average == "lifetime_activity" else ()  # as published: never reset
        for name, array in state.items():
            if name not in kept:
                array[runs, units] = 0
