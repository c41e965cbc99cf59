"""Continual Backprop with every convention that a case of the kit has; the library imports nothing from here.

`minilop/plasticity/continual_backprop.py` explains the algorithm (Dohare et al., Nature 632, 2024, Algorithm 1) and has
the conventions that our learners use. The kit alone has these, for users who compare code that follows them:

    option           value                        where it comes from
    utility          four more, see below         the published code, gnt.py
    average          lifetime_activity of weight  the published code for the residual network, as of contribution
    centre           previous                     the preprint arXiv:2108.06325; the published code has "updated"
    transfer_bias    yes                          the preprint; the published code reads a mean already set to 0
    shortcuts        cut                          ours; the published code ignores shortcuts of a residual network

Utilities, with O and I the mean (or summed) outgoing and the mean incoming magnitude of a unit's weights, h its
feature, f its running mean feature, and |.| averaged over the mini-batch:

    contribution             O |h|               the paper's, eq. (1)
    weight                   O
    adaptation               1 / I
    zero_contribution        O |h - f|
    adaptable_contribution   O |h - f| / I       the published code's
    feature_by_input         |h - f| / I
    random                   a fresh uniform number, drawn where units are replaced

The mean feature f on which a utility is centered, updated or previous, and the one that `transfer_bias` hands to the
biases of the consumers, which is the updated one whatever `centre` is, are always divided by 1 - eta^a with the present
age a; `bias_correction` is about the utility alone. With average=lifetime_activity, u <- u + (1 - eta) |h|, and units
are ranked by u times the present outgoing weights, or by these alone for utility=weight; nothing is divided, and a
replacement leaves u as it is.

In a residual network the published code ranks and disconnects a unit by the next listed convolution alone. Where a
shortcut carries its channel past that one, the fresh unit has an effect at once, and the function changes. With
shortcuts=cut, a unit's outgoing weights are those of every layer that its channel reaches unweighted, until a 1 x 1
convolution or the head: all of them count in its utility and are set to zero, so that nothing leaves a new unit. The
price: what other units add to that channel, before it or after it, is cut off with it until the weights have grown
again. Units inside a block, and those of the last block, are replaced alike either way.
"""

from collections import deque

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.layers.weighted import Weighted
from minilop.networks import HiddenLayer, Network
from minilop.optimizers.optimizer import Optimizer
from minilop.plasticity.units import batch_mean, repeat, replace_units, reset_optimizer_state, unit_mean, update_average
from minilop.verify.reference.settings import ReferenceSettings

CENTRED = ("zero_contribution", "adaptable_contribution", "feature_by_input")
DRAWS_PER_BLOCK = 1024


# --- formulas ---------------------------------------------------------------------------------------------------------


def instantaneous_utility(utility: str, features: Array, centre: Array, incoming: Array, outgoing: Array) -> Array:
    """The utility of the units on this mini-batch alone, by the table above.

    features             (R, H, B)
    centre               (R, H)     the running mean feature f; may be None where the utility does not use it
    incoming, outgoing   (R, H)     magnitudes of the weights; the same
    returns              (R, H)
    """
    if utility == "weight":
        return outgoing
    if utility == "adaptation":
        return 1 / incoming
    if utility == "contribution":
        return outgoing * batch_mean(abs(features))
    variation = batch_mean(abs(features - centre[..., None]))
    if utility == "zero_contribution":
        return outgoing * variation
    if utility == "feature_by_input":
        return variation / incoming
    return outgoing * variation / incoming


def weight_magnitudes(weight: Array) -> tuple[Array, Array]:
    """Sums of the absolute weights (R, O, I, ...): by row, (R, O), and by column, (R, I)."""
    magnitude = abs(weight)
    if weight.ndim > 3:  # kernels
        magnitude = magnitude.sum(axis=(-1, -2))
    return magnitude.sum(axis=-1), magnitude.sum(axis=-2)


def least_useful(utility: Array, age: Array, maturity_threshold: int, number: np.ndarray) -> tuple[np.ndarray, Array]:
    """The eligible units of least utility, `number` (R,) in each run: their runs and units, (K,) each."""
    chosen = np.flatnonzero(number)  # (C,) runs with something to replace
    utility, age = utility[xp.asarray(chosen)], age[xp.asarray(chosen)]  # (C, H)
    largest = xp.finfo(utility.dtype).max  # an eligible unit comes before a protected one, however useful
    utility = xp.where(xp.isnan(utility), 0, xp.minimum(utility, largest))  # 0 / 0: it neither varies nor has inputs
    order = xp.argsort(xp.where(age > maturity_threshold, utility, xp.inf), kind="stable")
    number = number[chosen]
    place = np.repeat(np.arange(len(chosen)), number)  # (K,)
    rank = np.arange(len(place)) - np.repeat(np.cumsum(number) - number, number)  # 0, 1, ... within each run
    return chosen[place], order[xp.asarray(place), xp.asarray(rank)]


