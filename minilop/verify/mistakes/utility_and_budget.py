"""Mistakes of rules that replace units, in judging: who is worth how much, who is dormant, and how many are due."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minilop.backend import Array, xp
from minilop.networks import HiddenLayer
from minilop.plasticity.units import batch_mean, repeat, unit_mean
from minilop.verify.case import Arrays, Case
from minilop.verify.reference.continual_backprop import ReplacementBudget
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

    def utility_of(self, state: dict[str, Array], features: Array, incoming: Array, outgoing: Array) -> Array:
        eta, before = self.settings.decay_rate, state["utility"].copy()
        super().utility_of(state, features, incoming, outgoing)
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
        return self.num_consumers(layer) if self.settings.outgoing == "mean" else 1


class CentreNotCorrected(RecordedContinualBackprop):
    def update_mean_feature(self, state: dict[str, Array], features: Array) -> Array:
        before = state["mean_feature"].copy()
        super().update_mean_feature(state, features)
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
    def after_update(self, values: list[Array], gradients: Any, step: int) -> Any:
        """The size of the mean in place of the mean of the size: every example shows the mean."""
        means = [xp.broadcast_to(value.mean(axis=-1, keepdims=True), value.shape) for value in values]
        return super().after_update(means, gradients, step)


class StrictlyBelow(RecordedReDo):
    def replace(self, layer: HiddenLayer, runs: Array, units: Array, step: int) -> None:
        activity = next(array for each, array in zip(self.network.hidden, self.activity) if each is layer)
        threshold = self.redo_threshold * activity.mean(axis=-1)
        below = xp.nonzero(activity[runs, units] < threshold[runs])[0]
        super().replace(layer, runs[below], units[below], step)


# --- how many are due -------------------------------------------------------------------------------------------------


class OtherBudget(RecordedContinualBackprop):
    """A rule with another bookkeeping."""

    budget_class: type[ReplacementBudget]

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.budgets = [
            self.budget_class(budget.seeds, budget.layer, budget.num_units, self.settings) for budget in self.budgets
        ]


class CountsAll(ReplacementBudget):
    def __init__(self, *args: Any):
        super().__init__(*args)
        self.count(np.zeros_like(self.eligible))

    def count(self, newly_eligible: np.ndarray) -> None:
        super().count(newly_eligible)
        self.added_per_step = self.replacement_rate * np.full(len(self.seeds), self.num_units)


class BudgetCountsImmature(OtherBudget):
    budget_class = CountsAll


class ResetsToZero(ReplacementBudget):
    def num_to_replace(self, step: int) -> np.ndarray | None:
        number = super().num_to_replace(step)
        if number is not None:
            self.units_to_replace[...] = 0
        return number


class BudgetResetToZero(OtherBudget):
    budget_class = ResetsToZero
