"""The learners of the ant's problems: PPO as published and with its remedies, and the same for minutes.

All published ones share a step size of 1e-4; "standard" Adam has betas 0.9 and 0.999, "tuned" (the published files say
proper) 0.99 twice, and so have the remedies. `ppo_fresh` is ours: begun anew at every change of friction, it is the
level that a network without a past reaches.
"""

from dataclasses import replace

from minilop.learner import LearnerSettings


def _learners(
    standard: LearnerSettings, decay: float, small_decay: float, rate: float, maturity: int, redo_period: int
) -> dict[str, LearnerSettings]:
    """Standard PPO, its remedies, and the level they are compared with.

    decay, small_decay   of L2, and of the remedies that have L2 beside them
    """
    tuned = replace(standard, beta_1=0.99, beta_2=0.99)
    decayed = replace(tuned, weight_decay=small_decay)
    return {
        "ppo": standard,
        "ppo_tuned_adam": tuned,
        "ppo_l2": replace(tuned, weight_decay=decay),
        "ppo_continual_backprop": replace(
            decayed, replacement_rate=rate, maturity_threshold=maturity, utility="contribution", rounding="chance"
        ),
        "ppo_redo": replace(decayed, redo_period=redo_period, redo_threshold=0.1),
        "ppo_fresh": replace(tuned, begin_anew="network"),
    }


PUBLISHED_LEARNERS = _learners(
    LearnerSettings(optimizer="adam", step_size=1e-4),
    decay=1e-3,
    small_decay=1e-4,
    rate=1e-4,
    maturity=10_000,
    redo_period=100,
)

# Ours: larger steps for fewer of them, and remedies strong enough to act within so few.
SMALL_LEARNERS = _learners(
    LearnerSettings(optimizer="adam", step_size=5e-3),
    decay=1e-3,
    small_decay=1e-4,
    rate=1e-3,
    maturity=500,
    redo_period=100,
)
