"""The learners of Continual ImageNet: those of the published tables, and ours for runs of minutes or hours, not days.

Published are the configuration files of Dohare et al. (2024), all with momentum 0.9. According to the talk, Adam,
dropout, batch normalization and other activations are worse than plain backprop, but it gives no settings; those here,
the step size of `linear`, and the decay of `continual_backprop_l2` are ours. The published layer-style file applies
Continual Backprop twice; ours once.
"""

from dataclasses import replace

from minilop.layers.activation import ActivationName
from minilop.learner_settings import LearnerSettings
from minilop.optimizers import SGD, Adam
from minilop.plasticity import ContinualBackprop, L2Init, ShrinkAndPerturb

STEP_SIZES = (0.03, 0.01, 0.003, 0.001, 0.0001)
ACTIVATIONS: tuple[ActivationName, ...] = ("tanh", "sigmoid", "leaky_relu", "elu", "swish")


def _variants(backprop: LearnerSettings, adam_step_size: float) -> dict[str, LearnerSettings]:
    """Variants that the talk calls worse than `backprop`, and the two reference levels `linear` and `fresh`."""
    return {
        "adam": replace(backprop, optimizer=Adam(step_size=adam_step_size)),
        "dropout": backprop.change(dropout=0.1),
        "batch_norm": backprop.change(batch_norm=True),
        "linear": backprop.change(kind="linear"),
        "fresh": backprop.change(reset="network"),
        **{name: backprop.change(activation=name) for name in ACTIVATIONS},
        **{f"backprop_step_{size:g}": backprop.change(step_size=size) for size in STEP_SIZES},
    }


def _continual_backprop(backprop: LearnerSettings, rate: float, weight_decay: float) -> dict[str, LearnerSettings]:
    """The rule alone and with decay, and the variant that the published code applies within the backward pass.

    For the pairs, Continual Backprop is published alone; for CIFAR-100 and the ant, it has a little weight decay.
    """
    continual_backprop = backprop.with_rules(ContinualBackprop(replacement_rate=rate, rate_counts="all"))
    return {
        "continual_backprop": continual_backprop,
        "continual_backprop_l2": continual_backprop.change(weight_decay=weight_decay),
        "continual_backprop_layer_style": backprop.with_rules(
            ContinualBackprop(replacement_rate=rate, decay_rate=0.0, utility="contribution", when="before_update")
        ),
    }


_BACKPROP = LearnerSettings(SGD(step_size=0.01, momentum=0.9))
PUBLISHED_LEARNERS = {
    "backprop": _BACKPROP,
    "l2": _BACKPROP.change(step_size=0.03, weight_decay=3e-6),
    "l2_init": _BACKPROP.with_rules(L2Init(init_decay=1e-3)),  # ours; not tried at this scale
    "shrink_and_perturb": _BACKPROP.change(weight_decay=1e-5).with_rules(ShrinkAndPerturb(perturb_scale=1e-5)),
    **_continual_backprop(_BACKPROP, rate=3e-4, weight_decay=1e-5),
    **_variants(_BACKPROP, adam_step_size=1e-3),
}
MAIN_LEARNERS = (
    *("backprop", "l2", "shrink_and_perturb", "continual_backprop"),
    *("adam", "dropout", "batch_norm", "linear", "fresh"),
)


def _short_task_learners(step_size: float, perturb_scale: float) -> dict[str, LearnerSettings]:
    """Ours: a task has at most 200 steps, not 3,000 as in the paper, so the step size and the remedies are stronger."""
    backprop = LearnerSettings(SGD(step_size=step_size, momentum=0.9))
    l2 = backprop.change(weight_decay=2e-3)
    return {
        "backprop": backprop,
        "l2": l2,
        "l2_init": backprop.with_rules(L2Init(init_decay=1e-3)),
        "shrink_and_perturb": l2.with_rules(ShrinkAndPerturb(perturb_scale=perturb_scale)),
        **_continual_backprop(backprop, rate=1e-3, weight_decay=2e-3),
        **_variants(backprop, adam_step_size=1e-3),
    }


SMALL_LEARNERS = _short_task_learners(step_size=0.05, perturb_scale=4e-3)
OVERNIGHT_LEARNERS = _short_task_learners(step_size=0.03, perturb_scale=3e-3)
