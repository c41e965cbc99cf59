"""Continual Backprop with every convention that a case of the kit has: one run, unit by unit, apart from the library.

`minilop/plasticity/continual_backprop.py` explains the algorithm (Dohare et al., Nature 632, 2024, Algorithm 1) and has
the conventions that our learners use. Nothing of it is used here, so that each can be checked against the other. In a
step, the units of all layers are judged and chosen; then the chosen ones are replaced, layer by layer.

The kit alone has these conventions, for users who compare code that follows them:

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

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minilop.backend import Array
from minilop.verify.reference.replacement import Replacer, Units

CENTRED = ("zero_contribution", "adaptable_contribution", "feature_by_input")

# Of a feature on this mini-batch alone, from |h|, |h - f|, I and O.
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
        """Judge the units by their features in `values` and their present weights, and replace as many as are due."""
        self.begin(values, step, draws)
        self.generate_and_test()
        self.end()
        self.record_step()

    def generate_and_test(self) -> None:
        chosen = [self.judge_and_choose(units) for units in self.layers]
        for units, which in zip(self.layers, chosen):
            self.replace_all(units, which)

    def judge_and_choose(self, units: Units) -> list[int]:
        self.judge(units)
        return self.choose(units)

    def replace_all(self, units: Units, which: list[int]) -> None:
        for unit in which:
            self.replace(units, unit)

    # --- who is worth how much ----------------------------------------------------------------------------------------

    def judge(self, units: Units) -> None:
        """Age the units, bring their averages up to date, and find what they are ranked by."""
        for unit in range(units.num_units):
            units.age[unit] += 1
            self.update_utility(units, unit, self.update_mean_feature(units, unit))
            units.worth[unit] = self.rank(units, unit)
        self.record_judgement(units)

    def correction(self, units: Units, unit: int) -> float:
        """1 - eta^age: what the running average of ones would be."""
        return 1 - self.settings.decay_rate ** units.age[unit]

    def update_mean_feature(self, units: Units, unit: int) -> float:
        """Let f go on by a step; returns the mean that features are centred on, which `centre` chooses."""
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
            units.utility[unit] = eta * units.utility[unit] + (1 - eta) * self.present_utility(units, unit, centre)

    def present_utility(self, units: Units, unit: int, centre: float) -> float:
        """On this mini-batch alone: the mean of the utilities of a unit's features."""
        incoming, utility = self.incoming(units, unit), UTILITIES[self.settings.utility]
        each = [
            utility(self.activity(h), abs(h - centre).mean(), incoming, outgoing)
            for h, outgoing in zip(units.features[unit], self.outgoing(units, unit))
        ]
        return float(np.mean(each))

    def incoming(self, units: Units, unit: int) -> np.floating:
        """I of a unit."""
        return abs(self.views[units.layer.incoming.index]["weight"][unit]).mean()

    def outgoing(self, units: Units, unit: int) -> np.ndarray:
        """O of each feature of a unit, (F,)."""
        by_feature = [
            weight[:, unit].reshape(len(weight), units.features.shape[1], -1).swapaxes(1, 2)
            for weight in self.leaving(self.views, units)
        ]
        sizes = self.size(np.concatenate([weight.reshape(-1, weight.shape[-1]) for weight in by_feature]))
        return sizes.mean(axis=0) if self.settings.outgoing == "mean" else sizes.sum(axis=0)

    def size(self, outgoing_weights: np.ndarray) -> np.ndarray:
        return abs(outgoing_weights)

    def rank(self, units: Units, unit: int) -> float:
        """What a unit is ranked by."""
        settings, utility = self.settings, units.utility[unit]
        if settings.utility == "random":
            return self.draws[f"random_utility/{units.number}"][unit]
        if settings.average == "lifetime_activity":
            return self.outgoing(units, unit).mean() * (1 if settings.utility == "weight" else utility)
        return utility / self.divisor(units, unit)

    def divisor(self, units: Units, unit: int) -> float:
        """Of the running average of the utility."""
        return self.correction(units, unit) if self.settings.bias_correction else 1

    # --- how many, and which ------------------------------------------------------------------------------------------

    def choose(self, units: Units) -> list[int]:
        """The units to replace, never more than are eligible."""
        eligible = [unit for unit in range(units.num_units) if self.is_eligible(units, unit)]
        wanted = self.how_many(units, self.settings.replacement_rate * self.number_counted(units, len(eligible)))
        number = min(wanted, len(eligible))
        if self.settings.rounding != "chance":
            units.due[0] -= self.taken_off(units, wanted, number)
        return sorted(self.candidates(units, eligible), key=lambda unit: self.place(units, unit))[:number]

    def is_eligible(self, units: Units, unit: int) -> bool:
        return units.age[unit] > self.settings.maturity_threshold

    def number_counted(self, units: Units, num_eligible: int) -> int:
        """Of how many units the replacement rate is a fraction."""
        return units.num_units if num_eligible and self.settings.rate_counts == "all" else num_eligible

    def how_many(self, units: Units, due: float) -> int:
        """How many units to replace where `due` of a unit come due in this step.

        accumulate   whole parts of the running total c; c keeps its fraction
        single       one unit where c exceeds 1 (the paper's)
        chance       one unit with the probability `due`, or its whole part from 1 on
        """
        if self.settings.rounding == "chance":
            return int(due) or int(float(self.draws[f"replacement_coin/{units.number}"]) < due)
        units.due[0] += due
        return int(self.exceeds(units)) if self.settings.rounding == "single" else int(units.due[0])

    def exceeds(self, units: Units) -> bool:
        return units.due[0] > 1

    def taken_off(self, units: Units, wanted: int, number: int) -> float:
        """What c is less by, where `number` of `wanted` units are replaced."""
        return number

    def candidates(self, units: Units, eligible: list[int]) -> list[int]:
        return eligible

    def place(self, units: Units, unit: int) -> tuple[float, int]:
        """The least goes first, of equals the lowest index. 0 / 0 (no variation, no inputs) counts as 0."""
        return (0.0 if np.isnan(units.worth[unit]) else units.worth[unit]), unit

    # --- replacement --------------------------------------------------------------------------------------------------

    def replace(self, units: Units, unit: int) -> None:
        if self.settings.transfer_bias:
            self.transfer_bias(units, unit)
        super().replace(units, unit)
        for name in self.started_afresh():
            getattr(units, name)[unit] = 0

    def transfer_bias(self, units: Units, unit: int) -> None:
        """The biases of the consumers take over the unit's mean output."""
        mean = units.mean_feature[unit] / self.correction(units, unit)
        weight = next(self.leaving(self.views, units))
        bias = self.views[units.layer.outgoing_bias.index]["bias"]
        bias += (weight[:, unit].sum(axis=-1) * mean).reshape(bias.shape)

    def started_afresh(self) -> tuple[str, ...]:
        """What becomes 0 of a unit; its lifetime activity, as published, does not."""
        return ("age", "mean_feature", *(() if self.settings.average == "lifetime_activity" else ("utility",)))

    # --- recording ----------------------------------------------------------------------------------------------------

    def statistics(self) -> tuple[str, ...]:
        """What is recorded of units, and goes from step to step."""
        utility = () if self.settings.utility == "random" else ("utility",)
        follows_mean = self.settings.utility in CENTRED or self.settings.transfer_bias
        return ("age", *utility, *(("mean_feature",) if follows_mean else ()))

    def record_judgement(self, units: Units) -> None:
        for name in self.statistics():
            self.note("age_and_utility", name, units)
        if self.settings.bias_correction and self.settings.average == "utility" and self.settings.utility != "random":
            self.record.note(f"age_and_utility/bias_corrected_utility/{units.number}", units.worth)
        units.is_mature = units.age > self.settings.maturity_threshold

    def record_step(self) -> None:
        for units in self.layers:
            self.note("selection", "replaced", units)
        for units in self.layers:
            if self.settings.rounding != "chance":
                self.record.note(f"selection/units_to_replace/{units.number}", units.due)
            self.note_margins(units)
        self.record.write_parameters("replacement")
        for units in self.layers:
            for name in self.statistics():
                self.note("replacement", name, units)

    def note_margins(self, units: Units) -> None:
        """How far the choices of this step were from others: of how many units, and of which."""
        rate, replaced, mature = self.settings.replacement_rate, units.replaced, units.is_mature
        if self.settings.rounding == "chance":
            due = rate * self.number_counted(units, int(mature.sum()))
            if mature.any():
                coin = float(self.draws[f"replacement_coin/{units.number}"])
                self.record.note_margin("how_many", abs(coin - due))
        elif rate * 1024 % 1:  # or every arithmetic forms the total without rounding
            left = float(units.due[0])
            self.record.note_margin("how_many", min(abs(1 - left), left if replaced.any() else 1.0))
        others = mature & ~replaced
        least = units.worth[others].min(initial=np.inf)
        if replaced.any() and 0 < least < np.inf:  # what is 0 or infinite, is so in every arithmetic
            size = units.worth[np.isfinite(units.worth)].max()
            self.record.note_margin("which_unit", float((least - units.worth[replaced].max()) / size))
