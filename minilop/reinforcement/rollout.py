"""The rollout of PPO (ppo.py): the arrays of its steps by name, and their conversion to samples."""

from minilop.backend import Array, xp

ROLLOUT = (
    *("observations", "actions", "log_probabilities", "rewards"),
    *("terminated", "timed_out", "last_observations"),
)


def check_shape(name: str, array: Array, expected: tuple[int, ...]) -> None:
    """Raises ValueError if the array does not have the expected shape."""
    if array.shape != expected:
        letters = "R, n, N" if len(expected) == 3 else "R, N"
        raise ValueError(f"{name} must have the shape ({letters}), here {expected}, not {array.shape}.")


def by_run(array: Array) -> Array:
    """Steps (T, R, n, N) or (T, R, N) as samples of each run, (R, M, n) or (R, M).

    Samples are ordered by step, then by environment. The result is contiguous, so that the order of sums over samples
    does not depend on the number of runs.
    """
    order = (1, 0, 2) if array.ndim == 3 else (1, 0, 3, 2)
    by_run = xp.ascontiguousarray(xp.transpose(array, order))  # (R, T, N) or (R, T, N, n)
    return by_run.reshape(array.shape[1], -1, *by_run.shape[3:])
