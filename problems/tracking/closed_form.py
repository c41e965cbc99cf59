"""Closed forms for the experiment `rates` of tracking: the best step size, and the error of any step size."""

import numpy as np


def best_rate(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step size of least error for `rates`, and that error: the steady state of the Kalman filter.

    Before an example the variance of z is P, after it P / (P + 1). Until the next example it grows by sigma^2, so that
    P = P / (P + 1) + sigma^2, a quadratic equation.
    """
    q = np.asarray(sigma) ** 2
    variance = (q + np.sqrt(q * q + 4 * q)) / 2
    return variance / (variance + 1), variance + 1


def error_at_rate(sigma: np.ndarray, step_size: np.ndarray) -> np.ndarray:
    """The squared error of a constant step size for `rates`: 1 + P, where P = (1 - alpha)^2 P + alpha^2 + sigma^2."""
    return 1 + (step_size**2 + np.asarray(sigma) ** 2) / (step_size * (2 - step_size))
