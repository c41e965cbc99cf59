"""Slippery Ant: a body of four legs learns to run by PPO while the friction of the floor changes again and again.

In the paper, standard PPO does well on the first floor and worse and worse on later ones. Adam with equal betas helps
for a while; L2 and Continual Backprop lose little. `ppo_fresh` is reset on every floor and shows what an agent without
a past reaches.

`problems/ant/learning.py` lists the measures and the differences between the paper, the published code and ours.
"""

from dataclasses import replace

from minilop.experiment.figures import Figure
from minilop.experiment.problem import Scale
from minilop.experiment.results import ResultSet
from minilop.experiment.saving import Animation
from problems.ant.figures import ant_animations, ant_figures
from problems.ant.learners import OVERNIGHT_LEARNERS, PUBLISHED_LEARNERS, SMALL_LEARNERS
from problems.ant.learning import data_source, start
from problems.ant.settings import Settings

__all__ = ["SCALES", "TITLE", "animations", "data_source", "figures", "start"]

TITLE = "Slippery Ant: reinforcement learning of running on floors of changing friction"

# Ours, for runs of minutes: many environments side by side, so few updates from much data; small networks, large steps.
_LAPTOP = Settings(
    num_environments=128,
    num_steps=32,
    num_epochs=5,
    mini_batch_size=1024,
    hidden_units=(64, 64),
    discount=0.97,
    lambda_=0.9,
    initial_log_std=-0.7,
    time_outs="bootstrapped",
    substeps=2,
    substep_seconds=0.025,
    control_cost=0.1,
    control_cost_of="clipped_action",
    healthy_reward=0.2,
    steps_in_all=1_638_400,
    change_period=204_800,
    lowest_friction=0.1,
    change_at="at_once",
    bin_size=51_200,
)

# Ours, for hours: each rollout is learned from in eight times as many mini-batches as at laptop scale, with smaller
# steps, on ten floors as published.
_OVERNIGHT = replace(
    _LAPTOP,
    num_epochs=10,
    mini_batch_size=256,
    steps_in_all=10_035_200,
    change_period=1_003_520,
    bin_size=100_352,
)

SCALES = {
    "smoke": Scale(
        replace(
            _LAPTOP,
            num_environments=8,
            num_steps=8,
            mini_batch_size=32,
            hidden_units=(8, 8),
            steps_in_all=1024,
            change_period=512,
            bin_size=256,
            time_limit=50,
            num_pose_steps=20,
        ),
        SMALL_LEARNERS,
        default_learners=tuple(SMALL_LEARNERS),
        runs=2,
        block=5,
        seconds=0.5,
    ),
    "laptop": Scale(_LAPTOP, SMALL_LEARNERS, default_learners=tuple(SMALL_LEARNERS), runs=5, block=5, seconds=130),
    "overnight": Scale(
        _OVERNIGHT,
        OVERNIGHT_LEARNERS,
        default_learners=("ppo", "ppo_tuned_adam", "ppo_l2", "ppo_continual_backprop"),
        runs=5,
        block=5,
        seconds=1800,
    ),
    "paper": Scale(
        Settings(), PUBLISHED_LEARNERS, default_learners=tuple(PUBLISHED_LEARNERS), runs=30, block=30, seconds=250_000
    ),
}


def figures(results: ResultSet) -> dict[str, Figure]:
    """Rewards, diagnostics of the policies, and walks of two learners."""
    return ant_figures(results, "Slippery Ant")


def animations(results: ResultSet) -> dict[str, Animation]:
    """Animations of the same walks."""
    return ant_animations(results, "Slippery Ant")
