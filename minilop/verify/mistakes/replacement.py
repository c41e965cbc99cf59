"""Mistakes in the replacement of units: state that is not reset, and wrong fresh weights."""

import math

import numpy as np

from minilop.verify.mistakes.conditions import (
    Family,
    every,
    follows_mean,
    has,
    has_normalization,
    has_several_hidden_layers,
    idbd,
    is_random,
    keeps_state,
    leaves_moments,
    replaces,
    replaces_units,
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


# --- state of a replaced unit -----------------------------------------------------------------------------------------


@MISTAKES.from_class("outgoing_weights_kept", UNITS, replaces_units)
class OutgoingWeightsKept(Replacer):
    """A replaced unit keeps its outgoing weights; they must be set to 0, so that the new unit has no effect yet."""

    def zero_outgoing_weights(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.from_class("incoming_bias_kept", UNITS, replaces_units)
class IncomingBiasKept(Replacer):
    """A replaced unit keeps its bias; it must be set to 0."""

    def reset_bias(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.from_class("normalization_kept", UNITS, every(replaces, has_normalization))
class NormalizationKept(Replacer):
    """A replaced unit keeps scale, bias and running statistics of its normalization; they must be set to 1, 0, 0, 1."""

    def reset_normalization(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.from_class("consumers_bias_kept", REFERENCE, every(replaces, uses("transfer_bias")))
class ConsumersBiasKept(ContinualBackprop):
    """Consumers of a replaced unit keep their biases; its mean feature times its outgoing weight must be added to "
    "each."""

    def transfer_bias(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.from_class("age_kept", CONTINUAL_BACKPROP, replaces)
class AgeKept(ContinualBackprop):
    """A replaced unit keeps its age; the age must be set to 0, or nothing protects the new unit."""

    def reset_statistics(self) -> tuple[str, ...]:
        return tuple(name for name in super().reset_statistics() if name != "age")


@MISTAKES.from_class(
    "utility_kept", CONTINUAL_BACKPROP, every(replaces, has(average="utility"), lambda case: not is_random(case))
)
class UtilityKept(ContinualBackprop):
    """A replaced unit keeps the running average of its utility; the average must be set to 0."""

    def reset_statistics(self) -> tuple[str, ...]:
        return ("age", "mean_feature")


@MISTAKES.from_class("lifetime_activity_reset", CONTINUAL_BACKPROP, every(replaces, has(average="lifetime_activity")))
class UtilityReset(ContinualBackprop):
    """The lifetime activity of a replaced unit is set to 0; this convention keeps it, as the published code does."""

    def reset_statistics(self) -> tuple[str, ...]:
        return ("age", "mean_feature", "utility")


@MISTAKES.from_class("mean_feature_kept", CONTINUAL_BACKPROP, follows_mean)
class MeanFeatureKept(ContinualBackprop):
    """A replaced unit keeps its mean feature; the mean must be set to 0."""

    def reset_statistics(self) -> tuple[str, ...]:
        return tuple(name for name in super().reset_statistics() if name != "mean_feature")


@MISTAKES.from_class("moments_kept", UNITS, keeps_state)
class OptimizerStateKept(Replacer):
    """The optimizer's state of a replaced unit's weights (momentum, moments or step sizes) is kept; this case requires
    a reset."""

    def reset_optimizer_state(self, units: Units, unit: int) -> None:
        pass


@MISTAKES.from_class("moments_reset", UNITS, leaves_moments)
class OptimizerStateReset(Replacer):
    """Momentum or moments of a replaced unit's weights are set to 0; this case requires that they are kept."""

    def replace(self, units: Units, unit: int) -> None:
        super().replace(units, unit)
        self.reset_optimizer_state(units, unit)


@MISTAKES.from_class("outgoing_moments_kept", UNITS, keeps_state)
class OutgoingStateKept(Replacer):
    """The optimizer's state is reset only for the incoming weights of a replaced unit; it must be reset for the
    outgoing weights, too."""

    def reset_outgoing_state(self, views: list[dict[str, np.ndarray]], units: Units, unit: int, value: float) -> None:
        pass


@MISTAKES.from_class("adam_step_kept", ADAM, every(keeps_state, has(optimizer="adam")))
class AdamStepKept(Replacer):
    """The moments of a replaced unit's weights are reset but not Adam's step count for them; the bias correction must
    restart, too."""

    def per_weight_states(self) -> list[str]:
        return ["first_moment", "second_moment"]


@MISTAKES.from_class("step_sizes_reset_to_zero", NETWORK_IDBD, every(keeps_state, idbd))
class StepSizesResetToZero(Replacer):
    """The step sizes of a replaced unit's weights are set to 0; they must be set to the initial step size, or the new
    unit never learns."""

    def initial_state_value(self, name: str) -> float:
        return -math.inf if name == "log_step_sizes" else 0


@MISTAKES.from_class("step_sizes_reset_to_one", NETWORK_IDBD, every(keeps_state, idbd))
class StepSizesResetToOne(Replacer):
    """The log step sizes of a replaced unit are set to 0, so its step sizes are 1; they must be the initial step "
    "size."""

    def initial_state_value(self, name: str) -> float:
        return -math.log(self.settings.step_size) if name == "log_step_sizes" else 0


# --- fresh weights ----------------------------------------------------------------------------------------------------


MISTAKES.from_settings(
    "fresh_weights_by_default_law",
    INITIALIZATION,
    {"initialization": "default"},
    every(replaces_units, has(initialization="kaiming", fresh_weights="initial")),
    "Fresh weights have the bound sqrt(1 / fan_in), PyTorch's default; they must have that of the initial "
    "distribution.",
)


@MISTAKES.from_class("fresh_weights_by_fan_out", INITIALIZATION, every(replaces_units, has(initialization="kaiming")))
class FreshWeightsByFanOut(Replacer):
    """Fresh weights are scaled by the number of units in the layer; they must be scaled by the number of inputs."""

    def fan_in(self, units: Units) -> int:
        return units.num_units


@MISTAKES.from_class(
    "fresh_weights_without_gain",
    INITIALIZATION,
    every(replaces_units, has(initialization="kaiming", fresh_weights="initial")),
)
class FreshWeightsWithoutGain(Replacer):
    """The bound of fresh weights lacks the gain of the activation; it must be gain sqrt(3 / fan_in)."""

    def gain(self) -> float:
        return 1


@MISTAKES.from_class(
    "fresh_weights_by_first_layer",
    INITIALIZATION,
    every(replaces_units, has_several_hidden_layers, has(initialization="kaiming")),
)
class FreshWeightsByFirstLayer(Replacer):
    """Fresh weights of all layers have the bound of the first layer; the bound must use each layer's number of "
    "inputs."""

    def fan_in(self, units: Units) -> int:
        return super().fan_in(self.layers[0])