# --- how many units to replace ----------------------------------------------------------------------------------------


class ReplacementBudget:
    """Counts, for one hidden layer, the eligible units and the replacements to be made in each run, on the host.

    rate_counts   replacement_rate times the "eligible" units, or "all" as soon as one is eligible, is added in a step
    rounding      "accumulate"  whole parts of the running total c are replaced; c keeps its fraction
                  "single"      one unit whenever c exceeds 1 (the paper's)
                  "chance"      one unit with the probability of what a step adds, or its whole part from 1 on
    """

    def __init__(self, seeds: np.ndarray, layer: int, num_units: int, settings: ReferenceSettings):
        self.seeds = seeds
        self.layer = layer
        self.num_units = num_units
        self.settings = settings
        self.replacement_rate = np.ravel(settings.replacement_rate)  # (1,) or (R,)
        self.units_to_replace = np.zeros(len(seeds))  # the paper's c
        self.eligible = np.zeros(len(seeds), int)
        self.maturing = deque([(settings.maturity_threshold, np.full(len(seeds), num_units))])  # (step, newly eligible)
        self.added_per_step = np.zeros(len(seeds))
        self.uniform_block = np.empty((0, 0))
        self.block: int | None = None

    def num_to_replace(self, step: int) -> np.ndarray | None:
        """How many units of each run to replace at this step, (R,), or None where no run replaces any.

        Never more than are eligible; with "accumulate" and "single" the rest stays in c.
        """
        while self.maturing and self.maturing[0][0] <= step:
            self.count(self.maturing.popleft()[1])
        rounding = self.settings.rounding
        if rounding == "chance":
            whole = np.floor(self.added_per_step)
            number = np.where(whole > 0, whole, self.uniform_number(step) < self.added_per_step)
        else:
            self.units_to_replace += self.added_per_step
            number = self.units_to_replace > 1 if rounding == "single" else np.floor(self.units_to_replace)
        if not number.any():
            return None
        number = np.minimum(number.astype(int), self.eligible)
        if rounding != "chance":
            self.units_to_replace -= number
        self.count(-number)
        self.maturing.append((step + self.settings.maturity_threshold + 1, number))
        return number

    def uniform_number(self, step: int) -> np.ndarray:
        """One for each run, (R,): number t mod 1024 of the draw at step t div 1024, for step t."""
        block, place = divmod(step, DRAWS_PER_BLOCK)
        if block != self.block:
            self.block = block
            uniform = draws.uniform(
                self.seeds, "replacement coin", DRAWS_PER_BLOCK, layer=self.layer, step=block, dtype="float64"
            )  # (R, 1024)
            self.uniform_block = np.ascontiguousarray(to_host(uniform).T)
        return self.uniform_block[place]

    def count(self, newly_eligible: np.ndarray) -> None:
        """Take up, or for negative numbers remove, eligible units (R,)."""
        self.eligible = self.eligible + newly_eligible
        count_all = self.settings.rate_counts == "all"
        counted = np.where(self.eligible > 0, self.num_units, 0) if count_all else self.eligible
        self.added_per_step = self.replacement_rate * counted

    def restore(self, units_to_replace: np.ndarray, age: np.ndarray, step: int) -> None:
        """Continue before step number `step`, with units of the given ages (R, H) on the host."""
        self.units_to_replace = units_to_replace
        threshold = self.settings.maturity_threshold
        self.maturing = deque(
            (step + threshold - young, (age == young).sum(axis=-1))
            for young in sorted(set(age[age <= threshold].tolist()), reverse=True)
        )
        self.eligible = np.zeros_like(self.eligible)
        self.count((age > threshold).sum(axis=-1))


# --- the rule ---------------------------------------------------------------------------------------------------------


