"""Single functions of reinforcement learning.

The comments of the cases describe arguments and results (catalogue/reinforcement_functions.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minilop.backend import to_host, xp
from minilop.reinforcement.advantages import generalized_advantages, normalized
from minilop.reinforcement.policies import (
    log_probability,
    log_probability_gradients,
    policy_loss,
    standardized,
    value_loss,
)
from minilop.verify.case import Arrays
from minilop.verify.reference.one_run import on_device, on_host


def advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    next_values: np.ndarray,
    terminated: np.ndarray,
    timed_out: np.ndarray,
    discount: float,
    lambda_: float,
    time_outs: Any,
) -> Arrays:
    each = [xp.asarray(array)[:, None] for array in (rewards, values, next_values)]  # (T, 1, N)
    ends = [xp.asarray(array)[:, None] for array in (terminated, timed_out)]
    found = generalized_advantages(*each, *ends, discount, lambda_, time_outs)  # type: ignore[call-arg]
    return {"advantages/advantages": to_host(found)[:, 0]}


def normalized_advantages(advantages: np.ndarray) -> Arrays:
    return {"advantages/normalized_advantages": on_host(normalized(on_device(advantages)))}


def gaussian_log_probability(actions: np.ndarray, mean: np.ndarray, log_std: np.ndarray) -> Arrays:
    scale = on_device(log_std)
    z = standardized(on_device(actions), on_device(mean), scale)
    by_mean, by_log_std = log_probability_gradients(z, scale)
    return {
        "policy/log_probability": on_host(log_probability(z, scale)),
        "policy/mean_gradient": on_host(by_mean),
        "policy/log_std_gradient": on_host(by_log_std),
    }


def ppo_policy_loss(
    mean: np.ndarray,
    log_std: np.ndarray,
    actions: np.ndarray,
    old_log_probabilities: np.ndarray,
    advantages: np.ndarray,
    clip: float,
) -> Arrays:
    each, by_mean, by_log_std = policy_loss(
        on_device(mean),
        on_device(log_std),
        on_device(actions),
        on_device(old_log_probabilities),
        on_device(advantages),
        clip,
    )
    return {
        "loss/losses": on_host(each),
        "loss/mean_gradient": on_host(by_mean),
        "loss/log_std_gradient": on_host(by_log_std),
    }


def ppo_value_loss(values: np.ndarray, targets: np.ndarray, value_weight: float) -> Arrays:
    each, gradient = value_loss(on_device(values)[:, None], on_device(targets), value_weight)
    return {"loss/losses": on_host(each), "loss/value_gradient": on_host(gradient)[0]}


# --- margins of choices, by kind --------------------------------------------------------------------------------------


def margins_of_clipping(
    mean: np.ndarray, log_std: np.ndarray, actions: np.ndarray, old_log_probabilities: np.ndarray, clip: float, **_: Any
) -> dict[str, float]:
    scale = on_device(log_std)
    now = on_host(log_probability(standardized(on_device(actions), on_device(mean), scale), scale))
    ratios = np.exp(now - old_log_probabilities)
    return {"clipped": float(min(abs(ratios / (1 - clip) - 1).min(), abs(ratios / (1 + clip) - 1).min()))}


FUNCTIONS = (advantages, normalized_advantages, gaussian_log_probability, ppo_policy_loss, ppo_value_loss)
MARGINS: dict[str, Callable[..., dict[str, float]]] = {"ppo_policy_loss": margins_of_clipping}
