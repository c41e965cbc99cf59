"""Mistakes of rules that replace units, in replacing: what is kept, and what is fresh."""

import math

import numpy as np

from minilop.verify.mistakes.conditions import (
    Family,
    both,
    follows_mean,
    has,
    has_normalization,
    has_several_hidden_layers,
    idbd,
    is_random,
    keeps_state,
    leaves_moments,
    replaces,
    replaces_or_redoes,
    uses,
)
from minilop.verify.reference.continual_backprop import ContinualBackprop
from minilop.verify.reference.replacement import Replacer, Units

CONTINUAL_BACKPROP = "minilop/plasticity/continual_backprop.py"
REFERENCE = "minilop/verify/reference/continual_backprop.py"  # what only the kit has
UNITS = "minilop/plasticity/units.py"
INITIALIZATION = "minilop/initialization.py"
ADAM = "minilop/optimizers/adam.py"
NETWORK_IDBD = "minilop/optimizers/network_idbd.py"

MISTAKES = Family()


# --- what is kept of a replaced unit ----------------------------------------------------------------------------------


@MISTAKES.made_by("outgoing_weights_kept", UNITS, replaces_or_redoes)
class OutgoingWeightsKept(Replacer):
    """A replaced unit keeps its outgoing weights; they must be set to 0, so that the new unit is not heard yet."""

    def cut_off(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.made_by("incoming_bias_kept", UNITS, replaces_or_redoes)
class IncomingBiasKept(Replacer):
    """A replaced unit keeps its bias; it must be set to 0."""

    def reset_bias(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.made_by("normalization_kept", UNITS, both(replaces, has_normalization))
class NormalizationKept(Replacer):
    """A replaced unit keeps scale, bias and running statistics of its normalization; they must become 1, 0, 0 and 1."""

    def reset_normalization(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.made_by("consumers_bias_kept", REFERENCE, both(replaces, uses("transfer_bias")))
class ConsumersBiasKept(ContinualBackprop):
    """Consumers of a replaced unit keep their biases; its mean feature times its weight must be added to each."""

    def transfer_bias(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.made_by("age_kept", CONTINUAL_BACKPROP, replaces)
class AgeKept(ContinualBackprop):
    """A replaced unit keeps its age; it must become 0, or nothing protects the new unit."""

    def started_afresh(self) -> tuple[str, ...]:
        return tuple(name for name in super().started_afresh() if name != "age")


@MISTAKES.made_by(
    "utility_kept", CONTINUAL_BACKPROP, both(replaces, has(average="utility"), lambda case: not is_random(case))
)
class UtilityKept(ContinualBackprop):
    """A replaced unit keeps the running average of its utility; it must become 0."""

    def started_afresh(self) -> tuple[str, ...]:
        return ("age", "mean_feature")


@MISTAKES.made_by("lifetime_activity_reset", CONTINUAL_BACKPROP, both(replaces, has(average="lifetime_activity")))
class UtilityReset(ContinualBackprop):
    """A replaced unit's lifetime activity becomes 0; this convention, as published, keeps it."""

    def started_afresh(self) -> tuple[str, ...]:
        return ("age", "mean_feature", "utility")


@MISTAKES.made_by("mean_feature_kept", CONTINUAL_BACKPROP, follows_mean)
class MeanFeatureKept(ContinualBackprop):
    """A replaced unit keeps its mean feature; it must become 0."""

    def started_afresh(self) -> tuple[str, ...]:
        return tuple(name for name in super().started_afresh() if name != "mean_feature")


@MISTAKES.made_by("moments_kept", UNITS, keeps_state)
class OptimizerStateKept(Replacer):
    """The optimizer's state of a replaced unit's weights is kept (momentum, moments or step sizes); this case asks for
    it to be reset."""

    def reset_optimizer_state(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.made_by("moments_reset", UNITS, leaves_moments)
class OptimizerStateReset(Replacer):
    """Momentum or moments of a replaced unit's weights are set to 0; this case asks for them to be left as they are."""

    def replace(self, units: Units, unit: int) -> None:
        super().replace(units, unit)
        self.reset_optimizer_state(units, unit)


@MISTAKES.made_by("outgoing_moments_kept", UNITS, keeps_state)
class OutgoingStateKept(Replacer):
    """The optimizer's state is reset for the weights that enter a replaced unit alone; it must be for those that leave
    it, too."""

    def forget_outgoing(self, views: list[dict[str, np.ndarray]], units: Units, unit: int, value: float) -> None:
        pass


@MISTAKES.made_by("adam_step_kept", ADAM, both(keeps_state, has(optimizer="adam")))
class AdamStepKept(Replacer):
    """Moments of a replaced unit's weights are reset but not Adam's count of their steps; the bias correction must
    begin anew, too."""

    def states_of_weights(self) -> list[str]:
        return ["first_moment", "second_moment"]


@MISTAKES.made_by("step_sizes_reset_to_zero", NETWORK_IDBD, both(keeps_state, idbd))
class StepSizesResetToZero(Replacer):
    """The step sizes of a replaced unit's weights become 0; they must become the initial one, or the new unit never
    learns."""

    def fresh_state(self, name: str) -> float:
        return -math.inf if name == "log_step_sizes" else 0


@MISTAKES.made_by("step_sizes_reset_to_one", NETWORK_IDBD, both(keeps_state, idbd))
class StepSizesResetToOne(Replacer):
    """The logarithms of a replaced unit's step sizes become 0, and its step sizes 1; they must become the initial one."""

    def fresh_state(self, name: str) -> float:
        return -math.log(self.settings.step_size) if name == "log_step_sizes" else 0


# --- fresh weights ----------------------------------------------------------------------------------------------------


MISTAKES.changed(
    "fresh_weights_by_default_law",
    INITIALIZATION,
    {"initialization": "default"},
    both(replaces_or_redoes, has(initialization="kaiming", fresh_weights="initial")),
    "Fresh weights are drawn up to sqrt(1 / fan_in), PyTorch's default; the bound must be that of the initial law.",
)


@MISTAKES.made_by("fresh_weights_by_fan_out", INITIALIZATION, both(replaces_or_redoes, has(initialization="kaiming")))
class FreshWeightsByFanOut(Replacer):
    """Fresh weights are scaled by the number of units of the layer; it must be by the number of inputs of a unit."""

    def fan_in(self, units: Units) -> int:
        return units.num_units


@MISTAKES.made_by(
    "fresh_weights_without_gain",
    INITIALIZATION,
    both(replaces_or_redoes, has(initialization="kaiming", fresh_weights="initial")),
)
class FreshWeightsWithoutGain(Replacer):
    """The bound of fresh weights lacks the gain of the activation; it must be gain sqrt(3 / fan_in)."""

    def gain(self) -> float:
        return 1


@MISTAKES.made_by(
    "fresh_weights_by_first_layer",
    INITIALIZATION,
    both(replaces_or_redoes, has_several_hidden_layers, has(initialization="kaiming")),
)
class FreshWeightsByFirstLayer(Replacer):
    """Fresh weights of all layers have the bound of the first one; it must be that of their own number of inputs."""

    def fan_in(self, units: Units) -> int:
        return super().fan_in(self.layers[0])
