"""Generalized advantage estimation (Schulman, Moritz, Levine, Jordan and Abbeel, ICLR 2016), backward in time.

    delta_t = r_t + gamma V'_t - V(o_t)                     eq. (10)
    A_t     = delta_t + gamma lambda A_{t+1}                eq. (16), as a recursion
    R_t     = A_t + V(o_t)                                  the target of the value network

V'_t = V(o'_t) is the value of the observation that follows step t, before any reset. At the end of an episode, A_{t+1}
is taken as 0, because the next step belongs to another episode. At the end of the rollout, A_{t+1} is 0, too, and the
last V'_t estimates all later rewards.

An episode ends by termination (failure) or by a time limit. If step t terminates the episode, V'_t = 0, because there
are no later rewards. A time limit is not a property of the task: without it, the episode would have continued.
`time_outs` selects V'_t in this case:

    terminal       V' = 0 at time-outs, too, as in the published code, whose `done` does not distinguish the two
    bootstrapped   V' = V(o') at time-outs (Pardo, Tavakoli, Levdik and Kormushev, ICML 2018)

A step that fails at the time limit counts as a termination.
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
    """The advantages of T steps, (T, R, N). All array arguments have this shape.

    values, next_values     V(o_t) and V(o'_t)
    terminated, timed_out   of bool: the step failed, or reached the time limit
    """
    check_choice("time_outs", time_outs, TimeOuts)
    ended = terminated | timed_out
    has_no_future = ended if time_outs == "terminal" else terminated
    zeros = xp.zeros_like(rewards)
    errors = rewards + discount * xp.where(has_no_future, zeros, next_values) - values  # delta
    decays = xp.where(ended, zeros, discount * lambda_)
    advantages = xp.empty_like(errors)
    advantage = zeros[0]  # (R, N)
    for step in reversed(range(len(errors))):
        advantage = xp.add(errors[step], decays[step] * advantage, out=advantages[step])
    return advantages


def normalized(advantages: Array) -> Array:
    """Advantages (R, M), normalized in each run to mean 0 and standard deviation 1.

    As in the published code, the variance divides by M - 1, and no epsilon is added. The advantages of a run are not
    changed if they are all equal or if one of them is not finite.
    """
    num_samples = advantages.shape[-1]
    deviations = advantages - advantages.mean(axis=-1, keepdims=True)
    variance = (deviations * deviations).sum(axis=-1, keepdims=True) / max(1, num_samples - 1)  # (R, 1)
    usable = xp.isfinite(variance) & (variance > 0)
    return xp.where(usable, deviations / xp.sqrt(xp.where(usable, variance, 1)), advantages)
