"""Continual Backprop with every convention of the cases: one run, unit by unit, independent of the library.

`minilop/plasticity/continual_backprop.py` explains the algorithm (Dohare et al., Nature 632, 2024, Algorithm 1) and has
the conventions that our learners use. This file shares no code with it, so that each can be checked against the other.
A step first updates the utilities and selects units in all layers; then it replaces the selected units, layer by layer.

Only the kit has these conventions:

    option           value                        source
    utility          four more, see below         the published code, gnt.py
    average          lifetime_activity of weight  the published code for the residual network, as for contribution
    centre           previous                     the preprint arXiv:2108.06325; the published code has "updated"
    transfer_bias    yes                          the preprint; the published code reads a mean already set to 0
    shortcuts        cut                          ours; the published code ignores shortcuts of a residual network

In the utilities, O is the mean or summed magnitude of a unit's outgoing weights, I is the mean magnitude of its
incoming weights, h is its feature, and f is its running mean feature; |.| is averaged over the mini-batch:

    contribution             O |h|               the paper's, eq. (1)
    weight                   O
    adaptation               1 / I
    zero_contribution        O |h - f|
    adaptable_contribution   O |h - f| / I       the published code's
    feature_by_input         |h - f| / I
    random                   a new uniform number, drawn when units are replaced

The mean feature f is always divided by 1 - eta^a, where a is the current age. This holds for the mean on which a
utility is centered (`centre`: updated or previous) and for the mean that `transfer_bias` adds to the consumers' biases
(always the updated one). `bias_correction` affects only the utility. With average=lifetime_activity,
u <- u + (1 - eta) |h|, and units are ranked by u times the current outgoing weights, or by these weights alone for
utility=weight. No bias correction applies then, and a replacement does not reset u.

In a residual network, the published code ranks and disconnects a unit using only the next listed convolution. If a
shortcut carries the unit's channel past this convolution, the new unit takes effect at once and changes the function.
With shortcuts=cut, the outgoing weights of a unit are those of every layer that its channel reaches without weights in
between, up to a 1 x 1 convolution or the head. All of them count in its utility and are set to zero, so that a new unit
has no effect. The drawback is that other units that add to the same channel are also disconnected until these weights
have grown again. The convention makes no difference for units inside a block and for those of the last block.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minilop.backend import Array
from minilop.verify.reference.replacement import Replacer, Units

CENTERED = ("zero_contribution", "adaptable_contribution", "feature_by_input")

# The utility of a feature on this mini-batch, from |h|, |h - f|, I and O.
UTILITIES: dict[str, Callable[..., Any]] = {
    "contribution": lambda activity, variation, incoming, outgoing: outgoing * activity,
    "weight": lambda activity, variation, incoming, outgoing: outgoing,
    "adaptation": lambda activity, variation, incoming, outgoing: 1 / incoming,
    "zero_contribution": lambda activity, variation, incoming, outgoing: outgoing * variation,
    "adaptable_contribution": lambda activity, variation, incoming, outgoing: outgoing * variation / incoming,
    "feature_by_input": lambda activity, variation, incoming, outgoing: variation / incoming,
}


class ContinualBackprop(Replacer):
    """Generate-and-test on all hidden layers of a network."""

    def step(self, values: list[Array], step: int, draws: Mapping[str, Any]) -> None:
        """Update the utilities from the features in `values` and the current weights; replace the selected units."""
        self.begin(values, step, draws)
        self.generate_and_test()
        self.end()
        self.record_step()

    def generate_and_test(self) -> None:
        chosen = [self.update_and_select(units) for units in self.layers]
        for units, which in zip(self.layers, chosen):
            self.replace_all(units, which)

    def update_and_select(self, units: Units) -> list[int]:
        self.update_utilities(units)
        return self.select(units)

    def replace_all(self, units: Units, which: list[int]) -> None:
        for unit in which:
            self.replace(units, unit)

    # --- utility ------------------------------------------------------------------------------------------------------

    def update_utilities(self, units: Units) -> None:
        """Update the age, the running averages and the ranking score of all units."""
        for unit in range(units.num_units):
            units.age[unit] += 1
            self.update_utility(units, unit, self.update_mean_feature(units, unit))
            units.ranking_score[unit] = self.ranking_score(units, unit)
        self.record_utility(units)

    def correction(self, units: Units, unit: int) -> float:
        """1 - eta^age, the running average of a constant 1."""
        return 1 - self.settings.decay_rate ** units.age[unit]

    def update_mean_feature(self, units: Units, unit: int) -> float:
        """Update f. Returns the mean on which features are centered, according to `centre`."""
        eta, before = self.settings.decay_rate, units.mean_feature[unit]
        units.mean_feature[unit] = eta * before + (1 - eta) * units.features[unit].mean()
        centre = before if self.settings.centre == "previous" else units.mean_feature[unit]
        return self.corrected_centre(units, unit, centre)

    def corrected_centre(self, units: Units, unit: int, centre: float) -> float:
        return centre / self.correction(units, unit)

    def update_utility(self, units: Units, unit: int, centre: float) -> None:
        eta, features = self.settings.decay_rate, units.features[unit]
        if self.settings.average == "lifetime_activity":
            units.utility[unit] += (1 - eta) * np.mean([self.activity(h) for h in features])
        elif self.settings.utility != "random":
            new = self.instantaneous_utility(units, unit, centre)
            units.utility[unit] = eta * units.utility[unit] + (1 - eta) * new

    def instantaneous_utility(self, units: Units, unit: int, centre: float) -> float:
        """The mean utility of a unit's features on this mini-batch."""
        incoming, utility = self.incoming(units, unit), UTILITIES[self.settings.utility]
        pairs = zip(units.features[unit], self.outgoing(units, unit))
        return float(np.mean([utility(self.activity(h), abs(h - centre).mean(), incoming, o) for h, o in pairs]))

    def incoming(self, units: Units, unit: int) -> np.floating:
        """I, the mean magnitude of the incoming weights of a unit."""
        return abs(self.views[units.layer.incoming.index]["weight"][unit]).mean()

    def outgoing(self, units: Units, unit: int) -> np.ndarray:
        """O, the mean or summed magnitude of the outgoing weights, of each feature of a unit, (F,)."""
        by_feature = [
            weight[:, unit].reshape(len(weight), units.features.shape[1], -1).swapaxes(1, 2)
            for weight in self.outgoing_views(self.views, units)
        ]
        sizes = self.magnitude(np.concatenate([weight.reshape(-1, weight.shape[-1]) for weight in by_feature]))
        return sizes.mean(axis=0) if self.settings.outgoing == "mean" else sizes.sum(axis=0)

    def magnitude(self, outgoing_weights: np.ndarray) -> np.ndarray:
        return abs(outgoing_weights)

    def ranking_score(self, units: Units, unit: int) -> float:
        """The number by which a unit is ranked; the lowest are replaced first."""
        settings, utility = self.settings, units.utility[unit]
        if settings.utility == "random":
            return self.draws[f"random_utility/{units.number}"][unit]
        if settings.average == "lifetime_activity":
            return self.outgoing(units, unit).mean() * (1 if settings.utility == "weight" else utility)
        return utility / self.utility_divisor(units, unit)

    def utility_divisor(self, units: Units, unit: int) -> float:
        """The divisor of the running average of the utility."""
        return self.correction(units, unit) if self.settings.bias_correction else 1

    # --- selection ----------------------------------------------------------------------------------------------------

    def select(self, units: Units) -> list[int]:
        """The units to replace, at most all eligible ones."""
        eligible = [unit for unit in range(units.num_units) if self.is_eligible(units, unit)]
        wanted = self.num_to_replace(
            units, self.settings.replacement_rate * self.num_counted_units(units, len(eligible))
        )
        number = min(wanted, len(eligible))
        if self.settings.rounding != "chance":
            units.units_to_replace[0] -= self.num_subtracted(units, wanted, number)
        return sorted(self.candidates(units, eligible), key=lambda unit: self.sort_key(units, unit))[:number]

    def is_eligible(self, units: Units, unit: int) -> bool:
        return units.age[unit] > self.settings.maturity_threshold

    def num_counted_units(self, units: Units, num_eligible: int) -> int:
        """The number of units by which the replacement rate is multiplied."""
        return units.num_units if num_eligible and self.settings.rate_counts == "all" else num_eligible

    def num_to_replace(self, units: Units, quota: float) -> int:
        """The number of units to replace, given the `quota` that this step adds: replacement rate times units.

        accumulate   the integer part of the running total c; c keeps the fraction
        single       one unit if c exceeds 1 (the paper's convention)
        chance       one unit with probability `quota`, or the integer part of a quota of at least 1
        """
        if self.settings.rounding == "chance":
            return int(quota) or int(float(self.draws[f"replacement_coin/{units.number}"]) < quota)
        units.units_to_replace[0] += quota
        return int(self.exceeds_one(units)) if self.settings.rounding == "single" else int(units.units_to_replace[0])

    def exceeds_one(self, units: Units) -> bool:
        return units.units_to_replace[0] > 1

    def num_subtracted(self, units: Units, wanted: int, number: int) -> float:
        """The number subtracted from c when `number` of `wanted` units are replaced."""
        return number

    def candidates(self, units: Units, eligible: list[int]) -> list[int]:
        return eligible

    def sort_key(self, units: Units, unit: int) -> tuple[float, int]:
        """The lowest score comes first; ties go to the lowest index. 0 / 0 (no variation, no inputs) counts as 0."""
        return (0.0 if np.isnan(units.ranking_score[unit]) else units.ranking_score[unit]), unit

    # --- replacement --------------------------------------------------------------------------------------------------

    def replace(self, units: Units, unit: int) -> None:
        if self.settings.transfer_bias:
            self.transfer_bias(units, unit)
        super().replace(units, unit)
        for name in self.reset_statistics():
            getattr(units, name)[unit] = 0

    def transfer_bias(self, units: Units, unit: int) -> None:
        """Add the unit's mean output to the biases of its consumers."""
        mean = units.mean_feature[unit] / self.correction(units, unit)
        weight = next(self.outgoing_views(self.views, units))
        bias = self.views[units.layer.outgoing_bias.index]["bias"]
        bias += (weight[:, unit].sum(axis=-1) * mean).reshape(bias.shape)

    def reset_statistics(self) -> tuple[str, ...]:
        """The quantities of a unit that become 0; as in the published code, the lifetime activity does not."""
        return ("age", "mean_feature", *(() if self.settings.average == "lifetime_activity" else ("utility",)))

    # --- recording ----------------------------------------------------------------------------------------------------

    def statistics(self) -> tuple[str, ...]:
        """The names of the units' state, which is recorded at every step."""
        utility = () if self.settings.utility == "random" else ("utility",)
        follows_mean = self.settings.utility in CENTERED or self.settings.transfer_bias
        return ("age", *utility, *(("mean_feature",) if follows_mean else ()))

    def record_utility(self, units: Units) -> None:
        for name in self.statistics():
            self.record_units("age_and_utility", name, units)
        if self.settings.bias_correction and self.settings.average == "utility" and self.settings.utility != "random":
            self.record.write_units(f"age_and_utility/bias_corrected_utility/{units.number}", units.ranking_score)
        units.is_mature = units.age > self.settings.maturity_threshold

    def record_step(self) -> None:
        for units in self.layers:
            self.record_units("selection", "replaced", units)
        for units in self.layers:
            if self.settings.rounding != "chance":
                self.record.write_units(f"selection/units_to_replace/{units.number}", units.units_to_replace)
            self.record_margins(units)
        self.record.write_parameters("replacement")
        for units in self.layers:
            for name in self.statistics():
                self.record_units("replacement", name, units)

    def record_margins(self, units: Units) -> None:
        """Record the margins of the two choices of this step: how many units, and which ones."""
        rate, replaced, mature = self.settings.replacement_rate, units.replaced, units.is_mature
        if self.settings.rounding == "chance":
            quota = rate * self.num_counted_units(units, int(mature.sum()))
            if mature.any():
                coin = float(self.draws[f"replacement_coin/{units.number}"])
                self.record.record_margin("how_many", abs(coin - quota))
        elif rate * 1024 % 1:  # otherwise the total is exact in any floating-point format
            left = float(units.units_to_replace[0])
            self.record.record_margin("how_many", min(abs(1 - left), left if replaced.any() else 1.0))
        others = mature & ~replaced
        least = units.ranking_score[others].min(initial=np.inf)
        if replaced.any() and 0 < least < np.inf:  # 0 and infinity are exact in any floating-point format
            size = units.ranking_score[np.isfinite(units.ranking_score)].max()
            self.record.record_margin("which_unit", float((least - units.ranking_score[replaced].max()) / size))
