"""The losses of PPO and its Gaussian policy. The mean depends on the observation; the standard deviation does not.

    a = mean + sigma n,   n ~ N(0, I),   sigma = exp(log_std)
    log pi(a) = - sum over actions of (z^2 / 2 + log_std + ln(2 pi) / 2),   z = (a - mean) / sigma

    d log pi / d mean    = z / sigma
    d log pi / d log_std = z^2 - 1

The mean (R, A, B) is the output of a network. log_std (R, A), one number per action, is learned in addition. Actions
are neither squashed nor clipped. The entropy of the policy, sum(log_std) up to a constant, is not used.
"""

import math

from minilop.backend import Array, xp
from minilop.losses import squared_error

_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


def sample(mean: Array, log_std: Array, noise: Array) -> Array:
    """Actions (R, A, B) from standard normal noise (R, A, B)."""
    return mean + xp.exp(log_std)[..., None] * noise


def standardized(actions: Array, mean: Array, log_std: Array) -> Array:
    """z, the deviation of actions from their mean in units of the standard deviation, (R, A, B)."""
    return (actions - mean) * xp.exp(-log_std)[..., None]


def log_probability(z: Array, log_std: Array) -> Array:
    """The log-density of actions with standardized values `z` (R, A, B): (R, B)."""
    constant = log_std.sum(axis=-1) + _HALF_LOG_2_PI * log_std.shape[-1]  # (R,)
    return -0.5 * (z * z).sum(axis=-2) - constant[..., None]


def log_probability_gradients(z: Array, log_std: Array) -> tuple[Array, Array]:
    """The gradients of each log-probability with respect to the mean and to log_std, (R, A, B) each."""
    return z * xp.exp(-log_std)[..., None], z * z - 1


def policy_loss(
    mean: Array, log_std: Array, actions: Array, old_log_probabilities: Array, advantages: Array, clip: float
) -> tuple[Array, Array, Array]:
    """The clipped loss of each sample, and the gradients of its mean over the mini-batch.

    mean, actions                        (R, A, B)
    log_std                              (R, A)
    old_log_probabilities, advantages    (R, B)
    returns losses (R, B), mean_gradient (R, A, B), log_std_gradient (R, A)
    """
    z = standardized(actions, mean, log_std)
    ratios = xp.exp(log_probability(z, log_std) - old_log_probabilities)  # rho (R, B)
    plain = -ratios * advantages
    clipped = -xp.minimum(xp.maximum(ratios, 1 - clip), 1 + clip) * advantages
    # d rho / d log pi = rho. If the clipped term is larger, the loss does not depend on rho.
    slopes = xp.where(clipped > plain, xp.zeros_like(clipped), plain)[..., None, :] / actions.shape[-1]  # (R, 1, B)
    by_mean, by_log_std = log_probability_gradients(z, log_std)
    return xp.maximum(plain, clipped), slopes * by_mean, (slopes * by_log_std).sum(axis=-1)


def value_loss(values: Array, targets: Array, value_weight: float = 1.0) -> tuple[Array, Array]:
    """value_weight (V - R)^2 of each sample, without a factor 1/2, and the gradient of its mean over the mini-batch.

    values    (R, 1, B)
    targets   (R, B)
    returns   losses (R, B), value_gradient (R, 1, B)
    """
    losses, gradient = squared_error(values, targets[..., None, :])
    return value_weight * losses, value_weight * gradient
