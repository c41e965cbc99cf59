"""Mistakes of ReDo in the selection of dormant units."""

import numpy as np

from minilop.verify.mistakes.conditions import Family, every, has, has_mini_batch, is_mlp, uses, uses_redo
from minilop.verify.reference.redo import ReDo
from minilop.verify.reference.replacement import Units

REDO = "minilop/plasticity/redo.py"

MISTAKES = Family()


@MISTAKES.from_class("redo_share_of_sum", REDO, every(uses_redo, is_mlp, uses("redo_threshold")))
class ShareOfSum(ReDo):
    """A unit's activity is divided by the sum over its layer; it must be divided by the mean."""

    def score(self, units: Units, unit: int) -> float:
        return float(units.activity[unit] / units.activity.sum())


@MISTAKES.from_class("redo_strictly_below", REDO, every(uses_redo, has(redo_threshold=0.0)))
class StrictlyBelow(ReDo):
    """Units are dormant below the threshold; units at the threshold must be, too, or a threshold of 0 finds none."""

    def is_dormant(self, units: Units, unit: int) -> bool:
        return super().is_dormant(units, unit) and self.score(units, unit) < self.settings.redo_threshold


@MISTAKES.from_class("redo_signed_activity", REDO, every(uses_redo, has(activation="tanh"), has_mini_batch))
class SignedReDo(ReDo):
    """The score uses the absolute value of the mini-batch's mean feature; it must use the mean of absolute values."""

    def activity(self, h: np.ndarray) -> np.floating:
        return abs(h.mean())
