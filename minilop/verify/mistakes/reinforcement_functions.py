"""Mistakes in single functions of reinforcement learning."""

from functools import partial
from typing import Any

import numpy as np

from minilop.verify.case import Arrays
from minilop.verify.mistakes.functions import changed_arguments, changed_results, mistake
from minilop.verify.reference.functions import FUNCTIONS


def flow_over(ends: str, found: Arrays, timed_out: np.ndarray, terminated: np.ndarray, **others: Any) -> Arrays:
    """Advantages that flow across these `ends`."""
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
    """Adds the values that must be 0 to the rewards of their steps, where the function cannot set them to 0."""
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
    """rho (B,), and the gradients of log pi with respect to mean and log_std, each (A, B)."""
    found = FUNCTIONS["gaussian_log_probability"](actions=actions, mean=mean, log_std=log_std)
    by = found["policy/mean_gradient"], found["policy/log_std_gradient"]
    return np.exp(found["policy/log_probability"] - old_log_probabilities), *by


def gradients(slopes: np.ndarray, by_mean: np.ndarray, by_log_std: np.ndarray) -> Arrays:
    """The gradients of the mean loss, given the derivative of each loss with respect to log pi, (B,)."""
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
        "Advantages flow back across the end of an episode; the next step's advantage must count as 0 there.",
        "reinforcement/advantages",
        changed_results("advantages", partial(flow_over, "ends")),
    ),
    mistake(
        "advantages_flow_over_time_outs",
        "Advantages flow back across a truncation but not a termination; both must stop them.",
        "reinforcement/advantages",
        changed_results("advantages", partial(flow_over, "time-outs")),
    ),
    mistake(
        "advantages_value_after_failures",
        "The value after an end that counts as terminal is bootstrapped; it must be 0.",
        "reinforcement/advantages",
        {"advantages": changed_arguments("advantages", value_after_failures)},
    ),
    mistake(
        "advantages_other_time_outs",
        "The value after a truncation is bootstrapped where it must be 0, or 0 where it must be bootstrapped.",
        "reinforcement/advantages",
        {"advantages": changed_arguments("advantages", other_time_outs)},
    ),
    mistake(
        "advantages_normalized_by_n",
        "The standard deviation of the advantages divides by n; it must divide by n - 1.",
        "reinforcement/advantages",
        changed_results("normalized_advantages", normalized_by_n),
    ),
    mistake(
        "advantages_normalized_with_epsilon",
        "1e-8 is added to the standard deviation of the advantages; it must not be. (Visible only in float64.)",
        "reinforcement/advantages",
        changed_results("normalized_advantages", normalized_with_epsilon),
    ),
    mistake(
        "log_probability_without_constant",
        "The log-probability lacks -ln(2 pi) / 2 for each dimension of the action.",
        "reinforcement/policies",
        changed_results("gaussian_log_probability", without_constant),
    ),
    mistake(
        "policy_loss_without_maximum",
        "The loss uses only the clipped ratio; it must be the larger of the clipped and the unclipped loss.",
        "reinforcement/ppo",
        changed_results("ppo_policy_loss", policy_loss_without_maximum),
    ),
    mistake(
        "policy_loss_unclipped",
        "The ratio is not clipped; the loss must be the larger of the clipped and the unclipped loss.",
        "reinforcement/ppo",
        changed_results("ppo_policy_loss", policy_loss_unclipped),
    ),
    mistake(
        "policy_gradient_through_the_clip",
        "The gradient ignores the clipping; it must be 0 where the clipped loss is the larger one.",
        "reinforcement/ppo",
        changed_results("ppo_policy_loss", policy_gradient_through_the_clip),
    ),
    mistake(
        "value_loss_halved",
        "The value loss has an extra factor 1/2; it must be value_weight (V - R)^2.",
        "reinforcement/ppo",
        changed_results("ppo_value_loss", halved),
    ),
]
