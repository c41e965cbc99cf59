"""Mistakes of Continual Backprop in judging units: who is worth how much, and when that is asked."""

from dataclasses import replace
from typing import Any

import numpy as np

from minilop.backend import Array, to_host
from minilop.verify.mistakes.conditions import (
    Family,
    both,
    contributes,
    corrects,
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


@MISTAKES.made_by("raw_running_average", CONTINUAL_BACKPROP, corrects)
class RawAverage(ContinualBackprop):
    """Units are ranked by the running average of their utility itself; it must first be divided by 1 - decay_rate^age."""

    def divisor(self, units: Units, unit: int) -> float:
        return 1


@MISTAKES.made_by("correction_by_step", CONTINUAL_BACKPROP, corrects)
class CorrectionByStep(ContinualBackprop):
    """Running averages are divided by 1 - decay_rate^t of the steps since the start; t must be the age of the unit."""

    def correction(self, units: Units, unit: int) -> float:
        return 1 - self.settings.decay_rate ** (self.num_steps + 1)


@MISTAKES.made_by("signed_activation", UTILITY, both(contributes, has(activation="tanh")))
class SignedActivity(ContinualBackprop):
    """The contribution takes the mean of a unit's features; it must be that of their absolute values."""

    def activity(self, h: np.ndarray) -> np.floating:
        return h.mean()


@MISTAKES.made_by("absolute_of_mean", UTILITY, both(contributes, has(activation="tanh"), has_mini_batch))
class AbsoluteOfMean(ContinualBackprop):
    """The contribution takes the absolute value of the mini-batch's mean feature; it must be the mean of absolute
    values."""

    def activity(self, h: np.ndarray) -> np.floating:
        return abs(h.mean())


@MISTAKES.made_by("activity_summed_over_mini_batch", UTILITY, both(contributes, has_mini_batch))
class SumOverMiniBatch(ContinualBackprop):
    """The contribution sums |h| over the mini-batch; it must be the mean."""

    def activity(self, h: np.ndarray) -> np.floating:
        return abs(h).sum()


@MISTAKES.made_by(
    "signed_outgoing_weights",
    UTILITY,
    both(
        replaces,
        is_mlp,
        has(utility=("contribution", "weight", "zero_contribution", "adaptable_contribution")),
    ),
)
class SignedOutgoingWeights(ContinualBackprop):
    """The utility sums outgoing weights with their signs; it must sum their absolute values."""

    def size(self, outgoing_weights: np.ndarray) -> np.ndarray:
        return outgoing_weights


MISTAKES.changed(
    "outgoing_mean_for_sum",
    UTILITY,
    {"outgoing": "mean"},
    both(replaces, has(outgoing="sum")),
    "The utility takes the mean of the absolute outgoing weights; this case asks for their sum.",
)


MISTAKES.changed(
    "outgoing_sum_for_mean",
    UTILITY,
    {"outgoing": "sum"},
    both(replaces, has(outgoing="mean")),
    "The utility takes the sum of the absolute outgoing weights; this case asks for their mean.",
)


MISTAKES.changed(
    "corrected_running_average",
    CONTINUAL_BACKPROP,
    {"bias_correction": True},
    both(replaces, has(bias_correction=False, average="utility")),
    "Units are ranked by the running average divided by 1 - decay_rate^age; this case asks for the average itself.",
)


MISTAKES.changed(
    "lifetime_activity_ignored",
    CONTINUAL_BACKPROP,
    {"utility": "weight"},
    both(replaces, has(average="lifetime_activity", utility="contribution")),
    "Units are ranked by their outgoing weights alone; this case asks for these times the lifetime activity.",
)


MISTAKES.changed(
    "lifetime_activity_counted",
    REFERENCE,
    {"utility": "contribution"},
    both(replaces, has(average="lifetime_activity", utility="weight")),
    "Units are ranked by their outgoing weights times the lifetime activity; this case asks for the weights alone.",
)


@MISTAKES.made_by("decay_rate_swapped", CONTINUAL_BACKPROP, both(replaces, uses("decay_rate")))
class DecayRateSwapped(ContinualBackprop):
    """decay_rate is the share of the new value in running averages; it must be that of the old one."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.settings = replace(self.settings, decay_rate=1 - self.settings.decay_rate)


@MISTAKES.made_by("centre_not_corrected", UTILITY, follows_mean)
class CentreNotCorrected(ContinualBackprop):
    """Features are centred on the running mean itself; it must first be divided by 1 - decay_rate^age."""

    def corrected_centre(self, units: Units, unit: int, centre: float) -> float:
        return centre


MISTAKES.changed(
    "centre_is_previous_mean",
    REFERENCE,
    {"centre": "previous"},
    both(replaces, has(centre="updated")),
    "Features are centred on the running mean from before this mini-batch; this case asks for the updated one.",
)


MISTAKES.changed(
    "centre_is_updated_mean",
    REFERENCE,
    {"centre": "updated"},
    both(replaces, has(centre="previous")),
    "Features are centred on the updated running mean; this case asks for the one from before this mini-batch.",
)


class OldWeights(ContinualBackprop):
    before_update: np.ndarray

    def judge(self, units: Units) -> None:
        present, self.views = self.views, self.network.views(self.before_update)
        super().judge(units)
        self.views = present


@MISTAKES.made_by("utility_before_update", CONTINUAL_BACKPROP, both(replaces, has(when="after_update")))
class UtilityBeforeUpdate(LearnerReference):
    """Utilities are of the weights from before the optimizer's step; they must be of the weights after it."""

    def __init__(self) -> None:
        super().__init__(rule=OldWeights)

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        self.rules[0].before_update = to_host(self.network.parameters)[0].copy()  # type: ignore[union-attr]
        super().update(values, output_gradients)


MISTAKES.changed(
    "replaced_before_update",
    CONTINUAL_BACKPROP,
    {"when": "before_update"},
    both(replaces, has(when="after_update")),
    "Units are judged and replaced before the optimizer's step; this case asks for it after the step.",
)


MISTAKES.changed(
    "replaced_after_update",
    CONTINUAL_BACKPROP,
    {"when": "after_update"},
    both(replaces, has(when="before_update")),
    "Units are judged and replaced after the optimizer's step; this case asks for it before the step.",
)


MISTAKES.changed(
    "shortcuts_ignored",
    REFERENCE,
    {"shortcuts": "ignored"},
    both(replaces, has(shortcuts="cut")),
    "Weights that shortcuts lead to are ignored; this case asks for them to count in the utility and to be set to 0.",
)
