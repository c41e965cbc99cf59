"""The learners of class-incremental CIFAR-100: those of the published configuration files, and ours for short runs.

The published `continual_backprop_rate_0.0001` is in the paper's extended data. The published base system, `backprop`,
and hence all published learners have weight decay. Our `backprop` has none, because weight decay alone hides most of
the loss of plasticity within so few steps. Our remedies have weight decay, and `l2` is weight decay alone.
"""

from minilop.learner_settings import LearnerSettings
from minilop.optimizers import SGD
from minilop.plasticity import ContinualBackprop, ShrinkAndPerturb


def _learners(
    backprop: LearnerSettings, decayed: LearnerSettings, perturb_scale: float, rate: float, maturity_threshold: int
) -> dict[str, LearnerSettings]:
    """The base system, the remedies, which are built on `decayed`, and the two baselines that are reset."""
    continual_backprop = decayed.with_rules(
        ContinualBackprop(
            replacement_rate=rate,
            maturity_threshold=maturity_threshold,
            utility="contribution",
            average="lifetime_activity",
            bias_correction=False,
            rate_counts="all",
            fresh_weights="normal",
        )
    )
    return {
        "backprop": backprop,
        "l2": decayed,
        "shrink_and_perturb": decayed.with_rules(ShrinkAndPerturb(perturb_scale=perturb_scale)),
        "continual_backprop": continual_backprop,
        "head_reset": backprop.change(reset="head"),
        "retrained": backprop.change(reset="parameters"),
        "continual_backprop_rate_0.0001": continual_backprop.change(replacement_rate=1e-4),
    }


MAIN_LEARNERS = ("backprop", "shrink_and_perturb", "continual_backprop", "head_reset", "retrained")

_BACKPROP = LearnerSettings(SGD(step_size=0.1, momentum=0.9, weight_decay=5e-4))
PUBLISHED_LEARNERS = _learners(_BACKPROP, _BACKPROP, perturb_scale=1e-5, rate=1e-5, maturity_threshold=1000)

_SMALL = LearnerSettings(SGD(step_size=0.05, momentum=0.9))
SMALL_LEARNERS = _learners(
    _SMALL, _SMALL.change(weight_decay=3e-3), perturb_scale=1e-3, rate=1e-4, maturity_threshold=100
)
