"""What `rates` of tracking is compared with: the best step size and the error of any, in closed form."""

import numpy as np


def best_rate(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step size of least error for `rates`, and that error: the steady state of the Kalman filter.

    The filter's uncertainty of z before an example, P, is that after it, P / (P + 1), plus sigma^2: a quadratic in P.
    """
    q = np.asarray(sigma) ** 2
    uncertainty = (q + np.sqrt(q * q + 4 * q)) / 2
    return uncertainty / (uncertainty + 1), uncertainty + 1


def error_at_rate(sigma: np.ndarray, step_size: np.ndarray) -> np.ndarray:
    """The squared error of a constant step size for `rates`: 1 + P with P = (1 - alpha)^2 P + alpha^2 + sigma^2."""
    return 1 + (step_size**2 + np.asarray(sigma) ** 2) / (step_size * (2 - step_size))
