"""Mistakes of Continual Backprop in the utility of units and in the time at which it is computed."""

from dataclasses import replace
from typing import Any

import numpy as np

from minilop.backend import Array, to_host
from minilop.verify.mistakes.conditions import (
    Family,
    contributes,
    corrects,
    every,
    follows_mean,
    has,
    has_mini_batch,
    is_mlp,
    replaces,
    uses,
)
from minilop.verify.reference.continual_backprop import ContinualBackprop
from minilop.verify.reference.learners import LearnerReference
from minilop.verify.reference.replacement import Units

CONTINUAL_BACKPROP = "minilop/plasticity/continual_backprop.py"
UTILITY = "minilop/plasticity/utility.py"
REFERENCE = "minilop/verify/reference/continual_backprop.py"  # what only the kit has

MISTAKES = Family()


@MISTAKES.from_class("raw_running_average", CONTINUAL_BACKPROP, corrects)
class RawAverage(ContinualBackprop):
    """Units are ranked by the uncorrected running average of their utility; it must be divided by 1 - "
    "decay_rate^age."""

    def utility_divisor(self, units: Units, unit: int) -> float:
        return 1


@MISTAKES.from_class("correction_by_step", CONTINUAL_BACKPROP, corrects)
class CorrectionByStep(ContinualBackprop):
    """Running averages are divided by 1 - decay_rate^t, where t is the number of steps; t must be the unit's age."""

    def correction(self, units: Units, unit: int) -> float:
        return 1 - self.settings.decay_rate ** (self.num_steps + 1)


@MISTAKES.from_class("signed_activation", UTILITY, every(contributes, has(activation="tanh")))
class SignedActivity(ContinualBackprop):
    """The contribution uses the mean of a unit's features; it must use the mean of their absolute values."""

    def activity(self, h: np.ndarray) -> np.floating:
        return h.mean()


@MISTAKES.from_class("absolute_of_mean", UTILITY, every(contributes, has(activation="tanh"), has_mini_batch))
class AbsoluteOfMean(ContinualBackprop):
    """The contribution uses the absolute value of the mini-batch's mean feature; it must use the mean of the absolute
    values."""

    def activity(self, h: np.ndarray) -> np.floating:
        return abs(h.mean())


@MISTAKES.from_class("activity_summed_over_mini_batch", UTILITY, every(contributes, has_mini_batch))
class SumOverMiniBatch(ContinualBackprop):
    """The contribution uses the sum of |h| over the mini-batch; it must use the mean."""

    def activity(self, h: np.ndarray) -> np.floating:
        return abs(h).sum()


@MISTAKES.from_class(
    "signed_outgoing_weights",
    UTILITY,
    every(replaces, is_mlp, has(utility=("contribution", "weight", "zero_contribution", "adaptable_contribution"))),
)
class SignedOutgoingWeights(ContinualBackprop):
    """The utility sums the signed outgoing weights; it must sum their absolute values."""

    def magnitude(self, outgoing_weights: np.ndarray) -> np.ndarray:
        return outgoing_weights


MISTAKES.from_settings(
    "outgoing_mean_for_sum",
    UTILITY,
    {"outgoing": "mean"},
    every(replaces, has(outgoing="sum")),
    "The utility uses the mean of the absolute outgoing weights; this case requires their sum.",
)


MISTAKES.from_settings(
    "outgoing_sum_for_mean",
    UTILITY,
    {"outgoing": "sum"},
    every(replaces, has(outgoing="mean")),
    "The utility uses the sum of the absolute outgoing weights; this case requires their mean.",
)


MISTAKES.from_settings(
    "corrected_running_average",
    CONTINUAL_BACKPROP,
    {"bias_correction": True},
    every(replaces, has(bias_correction=False, average="utility")),
    "Units are ranked by the running average divided by 1 - decay_rate^age; this case requires the average itself.",
)


MISTAKES.from_settings(
    "lifetime_activity_ignored",
    CONTINUAL_BACKPROP,
    {"utility": "weight"},
    every(replaces, has(average="lifetime_activity", utility="contribution")),
    "Units are ranked only by their outgoing weights; this case requires these times the lifetime activity.",
)


MISTAKES.from_settings(
    "lifetime_activity_counted",
    REFERENCE,
    {"utility": "contribution"},
    every(replaces, has(average="lifetime_activity", utility="weight")),
    "Units are ranked by their outgoing weights times the lifetime activity; this case requires only the weights.",
)


@MISTAKES.from_class("decay_rate_swapped", CONTINUAL_BACKPROP, every(replaces, uses("decay_rate")))
class DecayRateSwapped(ContinualBackprop):
    """decay_rate is the weight of the new value in running averages; it must be the weight of the old average."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.settings = replace(self.settings, decay_rate=1 - self.settings.decay_rate)


@MISTAKES.from_class("centre_not_corrected", UTILITY, follows_mean)
class CentreNotCorrected(ContinualBackprop):
    """Features are centered on the uncorrected running mean; it must be divided by 1 - decay_rate^age."""

    def corrected_centre(self, units: Units, unit: int, centre: float) -> float:
        return centre


MISTAKES.from_settings(
    "centre_is_previous_mean",
    REFERENCE,
    {"centre": "previous"},
    every(replaces, has(centre="updated")),
    "Features are centered on the running mean from before this mini-batch; this case requires the updated mean.",
)


MISTAKES.from_settings(
    "centre_is_updated_mean",
    REFERENCE,
    {"centre": "updated"},
    every(replaces, has(centre="previous")),
    "Features are centered on the updated running mean; this case requires the mean from before this mini-batch.",
)


class OldWeights(ContinualBackprop):
    before_update: np.ndarray

    def update_utilities(self, units: Units) -> None:
        present, self.views = self.views, self.network.views(self.before_update)
        super().update_utilities(units)
        self.views = present


@MISTAKES.from_class("utility_before_update", CONTINUAL_BACKPROP, every(replaces, has(when="after_update")))
class UtilityBeforeUpdate(LearnerReference):
    """Utilities use the weights from before the optimizer's step; they must use the weights after it."""

    def __init__(self) -> None:
        super().__init__(rule=OldWeights)

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        self.rules[0].before_update = to_host(self.network.parameters)[0].copy()  # type: ignore[union-attr]
        super().update(values, output_gradients)


MISTAKES.from_settings(
    "replaced_before_update",
    CONTINUAL_BACKPROP,
    {"when": "before_update"},
    every(replaces, has(when="after_update")),
    "Units are replaced before the optimizer's step; this case requires replacement after it.",
)


MISTAKES.from_settings(
    "replaced_after_update",
    CONTINUAL_BACKPROP,
    {"when": "after_update"},
    every(replaces, has(when="before_update")),
    "Units are replaced after the optimizer's step; this case requires replacement before it.",
)


MISTAKES.from_settings(
    "shortcuts_ignored",
    REFERENCE,
    {"shortcuts": "ignored"},
    every(replaces, has(shortcuts="cut")),
    "Weights reached through shortcuts are ignored; they must count in the utility and be set to 0 in this case.",
)
