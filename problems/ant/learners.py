"""The learners of the ant problems: PPO with and without remedies, as published, and ours for runs of minutes.

All published learners have a step size of 1e-4. "Standard" Adam has betas 0.9 and 0.999. "Tuned" Adam ("proper" in the
published files) has betas 0.99 and 0.99, and so do the remedies. `ppo_fresh` is ours: it is reset at every change of
friction and shows what a network without a past reaches.
"""

from minilop.learner_settings import LearnerSettings
from minilop.optimizers import Adam
from minilop.plasticity import ContinualBackprop, ReDo


def _learners(
    standard: LearnerSettings, decay: float, small_decay: float, rate: float, maturity: int, redo_period: int
) -> dict[str, LearnerSettings]:
    """Standard PPO, the remedies, and the reference level `ppo_fresh`.

    decay         weight decay of L2
    small_decay   weight decay of the remedies that are combined with L2
    """
    tuned = standard.change(beta_1=0.99, beta_2=0.99)
    decayed = tuned.change(weight_decay=small_decay)
    rule = ContinualBackprop(
        replacement_rate=rate, maturity_threshold=maturity, utility="contribution", rounding="chance"
    )
    return {
        "ppo": standard,
        "ppo_tuned_adam": tuned,
        "ppo_l2": tuned.change(weight_decay=decay),
        "ppo_continual_backprop": decayed.with_rules(rule),
        "ppo_redo": decayed.with_rules(ReDo(redo_period=redo_period, redo_threshold=0.1)),
        "ppo_fresh": tuned.change(reset="network"),
    }


PUBLISHED_LEARNERS = _learners(
    LearnerSettings(Adam(step_size=1e-4)), decay=1e-3, small_decay=1e-4, rate=1e-4, maturity=10_000, redo_period=100
)


def _faster_learners(step_size: float) -> dict[str, LearnerSettings]:
    """Ours: a larger step size for fewer steps, and remedies strong enough to act within them."""
    standard = LearnerSettings(Adam(step_size=step_size))
    return _learners(standard, decay=1e-3, small_decay=1e-4, rate=1e-3, maturity=500, redo_period=100)


SMALL_LEARNERS = _faster_learners(step_size=5e-3)
OVERNIGHT_LEARNERS = _faster_learners(step_size=1e-3)
