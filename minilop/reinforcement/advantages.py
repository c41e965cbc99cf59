"""Generalized advantage estimation (Schulman, Moritz, Levine, Jordan and Abbeel, ICLR 2016), backwards in time.

    delta_t = r_t + gamma V'_t - V(o_t)                     eq. (10)
    A_t     = delta_t + gamma lambda A_{t+1}                eq. (16), as a recursion
    R_t     = A_t + V(o_t)                                  what the value network learns

V'_t = V(o'_t) is the value of the observation that step t led to, before any reset. After an end the next step belongs to
another episode: A_{t+1} counts as 0. So it does at the end of the rollout, whose last V'_t stands for all that would
have come.

What is V'_t at an end? Where the task is failed there is nothing to come, so 0. A time limit is no property of the task:
whoever stands there could have gone on. `time_outs` says what to make of it:

    terminal       V' = 0 at time-outs too: the published code, whose `done` does not tell the two apart
    bootstrapped   V' = V(o') at time-outs (Pardo, Tavakoli, Levdik and Kormushev, ICML 2018)

A step that fails the task at the time limit has failed.
"""

from typing import Literal

from minilop.backend import Array, xp
from minilop.checks import check_choice

TimeOuts = Literal["terminal", "bootstrapped"]


def generalized_advantages(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    timed_out: Array,
    discount: float,
    lambda_: float,
    time_outs: TimeOuts = "terminal",
) -> Array:
    """The advantages of T steps, (T, R, N); every argument that is an array has this shape.

    values, next_values     V(o_t) and V(o'_t)
    terminated, timed_out   of bool: the step failed, or reached the time limit
    """
    check_choice("time_outs", time_outs, TimeOuts)
    ended = terminated | timed_out
    worthless = ended if time_outs == "terminal" else terminated
    nothing = xp.zeros_like(rewards)
    errors = rewards + discount * xp.where(worthless, nothing, next_values) - values  # delta
    decays = xp.where(ended, nothing, discount * lambda_)
    advantages = xp.empty_like(errors)
    advantage = nothing[0]  # (R, N)
    for step in reversed(range(len(errors))):
        advantage = xp.add(errors[step], decays[step] * advantage, out=advantages[step])
    return advantages


def normalized(advantages: Array) -> Array:
    """Advantages (R, M) of each run with mean 0 and standard deviation 1, by n - 1 and without an epsilon.

    Left as they are where all are equal, or one of them is not finite, as in the published code.
    """
    num_samples = advantages.shape[-1]
    deviations = advantages - advantages.mean(axis=-1, keepdims=True)
    variance = (deviations * deviations).sum(axis=-1, keepdims=True) / max(1, num_samples - 1)  # (R, 1)
    usable = xp.isfinite(variance) & (variance > 0)
    return xp.where(usable, deviations / xp.sqrt(xp.where(usable, variance, 1)), advantages)