class ContinualBackprop:
    """Generate-and-test on all hidden layers of a network.

    state, one dictionary per hidden layer, each array (R, H):

        age             steps since the unit was made
        utility         running average u, or with average="lifetime_activity" the sum of (1 - eta) |h|
        mean_feature    running average f
        correction      1 - eta^age, as the running average of ones: u / correction has no bias towards 0
    """

    def __init__(self, network: Network, settings: ReferenceSettings, optimizer: Optimizer):
        self.network = network
        self.settings = settings
        self.optimizer = optimizer if settings.reset_optimizer_state else None
        if self.optimizer:
            self.optimizer.use_per_weight_bias_correction()
        self.follows_mean = settings.utility in CENTRED or settings.transfer_bias
        self.state = []
        self.budgets = []
        for layer in network.hidden:
            num_units = layer.incoming.num_outputs
            names = ("age", "utility", "mean_feature", "correction")
            self.state.append({name: network.zeros(num_units) for name in names})
            self.budgets.append(ReplacementBudget(network.seeds, layer.incoming.number, num_units, settings))

    def step(self, values: list[Array], step: int) -> None:
        """Rank the units by their features in `values` and their present weights, and replace as many as are due."""
        chosen: list[tuple[np.ndarray, Array] | None] = []
        for layer, state, budget, (incoming, outgoing) in zip(
            self.network.hidden, self.state, self.budgets, self.weight_magnitudes()
        ):
            utility = self.update_utility(state, layer.flat_features(values), incoming, outgoing)
            number = budget.num_to_replace(step)
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

    def consumers(self, layer: HiddenLayer) -> tuple[Weighted, ...]:
        """The layers that consume the features of a hidden layer, as far as the convention counts them."""
        return (layer.outgoing, *(layer.shortcut_consumers if self.settings.shortcuts == "cut" else ()))

    def num_consumers(self, layer: HiddenLayer) -> int:
        """How many weights leave a feature."""
        return sum(each.num_outputs * int(np.prod(each.row_shape[1:])) for each in self.consumers(layer))

    def weight_magnitudes(self) -> list[tuple[Array, Array]]:
        """Mean incoming and mean or summed outgoing magnitude of the units of each hidden layer, (R, H) and (R, F)."""
        magnitudes = []
        for layer in self.network.hidden:
            incoming = weight_magnitudes(layer.incoming.weight)[0] / layer.incoming.num_inputs
            outgoing = sum(weight_magnitudes(consumer.weight)[1] for consumer in self.consumers(layer))
            if self.settings.outgoing == "mean":
                outgoing = outgoing / self.num_consumers(layer)
            magnitudes.append((incoming, outgoing))
        return magnitudes

    def update_utility(self, state: dict[str, Array], features: Array, incoming: Array, outgoing: Array) -> Array:
        """Age the units and update their averages; returns their utility, not yet bias-corrected, (R, H).

        features   (R, F, B)   with outgoing (R, F) and incoming (R, H); the utility of a unit with several features is
                               their mean
        """
        settings, num_units = self.settings, state["age"].shape[-1]
        state["age"] += 1
        update_average(state["correction"], 1, settings.decay_rate)
        centre = self.update_mean_feature(state, features) if self.follows_mean else None
        if settings.utility == "random":  # `step` draws it where something is replaced
            return state["utility"]
        if settings.average == "lifetime_activity":
            state["utility"] += (1 - settings.decay_rate) * unit_mean(batch_mean(abs(features)), num_units)
            outgoing = unit_mean(outgoing, num_units)
            return outgoing if settings.utility == "weight" else outgoing * state["utility"]
        incoming = repeat(incoming, features.shape[-2])
        utility = instantaneous_utility(settings.utility, features, centre, incoming, outgoing)
        update_average(state["utility"], unit_mean(utility, num_units), settings.decay_rate)
        return state["utility"]

    def update_mean_feature(self, state: dict[str, Array], features: Array) -> Array:
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
        """Replace units, named by `runs` and `units` (K,), and reset their statistics."""
        network, seeds = self.network, self.network.seeds[runs]
        runs = xp.asarray(runs)
        if self.settings.transfer_bias:
            removed = xp.zeros_like(state["age"])  # (R, H)
            removed[runs, units] = (state["mean_feature"] / state["correction"])[runs, units]
            by_unit = layer.outgoing_weight(layer.outgoing.weight).sum(axis=-1)  # (R, O, H)
            bias = layer.outgoing_bias.bias
            bias += (by_unit @ removed[..., None]).reshape(bias.shape)
        replace_units(layer, runs, units, seeds, step, self.settings.fresh_weights)
        if self.optimizer:
            reset_optimizer_state(self.optimizer, network, layer, runs, units)
        for consumer in self.consumers(layer)[1:]:
            for array in (network.parameters, *self.optimizer_arrays()):
                weight = network.views(array)[consumer.index]["weight"]
                layer.outgoing_weight(weight)[runs, :, units] = 0
        kept = ("utility",) if self.settings.average == "lifetime_activity" else ()  # as published: never reset
        for name, array in state.items():
            if name not in kept:
                array[runs, units] = 0

    def optimizer_arrays(self) -> list[Array]:
        """Where `reset_optimizer_state` is set, what the optimizer keeps for each parameter."""
        arrays = self.optimizer.state.values() if self.optimizer else ()
        return [array for array in arrays if array.shape == self.network.parameters.shape]
