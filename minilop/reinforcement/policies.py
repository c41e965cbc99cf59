"""The Gaussian policy: a mean that depends on the observation, a standard deviation that does not.

    a = mean + sigma n,   n ~ N(0, I),   sigma = exp(log_std)
    log pi(a) = - sum over actions of (z^2 / 2 + log_std + ln(2 pi) / 2),   z = (a - mean) / sigma

    d log pi / d mean    = z / sigma
    d log pi / d log_std = z^2 - 1

The mean (R, A, B) comes from a network; log_std (R, A) is a vector that is learned beside it, one number an action.
Actions are neither squashed nor clipped. Its entropy is sum(log_std) but for a constant; nothing here needs it.
"""

import math

from minilop.backend import Array, xp

_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


def sample(mean: Array, log_std: Array, noise: Array) -> Array:
    """Actions (R, A, B) from standard normal noise (R, A, B)."""
    return mean + xp.exp(log_std)[..., None] * noise


def standardized(actions: Array, mean: Array, log_std: Array) -> Array:
    """z, the distance of actions from their mean in standard deviations, (R, A, B)."""
    return (actions - mean) * xp.exp(-log_std)[..., None]


def log_probability(z: Array, log_std: Array) -> Array:
    """The logarithm of the density of actions that are `z` standard deviations from their mean: (R, A, B) to (R, B)."""
    constant = log_std.sum(axis=-1) + _HALF_LOG_2_PI * log_std.shape[-1]  # (R,)
    return -0.5 * (z * z).sum(axis=-2) - constant[..., None]


def log_probability_gradients(z: Array, log_std: Array) -> tuple[Array, Array]:
    """Of each log-probability with respect to the mean and to log_std, (R, A, B) each."""
    return z * xp.exp(-log_std)[..., None], z * z - 1
