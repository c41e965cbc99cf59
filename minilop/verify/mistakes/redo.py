"""Mistakes of ReDo in judging who is dormant."""

import numpy as np

from minilop.verify.mistakes.conditions import Family, both, has, has_mini_batch, is_mlp, redoes, uses
from minilop.verify.reference.redo import ReDo
from minilop.verify.reference.replacement import Units

REDO = "minilop/plasticity/redo.py"

MISTAKES = Family()


@MISTAKES.made_by("redo_share_of_sum", REDO, both(redoes, is_mlp, uses("redo_threshold")))
class ShareOfSum(ReDo):
    """A unit's activity is compared with the sum over its layer; it must be with the mean."""

    def score(self, units: Units, unit: int) -> float:
        return float(units.activity[unit] / units.activity.sum())


@MISTAKES.made_by("redo_strictly_below", REDO, both(redoes, has(redo_threshold=0.0)))
class StrictlyBelow(ReDo):
    """Units are dormant below the threshold; they must be at it, too, or silent ones stay where it is 0."""

    def is_dormant(self, units: Units, unit: int) -> bool:
        return super().is_dormant(units, unit) and self.score(units, unit) < self.settings.redo_threshold


@MISTAKES.made_by("redo_signed_activity", REDO, both(redoes, has(activation="tanh"), has_mini_batch))
class SignedReDo(ReDo):
    """The score takes the absolute value of the mini-batch's mean feature; it must be the mean of absolute values."""

    def activity(self, h: np.ndarray) -> np.floating:
        return abs(h.mean())
