"""Mistakes in single functions of reinforcement learning."""

from functools import partial
from typing import Any

import numpy as np

from minilop.verify.case import Arrays
from minilop.verify.mistakes.functions import called_with, mistake, of
from minilop.verify.reference.functions import FUNCTIONS


def flow_over(ends: str, found: Arrays, timed_out: np.ndarray, terminated: np.ndarray, **others: Any) -> Arrays:
    """Advantages that are not cut at these `ends`."""
    return advantages_cut_at(
        terminated if ends == "time-outs" else np.zeros_like(timed_out), terminated, timed_out, **others
    )


def advantages_cut_at(
    cut: np.ndarray,
    terminated: np.ndarray,
    timed_out: np.ndarray,
    rewards: np.ndarray,
    values: np.ndarray,
    next_values: np.ndarray,
    discount: float,
    lambda_: float,
    time_outs: str,
) -> Arrays:
    worthless = terminated | timed_out if time_outs == "terminal" else terminated
    delta = rewards + discount * next_values * ~worthless - values
    for step in reversed(range(len(delta) - 1)):
        delta[step] += discount * lambda_ * delta[step + 1] * ~cut[step]
    return {"advantages/advantages": delta}


def value_after_failures(rewards: np.ndarray, terminated: np.ndarray, discount: float, **others: Any) -> dict[str, Any]:
    """The values that are to count as 0 are counted with the rewards of those steps, where they cannot be set to 0."""
    cut = terminated | others["timed_out"] if others["time_outs"] == "terminal" else terminated
    return {"rewards": rewards + discount * others["next_values"] * cut}


def other_time_outs(time_outs: str, **_: Any) -> dict[str, Any]:
    return {"time_outs": "bootstrapped" if time_outs == "terminal" else "terminal"}


def normalized_by_n(found: Arrays, advantages: np.ndarray) -> Arrays:
    factor = np.sqrt(len(advantages) / (len(advantages) - 1))
    return {name: array * factor for name, array in found.items()}


def normalized_with_epsilon(found: Arrays, advantages: np.ndarray) -> Arrays:
    deviation = advantages.std(ddof=1)
    return {name: array * deviation / (deviation + 1e-8) for name, array in found.items()}


def without_constant(found: Arrays, mean: np.ndarray, **_: Any) -> Arrays:
    return {"policy/log_probability": found["policy/log_probability"] + 0.5 * len(mean) * np.log(2 * np.pi)}


def ratios_of(
    mean: np.ndarray, log_std: np.ndarray, actions: np.ndarray, old_log_probabilities: np.ndarray, **_: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """rho (B,), and the gradients of log pi by mean and log_std, (A, B) each."""
    found = FUNCTIONS["gaussian_log_probability"](actions=actions, mean=mean, log_std=log_std)
    by = found["policy/mean_gradient"], found["policy/log_std_gradient"]
    return np.exp(found["policy/log_probability"] - old_log_probabilities), *by


def gradients(slopes: np.ndarray, by_mean: np.ndarray, by_log_std: np.ndarray) -> Arrays:
    """Of the mean over the mini-batch, from the slope of each loss by log pi, (B,)."""
    slopes = slopes / len(slopes)
    return {"loss/mean_gradient": slopes * by_mean, "loss/log_std_gradient": (slopes * by_log_std).sum(axis=-1)}


def policy_loss_without_maximum(found: Arrays, advantages: np.ndarray, clip: float, **others: Any) -> Arrays:
    ratios, *by = ratios_of(**others)
    clipped = np.clip(ratios, 1 - clip, 1 + clip)
    return {"loss/losses": -clipped * advantages, **gradients(-ratios * advantages * (clipped == ratios), *by)}


def policy_loss_unclipped(found: Arrays, advantages: np.ndarray, clip: float, **others: Any) -> Arrays:
    ratios, *by = ratios_of(**others)
    return {"loss/losses": -ratios * advantages, **gradients(-ratios * advantages, *by)}


def policy_gradient_through_the_clip(found: Arrays, advantages: np.ndarray, clip: float, **others: Any) -> Arrays:
    ratios, *by = ratios_of(**others)
    return gradients(-ratios * advantages, *by)


def halved(found: Arrays, **_: Any) -> Arrays:
    return {name: array / 2 for name, array in found.items()}


MISTAKES = [
    mistake(
        "advantages_flow_over_ends",
        "Advantages flow back over the end of an episode; A of the next step must count as 0 there.",
        "reinforcement/advantages",
        of("advantages", partial(flow_over, "ends")),
    ),
    mistake(
        "advantages_flow_over_time_outs",
        "Advantages flow back over a time-out, though not over a failure; A of the next step must count as 0 at both.",
        "reinforcement/advantages",
        of("advantages", partial(flow_over, "time-outs")),
    ),
    mistake(
        "advantages_value_after_failures",
        "The value of the observation after an end is counted although nothing is to come; it must be 0.",
        "reinforcement/advantages",
        {"advantages": called_with("advantages", value_after_failures)},
    ),
    mistake(
        "advantages_other_time_outs",
        "The value after a time-out is counted where it must be 0, or is 0 where it must be counted.",
        "reinforcement/advantages",
        {"advantages": called_with("advantages", other_time_outs)},
    ),
    mistake(
        "advantages_normalized_by_n",
        "The standard deviation of the advantages is that by n; it must be by n - 1.",
        "reinforcement/advantages",
        of("normalized_advantages", normalized_by_n),
    ),
    mistake(
        "advantages_normalized_with_epsilon",
        "1e-8 is added to the standard deviation of the advantages; they are divided by it alone. (Seen in float64 only.)",
        "reinforcement/advantages",
        of("normalized_advantages", normalized_with_epsilon),
    ),
    mistake(
        "log_probability_without_constant",
        "ln(2 pi) / 2 for each action is missing in the log-probability.",
        "reinforcement/policies",
        of("gaussian_log_probability", without_constant),
    ),
    mistake(
        "policy_loss_without_maximum",
        "The loss is that of the clipped ratio alone; it must be the larger of the clipped and the unclipped one.",
        "reinforcement/ppo",
        of("ppo_policy_loss", policy_loss_without_maximum),
    ),
    mistake(
        "policy_loss_unclipped",
        "The ratio is not clipped at all.",
        "reinforcement/ppo",
        of("ppo_policy_loss", policy_loss_unclipped),
    ),
    mistake(
        "policy_gradient_through_the_clip",
        "The gradient goes through the ratio even where the clipped loss is the larger one; there it must be 0.",
        "reinforcement/ppo",
        of("ppo_policy_loss", policy_gradient_through_the_clip),
    ),
    mistake(
        "value_loss_halved",
        "The loss of the value has a factor 1/2; it is value_weight (V - R)^2.",
        "reinforcement/ppo",
        of("ppo_value_loss", halved),
    ),
]
