"""Stationary Ant: a body of four legs learns to run by PPO on a floor that never changes, and may unlearn it.

The task need not change, because an agent's data change as its policy changes. In the paper, standard PPO is at its
best after 3 of 50 million steps and declines from there; Continual Backprop with a little L2 keeps improving.

`problems/ant/learning.py` lists the measures and the differences between the paper, the published code and ours.
"""

from dataclasses import replace

from minilop.experiment.figures import Figure
from minilop.experiment.problem import Scale
from minilop.experiment.results import ResultSet
from minilop.experiment.saving import Animation
from problems import slippery_ant
from problems.ant.figures import ant_animations, ant_figures
from problems.ant.learning import data_source, start

__all__ = ["SCALES", "TITLE", "animations", "data_source", "figures", "start"]

TITLE = "Stationary Ant: reinforcement learning of running on a floor that never changes"
_SHOWN = ("ppo", "ppo_tuned_adam", "ppo_l2", "ppo_continual_backprop")  # in the paper
_LENGTHS: dict[str, dict[str, int]] = {
    "smoke": {},
    "laptop": {"steps_in_all": 1_024_000},
    "overnight": {},
    "paper": {"steps_in_all": 50_000_000, "bin_size": 250_000},
}
_DEFAULT_LEARNERS = dict.fromkeys(_LENGTHS, _SHOWN) | {"overnight": ("ppo", "ppo_l2", "ppo_continual_backprop")}


def _stationary(name: str, scale: Scale) -> Scale:
    """The same agents on a floor that never changes."""
    settings = replace(scale.settings, change_period=0, **_LENGTHS[name])
    return replace(
        scale,
        settings=settings,
        learners={learner: scale.learners[learner] for learner in scale.learners if learner != "ppo_fresh"},
        default_learners=_DEFAULT_LEARNERS[name],
        seconds=scale.seconds * settings.steps_in_all / scale.settings.steps_in_all,
    )


SCALES = {name: _stationary(name, scale) for name, scale in slippery_ant.SCALES.items()}


def figures(results: ResultSet) -> dict[str, Figure]:
    """Rewards, diagnostics of the policies, and walks of two learners."""
    return ant_figures(results, "Stationary Ant")


def animations(results: ResultSet) -> dict[str, Animation]:
    """Animations of the same walks."""
    return ant_animations(results, "Stationary Ant")
