"""Mistakes of rules that replace units, in replacing: what is kept, and what is fresh."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from minilop.backend import Array, to_host, xp
from minilop.networks import HiddenLayer
from minilop.plasticity.units import reset_optimizer_state
from minilop.verify.reference.learners import LearnerReference
from minilop.verify.reference.rules import RecordedContinualBackprop, RecordedReDo

# --- what is kept of a replaced unit ----------------------------------------------------------------------------------


class Replacing:
    """Part of a rule, of Continual Backprop's as of ReDo's: what it does other than `replace` does."""

    network: Any
    optimizer: Any

    def replace(self, layer: HiddenLayer, *args: Any) -> None:
        """args are, last, the runs, the units and the step; before them the state of units, if the rule has one."""
        kept = [(array, array.copy()) for array in self.kept(layer)]
        super().replace(layer, *args)  # type: ignore[misc]
        for array, copy in kept:
            array[...] = copy
        self.after(layer, args[-3], args[-2])

    def kept(self, layer: HiddenLayer) -> list[Array]:
        """Arrays that stay as they are."""
        return []

    def after(self, layer: HiddenLayer, runs: Array, units: Array) -> None:
        """What is done once more."""

    def touched(self, layer: HiddenLayer, runs: Array, units: Array) -> Array:
        """The weights that enter or leave the units, (1, P) of bool."""
        marks = xp.ones_like(self.network.parameters)
        marking: Any = SimpleNamespace(state={"marks": marks})
        reset_optimizer_state(marking, self.network, layer, runs, units)
        return marks == 0


def replacing(part: type[Replacing]) -> Callable[[], LearnerReference]:
    """A maker of references whose rules have this part."""
    rule: Any = type(part.__name__, (part, RecordedContinualBackprop), {})
    redo_rule: Any = type(part.__name__, (part, RecordedReDo), {})
    return partial(LearnerReference, rule=rule, redo_rule=redo_rule)


class OutgoingWeightsKept(Replacing):
    def kept(self, layer: HiddenLayer) -> list[Array]:
        return [consumer.weight for consumer in (layer.outgoing, *layer.shortcut_consumers)]


class IncomingBiasKept(Replacing):
    def kept(self, layer: HiddenLayer) -> list[Array]:
        return [layer.bias.bias]


class NormalizationKept(Replacing):
    def kept(self, layer: HiddenLayer) -> list[Array]:
        norm = layer.normalization
        return [norm.scale, norm.bias, norm.running_mean, norm.running_variance] if norm else []


class ConsumersBiasKept(Replacing):
    def kept(self, layer: HiddenLayer) -> list[Array]:
        return [layer.outgoing_bias.bias]


class OptimizerStateKept(Replacing):
    def kept(self, layer: HiddenLayer) -> list[Array]:
        return list(self.optimizer.state.values()) if self.optimizer else []


class AdamStepKept(Replacing):
    def kept(self, layer: HiddenLayer) -> list[Array]:
        return [self.optimizer.state[name] for name in ("first_correction", "second_correction")]


class OutgoingStateKept(Replacing):
    def kept(self, layer: HiddenLayer) -> list[Array]:
        views = [self.network.views(array)[layer.outgoing.index] for array in self.optimizer.state.values()]
        return [view["weight"] for view in views]


class StepSizesResetToZero(Replacing):
    def after(self, layer: HiddenLayer, runs: Array, units: Array) -> None:
        xp.copyto(self.optimizer.state["log_step_sizes"], -xp.inf, where=self.touched(layer, runs, units))


class StepSizesResetToOne(Replacing):
    def after(self, layer: HiddenLayer, runs: Array, units: Array) -> None:
        ratio = -xp.log(self.optimizer.step_size)  # of 1 to alpha_0
        beta = self.optimizer.state["log_step_sizes"]
        beta[...] = xp.where(self.touched(layer, runs, units), ratio, beta)


class StateOfUnitsKept(RecordedContinualBackprop):
    names: tuple[str, ...]

    def replace(self, layer: HiddenLayer, state: dict[str, Array], runs: np.ndarray, units: Array, step: int) -> None:
        kept = {name: state[name].copy() for name in self.names}
        super().replace(layer, state, runs, units, step)
        for name, array in kept.items():
            state[name][...] = array


class AgeKept(StateOfUnitsKept):
    """So the unit stays mature, and counts among those that may be replaced."""

    names = ("age", "correction")

    def step(self, values: list[Array], step: int) -> None:
        """Who is eligible follows from the ages; the budget's own count would have a replaced unit protected."""
        for state, budget in zip(self.state, self.budgets):
            budget.restore(budget.units_to_replace, to_host(state["age"]), step)
        super().step(values, step)


class UtilityKept(StateOfUnitsKept):
    names = ("utility",)


class MeanFeatureKept(StateOfUnitsKept):
    names = ("mean_feature",)


class UtilityReset(RecordedContinualBackprop):
    def replace(self, layer: HiddenLayer, state: dict[str, Array], runs: np.ndarray, units: Array, step: int) -> None:
        super().replace(layer, state, runs, units, step)
        state["utility"][xp.asarray(runs), units] = 0


# --- fresh weights ----------------------------------------------------------------------------------------------------


class FreshWeightsScaled(Replacing, ABC):
    """The unscaled draws are the same; only their scale is another."""

    def after(self, layer: HiddenLayer, runs: Array, units: Array) -> None:
        layer.incoming.weight[xp.asarray(runs), units] *= self.factor(layer)

    @abstractmethod
    def factor(self, layer: HiddenLayer) -> float:
        """That they are multiplied by, once they are right."""


class FreshWeightsByDefaultLaw(FreshWeightsScaled):
    def factor(self, layer: HiddenLayer) -> float:
        return math.sqrt(1 / layer.incoming.num_inputs) / layer.incoming.weight_bound


class FreshWeightsByFanOut(FreshWeightsScaled):
    def factor(self, layer: HiddenLayer) -> float:
        return math.sqrt(layer.incoming.num_inputs / layer.incoming.num_outputs)


class FreshWeightsWithoutGain(FreshWeightsScaled):
    def factor(self, layer: HiddenLayer) -> float:
        return math.sqrt(3 / layer.incoming.num_inputs) / layer.incoming.weight_bound
