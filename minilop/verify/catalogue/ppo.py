"""The cases of PPO: a few complete updates in sequence, each on a given rollout.

The actions are arbitrary. The old log-probabilities are close to those of the initial policy, so that only some ratios
are clipped.
"""

from typing import Any

import numpy as np

from minilop import draws
from minilop.backend import to_host, xp
from minilop.reinforcement import PPO
from minilop.reinforcement.policies import log_probability, standardized
from minilop.verify.case import Arrays, Case
from minilop.verify.catalogue.description import Description
from minilop.verify.catalogue.examples import in_float32, normals
from minilop.verify.reference.ppo import PPOReference, ppo_arguments

SIZES = {"num_observations": 3, "num_actions": 2, "hidden_units": (5, 4), "num_environments": 2, "num_steps": 8}
SETTINGS: dict[str, Any] = {
    "num_epochs": 2,
    "mini_batch_size": 4,
    "discount": 0.97,
    "lambda_": 0.9,
    "clip": 0.2,
    "value_weight": 1.0,
    "time_outs": "terminal",
    "optimizer": "adam",
    "activation": "relu",
    "step_size": 0.01,
    "beta_1": 0.9,
    "beta_2": 0.99,
    "epsilon": 1e-8,
    "weight_decay": 0.0,
}

ROLLOUT = (
    "x is a rollout of T steps and N environments: observations and last_observations (T, I, N), actions (T, A, N), "
    "log_probabilities, rewards, terminated and timed_out (T, N). Sample t N + n is step t of environment n, and "
    "draws/order (epochs, M) the order in which each epoch shows the samples, a mini-batch after the other."
)

DESCRIPTIONS = [
    Description(
        "ppo/time_outs_terminal",
        "ppo",
        f"Three updates with Adam; after a time-out nothing is to come, as after a failure. {ROLLOUT}",
        SETTINGS,
        SIZES,
        steps=3,
        seed=251,
        flags=(
            "ppo_value_loss_halved",
            "ppo_loss_without_maximum",
            "ppo_gradient_through_the_clip",
            "ppo_advantages_flow_over_ends",
        ),
    ),
    Description(
        "ppo/time_outs_bootstrapped",
        "ppo",
        "Three updates with weight decay, also of log_std; after a time-out counts the value of the observation that "
        f"was cut off. {ROLLOUT}",
        {**SETTINGS, "time_outs": "bootstrapped", "activation": "tanh", "weight_decay": 0.01, "value_weight": 0.5},
        SIZES,
        steps=3,
        seed=252,
        flags=(
            "ppo_other_time_outs",
            "ppo_value_after_failures",
            "ppo_log_std_without_decay",
            "ppo_advantages_normalized_by_mini_batch",
            "ppo_advantages_normalized_by_n",
            "ppo_advantages_not_normalized",
            "ppo_old_probabilities_computed_anew",
        ),
    ),
]


def make_inputs(case: Case) -> Arrays:
    """The initial parameters, the rollouts, and the orders of the samples."""
    sizes, settings = case.sizes, case.settings
    steps, environments = sizes["num_steps"], sizes["num_environments"]

    def numbers(name: str, *features: int) -> np.ndarray:
        return normals(case.seed, f"verify {name}", (steps, *features, environments), case.steps)

    def ends(name: str) -> np.ndarray:
        return numbers(name) > 1.0  # about one step in six

    rollout = {
        "observations": numbers("observations", sizes["num_observations"]),
        "actions": numbers("actions", sizes["num_actions"]),
        "rewards": numbers("rewards"),
        "terminated": ends("terminated"),
        "timed_out": ends("timed out"),
        "last_observations": numbers("last observations", sizes["num_observations"]),
    }
    reference = PPOReference()
    reference.ppo = ppo = reference.kind(**ppo_arguments(case))
    ppo.log_std[...] = xp.asarray([-0.25, 0.125])
    noise = numbers("log probabilities") / 4
    rollout["log_probabilities"] = in_float32(present_log_probabilities(ppo, rollout) + noise)
    epochs = np.arange(case.steps * settings["num_epochs"])
    order = to_host(draws.permutation(case.seed, "order of samples", steps * environments, step=epochs))
    return {
        **{f"state/{name}": array for name, array in reference.state().items()},
        **{f"x/{name}": array for name, array in rollout.items()},
        "draws/order": order.reshape(case.steps, settings["num_epochs"], -1),  # (T, epochs, M)
    }


def present_log_probabilities(ppo: PPO, rollout: Arrays) -> np.ndarray:
    """The log-probabilities of all actions under the initial policy, (updates, T, N)."""
    found = [
        [
            to_host(log_probability(standardized(xp.asarray(a)[None], mean, ppo.log_std), ppo.log_std))[0]
            for a, mean in zip(actions, (ppo.policy.network.forward(xp.asarray(o)[None])[-1] for o in observations))
        ]
        for observations, actions in zip(rollout["observations"], rollout["actions"])
    ]
    return np.array(found)
