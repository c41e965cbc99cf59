"""Mistakes of rules that replace units, in judging: who is worth how much, who is dormant, and how many are due."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minilop.backend import Array, xp
from minilop.networks import HiddenLayer
from minilop.plasticity.budget import ReplacementBudget
from minilop.plasticity.units import batch_mean, repeat, unit_mean
from minilop.verify.case import Arrays, Case
from minilop.verify.reference.learners import LearnerReference
from minilop.verify.reference.rules import RecordedContinualBackprop, RecordedReDo


class ChangedSettings(LearnerReference):
    """Other settings, which depend on the case."""

    def __init__(self, changes_of: Callable[[Case], dict[str, Any]]):
        super().__init__()
        self.changes_of = changes_of

    def load(self, case: Case, parameters: Arrays) -> None:
        self.changes = self.changes_of(case)
        super().load(case, parameters)


# --- judging ----------------------------------------------------------------------------------------------------------


class OtherActivity(RecordedContinualBackprop):
    """The contribution with something else in place of the mean of |h|."""

    def measure(self, state: dict[str, Array], features: Array, incoming: Array, outgoing: Array) -> Array:
        eta, before = self.settings.decay_rate, state["utility"].copy()
        super().measure(state, features, incoming, outgoing)
        worth = unit_mean(outgoing * self.activity(features), before.shape[-1])
        state["utility"][...] = eta * before + (1 - eta) * worth
        return state["utility"]

    def activity(self, features: Array) -> Array:
        return batch_mean(features)


class AbsoluteOfMean(OtherActivity):
    def activity(self, features: Array) -> Array:
        return abs(batch_mean(features))


class SumOverMiniBatch(OtherActivity):
    def activity(self, features: Array) -> Array:
        return abs(features).sum(axis=-1)


class SignedOutgoingWeights(RecordedContinualBackprop):
    def weight_magnitudes(self) -> list[tuple[Array, Array]]:
        return [
            (incoming, layer.outgoing.weight.sum(axis=-2) / self.divisor(layer))
            for layer, (incoming, _) in zip(self.network.hidden, super().weight_magnitudes())
        ]

    def divisor(self, layer: HiddenLayer) -> int:
        return layer.num_consumers() if self.settings.outgoing == "mean" else 1


class CentreNotCorrected(RecordedContinualBackprop):
    def follow_mean(self, state: dict[str, Array], features: Array) -> Array:
        before = state["mean_feature"].copy()
        super().follow_mean(state, features)
        return repeat(state["mean_feature"] if self.settings.centre == "updated" else before, features.shape[-2])


class OldWeights(RecordedContinualBackprop):
    before_update: list[tuple[Array, Array]]

    def weight_magnitudes(self) -> list[tuple[Array, Array]]:
        return self.before_update


class UtilityBeforeUpdate(LearnerReference):
    def __init__(self) -> None:
        super().__init__(rule=OldWeights)

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        assert isinstance(self.rule, OldWeights)
        self.rule.before_update = RecordedContinualBackprop.weight_magnitudes(self.rule)
        super().update(values, output_gradients)


class SignedReDo(RecordedReDo):
    def step(self, values: list[Array], step: int) -> None:
        """The size of the mean in place of the mean of the size: every example shows the mean."""
        means = [xp.broadcast_to(value.mean(axis=-1, keepdims=True), value.shape) for value in values]
        super().step(means, step)


class StrictlyBelow(RecordedReDo):
    def replace(self, layer: HiddenLayer, runs: Array, units: Array, step: int) -> None:
        activity = next(array for each, array in zip(self.network.hidden, self.activity) if each is layer)
        threshold = self.settings.redo_threshold * activity.mean(axis=-1)
        below = xp.nonzero(activity[runs, units] < threshold[runs])[0]
        super().replace(layer, runs[below], units[below], step)


# --- how many are due -------------------------------------------------------------------------------------------------


class OtherBudget(RecordedContinualBackprop):
    """A rule with another bookkeeping."""

    budget_class: type[ReplacementBudget]

    def __init__(self, *args: Any):
        super().__init__(*args)
        of = self.settings
        self.budgets = [
            self.budget_class(
                each.seeds,
                each.layer,
                each.num_units,
                of.replacement_rate,
                of.maturity_threshold,
                of.rate_counts,
                of.rounding,
            )
            for each in self.budgets
        ]


class CountsAll(ReplacementBudget):
    def __init__(self, *args: Any):
        super().__init__(*args)
        self._count(np.zeros_like(self.eligible))

    def _count(self, newly_eligible: np.ndarray) -> None:
        super()._count(newly_eligible)
        self.due_per_step = self.replacement_rate * np.full(len(self.seeds), self.num_units)
        self.certain = np.floor(self.due_per_step)


class BudgetCountsImmature(OtherBudget):
    budget_class = CountsAll


class ResetsToZero(ReplacementBudget):
    def due(self, step: int) -> np.ndarray | None:
        found = super().due(step)
        if found is not None:
            self.total[...] = 0
        return found


class BudgetResetToZero(OtherBudget):
    budget_class = ResetsToZero
