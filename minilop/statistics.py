"""Mean and standard error over runs, for figures and the verification kit. Host arrays only: np, not xp."""

import numpy as np


def mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over runs and one standard error (ddof 1; zero for a single run) of (R, num_bins), over finite values."""
    values = np.where(np.isfinite(values), values, np.nan)
    counts = np.isfinite(values).sum(axis=0)  # (num_bins,)
    some = np.maximum(counts, 1)
    mean = np.where(counts > 0, np.nansum(values, axis=0) / some, np.nan)
    squares = np.nansum((values - mean) ** 2, axis=0)
    return mean, np.sqrt(squares / np.maximum(counts - 1, 1) / some)
