"""The learners of Continual ImageNet: those of the published tables, and ours for minutes instead of days.

Published: the configuration files of Dohare et al. (2024), all with momentum 0.9. The talk calls Adam, dropout, batch
normalization and other activations worse than plain backprop without giving their settings; those here are ours, and so
is the step size of `linear`. The published layer-style file runs Continual Backprop twice over; here it runs once.
"""

from dataclasses import replace

from minilop.layers.activation import ActivationName
from minilop.learner import LearnerSettings

STEP_SIZES = (0.03, 0.01, 0.003, 0.001, 0.0001)
ACTIVATIONS: tuple[ActivationName, ...] = ("tanh", "sigmoid", "leaky_relu", "elu", "swish")


def _variants(backprop: LearnerSettings, adam_step_size: float) -> dict[str, LearnerSettings]:
    """What the talk calls worse than `backprop`, and the two levels that all are compared with."""
    return {
        "adam": replace(backprop, optimizer="adam", momentum=0.0, step_size=adam_step_size),
        "dropout": replace(backprop, dropout=0.1),
        "batch_norm": replace(backprop, batch_norm=True),
        "linear": replace(backprop, network="linear"),
        "fresh": replace(backprop, begin_anew="network"),
        **{name: replace(backprop, activation=name) for name in ACTIVATIONS},
        **{f"backprop_step_{size:g}": replace(backprop, step_size=size) for size in STEP_SIZES},
    }


def _in_layer_style(continual_backprop: LearnerSettings) -> LearnerSettings:
    """The variant that is part of the backward pass in the published code."""
    return replace(
        continual_backprop, decay_rate=0.0, utility="contribution", rate_counts="eligible", when="before_update"
    )


_BACKPROP = LearnerSettings(step_size=0.01, momentum=0.9)
_CONTINUAL_BACKPROP = replace(_BACKPROP, replacement_rate=3e-4, maturity_threshold=100, rate_counts="all")
PUBLISHED_LEARNERS = {
    "backprop": _BACKPROP,
    "l2": replace(_BACKPROP, step_size=0.03, weight_decay=3e-6),
    "shrink_and_perturb": replace(_BACKPROP, weight_decay=1e-5, perturb_scale=1e-5),
    "continual_backprop": _CONTINUAL_BACKPROP,
    "continual_backprop_layer_style": _in_layer_style(_CONTINUAL_BACKPROP),
    **_variants(_BACKPROP, adam_step_size=1e-3),
}
MAIN_LEARNERS = (
    *("backprop", "l2", "shrink_and_perturb", "continual_backprop"),
    *("adam", "dropout", "batch_norm", "linear", "fresh"),
)

# Ours: a task has a hundred steps where the paper's has three thousand, so step size and remedies are stronger.
_SMALL = LearnerSettings(step_size=0.03, momentum=0.9)
_SMALL_CONTINUAL_BACKPROP = replace(_SMALL, replacement_rate=3e-3, maturity_threshold=100, rate_counts="all")
SMALL_LEARNERS = {
    "backprop": _SMALL,
    "l2": replace(_SMALL, weight_decay=1e-3),
    "shrink_and_perturb": replace(_SMALL, weight_decay=3e-3, perturb_scale=4e-3),
    "continual_backprop": _SMALL_CONTINUAL_BACKPROP,
    "continual_backprop_layer_style": _in_layer_style(_SMALL_CONTINUAL_BACKPROP),
    **_variants(_SMALL, adam_step_size=1e-3),
}
