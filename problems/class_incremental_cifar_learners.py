"""The learners of class-incremental CIFAR-100: those of the published configuration files, and ours for minutes.

What differs between the published ones is all that is named; of the others, "continual_backprop_rate_0.0001" is in the
paper's extended data. The published `shrink_and_perturb` is the base system, weight decay included, with noise; ours has
decay and noise where our base system has neither.
"""

from dataclasses import replace

from minilop.learner import LearnerSettings


def _learners(
    backprop: LearnerSettings, shrink_and_perturb: LearnerSettings, replacement_rate: float, maturity_threshold: int
) -> dict[str, LearnerSettings]:
    """The base system, its remedies, and the two baselines that begin anew at every class increase."""
    continual_backprop = replace(
        backprop,
        replacement_rate=replacement_rate,
        maturity_threshold=maturity_threshold,
        utility="contribution",
        average="lifetime_activity",
        bias_correction=False,
        rate_counts="all",
        fresh_weights="normal",
    )
    return {
        "backprop": backprop,
        "shrink_and_perturb": shrink_and_perturb,
        "continual_backprop": continual_backprop,
        "head_reset": replace(backprop, begin_anew="head"),
        "retrained": replace(backprop, begin_anew="parameters"),
        "continual_backprop_rate_0.0001": replace(continual_backprop, replacement_rate=1e-4),
    }


MAIN_LEARNERS = ("backprop", "shrink_and_perturb", "continual_backprop", "head_reset", "retrained")

_BACKPROP = LearnerSettings(step_size=0.1, momentum=0.9, weight_decay=5e-4)
PUBLISHED_LEARNERS = _learners(
    _BACKPROP, replace(_BACKPROP, perturb_scale=1e-5), replacement_rate=1e-5, maturity_threshold=1000
)

# Ours: with fewer steps between two class increases the step size is larger, the base system has no weight decay, which
# would hide within so few steps what it loses, and remedies are stronger.
_SMALL = LearnerSettings(step_size=0.25, momentum=0.9)
SMALL_LEARNERS = _learners(
    _SMALL, replace(_SMALL, weight_decay=5e-4, perturb_scale=1e-3), replacement_rate=1e-3, maturity_threshold=100
)
